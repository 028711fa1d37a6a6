"""A scene drawn by hand: one target, a neighbour who crosses its way, one who walks beside it, one who walks away."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional

from companion.trajectory_attribution import world
from companion.trajectory_attribution.method import Batch

NAMES = ("A, crossing", "B, beside", "C, leaving")
STARTS = ((-4.0, 0.0), (1.0, -4.5), (-4.0, 2.2), (-2.0, -2.0))
HEADINGS = ((1.0, 0.0), (0.0, 1.0), (1.0, 0.0), (-1.0, -0.3))
SPEEDS = (1.2, 1.2, 1.2, 1.3)


def paths(
    kappa: float, along: float = 0.0, across: float = 0.0, drop: int | None = None, absent: Sequence[int] = ()
) -> Tensor:
    """The scene without noise, (1, 4, 20, 2): target, A, B, C. A starts moved along and across its way, metres.

    drop: nobody feels this walker (1, 2 or 3) once the observation is over. absent: slots (0, 1, 2) that nobody ever
    feels.
    """
    place, way = torch.tensor([STARTS]), functional.normalize(torch.tensor([HEADINGS]), dim=-1)
    place[0, 1] += torch.tensor([across, along])
    goal, speed = place + world.GOAL * way, torch.tensor([SPEEDS]).unsqueeze(-1)
    velocity, frames = speed * way, [place]
    felt = torch.tensor([float(walker - 1 not in absent) for walker in range(4)])
    for step in range(world.STEPS_A_FRAME * (world.HISTORY + world.FUTURE - 1)):
        if drop is not None and step == world.STEPS_A_FRAME * (world.HISTORY - 1):
            felt = felt.index_fill(0, torch.tensor([drop]), 0.0)
        towards = functional.normalize(goal - place, dim=-1)
        pull = (speed * towards - velocity) / world.RELAXATION
        velocity = velocity + world.DT * (pull + world.forces(place, towards, kappa, felt))
        velocity = velocity * (world.FASTEST * speed / velocity.norm(dim=-1, keepdim=True)).clamp(max=1.0)
        place = place + world.DT * velocity
        if (step + 1) % world.STEPS_A_FRAME == 0:
            frames.append(place)
    return torch.stack(frames, dim=2)


def target(positions: Tensor, absent: Sequence[int] = ()) -> Batch:
    """The first walker as a target with slots for A, B and C, in that order; those in `absent` (0, 1, 2) are empty."""
    batch = world.targets_of(
        positions[:, 0], positions[:, 1:, : world.HISTORY], torch.ones(1, 3, 1), torch.ones(1, 3).bool(), torch.zeros(1)
    )
    mask = batch.mask.clone()
    mask[:, list(absent)] = False
    return replace(batch, mask=mask)


def true_shift(kappa: float, along: float = 0.0, across: float = 0.0, absent: Sequence[int] = ()) -> Tensor:
    """How far A, B and C really move the target: mean displacement when nobody feels them, metres, (3,)."""
    whole = paths(kappa, along, across, absent=absent)[0, 0, world.HISTORY :]
    gone = [paths(kappa, along, across, walker, absent)[0, 0, world.HISTORY :] for walker in (1, 2, 3)]
    return torch.stack([(path - whole).norm(dim=-1).mean() for path in gone])
