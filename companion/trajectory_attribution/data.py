"""Trajectories as targets with neighbors: simulated pedestrians, a drawn scene, a football match, real pedestrians.

The simulation has a known truth: pedestrians avoid each other by a social force of strength kappa, and the same scene
can be simulated again with the force of one of them removed.

symbol      identifier          shape
kappa       kappa               ()              strength of the interaction; 0: no interaction
x           positions           (S, A, T, 2)    S scenes of A pedestrians, T frames of 0.4 s, meters
x^(j)       simulate(drop=j)                    the same noise; pedestrian j exerts no force during the future
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from companion.data import trajectories
from companion.data.trajectories import BALL, Tracks
from companion.trajectory_attribution.method import Batch

HISTORY, FUTURE = 8, 12  # observed and predicted frames
FRAME_SECONDS, STEPS_PER_FRAME = 0.4, 4
DT = FRAME_SECONDS / STEPS_PER_FRAME  # seconds per step of the simulation
OBSERVED_STEPS = STEPS_PER_FRAME * (HISTORY - 1)
TOTAL_STEPS = STEPS_PER_FRAME * (HISTORY + FUTURE - 1)
HALF_WIDTH, GOAL_DISTANCE = 4.0, 15.0  # of the square of starts, and of the goals, meters
# The social force, after Helbing and Molnar (1995), and the motion
RELAXATION = 0.5  # seconds in which a pedestrian returns to the preferred velocity
STRENGTH, BODY, RANGE = 2.1, 0.6, 0.5  # m/s^2 at a distance of BODY meters; it falls by e every RANGE meters
BEHIND, COS_VIEW = 0.4, -0.17364817766693033  # share of the force from outside of the view, which is +-100 degrees
NOISE, MAX_SPEED = 0.05, 1.3  # m/s per square root of a second; in preferred speeds
STATIC = 0.02  # meters: a last step shorter than this has no heading
BALL_KIND, OPPONENTS, TEAMMATES = "ball", "opponents", "teammates"
KINDS = (BALL_KIND, OPPONENTS, TEAMMATES)  # of neighbors, in the order of the one-hot `Batch.kind`
SCENES = trajectories.SCENES["ucy"]
SCENES_WITH_GROUPS = ("crowds_zara01", "students003")  # where it is annotated who belongs to a walking group
UCY_RADIUS = 10.0  # meters


# ---------------------------------------------------------------- simulated pedestrians


def simulate(
    scenes: int, kappa: float, seed: int, drop: int | None = None, pedestrians: int = 5, circle: bool = False
) -> Tensor:
    """Positions (S, A, 20, 2) float32 in meters at every 0.4 s; the first 8 frames are the observed past.

    drop: this pedestrian exerts no force after the last observed frame. Starts and noise depend on `seed` alone: scenes
    with and without `drop`, or with another kappa, differ by forces only.
    circle: all start on a circle and cross its center, so that each position reveals the goal.
    """
    generator = torch.Generator().manual_seed(seed)
    start, goal, speed = starts(scenes, pedestrians, generator)
    if circle:
        direction = functional.normalize(goal - start, dim=-1)
        center = 2 * functional.normalize(start[:, :1], dim=-1)
        start = center + 1.2 * HALF_WIDTH * direction
        goal = center - (GOAL_DISTANCE - 1.2 * HALF_WIDTH) * direction
    noise = NOISE * DT**0.5 * torch.randn(TOTAL_STEPS, *start.shape, generator=generator)
    return walk(start, goal, speed, noise, kappa, drop)


def starts(scenes: int, pedestrians: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Independent starts in a square, and goals in random directions, (S, A, 2) meters; speeds (S, A, 1) m/s."""
    start = HALF_WIDTH * (2 * torch.rand(scenes, pedestrians, 2, generator=generator) - 1)
    angle = 2 * torch.pi * torch.rand(scenes, pedestrians, 1, generator=generator)
    speed = 1.0 + 0.6 * torch.rand(scenes, pedestrians, 1, generator=generator)
    return start, start + GOAL_DISTANCE * torch.cat([angle.cos(), angle.sin()], dim=-1), speed


