"""Every committed notebook: keeps the contract, runs at ci scale, and gives at laptop scale what is committed."""

from __future__ import annotations

from pathlib import Path

import pytest
from contract import broken
from replay import replay

from companion.course import lessons, pages, run, scoreboard
from companion.course.overview import ClaimTable
from companion.lab import load_record

MOST_MB = 1500
FOLDER = lessons.repository() / "notebooks"
LESSONS = {lesson.notebook: lesson for lesson in lessons.lessons(hidden=True)}
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))

every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=[path.stem for path in NOTEBOOKS])
every_lesson = pytest.mark.parametrize("name", sorted(LESSONS))


@every_notebook
def test_the_contract_is_kept(path: Path) -> None:
    problems = broken(path)
    assert not problems, "\n" + "\n".join(problems)


@every_notebook
@pytest.mark.timeout(1200)
def test_it_runs_at_ci_scale(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lessons, "build_folder", lambda: tmp_path)
    (outcome,) = run.run([path], "ci", device="cpu")
    assert outcome.status == "passed", outcome.error


@every_notebook
@pytest.mark.timeout(2400)
def test_a_fresh_run_gives_what_is_committed_within_the_memory(path: Path) -> None:
    again = replay(path, LESSONS.get(path.name))
    assert not again.problems, "\n" + "\n".join(again.problems)
    limit = LESSONS[path.name].budget.memory_mb if path.name in LESSONS else MOST_MB
    assert again.peak_mb < min(limit, MOST_MB), f"peak memory {again.peak_mb} MB"


@every_lesson
def test_a_lesson_begins_with_its_times(name: str) -> None:
    """The title cell has the times computed today, and the set-up cell announced the stored cost."""
    notebook, cost = lessons.read_notebook(FOLDER / name), load_record(LESSONS[name].name).cost
    assert "laptop" in cost, "not measured yet: run `python -m companion refresh`"
    title = "".join(notebook["cells"][0]["source"]).splitlines()
    assert lessons.times(LESSONS[name], notebook).line() in title, "run `python -m companion refresh`"
    outputs = [output for cell in notebook["cells"] for output in cell.get("outputs", ())]
    shown = "".join("".join(output.get("data", {}).get("text/plain", "")) for output in outputs)
    assert f"about {cost['laptop']['cpu_seconds']} CPU seconds" in shown
    assert f"below {LESSONS[name].budget.memory_mb} MB" in shown


@every_lesson
def test_the_measured_memory_is_below_the_stated_bound(name: str) -> None:
    for scale, cost in load_record(LESSONS[name].name).cost.items():
        assert cost["peak_mb"] < min(LESSONS[name].budget.memory_mb, MOST_MB), scale


def test_every_lesson_has_its_notebook_and_every_notebook_its_lesson() -> None:
    assert {path.name for path in NOTEBOOKS} == {lessons.FIRST, *LESSONS}


def test_the_pages_made_from_data_are_up_to_date() -> None:
    stale = [path.name for path in pages.out_of_date(FOLDER)]
    assert not stale, f"{', '.join(stale)}: run `python -m companion pages`"


def test_the_first_page_shows_the_scoreboard_as_it_is() -> None:
    (cell,) = (c for c in lessons.read_notebook(FOLDER / lessons.FIRST)["cells"] if c["id"] == "scoreboard")
    fresh = ClaimTable(scoreboard.rows(FOLDER))
    shown = {mime: "".join(text) for mime, text in cell["outputs"][0]["data"].items()}
    assert shown == {"text/html": fresh.static_html(), "text/plain": fresh.static_text()}


@every_lesson
def test_a_lesson_links_to_the_glossary_and_the_notation(name: str) -> None:
    text = (FOLDER / name).read_text("utf-8")
    assert all(f"](../docs/{page}.md" in text for page in ("glossary", "notation"))
