"""All that is stored beside the main run: tuning, pilot run, other draws of DG, temperatures, all toy domains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from companion.grda import training
from companion.grda.baselines import FORECASTS
from companion.grda.data import (
    PUBLISHED,
    SOURCE_STATES,
    TEST_WINDOWS,
    TOY,
    TUNING_WINDOWS,
    draw_toy,
    load_dg,
    load_temperatures,
)
from companion.grda.evaluation import TARGETS, accuracy_by_domain, domain_groups, error_by_level, over_starts
from companion.grda.experiment import Config, experiment, toy_experiment
from companion.grda.training import (
    ADDA,
    CDANN,
    DANN,
    GRDA,
    GRDA_INDEPENDENT,
    GRDA_SHUFFLED,
    GRDA_SYNCHRONIZED,
    SOURCE,
    SOURCE_NO_Z,
    TOY_METHODS,
    TUNED_METHODS,
    ToySetting,
)
from companion.lab.config import Study
from companion.lab.evidence import Measurement
from companion.lab.tuning import grid, grid_search

ALIGNING = (DANN, CDANN, ADDA, GRDA_SYNCHRONIZED, GRDA_SHUFFLED, GRDA_INDEPENDENT)
LAMS, LRS = dict.fromkeys(ALIGNING, (0.1, 0.5, 2.0, 8.0)), (1e-3, 3e-3)
STATE_LAMS, STATE_LRS = dict.fromkeys((DANN, GRDA_SYNCHRONIZED), (0.001, 0.01, 0.1, 1.0)), (3e-3, 1e-2)
LRS_WITHOUT_LAM = (3e-4, 5e-4, 7e-4, 1e-3, 2e-3, 3e-3, 5e-3, 1e-2)  # for methods without a discriminator's loss
TOY_GRID = [ToySetting(**each) for each in grid(lam=(0.3, 3.0), lr=(0.01, 0.03))]
# Names in the results on temperatures -> method; pairs of the same year are compared.
STATE_METHODS = {SOURCE: SOURCE, SOURCE_NO_Z: SOURCE_NO_Z, DANN: DANN, GRDA: GRDA_SYNCHRONIZED}


# ---------------------------------------------------------------- tuning


def candidates(lams: Mapping[str, Sequence[float]], lrs: Sequence[float]) -> dict[str, dict[str, dict[str, float]]]:
    """Eight candidates for every method, by description: two learning rates and four lambda, or eight rates."""
    return {
        method: {
            describe(**each): each
            for each in grid(lr=lrs if method in lams else LRS_WITHOUT_LAM, lam=lams.get(method, (0.0,)))
        }
        for method in TUNED_METHODS
    }


def describe(lr: float, lam: float) -> str:
    """A candidate in words."""
    return f"lr {lr:g}, weight {lam:g}"


def selected(config: Config) -> dict[str, str]:
    """Method -> the candidate that the configuration uses, as `tune` names it."""
    return {method: describe(config.lr[method], config.lam.get(method, 0.0)) for method in TUNED_METHODS}


def tune(config: Config, seed: int, device: torch.device) -> list[Measurement]:
    """Target accuracy of every candidate of every method, on draws that are not used elsewhere."""
    domains = load_dg(config.data, seed).to(device)
    targets = domain_groups(domains)[TARGETS]

    def score(method: str, candidate: Any) -> float:
        train_config = replace(config.train_config(method), **candidate)
        predicted = training.predictions(domains, method, train_config, seed)
        return float(accuracy_by_domain(domains, predicted)[targets].mean())

    tried = {method: found for method, found in candidates(LAMS, LRS).items() if method in config.methods}
    return grid_search(tried, score, "target accuracy", seed)


def tune_temperatures(config: Config, seed: int, device: torch.device) -> list[Measurement]:
    """Target error of every candidate in the windows for tuning, a mean over both splits."""
    window = TUNING_WINDOWS[seed % len(TUNING_WINDOWS)]
    data = [load_temperatures(split, window) for split in SOURCE_STATES]

    def score(name: str, candidate: Any) -> float:
        method = STATE_METHODS[name]
        train_config = replace(config.train_config(method), **candidate)
        predictions = [training.forecast(each, method, train_config, seed, device) for each in data]
        errors = [error_by_level(*pair)["all targets"] for pair in zip(data, predictions, strict=True)]
        return float(np.mean(errors))

    tried = candidates(STATE_LAMS, STATE_LRS)
    return grid_search({name: tried[method] for name, method in STATE_METHODS.items()}, score, "target error", seed)


def tune_toys(config: Config, seed: int, device: torch.device) -> list[Measurement]:
    """Accuracy of each method with each candidate on all toy domains, on draws that are not used elsewhere."""
    measurements = []
    for name, methods in config.toy_methods.items():
        domains = draw_toy(TOY[name], config.toy_samples, seed)
        for method in methods:
            for candidate in TOY_GRID:
                train_config = replace(config.toy_config(name, method), lam=candidate.lam, lr=candidate.lr)
                outcomes = training.train_toy(TOY[name], domains, method, train_config, seed)
                measurements += over_starts(method, f"{name}: {candidate}", seed, outcomes)
    return measurements


# ---------------------------------------------------------------- temperatures


def temperatures(config: Config, seed: int, device: torch.device) -> list[Measurement]:
    """Errors by level of the state, for both splits; a seed stands for a window of twelve years."""
    measurements = []
    for split in SOURCE_STATES:
        data = load_temperatures(split, TEST_WINDOWS[seed])
        predictions = {name: predict(data) for name, predict in FORECASTS.items()}
        for name, method in STATE_METHODS.items():
            predictions[name] = training.forecast(data, method, config.train_config(method), seed, device)
        measurements += [
            Measurement("squared error", name, f"{split}, {group}", seed, value)
            for name, predicted in predictions.items()
            for group, value in error_by_level(data, predicted).items()
        ]
    return measurements


# ---------------------------------------------------------------- the studies

STUDY = Config.at("study")
NO_TOYS = replace(STUDY, toy_methods={})
DG60 = replace(NO_TOYS, data="DG-60", seeds=3, methods=STUDY.methods[:-2], epochs=60, batch_size=10, half_life=40.0)
STATES = replace(
    NO_TOYS, data="temperatures", seeds=6, methods=(), embed_dim=8, epochs=300, batch_size=12, half_life=150.0
)
STATES_LR = {SOURCE: 5e-3, SOURCE_NO_Z: 1e-2, DANN: 3e-3, GRDA_SYNCHRONIZED: 1e-2}
STATES_LAM = {DANN: 0.001, GRDA_SYNCHRONIZED: 0.001}
TOYS = replace(STUDY, seeds=3, methods=(), toy_methods=dict.fromkeys(TOY, TOY_METHODS))
SMALL = Config.REDUCED["ci"]
SMALLER = {**SMALL, "hidden_dim": 16, "epochs": 3, "batch_size": 20, "half_life": 2.0}
SMALL_STATES = {**SMALLER, "embed_dim": 4, "epochs": 2, "batch_size": 12}
SMALL_TOYS = {"toy_samples": 120, "toy_epochs": 2, "toy_rounds": 1, "toy_hidden_dim": 8}
STUDIES = {
    "tuning": Study(tune, replace(STUDY, seeds=3, lr={}, lam={}), first_seed=100, reduced=SMALLER),
    "tuning temperatures": Study(
        tune_temperatures, replace(STATES, seeds=3, lr={}, lam={}), first_seed=102, reduced=SMALL_STATES
    ),
    "tuning toy domains": Study(tune_toys, replace(TOYS, seeds=2), first_seed=100, reduced=SMALL_TOYS),
    "pilot": Study(experiment, STUDY, first_seed=300, reduced=SMALL),
    "free angles": Study(experiment, replace(NO_TOYS, data="DG-15, free angles"), reduced=SMALL),
    PUBLISHED: Study(experiment, replace(NO_TOYS, data=PUBLISHED), reduced=SMALL),
    "DG-60": Study(experiment, DG60, reduced=SMALL),
    "temperatures": Study(temperatures, replace(STATES, lr=STATES_LR, lam=STATES_LAM), reduced=SMALL_STATES),
    "toy domains": Study(toy_experiment, TOYS, reduced=SMALL_TOYS),
}
