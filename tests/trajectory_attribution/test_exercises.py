"""The exercises: plausible wrong answers are refused with a reason, and the reference solution is right."""

from __future__ import annotations

import numpy as np
import pytest
from torch import Tensor

from companion.lab.exercises import NOT_YET, RIGHT, examine
from companion.trajectory_attribution import method
from companion.trajectory_attribution.exercises import EXERCISES, solve_coin_limit


def coins_by_size(table: Tensor) -> Tensor:
    """Every size has the same weight, which is Shapley's rule."""
    return method.attribute(table)


def coins_summed(table: Tensor) -> Tensor:
    """Forgets to divide by the number of coalitions."""
    return 4 * solve_coin_limit(table)


def closed_last(d: Tensor, r: float) -> Tensor:
    """What a feature adds when it enters last: it gets none of the shared products."""
    return d * (2 * r + d)


def closed_first(d: Tensor, r: float) -> Tensor:
    """What a feature adds when it enters first: it gets all of the shared products."""
    return d * (2 * (r + d.sum()) - d)


def pooled_mean(messages: Tensor, members: Tensor) -> Tensor:
    """A mean: a neighbor's message shrinks when others are present."""
    share = members.to(messages.dtype)
    return (share / share.sum(1, keepdim=True).clamp_min(1)) @ messages


def pooled_all(messages: Tensor, members: Tensor) -> Tensor:
    """The sum of all messages for every coalition: no neighbor was removed."""
    return messages.sum(1, keepdim=True).expand(-1, len(members), -1)


def p_of_windows(excess: np.ndarray, moment: np.ndarray) -> float:
    """Flips single windows, as if they were independent: far too small."""
    signs = np.random.default_rng(1).choice([-1, 1], size=(2000, len(excess)))
    return float(((signs * excess).mean(1) >= excess.mean()).mean())


def p_as_share(excess: np.ndarray, moment: np.ndarray) -> float:
    """The share of windows below zero, which is no p-value."""
    return float((excess <= 0).mean())


WRONG = {
    "E1": ([2.0, 0.6, 0.5], [0.8, 0.8, 0.6]),
    "E2": (coins_by_size, coins_summed),
    "E3": (closed_last, closed_first),
    "E4": (pooled_mean, pooled_all),
    "E5": (p_of_windows, p_as_share),
}


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda exercise: exercise.id)
def test_the_solution_is_right(exercise) -> None:
    assert examine(exercise, exercise.solution).state == RIGHT


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda exercise: exercise.id)
def test_wrong_answers_are_refused_with_a_reason(exercise) -> None:
    assert len(WRONG[exercise.id]) >= 2
    for wrong in WRONG[exercise.id]:
        outcome = examine(exercise, wrong)
        assert outcome.state == NOT_YET
        assert outcome.reason
        assert "raised" not in outcome.reason
