"""Every stored study's reduced run, made again by today's code: the numbers are those that were stored.

A reduced run is the study's own code on one seed in seconds. It sees whatever moves a number: lesson, `lab`, `data` and
libraries. A rename moves none.
"""

from __future__ import annotations

import math

import pytest

from companion.course import lessons as syllabus
from companion.course.record import run_reduced, versions
from companion.lab import load_record
from companion.lab.records import Run, reduced_studies

LESSONS = [lesson.name for lesson in syllabus.lessons(hidden=True)]
# On the Python, libraries and processor of the stored run the numbers are the same; only the last digits may differ,
# where a sum was reordered.
SAME_MACHINE = 1e-6
# Elsewhere rounding differs and training carries it on, so a value may move by this part of its metric's largest one.
OTHER_MACHINE = 0.05
# Time and memory are measured, not computed: they must be there and be finite.
MEASURED = ("second", "megabytes")


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


def differences(name: str, stored: Run, fresh: Run) -> list[str]:
    """A sentence for each measurement that is not the stored one."""
    then, now = ({(m.metric, m.method, m.setting, m.seed): m.value for m in run.measurements} for run in (stored, fresh))
    found = [f"{name}: {key} is {value}" for key, value in {**then, **now}.items() if not math.isfinite(value)]
    found += [f"{name}: {key} is no longer measured" for key in then.keys() - now.keys()]
    found += [f"{name}: {key} was not measured before" for key in now.keys() - then.keys()]
    same = stored.stamp["versions"] == versions()
    for key in then.keys() & now.keys():
        metric = key[0]
        if any(word in metric for word in MEASURED):
            continue
        largest = max(abs(value) for (other, *_), value in then.items() if other == metric)
        allowed = SAME_MACHINE * abs(then[key]) if same else OTHER_MACHINE * largest
        if not abs(now[key] - then[key]) <= allowed:  # also where one of them is NaN
            found.append(f"{name}: {key} was {then[key]:.9g} and is {now[key]:.9g}")
    return found
