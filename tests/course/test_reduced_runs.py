"""Every stored study's reduced run, made again by today's code: the numbers are those that were stored.

A reduced run is the study's own code on one seed in seconds. It sees whatever moves a number: lesson, `lab`, `data` and
libraries. A rename moves none.
"""

from __future__ import annotations

import pytest
from reduced import differences

from companion.course import lessons
from companion.course.record import run_reduced
from companion.lab import load_record
from companion.lab.records import reduced_studies

LESSONS = [lesson.name for lesson in lessons.lessons(hidden=True)]


@pytest.mark.parametrize("lesson", LESSONS)
def test_every_reduced_run_has_the_stored_numbers(lesson: str) -> None:
    stored = load_record(lesson).reduced
    assert stored.keys() == reduced_studies(lesson).keys(), f"run `python -m companion record {lesson} --reduced`"
    fresh = run_reduced(lesson)
    missing = [name for name in stored if name not in fresh]  # their data is the user's own and not here
    problems = [line for name, run in fresh.items() for line in differences(name, stored[name], run)]
    assert not problems, "\n".join([f"{lesson}: {len(problems)} numbers moved", *problems[:20]])
    assert fresh
    if missing:
        print(f"{lesson}: no data here for {', '.join(missing)}")
