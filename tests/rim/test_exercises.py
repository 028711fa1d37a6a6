"""Recurrent intensity modeling's exercises: plausible wrong answers are refused, and the solutions are right."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from companion.lab.exercises import NOT_YET, RIGHT, examine
from companion.rim import data
from companion.rim.exercises import EXERCISES, expected_count, solve_dual, solve_rankings


def wrong_rankings_axes(table: Tensor, k: int, c: int) -> Tensor:
    """Swaps the axes."""
    return solve_rankings(table, k, c).flip(0)


def wrong_rankings_whole(table: Tensor, k: int, c: int) -> Tensor:
    """One threshold for the whole matrix."""
    flat = table.flatten().sort(descending=True).values
    return torch.stack([table >= flat[k * len(table) - 1], table >= flat[c * table.shape[1] - 1]])


def wrong_em_gradient(phi: Tensor, counts: Tensor, exposure: Tensor, weights: Tensor) -> Tensor:
    """A gradient step."""
    return (weights + 0.01 * (phi.T @ (counts / (phi @ weights)) - exposure)).clamp(min=0)


def wrong_em_old_weights(phi: Tensor, counts: Tensor, exposure: Tensor, weights: Tensor) -> Tensor:
    """Omits the old weights from the share."""
    return (phi.T @ (counts / (phi @ weights))) / exposure


def wrong_expected_now(excess: float, mu: float, a: float, beta: float, horizon: float) -> float:
    """Assumes the present intensity for the whole horizon."""
    return (mu + excess) * horizon


def wrong_expected_no_children(excess: float, mu: float, a: float, beta: float, horizon: float) -> float:
    """Lets the excess decay at beta, as if new events excited nothing."""
    decayed = 1 - torch.exp(torch.tensor(-beta * horizon, dtype=torch.float64)).item()
    return mu * horizon + excess * decayed / beta


def wrong_dual_hard(
    table: Tensor, u: Tensor, low: Tensor, high: Tensor, k: int, least: float, most: float, epsilon: float
) -> float:
    """Omits the smoothing."""
    n, m = table.shape
    budgets = u.mean() * k / m + low.mean() * least / n + high.mean() * most / n
    return float(budgets + (table - u.unsqueeze(1) - low - high).clamp(min=0).mean())


def wrong_dual_sign(
    table: Tensor, u: Tensor, low: Tensor, high: Tensor, k: int, least: float, most: float, epsilon: float
) -> float:
    """Charges for the least exposure instead of paying for it."""
    return solve_dual(table, u, -low, high, k, least, most, epsilon)


def wrong_engaged_total(chosen: Tensor, rate: Tensor, least: float) -> float:
    """Lets one item's surplus pay for another's lack."""
    shown = (chosen.double() * (rate / rate.mean()).double().unsqueeze(1)).sum(0)
    return 100 * max(0.0, float((least - shown).sum())) / (least * chosen.shape[1])


def wrong_engaged_unscaled(chosen: Tensor, rate: Tensor, least: float) -> float:
    """Counts in events, whatever the mean activity is."""
    shown = (chosen.double() * rate.double().unsqueeze(1)).sum(0)
    return 100 * float((least - shown).clamp(min=0).sum()) / (least * chosen.shape[1])


WRONG = {
    "E1": (wrong_rankings_axes, wrong_rankings_whole),
    "E2": (wrong_em_gradient, wrong_em_old_weights),
    "E3": (wrong_expected_now, wrong_expected_no_children),
    "E4": (wrong_dual_hard, wrong_dual_sign),
    "E5": (wrong_engaged_total, wrong_engaged_unscaled),
}


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda exercise: exercise.id)
def test_wrong_answers_are_refused_and_the_solution_is_right(exercise) -> None:
    assert len(WRONG[exercise.id]) >= 2
    for answer in WRONG[exercise.id]:
        outcome = examine(exercise, answer)
        assert outcome.state == NOT_YET, answer
        assert "raised" not in outcome.reason, outcome.reason
    assert examine(exercise, exercise.solution).state == RIGHT


def test_the_expected_count_of_exercise_3_is_that_of_simulated_users() -> None:
    mu, a, beta, horizon, b = 1.0, 0.5, 4.0, 1.5, 0.8
    weights = torch.tensor([a, b, mu], dtype=torch.float64)
    scales = torch.tensor([1 / beta], dtype=torch.float64)
    times = data.simulate(weights, scales, 20_000, horizon, torch.Generator().manual_seed(2))
    observed = float(times.isfinite().sum(1).double().mean()) - 1
    assert abs(expected_count(b * beta, mu, a, beta, horizon) / observed - 1) < 0.02
