"""Choice of hyperparameters: every candidate on the same validation data and seeds, the best mean wins."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import product
from typing import Any, TypeVar

import numpy as np

from companion.errors import CompanionError
from companion.lab.evidence import Measurement

C = TypeVar("C")


def grid(**values: Sequence[Any]) -> list[dict[str, Any]]:
    """Every combination, as keyword arguments; the last name varies fastest: grid(lr=(0.1, 0.01), dropout=(0, 0.5))."""
    return [dict(zip(values, combination, strict=True)) for combination in product(*values.values())]


def grid_search(
    candidates: Mapping[str, Mapping[str, C]], score: Callable[[str, C], float], metric: str, seed: int
) -> list[Measurement]:
    """Score every candidate of every method on validation data; the candidate's description is the setting.

    candidates: method -> {description: candidate}. score(method, candidate) must not look at test data.
    """
    return [
        Measurement(metric, method, description, seed, float(score(method, candidate)))
        for method, described in candidates.items()
        for description, candidate in described.items()
    ]


def best(measurements: Sequence[Measurement], metric: str, method: str, higher_is_better: bool = True) -> str:
    """The description of a method's best candidate by its mean over seeds; of equals the first.

    A candidate with a NaN on any seed (a diverged run) cannot win.
    """
    scores: dict[str, list[float]] = {}
    for m in measurements:
        if (m.metric, m.method) == (metric, method):
            scores.setdefault(m.setting, []).append(m.value)
    means = {description: float(np.mean(values)) for description, values in scores.items()}
    usable = {description: mean for description, mean in means.items() if np.isfinite(mean)}
    if not usable:
        raise CompanionError(f"No candidate of {method!r} has a finite {metric!r}; widen the search.")
    return (max if higher_is_better else min)(usable, key=usable.__getitem__)
