"""Exercises of the lesson: how an answer is checked, hints, and a solution. The statements stand in the notebook."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from companion.lab.exercises import Exercise, NotYet, require_close
from companion.rim import baselines, matching, method
from companion.rim.checks import example_regression, example_scores
from companion.rim.method import Exposure


def check_rankings(answer: Callable[[Tensor, int, int], Tensor]) -> None:
    """Against the package, on a matrix without ties; then the two invariances."""
    table = example_scores(9, 6)
    by_row, by_column = method.top_rows(table, 2, torch.arange(6)), method.top_columns(table, 3, torch.arange(9))
    expected = torch.stack([by_row, by_column]).float()
    require_close(torch.as_tensor(answer(table, 2, 3)).float(), expected, 0, "the two rankings")
    rows = answer(table * torch.arange(1.0, 10).unsqueeze(1), 2, 3)[0]
    columns = answer(table * torch.arange(1.0, 7), 2, 3)[1]
    require_close(rows.float(), expected[0], 0, "the ranking by rows after a factor for each row")
    require_close(columns.float(), expected[1], 0, "the ranking by columns after a factor for each column")


def solve_rankings(table: Tensor, k: int, c: int) -> Tensor:
    """A threshold for each row, and one for each column."""
    by_row = table >= table.topk(k, dim=1).values[:, -1:]
    by_column = table >= table.topk(c, dim=0).values[-1:]
    return torch.stack([by_row, by_column])


def check_em(answer: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]) -> None:
    """The exact count, and the package's step."""
    phi, counts, exposure = example_regression()
    weights = torch.linspace(0.2, 2, 7, dtype=torch.float64)
    updated = torch.as_tensor(answer(phi, counts, exposure, weights), dtype=torch.float64)
    if updated.shape == weights.shape and abs(float((phi @ updated).sum() - counts.sum())) > 1e-6 * float(counts.sum()):
        raise NotYet("after a step the expected count must be the observed one, and it is not.")
    require_close(updated, method.em_step(phi, counts, exposure, weights), 1e-9, "the weights after one step")


def solve_em(phi: Tensor, counts: Tensor, exposure: Tensor, weights: Tensor) -> Tensor:
    """Each event is divided among the channels; the sums of shares are divided by the exposure."""
    return weights * (phi.T @ (counts / (phi @ weights))) / exposure


CASES = ((2.0, 0.5, 0.6, 4.0, 1.0), (0.0, 1.0, 0.3, 2.0, 3.0), (5.0, 0.0, 0.9, 10.0, 0.5))


def check_expected(answer: Callable[[float, float, float, float, float], float]) -> None:
    """Three cases against the closed form (which tests compare with simulated users)."""
    for case in CASES:
        require_close(answer(*case), expected_count(*case), 1e-6, f"the expected count in the case {case}")


def expected_count(excess: float, mu: float, a: float, beta: float, horizon: float) -> float:
    """E of the events in a horizon: the excess decays at the rate beta (1 - a), to the level a mu / (1 - a)."""
    level, rate = a * mu / (1 - a), beta * (1 - a)
    return (mu + level) * horizon + (excess - level) * (1 - math.exp(-rate * horizon)) / rate


def check_dual(answer: Callable[..., float]) -> None:
    """The definition at random prices; and never below the linear program."""
    table, bounds = example_scores(12, 8), Exposure(least=2, most=6)
    optimum = baselines.linear_program(table, 2, bounds)[0]
    for seed in range(3):
        u, low, high = (example_scores(1, size, 20 + seed)[0] for size in (12, 8, 8))
        computed = float(answer(table, u, -low, high, 2, bounds.least, bounds.most, 0.05))
        expected = solve_dual(table, u, -low, high, 2, bounds.least, bounds.most, 0.05)
        if computed < optimum - 1e-9:
            raise NotYet(f"a dual value may not lie below the best matching, {optimum:.4f}; this is {computed:.4f}.")
        require_close(computed, expected, 1e-6, "the dual value")


def solve_dual(
    table: Tensor, u: Tensor, low: Tensor, high: Tensor, k: int, least: float, most: float, epsilon: float
) -> float:
    """Three budgets at their prices, and the smooth positive part of what remains of the scores."""
    n, m = table.shape
    rest = (table - u.unsqueeze(1) - low - high) / epsilon
    budgets = u.mean() * k / m + low.mean() * least / n + high.mean() * most / n
    return float(budgets + epsilon * functional.softplus(rest).mean())


def check_engaged(answer: Callable[[Tensor, Tensor, float], float]) -> None:
    """Equal activities give the plain shortfall; then a table against the solution."""
    chosen, rate = example_scores(20, 7) > 0.8, example_scores(1, 20, 9)[0].square()
    plain = matching.shortfall(chosen, 4)
    require_close(answer(chosen, torch.full((20,), 3.0), 4), plain, 1e-4, "the shortfall where all are equally active")
    require_close(answer(chosen, rate, 4), solve_engaged(chosen, rate, 4), 1e-4, "the engaged shortfall")


def solve_engaged(chosen: Tensor, rate: Tensor, least: float) -> float:
    """A state counts by its activity over the mean activity."""
    shown = (chosen.double() * (rate / rate.mean()).double().unsqueeze(1)).sum(0)
    return 100 * float((least - shown).clamp(min=0).sum()) / (least * chosen.shape[1])


EXERCISES = (
    Exercise(
        id="E1",
        title="Two rankings",
        stars=1,
        minutes=10,
        check=check_rankings,
        hints=("`topk` along one dimension gives a threshold.", "`keepdim`, or a slice `[-1:]`, keeps the shape."),
        solution=solve_rankings,
    ),
    Exercise(
        id="E2",
        title="A step that cannot overshoot",
        stars=2,
        minutes=15,
        check=check_em,
        hints=("Channel j explains the share w_j phi_ij / phi_i'w of event i.", "Divide the shares by the exposure."),
        solution=solve_em,
    ),
    Exercise(
        id="E3",
        title="Not now, but over the horizon",
        stars=3,
        minutes=30,
        check=check_expected,
        hints=(
            "In the mean, the excess x obeys x' = -beta x + a beta (mu + x).",
            "It decays at the rate beta (1 - a) to a level that is not zero.",
        ),
        solution=expected_count,
    ),
    Exercise(
        id="E4",
        title="Both bounds at once",
        stars=3,
        minutes=25,
        check=check_dual,
        hints=("Each budget is paid at its price.", "`functional.softplus` is the smooth positive part."),
        solution=solve_dual,
    ),
    Exercise(
        id="E5",
        title="Research: exposure to active states",
        stars=4,
        minutes=60,
        check=check_engaged,
        hints=("If all are equally active, it must be the plain shortfall.", "One item's surplus helps no other item."),
        solution=solve_engaged,
    ),
)
