"""Exercises of the lesson: how an answer is checked, hints, and a reference solution."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from companion.lab.exercises import Exercise, NotYet, require_close
from companion.trajectory_attribution import method

BY_HAND = (-3.0, -1.0, -3.0, -0.8, -3.0, -1.0, -1.8, -0.2)  # values of no feature, past, A, past + A, B, ...
MOMENTS, WINDOWS = 20, 25  # of exercise 5


def check_by_hand(answer: Any) -> None:
    """Against the package's attribution."""
    require_close(answer, method.attribute(torch.tensor([BY_HAND]))[0], 1e-6, "the list")


def check_coin_limit(answer: Callable[[Tensor], Tensor]) -> None:
    """Random tables of three features."""
    tables = torch.randn(5, 8, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    require_close(answer(tables), method.attribute(tables, method.BANZHAF), 1e-9, "the values")


def solve_coin_limit(table: Tensor) -> Tensor:
    """Every coalition of the others has the same weight: the mean of four differences."""
    coalition = torch.arange(8)
    columns = []
    for feature in range(3):
        without = coalition[(coalition >> feature) % 2 == 0]
        columns.append((table[:, without + 2**feature] - table[:, without]).mean(1))
    return torch.stack(columns, dim=1)


def check_closed(answer: Callable[[Tensor, float], Tensor]) -> None:
    """Against the exact table, for games of two to six features."""
    for count in (2, 4, 6):
        d = torch.randn(count, generator=torch.Generator().manual_seed(count), dtype=torch.float64)
        table = -(0.4 + (~method.coalitions(count)).double() @ d).square().unsqueeze(0)
        require_close(answer(d, 0.4), method.attribute(table)[0], 1e-9, f"the values for {count} features")


def solve_closed(d: Tensor, r: float) -> Tensor:
    """Each pair shares its product equally: d_i (2 r + sum of d)."""
    return d * (2 * r + d.sum())


def check_pooled(answer: Callable[[Tensor, Tensor], Tensor]) -> None:
    """Against a loop over coalitions."""
    generator = torch.Generator().manual_seed(5)
    messages, members = torch.randn(7, 4, 3, generator=generator), method.coalitions(4)
    expected = torch.stack([messages[:, row].sum(1) for row in members], dim=1)
    sums = answer(messages, members)
    if not isinstance(sums, Tensor) or sums.shape != expected.shape:
        raise NotYet(f"the sums must be a tensor of shape {tuple(expected.shape)}.")
    require_close(sums, expected, 1e-5, "the sums")


def solve_pooled(messages: Tensor, members: Tensor) -> Tensor:
    """One matrix product: a coalition is a row of zeros and ones."""
    return members.to(messages.dtype) @ messages


def generate_excesses(mean: float, count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Sets of excesses (500,) and their moments (500,): 20 moments of 25 windows that share most of their noise."""
    rng, moment = np.random.default_rng(0), np.repeat(np.arange(MOMENTS), WINDOWS)
    noise = [rng.normal(size=MOMENTS)[moment] + 0.3 * rng.normal(size=len(moment)) for _ in range(count)]
    return [(mean + each, moment) for each in noise]


def check_p_value(answer: Callable[[np.ndarray, np.ndarray], float]) -> None:
    """Few small p-values where there is no effect, many where there is one."""
    for mean, truth in ((0.0, "no effect"), (1.0, "an effect")):
        p_values = [answer(*each) for each in generate_excesses(mean, 60)]
        if not all(isinstance(p, (float, np.floating)) and 0 <= p <= 1 for p in p_values):
            raise NotYet("the answer must be a number between 0 and 1.")
        small = float(np.mean(np.array(p_values) < 0.05))
        if mean == 0 and small > 0.15:
            raise NotYet(f"on data with {truth}, {small:.0%} of the p-values are below 0.05.")
        if mean == 1 and small < 0.9:
            raise NotYet(f"on data with {truth}, only {small:.0%} of the p-values are below 0.05.")


def solve_p_value(excess: np.ndarray, moment: np.ndarray) -> float:
    """Flip the sign of whole moments: without an effect all 2^20 sign patterns are equally probable."""
    means = np.array([excess[moment == number].mean() for number in np.unique(moment)])
    signs = np.random.default_rng(1).choice([-1, 1], size=(2000, len(means)))
    return float(((signs * means).mean(1) >= means.mean()).mean())


EXERCISES = (
    Exercise(
        id="E1", title="By hand", stars=1, minutes=15,
        check=check_by_hand, solution=[1.9, 0.5, 0.4], function=False,
        hints=("Write down the six orders.", "Feature 0 is the past: bit 0 of the column's number."),
    ),
    Exercise(
        id="E2", title="What the released code computes", stars=2, minutes=20,
        check=check_coin_limit, solution=solve_coin_limit,
        hints=("Four coalitions of the others, all equally probable.", "Adding feature i adds 2**i to the column."),
    ),
    Exercise(
        id="E3", title="A closed form", stars=2, minutes=25,
        check=check_closed, solution=solve_closed,
        hints=("Expand the square.", "A product d_i d_j belongs to i and j alike; each gets half of it."),
    ),
    Exercise(
        id="E4", title="Encode once", stars=3, minutes=20,
        check=check_pooled, solution=solve_pooled,
        hints=("A coalition is a row of zeros and ones.", "`@` works on the last two axes."),
    ),
    Exercise(
        id="E5", title="Research: informative, or interacting?", stars=4, minutes=90,
        check=check_p_value, solution=solve_p_value,
        hints=("Windows of one moment share their noise: take one mean per moment.", "Then flip the signs of moments."),
    ),
)  # fmt: skip
