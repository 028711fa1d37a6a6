"""The experiment: every arm from a fresh start on the same windows, judged on blocks of weeks that nobody saw."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from companion.lab.evidence import Measurement
from companion.lab.config import BaseConfig
from companion.lab.config import Study
from companion.psa_gan import judge
from companion.psa_gan.arms import (
    ARMS,
    BOOTSTRAP,
    CONTEXT,
    NEITHER,
    NO_ATTENTION,
    NO_FADE,
    NO_GROWTH,
    NO_MOMENTS,
    PSA,
    RECURRENT,
    RECURRENT_PLAIN,
    Sampler,
    Sizes,
    bootstrap_sampler,
    fit,
    sampler_of,
    strongest_attention,
)
from companion.psa_gan.forecast import augmented, ridge_error, seasonal_naive_error
from companion.psa_gan.jump import jumps
from companion.psa_gan.method import Generator
from companion.psa_gan.panel import M4, PEDESTRIANS, Batch, Windows, windows
from companion.psa_gan.speed import cost
from companion.psa_gan.training import Game, Recipe, Stage

REAL, ALONE, NAIVE, MORE = "another real sample", "alone", "as yesterday", "300 more real windows"
GRID = tuple(Recipe(lr, ratio) for lr, ratio in product((2e-3, 4e-3, 8e-3), (1.0, 4.0)))
WINDOWS = "windows"


@dataclass(frozen=True)
class Config(BaseConfig):
    """All sizes of the lesson. The recipes, one an arm, were chosen on other seeds and blocks (see `choose`)."""

    seeds: int = 6
    data: str = PEDESTRIANS
    length: int = 32
    before: int = 0
    train: str = "train"
    test: str = "test"
    arms: tuple[str, ...] = (PSA, NO_GROWTH, NO_ATTENTION, NO_MOMENTS, RECURRENT)
    sizes: Sizes = Sizes()
    steps: tuple[tuple[str, int], ...] = ()
    recipes: tuple[tuple[str, Recipe], ...] = (
        (PSA, Recipe(2e-3, 1.0)),
        (NO_GROWTH, Recipe(4e-3, 4.0)),
        (NO_ATTENTION, Recipe(4e-3, 1.0)),
        (NEITHER, Recipe(4e-3, 1.0)),
        (NO_MOMENTS, Recipe(2e-3, 4.0)),
        (RECURRENT, Recipe(8e-3, 1.0)),
        (NO_FADE, Recipe(2e-3, 1.0)),  # PSA-GAN's
        (CONTEXT, Recipe(2e-3, 1.0)),  # PSA-GAN's
        (RECURRENT_PLAIN, Recipe(8e-3, 1.0)),  # the recurrent GAN's
    )
    encoder: tuple[int, int, int] = (900, 32, 7)
    judged: int = 2000
    horizon: int = 8
    few: tuple[int, ...] = (5, 10, 30, 100)
    draws: int = 8
    made: int = 300
    near: int = 400
    timed: tuple[int, int, int] = (256, 16, 2)

    SIZES: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "ci": {
            "seeds": 2, "sizes": Sizes(channels=8, batch=8, steps=10), "encoder": (400, 32, 7),
            "draws": 2, "near": 50, "timed": (256, 16, 1),
        },
        "study": {"seeds": 10},
        "paper": {
            "data": "electricity_nips", "length": 256, "seeds": 3, "horizon": 24, "judged": 5120,
            "sizes": Sizes(channels=32, batch=128, steps=350_000, last=0.5), "encoder": (3000, 32, 7),
            "timed": (256, 16, 5),
            "recipes": tuple((arm, Recipe(5e-5)) for arm in ARMS),
        },
    }  # fmt: skip

    def recipe(self, arm: str) -> Recipe:
        """The recipe of an arm."""
        return dict(self.recipes)[arm]


# ---------------------------------------------------------------- what is judged, and on what


@dataclass(frozen=True)
class Bench:
    """What all arms of a seed are judged on.

    test: conditions of real test windows, and those windows. other: as many others, (n, l). conditions: of training
    weeks. memory: training windows (m, l). few: by their number, some draws of a few training windows.
    """

    test: Batch
    other: Tensor
    conditions: Batch
    memory: Tensor
    few: dict[int, list[Tensor]]
    encode: judge.Trained


def bench(config: Config, data: Windows, seed: int) -> Bench:
    """Draw the windows of a seed; the encoder is the same for all seeds."""
    stream = torch.Generator().manual_seed(1_000_000 + seed)
    steps, batch, own_seed = config.encoder
    return Bench(
        data.draw(config.test, config.judged, stream),
        data.draw(config.test, config.judged, stream).x.cpu(),
        data.draw(config.train, config.made, stream),
        data.draw(config.train, 10 * config.judged, stream).x.cpu(),
        {n: [data.draw(config.train, n, stream).x.cpu() for _ in range(config.draws)] for n in config.few},
        judge.trained_encoder(config.data, config.length, config.train, steps, batch, own_seed),
    )


def log_fid(encode: judge.Trained, real: Tensor, made: Tensor) -> float:
    """Context-FID in powers of ten."""
    return float(np.log10(max(judge.context_fid(encode, real, made), 1e-6)))


def scores(name: str, made: Tensor, table: Bench, config: Config, seed: int) -> list[Measurement]:
    """Context-FID, spectrum, and use as the only training data, of windows (n, l) under the test conditions."""
    real = table.test.x.cpu()
    found = {
        "Context-FID": log_fid(table.encode, real, made),
        "log-spectral distance": judge.log_spectral_distance(real, made),
        "NRMSE": ridge_error(made, table.other, config.horizon),
    }
    return [Measurement(metric, name, WINDOWS, seed, value) for metric, value in found.items()]


def nearness(name: str, x: Tensor, table: Bench, config: Config, seed: int) -> Measurement:
    """log10 of the median distance of windows (n, l) to the nearest training window."""
    distance = judge.nearest(x[: config.near], table.memory).median()
    return Measurement("nearest", name, WINDOWS, seed, float(distance.log10()))


def references(table: Bench, config: Config, seed: int) -> list[Measurement]:
    """What real windows themselves score, and the forecast that needs no training."""
    rows = scores(REAL, table.other, table, config, seed)
    trained_on_real = ridge_error(table.memory[: config.judged], table.other, config.horizon)
    naive = seasonal_naive_error(table.other, config.horizon)
    return [
        *(row for row in rows if row.metric != "NRMSE"),
        Measurement("NRMSE", REAL, WINDOWS, seed, trained_on_real),
        Measurement("NRMSE", NAIVE, WINDOWS, seed, naive),
        nearness(REAL, table.test.x.cpu(), table, config, seed),
    ]


# ---------------------------------------------------------------- the experiment


def trained(config: Config, data: Windows, arm: str, seed: int) -> tuple[Game, list[Measurement]]:
    """An arm, trained; its CPU seconds; and for PSA-GAN what its output does at the moment the last level comes."""
    rows: list[Measurement] = []

    def watch(game: Game, stage: Stage, step: int) -> None:
        if arm == PSA and step == 0 and stage is game.stages[-1] and isinstance(game.generator, Generator):
            rows.extend(jumps(game.generator, data.draw(config.train, 256, torch.Generator().manual_seed(seed)), seed))

    begin = time.process_time()
    sizes = replace(config.sizes, steps=dict(config.steps).get(arm, config.sizes.steps))
    game = fit(arm, data, config.train, config.recipe(arm), sizes, seed, watch)
    rows.append(Measurement("CPU seconds", arm, WINDOWS, seed, time.process_time() - begin))
    return game, [*rows, Measurement("gamma", arm, WINDOWS, seed, strongest_attention(game))]


def experiment(config: Config, seed: int, device: torch.device) -> list[Measurement]:
    """Train every arm on this seed, judge it, use it, and time a step at a greater length."""
    data = windows(config.data, config.length, config.before).to(device)
    table = bench(config, data, seed)
    rows = references(table, config, seed)
    samplers: dict[str, Sampler] = {BOOTSTRAP: bootstrap_sampler(data, config.train, seed)}
    for arm in config.arms:
        game, found = trained(config, data, arm, seed)
        samplers[arm], rows = sampler_of(game, seed), rows + found
    for arm, sampler in samplers.items():
        rows += scores(arm, sampler(table.test), table, config, seed)
        rows.append(nearness(arm, sampler(table.conditions), table, config, seed))
    length, batch, repeats = config.timed
    timed = replace(config.sizes, batch=batch)
    longer = windows(config.data, length).to(device)
    rows += cost(
        longer, tuple(arm for arm in (PSA, NO_ATTENTION, RECURRENT) if arm in config.arms), timed, repeats, seed
    )
    return rows + helped(samplers, table, config, seed)


def helped(samplers: Mapping[str, Sampler], table: Bench, config: Config, seed: int) -> list[Measurement]:
    """Forecast errors of a few real windows alone, and with made ones for dates of the training weeks."""
    made = {arm: sampler(table.conditions) for arm, sampler in samplers.items()}
    made[MORE] = table.conditions.x.cpu()
    found = {n: augmented(few, made, table.other, config.horizon) for n, few in table.few.items()}
    return [
        Measurement("NRMSE", name, few_windows(n), seed, value)
        for n, errors in found.items()
        for name, value in errors.items()
    ]


def few_windows(n: int) -> str:
    """The setting with so many real windows."""
    return f"{n} real windows"


# ---------------------------------------------------------------- how the recipes were chosen


def choose(config: Config, seed: int, device: torch.device) -> list[Measurement]:
    """What every arm scores under every recipe, on blocks that give no evidence: minus log10 of Context-FID."""
    data = windows(config.data, config.length, config.before).to(device)
    table, rows = bench(config, data, seed), []
    for arm in config.arms:
        for recipe in GRID:
            sampler = sampler_of(fit(arm, data, config.train, recipe, config.sizes, seed), seed)
            score = -log_fid(table.encode, table.test.x.cpu(), sampler(table.test))
            rows.append(Measurement("minus log10 Context-FID", arm, str(recipe), seed, score))
    return rows


def chosen(config: Config) -> dict[str, str]:
    """Arm -> the candidate that the configuration uses, in words."""
    return {arm: str(config.recipe(arm)) for arm in config.arms}


# ---------------------------------------------------------------- the paper's shapes


def steps_at_scale(config: Config, seed: int, device: torch.device) -> list[Measurement]:
    """Seconds of a step of each player, of all arms of the configuration."""
    length, batch, repeats = config.timed
    data = windows(config.data, length).to(device)
    return cost(data, config.arms, replace(config.sizes, batch=batch), repeats, seed)


LAPTOP, STUDY = Config.at("laptop"), Config.at("study")
CHOICE = replace(STUDY, train="fit", test="choose")
LONG = replace(STUDY, length=256, seeds=6, horizon=24, few=(10,), arms=(NO_ATTENTION, NEITHER, RECURRENT))
FURTHER = {
    "choice": Study(choose, replace(CHOICE, seeds=3, recipes=(), arms=(*LAPTOP.arms, NEITHER)), first_seed=100),
    "rehearsal": Study(experiment, replace(CHOICE, seeds=10), first_seed=200),
    "three times longer": Study(
        experiment, replace(STUDY, seeds=3, sizes=Sizes(steps=900), arms=(*LAPTOP.arms, NEITHER))
    ),
    "length 256, equal steps": Study(experiment, replace(LONG, sizes=Sizes(steps=150))),
    "length 256, equal seconds": Study(
        experiment, replace(LONG, steps=((NO_ATTENTION, 700), (NEITHER, 500), (RECURRENT, 80)))
    ),
    "M4 hourly": Study(experiment, replace(STUDY, data=M4, seeds=3, timed=(64, 16, 1))),
    "paper's shapes": Study(
        steps_at_scale,
        replace(
            STUDY,
            seeds=1,
            sizes=Sizes(channels=32),
            timed=(256, 128, 3),
            arms=(PSA, NO_ATTENTION, RECURRENT),
        ),
    ),
}

# What is cut for the runs that the tests repeat.
SMALL = {name: value for name, value in Config.SIZES["ci"].items() if name != "seeds"}
FAST = {**SMALL, "encoder": (60, 32, 7), "judged": 300, "made": 40}
REDUCED = {
    "ci": {"encoder": (100, 32, 7)},
    "choice": {**FAST, "sizes": Sizes(channels=4, batch=8, steps=4)},
    "rehearsal": FAST,
    "three times longer": FAST,
    "length 256, equal steps": {**FAST, "sizes": Sizes(channels=4, batch=8, steps=8)},
    "length 256, equal seconds": {
        **FAST,
        "sizes": Sizes(channels=4, batch=8),
        "steps": ((NO_ATTENTION, 8), (NEITHER, 8), (RECURRENT, 4)),
    },
    "M4 hourly": {**FAST, "timed": (64, 16, 1)},
    "paper's shapes": {**FAST, "sizes": Sizes(channels=8, batch=8, steps=4), "timed": (64, 8, 1)},
}
