"""What is stored beside the main run: tuning, pilot run, more data, the paper's Table 1, real pedestrians, runtime."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from companion.lab.config import Study
from companion.lab.evidence import Measurement
from companion.lab.runtime import call_seconds
from companion.lab.tuning import grid_search
from companion.trajectory_attribution import baselines, data, evaluation, method
from companion.trajectory_attribution.baselines import without_neighbors
from companion.trajectory_attribution.evaluation import FOOTBALL, SIMULATION, errors
from companion.trajectory_attribution.experiment import (
    HALF_TIME,
    Config,
    experiment,
    football_targets,
    for_all,
    kappa_name,
    measure_simulation,
    ordinary_and_retrained,
    simulated_targets,
)
from companion.trajectory_attribution.method import Batch, Predictor
from companion.trajectory_attribution.training import METHODS, RETRAINED, SUBSETS, SUBSETS_REMOVED, train

LEARNING_RATES = (2e-3, 4e-3, 8e-3, 1.6e-2)
EXACT_FEATURES, SAMPLED_FEATURES = (3, 5, 7, 9, 12), (12, 24)  # sizes of the runtime study
ORDERS = 50  # permutations drawn in the runtime study


# ---------------------------------------------------------------- tuning of the learning rates


def tune(config: Config, seed: int, device: torch.device) -> list[Measurement]:
    """Minus the ADE of every method at every learning rate, on other simulated scenes and the end of the first half."""
    targets = {
        SIMULATION: simulated_targets(config, max(config.kappas), seed, device),
        FOOTBALL: football_targets(config, device),
    }
    models = {f"{name}, {source}": (name, source) for source in targets for name in METHODS}

    def minus_ade(model_name: str, lr: float) -> float:
        name, source = models[model_name]
        training_targets, test = targets[source]
        test = without_neighbors(test) if name == RETRAINED else test
        model = train(training_targets, name, replace(train_configs(config, source)[name], lr=lr), seed)
        return -float(method.ade(*evaluation.predict(model, test), test.future).mean())

    candidates = {f"lr {lr:g}": lr for lr in LEARNING_RATES}
    return grid_search(dict.fromkeys(models, candidates), minus_ade, "minus ADE", seed)


def train_configs(config: Config, source: str) -> Mapping[str, Any]:
    """Method -> its training on one of the two data sets."""
    return {SIMULATION: config.train_simulation, FOOTBALL: config.train_football}[source]


def selected(config: Config) -> dict[str, str]:
    """Method and data set -> the candidate that the configuration uses, both named as by `tune`."""
    configs = {source: train_configs(config, source) for source in (SIMULATION, FOOTBALL)}
    return {f"{name}, {source}": f"lr {configs[source][name].lr:g}" for source in configs for name in METHODS}


# ---------------------------------------------------------------- the paper's Table 1


def remove_neighbors(config: Config, seed: int, device: torch.device) -> list[Measurement]:
    """A model that always saw its neighbors, with all of them removed (the paper's Table 1), and one retrained."""
    measurements = []
    for kappa in config.kappas:
        targets = simulated_targets(config, kappa, seed, device)
        measurements += ordinary_and_retrained(config.train_simulation, *targets, kappa_name(kappa), seed)
    targets = football_targets(config, device)
    return measurements + ordinary_and_retrained(config.train_football, *targets, FOOTBALL, seed)


# ---------------------------------------------------------------- real pedestrians (UCY)


def pedestrians(config: Config, seed: int, device: torch.device) -> list[Measurement]:
    """Train on four scenes and measure on the fifth, five times; with the training settings of the simulation."""
    scenes, measurements = data.ucy_scenes(config.neighbor_slots, config.stride), []
    for scene, (test, others, ego) in scenes.items():
        targets = data.concatenate([batch for name, (batch, _, _) in scenes.items() if name != scene]).to(device)
        model, retrained = (train(targets, name, config.train_simulation[name], seed) for name in (SUBSETS, RETRAINED))
        test = test.to(device)
        measurements += errors(model, test, SUBSETS, scene, seed)
        measurements += evaluation.constant_velocity_errors(test, scene, seed)
        measurements += errors(model, without_neighbors(test), SUBSETS_REMOVED, scene, seed)
        measurements += errors(retrained, without_neighbors(test), RETRAINED, scene, seed)
        measurements += contributions(model, test, scene, seed)
        if scene in data.SCENES_WITH_GROUPS:
            measurements += companion_hits(model, test, data.companions(scene, others, ego), scene, seed)
    return measurements


def contributions(model: Predictor, test: Batch, scene: str, seed: int) -> list[Measurement]:
    """Shapley values by ADE: the past, a neighbor, the nearest one, the best one, a random agent for the nearest."""
    nearest = torch.zeros(len(test), dtype=torch.int64)
    replaced = baselines.random_agent(test, nearest, evaluation.generator_of(seed, 1))
    phi, phi_replaced = (method.attribute(method.value_table(model, batch)) for batch in (test, replaced))
    values = {
        evaluation.PAST: phi[:, 0].mean(),
        evaluation.NEIGHBOR: evaluation.mean_neighbor_value(phi, test.mask),
        evaluation.NEAREST: phi[:, 1][test.mask[:, 0]].mean(),
        evaluation.RANDOM_AGENT: phi_replaced[:, 1][replaced.mask[:, 0]].mean(),
        evaluation.BEST: method.social_score(phi, test.mask),
    }
    return [Measurement(evaluation.VALUE["ADE"], name, scene, seed, float(value)) for name, value in values.items()]


def companion_hits(model: Predictor, test: Batch, companion: Tensor, scene: str, seed: int) -> list[Measurement]:
    """How often each score ranks a companion first, in %, among targets with companions and others as neighbors.

    companion (N, K) bool: which neighbors belong to the target's walking group.
    """
    companion = companion.to(test.mask.device) & test.mask
    mixed = companion.any(1) & (test.mask & ~companion).any(1)
    scores = {
        evaluation.ATTRIBUTION: method.attribute(method.value_table(model, test))[:, 1:],
        evaluation.SENSITIVITY: evaluation.sensitivities(model, test),
        evaluation.NEAREST: baselines.nearness(test),
    }
    first = {name: score.masked_fill(~test.mask, -torch.inf)[mixed].argmax(1) for name, score in scores.items()}
    hits = {name: companion[mixed].gather(1, at.unsqueeze(1)).double().mean() for name, at in first.items()}
    hits[evaluation.CHANCE] = (companion[mixed].sum(1) / test.mask[mixed].sum(1)).mean()
    metric = "companion ranked first"
    measurements = [Measurement(metric, name, scene, seed, 100 * float(value)) for name, value in hits.items()]
    return [*measurements, Measurement(metric, "targets", scene, seed, float(mixed.sum()))]


# ---------------------------------------------------------------- runtime


def measure_runtime(config: Config, seed: int, device: torch.device) -> list[Measurement]:
    """Targets per second, coalitions per target, and the standard error of 50 sampled permutations in meters."""
    measurements, generator = [], torch.Generator().manual_seed(seed)
    for num_features in sorted({*EXACT_FEATURES, *SAMPLED_FEATURES}):
        scenes, setting = max(config.test_scenes // num_features, 4), f"{num_features} features"
        batch = data.all_targets(data.simulate(scenes, 1.0, seed, pedestrians=num_features))[0].to(device)
        model = Predictor(data.HISTORY, data.FUTURE, 1).to(device)
        calls: dict[str, tuple[int, Callable[[], Any]]] = {}  # name -> coalitions per target, and what is timed
        if num_features in EXACT_FEATURES:
            calls["exact, cached"] = 2**num_features, partial(method.value_table, model, batch)
            calls["exact, uncached"] = 2**num_features, partial(baselines.uncached_table, model, batch)
        if num_features in SAMPLED_FEATURES:
            name, sample = f"{ORDERS} permutations", partial(sample_permutations, model, batch, generator)
            calls[name] = ORDERS * (num_features + 1), sample
            measurements.append(Measurement("standard error", name, setting, seed, float(sample()[1].mean())))
        for name, (coalitions, call) in calls.items():
            speed = len(batch) / call_seconds(call, device)
            measurements.append(Measurement("targets per second", name, setting, seed, speed))
            measurements.append(Measurement("coalitions per target", name, setting, seed, float(coalitions)))
    return measurements


@torch.no_grad()
def sample_permutations(model: Predictor, batch: Batch, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Shapley values and their standard errors, (N, P) each, from 50 permutations."""
    game = method.encode(model, batch).values
    return method.permutation_sampling(game, batch.num_features, ORDERS, generator)


# ---------------------------------------------------------------- all studies

LAPTOP = Config.at("laptop")
# Tuning and pilot run see the first half of the match only: the second half is the test set of the evidence.
FIRST_HALF = LAPTOP.override(train_until=30.0, test_from=30.0, test_until=HALF_TIME)
FIVE_EPOCHS = for_all("train_simulation", epochs=5)
SMALL = {
    "scenes": 100, "test_scenes": 100, "stride": 18, "test_stride": 36,
    **for_all("train_simulation", epochs=3), **for_all("train_football", epochs=2, batch_size=128),
}  # fmt: skip
STUDIES = {
    # more scenes in fewer epochs: as many steps as in the experiment
    "tuning": Study(tune, FIRST_HALF.override(scenes=1500, seeds=3, **FIVE_EPOCHS), first_seed=210, reduced=SMALL),
    "pilot": Study(experiment, FIRST_HALF.override(seeds=10), first_seed=470, reduced=SMALL),
    "larger training set": Study(
        measure_simulation, LAPTOP.override(scenes=3000, seeds=5), reduced={**SMALL, "scenes": 300}
    ),
    "neighbors removed": Study(remove_neighbors, LAPTOP.override(seeds=5), reduced=SMALL),
    "pedestrians": Study(
        pedestrians, LAPTOP.override(stride=3, seeds=5, **FIVE_EPOCHS), reduced={**SMALL, "stride": 30}
    ),
    "runtime": Study(measure_runtime, LAPTOP.override(seeds=1), reduced={"test_scenes": 12}),
}
