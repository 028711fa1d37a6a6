"""What models are compared with: oracles that know the factors, constants, and the nearest training image.

An oracle is a function of the true factors: it gives the score of a predictor with a known error, without training.
"""

from __future__ import annotations

import torch
from torch import Tensor

from companion.visual_generalization.method import Grid, held_out

CLAMP, SHORTCUT, TRAIN_MEAN, GRID_MEAN, NEAREST = (
    "clamp oracle", "shortcut oracle", "train mean", "grid mean", "nearest image",
)  # fmt: skip


def clamp(factors: Tensor, grid: Grid, split: str) -> Tensor:
    """Perfect inside the training range and clamped to its ends: targets (B, F) from factors (B, F)."""
    clamped = factors.clone()
    for j in grid.varied:
        trained = [value for value in range(grid.sizes[j]) if value not in held_out(grid.sizes[j], grid.ratio, split)]
        clamped[:, j] = factors[:, j].clamp(min(trained), max(trained))
    return grid.targets(clamped)


def shortcut(factors: Tensor, grid: Grid, factor: str) -> Tensor:
    """Perfect except for one factor, which is always predicted to be 0, as composition's training images suggest."""
    predicted = factors.clone()
    predicted[:, grid.index(factor)] = 0
    return grid.targets(predicted)


def constant(targets: Tensor, count: int) -> Tensor:
    """The mean of targets (N, F) as the prediction for all images: (count, F)."""
    return targets.mean(0).expand(count, -1)


def grid_mean(grid: Grid, count: int) -> Tensor:
    """One half for every factor, (count, F): the mean over the whole grid."""
    return torch.full((count, len(grid.sizes)), 0.5)


def nearest(images: Tensor, train_images: Tensor, train_targets: Tensor) -> Tensor:
    """The targets of the training image nearest in pixels, (B, F), for images (B, C, S, S)."""
    known = train_images.flatten(1)
    length = known.square().sum(1)
    best = [(length - 2 * part.flatten(1) @ known.T).argmin(1) for part in images.split(500)]
    return train_targets[torch.cat(best)]
