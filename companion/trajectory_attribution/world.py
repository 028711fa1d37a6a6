"""A world with a knob: walkers who avoid each other by a social force of strength kappa, and its counterfactuals.

symbol      identifier       shape
kappa       kappa            ()              0: nobody sees anybody
x           positions        (S, A, T, 2)    S scenes of A walkers, T frames of 0.4 s, metres
x^(j)       simulate(drop=j)                 the same noise; nobody feels walker j once the observation is over
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from companion.trajectory_attribution.method import Batch

HISTORY, FUTURE, FRAME, STEPS_A_FRAME = 8, 12, 0.4, 4
DT = FRAME / STEPS_A_FRAME
WALKERS, ROOM, GOAL, RELAXATION = 5, 4.0, 15.0, 0.5
PUSH, BODY, REACH, BEHIND, VIEW = 2.1, 0.6, 0.5, 0.4, -0.17364817766693033  # the last is cos(100 degrees)
NOISE, FASTEST = 0.05, 1.3
STILL = 0.02


def start(scenes: int, walkers: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Independent starts in a square, headings and speeds: positions and goals (S, A, 2), speeds (S, A, 1)."""
    place = ROOM * (2 * torch.rand(scenes, walkers, 2, generator=generator) - 1)
    angle = 2 * torch.pi * torch.rand(scenes, walkers, 1, generator=generator)
    speed = 1.0 + 0.6 * torch.rand(scenes, walkers, 1, generator=generator)
    return place, place + GOAL * torch.cat([angle.cos(), angle.sin()], dim=-1), speed


def forces(place: Tensor, towards: Tensor, kappa: float, felt: Tensor) -> Tensor:
    """The push of all others on each walker, (S, A, 2), m/s^2; felt (A,) is 0 for a walker whom nobody feels.

    It falls off with distance and is weaker from behind; towards (S, A, 2) is the unit vector to the goal.
    """
    apart = place.unsqueeze(2) - place.unsqueeze(1)  # (S, i, j, 2), from j to i
    distance = apart.norm(dim=-1, keepdim=True).clamp_min(1e-6)
    away = apart / distance
    seen = (-away * towards.unsqueeze(2)).sum(-1, keepdim=True) > VIEW
    size = PUSH * kappa * torch.exp(-(distance - BODY) / REACH) * torch.where(seen, 1.0, BEHIND)
    others = felt * (1 - torch.eye(len(felt)))
    return (size * away * others.unsqueeze(-1)).sum(2)


def simulate(
    scenes: int, kappa: float, seed: int, drop: int | None = None, walkers: int = WALKERS, circle: bool = False
) -> Tensor:
    """Walk: positions (S, A, 20, 2) float32 at every 0.4 s, the first 8 frames observed.

    drop: from the end of the observation on, nobody feels this walker. Noise depends on `seed` alone, so runs with
    and without `drop`, or with another kappa, differ by forces and nothing else.
    circle: start on a circle and cross it through the middle, so that everybody's place gives away everybody's goal.
    """
    generator = torch.Generator().manual_seed(seed)
    place, goal, speed = start(scenes, walkers, generator)
    if circle:
        place, goal = _across(place, goal)
    noise = NOISE * DT**0.5 * torch.randn(STEPS_A_FRAME * (HISTORY + FUTURE - 1), *place.shape, generator=generator)
    velocity = speed * functional.normalize(goal - place, dim=-1)
    felt, frames = torch.ones(walkers), [place]
    for step, kick in enumerate(noise):
        if drop is not None and step == STEPS_A_FRAME * (HISTORY - 1):
            felt = felt.index_fill(0, torch.tensor([drop]), 0.0)
        towards = functional.normalize(goal - place, dim=-1)
        pull = (speed * towards - velocity) / RELAXATION
        velocity = velocity + DT * (pull + forces(place, towards, kappa, felt)) + kick
        velocity = velocity * (FASTEST * speed / velocity.norm(dim=-1, keepdim=True)).clamp(max=1.0)
        place = place + DT * velocity
        if (step + 1) % STEPS_A_FRAME == 0:
            frames.append(place)
    return torch.stack(frames, dim=2)


def _across(place: Tensor, goal: Tensor) -> tuple[Tensor, Tensor]:
    """Starts on a circle in the direction of each goal, and goals on the other side."""
    out = functional.normalize(goal - place, dim=-1)
    centre = 2 * functional.normalize(place[:, :1], dim=-1)
    return centre + 1.2 * ROOM * out, centre - (GOAL - 1.2 * ROOM) * out


# ---------------------------------------------------------------- from paths to targets


def facing(past: Tensor) -> Tensor:
    """The rotation that turns a walker's heading to +x, (N, 2, 2); past (N, H, 2).

    The heading is the last step, or the whole past where that is shorter than two centimetres.
    """
    last = past[:, -1] - past[:, -2]
    whole = past[:, -1] - past[:, 0]
    way = torch.where(last.norm(dim=-1, keepdim=True) < STILL, whole, last)
    cos, sin = functional.normalize(way + torch.tensor([1e-9, 0.0]), dim=-1).unbind(-1)
    return torch.stack([torch.stack([cos, -sin], -1), torch.stack([sin, cos], -1)], -2)


def targets_of(ego: Tensor, others: Tensor, kind: Tensor, mask: Tensor, scene: Tensor, history: int = HISTORY) -> Batch:
    """Targets in their own frame: ego (N, H + F, 2), others (N, K, H, 2), in metres of the scene.

    The present is the origin, the heading +x. Empty slots are set to 0.
    """
    turn, present = facing(ego[:, :history]), ego[:, history - 1 : history]
    own = (ego - present) @ turn
    tracks = (others - present.unsqueeze(1)) @ turn.unsqueeze(1)
    tracks = torch.where(mask[..., None, None], tracks, torch.zeros_like(tracks))
    return Batch(own[:, :history], own[:, history:], tracks, kind, mask, scene)


def everyone(positions: Tensor) -> tuple[Batch, Tensor]:
    """Every walker of every scene as a target, the others as neighbours, nearest first.

    positions (S, A, T, 2) -> N = S * A targets, and which walker sits in each slot, (N, A - 1) int64.
    """
    scenes, walkers = positions.shape[:2]
    now = positions[:, :, HISTORY - 1]
    distance = torch.cdist(now, now) + 1e9 * torch.eye(walkers)
    slots = distance.argsort(-1)[..., :-1]  # (S, A, K)
    at = torch.arange(scenes).view(-1, 1, 1)
    others = positions[at, slots, :HISTORY].flatten(0, 1)
    mask = torch.ones(others.shape[:2], dtype=torch.bool)
    scene = torch.arange(scenes).repeat_interleave(walkers)
    kind = torch.ones(*mask.shape, 1)
    return targets_of(positions.flatten(0, 1), others, kind, mask, scene), slots.flatten(0, 1)


def true_effects(scenes: int, kappa: float, seed: int, walkers: int = WALKERS) -> Tensor:
    """How far each neighbour really moves a target: mean displacement over the future when nobody feels it, metres.

    (N, A - 1), slots as in `everyone`.
    """
    factual = simulate(scenes, kappa, seed, walkers=walkers)
    moved = [simulate(scenes, kappa, seed, drop=j, walkers=walkers) for j in range(walkers)]
    effect = torch.stack([(path - factual)[:, :, HISTORY:].norm(dim=-1).mean(-1) for path in moved], dim=-1)
    return effect.flatten(0, 1).gather(1, everyone(factual)[1])
