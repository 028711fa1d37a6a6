"""The pages that are made from data: scoreboard and its picture, promises, glossary, notation, the README's picture."""

from __future__ import annotations

from pathlib import Path

from companion.course import picture, promises, scoreboard, words
from companion.course.places import repository, write_whole
from companion.errors import CompanionError

README = "README.md"
BEGIN, END = "<!-- scoreboard:begin -->", "<!-- scoreboard:end -->"


def made(notebooks: Path) -> dict[Path, str]:
    """File -> text of every page, as the lessons, their records and the executed notebooks say now."""
    docs, readme = repository() / "docs", repository() / README
    before, board = _read(readme), scoreboard.rows(notebooks)
    return {
        docs / "scoreboard.md": scoreboard.page(board),
        docs / "scoreboard.svg": picture.svg(board),
        docs / "promises.md": promises.page(board),
        docs / "glossary.md": words.glossary(notebooks),
        docs / "notation.md": words.notation(),
        readme: renewed(before, board),
    }


def write(notebooks: Path) -> list[Path]:
    """Write the pages that are out of date; returns which."""
    stale = out_of_date(notebooks)
    for path, text in stale.items():
        write_whole(path, text)
    return list(stale)


def out_of_date(notebooks: Path) -> dict[Path, str]:
    """The pages that do not read as they should, with the text that they should have."""
    return {path: text for path, text in made(notebooks).items() if not path.is_file() or _read(path) != text}


def _read(path: Path) -> str:
    return path.read_text("utf-8")


def renewed(readme: str, board: list[scoreboard.Row]) -> str:
    """The text of a README with its picture of the scoreboard, and the sentence that stands in for it, made anew."""
    head, begin, rest = readme.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise CompanionError(f"The README has no place for the scoreboard; put the lines {BEGIN} and {END} into it.")
    shown = f"[![{picture.description(board)}](docs/scoreboard.svg)](docs/scoreboard.md)"
    return f"{head}{BEGIN}\n{shown}\n{END}{tail}"
