"""Progress: which exercises are right, read from the saved notebooks alone. Nothing else is kept, nothing is sent."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

from companion.course import results, lessons as syllabus
from companion.lab import Lesson
from companion.lab.exercises import NOT_ATTEMPTED, NOT_YET, RIGHT
from companion.lab.lesson import PACKAGE

SAID = re.compile(rf"^(\w+)  ({RIGHT}|{NOT_YET}|{NOT_ATTEMPTED})\b", re.MULTILINE)
HEADER = ("no.", "lesson", RIGHT, NOT_YET, NOT_ATTEMPTED)


def states(lesson: Lesson, folder: Path) -> dict[str, str]:
    """Exercise -> what its check said last in the saved notebook; "not attempted" if it said nothing."""
    exercises = importlib.import_module(f"{PACKAGE}.{lesson.name}.exercises").EXERCISES
    path = folder / lesson.notebook
    cells = results.read(path)["cells"] if path.is_file() else []
    said = dict(found for cell in cells for found in SAID.findall(_printed(cell)))
    return {exercise.id: said.get(exercise.id, NOT_ATTEMPTED) for exercise in exercises}


def _printed(cell: dict) -> str:
    return "".join("".join(output.get("text", "")) for output in cell.get("outputs", []))


def rows(folder: Path) -> list[list[str]]:
    """For each lesson its number, its title, and which exercises are right, not yet right, not attempted."""
    return [_row(lesson, states(lesson, folder)) for lesson in syllabus.lessons()]


def _row(lesson: Lesson, found: dict[str, str]) -> list[str]:
    listed = [" ".join(id for id, state in found.items() if state == wanted) or "-" for wanted in HEADER[2:]]
    return [str(lesson.number), lesson.title, *listed]
