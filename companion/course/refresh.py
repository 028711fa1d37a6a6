"""Refresh: run a notebook as a learner would and store its outputs in a form that is the same on every run."""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError
from nbformat import NotebookNode

from companion.course.lessons import write_whole
from companion.course.processes import environment
from companion.errors import CompanionError
from companion.lab.display import WIDGET_VIEW

CELL_SECONDS = 1800
KEPT = {"tags", "jupyter", "slideshow", "mystnb"}
KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}


def refresh(path: Path) -> None:
    """Execute a notebook at its default scale and store it, normalised; an error or a warning leaves it as it was."""
    notebook = nbformat.read(path, as_version=4)
    for cell in code_cells(notebook):
        cell.outputs, cell.execution_count = [], None
    client = NotebookClient(
        notebook, timeout=CELL_SECONDS, kernel_name="python3", resources={"metadata": {"path": str(path.parent)}}
    )
    try:
        # what the kernel's launcher says to the terminal is not the notebook's: that is read from the outputs below
        client.execute(env=environment(), stderr=subprocess.DEVNULL)
    except CellExecutionError as error:
        raise CompanionError(f"{path.name} was left as it was, for it failed: {error.ename}: {error.evalue}") from error
    except CellTimeoutError as error:
        raise CompanionError(f"{path.name} was left as it was: a cell took longer than {CELL_SECONDS} s.") from error
    refuse_stderr(path, notebook)
    write_whole(path, dumps(normalise(notebook)))


def refuse_stderr(path: Path, notebook: NotebookNode) -> None:
    """Raise if a cell wrote to stderr: a warning must be dealt with, not hidden."""
    for cell in code_cells(notebook):
        said = "".join(output.text for output in cell.outputs if output.get("name") == "stderr").strip()
        if said:
            raise CompanionError(f"{path.name} was left as it was: cell {cell.id} wrote to stderr: {said}")


def normalise(notebook: NotebookNode) -> NotebookNode:
    """Drop all that differs between two equal runs or concerns one machine, and stamp the sources' hash."""
    stamp = {"source_sha256": source_sha256(notebook)}
    notebook.metadata = NotebookNode(kernelspec=dict(KERNEL), language_info={"name": "python"}, companion=stamp)
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    for cell in notebook.cells:
        cell.metadata = NotebookNode({key: value for key, value in cell.metadata.items() if key in KEPT})
    for count, cell in enumerate(code_cells(notebook), start=1):
        cell.execution_count = count
        cell.outputs = _joined(cell.outputs)
        for output in cell.outputs:
            _normalise_output(output, count)
    return notebook


def _joined(outputs: list[NotebookNode]) -> list[NotebookNode]:
    """Printed lines in one piece: where the kernel cuts them is chance."""
    joined: list[NotebookNode] = []
    for output in outputs:
        if joined and "name" in output and joined[-1].get("name") == output.name:
            joined[-1].text += output.text
        else:
            joined.append(output)
    return joined


def _normalise_output(output: NotebookNode, count: int) -> None:
    output.pop("transient", None)
    if "execution_count" in output:
        output.execution_count = count
    if "data" in output:
        output.data.pop(WIDGET_VIEW, None)


def dumps(notebook: NotebookNode) -> str:
    """The text of a notebook file."""
    return nbformat.writes(notebook).rstrip("\n") + "\n"


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    """The code cells that hold code, in order."""
    return [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]


def source_sha256(notebook: NotebookNode) -> str:
    """Hash of all cell sources: shows whether a cell was edited after the outputs were made."""
    sources = [[cell.cell_type, cell.source] for cell in notebook.cells]
    return hashlib.sha256(json.dumps(sources).encode()).hexdigest()
