"""All that is stored beside the main run: tuning, pilot run, every approach, the colored room, runtime."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import torch

from companion.lab.config import Study
from companion.lab.evidence import Measurement
from companion.lab.runtime import cpu_seconds
from companion.visual_generalization import data, method, training
from companion.visual_generalization.evaluation import R2
from companion.visual_generalization.experiment import (
    CNN,
    MLP,
    Config,
    dataset_of,
    experiment,
    mask_of,
    seed_of,
    test_set,
    training_set,
)
from companion.visual_generalization.method import RANDOM
from companion.visual_generalization.models import Shape
from companion.visual_generalization.training import APPROACHES

LEARNING_RATES = (3e-3, 1e-2, 2e-2, 4e-2)
RUNNABLE = tuple(each.name for each in APPROACHES if not each.needs)
BATCHES = {"sprites": (200, 2000), "room": (200, 1000)}  # images that are drawn at once
REPEATS = 3


def tune(config: Config, seed: int, device: torch.device) -> list[Measurement]:
    """R^2 of every approach at every learning rate: trained on the random split, validated on other training images.

    No image that any split tests on is used.
    """
    mask, grid, measurements = mask_of(config, RANDOM), dataset_of(config).grid, []
    images = training_set(config, RANDOM, seed, device)
    used = method.sample(mask, config.images, torch.Generator().manual_seed(seed_of(config, RANDOM, seed, 0)))
    unused = mask.flatten().clone()
    unused[used] = False
    validation = test_set(config, unused.view(mask.shape), config.test, seed_of(config, RANDOM, seed, 2), device)
    for name in config.approaches:
        for lr in LEARNING_RATES:
            train_config = replace(config.override(lr={name: lr}).train_config(name))
            net = training.train(name, images, config.shape, train_config, seed_of(config, RANDOM, seed, 1))
            value = method.scores(training.predict(net, validation.images), validation.targets, grid)["ordered"]
            measurements.append(Measurement(f"{R2}, ordered", name, f"{lr:g}", seed, value))
    return measurements


def selected(config: Config) -> dict[str, str]:
    """Approach -> the learning rate that the configuration uses, as `tune` names it."""
    return {name: f"{config.lr[name]:g}" for name in RUNNABLE}


def runtime(config: Config, seed: int, device: torch.device) -> list[Measurement]:
    """Images per CPU second, the best of three, drawn at 64 x 64 and averaged to 32 x 32."""
    measurements, generator = [], torch.Generator().manual_seed(seed)
    for name, sizes in BATCHES.items():
        for count in sizes:
            flat = torch.randint(data.GENERATED[name].grid.count, (count,), generator=generator).to(device)
            draw = partial(data.GENERATED[name].images, flat, 2)
            seconds = min(cpu_seconds(draw) for _ in range(REPEATS))
            measurements.append(Measurement("images per second", name, f"{count} at once", seed, count / seconds))
    return measurements


LAPTOP = Config.at("laptop")
ALL = replace(LAPTOP, approaches=RUNNABLE)
COLORED_ROOM = replace(LAPTOP, dataset="room", approaches=(MLP, CNN), shape=Shape(channels=3, factors=6), seeds=3)
SMALL = {"images": 320, "test": 100, "single": 40, "epochs": 2, "batch_size": 32}
STUDIES = {
    "tuning": Study(tune, replace(ALL, seeds=3, lr={}), first_seed=100, reduced=SMALL),
    "pilot": Study(experiment, replace(LAPTOP, seeds=10), first_seed=200, reduced=SMALL),
    "every approach": Study(experiment, replace(ALL, seeds=2), first_seed=300, reduced=SMALL),
    "colored room": Study(experiment, COLORED_ROOM, first_seed=300, reduced=SMALL),
    "runtime": Study(runtime, replace(LAPTOP, seeds=1)),
}
