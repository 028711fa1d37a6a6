"""The lessons that are there, where their notebooks and the build folder are, and how a file is written whole.

A lesson is a subpackage with a `lesson.toml`; nothing names one.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import companion
from companion.errors import CompanionError
from companion.lab import Lesson, load_lesson

FIRST = "00_start_here.ipynb"


def lessons(hidden: bool = False) -> list[Lesson]:
    """All lessons by number; those whose name begins with "_" (the template) only if `hidden`."""
    names = {file.parent.name for place in companion.__path__ for file in Path(place).glob("*/lesson.toml")}
    shown = [name for name in names if hidden or not name.startswith("_")]
    return sorted(map(load_lesson, shown), key=lambda lesson: (lesson.number, lesson.name))


def select_lessons(names: Sequence[str], hidden: bool = True) -> list[Lesson]:
    """The lessons with these names, numbers or notebook names, in the order of the syllabus; no names: all."""
    if not names:
        return lessons()
    known = {key: lesson for lesson in lessons(hidden) for key in _keys(lesson)}
    unknown = [name for name in names if _key(name) not in known]
    if unknown:
        there = ", ".join(lesson.name for lesson in lessons()) or "none yet"
        raise CompanionError(f"There is no lesson {unknown[0]!r}; there is {there}.")
    chosen = {known[_key(name)].name: known[_key(name)] for name in names}
    return sorted(chosen.values(), key=lambda lesson: lesson.number)


def lesson_of(path: Path) -> Lesson | None:
    """The lesson that a notebook belongs to, the template included; None for the first page."""
    return next((lesson for lesson in lessons(hidden=True) if lesson.notebook == path.name), None)


def _keys(lesson: Lesson) -> set[str]:
    return {lesson.name, str(lesson.number), f"{lesson.number:02d}", lesson.notebook}


def _key(name: str) -> str:
    return Path(name).name


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
