"""The learner's copy, the HTML pages and the scoreboard."""

from __future__ import annotations

import html
import re
from dataclasses import replace
from pathlib import Path

import pytest

from companion.course import export, record as records, results, scoreboard, start
from companion.errors import CompanionError


def test_start_copies_and_never_overwrites(executed_notebook: Path, tmp_path: Path) -> None:
    mine = tmp_path / "my" / "course"
    assert start.copy(executed_notebook.parent, mine) == start.Copied(("99_tiny.ipynb",), ())
    (mine / "99_tiny.ipynb").write_text("my work")
    assert start.copy(executed_notebook.parent, mine) == start.Copied((), ("99_tiny.ipynb",))
    assert (mine / "99_tiny.ipynb").read_text() == "my work"


def test_a_copy_finds_the_pages_that_it_links_to(executed_notebook: Path, tmp_path: Path) -> None:
    source, mine = executed_notebook.parent, tmp_path / "mine"
    executed_notebook.write_text(executed_notebook.read_text().replace('"# Tiny"', '"# Tiny [w](../docs/words.md)"'))
    (source.parent / "docs").mkdir()
    (source.parent / "docs/words.md").write_text("[99](../notebooks/99_tiny.ipynb)")
    start.copy(source, mine)
    assert "](docs/words.md)" in (mine / "99_tiny.ipynb").read_text()
    assert (mine / "docs/words.md").read_text() == "[99](../99_tiny.ipynb)"


def test_start_into_a_file_is_one_sentence(executed_notebook: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CompanionError, match="name a folder that you may write to"):
        start.copy(executed_notebook.parent, tmp_path / "file")


def test_exported_pictures_carry_their_descriptions(executed_notebook: Path, tmp_path: Path) -> None:
    (page,) = export.export([executed_notebook], tmp_path / "site")
    described = re.findall(r'<img alt="([^"]*)" src="data:image/png', page.read_text("utf-8"))
    assert [html.unescape(alt) for alt in described] == [
        "One line that rises from one to two.",
        "A line that rises to the height that the slider says.",
    ]


def test_an_exported_page_has_the_title_of_its_notebook_and_no_empty_heads(
    executed_notebook: Path, tmp_path: Path
) -> None:
    text = executed_notebook.read_text("utf-8").replace(
        '"# Tiny"', '"# Tiny & true\\n\\n| | b |\\n|---|---|\\n| a | 1 |"'
    )
    executed_notebook.write_text(text, "utf-8")
    (path,) = export.export([executed_notebook], tmp_path / "site")
    page = path.read_text("utf-8")
    assert "<title>Tiny &amp; true</title>" in page
    assert "<th></th>" not in page
    assert "<th>b</th>" in page


def test_the_scoreboard_reads_the_notebook_and_the_record(executed_notebook: Path) -> None:
    board = scoreboard.rows(executed_notebook.parent)
    assert [(row.claim.id, row.run, row.recorded) for row in board] == [
        ("C1", "holds", "none"),
        ("C2", "fails", "none"),
    ]
    records.record("tiny", "study", seeds=2, jobs=2)
    assert [row.recorded for row in scoreboard.rows(executed_notebook.parent)] == ["holds", "fails"]
    source = executed_notebook.parents[1] / "companion/tiny/experiment.py"
    source.write_text(source.read_text().replace("noise + 5", "5 + noise"))
    assert scoreboard.rows(executed_notebook.parent)[0].recorded == "holds (stale)"


def test_a_lesson_without_notebook_reads_not_run(tiny_course: Path) -> None:
    assert {row.run for row in scoreboard.rows(tiny_course)} == {"not run"}


def test_the_terminal_has_a_line_a_claim_and_says_what_is_other_than_recorded(
    executed_notebook: Path, monkeypatch, capsys
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    board = scoreboard.rows(executed_notebook.parent)
    scoreboard.show(board)
    said = capsys.readouterr().out
    assert max(map(len, said.splitlines())) <= 80
    assert [sum(line.startswith(f"  {row.claim.id} ") for line in said.splitlines()) for row in board] == [1, 1]
    assert "No verdict of this run is another than recorded" in said
    odd = replace(board[0], run="open", recorded="holds")
    scoreboard.show([odd, *board[1:]])
    assert f"Other than recorded: {odd.lesson.title} {odd.claim.id}" in capsys.readouterr().out
    scoreboard.show([])
    assert capsys.readouterr().out == "There is no lesson yet.\n"


def test_a_lie_in_the_numbers_or_the_verdict_is_found(executed_notebook: Path) -> None:
    from companion.lab import load_lesson

    notebook, lesson = results.read(executed_notebook), load_lesson("tiny")
    fresh = results.judgements(results.read(executed_notebook))
    committed = results.judgements(notebook)
    assert results.compare(committed, fresh, lesson) == []
    committed[0]["findings"][0]["mean"] += 0.2
    assert "C1, shifted @ all against plain @ all: committed" in results.compare(committed, fresh, lesson)[0]
    committed[0]["findings"][0]["mean"] = float("nan")
    assert len(results.compare(committed, fresh, lesson)) == 1
    committed[1]["verdict"] = "holds"
    assert results.compare(committed[1:], fresh, lesson) == [
        "C1: the committed notebook holds no judgement of it",
        "C2: committed verdict 'holds', fresh verdict 'fails'",
    ]
    assert results.compare(results.judgements(notebook)[:0], fresh, lesson)
