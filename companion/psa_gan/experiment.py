"""The experiment: every arm from a fresh start on the same windows, judged on blocks of weeks that nobody saw."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from companion.lab.evidence import Measurement
from companion.lab.scales import Config as ScaledConfig
from companion.lab.scales import Plan
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
)
from companion.psa_gan.forecast import augmented, ridge_error, seasonal_naive_error
from companion.psa_gan.jump import jumps
from companion.psa_gan.panel import M4, PEDESTRIANS, Batch, Windows, windows
from companion.psa_gan.speed import cost
from companion.psa_gan.training import Game, Stage

REAL, ALONE, NAIVE = "another real sample", "alone", "as yesterday"
RATES = (1e-3, 2e-3, 4e-3, 8e-3, 1.6e-2)
WINDOWS, FEW = "windows", "few real windows"


@dataclass(frozen=True)
class Config(ScaledConfig):
    """All sizes of the lesson. The learning rates, one an arm, were chosen on other seeds and blocks (see `choose`)."""

    seeds: int = 5
    data: str = PEDESTRIANS
    length: int = 32
    before: int = 0
    train: str = "train"
    test: str = "test"
    arms: tuple[str, ...] = (PSA, NO_GROWTH, NO_ATTENTION, NO_MOMENTS, RECURRENT)
    sizes: Sizes = Sizes()
    steps: tuple[tuple[str, int], ...] = ()
    rates: tuple[tuple[str, float], ...] = tuple((arm, 4e-3) for arm in ARMS)
    encoder: tuple[int, int, int] = (900, 32, 7)
    judged: int = 2000
    horizon: int = 8
    few: int = 10
    draws: int = 8
    made: int = 300
    near: int = 400
    timed: tuple[int, int, int] = (256, 16, 2)

    SIZES: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "ci": {
            "seeds": 2, "sizes": Sizes(channels=8, batch=8, steps=10), "encoder": (60, 8, 7), "judged": 200,
            "draws": 2, "made": 40, "near": 50, "timed": (64, 8, 1),
        },
        "study": {"seeds": 10},
        "paper": {
            "data": "electricity_nips", "length": 256, "seeds": 3, "horizon": 24, "judged": 5120, "timed": (256, 128, 5),
            "sizes": Sizes(channels=32, batch=128, steps=350_000, last=0.5), "encoder": (3000, 32, 7),
            "rates": tuple((arm, 5e-5) for arm in ARMS),
        },
    }  # fmt: skip

    def rate(self, arm: str) -> float:
        """The learning rate of an arm; without fading it is that of PSA-GAN."""
        return dict(self.rates)[arm]


# ---------------------------------------------------------------- what is judged, and on what


@dataclass(frozen=True)
class Bench:
    """What all arms of a seed are judged on: real test windows twice, training conditions, and the encoder."""

    test: Batch
    other: Batch
    conditions: Batch
    memory: Tensor
    few: list[Tensor]
    encode: judge.Trained


def bench(config: Config, data: Windows, seed: int) -> Bench:
    """Draw the windows of a seed; the encoder is the same for all seeds."""
    stream = torch.Generator().manual_seed(1_000_000 + seed)
    steps, batch, own_seed = config.encoder
    return Bench(
        data.draw(config.test, config.judged, stream),
        data.draw(config.test, config.judged, stream),
        data.draw(config.train, config.made, stream),
        data.draw(config.train, 10 * config.judged, stream).x,
        [data.draw(config.train, config.few, stream).x for _ in range(config.draws)],
        judge.trained_encoder(config.data, config.length, config.train, steps, batch, own_seed),
    )


def log_fid(encode: judge.Trained, real: Tensor, made: Tensor) -> float:
    """Context-FID in powers of ten."""
    return float(np.log10(max(judge.context_fid(encode, real, made), 1e-6)))


def judged(name: str, sampler: Sampler, table: Bench, config: Config, seed: int) -> list[Measurement]:
    """One arm's scores: Context-FID, spectrum, use as training data alone, and distance to the nearest real window."""
    made = sampler(table.test).cpu()
    real = table.test.x.cpu()
    found = {
        "Context-FID": log_fid(table.encode, real, made),
        "log-spectral distance": judge.log_spectral_distance(real, made),
        "NRMSE": ridge_error(made, table.other.x, config.horizon),
    }
    rows = [Measurement(metric, name, WINDOWS, seed, value) for metric, value in found.items()]
    return [*rows, nearness(name, sampler(table.conditions).cpu(), table, config, seed)]


