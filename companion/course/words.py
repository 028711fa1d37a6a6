"""The glossary and the notation: words that two lessons or more use, and the symbols of every lesson."""

from __future__ import annotations

import ast
import re
import tomllib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from companion.course import results, lessons as syllabus
from companion.course.scoreboard import linked, markdown_table
from companion.errors import CompanionError
from companion.lab import Lesson

FEWEST_LESSONS = 2
LEGEND = re.compile(r"^symbol +\S.* shape\b.*$", re.MULTILINE)
GLOSSARY = """\
# Glossary

Words that two lessons or more use, a sentence each, and where they occur. The symbols of the papers stand on the page
[notation](notation.md).

{table}
"""
NOTATION = """\
# Notation

Every lesson keeps its paper's symbols, and its code says them in words. The tables are those at the top of each
lesson's `method.py`; the words stand in the [glossary](glossary.md).

## One symbol, several meanings

{shared}

{tables}
"""


@dataclass(frozen=True)
class Term:
    """A word, what it means in one sentence, and the pattern that finds it in prose (the word itself, if none)."""

    name: str
    says: str
    found_by: str = ""

    def occurs(self, prose: str) -> bool:
        """True if the prose uses the word, at the beginning of a word and whatever its case."""
        return bool(re.search(rf"\b(?:{self.found_by or re.escape(self.name)})", prose, re.IGNORECASE))


def terms() -> list[Term]:
    """The words of `glossary.toml`, by the alphabet."""
    raw = tomllib.loads(Path(__file__).with_name("glossary.toml").read_text("utf-8"))
    return sorted((Term(**term) for term in raw["terms"]), key=lambda term: term.name.lower())


def used(folder: Path) -> dict[Term, list[Lesson]]:
    """Which lessons' prose uses which term."""
    prose = [(lesson, _prose(folder / lesson.notebook)) for lesson in syllabus.lessons()]
    return {term: [lesson for lesson, text in prose if term.occurs(text)] for term in terms()}


def _prose(path: Path) -> str:
    cells = results.read(path)["cells"] if path.is_file() else []
    return "\n".join(" ".join("".join(c["source"]).split()) for c in cells if c["cell_type"] == "markdown")


def glossary(folder: Path) -> str:
    """The page `docs/glossary.md`."""
    rows = [
        [f"**{term.name}**", term.says, ", ".join(_number(lesson) for lesson in lessons)]
        for term, lessons in used(folder).items()
        if len(lessons) >= FEWEST_LESSONS
    ]
    return GLOSSARY.format(table=markdown_table(("word", "what it means", "lessons"), rows))


def _number(lesson: Lesson) -> str:
    return f"[{lesson.number}](../notebooks/{lesson.notebook})"


def notation() -> str:
    """The page `docs/notation.md`."""
    legends = [(lesson, legend(lesson)) for lesson in syllabus.lessons()]
    tables = [
        f"## {lesson.number} · {lesson.title}\n\nNotebook: {linked(lesson, '../notebooks')}. "
        f"Code: `companion/{lesson.name}/method.py`.\n\n"
        + markdown_table(("symbol", "in the code", "shape and meaning"), [[_code(row[0]), *row[1:]] for row in rows])
        for lesson, rows in legends
    ]
    shared = [[_code(symbol), *cells] for symbol, cells in _shared(legends)]
    header = ("symbol", "means", "lesson")
    return NOTATION.format(shared=markdown_table(header, shared), tables="\n\n".join(tables))


def _shared(legends: list[tuple[Lesson, list[list[str]]]]) -> list[tuple[str, list[str]]]:
    """Symbols that two lessons or more use: one entry a lesson, symbols by the alphabet."""
    meanings: dict[str, dict[str, str]] = defaultdict(dict)
    for lesson, rows in legends:
        for symbols, here, shape in rows:
            for symbol in _split(symbols):
                meanings[symbol][_number(lesson)] = f"{here}: {shape}" if shape else here
    several = {symbol: found for symbol, found in meanings.items() if len(found) >= FEWEST_LESSONS}
    return [
        (symbol, [meaning, number])
        for symbol, found in sorted(several.items(), key=lambda item: (item[0].lower(), item[0]))
        for number, meaning in found.items()
    ]


def _split(symbols: str) -> list[str]:
    """ "k, c" and "A = Y" are two symbols each; "x_1 .. x_K" and "f(x, y)" are one."""
    return [symbols] if "(" in symbols or ".." in symbols else [s.strip() for s in re.split(r"[,=]", symbols)]


def _code(symbol: str) -> str:
    return f"`{symbol}`"


def legend(lesson: Lesson) -> list[list[str]]:
    """The rows of the table symbol, identifier, shape in the docstring of a lesson's `method.py`."""
    text = ast.get_docstring(ast.parse((lesson.folder / "method.py").read_text("utf-8"))) or ""
    head = LEGEND.search(text)
    if head is None:
        raise CompanionError(f"method.py of {lesson.name!r} begins without a table symbol, identifier, shape.")
    at = [0, *(word.start() for word in re.finditer(r"(?<= )\S+", head[0]))]
    columns = at[0], at[1], head[0].index("shape", at[1])
    lines = text[head.end() + 1 :].split("\n\n")[0].splitlines()
    return [_cells(line, columns, lesson) for line in lines]


def _cells(line: str, columns: Sequence[int], lesson: Lesson) -> list[str]:
    if any(column <= len(line) and line[column - 1] != " " for column in columns[1:] if line[column:].strip()):
        raise CompanionError(f"method.py of {lesson.name!r}: the columns of {line!r} are not those of the head.")
    ends = [*columns[1:], None]
    cells = [line[start:end].strip() for start, end in zip(columns, ends, strict=True)]
    return [re.sub(" {2,}", ": ", cell) for cell in cells]
