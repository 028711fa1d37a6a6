"""Controlled splits of a grid of factors, and the R^2 of a model on what was held out, in the benchmark's own terms.

symbol        identifier          shape
y             factors             (B, F)      int64, the index of each factor's value
n_j           Grid.sizes          (F,)        number of values of factor j
y~            targets             (B, F)      float, y_j / (n_j - 1), in [0, 1]
V             Grid.varied                     the factors that a split holds out; all others are free in both sets
r             Grid.ratio          ()          share of each factor's values that is held out
q             low_share           ()          composition: share of low values, for a training set of the same size
R^2_j         r_squared           (F,)        1 - MSE_j(test) / Var_j(whole grid)
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from companion.errors import CompanionError

RANDOM, INTERPOLATION, EXTRAPOLATION, COMPOSITION = "random", "interpolation", "extrapolation", "composition"
SCATTERED = "scattered composition"
SPLITS = (RANDOM, INTERPOLATION, EXTRAPOLATION, COMPOSITION)
RANDOM_SPLIT_SEED = 2107  # the random split is fixed: it does not depend on the experiment's seed


@dataclass(frozen=True)
class Grid:
    """The factors of a data set: names, numbers of values, which are free in every split, and the ratio r."""

    names: tuple[str, ...]
    sizes: tuple[int, ...]
    free: tuple[str, ...]
    ratio: float

    @property
    def varied(self) -> tuple[int, ...]:
        """Indices of the factors that a split holds out (V)."""
        return tuple(j for j, name in enumerate(self.names) if name not in self.free)

    @property
    def count(self) -> int:
        """Number of images in the grid."""
        return math.prod(self.sizes)

    def index(self, name: str) -> int:
        """Index of a factor; an unknown name is an error that lists the known ones."""
        if name not in self.names:
            raise CompanionError(f"factor = {name!r} is not in this data set; use one of {', '.join(self.names)}.")
        return self.names.index(name)

    def factors(self, flat: Tensor) -> Tensor:
        """From indices in the grid, (B,) int64, to factors y (B, F) int64; the last factor varies fastest."""
        return torch.stack(torch.unravel_index(flat, self.sizes), dim=1)

    def indices(self, factors: Tensor) -> Tensor:
        """From factors y (B, F) int64, on the CPU, to indices in the grid, (B,) int64."""
        return torch.from_numpy(np.ravel_multi_index(tuple(factors.T.numpy()), self.sizes))

    def targets(self, factors: Tensor) -> Tensor:
        """Factors y (B, F) to the targets of a model, y~ (B, F) float32 in [0, 1]."""
        return factors / (torch.tensor(self.sizes, device=factors.device) - 1)


# ---------------------------------------------------------------- the five splits


def held_out(n: int, ratio: float, split: str) -> list[int]:
    """The held-out values of a factor with n values: ceil(n r) of them, by the split's rule."""
    count = math.ceil(n * ratio - 1e-9)
    if split == EXTRAPOLATION:
        return list(range(n - count, n))
    kept = np.round(np.linspace(0, n - 1, n - count)).astype(int)
    return sorted(set(range(n)) - set(kept.tolist()))


def in_range(grid: Grid, split: str) -> list[Tensor]:
    """For each factor, which of its values are in the training set, (n_j,) bool; interpolation or extrapolation."""
    trained = [torch.ones(n, dtype=torch.bool) for n in grid.sizes]
    for j in grid.varied:
        trained[j][held_out(grid.sizes[j], grid.ratio, split)] = False
    return trained


def low_share(grid: Grid) -> float:
    """q = 1 - (1 - (1 - r)^|V|)^(1/|V|): then composition trains on as many images as extrapolation."""
    v = len(grid.varied)
    return 1 - (1 - (1 - grid.ratio) ** v) ** (1 / v)


def low_counts(grid: Grid, share: float | None = None) -> dict[int, int]:
    """Composition: the number of low values of each factor of V, floor(n_j q); 0 is possible for few values."""
    q = low_share(grid) if share is None else share
    return {j: math.floor(grid.sizes[j] * q + 1e-9) for j in grid.varied}


def broadcast(grid: Grid, j: int, values: Tensor) -> Tensor:
    """A property of factor j's values, (n_j,), shaped so that it broadcasts over the whole grid."""
    return values.view([-1 if k == j else 1 for k in range(len(grid.sizes))])


