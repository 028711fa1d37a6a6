"""What is compared with: constant velocity, a model without neighbors, random agents, and simpler rankings."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from companion.trajectory_attribution import method
from companion.trajectory_attribution.method import Batch, Predictor, extrapolate


def constant_velocity(batch: Batch) -> Tensor:
    """The last observed step repeated, (N, F, 2), meters."""
    return extrapolate(batch.past, batch.future.shape[1])


def without_neighbors(batch: Batch) -> Batch:
    """The same targets with no neighbor slot (K = 0)."""
    return replace(batch, neighbors=batch.neighbors[:, :0], kind=batch.kind[:, :0], mask=batch.mask[:, :0])


@torch.no_grad()
def uncached_table(model: Predictor, batch: Batch, loss: method.Loss = method.ade) -> Tensor:
    """The table of values (N, 2^P) by one complete forward pass for each coalition."""
    columns = []
    for members in method.coalitions(batch.num_features).to(batch.mask.device):
        past = batch.past if members[0] else torch.zeros_like(batch.past)
        mean, log_std = model(replace(batch, past=past, mask=batch.mask & members[1:]))
        columns.append(-loss(mean, log_std, batch.future))
    return torch.stack(columns, dim=1)


# ---------------------------------------------------------------- random agents


def random_agent(batch: Batch, neighbor: Tensor, generator: torch.Generator) -> Batch:
    """Each target's neighbor number `neighbor` (N,) int64 is replaced by an agent of another scene.

    The agent comes from the same neighbor slot of its own target, at the position that it has in that target's frame.
    If one of the two neighbor slots is empty, the result is empty.
    """
    rows, donors = torch.arange(len(batch)), other_scenes(batch.scene, generator)
    neighbors, kind, mask = batch.neighbors.clone(), batch.kind.clone(), batch.mask.clone()
    neighbors[rows, neighbor], kind[rows, neighbor] = batch.neighbors[donors, neighbor], batch.kind[donors, neighbor]
    mask[rows, neighbor] &= batch.mask[donors, neighbor]
    return replace(batch, neighbors=neighbors, kind=kind, mask=mask)


def only_random_agents(batch: Batch, generator: torch.Generator) -> Batch:
    """Every neighbor is replaced by a random agent, each from another target: the control for the best of several."""
    for slot in range(batch.mask.shape[1]):
        batch = random_agent(batch, torch.full((len(batch),), slot), generator)
    return batch


def other_scenes(scene: Tensor, generator: torch.Generator) -> Tensor:
    """For each target the index of a random one that is not of its scene, (N,) int64; scene (N,) int64."""
    scene = scene.cpu()
    donors = torch.randint(len(scene), (len(scene),), generator=generator)
    same = scene[donors] == scene
    while bool(same.any()):
        donors[same] = torch.randint(len(scene), (int(same.sum()),), generator=generator)
        same = scene[donors] == scene
    return donors


# ---------------------------------------------------------------- rankings of neighbors without a model


def nearness(batch: Batch) -> Tensor:
    """Minus the distance of each neighbor in the last observed frame, meters, (N, K)."""
    return -batch.neighbors[:, :, -1].norm(dim=-1)


def closest_approach(batch: Batch) -> Tensor:
    """Minus the smallest distance to each neighbor if all keep their velocity, meters, (N, K)."""
    steps = batch.future.shape[1]
    target = extrapolate(batch.past, steps).unsqueeze(1)
    neighbors = batch.neighbors[:, :, -1:] + extrapolate(batch.neighbors, steps)
    return -torch.cat([batch.neighbors[:, :, -1:], neighbors - target], dim=2).norm(dim=-1).amin(-1)
