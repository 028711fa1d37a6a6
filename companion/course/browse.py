"""Browse: the scoreboard with filters, and its surprises and deviations for whoever has not run the cell."""

from __future__ import annotations

import html
from collections.abc import Callable
from typing import Any

from companion.course.scoreboard import Row, counted, lessons_on
from companion.lab import Lesson
from companion.lab.display import html_table, text_table
from companion.lab.evidence import FAILS, HOLDS, OPEN
from companion.lab.evidence import bound
from companion.lab.display import WIDGET_VIEW

HEADER = ("lesson", "claim", "kind", "what is claimed", "required bound", "the paper", "this run", "recorded run")
SUMMARY = ("lesson", "hold", "fail", "open", "sabotages that fail, as they must", "what did not come out")
ALL, DID_NOT = "all", "did not come out"
KINDS = (ALL, "paired", "trend", "sabotage")
VERDICTS = (ALL, DID_NOT, HOLDS, FAILS, OPEN)


class Browse:
    """Three filters above the claims that pass them; below, how the lessons shown differ from their papers."""

    def __init__(self, board: list[Row]) -> None:
        import ipywidgets

        self.board = board
        self.lessons = lessons_on(board)
        names = {"lesson": [ALL, *(_label(lesson) for lesson in self.lessons)], "kind": KINDS, "verdict": VERDICTS}
        self.controls = {
            name: ipywidgets.Dropdown(options=options, description=name) for name, options in names.items()
        }
        self.table = ipywidgets.HTML()
        self.view = ipywidgets.VBox([ipywidgets.HBox(list(self.controls.values())), self.table])
        for control in self.controls.values():
            control.observe(self._renew, names="value")
        self._renew()

    def chosen(self) -> list[Row]:
        """The claims that pass the filters."""
        lesson, kind, verdict = (control.value for control in self.controls.values())
        passes: list[Callable[[Row], bool]] = [
            lambda row: lesson in (ALL, _label(row.lesson)),
            lambda row: kind in (ALL, row.kind),
            lambda row: verdict in (ALL, row.verdict) or (verdict == DID_NOT and row.surprising),
        ]
        return [row for row in self.board if all(passed(row) for passed in passes)]

    def _renew(self, _change: object = None) -> None:
        rows = self.chosen()
        shown = [lesson for lesson in self.lessons if self.controls["lesson"].value in (ALL, _label(lesson))]
        said = f"{len(rows)} of {len(self.board)} claims and sabotages"
        page = html_table(HEADER, [_cells(row) for row in rows], said) + "".join(map(_deviations, shown))
        self.table.value = f'<div style="line-height:1.35">{page}</div>'  # widgets space lines as buttons

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        live = self.view._repr_mimebundle_()
        return {WIDGET_VIEW: live[WIDGET_VIEW], "text/html": self.still_html(), "text/plain": self.still_text()}

    def summary(self) -> list[list[str]]:
        """A row a lesson: how many claims hold, fail and are open, and which did not come out."""
        return [_summed(lesson, [row for row in self.board if row.lesson == lesson]) for lesson in self.lessons]

    def still_text(self) -> str:
        """The summary as plain text."""
        return f"{counted(self.board)}.\n{text_table(SUMMARY, self.summary())}"

    def still_html(self) -> str:
        """The summary; behind lines that one can click, what did not come out, and how each lesson differs."""
        surprises = [_cells(row) for row in self.board if row.surprising]
        return (
            html_table(SUMMARY, self.summary(), f"{counted(self.board)}.")
            + _folded(f"What did not come out: {len(surprises)} claims", html_table(HEADER, surprises))
            + "".join(map(_deviations, self.lessons))
        )


def _label(lesson: Lesson) -> str:
    return f"{lesson.number} {lesson.title}"


def _cells(row: Row) -> list[str]:
    said = [row.claim.statement, bound(row.claim), row.claim.paper]
    return [_label(row.lesson), row.claim.id, row.kind, *said, row.run, row.recorded]


def _summed(lesson: Lesson, rows: list[Row]) -> list[str]:
    verdicts = [row.verdict for row in rows if not row.claim.ablates]
    broken = [row for row in rows if row.claim.ablates]
    counts = [str(verdicts.count(verdict)) for verdict in (HOLDS, FAILS, OPEN)]
    killed = f"{sum(not row.surprising for row in broken)} of {len(broken)}"
    return [_label(lesson), *counts, killed, " ".join(row.claim.id for row in rows if row.surprising) or "-"]


def _deviations(lesson: Lesson) -> str:
    items = "".join(f"<li>{html.escape(text)}</li>" for text in lesson.deviations)
    return _folded(f"{_label(lesson)}: {len(lesson.deviations)} differences from the paper", f"<ul>{items}</ul>")


def _folded(title: str, inside: str) -> str:
    return f"<details><summary>{html.escape(title)}</summary>{inside}</details>"
