"""The scoreboard: every claim of every lesson with its verdict in the executed notebook and in the stored results.

Claims of the papers (or of the Amazon Science article) and questions of the course are counted separately, ablation
tests apart from both, and each paper has one line that says how far it was reproduced.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from companion.course import lessons
from companion.course.lessons import Notebook
from companion.lab import Claim, Lesson, evaluate, load_record
from companion.lab.evidence import FAILS, HOLDS, OPEN, SOURCES, bound

NONE, NOT_RUN, NOT_STATED = "none", "not run", "not stated yet"
CLEAR = (HOLDS, FAILS, OPEN)
ABLATION = "ablation test"
HEADER = ("lesson", "id", "kind", "statement", "margin", "notebook", "stored results")
ARTICLE_HEADER = (
    "lesson", "statement of the article", "in favor, where they hold", "against, where they hold", "not tested",
)  # fmt: skip


@dataclass(frozen=True)
class Row:
    """One claim and its verdicts. No measured number stands here: those move between machines, verdicts must not."""

    lesson: Lesson
    claim: Claim
    notebook: str
    stored: str

    @property
    def kind(self) -> str:
        """ "claim of the paper", "claim of the Amazon Science article", "question of the course" or "ablation test"."""
        return ABLATION if self.claim.ablates else SOURCES[self.claim.source]

    @property
    def verdict(self) -> str:
        """The verdict of the stored results, or that of the notebook if nothing is stored."""
        return self.notebook if self.stored == NONE else self.stored

    @property
    def supported(self) -> bool:
        """True for a claim that holds, and for an ablation test whose claim no longer holds."""
        return self.verdict == (FAILS if self.claim.ablates else HOLDS)

    def in_words(self, verdict: str) -> str:
        """A verdict as a reader should take it: of an ablation test, that the claim no longer holds, as expected."""
        expected = self.claim.ablates and verdict == FAILS
        return f"{self.claim.ablates} no longer holds, as expected" if expected else verdict

    def cells(self) -> list[str]:
        """The row's texts, in the order of the header."""
        verdicts = [self.in_words(verdict) for verdict in (self.notebook, self.stored)]
        return [self.lesson.title, self.claim.id, self.kind, self.claim.statement, bound(self.claim), *verdicts]


def rows(folder: Path) -> list[Row]:
    """The scoreboard of the executed notebooks in a folder; nothing is run."""
    return [row for lesson in lessons.lessons() for row in _rows_of(lesson, folder / lesson.notebook)]


def _rows_of(lesson: Lesson, path: Path) -> list[Row]:
    found = verdicts(lessons.read_notebook(path)) if path.is_file() else {}
    study = load_record(lesson.name).runs.get("study")
    stored = {c.id: evaluate(c, study.measurements, "study").verdict if study else NONE for c in lesson.claims}
    return [Row(lesson, claim, found.get(claim.id, NOT_RUN), stored[claim.id]) for claim in lesson.claims]


# -------------------------------------------------------------------- counts, and a line for each paper


def lessons_on(board: Sequence[Row]) -> list[Lesson]:
    """The lessons of a board, in its order."""
    return list({row.lesson.name: row.lesson for row in board}.values())


def claims_of_others(board: Sequence[Row]) -> list[Row]:
    """The claims that the papers or the article make."""
    return [row for row in board if not row.claim.ablates and row.claim.source != "course"]


def questions(board: Sequence[Row]) -> list[Row]:
    """The questions that the course asks beyond the papers."""
    return [row for row in board if not row.claim.ablates and row.claim.source == "course"]


def counted(part: Sequence[Row]) -> str:
    """ "12 hold, 3 fail, 1 open"; other verdicts are named where they occur."""
    found = Counter(row.verdict for row in part)
    others = [f", {n} {verdict}" for verdict, n in found.items() if verdict not in CLEAR]
    return f"{found[HOLDS]} hold, {found[FAILS]} fail, {found[OPEN]} open" + "".join(others)


def summary(board: Sequence[Row]) -> list[str]:
    """The two counts and the ablation tests, a sentence each."""
    claims, ours, ablations = claims_of_others(board), questions(board), [row for row in board if row.claim.ablates]
    done = sum(row.supported for row in ablations)
    return [
        f"Claims of the papers and of the Amazon Science article: {len(claims)} ({counted(claims)}).",
        f"Questions of the course: {len(ours)} ({counted(ours)}).",
        f"Ablation tests: in {done} of {len(ablations)} the claim no longer holds, as expected.",
    ]


def ledger(board: Sequence[Row]) -> list[tuple[Lesson, list[str]]]:
    """For each paper: claims of others, questions of the course, ablation tests, and how far it was reproduced."""
    found = []
    for lesson in lessons_on(board):
        own = [row for row in board if row.lesson.name == lesson.name]
        ablations = [row for row in own if row.claim.ablates]
        done = f"{sum(row.supported for row in ablations)} of {len(ablations)}"
        counts = [counted(claims_of_others(own)), counted(questions(own)), done]
        found.append((lesson, [*counts, lesson.reproduction or NOT_STATED]))
    return found


