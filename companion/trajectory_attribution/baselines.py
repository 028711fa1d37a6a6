"""What the predictor is measured against: constant velocity, no neighbours at all, and simpler rankings."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from companion.trajectory_attribution.method import Batch, straight_on


def constant_velocity(batch: Batch) -> Tensor:
    """The last observed step again and again, (N, F, 2)."""
    return straight_on(batch.past, batch.future.shape[1])


def alone(batch: Batch) -> Batch:
    """The same targets, and not one slot for a neighbour: what a model sees that is trained without them."""
    return replace(batch, tracks=batch.tracks[:, :0], kind=batch.kind[:, :0], mask=batch.mask[:, :0])


def nearness(batch: Batch) -> Tensor:
    """Minus the distance of each neighbour at the present, metres, (N, K)."""
    return -batch.tracks[:, :, -1].norm(dim=-1)


def closest_approach(batch: Batch) -> Tensor:
    """Minus the least distance to each neighbour if everybody kept his velocity, metres, (N, K)."""
    steps = batch.future.shape[1]
    mine = straight_on(batch.past, steps).unsqueeze(1)
    theirs = batch.tracks[:, :, -1:] + straight_on(batch.tracks, steps)
    return -torch.cat([batch.tracks[:, :, -1:], theirs - mine], dim=2).norm(dim=-1).amin(-1)
