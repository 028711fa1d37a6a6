"""What the first page shows: lessons with their times, ideas, routes, the scoreboard with filters, and progress."""

from __future__ import annotations

import html
import importlib
import re
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from companion.course import lessons, scoreboard
from companion.course.lessons import Times
from companion.course.pages import LEDGER, markdown_table
from companion.course.scoreboard import ABLATION, Row
from companion.lab import Lesson
from companion.lab.display import WIDGET_VIEW, folded, html_table, show_output, show_table, text_table
from companion.lab.evidence import FAILS, HOLDS, OPEN, SOURCES, bound
from companion.lab.exercises import NOT_ATTEMPTED, NOT_YET, RIGHT
from companion.lab.lesson import PACKAGE

FEWEST_LESSONS = 2
LESSONS_HEADER = ("no.", "lesson", "summary", "prerequisites", "to read", "to run", "exercises", "memory")
CLAIMS_HEADER = ("lesson", "id", "kind", "statement", "margin", "in the paper", "notebook", "stored results")
PROGRESS_HEADER = ("no.", "lesson", RIGHT, NOT_YET, NOT_ATTEMPTED)
EXERCISE_STATE = re.compile(rf"^(\w+)  ({RIGHT}|{NOT_YET}|{NOT_ATTEMPTED})\b", re.MULTILINE)
ALL, NOT_SUPPORTED = "all", "does not hold"
KINDS = (ALL, *SOURCES.values(), ABLATION)
VERDICTS = (ALL, NOT_SUPPORTED, HOLDS, FAILS, OPEN)


# -------------------------------------------------------------------- lessons, ideas, routes


@dataclass(frozen=True)
class Route:
    """A way through the course; a lesson names in its `routes` those that it belongs to, and `every` takes them all."""

    name: str
    title: str
    description: str
    every: bool = False

    def lessons(self) -> list[Lesson]:
        """The lessons of the route, by number."""
        return [lesson for lesson in lessons.lessons() if self.every or self.name in lesson.routes]


def routes() -> list[Route]:
    """The routes of `routes.toml`, in their order."""
    raw = tomllib.loads(Path(__file__).with_name("routes.toml").read_text("utf-8"))
    return [Route(**route) for route in raw["routes"]]


def ideas() -> dict[str, list[Lesson]]:
    """Idea -> the lessons that share it, two or more."""
    every = lessons.lessons()
    names = dict.fromkeys(idea for lesson in every for idea in lesson.ideas)
    shared = {name: [lesson for lesson in every if name in lesson.ideas] for name in names}
    return {name: found for name, found in shared.items() if len(found) >= FEWEST_LESSONS}


def times_of(lesson: Lesson, folder: Path) -> Times:
    """The times of a lesson, from its notebook in a folder."""
    return lessons.times(lesson, lessons.read_notebook(folder / lesson.notebook))


def show_lessons(folder: Path) -> None:
    """Display the subject, the prerequisites and the times of each lesson, linked to its notebook."""
    rows = []
    for lesson in lessons.lessons():
        times = times_of(lesson, folder)
        running = "not measured" if times.running is None else f"{times.running} s"
        cost = [f"{times.reading} min", running, f"{times.exercises} min", f"{times.memory_mb} MB"]
        title = f"[{lesson.title}]({lesson.notebook})"
        rows.append([str(lesson.number), title, lesson.summary, "; ".join(lesson.prerequisites), *cost])
    _show_markdown(markdown_table(LESSONS_HEADER, rows))


def show_ideas() -> None:
    """Display which idea returns in which lessons."""
    rows = [[f"**{idea}**", _linked(found)] for idea, found in sorted(ideas().items())]
    _show_markdown(markdown_table(("idea", "lessons"), rows))


def show_routes(folder: Path) -> None:
    """Display the routes, each with its lessons and the hours for reading them and for their exercises."""
    rows = []
    for route in routes():
        times = [times_of(lesson, folder) for lesson in route.lessons()]
        reading, exercises = sum(t.reading for t in times) / 60, sum(t.exercises for t in times) / 60
        hours = f"{reading:.1f} hours, exercises {exercises:.1f} hours"
        rows.append([f"**{route.title}**", hours, route.description, _linked(route.lessons())])
    _show_markdown(markdown_table(("route", "to read", "how", "lessons"), rows))


def _linked(found: Sequence[Lesson]) -> str:
    return ", ".join(f"[{lesson.number} {lesson.title.partition(':')[0]}]({lesson.notebook})" for lesson in found)


def _show_markdown(text: str) -> None:
    """Display Markdown, whose links lead from notebook to notebook; the text itself where nothing renders it."""
    show_output({"text/markdown": text, "text/plain": text})


# -------------------------------------------------------------------- the scoreboard with filters


