"""Every committed notebook: keeps the contract, runs at ci scale, and gives at laptop scale what is committed."""

from __future__ import annotations

from pathlib import Path

import pytest

from companion.course import contract, pages, lessons as places, results, runner, scoreboard, lessons as syllabus, words
from companion.course.browse import Browse
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
    stated = LESSONS[path.name].budget.memory_mb if path.name in LESSONS else MOST_MB
    assert again.peak_mb < min(stated, MOST_MB), f"peak memory {again.peak_mb} MB"


@pytest.mark.parametrize("name", sorted(LESSONS))
def test_a_lesson_begins_with_what_it_costs(name: str) -> None:
    """The first cell, and what the set-up said when it was run, are those of lesson.toml."""
    cells, budget = results.read(FOLDER / name)["cells"], LESSONS[name].budget
    title = " ".join("".join(cells[0]["source"]).split())
    for part in (
        f"{budget.minutes} minutes to", f"{budget.laptop_cpu_s} CPU seconds to", f"below {budget.memory_mb:,} MB of",
    ):  # fmt: skip
        assert part in title
    said = "".join(text for cell in cells for output in cell.get("outputs", ()) for text in _plain(output))
    assert f"about {budget.laptop_cpu_s} CPU seconds" in said
    assert f"below {budget.memory_mb} MB" in said


def _plain(output: dict) -> list[str]:
    return output.get("data", {}).get("text/plain", [])


def test_every_lesson_has_its_notebook_and_every_notebook_its_lesson() -> None:
    assert {path.name for path in NOTEBOOKS} == {places.FIRST, *LESSONS}


def test_the_pages_made_from_data_are_fresh() -> None:
    stale = [path.name for path in pages.out_of_date(FOLDER)]
    assert not stale, f"{', '.join(stale)}: run `python -m companion pages`"


def test_the_first_page_shows_the_scoreboard_as_it_is() -> None:
    (cell,) = (c for c in results.read(FOLDER / places.FIRST)["cells"] if c["id"] == "scoreboard")
    fresh = Browse(scoreboard.rows(FOLDER))
    shown = {mime: "".join(text) for mime, text in cell["outputs"][0]["data"].items()}
    assert shown == {"text/html": fresh.still_html(), "text/plain": fresh.still_text()}


def test_every_word_of_the_glossary_is_used() -> None:
    unused = [term.name for term, lessons in words.used(FOLDER).items() if not lessons]
    assert not unused, f"{', '.join(unused)}: drop it, or give the pattern that finds it"


@pytest.mark.parametrize("name", sorted(LESSONS))
def test_a_lesson_links_to_the_words_and_the_symbols(name: str) -> None:
    text = (FOLDER / name).read_text("utf-8")
    assert all(f"](../docs/{page}.md)" in text for page in ("glossary", "notation"))
