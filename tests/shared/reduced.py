"""What differs between the stored reduced runs of a lesson and fresh ones."""

from __future__ import annotations

import math
from collections.abc import Mapping

from companion.course.record import versions
from companion.lab.records import Run

# On the Python, libraries and processor of the stored run the numbers are the same; only the last digits may differ,
# where a sum was reordered.
SAME_MACHINE = 1e-6
# Elsewhere rounding differs and training carries it on, so a value may move by this part of its metric's largest one,
# and of a lesson's values this share may move further: a search that starts from noise magnifies the last digit.
OTHER_MACHINE, FURTHER = 0.05, 0.1
# Time and memory are measured, not computed: they must be there and be finite.
MEASURED = ("second", "megabytes")


def differences(stored: Mapping[str, Run], fresh: Mapping[str, Run]) -> list[str]:
    """A sentence for each measurement of the fresh runs that is not the stored one."""
    wrong, moved, far, count = [], [], [], 0
    for name, run in fresh.items():
        then, now = (
            {(m.metric, m.method, m.setting, m.seed): m.value for m in each.measurements}
            for each in (stored[name], run)
        )
        count += len(then)
        wrong += [f"{name}: {key} is {value}" for key, value in {**then, **now}.items() if not math.isfinite(value)]
        wrong += [f"{name}: {key} is no longer measured" for key in then.keys() - now.keys()]
        wrong += [f"{name}: {key} was not measured before" for key in now.keys() - then.keys()]
        same = stored[name].stamp["versions"] == versions()
        for key in then.keys() & now.keys():
            if any(word in key[0] for word in MEASURED):
                continue
            largest = max(abs(value) for (metric, *_), value in then.items() if metric == key[0])
            allowed = SAME_MACHINE * abs(then[key]) if same else OTHER_MACHINE * largest
            if abs(now[key] - then[key]) > allowed:
                (moved if same else far).append(f"{name}: {key} was {then[key]:.9g} and is {now[key]:.9g}")
    return wrong + moved + (far if len(far) > FURTHER * count else [])
