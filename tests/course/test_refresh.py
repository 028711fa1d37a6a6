"""Refresh: the same file from every run, and nothing of this machine in it."""

from __future__ import annotations

import json
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

from companion.course.refresh import normalise, refresh, source_sha256
from companion.errors import CompanionError


def test_two_refreshes_give_the_same_file(executed_notebook: Path) -> None:
    before = executed_notebook.read_bytes()
    refresh(executed_notebook)
    assert executed_notebook.read_bytes() == before


def test_what_is_stored_is_lean(executed_notebook: Path) -> None:
    notebook = json.loads(executed_notebook.read_text("utf-8"))
    assert notebook["metadata"].keys() == {"kernelspec", "language_info", "companion"}
    counts = [cell["execution_count"] for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert counts == list(range(1, len(counts) + 1))
    assert "widget" not in executed_notebook.read_text("utf-8")
    play = next(cell for cell in notebook["cells"] if cell["id"] == "play")
    assert play["outputs"][0]["data"].keys() == {"image/png", "text/plain"}
    assert play["outputs"][0]["metadata"]["image/png"]["alt"].startswith("A line that rises")


def test_the_source_hash_sees_an_edit(executed_notebook: Path) -> None:
    notebook = nbformat.read(executed_notebook, as_version=4)
    assert notebook.metadata.companion.source_sha256 == source_sha256(notebook)
    notebook.cells[0].source += " edited"
    assert notebook.metadata.companion.source_sha256 != source_sha256(notebook)


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("import sys\nprint('a warning', file=sys.stderr)", "cell facts wrote to stderr: a warning"),
        ("1 / 0", "it failed: ZeroDivisionError: division by zero"),
    ],
)
def test_a_notebook_that_warns_or_fails_is_left_as_it_was(tiny_notebook: Path, source: str, sentence: str) -> None:
    notebook = nbformat.read(tiny_notebook, as_version=4)
    notebook.cells = [cell for cell in notebook.cells if cell.id in ("title", "facts")]
    notebook.cells[-1].source = source
    tiny_notebook.write_text(nbformat.writes(notebook), "utf-8")
    before = tiny_notebook.read_bytes()
    with pytest.raises(CompanionError, match=sentence):
        refresh(tiny_notebook)
    assert tiny_notebook.read_bytes() == before


def test_printed_lines_are_stored_in_one_piece() -> None:
    cut = [new_output("stream", name="stdout", text=text) for text in ("one\n", "two\n")]
    (printed,) = normalise(new_notebook(cells=[new_code_cell("print()", outputs=cut)])).cells[0].outputs
    assert printed.text == "one\ntwo\n"
