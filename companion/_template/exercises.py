"""Exercises of the lesson: what is asked, how an answer is checked, hints, a reference answer, wrong answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from companion._template import method
from companion.lab.exercises import Exercise, NotYet, require_close

SEEN = torch.tensor([[2.0, 0.0, -1.0, 2.0], [0.1, -0.2, 0.3, 0.1], [9.0, 5.0, -7.0, 1.0]])

# ---------------------------------------------------------------- E1: the estimator


def check_james_stein(answer: Callable[[Tensor], Tensor]) -> None:
    """Three rows of four means, and one of seven."""
    require_close(answer(SEEN), method.james_stein(SEEN), 1e-5, "the estimate of four means")
    more = torch.arange(1.0, 8.0).unsqueeze(0)
    require_close(answer(more), method.james_stein(more), 1e-5, "the estimate of seven means")


def solve_james_stein(x: Tensor) -> Tensor:
    """A factor a row."""
    return (1 - (x.shape[1] - 2) / x.square().sum(1, keepdim=True)) * x


def wrong_james_stein_d(x: Tensor) -> Tensor:
    """Pulls with d where d - 2 is due."""
    return (1 - x.shape[1] / x.square().sum(1, keepdim=True)) * x


def wrong_james_stein_batch(x: Tensor) -> Tensor:
    """One length for all rows together."""
    return (1 - (x.shape[1] - 2) / x.square().sum()) * x


# ---------------------------------------------------------------- E2: the risk at zero


def check_fifty(answer: Any) -> None:
    """2, whatever d."""
    require_close(answer, method.exact_risk(50, 0.0), 0.01, "the risk of fifty means that are all zero")


# ---------------------------------------------------------------- E3: another centre


def check_centre(answer: Callable[[Tensor], Tensor]) -> None:
    """Against the estimator on the d - 1 directions across the line of equal means."""
    centre = SEEN.mean(1, keepdim=True)
    across = SEEN - centre
    wanted = centre + (1 - (SEEN.shape[1] - 3) / across.square().sum(1, keepdim=True)) * across
    given = answer(SEEN)
    require_close(given, wanted, 1e-4, "the estimate")
    require_close(answer(SEEN + 100), wanted + 100, 1e-2, "the estimate after adding 100 to everything")


def solve_centre(x: Tensor) -> Tensor:
    """The mean costs one dimension more."""
    centre = x.mean(1, keepdim=True)
    across = x - centre
    return centre + (1 - (x.shape[1] - 3) / across.square().sum(1, keepdim=True)) * across


def wrong_centre_strength(x: Tensor) -> Tensor:
    """Forgets that the mean itself was estimated."""
    centre = x.mean(1, keepdim=True)
    return centre + method.james_stein(x - centre)


def wrong_centre_lost(x: Tensor) -> Tensor:
    """Never adds the centre back."""
    return solve_centre(x) - x.mean(1, keepdim=True)


# ---------------------------------------------------------------- E4: noise of another size


def check_noise(answer: Callable[[Tensor, float], Tensor]) -> None:
    """A change of unit must change the estimate by the same factor."""
    for sigma in (1.0, 0.5, 3.0):
        require_close(answer(SEEN, sigma), sigma * method.james_stein(SEEN / sigma), 1e-4, f"sigma = {sigma:g}")


def solve_noise(x: Tensor, sigma: float) -> Tensor:
    """The strength is a variance."""
    return method.factor(x, (x.shape[1] - 2) * sigma**2) * x


def wrong_noise_not_squared(x: Tensor, sigma: float) -> Tensor:
    """A standard deviation where a variance is due."""
    return method.factor(x, (x.shape[1] - 2) * sigma) * x


def wrong_noise_ignored(x: Tensor, sigma: float) -> Tensor:
    """Believes that the noise has variance 1."""
    return method.james_stein(x)


# ---------------------------------------------------------------- E5: limited translation


def check_limited(answer: Callable[[Tensor, float], Tensor]) -> None:
    """Coordinate by coordinate: the move of the positive part, but never more than the cap."""
    free = method.positive_part(SEEN)
    for cap in (0.05, 0.3, 100.0):
        given = answer(SEEN, cap)
        require_close(given, SEEN + (free - SEEN).clamp(-cap, cap), 1e-5, f"the estimate with cap = {cap:g}")
    if torch.equal(answer(SEEN, 0.0), free):
        raise NotYet("with a cap of 0 nothing may move.")


def solve_limited(x: Tensor, cap: float) -> Tensor:
    """Efron and Morris: no coordinate moves further than the cap."""
    return x + (method.positive_part(x) - x).clamp(-cap, cap)


def wrong_limited_result(x: Tensor, cap: float) -> Tensor:
    """Caps the estimate and not its move."""
    return method.positive_part(x).clamp(-cap, cap)


def wrong_limited_length(x: Tensor, cap: float) -> Tensor:
    """Caps the length of the whole move, so that an outlier uses up everybody's share."""
    moves = method.positive_part(x) - x
    return x + moves * (cap / moves.norm(dim=1, keepdim=True)).clamp(max=1)


