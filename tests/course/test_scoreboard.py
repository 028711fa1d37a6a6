"""The scoreboard: verdicts of notebooks and stored results, two counts, a line for each paper."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from companion.course import lessons, record, scoreboard
from companion.lab import load_lesson


def test_the_scoreboard_reads_the_notebook_and_the_record(executed_notebook: Path) -> None:
    board = scoreboard.rows(executed_notebook.parent)
    assert [(row.claim.id, row.notebook, row.stored) for row in board] == [
        ("C1", "holds", "none"),
        ("C2", "fails", "none"),
    ]
    record.record("tiny", "study", seeds=2, jobs=2)
    assert [row.stored for row in scoreboard.rows(executed_notebook.parent)] == ["holds", "fails"]


def test_a_lesson_without_notebook_reads_not_run(tiny_course: Path) -> None:
    assert {row.notebook for row in scoreboard.rows(tiny_course)} == {"not run"}


def test_the_terminal_has_a_line_a_claim_and_says_what_is_other_than_stored(
    executed_notebook: Path, monkeypatch, capsys
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    board = scoreboard.rows(executed_notebook.parent)
    scoreboard.show(board)
    said = capsys.readouterr().out
    assert max(map(len, said.splitlines())) <= 80
    assert [sum(line.startswith(f"  {row.claim.id} ") for line in said.splitlines()) for row in board] == [1, 1]
    assert "All verdicts are as in the stored results." in said
    odd = replace(board[0], notebook="open", stored="holds")
    scoreboard.show([odd, *board[1:]])
    assert f"Other than in the stored results: {odd.lesson.title} {odd.claim.id}" in capsys.readouterr().out
    scoreboard.show([])
    assert capsys.readouterr().out == "There is no lesson yet.\n"


def test_a_planted_change_in_the_numbers_or_the_verdict_is_found(executed_notebook: Path) -> None:
    notebook, lesson = lessons.read_notebook(executed_notebook), load_lesson("tiny")
    fresh = scoreboard.judgments(lessons.read_notebook(executed_notebook))
    committed = scoreboard.judgments(notebook)
    assert scoreboard.compare_runs(committed, fresh, lesson) == []
    committed[0]["findings"][0]["mean"] += 0.2
    assert "C1, shifted @ all vs. plain @ all: committed" in scoreboard.compare_runs(committed, fresh, lesson)[0]
    committed[0]["findings"][0]["mean"] = None
    assert len(scoreboard.compare_runs(committed, fresh, lesson)) == 1
    committed[1]["verdict"] = "holds"
    assert scoreboard.compare_runs(committed[1:], fresh, lesson) == [
        "C1: the committed notebook holds no judgment of it",
        "C2: committed verdict 'holds', fresh verdict 'fails'",
    ]
    assert scoreboard.compare_runs(scoreboard.judgments(notebook)[:0], fresh, lesson)


@pytest.fixture
def board(executed_notebook: Path) -> list[scoreboard.Row]:
    """C1 of the paper holds, C2 of the course fails, S1 removes the key component of C1."""
    found = scoreboard.rows(executed_notebook.parent)
    ablation = replace(found[1].claim, id="S1", ablates="C1", removed="the five")
    return [*found, replace(found[1], claim=ablation)]


def test_claims_of_others_and_questions_of_the_course_are_counted_apart(board: list[scoreboard.Row]) -> None:
    assert scoreboard.summary(board) == [
        "Claims of the papers and of the Amazon Science article: 1 (1 hold, 0 fail, 0 open).",
        "Questions of the course: 1 (0 hold, 1 fail, 0 open).",
        "Ablation tests: in 1 of 1 the claim no longer holds, as expected.",
    ]
    odd = [replace(board[0], notebook="training diverged"), *board[1:]]
    assert scoreboard.summary(odd)[0].endswith("(0 hold, 0 fail, 0 open, 1 training diverged).")


def test_each_paper_has_a_line_and_a_missing_one_says_so(board: list[scoreboard.Row]) -> None:
    ((lesson, cells),) = scoreboard.ledger(board)
    assert cells == ["1 hold, 0 fail, 0 open", "0 hold, 1 fail, 0 open", "1 of 1", lesson.reproduction]
    silent = [replace(row, lesson=replace(row.lesson, reproduction="")) for row in board]
    assert scoreboard.ledger(silent)[0][1][-1] == "not stated yet"


def test_an_ablation_test_reads_as_it_should(board: list[scoreboard.Row]) -> None:
    ablation = board[-1]
    assert ablation.kind == "ablation test"
    assert ablation.supported
    assert ablation.cells()[-2] == "C1 no longer holds, as expected"
    assert not replace(ablation, notebook="holds").supported
    assert replace(ablation, notebook="holds").cells()[-2] == "holds"
