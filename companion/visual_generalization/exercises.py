"""Exercises of the lesson: what is asked, how an answer is checked, hints, a reference answer, wrong answers."""

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
    wanted = [float(method.train_mask(SMALL, split).double().mean()) for split in (EXTRAPOLATION, COMPOSITION)]
    require_close(answer, wanted, 1e-3, "the list of two shares")


# ---------------------------------------------------------------- E2: the trap, in closed form


def check_trap(answer: Callable[[int, int], float]) -> None:
    """Ten and forty orientations, and two more."""
    for n, low in ((10, 1), (40, 4), (15, 1), (8, 3)):
        require_close(answer(n, low), solve_trap(n, low), 1e-6, f"the score for n = {n}, low = {low}")


def solve_trap(n: int, low: int) -> float:
    """Says the mean of the low values; the test images have all the others."""
    said = (low - 1) / 2
    error = np.mean([((k - said) / (n - 1)) ** 2 for k in range(low, n)])
    return float(1 - error / ((n + 1) / (12 * (n - 1))))


def wrong_trap_whole_grid(n: int, low: int) -> float:
    """Averages over all values, low ones included."""
    said = (low - 1) / 2
    error = np.mean([((k - said) / (n - 1)) ** 2 for k in range(n)])
    return float(1 - error / ((n + 1) / (12 * (n - 1))))


def wrong_trap_zero(n: int, low: int) -> float:
    """Always says 0, which is the best constant for a single low value alone."""
    error = np.mean([(k / (n - 1)) ** 2 for k in range(low, n)])
    return float(1 - error / ((n + 1) / (12 * (n - 1))))


# ---------------------------------------------------------------- E3: the other denominator


def check_denominator(answer: Callable[[Tensor, Tensor], Tensor]) -> None:
    """Random predictions, and targets that vary little."""
    stream = torch.Generator().manual_seed(0)
    targets = 0.8 + 0.2 * torch.rand(200, 3, generator=stream)
    said = targets + 0.1 * torch.randn(200, 3, generator=stream)
    require_close(answer(said, targets), solve_denominator(said, targets), 1e-4, "the three scores")


def solve_denominator(predicted: Tensor, targets: Tensor) -> Tensor:
    """The usual R^2, factor by factor."""
    return 1 - (predicted - targets).square().mean(0) / targets.var(0, unbiased=False)


def wrong_denominator_uniform(predicted: Tensor, targets: Tensor) -> Tensor:
    """The variance of a grid from 0 to 1, whatever the test set."""
    return 1 - (predicted - targets).square().mean(0) * 12


def wrong_denominator_together(predicted: Tensor, targets: Tensor) -> Tensor:
    """One error for all factors."""
    return (1 - (predicted - targets).square().mean() / targets.var(0, unbiased=False)).expand(3)


# ---------------------------------------------------------------- E4: a split without the trap

SIZES = (6, 10, 8, 8)


def check_split(answer: Callable[[tuple[int, ...]], Tensor]) -> None:
    """Pairs are held out, and yet no two values tell a third."""
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
        raise NotYet(f"two values of factors {i} and {j} leave few values of factor {k}: one tells the other.")


def solve_split(sizes: tuple[int, ...]) -> Tensor:
    """A fifth of the pairs of any two factors, on diagonals."""
    mask = torch.ones(sizes, dtype=torch.bool)
    axes = [torch.arange(n).view([-1 if j == k else 1 for k in range(4)]) for j, n in enumerate(sizes)]
    for i in range(4):
        for j in range(i + 1, 4):
            mask &= (axes[i] + 2 * axes[j]) % 5 != 0
    return mask


def wrong_split_benchmark(sizes: tuple[int, ...]) -> Tensor:
    """The benchmark's own rule: a low value anywhere lets every pair of values in."""
    return method.train_mask(Grid(("a", "b", "c", "d"), sizes, (), 0.1), COMPOSITION)


