"""The syllabus: the lessons that are there. A lesson is a subpackage with a `lesson.toml`; nothing names one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import companion
from companion.errors import CompanionError
from companion.lab import Lesson, load_lesson


def lessons(hidden: bool = False) -> list[Lesson]:
    """All lessons by number; those whose name begins with "_" (the template) only if `hidden`."""
    names = {file.parent.name for place in companion.__path__ for file in Path(place).glob("*/lesson.toml")}
    shown = [name for name in names if hidden or not name.startswith("_")]
    return sorted(map(load_lesson, shown), key=lambda lesson: (lesson.number, lesson.name))


def choose(names: Sequence[str], hidden: bool = True) -> list[Lesson]:
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