def walk(
    start: Tensor, goal: Tensor, speed: Tensor, noise: Tensor, kappa: float,
    drop: int | None = None, absent: Sequence[int] = (),
) -> Tensor:  # fmt: skip
    """Positions (S, A, T, 2) of pedestrians from start to goal (S, A, 2) at preferred speeds (S, A, 1).

    noise (steps, S, A, 2) is added to the velocities. drop: see `simulate`. absent: these never exert a force.
    """
    position, velocity, frames = start, speed * functional.normalize(goal - start, dim=-1), [start]
    exerts = torch.ones(start.shape[1])
    exerts[list(absent)] = 0.0
    for step, kick in enumerate(noise):
        if drop is not None and step == OBSERVED_STEPS:
            exerts[drop] = 0.0
        direction = functional.normalize(goal - position, dim=-1)
        relaxation = (speed * direction - velocity) / RELAXATION
        velocity = velocity + DT * (relaxation + forces(position, direction, kappa, exerts)) + kick
        velocity = velocity * (MAX_SPEED * speed / velocity.norm(dim=-1, keepdim=True)).clamp(max=1.0)
        position = position + DT * velocity
        if (step + 1) % STEPS_PER_FRAME == 0:
            frames.append(position)
    return torch.stack(frames, dim=2)


def forces(position: Tensor, direction: Tensor, kappa: float, exerts: Tensor) -> Tensor:
    """The repulsion of all others on each pedestrian, (S, A, 2) m/s^2; exerts (A,) is 0 for one without a force.

    It falls with the distance and is weaker from behind; direction (S, A, 2) is the unit vector to the goal.
    """
    between = position.unsqueeze(2) - position.unsqueeze(1)  # (S, i, j, 2), from j to i
    distance = between.norm(dim=-1, keepdim=True).clamp_min(1e-6)
    away = between / distance
    in_view = (-away * direction.unsqueeze(2)).sum(-1, keepdim=True) > COS_VIEW
    size = STRENGTH * kappa * torch.exp(-(distance - BODY) / RANGE) * torch.where(in_view, 1.0, BEHIND)
    others = exerts * (1 - torch.eye(len(exerts)))
    return (size * away * others.unsqueeze(-1)).sum(2)


def true_effects(scenes: int, kappa: float, seed: int, pedestrians: int = 5) -> Tensor:
    """Mean displacement of a target over the future when one neighbor exerts no force, meters, (N, A - 1).

    Targets and their neighbors as in `all_targets`.
    """
    factual = simulate(scenes, kappa, seed, pedestrians=pedestrians)
    dropped = [simulate(scenes, kappa, seed, drop=j, pedestrians=pedestrians) for j in range(pedestrians)]
    effect = torch.stack([(path - factual)[:, :, HISTORY:].norm(dim=-1).mean(-1) for path in dropped], dim=-1)
    return effect.flatten(0, 1).gather(1, all_targets(factual)[1])


# ---------------------------------------------------------------- a drawn scene: A crosses, B walks beside, C leaves

DRAWN_NAMES = ("A, crossing", "B, beside", "C, leaving")
DRAWN_STARTS = ((-4.0, 0.0), (1.0, -4.5), (-4.0, 2.2), (-2.0, -2.0))  # the target, then A, B and C
DRAWN_HEADINGS = ((1.0, 0.0), (0.0, 1.0), (1.0, 0.0), (-1.0, -0.3))
DRAWN_SPEEDS = (1.2, 1.2, 1.2, 1.3)


def drawn_scene(
    kappa: float, along: float = 0.0, across: float = 0.0, drop: int | None = None, absent: Sequence[int] = ()
) -> Tensor:
    """Four paths without noise, (1, 4, 20, 2): target, A, B, C. A's start is moved along and across its way, meters.

    drop: pedestrian 1, 2 or 3 exerts no force during the future. absent: neighbors 0, 1 or 2 never exert one.
    """
    start, direction = torch.tensor([DRAWN_STARTS]), functional.normalize(torch.tensor([DRAWN_HEADINGS]), dim=-1)
    start[0, 1] += torch.tensor([across, along])
    speed, noise = torch.tensor([DRAWN_SPEEDS]).unsqueeze(-1), torch.zeros(TOTAL_STEPS, 1, 4, 2)
    return walk(start, start + GOAL_DISTANCE * direction, speed, noise, kappa, drop, [slot + 1 for slot in absent])


