"""Pages made from data: scoreboard, claims of the article and notation in `docs/`, and two regions of the README."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from companion.course import doctor, lessons, scoreboard
from companion.course.scoreboard import Row
from companion.errors import CompanionError
from companion.lab import Lesson

README = "README.md"
NOTEBOOKS = "../notebooks"  # as seen from docs/
LEGEND = re.compile(r"^symbol +\S.* shape\b.*$", re.MULTILINE)
LEDGER = ("lesson", "claims of the paper and the article", "questions of the course", "ablation tests", "result")
SCOREBOARD = """\
# Scoreboard

{summary}

[Result by paper](#result-by-paper) · [Claims that do not hold](#claims-that-do-not-hold) · [All claims](#all-claims) ·
[Differences from the papers](#differences-from-the-papers)

*Notebook* is the verdict of the committed notebook at laptop scale; *stored results* are those of ten seeds or more. A
claim holds if its 95 % interval lies above its margin, fails if it lies below, and is open otherwise. In an ablation
test the key component of a method is removed, and the claim should no longer hold. What the Amazon Science article says
of the papers, and the claims that answer it: [claims of the article](article.md).

## Result by paper

{ledger}

## Claims that do not hold

Claims whose verdict in the stored results is not *holds*, beside the statement in the paper. The lesson discusses why.

{negative}

## All claims

{everything}

## Differences from the papers

{deviations}
"""
ARTICLE = """\
# What the article says, and the claims that answer it

One article of Amazon Science announced the ten papers. The table lists its statements in our words. Each one is
answered by claims with their verdicts in the stored results. Some speak in favor of the statement where they
hold, some against it. The last column names what no claim tests. Statements and margins of the claims:
[scoreboard](scoreboard.md).

{table}
"""
NOTATION = """\
# Notation

Each lesson keeps the symbols of its paper, and its code spells them out. The tables are those at the top of each
lesson's `method.py`. Terms are explained in the [glossary](glossary.md).

## Symbols with several meanings

{shared}

{tables}
"""


def texts(notebooks: Path) -> dict[Path, str]:
    """File -> text of every page, as lessons, stored results and executed notebooks are now."""
    docs, readme = lessons.repository() / "docs", lessons.repository() / README
    before, board = readme.read_text("utf-8"), scoreboard.rows(notebooks)
    return {
        docs / "scoreboard.md": scoreboard_page(board),
        docs / "article.md": article_page(board),
        docs / "notation.md": notation_page(),
        readme: with_regions(before, board),
    }


def write(notebooks: Path) -> list[Path]:
    """Write the pages that are out of date; returns which."""
    stale = out_of_date(notebooks)
    for path, text in stale.items():
        lessons.write_whole(path, text)
    return list(stale)


def out_of_date(notebooks: Path) -> dict[Path, str]:
    """The pages that do not read as they should, with the text that they should have."""
    wanted = texts(notebooks)
    return {path: text for path, text in wanted.items() if not path.is_file() or path.read_text("utf-8") != text}


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [[cell.replace("|", "\\|") for cell in row] for row in (header, *rows)]
    lines.insert(1, ["---"] * len(header))
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def linked(lesson: Lesson, notebooks: str = NOTEBOOKS) -> str:
    """A lesson's title as a link to its notebook."""
    return f"[{lesson.title}]({notebooks}/{lesson.notebook})"


# -------------------------------------------------------------------- scoreboard, article, README


def claims_table(board: Sequence[Row], notebooks: str = "notebooks") -> str:
    """All claims as a Markdown table, each lesson linked to its notebook."""
    return markdown_table(scoreboard.HEADER, [[linked(row.lesson, notebooks), *row.cells()[1:]] for row in board])


def ledger_table(board: Sequence[Row], notebooks: str) -> str:
    """The two counts, the ablation tests and the result of each paper, as a Markdown table."""
    return markdown_table(LEDGER, [[linked(lesson, notebooks), *cells] for lesson, cells in scoreboard.ledger(board)])


def scoreboard_page(board: Sequence[Row]) -> str:
    """The page `docs/scoreboard.md`."""
    negative = [
        [linked(row.lesson), row.claim.id, row.kind, row.claim.statement, row.claim.paper, row.verdict]
        for row in board
        if not row.supported
    ]
    found = scoreboard.lessons_on(board)
    deviations = [f"### {lesson.title}\n\n" + "\n".join(f"- {text}" for text in lesson.deviations) for lesson in found]
    return SCOREBOARD.format(
        summary="\n".join(f"- {sentence}" for sentence in scoreboard.summary(board)),
        ledger=ledger_table(board, NOTEBOOKS),
        negative=markdown_table(("lesson", "id", "kind", "statement", "in the paper", "verdict"), negative),
        everything=claims_table(board, NOTEBOOKS),
        deviations="\n\n".join(deviations),
    )


def article_page(board: Sequence[Row]) -> str:
    """The page on the claims of the article."""
    table = [[linked(lesson), *cells] for lesson, cells in scoreboard.article_claims(board)]
    return ARTICLE.format(table=markdown_table(scoreboard.ARTICLE_HEADER, table))


def with_regions(readme: str, board: Sequence[Row]) -> str:
    """The text of a README with its two regions written again: facts about the course, and the scoreboard's summary."""
    checks = sum(len(lesson.checks) for lesson in lessons.lessons())
    python = ".".join(map(str, doctor.PYTHON))
    facts = f"Python {python} or newer, no GPU needed, {checks} correctness checks, tests run with the network denied."
    readme = _region(readme, "facts", facts)
    counts = "\n".join(f"- {sentence}" for sentence in scoreboard.summary(board))
    return _region(readme, "scoreboard", f"{counts}\n\n{ledger_table(board, 'notebooks')}")


def _region(text: str, name: str, content: str) -> str:
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    head, found, rest = text.partition(begin)
    _, closed, tail = rest.partition(end)
    if not found or not closed:
        raise CompanionError(f"The README has no place for the {name}; put the lines {begin} and {end} into it.")
    return f"{head}{begin}\n{content}\n{end}{tail}"


# -------------------------------------------------------------------- notation


def notation_page() -> str:
    """The page `docs/notation.md`."""
    legends = [(lesson, legend(lesson)) for lesson in lessons.lessons()]
    header = ("symbol", "in the code", "shape and meaning")
    tables = [
        f"## {lesson.number} · {lesson.title}\n\nNotebook: {linked(lesson)}. "
        f"Code: `companion/{lesson.name}/method.py`.\n\n"
        + markdown_table(header, [[f"`{symbol}`", *cells] for symbol, *cells in rows])
        for lesson, rows in legends
    ]
    shared = [[f"`{symbol}`", meaning, lesson] for symbol, meaning, lesson in _shared(legends)]
    return NOTATION.format(shared=markdown_table(("symbol", "means", "lesson"), shared), tables="\n\n".join(tables))


def _shared(legends: list[tuple[Lesson, list[list[str]]]]) -> list[tuple[str, str, str]]:
    """Symbols that several lessons use: symbol, meaning and lesson, in alphabetical order of the symbols."""
    meanings: dict[str, dict[str, str]] = defaultdict(dict)
    for lesson, rows in legends:
        for symbols, here, shape in rows:
            # "k, c" and "A = Y" are two symbols each; "x_1 .. x_K" and "f(x, y)" are one
            whole = "(" in symbols or ".." in symbols
            for symbol in [symbols] if whole else [part.strip() for part in re.split(r"[,=]", symbols)]:
                number = f"[{lesson.number}]({NOTEBOOKS}/{lesson.notebook})"
                meanings[symbol][number] = f"{here}: {shape}" if shape else here
    several = sorted((symbol for symbol, found in meanings.items() if len(found) > 1), key=lambda s: (s.lower(), s))
    return [(symbol, meaning, number) for symbol in several for number, meaning in meanings[symbol].items()]


def legend(lesson: Lesson) -> list[list[str]]:
    """The rows of the table symbol, identifier, shape in the docstring of a lesson's `method.py`.

    Columns are two blanks or more apart; what stands behind the shape is its meaning. An indented line continues a row.
    """
    text = ast.get_docstring(ast.parse((lesson.folder / "method.py").read_text("utf-8"))) or ""
    head = LEGEND.search(text)
    if head is None:
        raise CompanionError(f"method.py of {lesson.name!r} begins without a table symbol, identifier, shape.")
    rows: list[list[str]] = []
    for line in text[head.end() + 1 :].split("\n\n")[0].splitlines():
        cells = re.split(" {2,}", line.strip(), maxsplit=2)
        if line.startswith(" ") and rows:
            rows[-1][2] += " " + " ".join(cells)
        elif len(cells) < 2:
            raise CompanionError(
                f"method.py of {lesson.name!r}: {line!r} has one column; set two blanks between columns."
            )
        else:
            rows.append([cells[0], cells[1], re.sub(" {2,}", ": ", cells[2]) if len(cells) > 2 else ""])
    return rows
