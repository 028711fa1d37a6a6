"""The lessons that are installed, their notebooks, the time that each takes, and where files go.

A lesson is a subpackage with a `lesson.toml`; nothing in the repository lists their names.
"""

from __future__ import annotations

import importlib
import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import companion
from companion.errors import CompanionError
from companion.lab import Lesson, load_lesson, load_record
from companion.lab.lesson import PACKAGE

FIRST = "00_start_here.ipynb"
WORDS_PER_MINUTE, MINUTES_PER_FIGURE = 180, 1.0
TIME = "- **Time:**"
COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
Notebook = dict[str, Any]


# -------------------------------------------------------------------- lessons


def lessons(hidden: bool = False) -> list[Lesson]:
    """All lessons by number; those whose name begins with "_" (the template) only if `hidden`."""
    names = {file.parent.name for place in companion.__path__ for file in Path(place).glob("*/lesson.toml")}
    shown = [name for name in names if hidden or not name.startswith("_")]
    return sorted(map(load_lesson, shown), key=lambda lesson: (lesson.number, lesson.name))


def select_lessons(names: Sequence[str], hidden: bool = True) -> list[Lesson]:
    """The lessons with these names, numbers or notebook names, by number; no names: all."""
    if not names:
        return lessons()
    known = {key: lesson for lesson in lessons(hidden) for key in _keys(lesson)}
    keys = [Path(name).name for name in names]
    unknown = [name for name, key in zip(names, keys, strict=True) if key not in known]
    if unknown:
        there = ", ".join(lesson.name for lesson in lessons()) or "none yet"
        raise CompanionError(f"There is no lesson {unknown[0]!r}; there is {there}.")
    return sorted({known[key].name: known[key] for key in keys}.values(), key=lambda lesson: lesson.number)


def lesson_of(path: Path) -> Lesson | None:
    """The lesson that a notebook belongs to, the template included; None for the first page."""
    return next((lesson for lesson in lessons(hidden=True) if lesson.notebook == path.name), None)


def _keys(lesson: Lesson) -> set[str]:
    return {lesson.name, str(lesson.number), f"{lesson.number:02d}", lesson.notebook}


# -------------------------------------------------------------------- notebooks and their times


def read_notebook(path: Path) -> Notebook:
    """A notebook as plain data."""
    try:
        return json.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise CompanionError(f"There is no notebook {path}.") from error
    except ValueError as error:
        raise CompanionError(f"{path} is not a notebook ({error}); restore it from version control.") from error


@dataclass(frozen=True)
class Times:
    """What a lesson asks of a learner: minutes to read, CPU seconds to run (None: not measured yet), minutes of work.

    reading comes from the notebook's words and figures, running from the measured cost in `record.json`, exercises
    from the sum of their minutes, and memory_mb from the limit in `lesson.toml`.
    """

    reading: int
    running: int | None
    exercises: int
    memory_mb: int

    def line(self) -> str:
        """The line of the notebook's title cell."""
        running = "not measured yet" if self.running is None else f"{self.running} CPU seconds"
        return (
            f"{TIME} {self.reading} minutes to read; {running} to run; {self.exercises} minutes for the exercises; "
            f"below {self.memory_mb:,} MB of memory"
        )


def times(lesson: Lesson, notebook: Notebook) -> Times:
    """The times of a lesson, computed from its notebook, its exercises and its measured cost at laptop scale."""
    exercises = importlib.import_module(f"{PACKAGE}.{lesson.name}.exercises").EXERCISES
    cost = load_record(lesson.name).cost.get("laptop")
    reading = count_words(notebook) / WORDS_PER_MINUTE + MINUTES_PER_FIGURE * count_figures(notebook)
    running = round(cost["cpu_seconds"]) if cost else None
    return Times(round(reading), running, sum(each.minutes for each in exercises), lesson.budget.memory_mb)


def count_words(notebook: Notebook) -> int:
    """Words of prose: what stands between blanks in Markdown and holds a letter; comments and times do not count."""
    texts = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "markdown"]
    lines = [line for text in texts for line in COMMENT.sub("", text).splitlines() if not line.startswith(TIME)]
    return sum(any(char.isalpha() for char in word) for line in lines for word in line.split())


def count_figures(notebook: Notebook) -> int:
    """Pictures among the outputs."""
    outputs = [output for cell in notebook["cells"] for output in cell.get("outputs", [])]
    return sum("image/png" in output.get("data", {}) for output in outputs)


# -------------------------------------------------------------------- folders and files


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
    """The folder for everything that can be made again: `build/` in the clone; elsewhere, in the current directory."""
    root = repository()
    return (root if (root / "pyproject.toml").is_file() else Path.cwd()) / "build"


def write_whole(path: Path, text: str) -> None:
    """Write a file so that a reader finds, at any time, all of the old text or all of the new."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_text(text, "utf-8", newline="\n")
    partial.replace(path)


def _holds_notebooks(folder: Path) -> bool:
    return any(folder.glob("[0-9][0-9]_*.ipynb"))
