"""Planted changes: what nbval sees, what only the comparison of numbers sees, and what only a fresh run sees."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from contract import broken
from replay import replay

from companion.lab import load_lesson

pytestmark = pytest.mark.timeout(600)


def edit(notebook: Path, old: str, new: str) -> None:
    text = notebook.read_text("utf-8")
    assert old in text
    notebook.write_text(text.replace(old, new), "utf-8")


def test_an_honest_notebook_passes(executed_notebook: Path) -> None:
    again = replay(executed_notebook, load_lesson("tiny"))
    assert again.problems == ()
    assert 200 < again.peak_mb < 700


def test_the_memory_is_that_of_the_run_and_not_of_the_caller(executed_notebook: Path) -> None:
    ballast = np.ones(125_000_000)  # 1000 MB, all of it touched
    assert replay(executed_notebook, load_lesson("tiny")).peak_mb < 700
    del ballast


def test_the_digits_of_a_check_s_error_may_differ_and_its_result_may_not(executed_notebook: Path) -> None:
    edit(executed_notebook, "error 0, tolerance 1e-09: passed", "error 2.2e-16, tolerance 1e-09: passed")
    assert replay(executed_notebook, load_lesson("tiny")).problems == ()
    edit(executed_notebook, "error 2.2e-16, tolerance 1e-09: passed", "error nan, tolerance 1e-09: fails")
    assert "error nan" in replay(executed_notebook, load_lesson("tiny")).problems[0]


def test_a_wrong_checked_output_and_a_wrong_number_are_found(executed_notebook: Path) -> None:
    edit(executed_notebook, 'the course has one lesson\\n"\n     ]', 'the course has two lessons\\n"\n     ]')
    edit(executed_notebook, '"mean": 5.0', '"mean": 5.2')
    problems = replay(executed_notebook, load_lesson("tiny")).problems
    assert problems[0].startswith("nbval:")
    assert "two lessons" in problems[0]
    assert problems[1:] == tuple(
        f"{id}, shifted @ all vs. plain @ all: committed 5.2, fresh 5.0, tolerance 0.1" for id in ("C1", "C2")
    )


def test_a_claim_that_no_longer_holds_is_found(executed_notebook: Path) -> None:
    edit(executed_notebook.parents[1] / "companion/tiny/experiment.py", "noise + 5", "noise + 0")
    problems = replay(executed_notebook, load_lesson("tiny")).problems
    assert "C1: committed verdict 'holds', fresh verdict 'fails'" in problems
    assert "C1 fails, expected holds" in problems


def test_a_stripped_notebook_is_found_though_nbval_passes_it(executed_notebook: Path) -> None:
    notebook = json.loads(executed_notebook.read_text("utf-8"))
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            cell.update(outputs=[], execution_count=None)
    executed_notebook.write_text(json.dumps(notebook), "utf-8")
    problems = replay(executed_notebook, load_lesson("tiny")).problems
    assert problems == tuple(f"{id}: the committed notebook holds no judgment of it" for id in ("C1", "C2"))
    assert any("facts: is checked by nbval and has no output to check" in each for each in broken(executed_notebook))
