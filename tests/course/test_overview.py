"""What the first page shows: lessons with their times, ideas, routes, the scoreboard with filters, and progress."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

from companion.course import lessons, overview, scoreboard
from companion.course.overview import ALL, NOT_SUPPORTED, ClaimTable
from companion.lab import load_lesson
from companion.lab.display import WIDGET_VIEW


@pytest.fixture
def table(executed_notebook: Path) -> ClaimTable:
    """The scoreboard of the tiny course."""
    return ClaimTable(scoreboard.rows(executed_notebook.parent))


@pytest.mark.parametrize(
    ("filters", "ids"),
    [
        ({}, ["C1", "C2"]),
        ({"verdict": "holds"}, ["C1"]),
        ({"verdict": NOT_SUPPORTED}, ["C2"]),
        ({"verdict": "open"}, []),
        ({"kind": "ablation test"}, []),
        ({"kind": "question of the course", "verdict": "fails"}, ["C2"]),
        ({"kind": "claim of the paper"}, ["C1"]),
        ({"lesson": "99 Tiny"}, ["C1", "C2"]),
    ],
)
def test_filters_select_claims_and_the_table_shows_them(
    table: ClaimTable, filters: dict[str, str], ids: list[str]
) -> None:
    for name, value in filters.items():
        table.controls[name].value = value
    assert [row.claim.id for row in table.selected()] == ids
    assert f"{len(ids)} of 2 claims and ablation tests" in table.table.value
    for control in table.controls.values():
        control.value = ALL
    assert "2 of 2 claims" in table.table.value


def test_without_a_kernel_all_claims_and_differences_can_be_read(table: ClaimTable) -> None:
    bundle = table._repr_mimebundle_()
    assert set(bundle) == {WIDGET_VIEW, "text/html", "text/plain"}
    lesson = load_lesson("tiny")
    for text in (*lesson.deviations, *(claim.statement for claim in lesson.claims), lesson.reproduction):
        assert text in bundle["text/html"]
    assert bundle["text/plain"].startswith("Claims of the papers and of the Amazon Science article: 1 (1 hold")
    assert lesson.reproduction in bundle["text/plain"]


def test_lessons_and_routes_show_the_times_of_the_notebooks(executed_notebook: Path, capsys) -> None:
    folder, times = executed_notebook.parent, overview.times_of(load_lesson("tiny"), executed_notebook.parent)
    overview.show_lessons(folder)
    cells = f"{times.reading} min | {times.running} s | {times.exercises} min | {times.memory_mb} MB |"
    assert cells in capsys.readouterr().out
    overview.show_routes(folder)
    hours = f"{times.reading / 60:.1f} hours, exercises {times.exercises / 60:.1f} hours"
    assert hours in capsys.readouterr().out


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
    assert overview.progress(tiny_course) == [["99", "Tiny", "E1", "E2", "E3 E4 E5"]]
    assert set(overview.exercise_states(lesson, tiny_course / "elsewhere").values()) == {"not attempted"}


def test_an_idea_is_listed_if_two_lessons_share_it(tiny_course: Path) -> None:
    package = tiny_course / "companion"
    toml = (package / "tiny/lesson.toml").read_text()
    for number, name in enumerate(("one", "two"), start=1):
        (package / name).mkdir()
        named = toml.replace("number = 99", f'number = {number}\nideas = ["both", "{name}"]\nroutes = ["evening"]')
        (package / name / "lesson.toml").write_text(named)
    assert {idea: [x.name for x in found] for idea, found in overview.ideas().items()} == {"both": ["one", "two"]}
    found = {route.name: [x.name for x in route.lessons()] for route in overview.routes()}
    assert found == {"evening": ["one", "two"], "day": [], "term": ["one", "two", "tiny"]}


def test_every_route_has_lessons_and_every_lesson_names_known_routes() -> None:
    routes = overview.routes()
    assert all(route.lessons() for route in routes)
    named = {name for lesson in lessons.lessons(hidden=True) for name in lesson.routes}
    assert named <= {route.name for route in routes}
