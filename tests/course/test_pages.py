"""The pages made from data: scoreboard, claims of the article, notation, and the README's regions."""

from __future__ import annotations

from pathlib import Path

import pytest

from companion.course import pages, scoreboard
from companion.errors import CompanionError
from companion.lab import load_lesson

ARTICLE = """
[[article]]
says = "Five more is | five more."
claims = ["C1"]
against = ["C2"]
untested = "Six more."
"""
METHOD = '''"""Adding.

symbol   here     shape
x, y     value    (n,)      meters
|x|      plain

Nothing else.
"""
'''
FACTS = "<!-- facts:begin -->\n<!-- facts:end -->"
REGIONS = f"before\n{FACTS}\n<!-- scoreboard:begin -->\nyesterday\n<!-- scoreboard:end -->\nafter\n"


@pytest.fixture
def whole_course(executed_notebook: Path) -> Path:
    """The tiny course with all that the pages are made from; the folder of its notebooks."""
    root = executed_notebook.parents[1]
    toml = root / "companion/tiny/lesson.toml"
    toml.write_text(toml.read_text() + ARTICLE)
    (root / "companion/tiny/method.py").write_text(METHOD)
    (root / "README.md").write_text(REGIONS)
    return executed_notebook.parent


def test_pages_are_written_once_and_then_up_to_date(whole_course: Path) -> None:
    assert {path.name for path in pages.write(whole_course)} == {
        "scoreboard.md", "article.md", "notation.md", "README.md",
    }  # fmt: skip
    assert pages.write(whole_course) == []
    page = whole_course.parent / "docs/scoreboard.md"
    page.write_text(page.read_text().replace("fails", "holds"))
    assert list(pages.out_of_date(whole_course)) == [page]


def test_the_readme_shows_the_two_counts_and_each_paper_and_the_rest_stays(executed_notebook: Path) -> None:
    board = scoreboard.rows(executed_notebook.parent)
    once = pages.with_regions(REGIONS, board)
    assert once.startswith("before\n")
    assert once.endswith("\nafter\n")
    assert "yesterday" not in once
    assert "- Claims of the papers and of the Amazon Science article: 1 (1 hold, 0 fail, 0 open)." in once
    assert "- Questions of the course: 1 (0 hold, 1 fail, 0 open)." in once
    assert "| [Tiny](notebooks/99_tiny.ipynb) | 1 hold, 0 fail, 0 open |" in once
    assert "| Reproduced: five is five. |" in once
    assert "1 correctness checks" in once
    assert pages.with_regions(once, board) == once
    with pytest.raises(CompanionError, match="no place for the facts"):
        pages.with_regions("nothing", board)
    with pytest.raises(CompanionError, match="no place for the scoreboard"):
        pages.with_regions(FACTS, board)


def test_claims_that_do_not_hold_stand_first(executed_notebook: Path) -> None:
    page = pages.scoreboard_page(scoreboard.rows(executed_notebook.parent))
    first, everything = page.split("## All claims")
    assert "| C2 |" in first
    assert "| C1 |" not in first
    assert "[Tiny](../notebooks/99_tiny.ipynb) | C1 | claim of the paper |" in everything
    assert all(f"- {text}" in everything for text in load_lesson("tiny").deviations)


def test_a_statement_of_the_article_names_its_claims_with_their_verdicts(whole_course: Path) -> None:
    page = pages.article_page(scoreboard.rows(whole_course))
    assert r"| Five more is \| five more. | C1 holds | C2 fails | Six more. |" in page


def test_a_claim_that_does_not_exist_is_refused(whole_course: Path) -> None:
    toml = whole_course.parent / "companion/tiny/lesson.toml"
    toml.write_text(toml.read_text().replace('against = ["C2"]', 'against = ["C9"]'))
    with pytest.raises(CompanionError, match="names C9; there are C1"):
        load_lesson("tiny")


def test_a_legend_is_read_by_its_columns(whole_course: Path) -> None:
    assert pages.legend(load_lesson("tiny")) == [["x, y", "value", "(n,): meters"], ["|x|", "plain", ""]]
    assert r"| `\|x\|` | plain |  |" in pages.notation_page()
    method = whole_course.parent / "companion/tiny/method.py"
    method.write_text(METHOD.replace("|x|      plain", "         per day\n|x|      plain"))
    assert pages.legend(load_lesson("tiny"))[0] == ["x, y", "value", "(n,): meters per day"]


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("symbol   here", "sign     here", "begins without a table"),
        ("|x|      plain", "|x| plain", "has one column; set two blanks between columns"),
    ],
)
def test_a_legend_that_cannot_be_read_is_one_sentence(whole_course: Path, old: str, new: str, says: str) -> None:
    (whole_course.parent / "companion/tiny/method.py").write_text(METHOD.replace(old, new))
    with pytest.raises(CompanionError, match=says):
        pages.legend(load_lesson("tiny"))