EXERCISES = (
    Exercise(
        id="E1",
        title="The estimator",
        stars=1,
        minutes=5,
        statement="Write `estimate(x)` for observations x of shape (n, d): James-Stein, every row for itself.",
        check=check_james_stein,
        hints=("Each row has its own length.", "`keepdim=True` keeps the shape that multiplies a row."),
        solution=solve_james_stein,
        wrong=(wrong_james_stein_d, wrong_james_stein_batch),
    ),
    Exercise(
        id="E2",
        title="Fifty zeros",
        stars=1,
        minutes=5,
        statement="Fifty means are all zero, and you observe each once with noise of variance 1. What is the risk of "
        "James-Stein, all fifty together? Think first; then `stein.exact_risk` may confirm.",
        check=check_fifty,
        hints=("The observation has a risk of 50.", "The mean of 1/|X|² is 1/(d - 2) here."),
        solution=2.0,
        wrong=(50.0, 48.0, 2 / 50),
        function=False,
    ),
    Exercise(
        id="E3",
        title="Towards the mean, not towards zero",
        stars=2,
        minutes=15,
        statement="Zero is an arbitrary centre. Write `centred(x)` that pulls each row (d numbers, d > 3) towards its "
        "own mean. Estimating the centre costs a dimension: the strength is d - 3. Adding 100 to everything "
        "must add 100 to the estimate.",
        check=check_centre,
        hints=("Subtract the row's mean, shrink what is left, add the mean back.", "`keepdim=True` again."),
        solution=solve_centre,
        wrong=(wrong_centre_strength, wrong_centre_lost),
    ),
    Exercise(
        id="E4",
        title="Noise of another size",
        stars=2,
        minutes=10,
        statement="So far the noise had variance 1. Write `scaled(x, sigma)` for a known standard deviation sigma. "
        "Measuring in grams or in kilograms must lead to the same belief.",
        check=check_noise,
        hints=("Which unit has |x|²? The strength must have the same.",),
        solution=solve_noise,
        wrong=(wrong_noise_not_squared, wrong_noise_ignored),
    ),
    Exercise(
        id="E5",
        title="Research: protect the outlier",
        stars=4,
        minutes=45,
        statement="Write `limited(x, cap)`: the positive part, except that no coordinate moves by more than `cap` "
        "(Efron and Morris call it limited translation). Then measure it where one mean is 5 and nine are 0: "
        "which cap keeps most of the common gain and spares the outlier most of its loss?",
        check=check_limited,
        hints=("Look at the move, estimate minus observation, and limit that.",),
        solution=solve_limited,
        wrong=(wrong_limited_result, wrong_limited_length),
    ),
)
