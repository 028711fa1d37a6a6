"""The pages made from data: scoreboard, picture, promises, glossary, notation, the README's region."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest

from companion.course import pages, picture, promises, scoreboard, words
from companion.errors import CompanionError
from companion.lab import load_lesson

PROMISE = """
[[promises]]
says = "Five more is | five more."
claims = ["C1"]
against = ["C2"]
untested = "Six more."
"""
METHOD = '''"""Adding.

symbol   here     shape
x, y     value    (n,)      metres
|x|      plain

Nothing else.
"""
'''
BADGES = "<!-- badges:begin -->\n<!-- badges:end -->"
REGION = f"before\n{BADGES}\n<!-- scoreboard:begin -->\nyesterday\n<!-- scoreboard:end -->\nafter\n"


@pytest.fixture
def whole_course(executed_notebook: Path) -> Path:
    """The tiny course with all that the pages are made from; the folder of its notebooks."""
    root = executed_notebook.parents[1]
    toml = root / "companion/tiny/lesson.toml"
    toml.write_text(toml.read_text() + PROMISE)
    (root / "companion/tiny/method.py").write_text(METHOD)
    (root / "README.md").write_text(REGION)
    return executed_notebook.parent


def test_pages_are_written_once_and_then_fresh(whole_course: Path) -> None:
    assert {path.name for path in pages.write(whole_course)} == {
        "scoreboard.md", "scoreboard.svg", "badges.svg", "promises.md", "glossary.md", "notation.md", "README.md",
    }  # fmt: skip
    assert pages.write(whole_course) == []
    page = whole_course.parent / "docs/scoreboard.md"
    page.write_text(page.read_text().replace("fails", "holds"))
    assert list(pages.out_of_date(whole_course)) == [page]


def test_the_readme_region_is_renewed_and_nothing_else(executed_notebook: Path) -> None:
    board = scoreboard.rows(executed_notebook.parent)
    once = pages.renewed(REGION, board)
    assert once.startswith("before\n")
    assert once.endswith("\nafter\n")
    assert "yesterday" not in once
    assert "1 lessons, 2 claims: 1 hold, 1 fail" in once
    assert pages.renewed(once, board) == once
    assert "exact checks: 1](docs/badges.svg)" in once
    with pytest.raises(CompanionError, match="no place for the badges"):
        pages.renewed("nothing", board)
    with pytest.raises(CompanionError, match="no place for the scoreboard"):
        pages.renewed(BADGES, board)


def test_what_did_not_come_out_stands_first(executed_notebook: Path) -> None:
    page = scoreboard.page(scoreboard.rows(executed_notebook.parent))
    first, everything = page.split("## All claims")
    assert "| C2 |" in first
    assert "| C1 |" not in first
    assert "[Tiny](../notebooks/99_tiny.ipynb) | C1 |" in everything
    assert all(f"- {text}" in everything for text in load_lesson("tiny").deviations)


def test_the_picture_says_in_words_what_it_shows(executed_notebook: Path) -> None:
    board = scoreboard.rows(executed_notebook.parent)
    root = ElementTree.fromstring(picture.svg(board))
    said = [title.text or "" for title in root.iter("{http://www.w3.org/2000/svg}title")]
    assert [text.split(":")[0] for text in said[1:]] == ["C1, holds", "C2, fails"]
    assert root.find("{http://www.w3.org/2000/svg}desc").text == picture.description(board)


def test_a_promise_names_its_claims_with_their_verdicts(whole_course: Path) -> None:
    page = promises.page(scoreboard.rows(whole_course))
    assert r"| Five more is \| five more. | C1 holds | C2 fails | Six more. |" in page


def test_a_promise_of_a_claim_that_is_not_there_is_refused(whole_course: Path) -> None:
    toml = whole_course.parent / "companion/tiny/lesson.toml"
    toml.write_text(toml.read_text().replace('against = ["C2"]', 'against = ["C9"]'))
    with pytest.raises(CompanionError, match="a promise names C9; there are C1"):
        load_lesson("tiny")


def test_a_legend_is_read_by_its_columns(whole_course: Path) -> None:
    assert words.legend(load_lesson("tiny")) == [["x, y", "value", "(n,): metres"], ["|x|", "plain", ""]]
    assert r"| `\|x\|` | plain |  |" in words.notation()


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("symbol   here", "sign     here", "begins without a table"),
        ("x, y     value", "x, y   value", "columns of"),
    ],
)
def test_a_legend_that_cannot_be_read_is_one_sentence(whole_course: Path, old: str, new: str, says: str) -> None:
    (whole_course.parent / "companion/tiny/method.py").write_text(METHOD.replace(old, new))
    with pytest.raises(CompanionError, match=says):
        words.legend(load_lesson("tiny"))


def test_a_word_is_found_at_the_beginning_of_a_word_alone() -> None:
    term = words.Term("arm", "One method in one setting.", r"arms?\b")
    assert term.occurs("Two Arms.")
    assert not term.occurs("It is warm, and harmful.")


def test_a_word_of_one_lesson_waits_for_a_second(whole_course: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(words, "terms", lambda: [words.Term("tiny", "Very small.")])
    assert [lesson.name for lessons in words.used(whole_course).values() for lesson in lessons] == ["tiny"]
    assert "Very small." not in words.glossary(whole_course)
    monkeypatch.setattr(words, "FEWEST_LESSONS", 1)
    assert "| **tiny** | Very small. | [99](../notebooks/99_tiny.ipynb) |" in words.glossary(whole_course)
