"""Start: a copy of the notebooks, and of the pages they link to, for the learner; no later start overwrites it."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbformat.sign import NotebookNotary

from companion.course.lessons import FIRST
from companion.errors import CompanionError

PAGES = "docs"


@dataclass(frozen=True)
class Copied:
    """Which notebooks were copied, and which were there already and stayed unchanged."""

    new: tuple[str, ...]
    unchanged: tuple[str, ...]


def copy(source: Path, target: Path) -> Copied:
    """Copy the notebooks of a folder and the pages beside it; a file that is there already stays as it is."""
    new: list[str] = []
    unchanged: list[str] = []
    try:
        target.mkdir(parents=True, exist_ok=True)
        for notebook in sorted(source.glob("[0-9][0-9]_*.ipynb")):
            (new if _copy_one(notebook, target / notebook.name) else unchanged).append(notebook.name)
        (target / PAGES).mkdir(exist_ok=True)
        for page in sorted((source.parent / PAGES).glob("*.md")):
            _write_new(target / PAGES / page.name, page.read_bytes().replace(b"](../notebooks/", b"](../"))
    except OSError as error:
        problem = f"{target} cannot take the notebooks ({error.strerror}: {error.filename})"
        raise CompanionError(f"{problem}; name a folder that you may write to.") from error
    return Copied(tuple(new), tuple(unchanged))


def _copy_one(source: Path, target: Path) -> bool:
    content = source.read_bytes().replace(b"](../docs/", b"](docs/")
    if not _write_new(target, content):
        return False
    NotebookNotary().sign(nbformat.reads(content.decode(), as_version=4))  # our outputs: JupyterLab may show them
    return True


def _write_new(target: Path, content: bytes) -> bool:
    try:
        with target.open("xb") as file:
            file.write(content)
    except FileExistsError:
        return False
    return True


def open_lab(folder: Path) -> int:
    """Open JupyterLab on the first page of a folder; returns when it is closed."""
    page = folder / FIRST
    return subprocess.call([sys.executable, "-m", "jupyterlab", str(page if page.is_file() else folder)])
