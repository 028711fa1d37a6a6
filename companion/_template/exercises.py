"""Exercises of the lesson: checks, hints and reference answers. The statements stand in the notebook."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from companion._template import method
from companion.lab.exercises import Exercise, NotYet, require_close

OBSERVED = torch.tensor([[2.0, 0.0, -1.0, 2.0], [0.1, -0.2, 0.3, 0.1], [9.0, 5.0, -7.0, 1.0]])

# ---------------------------------------------------------------- E1: the estimator


def check_james_stein(answer: Callable[[Tensor], Tensor]) -> None:
    """Three rows of four means, and one of seven."""
    require_close(answer(OBSERVED), method.james_stein(OBSERVED), 1e-5, "the estimate of four means")
    more = torch.arange(1.0, 8.0).unsqueeze(0)
    require_close(answer(more), method.james_stein(more), 1e-5, "the estimate of seven means")


def solve_james_stein(x: Tensor) -> Tensor:
    """One factor per row."""
    return (1 - (x.shape[1] - 2) / x.square().sum(1, keepdim=True)) * x


# ---------------------------------------------------------------- E2: the risk at zero


def check_fifty(answer: Any) -> None:
    """The risk is 2 for every d."""
    require_close(answer, method.exact_risk(50, 0.0), 0.01, "the risk of fifty means that are all zero")


# ---------------------------------------------------------------- E3: another center


def check_center(answer: Callable[[Tensor], Tensor]) -> None:
    """Against the estimator on the d - 1 directions orthogonal to the vector of equal means."""
    center = OBSERVED.mean(1, keepdim=True)
    residual = OBSERVED - center
    expected = center + (1 - (OBSERVED.shape[1] - 3) / residual.square().sum(1, keepdim=True)) * residual
    computed = answer(OBSERVED)
    require_close(computed, expected, 1e-4, "the estimate")
    require_close(answer(OBSERVED + 100), expected + 100, 1e-2, "the estimate after adding 100 to everything")


def solve_center(x: Tensor) -> Tensor:
    """Estimating the mean uses up one more dimension."""
    center = x.mean(1, keepdim=True)
    residual = x - center
    return center + (1 - (x.shape[1] - 3) / residual.square().sum(1, keepdim=True)) * residual


# ---------------------------------------------------------------- E4: noise of another size


def check_noise(answer: Callable[[Tensor, float], Tensor]) -> None:
    """A change of unit changes the estimate by the same factor."""
    for sigma in (1.0, 0.5, 3.0):
        require_close(answer(OBSERVED, sigma), sigma * method.james_stein(OBSERVED / sigma), 1e-4, f"sigma = {sigma:g}")


def solve_noise(x: Tensor, sigma: float) -> Tensor:
    """The strength is a variance."""
    return method.shrinkage_factor(x, (x.shape[1] - 2) * sigma**2) * x


# ---------------------------------------------------------------- E5: limited translation


def check_limited(answer: Callable[[Tensor, float], Tensor]) -> None:
    """Coordinate by coordinate: the change of the positive part, limited to the cap."""
    unlimited = method.positive_part(OBSERVED)
    for cap in (0.05, 0.3, 100.0):
        computed = answer(OBSERVED, cap)
        require_close(
            computed, OBSERVED + (unlimited - OBSERVED).clamp(-cap, cap), 1e-5, f"the estimate with cap = {cap:g}"
        )
    if torch.equal(answer(OBSERVED, 0.0), unlimited):
        raise NotYet("with a cap of 0 the estimate must equal the observation.")


def solve_limited(x: Tensor, cap: float) -> Tensor:
    """Efron and Morris: no coordinate changes by more than the cap."""
    return x + (method.positive_part(x) - x).clamp(-cap, cap)


EXERCISES = (
    Exercise(
        id="E1",
        title="The estimator",
        stars=1,
        minutes=5,
        check=check_james_stein,
        hints=("Each row has its own length.", "`keepdim=True` keeps the shape that multiplies a row."),
        solution=solve_james_stein,
    ),
    Exercise(
        id="E2",
        title="Fifty zeros",
        stars=1,
        minutes=5,
        check=check_fifty,
        hints=("The observation has a risk of 50.", "The mean of 1/|X|² is 1/(d - 2) here."),
        solution=2.0,
        function=False,
    ),
    Exercise(
        id="E3",
        title="Toward the mean, not toward zero",
        stars=2,
        minutes=15,
        check=check_center,
        hints=("Subtract the row's mean, shrink the differences, add the mean back.", "`keepdim=True` again."),
        solution=solve_center,
    ),
    Exercise(
        id="E4",
        title="Noise of another size",
        stars=2,
        minutes=10,
        check=check_noise,
        hints=("Which unit has |x|²? The strength must have the same.",),
        solution=solve_noise,
    ),
    Exercise(
        id="E5",
        title="Research: protect the outlier",
        stars=4,
        minutes=45,
        check=check_limited,
        hints=("Look at the move, estimate minus observation, and limit that.",),
        solution=solve_limited,
    ),
)
