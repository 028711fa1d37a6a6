"""The scoreboard: every claim of every lesson, with the verdict in the executed notebook and in the record."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from companion.course import results, syllabus
from companion.course.places import write_whole
from companion.errors import CompanionError
from companion.lab import Claim, Lesson, judge, load_record, source_hash
from companion.lab.report import bound

BEGIN, END = "<!-- scoreboard:begin -->", "<!-- scoreboard:end -->"
HEADER = ("lesson", "claim", "what is claimed", "required bound", "this run", "recorded run")


@dataclass(frozen=True)
class Row:
    """One claim. No measured number stands here: those move between machines, verdicts must not."""

    lesson: Lesson
    claim: Claim
    run: str
    recorded: str

    def cells(self) -> list[str]:
        """The row's texts, in the order of the header."""
        aim = f"(sabotage of {self.claim.sabotages}: must fail) " if self.claim.sabotages else ""
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
    return [Row(lesson, claim, found.get(claim.id, "not run"), _recorded(lesson, claim)) for claim in lesson.claims]


def _recorded(lesson: Lesson, claim: Claim) -> str:
    record = load_record(lesson.name)
    run = record.runs.get("study")
    if run is None:
        return "none"
    verdict = judge(claim, run.measurements, "study").verdict
    return verdict if record.fresh("study", source_hash(lesson.name, "study")) else f"{verdict} (stale)"


def show(board: list[Row]) -> None:
    """Print the scoreboard to the terminal."""
    table = Table(*HEADER, title="Scoreboard", show_lines=True)
    for row in board:
        table.add_row(*row.cells())
    Console(markup=False, highlight=False).print(table if board else "There is no lesson yet.")


def markdown(board: list[Row]) -> str:
    """The scoreboard as a Markdown table, each lesson linked to its notebook."""
    lines = ["| " + " | ".join(HEADER) + " |", "|" + "---|" * len(HEADER)]
    for row in board:
        title, *rest = (cell.replace("|", "\\|") for cell in row.cells())
        lines.append("| " + " | ".join([f"[{title}](notebooks/{row.lesson.notebook})", *rest]) + " |")
    return "\n".join(lines)


def renewed(readme: str, board: list[Row]) -> str:
    """The text of a README with its scoreboard made anew."""
    head, begin, rest = readme.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise CompanionError(f"The README has no place for the scoreboard; put the lines {BEGIN} and {END} into it.")
    return f"{head}{BEGIN}\n{markdown(board)}\n{END}{tail}"


def write(readme: Path, board: list[Row]) -> None:
    """Renew the scoreboard in a README."""
    write_whole(readme, renewed(readme.read_text("utf-8"), board))