def train_mask(grid: Grid, split: str, share: float | None = None) -> Tensor:
    """True for training images, bool of the grid's shape; all others are test images. share: composition's q."""
    if split == RANDOM:
        return _random(grid)
    if split in (INTERPOLATION, EXTRAPOLATION):
        return _all([broadcast(grid, j, trained) for j, trained in enumerate(in_range(grid, split))], grid)
    if split == COMPOSITION:
        low = [broadcast(grid, j, torch.arange(grid.sizes[j]) < k) for j, k in low_counts(grid, share).items()]
        return ~_all([~some for some in low], grid)
    if split == SCATTERED:
        return _scattered(grid)
    raise CompanionError(f"split = {split!r} is not known; use one of {', '.join((*SPLITS, SCATTERED))}.")


def _all(conditions: list[Tensor], grid: Grid) -> Tensor:
    mask = torch.ones(grid.sizes, dtype=torch.bool)
    for condition in conditions:
        mask &= condition
    return mask


def _random(grid: Grid) -> Tensor:
    """As many random images as extrapolation trains on, drawn once."""
    order = torch.randperm(grid.count, generator=torch.Generator().manual_seed(RANDOM_SPLIT_SEED))
    mask = torch.zeros(grid.count, dtype=torch.bool)
    mask[order[: int(train_mask(grid, EXTRAPOLATION).sum())]] = True
    return mask.view(grid.sizes)


def _scattered(grid: Grid) -> Tensor:
    """Our own: of any two factors of V a fifth of the pairs of values is held out, on diagonals.

    An image is a training image if none of its pairs is held out. Each value of a factor occurs with four fifths of
    another factor's values, so that no value predicts another.
    """
    mask = torch.ones(grid.sizes, dtype=torch.bool)
    for place, i in enumerate(grid.varied):
        for j in grid.varied[place + 1 :]:
            a, b = (broadcast(grid, k, torch.arange(grid.sizes[k])) for k in (i, j))
            mask &= (a + 2 * b + i * j) % 5 != 0
    return mask


def only_one_out(grid: Grid, split: str, factor: str) -> Tensor:
    """Modularity: images with exactly this factor outside the training range; bool, the grid's shape."""
    trained, index = in_range(grid, split), grid.index(factor)
    return _all([broadcast(grid, j, ~values if j == index else values) for j, values in enumerate(trained)], grid)


def agreement(mask: Tensor, factors: Tensor) -> float:
    """The share of the grid on which a mask and a list of training images, factors (N, F) int64, agree."""
    listed = torch.zeros_like(mask)
    listed[tuple(factors.T)] = True
    return float((mask == listed).float().mean())


def sample(mask: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """`count` images of a mask, (count,) int64, without repeats; all of them, shuffled, where there are fewer."""
    flat = torch.nonzero(mask.flatten())[:, 0]
    return flat[torch.randperm(len(flat), generator=generator)[:count]]


# ---------------------------------------------------------------- the metric


def grid_variance(grid: Grid) -> Tensor:
    """The variance of each target over the *whole* grid, (F,) float64: (n + 1) / (12 (n - 1))."""
    n = torch.tensor(grid.sizes, dtype=torch.float64)
    return (n + 1) / (12 * (n - 1))


def r_squared(predicted: Tensor, targets: Tensor, grid: Grid) -> Tensor:
    """R^2 of each factor, (F,) float64: 1 is perfect, and there is no lower bound.

    Predicting the grid's mean scores 0 on a random test set.

    predicted, targets (B, F). As in the benchmark, the test error is divided by the variance over the whole grid.
    """
    error = (predicted.double() - targets.double()).square().mean(0)
    return 1 - error / grid_variance(grid).to(error.device)


def scores(predicted: Tensor, targets: Tensor, grid: Grid) -> Mapping[str, float]:
    """R^2 by factor, its mean over all factors (the benchmark's score), and over the factors of V ("ordered")."""
    found = r_squared(predicted, targets, grid)
    named = {name: float(value) for name, value in zip(grid.names, found, strict=True)}
    return named | {"all": float(found.mean()), "ordered": float(found[list(grid.varied)].mean())}
