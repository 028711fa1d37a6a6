"""People in streets: UCY, each scene left out once; do walking groups come first?"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from companion.data import trajectories
from companion.lab.evidence import Measurement
from companion.trajectory_attribution import measures, method
from companion.trajectory_attribution.arms import ALONE, SUBSETS, Sizes, train, with_strangers
from companion.trajectory_attribution.baselines import alone, nearness
from companion.trajectory_attribution.method import Batch, Predictor
from companion.trajectory_attribution.windows import windows

SCENES = trajectories.SCENES["ucy"]
WITH_GROUPS = ("crowds_zara01", "students003")
RADIUS = 10.0
APART = 1_000_000  # between the moments of two scenes


def scene_windows(slots: int, stride: int) -> dict[str, tuple[Batch, np.ndarray, np.ndarray]]:
    """Scene -> targets, the numbers of the people in their slots (N, K), and their own numbers (N,)."""
    found = {}
    for number, scene in enumerate(SCENES):
        tracks = trajectories.pedestrians(scene)
        batch, seen, ego = windows(tracks, slots, RADIUS, stride)
        found[scene] = replace(batch, scene=batch.scene + APART * number), tracks.agent[seen], tracks.agent[ego]
    return found


def together(batches: list[Batch]) -> Batch:
    """Targets of several scenes in one batch."""
    names = ("past", "future", "tracks", "kind", "mask", "scene")
    return Batch(*(torch.cat([getattr(batch, name) for batch in batches]) for name in names))


def leave_one_out(
    rates: dict[str, float], sizes: Sizes, slots: int, stride: int, seed: int, device: torch.device
) -> list[Measurement]:
    """Train on four scenes, measure on the fifth, five times."""
    scenes, rows = scene_windows(slots, stride), []
    for scene, (test, seen, ego) in scenes.items():
        data = together([batch for name, (batch, _, _) in scenes.items() if name != scene]).to(device)
        model, lone = (train(data, arm, rates[arm], sizes, seed) for arm in (SUBSETS, ALONE))
        test = test.to(device)
        rows += measures.errors(model, test, SUBSETS, scene, seed) + measures.straight(test, scene, seed)
        rows += measures.errors(model, alone(test), f"{SUBSETS}, neighbours removed", scene, seed)
        rows += measures.errors(lone, alone(test), ALONE, scene, seed) + worth(model, test, scene, seed)
        if scene in WITH_GROUPS:
            rows += group_hits(model, test, friends(scene, seen, ego), scene, seed)
    return rows


def worth(model: Predictor, test: Batch, scene: str, seed: int) -> list[Measurement]:
    """Shapley values by ADE: the past, a neighbour, the nearest one, and a stranger in the nearest one's place."""
    nearest = torch.zeros(len(test), dtype=torch.int64)
    strange = with_strangers(test, nearest, measures.stream(seed, 1))
    own, theirs = (method.attribute(method.value_table(model, batch)) for batch in (test, strange))
    found = {
        measures.PAST: own[:, 0].mean(), measures.NEIGHBOUR: method.neighbour_mean(own, test.mask),
        measures.NEAREST: own[:, 1][test.mask[:, 0]].mean(), measures.STRANGER: theirs[:, 1][strange.mask[:, 0]].mean(),
        measures.BEST: method.social_score(own, test.mask),
    }  # fmt: skip
    return [Measurement("phi, ADE", name, scene, seed, float(value)) for name, value in found.items()]


def friends(scene: str, seen: np.ndarray, ego: np.ndarray) -> Tensor:
    """Who walks with the target, by the annotation, (N, K) bool."""
    groups = trajectories.walking_groups(scene)
    mates = {person: group - {person} for group in groups for person in group}
    rows = [[int(other) in mates.get(int(me), set()) for other in row] for me, row in zip(ego, seen, strict=True)]
    return torch.tensor(rows)


def group_hits(model: Predictor, test: Batch, friend: Tensor, scene: str, seed: int) -> list[Measurement]:
    """Where friends and others are near: how often is a friend first, per cent, by each score; and by chance."""
    friend = friend.to(test.mask.device) & test.mask
    mixed = friend.any(1) & (test.mask & ~friend).any(1)
    scores = {
        measures.ATTRIBUTION: method.attribute(method.value_table(model, test))[:, 1:],
        measures.SHIFT: measures.shifts(model, test), measures.NEAREST: nearness(test),
    }  # fmt: skip
    first = {name: score.masked_fill(~test.mask, -torch.inf)[mixed].argmax(1) for name, score in scores.items()}
    hits = {name: friend[mixed].gather(1, at.unsqueeze(1)).double().mean() for name, at in first.items()}
    hits[measures.CHANCE] = (friend[mixed].sum(1) / test.mask[mixed].sum(1)).mean()
    rows = [Measurement("friends first", name, scene, seed, 100 * float(value)) for name, value in hits.items()]
    return [*rows, Measurement("friends first", "targets", scene, seed, float(mixed.sum()))]
