"""Metrics: errors of a prediction, attributions beside random agents, and rankings against true effects."""

from __future__ import annotations

from dataclasses import replace

import torch
from scipy.stats import spearmanr
from torch import Tensor

from companion.lab.evidence import Measurement
from companion.trajectory_attribution import baselines, method
from companion.trajectory_attribution.baselines import only_random_agents, random_agent
from companion.trajectory_attribution.data import KINDS
from companion.trajectory_attribution.method import LEAVE_ONE_OUT, LOSSES, SHAPLEY, Batch, Predictor

SIMULATION, FOOTBALL = "simulation", "football"  # settings beside "kappa 0", "kappa 1", ...
PAST, NEIGHBOR, BEST = "past", "neighbor", "best neighbor"
RANDOM_AGENT, BEST_RANDOM_AGENT = "random agent", "best random agent"
CONSTANT_VELOCITY, ZERO, CHANCE = "constant velocity", "zero", "chance"
ATTRIBUTION, SENSITIVITY = "attribution", "prediction sensitivity"
NO_INTERACTION = "attribution, model trained at kappa 0"
OTHER_TARGET = "attribution of another target"
NEAREST, APPROACH = "nearest", "closest approach"
VALUE = {loss: f"Shapley value, {loss}" for loss in LOSSES}  # metrics, by the error that is attributed
EXCESS = {loss: f"contribution above random agent, {loss}" for loss in LOSSES}
LEAVE_ONE_OUT_VALUE = "leave-one-out value, ADE"
BLOCK_FRAMES = 750  # five minutes


@torch.no_grad()
def predict(model: Predictor, batch: Batch) -> tuple[Tensor, Tensor]:
    """A model's mean path (N, F, 2) in meters and log standard deviation (N, F), without gradients."""
    return model(batch)


def errors(model: Predictor, batch: Batch, name: str, setting: str, seed: int) -> list[Measurement]:
    """ADE, FDE and minADE in meters, NLL in nats per step."""
    mean, log_std = predict(model, batch)
    return [
        Measurement(metric, name, setting, seed, float(loss(mean, log_std, batch.future).mean()))
        for metric, loss in LOSSES.items()
    ]


def constant_velocity_errors(batch: Batch, setting: str, seed: int) -> list[Measurement]:
    """ADE and FDE of constant velocity, meters."""
    mean, unused = baselines.constant_velocity(batch), torch.zeros(len(batch))
    return [
        Measurement(metric, CONSTANT_VELOCITY, setting, seed, float(LOSSES[metric](mean, unused, batch.future).mean()))
        for metric in ("ADE", "FDE")
    ]


def generator_of(seed: int, purpose: int) -> torch.Generator:
    """A random generator for one purpose (1 to 4) of one seed."""
    return torch.Generator().manual_seed(1000 * seed + purpose)


# ---------------------------------------------------------------- attributions, and random agents as their zero


def attributions(model: Predictor, batch: Batch, setting: str, seed: int) -> list[Measurement]:
    """Shapley values of past, neighbors and random agents, and the difference of a neighbor and a random agent."""
    compared = torch.arange(len(batch)) % batch.mask.shape[1]  # which neighbor of each target, each as often
    one, every = random_agent(batch, compared, generator_of(seed, 1)), only_random_agents(batch, generator_of(seed, 2))
    measurements = []
    for loss in ("ADE", "NLL"):
        phi, phi_one, phi_every = (
            method.attribute(method.value_table(model, each, LOSSES[loss])) for each in (batch, one, every)
        )
        values = {
            PAST: phi[:, 0].mean(), NEIGHBOR: mean_neighbor_value(phi, batch.mask),
            RANDOM_AGENT: phi_of_neighbor(phi_one, compared)[one.mask[torch.arange(len(batch)), compared]].mean(),
            BEST: method.social_score(phi, batch.mask), BEST_RANDOM_AGENT: method.social_score(phi_every, every.mask),
        }  # fmt: skip
        measurements += [Measurement(VALUE[loss], name, setting, seed, float(v)) for name, v in values.items()]
        excess = float((phi_of_neighbor(phi, compared) - phi_of_neighbor(phi_one, compared)).mean())
        measurements.append(Measurement(EXCESS[loss], setting, SIMULATION, seed, excess))
    return measurements


