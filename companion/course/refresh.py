"""Refresh: run a notebook as a learner would and store its outputs in a form that is the same on every run.

Refreshing also stores what the notebook cost (`record.json`) and writes the line of times into the title cell.
"""

from __future__ import annotations

import hashlib
import json
import re
import tempfile
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from companion.course import lessons
from companion.course.record import record_cost
from companion.course.run import run_as_committed
from companion.errors import CompanionError
from companion.lab import Lesson, load_record
from companion.lab.display import WIDGET_VIEW

STORED_METADATA = {"tags", "jupyter", "slideshow", "mystnb"}
KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
LANGUAGE = {"name": "python", "file_extension": ".py", "mimetype": "text/x-python"}  # so that an export is named .py
TIME_LINE = re.compile(r"^- (?:\*\*Time:\*\*.*|about \d.* minutes to .* memory\.?)$", re.MULTILINE)
# A measured cost replaces the stored one only if it differs by more than chance: else each refresh would change files.
COST_CHANGE, CHANGED_SECONDS = 0.2, 3


def refresh(path: Path) -> None:
    """Execute a notebook at its default scale and store it, normalized; an error or a warning leaves it as it was."""
    lesson = lessons.lesson_of(path)
    if lesson and not TIME_LINE.search("".join(lessons.read_notebook(path)["cells"][0]["source"])):
        raise CompanionError(f"{path.name}: the title cell has no line that begins with {lessons.TIME!r}; add it.")
    with tempfile.TemporaryDirectory() as folder:
        executed = Path(folder) / path.name
        cost = run_as_committed(path, executed)
        if cost["error"]:
            raise CompanionError(f"{path.name} was left as it was, for it failed: {cost['error']}")
        notebook = nbformat.read(executed, as_version=4)
    refuse_stderr(path, notebook)
    if lesson:
        if _store_cost(lesson, cost["cpu_s"], cost["peak_mb"]):
            _announce_again(path, notebook)
        title = notebook.cells[0]
        title.source = TIME_LINE.sub(lessons.TIME, title.source, count=1)  # its words do not count
        title.source = title.source.replace(lessons.TIME, lessons.times(lesson, notebook).line(), 1)
    lessons.write_whole(path, dumps(normalize(notebook)))


def _store_cost(lesson: Lesson, cpu_seconds: float, peak_mb: int) -> bool:
    """Store the measured cost if it differs clearly from the stored one; True if it was stored."""
    old = load_record(lesson.name).cost.get("laptop")
    if old:
        seconds, megabytes = abs(cpu_seconds - old["cpu_seconds"]), abs(peak_mb - old["peak_mb"])
        same = seconds <= max(CHANGED_SECONDS, COST_CHANGE * old["cpu_seconds"]) and megabytes <= COST_CHANGE * peak_mb
        if same:
            return False
    record_cost(lesson.name, "laptop", cpu_seconds, peak_mb)
    return True


def _announce_again(path: Path, notebook: NotebookNode) -> None:
    """Run the cells up to the one that makes the `Lab` again: it announces the cost, which was stored after it ran."""
    last = next((i for i, cell in enumerate(notebook.cells) if re.search(r"= Lab\(", cell.source)), None)
    if last is None:
        return
    with tempfile.TemporaryDirectory() as folder:
        begin, executed = Path(folder) / path.name, Path(folder) / "executed.ipynb"
        begin.write_text(nbformat.writes(NotebookNode({**notebook, "cells": notebook.cells[: last + 1]})), "utf-8")
        run_as_committed(begin, executed)
        notebook.cells[last].outputs = nbformat.read(executed, as_version=4).cells[last].outputs


def refuse_stderr(path: Path, notebook: NotebookNode) -> None:
    """Raise if a cell wrote to stderr: a warning must be dealt with, not hidden."""
    for cell in code_cells(notebook):
        text = "".join(output.text for output in cell.outputs if output.get("name") == "stderr").strip()
        if text:
            raise CompanionError(f"{path.name} was left as it was: cell {cell.id} wrote to stderr: {text}")


def normalize(notebook: NotebookNode) -> NotebookNode:
    """Drop all that differs between two equal runs or concerns one machine, and stamp the sources' hash."""
    stamp = {"source_sha256": source_sha256(notebook)}
    notebook.metadata = NotebookNode(kernelspec=dict(KERNEL), language_info=dict(LANGUAGE), companion=stamp)
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    for cell in notebook.cells:
        cell.metadata = NotebookNode({key: value for key, value in cell.metadata.items() if key in STORED_METADATA})
        if not cell.metadata.get("tags", ["some"]):
            del cell.metadata["tags"]  # an empty list, which papermill adds
    for count, cell in enumerate(code_cells(notebook), start=1):
        cell.execution_count = count
        cell.outputs = _joined(cell.outputs)
        for output in cell.outputs:
            output.pop("transient", None)
            if "execution_count" in output:
                output.execution_count = count
            if "data" in output:
                output.data.pop(WIDGET_VIEW, None)
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