def article_claims(board: Sequence[Row]) -> list[tuple[Lesson, list[str]]]:
    """What the article says of each paper: statement, claims in favor and against with verdicts, what is not tested."""
    said = {(row.lesson.name, row.claim.id): f"{row.claim.id} {row.verdict}" for row in board}

    def listed(lesson: Lesson, ids: Sequence[str]) -> str:
        return "; ".join(said.get((lesson.name, id), id) for id in ids)

    return [
        (lesson, [each.says, listed(lesson, each.claims), listed(lesson, each.against), each.untested])
        for lesson in lessons_on(board)
        for each in lesson.article
    ]


def show(board: Sequence[Row]) -> None:
    """Print the scoreboard to the terminal, a line a claim, the counts, and which verdicts differ from the stored."""
    console = Console(markup=False, highlight=False)
    if not board:
        console.print("There is no lesson yet.")
        return
    table = Table(title="Scoreboard", box=box.SIMPLE, expand=True)
    for name in ("id", "notebook", "stored"):
        table.add_column(name, min_width=len(name), no_wrap=True)
    table.add_column("statement", ratio=1, no_wrap=True)
    for lesson in lessons_on(board):
        table.add_row("", "", "", lesson.title, style="bold")
        for row in (row for row in board if row.lesson.name == lesson.name):
            prefix = f"(without the key component of {row.claim.ablates}) " if row.claim.ablates else ""
            table.add_row(row.claim.id, row.notebook, row.stored, prefix + row.claim.statement)
        table.add_section()
    console.print(table)
    odd = [f"{r.lesson.title} {r.claim.id}" for r in board if r.notebook in CLEAR and r.notebook != r.verdict]
    differ = (
        f"Other than in the stored results: {', '.join(odd)}." if odd else "All verdicts are as in the stored results."
    )
    console.print("\n".join([*summary(board), differ, "Full statements and margins: docs/scoreboard.md."]))


# -------------------------------------------------------------------- what an executed notebook says


def judgments(notebook: Notebook) -> list[dict[str, Any]]:
    """Every judgment in a notebook's outputs: lesson, claim, scale, verdict, findings."""
    outputs = [output for cell in notebook["cells"] for output in cell.get("outputs", [])]
    found = [output.get("metadata", {}).get("companion", {}) for output in outputs]
    return [judgment for judgment in found if "claim" in judgment]


def verdicts(notebook: Notebook) -> dict[str, str]:
    """Claim -> verdict."""
    return {judgment["claim"]: judgment["verdict"] for judgment in judgments(notebook)}


def summarize_verdicts(found: dict[str, str], lesson: Lesson | None, scale: str) -> str:
    """ "4 holds, 1 fails", and which verdicts differ from the expected ones."""
    counts = ", ".join(f"{n} {verdict}" for verdict, n in Counter(found.values()).items())
    return "; ".join(filter(None, [counts, *unexpected(found, lesson, scale)]))


def unexpected(found: dict[str, str], lesson: Lesson | None, scale: str) -> list[str]:
    """A sentence for each claim whose verdict is not the expected one of this scale."""
    expected = {c.id: c.expected[scale] for c in lesson.claims if scale in c.expected} if lesson else {}
    missing = [f"{id} was not evaluated" for id in expected if id not in found]
    return missing + [f"{id} {found[id]}, expected {e}" for id, e in expected.items() if found.get(id, e) != e]


def compare_runs(committed: list[dict[str, Any]], fresh: list[dict[str, Any]], lesson: Lesson) -> list[str]:
    """What differs between two runs of one notebook: verdicts, and means by more than each claim's tolerance."""
    now = {judgment["claim"]: judgment for judgment in fresh}
    missing = sorted({claim.id for claim in lesson.claims} - {judgment["claim"] for judgment in committed})
    problems = [f"{id}: the committed notebook holds no judgment of it" for id in missing]
    for then in committed:
        id, claim = then["claim"], lesson.claim(then["claim"])
        if id not in now:
            problems.append(f"{id}: the fresh run did not evaluate it")
            continue
        if now[id]["verdict"] != then["verdict"]:
            problems.append(f"{id}: committed verdict {then['verdict']!r}, fresh verdict {now[id]['verdict']!r}")
        for old, new in zip(then["findings"], now[id]["findings"], strict=True):
            if not _close(old["mean"], new["mean"], claim.tolerance):
                pair = f"{old['method']} vs. {old['baseline']}"
                numbers = f"committed {old['mean']}, fresh {new['mean']}, tolerance {claim.tolerance:g}"
                problems.append(f"{id}, {pair}: {numbers}")
    return problems


def _close(old: float | None, new: float | None, tolerance: float) -> bool:
    """True if both are numbers within the tolerance; None stands for NaN, which equals nothing."""
    return old is not None and new is not None and abs(new - old) <= tolerance
