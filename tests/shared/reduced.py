"""What differs between a stored reduced run and a fresh one."""

from __future__ import annotations

import math

from companion.course.record import versions
from companion.lab.records import Run

# On the Python, libraries and processor of the stored run the numbers are the same; only the last digits may differ,
# where a sum was reordered.
SAME_MACHINE = 1e-6
# Elsewhere rounding differs and training carries it on, so a value may move by this part of its metric's largest one,
# and of a run's values this share may move further: a search that starts from noise magnifies the last digit.
OTHER_MACHINE, FURTHER = 0.05, 0.15
# Time and memory are measured, not computed: they must be there and be finite.
MEASURED = ("second", "megabytes")


def differences(name: str, stored: Run, fresh: Run) -> list[str]:
    """A sentence for each measurement that is not the stored one."""
    then, now = (
        {(m.metric, m.method, m.setting, m.seed): m.value for m in run.measurements} for run in (stored, fresh)
    )
    found = [f"{name}: {key} is {value}" for key, value in {**then, **now}.items() if not math.isfinite(value)]
    found += [f"{name}: {key} is no longer measured" for key in then.keys() - now.keys()]
    found += [f"{name}: {key} was not measured before" for key in now.keys() - then.keys()]
    same = stored.stamp["versions"] == versions()
    moved = []
    for key in then.keys() & now.keys():
        metric = key[0]
        if any(word in metric for word in MEASURED):
            continue
        largest = max(abs(value) for (other, *_), value in then.items() if other == metric)
        allowed = SAME_MACHINE * abs(then[key]) if same else OTHER_MACHINE * largest
        if not abs(now[key] - then[key]) <= allowed:  # also where one of them is NaN
            moved.append(f"{name}: {key} was {then[key]:.9g} and is {now[key]:.9g}")
    return found + (moved if same or len(moved) > FURTHER * len(then) else [])
