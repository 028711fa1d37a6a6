"""Source that a notebook shows: every `lab.source(...)` is public, and runs when it is pasted into an empty session."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from companion.course import lessons
from companion.lab.display import runnable_source

FOLDER = lessons.repository() / "notebooks"
NOTEBOOKS = [FOLDER / lesson.notebook for lesson in lessons.lessons(hidden=True)]


def shown(path: Path) -> Iterator[tuple[str, Any]]:
    """What a notebook passes to `lab.source`: the expression, and the object that it stands for."""
    cells = [cell for cell in lessons.read_notebook(path)["cells"] if cell["cell_type"] == "code"]
    trees = [ast.parse("".join(cell["source"])) for cell in cells]
    lesson = lessons.lesson_of(path)
    assert lesson
    names = dict(vars(importlib.import_module(f"companion.{lesson.name}")))  # a cell may give a module a short name
    for node in (node for tree in trees for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)):
        exec(compile(ast.Module([node], []), path.name, "exec"), names)
    for node in (node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Call)):
        if ast.unparse(node.func) == "lab.source":
            for argument in node.args:
                yield ast.unparse(argument), eval(ast.unparse(argument), names)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=[path.stem for path in NOTEBOOKS])
def test_shown_source_runs_in_an_empty_session(path: Path) -> None:
    for expression, value in shown(path):
        session = {"__name__": "__main__"}
        exec(compile(runnable_source(value), expression, "exec"), session)
        assert value.__name__ in session, expression