class ClaimTable:
    """Three dropdowns above the claims that they select. Without a kernel: the counts and a line for each paper."""

    def __init__(self, board: list[Row]) -> None:
        import ipywidgets

        self.board = board
        names = [ALL, *(_label(lesson) for lesson in scoreboard.lessons_on(board))]
        options = {"lesson": names, "kind": KINDS, "verdict": VERDICTS}
        self.controls = {name: ipywidgets.Dropdown(options=o, description=name) for name, o in options.items()}
        self.table = ipywidgets.HTML()
        self.view = ipywidgets.VBox([ipywidgets.HBox(list(self.controls.values())), self.table])
        for control in self.controls.values():
            control.observe(self._redraw, names="value")
        self._redraw()

    def selected(self) -> list[Row]:
        """The claims that pass the filters."""
        lesson, kind, verdict = (control.value for control in self.controls.values())
        passes: list[Callable[[Row], bool]] = [
            lambda row: lesson in (ALL, _label(row.lesson)),
            lambda row: kind in (ALL, row.kind),
            lambda row: verdict in (ALL, row.verdict) or (verdict == NOT_SUPPORTED and not row.supported),
        ]
        return [row for row in self.board if all(passed(row) for passed in passes)]

    def _redraw(self, _change: object = None) -> None:
        rows = self.selected()
        table = html_table(CLAIMS_HEADER, _cells(rows), f"{len(rows)} of {len(self.board)} claims and ablation tests")
        self.table.value = f'<div style="line-height:1.35">{table}</div>'  # widgets space lines as buttons

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        live = self.view._repr_mimebundle_()
        return {WIDGET_VIEW: live[WIDGET_VIEW], "text/html": self.static_html(), "text/plain": self.static_text()}

    def static_text(self) -> str:
        """The counts, and a line for each paper, as plain text."""
        return "\n".join([*scoreboard.summary(self.board), text_table(LEDGER, self._ledger())])

    def static_html(self) -> str:
        """The counts and a line for each paper; folded below, the claims of each lesson and its differences."""
        counts = "".join(f"<li>{html.escape(sentence)}</li>" for sentence in scoreboard.summary(self.board))
        parts = [f"<ul>{counts}</ul>", html_table(LEDGER, self._ledger(), "Result by paper")]
        for lesson in scoreboard.lessons_on(self.board):
            own = [row for row in self.board if row.lesson.name == lesson.name]
            differences = "".join(f"<li>{html.escape(text)}</li>" for text in lesson.deviations)
            table = html_table(CLAIMS_HEADER, _cells(own))
            page = f"{table}<p>Differences from the paper:</p><ul>{differences}</ul>"
            parts.append(folded(f"{_label(lesson)}: {len(own)} claims and ablation tests", page))
        return "".join(parts)

    def _ledger(self) -> list[list[str]]:
        return [[_label(lesson), *cells] for lesson, cells in scoreboard.ledger(self.board)]


def _label(lesson: Lesson) -> str:
    return f"{lesson.number} {lesson.title}"


def _cells(rows: Sequence[Row]) -> list[list[str]]:
    return [
        [_label(row.lesson), row.claim.id, row.kind, row.claim.statement, bound(row.claim), row.claim.paper,
         row.in_words(row.notebook), row.in_words(row.stored)]
        for row in rows
    ]  # fmt: skip


def show_article_claims(board: Sequence[Row]) -> None:
    """Display what the article says of each paper, and the claims that answer it."""
    rows = [[lesson.title, *cells] for lesson, cells in scoreboard.article_claims(board)]
    show_table(scoreboard.ARTICLE_HEADER, rows)


# -------------------------------------------------------------------- progress


def exercise_states(lesson: Lesson, folder: Path) -> dict[str, str]:
    """Exercise -> what its check printed last in the saved notebook; "not attempted" if it printed nothing."""
    exercises = importlib.import_module(f"{PACKAGE}.{lesson.name}.exercises").EXERCISES
    path = folder / lesson.notebook
    cells = lessons.read_notebook(path)["cells"] if path.is_file() else []
    printed = ["".join("".join(output.get("text", "")) for output in cell.get("outputs", [])) for cell in cells]
    found = dict(state for text in printed for state in EXERCISE_STATE.findall(text))
    return {exercise.id: found.get(exercise.id, NOT_ATTEMPTED) for exercise in exercises}


def progress(folder: Path) -> list[list[str]]:
    """For each lesson its number, its title, and which exercises are right, not yet right, not attempted."""
    rows = []
    for lesson in lessons.lessons():
        states = exercise_states(lesson, folder)
        found = [[id for id, state in states.items() if state == wanted] for wanted in PROGRESS_HEADER[2:]]
        rows.append([str(lesson.number), lesson.title, *(" ".join(ids) or "-" for ids in found)])
    return rows


def show_progress(folder: Path) -> None:
    """Display which exercises are right, read from the saved notebooks alone; nothing else is stored or sent."""
    show_table(PROGRESS_HEADER, progress(folder))
