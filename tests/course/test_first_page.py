"""What the first page shows: the map, the routes, the scoreboard with its filters, and progress."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

from companion.course import atlas, progress, scoreboard, lessons as syllabus
from companion.course.browse import ALL, DID_NOT, Browse
from companion.lab import load_lesson
from companion.lab.display import WIDGET_VIEW

KNOWN = {route.name for route in atlas.routes()}


@pytest.fixture
def browse(executed_notebook: Path) -> Browse:
    """The scoreboard of the tiny course."""
    return Browse(scoreboard.rows(executed_notebook.parent))


@pytest.mark.parametrize(
    ("filters", "ids"),
    [
        ({}, ["C1", "C2"]),
        ({"verdict": "holds"}, ["C1"]),
        ({"verdict": DID_NOT}, ["C2"]),
        ({"verdict": "open"}, []),
        ({"kind": "trend"}, []),
        ({"kind": "paired", "verdict": "fails"}, ["C2"]),
        ({"lesson": "99 Tiny"}, ["C1", "C2"]),
    ],
)
def test_filters_choose_claims(browse: Browse, filters: dict[str, str], ids: list[str]) -> None:
    for name, value in filters.items():
        browse.controls[name].value = value
    assert [row.claim.id for row in browse.chosen()] == ids
    assert f"{len(ids)} of 2 claims and sabotages" in browse.table.value
    assert all(text in browse.table.value for text in load_lesson("tiny").deviations)
    for control in browse.controls.values():
        control.value = ALL
    assert len(browse.chosen()) == 2


def test_the_stand_in_holds_what_did_not_come_out_and_every_deviation(browse: Browse) -> None:
    bundle = browse._repr_mimebundle_()
    assert set(bundle) == {WIDGET_VIEW, "text/html", "text/plain"}
    assert "raises the mean by six" in bundle["text/html"]
    assert "raises the mean by five" not in bundle["text/html"]
    assert all(text in bundle["text/html"] for text in load_lesson("tiny").deviations)
    assert browse.summary() == [["99 Tiny", "1", "1", "0", "0 of 0", "C2"]]


def test_progress_is_what_the_saved_notebook_says(tiny_course: Path) -> None:
    lesson = load_lesson("tiny")
    outputs = [
        new_output("stream", name="stdout", text="E1  right\n"),
        new_output("stream", name="stdout", text="E2  not yet: because one is not two.\n"),
        new_output("stream", name="stdout", text="E9  right\n"),
        new_output("display_data", data={"text/plain": "E3  right"}),
    ]
    cells = [new_code_cell("check", id=f"c{i}", outputs=[output]) for i, output in enumerate(outputs)]
    (tiny_course / lesson.notebook).write_text(nbformat.writes(new_notebook(cells=cells)))
    assert progress.rows(tiny_course) == [["99", "Tiny", "E1", "E2", "E3 E4 E5"]]
    assert set(progress.states(lesson, tiny_course / "elsewhere").values()) == {"not attempted"}


def test_an_idea_returns_if_two_lessons_share_it(tiny_course: Path) -> None:
    package = tiny_course / "companion"
    toml = (package / "tiny/lesson.toml").read_text()
    for number, name in enumerate(("one", "two"), start=1):
        (package / name).mkdir()
        named = toml.replace("number = 99", f'number = {number}\nideas = ["both", "{name}"]\nroutes = ["evening"]')
        (package / name / "lesson.toml").write_text(named)
    assert {idea: [x.name for x in lessons] for idea, lessons in atlas.ideas().items()} == {"both": ["one", "two"]}
    found = {route.name: [x.name for x in route.lessons()] for route in atlas.routes()}
    assert found == {"evening": ["one", "two"], "day": [], "term": ["one", "two", "tiny"]}


def test_the_routes_are_as_long_as_they_say() -> None:
    for route in atlas.routes():
        assert route.lessons(), route.name
        assert sum(lesson.budget.minutes for lesson in route.lessons()) <= route.minutes
    assert {name for lesson in syllabus.lessons(hidden=True) for name in lesson.routes} <= KNOWN
