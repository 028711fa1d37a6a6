"""The template's exercises: plausible wrong answers are refused with a reason."""

from __future__ import annotations

import pytest
from torch import Tensor

from companion._template import method
from companion._template.exercises import EXERCISES, solve_center
from companion.lab.exercises import NOT_YET, RIGHT, examine


def wrong_james_stein_d(x: Tensor) -> Tensor:
    """Pulls with d where d - 2 is due."""
    return (1 - x.shape[1] / x.square().sum(1, keepdim=True)) * x


def wrong_james_stein_batch(x: Tensor) -> Tensor:
    """One length for all rows together."""
    return (1 - (x.shape[1] - 2) / x.square().sum()) * x


def wrong_center_strength(x: Tensor) -> Tensor:
    """Forgets that the mean itself was estimated."""
    center = x.mean(1, keepdim=True)
    return center + method.james_stein(x - center)


def wrong_center_lost(x: Tensor) -> Tensor:
    """Never adds the center back."""
    return solve_center(x) - x.mean(1, keepdim=True)


def wrong_noise_not_squared(x: Tensor, sigma: float) -> Tensor:
    """A standard deviation where a variance is due."""
    return method.shrinkage_factor(x, (x.shape[1] - 2) * sigma) * x


def wrong_noise_ignored(x: Tensor, sigma: float) -> Tensor:
    """Believes that the noise has variance 1."""
    return method.james_stein(x)


def wrong_limited_result(x: Tensor, cap: float) -> Tensor:
    """Caps the estimate and not its move."""
    return method.positive_part(x).clamp(-cap, cap)


def wrong_limited_length(x: Tensor, cap: float) -> Tensor:
    """Caps the length of the whole move, so that an outlier uses up everybody's share."""
    moves = method.positive_part(x) - x
    return x + moves * (cap / moves.norm(dim=1, keepdim=True)).clamp(max=1)


WRONG = {
    "E1": (wrong_james_stein_d, wrong_james_stein_batch),
    "E2": (50.0, 48.0, 2 / 50),
    "E3": (wrong_center_strength, wrong_center_lost),
    "E4": (wrong_noise_not_squared, wrong_noise_ignored),
    "E5": (wrong_limited_result, wrong_limited_length),
}


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda exercise: exercise.id)
def test_wrong_answers_are_refused_and_the_solution_is_right(exercise) -> None:
    assert len(WRONG[exercise.id]) >= 2
    for answer in WRONG[exercise.id]:
        outcome = examine(exercise, answer)
        assert outcome.state == NOT_YET, answer
        assert "raised" not in outcome.reason, outcome.reason
    assert examine(exercise, exercise.solution).state == RIGHT
