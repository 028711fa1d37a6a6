"""What is measured: errors, attributions with strangers as their zero, rankings against intervention."""

from __future__ import annotations

from dataclasses import replace

import torch
from scipy.stats import spearmanr
from torch import Tensor

from companion.lab.evidence import Measurement
from companion.trajectory_attribution import method
from companion.trajectory_attribution.arms import all_strangers, donors_of, with_strangers
from companion.trajectory_attribution.baselines import closest_approach, constant_velocity, nearness
from companion.trajectory_attribution.method import LEAVE_ONE_OUT, Batch, Predictor
from companion.trajectory_attribution.windows import KINDS

WORLD, FOOTBALL = "walkers", "football"
PAST, NEIGHBOUR, BEST, STRANGER, BEST_STRANGER = "past", "neighbour", "best neighbour", "stranger", "best of strangers"
STRAIGHT, NOTHING, CHANCE = "constant velocity", "nothing", "chance"
ATTRIBUTION, UNTAUGHT, SHIFT = "attribution", "attribution, untaught model", "forecast shift"
SHUFFLED = "attribution of another target"
NEAREST, APPROACH = "nearest", "closest approach"


# ---------------------------------------------------------------- what a model is measured by


def errors(model: Predictor, batch: Batch, name: str, setting: str, seed: int) -> list[Measurement]:
    """All four errors of a model on some targets, metres and nats."""
    mean, spread = forecast(model, batch)
    return [
        Measurement(metric, name, setting, seed, float(loss(mean, spread, batch.future).mean()))
        for metric, loss in method.LOSSES.items()
    ]


def straight(batch: Batch, setting: str, seed: int) -> list[Measurement]:
    """Displacement errors of constant velocity."""
    mean, none = constant_velocity(batch), torch.zeros(len(batch))
    found = {name: float(method.LOSSES[name](mean, none, batch.future).mean()) for name in ("ADE", "FDE")}
    return [Measurement(metric, STRAIGHT, setting, seed, value) for metric, value in found.items()]


def stream(seed: int, which: int) -> torch.Generator:
    """A stream of random numbers of its own."""
    return torch.Generator().manual_seed(1000 * seed + which)


def attributions(model: Predictor, batch: Batch, setting: str, seed: int) -> list[Measurement]:
    """Shapley values of past and neighbours, the same with strangers, and the excess: by ADE and by NLL."""
    slots = torch.arange(len(batch)) % batch.mask.shape[1]
    strange, all_strange = with_strangers(batch, slots, stream(seed, 1)), all_strangers(batch, stream(seed, 2))
    rows = []
    for metric in ("ADE", "NLL"):
        own, theirs, none = (
            method.attribute(method.value_table(model, each, method.LOSSES[metric]))
            for each in (batch, strange, all_strange)
        )
        stranger = seated(theirs, slots)[strange.mask[torch.arange(len(batch)), slots]].mean()
        found = {
            PAST: own[:, 0].mean(), NEIGHBOUR: method.neighbour_mean(own, batch.mask), STRANGER: stranger,
            BEST: method.social_score(own, batch.mask), BEST_STRANGER: method.social_score(none, all_strange.mask),
        }  # fmt: skip
        rows += [Measurement(f"phi, {metric}", name, setting, seed, float(value)) for name, value in found.items()]
        excess = float((seated(own, slots) - seated(theirs, slots)).mean())
        rows.append(Measurement(f"excess, {metric}", setting, WORLD, seed, excess))
    return rows


def seated(phi: Tensor, slots: Tensor) -> Tensor:
    """The phi of whoever sits in slot `slots` (N,), (N,)."""
    return phi[:, 1:].gather(1, slots.to(phi.device).unsqueeze(1)).squeeze(1)


# ---------------------------------------------------------------- attribution against intervention


def shifts(model: Predictor, batch: Batch) -> Tensor:
    """How far the forecast itself moves when a neighbour is removed, metres, (N, K): no true future is needed."""
    whole, moved = forecast(model, batch)[0], []
    for slot in range(batch.mask.shape[1]):
        left = batch.mask.clone()
        left[:, slot] = False
        moved.append((forecast(model, replace(batch, mask=left))[0] - whole).norm(dim=-1).mean(-1))
    return torch.stack(moved, dim=1)


def ranking(
    taught: Predictor, untaught: Predictor, batch: Batch, effects: Tensor, least: float, setting: str, seed: int
) -> list[Measurement]:
    """How often each score puts the neighbour first who moves the target most, per cent; and rank correlations.

    effects (N, K) metres, true; hits are counted where the largest is above `least`. `untaught` saw no interaction.
    """
    phi, blind = (method.attribute(method.value_table(model, batch))[:, 1:] for model in (taught, untaught))
    others = phi[donors_of(batch.scene, stream(seed, 4))]
    scores = {
        ATTRIBUTION: phi, SHUFFLED: others, UNTAUGHT: blind, SHIFT: shifts(taught, batch),
        NEAREST: nearness(batch), APPROACH: closest_approach(batch),
    }  # fmt: skip
    moved = effects.amax(1) > least
    first = {name: (score[moved].argmax(1) == effects[moved].argmax(1)).double() for name, score in scores.items()}
    rows = [Measurement("hits", name, setting, seed, 100 * float(hit.mean())) for name, hit in first.items()]
    rows += [
        Measurement(
            "rank correlation", name, setting, seed, float(spearmanr(score.cpu().flatten(), effects.cpu().flatten())[0])
        )
        for name, score in scores.items()
    ]
    return [
        *rows,
        Measurement("hits", CHANCE, setting, seed, 100 / effects.shape[1]),
        Measurement("rank correlation", NOTHING, setting, seed, 0.0),
        Measurement("share moved", "targets", setting, seed, 100 * float(moved.double().mean())),
    ]


# ---------------------------------------------------------------- a match


def by_kind(model: Predictor, batch: Batch, seed: int) -> list[Measurement]:
    """Shapley and leave-one-out values by kind of neighbour, and of a stranger in the nearest player's seat; ADE."""
    nearest = torch.ones(len(batch), dtype=torch.int64)
    strange = with_strangers(batch, nearest, stream(seed, 3))
    tables = [method.value_table(model, each) for each in (batch, strange)]
    kind, rows = batch.kind.argmax(-1), []
    for rule in (method.SHAPLEY, LEAVE_ONE_OUT):
        own, theirs = (method.attribute(table, rule) for table in tables)
        found = {name: own[:, 1:][batch.mask & (kind == i)].mean() for i, name in enumerate(KINDS)}
        found |= {PAST: own[:, 0].mean(), BEST: method.social_score(own, batch.mask)}
        found[STRANGER] = seated(theirs, nearest)[strange.mask[:, 1]].mean()
        rows += [Measurement(rule, name, FOOTBALL, seed, float(value)) for name, value in found.items()]
    return rows


@torch.no_grad()
def forecast(model: Predictor, batch: Batch) -> tuple[Tensor, Tensor]:
    """A model's mean path (N, F, 2) and log spread (N, F), without gradients."""
    return model(batch)


def blocked(values: Tensor, start: Tensor, frames: int = 750) -> float:
    """The standard error of a mean over windows that overlap: from the means of blocks of five minutes."""
    block = (start // frames).cpu()
    means = torch.stack([values.cpu()[block == number].mean() for number in block.unique()])
    return float(means.std() / len(means) ** 0.5)