def drawn_target(positions: Tensor, absent: Sequence[int] = ()) -> Batch:
    """The target of a drawn scene with its neighbors A, B and C, without those in `absent` (0, 1, 2)."""
    mask = torch.tensor([[slot not in absent for slot in range(3)]])
    return in_target_frame(
        positions[:, 0], positions[:, 1:, :HISTORY], torch.ones(1, 3, 1), mask, torch.zeros(1, dtype=torch.int64)
    )


def drawn_effects(kappa: float, along: float = 0.0, across: float = 0.0, absent: Sequence[int] = ()) -> Tensor:
    """Mean displacement of the target when A, B or C exerts no force during the future, meters, (3,)."""
    factual = drawn_scene(kappa, along, across, absent=absent)[0, 0, HISTORY:]
    dropped = [drawn_scene(kappa, along, across, drop, absent)[0, 0, HISTORY:] for drop in (1, 2, 3)]
    return torch.stack([(path - factual).norm(dim=-1).mean() for path in dropped])


# ---------------------------------------------------------------- from paths to targets


def in_target_frame(
    paths: Tensor, others: Tensor, kind: Tensor, mask: Tensor, scene: Tensor, history: int = HISTORY
) -> Batch:
    """Targets in their own frame: the last observed position is the origin, the heading is +x.

    paths (N, H + F, 2) of the targets and others (N, K, H, 2), meters, in the frame of the scene. Where `mask` is
    False, the neighbor becomes 0.
    """
    rotation, origin = heading_rotation(paths[:, :history]), paths[:, history - 1 : history]
    own = (paths - origin) @ rotation
    neighbors = (others - origin.unsqueeze(1)) @ rotation.unsqueeze(1)
    neighbors = torch.where(mask[..., None, None], neighbors, torch.zeros_like(neighbors))
    return Batch(own[:, :history], own[:, history:], neighbors, kind, mask, scene)


def heading_rotation(past: Tensor) -> Tensor:
    """The rotation of a heading to +x, (N, 2, 2); past (N, H, 2) meters.

    The heading is the last step, or the whole past where that step is shorter than two centimeters.
    """
    last, whole = past[:, -1] - past[:, -2], past[:, -1] - past[:, 0]
    heading = torch.where(last.norm(dim=-1, keepdim=True) < STATIC, whole, last)
    cos, sin = functional.normalize(heading + torch.tensor([1e-9, 0.0]), dim=-1).unbind(-1)
    return torch.stack([torch.stack([cos, -sin], -1), torch.stack([sin, cos], -1)], -2)


def all_targets(positions: Tensor) -> tuple[Batch, Tensor]:
    """Every simulated pedestrian as a target, the others as its neighbors, nearest first.

    positions (S, A, T, 2) -> N = S * A targets, and the pedestrian in each neighbor slot, (N, A - 1) int64.
    """
    scenes, pedestrians = positions.shape[:2]
    now = positions[:, :, HISTORY - 1]
    distance = torch.cdist(now, now) + 1e9 * torch.eye(pedestrians)
    slots = distance.argsort(-1)[..., :-1]  # (S, A, K)
    others = positions[torch.arange(scenes).view(-1, 1, 1), slots, :HISTORY].flatten(0, 1)
    mask, kind = torch.ones(others.shape[:2], dtype=torch.bool), torch.ones(*others.shape[:2], 1)
    scene = torch.arange(scenes).repeat_interleave(pedestrians)
    return in_target_frame(positions.flatten(0, 1), others, kind, mask, scene), slots.flatten(0, 1)


