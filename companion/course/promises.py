"""The promises: what the announcement of the papers says of each, in our words, and the claims that answer it."""

from __future__ import annotations

from companion.course.scoreboard import Row, lessons_on, linked, markdown_table
from companion.lab import Lesson

HEADER = ("lesson", "what is promised", "for it, where they hold", "against it, where they hold", "not tested here")
PAGE = """\
# What was promised, and what answers it

One article announced the ten papers. Beside each of its promises, in our words, stand the claims that answer it, with
their recorded verdicts: those that speak for it where they hold, those that speak against it where they hold, and what
no claim tests. What each claim says, and how large a difference it asks for, stands on the [scoreboard](scoreboard.md).

{table}
"""


def rows(board: list[Row]) -> list[tuple[Lesson, list[str]]]:
    """Each promise of each lesson on the board: what is promised, claims for and against, what is not tested."""
    said = {(row.lesson.name, row.claim.id): f"{row.claim.id} {row.verdict}" for row in board}
    return [
        (lesson, [p.says, _listed(lesson, p.claims, said), _listed(lesson, p.against, said), p.untested])
        for lesson in lessons_on(board)
        for p in lesson.promises
    ]


def _listed(lesson: Lesson, ids: tuple[str, ...], said: dict[tuple[str, str], str]) -> str:
    return "; ".join(said.get((lesson.name, id), id) for id in ids)


def page(board: list[Row]) -> str:
    """The page `docs/promises.md`."""
    table = [[linked(lesson, "../notebooks"), *cells] for lesson, cells in rows(board)]
    return PAGE.format(table=markdown_table(HEADER, table))
