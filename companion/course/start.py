"""Start: a learner's own copy of the notebooks, which no later start overwrites."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbformat.sign import NotebookNotary

from companion.course.places import FIRST
from companion.errors import CompanionError


@dataclass(frozen=True)
class Copied:
    """Which notebooks were copied, and which were there already and left alone."""

    new: tuple[str, ...]
    kept: tuple[str, ...]


def copy(source: Path, target: Path) -> Copied:
    """Copy the notebooks of a folder; a file that is there already stays as it is."""
    new: list[str] = []
    kept: list[str] = []
    try:
        target.mkdir(parents=True, exist_ok=True)
        for notebook in sorted(source.glob("[0-9][0-9]_*.ipynb")):
            (new if _copy_one(notebook, target / notebook.name) else kept).append(notebook.name)
    except OSError as error:
        problem = f"{target} cannot take the notebooks ({error.strerror}: {error.filename})"
        raise CompanionError(f"{problem}; name a folder that you may write to.") from error
    return Copied(tuple(new), tuple(kept))


def _copy_one(source: Path, target: Path) -> bool:
    content = source.read_bytes()
    try:
        with target.open("xb") as file:
            file.write(content)
    except FileExistsError:
        return False
    NotebookNotary().sign(nbformat.reads(content.decode(), as_version=4))  # our outputs: JupyterLab may show them
    return True


def open_lab(folder: Path) -> int:
    """Open JupyterLab on the first page of a folder; returns when it is closed."""
    page = folder / FIRST
    return subprocess.call([sys.executable, "-m", "jupyterlab", str(page if page.is_file() else folder)])