def windows(
    tracks: Tracks, slots: int, radius: float, stride: int, minutes: tuple[float, float] = (0, np.inf)
) -> tuple[Batch, np.ndarray, np.ndarray]:
    """Every complete window of 20 frames of an agent other than the ball as a target.

    Returns N targets, their neighbors (N, K) and who they are themselves (N,), both as int64 columns of `tracks`. The
    ball is the first neighbor; then come the nearest agents within `radius` meters whose past is complete. stride:
    frames between two starts. minutes: the part of the recording in which the windows lie.
    """
    length = HISTORY + FUTURE
    start, ego = np.nonzero(_complete(tracks, length)[::stride])
    start, minute = start * stride, FRAME_SECONDS * np.arange(len(tracks.positions)) / 60
    inside = (minute[start] >= minutes[0]) & (minute[start + length - 1] < minutes[1]) & (tracks.side[ego] != BALL)
    start, ego = start[inside], ego[inside]
    frames = start[:, None] + np.arange(length)
    others, mask = _nearest(tracks, start, ego, slots, radius)
    paths = torch.from_numpy(tracks.positions[frames, ego[:, None]])
    pasts = torch.from_numpy(np.nan_to_num(tracks.positions[frames[:, None, :HISTORY], others[:, :, None]]))
    side, own = tracks.side[others], tracks.side[ego][:, None]
    kind = torch.from_numpy(np.where(side == BALL, 0, np.where(side == own, 2, 1)))
    one_hot = functional.one_hot(kind, len(KINDS)).float()
    return in_target_frame(paths, pasts, one_hot, torch.from_numpy(mask), torch.from_numpy(start)), others, ego


def _complete(tracks: Tracks, length: int) -> np.ndarray:
    """[starts, A] bool: are the next `length` frames all present, and of one half?"""
    seen = np.isfinite(tracks.positions[:, :, 0]).astype(np.int64)
    total = np.vstack([np.zeros((1, seen.shape[1]), dtype=np.int64), seen.cumsum(0)])
    one_half = tracks.period[length - 1 :] == tracks.period[: len(tracks.period) - length + 1]
    return (total[length:] - total[:-length] == length) & one_half[:, None]


def _nearest(
    tracks: Tracks, start: np.ndarray, ego: np.ndarray, slots: int, radius: float
) -> tuple[np.ndarray, np.ndarray]:
    """Columns of the agents in each neighbor slot, and whether there is one, both (N, K)."""
    complete, rows = _complete(tracks, HISTORY)[start], np.arange(len(start))
    now = tracks.positions[start + HISTORY - 1]
    distance = np.linalg.norm(now - now[rows, ego][:, None], axis=-1)
    distance = np.where(~complete | ~(distance <= radius), np.inf, distance)
    distance[rows, ego] = np.inf
    ball = tracks.side == BALL
    distance[:, ball] = -1.0  # the ball comes first, at any distance
    nearest = np.argsort(distance, axis=1, kind="stable")[:, :slots]
    mask = np.isfinite(np.take_along_axis(distance, nearest, axis=1))
    mask[:, 0] &= np.take_along_axis(complete | ~ball, nearest, axis=1)[:, 0]
    return nearest, mask


# ---------------------------------------------------------------- real pedestrians (UCY)


def ucy_scenes(slots: int, stride: int) -> dict[str, tuple[Batch, np.ndarray, np.ndarray]]:
    """Scene -> targets, the person numbers in their neighbor slots (N, K), and their own person numbers (N,)."""
    scenes = {}
    for number, scene in enumerate(SCENES):
        tracks = trajectories.pedestrians(scene)
        batch, others, ego = windows(tracks, slots, UCY_RADIUS, stride)
        moments = batch.scene + 1_000_000 * number  # no moment is shared between scenes
        scenes[scene] = replace(batch, scene=moments), tracks.agent[others], tracks.agent[ego]
    return scenes


def concatenate(batches: Sequence[Batch]) -> Batch:
    """Targets of several scenes in one batch."""
    return Batch(*(torch.cat([getattr(batch, field.name) for batch in batches]) for field in fields(Batch)))


def companions(scene: str, others: np.ndarray, ego: np.ndarray) -> Tensor:
    """Which neighbors are in the target's annotated walking group, (N, K) bool; person numbers as of `ucy_scenes`."""
    groups = trajectories.walking_groups(scene)
    members = {person: group - {person} for group in groups for person in group}
    rows = [[int(other) in members.get(int(me), set()) for other in row] for me, row in zip(ego, others, strict=True)]
    return torch.tensor(rows)
