"""What models are measured against: oracles that know the factors, constants, and the nearest training image.

An oracle is a function of the true factors: it says what a predictor of a known kind would score, before any training.
"""

from __future__ import annotations

import torch
from torch import Tensor

from companion.visual_generalization.method import Grid, held_out

CLAMP, SHORTCUT, TRAIN_MEAN, GRID_MEAN, NEAREST = (
    "clamp oracle", "shortcut oracle", "train mean", "grid mean", "nearest image",
)  # fmt: skip


def clamp(factors: Tensor, grid: Grid, split: str) -> Tensor:
    """Perfect inside the trained range, and stuck at its ends: targets (B, F) of factors (B, F)."""
    stuck = factors.clone()
    for j in grid.taking_part:
        kept = [value for value in range(grid.sizes[j]) if value not in held_out(grid.sizes[j], grid.ratio, split)]
        stuck[:, j] = factors[:, j].clamp(min(kept), max(kept))
    return grid.targets(stuck)


def shortcut(factors: Tensor, grid: Grid, factor: str) -> Tensor:
    """Perfect but for one factor, which is always said to be 0: what composition's training images suggest."""
    said = factors.clone()
    said[:, grid.place(factor)] = 0
    return grid.targets(said)


def constant(targets: Tensor, count: int) -> Tensor:
    """The mean of targets (N, F), said of everything: (count, F)."""
    return targets.mean(0).expand(count, -1)


def grid_mean(grid: Grid, count: int) -> Tensor:
    """A half for every factor, (count, F): what somebody says who knows the grid and sees nothing."""
    return torch.full((count, len(grid.sizes)), 0.5)


def nearest(images: Tensor, train_images: Tensor, train_targets: Tensor) -> Tensor:
    """The targets of the training image nearest in pixels, (B, F), for images (B, C, S, S)."""
    known = train_images.flatten(1)
    length = known.square().sum(1)
    best = [(length - 2 * part.flatten(1) @ known.T).argmin(1) for part in images.split(500)]
    return train_targets[torch.cat(best)]
