"""A notebook as the rules of the contract see it."""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from companion.course import lessons
from companion.lab import Exercise, Lesson
from companion.lab.lesson import PACKAGE

CHECKED = "nbval-check-output"
PARAMETERS = "parameters"


@dataclass(frozen=True)
class Page:
    """A notebook file, the lesson it belongs to (none for the first page) and that lesson's exercises."""

    path: Path
    notebook: NotebookNode
    lesson: Lesson | None
    exercises: tuple[Exercise, ...]

    @cached_property
    def cells(self) -> list[NotebookNode]:
        """All cells."""
        return list(self.notebook.cells)

    @cached_property
    def code(self) -> list[NotebookNode]:
        """The code cells."""
        return [cell for cell in self.cells if cell.cell_type == "code"]

    @cached_property
    def prose(self) -> list[NotebookNode]:
        """The Markdown cells."""
        return [cell for cell in self.cells if cell.cell_type == "markdown"]

    def figures(self) -> Iterator[tuple[NotebookNode, NotebookNode]]:
        """Each picture: its cell and its output."""
        for cell in self.code:
            for output in cell.outputs:
                if "image/png" in output.get("data", {}):
                    yield cell, output

    def section_of(self, cell: NotebookNode) -> str:
        """The heading of the section in which a cell stands."""
        before = "\n".join(c.source for c in self.cells[: self.cells.index(cell)] if c.cell_type == "markdown")
        return (re.findall(r"^## +(.+?) *$", before, re.MULTILINE) or [""])[-1]


def read_page(path: Path) -> Page:
    """Read a notebook and find the lesson that it belongs to."""
    lesson = lessons.lesson_of(path)
    found = importlib.import_module(f"{PACKAGE}.{lesson.name}.exercises").EXERCISES if lesson else ()
    # The public reader would repair what the contract is to find.
    return Page(path, nbformat.v4.reads(json.dumps(lessons.read_notebook(path))), lesson, tuple(found))


def tags(cell: NotebookNode) -> list[str]:
    """The tags of a cell."""
    return list(cell.metadata.get("tags", []))


def output_text(cell: NotebookNode) -> str:
    """All that a code cell printed or displayed as text."""
    parts = []
    for output in cell.get("outputs", []):
        shown = (text for mime, text in output.get("data", {}).items() if mime.startswith("text/"))
        parts += [output.get("text", ""), *shown]
    return "\n".join(parts)


def lines(cell: NotebookNode) -> int:
    """Lines of a cell that are not blank."""
    return sum(bool(line.strip()) for line in cell.source.splitlines())


def words(text: str) -> int:
    """Words of prose outside of comments: what stands between blanks and holds a letter."""
    return sum(any(char.isalpha() for char in word) for word in lessons.COMMENT.sub("", text).split())


def without_headings(text: str) -> str:
    """Markdown without its headings."""
    return re.sub(r"^#+ .*$", "", text, flags=re.MULTILINE)
