"""All that is stored beside the main run: tuning, pilot run, longer training, longer windows, other data, runtime."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import torch

from companion.lab.config import Study
from companion.lab.evidence import Measurement
from companion.psa_gan.data import M4, windows
from companion.psa_gan.experiment import Config, evaluation_data, experiment, log_fid, time_steps
from companion.psa_gan.training import NEITHER, NO_ATTENTION, PSA, RECURRENT, fit, sampler_of

GRID = tuple(product((2e-3, 4e-3, 8e-3), (1.0, 4.0)))  # learning rate of the generator, ratio of the discriminator's


def describe(lr: float, lr_ratio: float) -> str:
    """A candidate in words."""
    return f"lr {lr:g}, discriminator {lr_ratio:g} x"


def tune(config: Config, seed: int, device: torch.device) -> list[Measurement]:
    """Minus log10 of Context-FID of every method with every pair of learning rates, on blocks kept for tuning."""
    data = windows(config.data, config.length, config.before).to(device)
    table, measurements = evaluation_data(config, data, seed), []
    for name in config.methods:
        for lr, lr_ratio in GRID:
            gan_config = replace(config.gan, lr=lr, lr_ratio=lr_ratio)
            sampler = sampler_of(fit(name, data, config.train, gan_config, seed), seed)
            score = -log_fid(table.encode, table.test.x.cpu(), sampler(table.test))
            measurements.append(Measurement("minus log10 Context-FID", name, describe(lr, lr_ratio), seed, score))
    return measurements


def selected(config: Config) -> dict[str, str]:
    """Method -> the learning rates that the configuration uses, as `tune` names them."""
    return {name: describe(config.lr[name], config.lr_ratio[name]) for name in config.methods}


def runtime(config: Config, seed: int, device: torch.device) -> list[Measurement]:
    """Seconds of a step of each network of all methods of the configuration."""
    return time_steps(config, windows(config.data, config.timed_length).to(device), config.methods, seed)


LAPTOP, STUDY = Config.at("laptop"), Config.at("study")
TUNING = replace(STUDY, train="fit", test="choose")
LONG = replace(STUDY, length=256, seeds=6, horizon=24, few=(10,), methods=(NO_ATTENTION, NEITHER, RECURRENT))
SMALL = {
    "gan.channels": 8, "gan.batch_size": 8, "gan.steps": 10, "draws": 2, "nearest": 50, "timed_repeats": 1,
    "encoder_steps": 60, "test_windows": 300, "generated": 40,
}  # fmt: skip
TINY = {**SMALL, "gan.channels": 4}
STUDIES = {
    "tuning": Study(
        tune, replace(TUNING, seeds=3, lr={}, lr_ratio={}, methods=(*LAPTOP.methods, NEITHER)), first_seed=100,
        reduced={**TINY, "gan.steps": 4},
    ),
    "pilot": Study(experiment, replace(TUNING, seeds=10), first_seed=200, reduced=SMALL),
    "three times longer": Study(
        experiment, STUDY.override(seeds=3, methods=(*LAPTOP.methods, NEITHER), **{"gan.steps": 900}), reduced=SMALL
    ),
    "length 256, equal steps": Study(
        experiment, LONG.override(**{"gan.steps": 150}), reduced={**TINY, "gan.steps": 8}
    ),
    "length 256, equal seconds": Study(
        experiment, replace(LONG, steps={NO_ATTENTION: 700, NEITHER: 500, RECURRENT: 80}),
        reduced={**TINY, "gan.steps": 300, "steps": {NO_ATTENTION: 8, NEITHER: 8, RECURRENT: 4}},
    ),
    "M4 hourly": Study(
        experiment, replace(STUDY, data=M4, seeds=3, timed_length=64, timed_repeats=1), reduced=SMALL
    ),
    "paper's shapes": Study(
        runtime,
        replace(STUDY, seeds=1, timed_batch_size=128, timed_repeats=3, methods=(PSA, NO_ATTENTION, RECURRENT))
        .override(**{"gan.channels": 32}),
        reduced={**SMALL, "gan.steps": 4, "timed_length": 64, "timed_batch_size": 8},
    ),
}  # fmt: skip
