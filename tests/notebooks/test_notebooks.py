"""Every committed notebook: keeps the contract, runs at ci scale, and gives at laptop scale what is committed."""

from __future__ import annotations

from pathlib import Path

import pytest

from companion.course import contract, places, runner, scoreboard, syllabus
from companion.course.replay import replay

MOST_MB = 1500
FOLDER = places.repository() / "notebooks"
LESSONS = {lesson.notebook: lesson for lesson in syllabus.lessons(hidden=True)}
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))

every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=[path.stem for path in NOTEBOOKS])


@every_notebook
def test_the_contract_is_kept(path: Path) -> None:
    problems = contract.broken(path)
    assert not problems, "\n" + "\n".join(problems)


@every_notebook
@pytest.mark.timeout(1200)
def test_it_runs_at_ci_scale(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "build_folder", lambda: tmp_path)
    (outcome,) = runner.run([path], "ci", device="cpu")
    assert outcome.status == "passed", outcome.error


@every_notebook
@pytest.mark.timeout(2400)
def test_a_fresh_run_gives_what_is_committed_within_the_memory(path: Path) -> None:
    again = replay(path, LESSONS.get(path.name))
    assert not again.problems, "\n" + "\n".join(again.problems)
    assert again.peak_mb < MOST_MB, f"peak memory {again.peak_mb} MB"


def test_every_lesson_has_its_notebook_and_every_notebook_its_lesson() -> None:
    assert {path.name for path in NOTEBOOKS} == {places.FIRST, *LESSONS}


def test_the_scoreboard_in_the_readme_is_fresh() -> None:
    readme = (places.repository() / "README.md").read_text("utf-8")
    assert readme == scoreboard.renewed(readme, scoreboard.rows(FOLDER)), "run `python -m companion scoreboard --write`"
