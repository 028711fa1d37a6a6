"""Every stored study's reduced run, made again by today's code: the numbers are those that were stored.

A reduced run is the study's own code on one seed in seconds. It sees whatever moves a number: lesson, `lab`, `data` and
libraries. A rename moves none.
"""

from __future__ import annotations

import pytest
from reduced import FURTHER, differences

from companion.course import lessons
from companion.course.record import run_reduced, versions
from companion.lab import Measurement, load_record
from companion.lab.records import Run, reduced_studies

LESSONS = [lesson.name for lesson in lessons.lessons(hidden=True)]


@pytest.mark.parametrize("lesson", LESSONS)
def test_every_reduced_run_has_the_stored_numbers(lesson: str) -> None:
    stored = load_record(lesson).reduced
    assert stored.keys() == reduced_studies(lesson).keys(), f"run `python -m companion record {lesson} --reduced`"
    fresh = run_reduced(lesson)
    missing = [name for name in stored if name not in fresh]  # their data is the user's own and not here
    problems = differences(stored, fresh)
    assert not problems, "\n".join([f"{lesson}: {len(problems)} numbers moved", *problems[:20]])
    assert fresh
    if missing:
        print(f"{lesson}: no data here for {', '.join(missing)}")


def run(values: list[float], same: bool) -> Run:
    """A run with one measurement of accuracy per value, made here or on another machine."""
    stamp = {"versions": versions() if same else {"torch": "another"}}
    return Run(stamp, tuple(Measurement("accuracy", "a", str(i), 0, value) for i, value in enumerate(values)))


def moved(by: list[float], same: bool) -> int:
    """How many differences are found where the i-th of forty values near 100 has moved by `by[i]`."""
    stored, fresh = [100.0] * 40, [100.0 + change for change in by] + [100.0] * (40 - len(by))
    return len(differences({"r": run(stored, same)}, {"r": run(fresh, True)}))


def test_on_the_same_machine_a_millionth_is_a_difference() -> None:
    assert moved([2e-4], same=True) == 1
    assert moved([5e-5], same=True) == 0


def test_elsewhere_a_twentieth_is_allowed_and_a_share_may_move_further() -> None:
    few = int(FURTHER * 40)
    assert moved([4.0] * 40, same=False) == 0
    assert moved([6.0] * few, same=False) == 0
    assert moved([6.0] * (few + 1), same=False) == few + 1
    assert moved([float("nan")], same=False) == 1


def test_a_missing_and_a_new_measurement_are_differences() -> None:
    found = differences({"r": run([1.0, 2.0], True)}, {"r": run([1.0], True)})
    assert found == ["r: ('accuracy', 'a', '1', 0) is no longer measured"]
    assert len(differences({"r": run([1.0], True)}, {"r": run([1.0, 2.0], True)})) == 1
