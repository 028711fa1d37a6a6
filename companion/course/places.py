"""Where the notebooks and the build folder are, and how a file is written whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import companion
from companion.errors import CompanionError

FIRST = "00_start_here.ipynb"


def notebooks_folder(given: Path | None = None) -> Path:
    """The folder of notebooks: the one given, else that of the current directory or above it, else the repository's."""
    if given is not None:
        if not _holds_notebooks(given):
            raise CompanionError(f"{given} holds no notebooks; name a folder that does, or run them first.")
        return given.resolve()
    here = Path.cwd()
    places = [here, *(up / "notebooks" for up in (here, *here.parents)), repository() / "notebooks"]
    found = next(filter(_holds_notebooks, places), None)
    if found is None:
        raise CompanionError("No notebooks in this directory, above it or beside the package; use --notebooks DIR.")
    return found


def repository() -> Path:
    """The folder that holds the package: the root of a clone."""
    return Path(companion.__path__[0]).resolve().parent


def build_folder() -> Path:
    """Where everything goes that can be made again: `build/` in the clone; outside of one, in the current directory."""
    root = repository()
    return (root if (root / "pyproject.toml").is_file() else Path.cwd()) / "build"


def write_whole(path: Path, text: str) -> None:
    """Write a file so that whoever reads it, at any time, finds all of the old text or all of the new."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_text(text, "utf-8", newline="\n")
    partial.replace(path)


def _holds_notebooks(folder: Path) -> bool:
    return any(folder.glob("[0-9][0-9]_*.ipynb"))
