"""Exercises of the lesson: checks, hints and reference answers. The statements stand in the notebook."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from scipy import stats
from torch import Tensor

from companion.lab.exercises import Exercise, NotYet, require_close
from companion.visual_generalization import method
from companion.visual_generalization.method import COMPOSITION, EXTRAPOLATION, Grid

# ---------------------------------------------------------------- E1: shares

SMALL = Grid(("a", "b"), (10, 20), (), 0.25)


def check_shares(answer: Any) -> None:
    """Against the masks."""
    expected = [float(method.train_mask(SMALL, split).double().mean()) for split in (EXTRAPOLATION, COMPOSITION)]
    require_close(answer, expected, 1e-3, "the list of two shares")


# ---------------------------------------------------------------- E2: the shortcut in closed form


def check_trap(answer: Callable[[int, int], float]) -> None:
    """Ten and forty orientations, and two more."""
    for n, low in ((10, 1), (40, 4), (15, 1), (8, 3)):
        require_close(answer(n, low), solve_trap(n, low), 1e-6, f"the score for n = {n}, low = {low}")


def solve_trap(n: int, low: int) -> float:
    """Predict the mean of the low values; the test images have all the others."""
    prediction = (low - 1) / 2
    error = np.mean([((k - prediction) / (n - 1)) ** 2 for k in range(low, n)])
    return float(1 - error / ((n + 1) / (12 * (n - 1))))


# ---------------------------------------------------------------- E3: the other denominator


def check_denominator(answer: Callable[[Tensor, Tensor], Tensor]) -> None:
    """Random predictions, and targets that vary little."""
    stream = torch.Generator().manual_seed(0)
    targets = 0.8 + 0.2 * torch.rand(200, 3, generator=stream)
    prediction = targets + 0.1 * torch.randn(200, 3, generator=stream)
    require_close(answer(prediction, targets), solve_denominator(prediction, targets), 1e-4, "the three scores")


def solve_denominator(predicted: Tensor, targets: Tensor) -> Tensor:
    """The usual R^2, factor by factor."""
    return 1 - (predicted - targets).square().mean(0) / targets.var(0, unbiased=False)


# ---------------------------------------------------------------- E4: a split without the shortcut

SIZES = (6, 10, 8, 8)


def check_split(answer: Callable[[tuple[int, ...]], Tensor]) -> None:
    """Pairs are held out, but no two values predict a third."""
    mask = answer(SIZES)
    if not isinstance(mask, Tensor) or mask.shape != SIZES or mask.dtype != torch.bool:
        raise NotYet(f"the mask must be a bool tensor of shape {SIZES}.")
    share = float(mask.float().mean())
    if not 0.1 <= share <= 0.6:
        raise NotYet(f"between a tenth and six tenths of the images should train, and {share:.0%} do.")
    for i in range(4):
        for j in range(i + 1, 4):
            _pairs(mask, i, j)
            for k in set(range(4)) - {i, j}:
                _third(mask, i, j, k)


def _pairs(mask: Tensor, i: int, j: int) -> None:
    rest = tuple(set(range(4)) - {i, j})
    met = mask.any(dim=rest)
    if bool(met.all()):
        raise NotYet(f"factors {i} and {j}: every pair of values is trained on, so nothing new is composed.")
    if not bool((met.any(0)).all() and (met.any(1)).all()):
        raise NotYet(f"factors {i} and {j}: a value is never trained on, so more than composition is tested.")


def _third(mask: Tensor, i: int, j: int, k: int) -> None:
    (rest,) = set(range(4)) - {i, j, k}
    table = mask.any(dim=rest)  # the three axes keep their order
    axis = sorted((i, j, k)).index(k)
    left = table.sum(dim=axis)
    if int(left[left > 0].min()) < SIZES[k] // 3:
        raise NotYet(f"two values of factors {i} and {j} leave few values of factor {k}: one predicts the other.")


def solve_split(sizes: tuple[int, ...]) -> Tensor:
    """A fifth of the pairs of any two factors, on diagonals."""
    mask = torch.ones(sizes, dtype=torch.bool)
    axes = [torch.arange(n).view([-1 if j == k else 1 for k in range(4)]) for j, n in enumerate(sizes)]
    for i in range(4):
        for j in range(i + 1, 4):
            mask &= (axes[i] + 2 * axes[j]) % 5 != 0
    return mask


# ---------------------------------------------------------------- E5: research


def check_paired(answer: Callable[[np.ndarray, np.ndarray], tuple[float, float]]) -> None:
    """Two models on the same eight seeds."""
    rng = np.random.default_rng(0)
    luck = rng.normal(size=8)
    a, b = 0.5 + luck + 0.1 * rng.normal(size=8), 0.4 + luck + 0.1 * rng.normal(size=8)
    require_close(answer(a, b), solve_paired(a, b), 1e-6, "the ends of the interval")


def solve_paired(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """Differences seed by seed, then Student's t."""
    gap = a - b
    half = stats.t.ppf(0.975, len(gap) - 1) * gap.std(ddof=1) / np.sqrt(len(gap))
    return float(gap.mean() - half), float(gap.mean() + half)


EXERCISES = (
    Exercise(
        id="E1",
        title="Two shares",
        stars=1,
        minutes=10,
        check=check_shares,
        hints=("ceil(10 x 0.25) values of the first factor are held out.", "q = 1 - (1 - 0.75²)^(1/2), then floor."),
        solution=[0.525, 0.51],
        function=False,
    ),
    Exercise(
        id="E2",
        title="The depth of the trap",
        stars=2,
        minutes=20,
        check=check_trap,
        hints=(
            "The test images have the values low, ..., n - 1, all equally often.",
            "The prediction is (low - 1) / 2 steps.",
        ),
        solution=solve_trap,
    ),
    Exercise(
        id="E3",
        title="The other denominator",
        stars=2,
        minutes=15,
        check=check_denominator,
        hints=("Means and variances run over the images, `dim=0`.", "`unbiased=False` divides by B."),
        solution=solve_denominator,
    ),
    Exercise(
        id="E4",
        title="Composition without a trap",
        stars=3,
        minutes=30,
        check=check_split,
        hints=("Hold out pairs of values.", "Diagonals, such as (a + 2 b) % 5 == 0, are fair."),
        solution=solve_split,
    ),
    Exercise(
        id="E5",
        title="Research: does knowing where help?",
        stars=4,
        minutes=90,
        check=check_paired,
        hints=("Subtract seed by seed first.", "`scipy.stats.t.ppf(0.975, n - 1)`; `std(ddof=1)`."),
        solution=solve_paired,
    ),
)
