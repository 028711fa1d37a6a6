"""Exercises of the lesson on visual generalization: plausible wrong answers are refused with a reason."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from companion.lab.exercises import NOT_YET, RIGHT, examine
from companion.visual_generalization import method
from companion.visual_generalization.exercises import EXERCISES
from companion.visual_generalization.method import COMPOSITION, Grid


def wrong_trap_whole_grid(n: int, low: int) -> float:
    """Averages over all values, low ones included."""
    said = (low - 1) / 2
    error = np.mean([((k - said) / (n - 1)) ** 2 for k in range(n)])
    return float(1 - error / ((n + 1) / (12 * (n - 1))))


def wrong_trap_zero(n: int, low: int) -> float:
    """Always says 0, which is the best constant for a single low value alone."""
    error = np.mean([(k / (n - 1)) ** 2 for k in range(low, n)])
    return float(1 - error / ((n + 1) / (12 * (n - 1))))


def wrong_denominator_uniform(predicted: Tensor, targets: Tensor) -> Tensor:
    """The variance of a grid from 0 to 1, whatever the test set."""
    return 1 - (predicted - targets).square().mean(0) * 12


def wrong_denominator_together(predicted: Tensor, targets: Tensor) -> Tensor:
    """One error for all factors."""
    return (1 - (predicted - targets).square().mean() / targets.var(0, unbiased=False)).expand(3)


def wrong_split_benchmark(sizes: tuple[int, ...]) -> Tensor:
    """The benchmark's own rule: a low value anywhere lets every pair of values in."""
    return method.train_mask(Grid(("a", "b", "c", "d"), sizes, (), 0.1), COMPOSITION)


def wrong_split_random(sizes: tuple[int, ...]) -> Tensor:
    """Random images: every pair of values is met in training."""
    return torch.rand(sizes, generator=torch.Generator().manual_seed(0)) < 0.3


def wrong_paired_normal(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """1.96 where few seeds need more."""
    gap = a - b
    half = 1.96 * gap.std(ddof=1) / np.sqrt(len(gap))
    return float(gap.mean() - half), float(gap.mean() + half)


def wrong_paired_apart(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """Treats the seeds of the two models as independent."""
    half = stats.t.ppf(0.975, 2 * len(a) - 2) * np.sqrt((a.var(ddof=1) + b.var(ddof=1)) / len(a))
    return float((a - b).mean() - half), float((a - b).mean() + half)


WRONG = {
    "E1": ([0.5625, 0.51], [0.525, 0.09], [0.525, 0.49]),
    "E2": (wrong_trap_whole_grid, wrong_trap_zero),
    "E3": (wrong_denominator_uniform, wrong_denominator_together),
    "E4": (wrong_split_benchmark, wrong_split_random),
    "E5": (wrong_paired_normal, wrong_paired_apart),
}


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda exercise: exercise.id)
def test_wrong_answers_are_refused_and_the_solution_is_right(exercise) -> None:
    assert len(WRONG[exercise.id]) >= 2
    for answer in WRONG[exercise.id]:
        outcome = examine(exercise, answer)
        assert outcome.state == NOT_YET, answer
        assert "raised" not in outcome.reason, outcome.reason
    assert examine(exercise, exercise.solution).state == RIGHT