def nearness(name: str, x: Tensor, table: Bench, config: Config, seed: int) -> Measurement:
    """log10 of the median distance of windows (n, l) to the nearest training window."""
    distance = judge.nearest(x[: config.near], table.memory).median()
    return Measurement("nearest", name, WINDOWS, seed, float(distance.log10()))


def references(table: Bench, config: Config, seed: int) -> list[Measurement]:
    """What real windows themselves score, and the forecast that needs no training."""
    found = {
        "Context-FID": log_fid(table.encode, table.test.x, table.other.x),
        "log-spectral distance": judge.log_spectral_distance(table.test.x, table.other.x),
        "NRMSE": ridge_error(table.memory[: config.judged], table.other.x, config.horizon),
    }
    rows = [Measurement(metric, REAL, WINDOWS, seed, value) for metric, value in found.items()]
    naive = seasonal_naive_error(table.other.x, config.horizon)
    rows += [Measurement("NRMSE", NAIVE, WINDOWS, seed, naive), nearness(REAL, table.test.x, table, config, seed)]
    return rows


# ---------------------------------------------------------------- the experiment


def trained(config: Config, data: Windows, arm: str, seed: int) -> tuple[Game, list[Measurement]]:
    """An arm, trained; its CPU seconds; and for PSA-GAN what its output does at the moment the last level comes."""
    rows: list[Measurement] = []

    def watch(game: Game, stage: Stage, step: int) -> None:
        if arm == PSA and step == 0 and stage is game.stages[-1]:
            rows.extend(jumps(game.generator, data.draw(config.train, 256, torch.Generator().manual_seed(seed)), seed))

    begin = time.process_time()
    sizes = replace(config.sizes, steps=dict(config.steps).get(arm, config.sizes.steps))
    game = fit(arm, data, config.train, config.rate(arm), sizes, seed, watch)
    return game, [*rows, Measurement("CPU seconds", arm, WINDOWS, seed, time.process_time() - begin)]


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
        rows += judged(arm, sampler, table, config, seed)
    length, batch, repeats = config.timed
    timed = replace(config.sizes, batch=batch)
    longer = windows(config.data, length).to(device)
    rows += cost(longer, tuple(arm for arm in (PSA, RECURRENT) if arm in config.arms), timed, repeats, seed)
    return rows + helped(samplers, table, config, seed)


def helped(samplers: Mapping[str, Sampler], table: Bench, config: Config, seed: int) -> list[Measurement]:
    """Forecast errors of a few real windows alone, and with made ones for dates of the training weeks."""
    made = {arm: sampler(table.conditions).cpu() for arm, sampler in samplers.items()}
    made["more real windows"] = table.conditions.x.cpu()
    few = [own.cpu() for own in table.few]
    found = augmented(few, made, table.other.x.cpu(), config.horizon)
    return [Measurement("NRMSE", name, f"{config.few} real windows", seed, value) for name, value in found.items()]


# ---------------------------------------------------------------- how the learning rates were chosen


def choose(config: Config, seed: int, device: torch.device) -> list[Measurement]:
    """What every arm scores at every learning rate, on blocks that give no evidence: minus log10 of Context-FID."""
    data = windows(config.data, config.length, config.before).to(device)
    table, rows = bench(config, data, seed), []
    for arm in config.arms:
        for lr in RATES:
            sampler = sampler_of(fit(arm, data, config.train, lr, config.sizes, seed), seed)
            score = -log_fid(table.encode, table.test.x.cpu(), sampler(table.test).cpu())
            rows.append(Measurement("minus log10 Context-FID", arm, describe(lr), seed, score))
    return rows


def describe(lr: float) -> str:
    """A candidate in words."""
    return f"lr {lr:g}"


def chosen(config: Config) -> dict[str, str]:
    """Arm -> the candidate that the configuration uses, in words."""
    return {arm: describe(config.rate(arm)) for arm in config.arms}


LAPTOP, STUDY = Config.at("laptop"), Config.at("study")
CHOICE = replace(STUDY, train="fit", test="choose")
FURTHER = {
    "choice": Plan(choose, replace(CHOICE, seeds=2, rates=()), first_seed=100),
    "rehearsal": Plan(experiment, replace(CHOICE, seeds=10), first_seed=200),
}
