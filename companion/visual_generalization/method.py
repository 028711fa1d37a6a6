"""Controlled splits of a grid of factors, and the R^2 of a model on what was held out, in the benchmark's own terms.

symbol        identifier          shape
y             factors             (B, F)      int64, the index of each factor's value
n_j           Grid.sizes          (F,)        how many values factor j has
y~            targets             (B, F)      float, y_j / (n_j - 1), in [0, 1]
V             Grid.taking_part                the factors that a split is about; the others stay free in both sets
r             Grid.ratio          ()          the share of each factor's values that is held out
q             low_share           ()          composition: the share of low values, so that a like share trains
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
ORDER_OF_RANDOM = 2107  # the random split is one split, the same for everybody: it has a seed of its own


@dataclass(frozen=True)
class Grid:
    """A world's factors: names, how many values each has, which stay free in every split, and the ratio r."""

    names: tuple[str, ...]
    sizes: tuple[int, ...]
    free: tuple[str, ...]
    ratio: float

    @property
    def taking_part(self) -> tuple[int, ...]:
        """The places of the factors that a split is about (V)."""
        return tuple(j for j, name in enumerate(self.names) if name not in self.free)

    @property
    def count(self) -> int:
        """How many images the grid has."""
        return math.prod(self.sizes)

    def place(self, name: str) -> int:
        """The place of a factor; an unknown name is told the known ones."""
        if name not in self.names:
            raise CompanionError(f"factor = {name!r} is not in this world; use one of {', '.join(self.names)}.")
        return self.names.index(name)

    def factors(self, flat: Tensor) -> Tensor:
        """Images by their number in the grid, (B,) int64, to factors y (B, F) int64; the last factor runs fastest."""
        return torch.stack(torch.unravel_index(flat, self.sizes), dim=1)

    def numbers(self, factors: Tensor) -> Tensor:
        """The other way: factors y (B, F) int64, on the CPU, to the images' numbers in the grid, (B,) int64."""
        return torch.from_numpy(np.ravel_multi_index(tuple(factors.T.numpy()), self.sizes))

    def targets(self, factors: Tensor) -> Tensor:
        """Factors y (B, F) to what a model must say, y~ (B, F) float32 in [0, 1]."""
        return factors / (torch.tensor(self.sizes, device=factors.device) - 1)


# ---------------------------------------------------------------- the five splits


def held_out(n: int, ratio: float, split: str) -> list[int]:
    """The values of a factor with n values that no training image shows: ceil(n r) of them, by the split's rule."""
    count = math.ceil(n * ratio - 1e-9)
    if split == EXTRAPOLATION:
        return list(range(n - count, n))
    kept = np.round(np.linspace(0, n - 1, n - count)).astype(int)
    return sorted(set(range(n)) - set(kept.tolist()))


def in_range(grid: Grid, split: str) -> list[Tensor]:
    """Per factor, which of its values are trained on, (n_j,) bool: for interpolation and extrapolation."""
    seen = [torch.ones(n, dtype=torch.bool) for n in grid.sizes]
    for j in grid.taking_part:
        seen[j][held_out(grid.sizes[j], grid.ratio, split)] = False
    return seen


def low_share(grid: Grid) -> float:
    """q = 1 - (1 - (1 - r)^|V|)^(1/|V|): with it a union of slabs is as large as extrapolation's product of ranges."""
    v = len(grid.taking_part)
    return 1 - (1 - (1 - grid.ratio) ** v) ** (1 / v)


def low_counts(grid: Grid, share: float | None = None) -> dict[int, int]:
    """Composition: per factor of V how many low values it has, floor(n_j q); with few values that can be none."""
    q = low_share(grid) if share is None else share
    return {j: math.floor(grid.sizes[j] * q + 1e-9) for j in grid.taking_part}


def along(grid: Grid, j: int, values: Tensor) -> Tensor:
    """A property of factor j's values, (n_j,), shaped so that it broadcasts over the whole grid."""
    return values.view([-1 if k == j else 1 for k in range(len(grid.sizes))])


def train_mask(grid: Grid, split: str, share: float | None = None) -> Tensor:
    """Which images train, bool of the grid's shape; all others test. share: composition's q, where it is given."""
    if split == RANDOM:
        return _random(grid)
    if split in (INTERPOLATION, EXTRAPOLATION):
        return _all([along(grid, j, seen) for j, seen in enumerate(in_range(grid, split))], grid)
    if split == COMPOSITION:
        low = [along(grid, j, torch.arange(grid.sizes[j]) < k) for j, k in low_counts(grid, share).items()]
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
    """As many images as extrapolation trains on, drawn once."""
    order = torch.randperm(grid.count, generator=torch.Generator().manual_seed(ORDER_OF_RANDOM))
    mask = torch.zeros(grid.count, dtype=torch.bool)
    mask[order[: int(train_mask(grid, EXTRAPOLATION).sum())]] = True
    return mask.view(grid.sizes)


def _scattered(grid: Grid) -> Tensor:
    """Ours: of every two factors of V a fifth of the pairs of values is held out, on diagonals: no value tells another.

    An image trains if none of its pairs is held out. Each value of a factor meets four fifths of another's values.
    """
    mask = torch.ones(grid.sizes, dtype=torch.bool)
    for place, i in enumerate(grid.taking_part):
        for j in grid.taking_part[place + 1 :]:
            a, b = (along(grid, k, torch.arange(grid.sizes[k])) for k in (i, j))
            mask &= (a + 2 * b + i * j) % 5 != 0
    return mask


def only_one_out(grid: Grid, split: str, factor: str) -> Tensor:
    """Modularity: images with exactly this factor out of the trained range, all others in it; bool, grid's shape."""
    seen, place = in_range(grid, split), grid.place(factor)
    return _all([along(grid, j, ~s if j == place else s) for j, s in enumerate(seen)], grid)


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
    """R^2 of each factor, (F,) float64: 1 is perfect, the grid's mean scores 0 on a random test, and there is no floor.

    predicted, targets (B, F). As the benchmark has it, the error on the test set is divided by the grid's variance.
    """
    error = (predicted.double() - targets.double()).square().mean(0)
    return 1 - error / grid_variance(grid).to(error.device)


def scores(predicted: Tensor, targets: Tensor, grid: Grid) -> Mapping[str, float]:
    """R^2 by factor, its mean over all of them (the benchmark's), and over those that take part ("ordered")."""
    found = r_squared(predicted, targets, grid)
    named = {name: float(value) for name, value in zip(grid.names, found, strict=True)}
    return named | {"all": float(found.mean()), "ordered": float(found[list(grid.taking_part)].mean())}
