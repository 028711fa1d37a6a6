"""The scoreboard: every claim of every lesson, with the verdict in the executed notebook and in the record.

One page holds all of it: what did not come out, all claims, and how each lesson differs from its paper.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from companion.course import results, lessons as syllabus
from companion.lab import Claim, Lesson, judge, load_record
from companion.lab.evidence import FAILS, HOLDS, OPEN
from companion.lab.evidence import bound

NONE, NOT_RUN = "none", "not run"
JUDGED = (HOLDS, FAILS, OPEN)
HEADER = ("lesson", "claim", "what is claimed", "required bound", "this run", "recorded run")


@dataclass(frozen=True)
class Row:
    """One claim. No measured number stands here: those move between machines, verdicts must not."""

    lesson: Lesson
    claim: Claim
    run: str
    recorded: str

    @property
    def kind(self) -> str:
        """ "paired", "trend" or "sabotage"."""
        return "sabotage" if self.claim.ablates else self.claim.kind

    @property
    def verdict(self) -> str:
        """The best evidence there is: the recorded verdict, or that of this run if nothing is recorded."""
        return self.run if self.recorded == NONE else self.recorded

    @property
    def surprising(self) -> bool:
        """True for a claim that does not stand here; a sabotage that fails does what it must."""
        return self.verdict != (FAILS if self.claim.ablates else HOLDS)

    def cells(self) -> list[str]:
        """The row's texts, in the order of the header."""
        aim = f"(sabotage of {self.claim.ablates}: must fail) " if self.claim.ablates else ""
        return [
            self.lesson.title,
            self.claim.id,
            aim + self.claim.statement,
            bound(self.claim),
            self.run,
            self.recorded,
        ]


def rows(folder: Path) -> list[Row]:
    """The scoreboard of the executed notebooks in a folder; nothing is run."""
    return [row for lesson in syllabus.lessons() for row in _rows_of(lesson, folder / lesson.notebook)]


def _rows_of(lesson: Lesson, path: Path) -> list[Row]:
    found = results.verdicts(results.read(path)) if path.is_file() else {}
    recorded = _recorded(lesson)
    return [Row(lesson, claim, found.get(claim.id, NOT_RUN), recorded[claim.id]) for claim in lesson.claims]


def _recorded(lesson: Lesson) -> dict[str, str]:
    record = load_record(lesson.name)
    run = record.runs.get("study")
    if run is None:
        return {claim.id: NONE for claim in lesson.claims}
    return {claim.id: judge(claim, run.measurements, "study").verdict for claim in lesson.claims}


def lessons_on(board: list[Row]) -> list[Lesson]:
    """The lessons of a board, in its order."""
    return list({row.lesson.name: row.lesson for row in board}.values())


def counted(board: list[Row]) -> str:
    """ "9 lessons, 89 claims: 65 hold, 20 fail, 4 are open; ..."."""
    verdicts = [row.verdict for row in board if not row.claim.ablates]
    lessons, broken = len(lessons_on(board)), [row for row in board if row.claim.ablates]
    said = f"{verdicts.count(HOLDS)} hold, {verdicts.count(FAILS)} fail, {verdicts.count(OPEN)} are open"
    killed = sum(not row.surprising for row in broken)
    sabotages = f"{killed} of {len(broken)} sabotages make a claim fail, as they must"
    return f"{lessons} lessons, {len(verdicts)} claims: {said}; {sabotages}"


def show(board: list[Row]) -> None:
    """Print the scoreboard to the terminal, a line a claim; then which verdicts differ from the recorded ones."""
    console = Console(markup=False, highlight=False)
    if not board:
        console.print("There is no lesson yet.")
        return
    table = Table(title="Scoreboard", box=box.SIMPLE, expand=True)
    for name in ("claim", "this run", "recorded"):
        table.add_column(name, min_width=len(name), no_wrap=True)
    table.add_column("what is claimed", ratio=1, no_wrap=True)
    for lesson in lessons_on(board):
        table.add_row("", "", "", lesson.title, style="bold")
        for row in (row for row in board if row.lesson == lesson):
            _, id, claimed, _, run, recorded = row.cells()
            table.add_row(id, run, recorded, claimed)
        table.add_section()
    console.print(table)
    odd = [f"{row.lesson.title} {row.claim.id}" for row in board if row.run in JUDGED and row.run != row.verdict]
    said = f"Other than recorded: {', '.join(odd)}" if odd else "No verdict of this run is another than recorded"
    console.print(f"{counted(board)}.\n{said}.\nWhole sentences and bounds: docs/scoreboard.md.")


def markdown(board: list[Row], notebooks: str = "notebooks") -> str:
    """The scoreboard as a Markdown table, each lesson linked to its notebook."""
    return markdown_table(HEADER, [[linked(row.lesson, notebooks), *row.cells()[1:]] for row in board])


def linked(lesson: Lesson, notebooks: str) -> str:
    """A lesson's title as a link to its notebook."""
    return f"[{lesson.title}]({notebooks}/{lesson.notebook})"


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [[cell.replace("|", "\\|") for cell in row] for row in (header, *rows)]
    lines.insert(1, ["---"] * len(header))
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


PAGE = """\
# Every claim of the course

{counted}. [What did not come out](#what-did-not-come-out) · [All claims](#all-claims) ·
[How each lesson differs from its paper](#how-each-lesson-differs-from-its-paper)

*This run* is the committed run of each notebook at laptop scale, *recorded run* the long one of ten seeds or more. A
sabotage takes the key ingredient out, and must fail. What was promised of the papers, and which claims answer:
[promises](promises.md).

## What did not come out

Claims whose recorded verdict is not *holds*, beside what the paper has. The lesson says why it may be so.

{surprises}

## All claims

{everything}

## How each lesson differs from its paper

{deviations}
"""


def page(board: list[Row]) -> str:
    """The page `docs/scoreboard.md`."""
    header = ("lesson", "claim", "what is claimed", "what the paper has", "verdict")
    surprises = [
        [linked(row.lesson, "../notebooks"), row.claim.id, row.claim.statement, row.claim.paper, row.verdict]
        for row in board
        if row.surprising
    ]
    lessons = lessons_on(board)
    texts = [f"### {lesson.title}\n\n" + "\n".join(f"- {text}" for text in lesson.deviations) for lesson in lessons]
    return PAGE.format(
        counted=counted(board),
        surprises=markdown_table(header, surprises),
        everything=markdown(board, "../notebooks"),
        deviations="\n\n".join(texts),
    )