def phi_of_neighbor(phi: Tensor, neighbor: Tensor) -> Tensor:
    """phi (N, P) of each target's neighbor number `neighbor` (N,) int64: (N,)."""
    return phi[:, 1:].gather(1, neighbor.to(phi.device).unsqueeze(1)).squeeze(1)


def mean_neighbor_value(phi: Tensor, mask: Tensor) -> Tensor:
    """The mean phi of a neighbor over all filled neighbor slots; phi (N, P), mask (N, K) bool; a scalar."""
    return phi[:, 1:][mask].mean()


def values_by_kind(model: Predictor, batch: Batch, seed: int) -> list[Measurement]:
    """Shapley and leave-one-out values by ADE: each kind of neighbor, and a random agent for the nearest player."""
    second = torch.ones(len(batch), dtype=torch.int64)  # the nearest player; the first neighbor is the ball
    replaced = random_agent(batch, second, generator_of(seed, 3))
    tables = [method.value_table(model, each) for each in (batch, replaced)]
    kind, measurements = batch.kind.argmax(-1), []
    for metric, rule in ((VALUE["ADE"], SHAPLEY), (LEAVE_ONE_OUT_VALUE, LEAVE_ONE_OUT)):
        phi, phi_replaced = (method.attribute(table, rule) for table in tables)
        values = {name: phi[:, 1:][batch.mask & (kind == i)].mean() for i, name in enumerate(KINDS)}
        values |= {PAST: phi[:, 0].mean(), BEST: method.social_score(phi, batch.mask)}
        values[RANDOM_AGENT] = phi_of_neighbor(phi_replaced, second)[replaced.mask[:, 1]].mean()
        measurements += [Measurement(metric, name, FOOTBALL, seed, float(value)) for name, value in values.items()]
    return measurements


# ---------------------------------------------------------------- attribution against intervention


def sensitivities(model: Predictor, batch: Batch) -> Tensor:
    """Mean change of the predicted path when a neighbor is removed, meters, (N, K); no ground truth is needed."""
    complete, changes = predict(model, batch)[0], []
    for slot in range(batch.mask.shape[1]):
        mask = batch.mask.clone()
        mask[:, slot] = False
        changes.append((predict(model, replace(batch, mask=mask))[0] - complete).norm(dim=-1).mean(-1))
    return torch.stack(changes, dim=1)


def ranking(
    model: Predictor, control: Predictor, batch: Batch, effects: Tensor, threshold: float, setting: str, seed: int
) -> list[Measurement]:
    """Top-1 accuracy in % and rank correlation of each score of neighbors with their true effects (N, K), meters.

    Top-1 accuracy: how often the score ranks the neighbor with the largest effect first, among targets with an effect
    above `threshold`. control: a model that was trained without any interaction.
    """
    phi, phi_control = (method.attribute(method.value_table(each, batch))[:, 1:] for each in (model, control))
    scores = {
        ATTRIBUTION: phi, OTHER_TARGET: phi[baselines.other_scenes(batch.scene, generator_of(seed, 4))],
        NO_INTERACTION: phi_control, SENSITIVITY: sensitivities(model, batch),
        NEAREST: baselines.nearness(batch), APPROACH: baselines.closest_approach(batch),
    }  # fmt: skip
    affected, measurements = effects.amax(1) > threshold, []
    for name, score in scores.items():
        hit = (score[affected].argmax(1) == effects[affected].argmax(1)).double()
        correlation = spearmanr(score.cpu().flatten(), effects.cpu().flatten())[0]
        measurements.append(Measurement("top-1 accuracy", name, setting, seed, 100 * float(hit.mean())))
        measurements.append(Measurement("rank correlation", name, setting, seed, float(correlation)))
    return [
        *measurements,
        Measurement("top-1 accuracy", CHANCE, setting, seed, 100 / effects.shape[1]),
        Measurement("rank correlation", ZERO, setting, seed, 0.0),
        Measurement("targets with an effect", "targets", setting, seed, 100 * float(affected.double().mean())),
    ]


def block_standard_error(values: Tensor, start: Tensor) -> float:
    """The standard error of the mean of values (N,) of overlapping windows: from the means of blocks of five minutes.

    start (N,) int64 is the first frame of each window.
    """
    block = (start // BLOCK_FRAMES).cpu()
    means = torch.stack([values.cpu()[block == number].mean() for number in block.unique()])
    return float(means.std() / len(means) ** 0.5)