def wrong_split_random(sizes: tuple[int, ...]) -> Tensor:
    """Random images: every pair of values is met in training."""
    return torch.rand(sizes, generator=torch.Generator().manual_seed(0)) < 0.3


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


def wrong_paired_normal(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """1.96 where few seeds need more."""
    gap = a - b
    half = 1.96 * gap.std(ddof=1) / np.sqrt(len(gap))
    return float(gap.mean() - half), float(gap.mean() + half)


def wrong_paired_apart(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """Treats the seeds of the two models as strangers."""
    half = stats.t.ppf(0.975, 2 * len(a) - 2) * np.sqrt((a.var(ddof=1) + b.var(ddof=1)) / len(a))
    return float((a - b).mean() - half), float((a - b).mean() + half)


EXERCISES = (
    Exercise(
        id="E1",
        title="Two shares",
        stars=1,
        minutes=10,
        statement="A world has two factors with 10 and 20 values, both take part, and r = 0.25. Which share of its "
        "images trains in extrapolation, and which in composition? Give a list of two numbers, by hand.",
        check=check_shares,
        hints=("ceil(10 x 0.25) values of the first factor are held out.", "q = 1 - (1 - 0.75²)^(1/2), then floor."),
        solution=[0.525, 0.51],
        wrong=([0.5625, 0.51], [0.525, 0.09], [0.525, 0.49]),
        function=False,
    ),
    Exercise(
        id="E2",
        title="The depth of the trap",
        stars=2,
        minutes=20,
        statement="Write `trap(n, low)`: the R² in composition of a factor with n values of which the first `low` are "
        "low, for a predictor that always says the mean of the low values. For (10, 1) it must give -2.838. "
        "What happens to it when n grows and the share of low values stays?",
        check=check_trap,
        hints=("The test images have the values low, ..., n - 1, all equally often.", "It says (low - 1) / 2 steps."),
        solution=solve_trap,
        wrong=(wrong_trap_whole_grid, wrong_trap_zero),
    ),
    Exercise(
        id="E3",
        title="The other denominator",
        stars=2,
        minutes=15,
        statement="Write `usual_r2(predicted, targets)` for tensors (B, F): R² of each factor with the variance of the "
        "*test* targets below the bar. Then score the clamp oracle both ways on images with one factor out "
        "of range. Which of the two numbers would you print?",
        check=check_denominator,
        hints=("Means and variances run over the images, `dim=0`.", "`unbiased=False` divides by B."),
        solution=solve_denominator,
        wrong=(wrong_denominator_uniform, wrong_denominator_together),
    ),
    Exercise(
        id="E4",
        title="Composition without a trap",
        stars=3,
        minutes=30,
        statement="Write `my_split(sizes)` for sizes (6, 10, 8, 8): a bool mask, True where an image trains. "
        "Of any two factors some pairs of values are held out, every value trains, and no two values may leave fewer "
        "than a third of the values of another factor.",
        check=check_split,
        hints=("Hold out pairs of values.", "Diagonals, such as (a + 2 b) % 5 == 0, are fair."),
        solution=solve_split,
        wrong=(wrong_split_benchmark, wrong_split_random),
    ),
    Exercise(
        id="E5",
        title="Research: does knowing where help?",
        stars=4,
        minutes=90,
        statement="Does CoordConv go further than the plain CNN when x alone is out of range? Write `interval(a, b)`: "
        "the two ends of the 95 % interval of the mean difference of two lists of scores, one a seed, on the "
        "same seeds. Apply it to the metric 'R2, x' in the setting 'extrapolation, only x' of the recorded "
        "runs, and report it whatever its sign. Then change what CoordConv is told, and try again.",
        check=check_paired,
        hints=("Subtract seed by seed first.", "`scipy.stats.t.ppf(0.975, n - 1)`; `std(ddof=1)`."),
        solution=solve_paired,
        wrong=(wrong_paired_normal, wrong_paired_apart),
    ),
)
