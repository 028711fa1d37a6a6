"""The pages that are made from data: scoreboard, promises, glossary, notation, and the README's two pictures."""

from __future__ import annotations

from pathlib import Path

from companion.course import doctor, picture, promises, scoreboard, lessons as syllabus, words
from companion.course.lessons import repository, write_whole
from companion.errors import CompanionError

README = "README.md"


def made(notebooks: Path) -> dict[Path, str]:
    """File -> text of every page, as the lessons, their records and the executed notebooks say now."""
    docs, readme = repository() / "docs", repository() / README
    before, board = _read(readme), scoreboard.rows(notebooks)
    return {
        docs / "scoreboard.md": scoreboard.page(board),
        docs / "scoreboard.svg": picture.svg(board),
        docs / "badges.svg": picture.badges(facts()),
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


def facts() -> list[tuple[str, str]]:
    """What the badges say: a name and a value each."""
    lessons = syllabus.lessons()
    checks = sum(len(lesson.checks) for lesson in lessons)
    return [
        ("Python", f"{'.'.join(map(str, doctor.PYTHON))} or newer"),
        ("licence", "Apache-2.0"),
        ("GPU", "none needed"),
        ("tests", "run without a network"),
        ("exact checks", str(checks)),
    ]


def renewed(readme: str, board: list[scoreboard.Row]) -> str:
    """The text of a README with its two pictures, and the sentences that stand in for them, made anew."""
    said = "; ".join(f"{name}: {value}" for name, value in facts())
    readme = _region(readme, "badges", f"![{said}](docs/badges.svg)")
    shown = f"[![{picture.description(board)}](docs/scoreboard.svg)](docs/scoreboard.md)"
    return _region(readme, "scoreboard", shown)


def _region(text: str, name: str, content: str) -> str:
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    head, found, rest = text.partition(begin)
    _, closed, tail = rest.partition(end)
    if not found or not closed:
        raise CompanionError(f"The README has no place for the {name}; put the lines {begin} and {end} into it.")
    return f"{head}{begin}\n{content}\n{end}{tail}"
