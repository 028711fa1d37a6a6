"""The experiment: a fresh world of walkers at each kappa, and the football match; attribution beside what is true."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch

from companion.data.trajectories import football
from companion.lab.evidence import Measurement
from companion.lab.config import BaseConfig
from companion.lab.config import Study
from companion.trajectory_attribution import method
from companion.trajectory_attribution.arms import ALONE, ARMS, ORDINARY, SUBSETS, Sizes, train
from companion.trajectory_attribution.baselines import alone
from companion.trajectory_attribution.crowds import leave_one_out
from companion.trajectory_attribution.measures import (
    FOOTBALL,
    NOTHING,
    WORLD,
    attributions,
    blocked,
    by_kind,
    errors,
    forecast,
    ranking,
    straight,
)
from companion.trajectory_attribution.method import Batch
from companion.trajectory_attribution.speed import speed
from companion.trajectory_attribution.windows import windows
from companion.trajectory_attribution.world import everyone, simulate, true_effects

REMOVED = "neighbours removed"
RATES = (2e-3, 4e-3, 8e-3, 1.6e-2)
HALF = 45.89  # minutes


@dataclass(frozen=True)
class Config(BaseConfig):
    """All sizes of the lesson. The learning rates, one an arm and data set, were chosen elsewhere (see `choose`)."""

    seeds: int = 6
    kappas: tuple[float, ...] = (0.0, 1.0, 2.0)
    walkers: int = 5
    scenes: int = 600
    test_scenes: int = 480
    walking: Sizes = Sizes(epochs=12, batch=128, unit=4.0)
    effect: float = 0.15
    playing: Sizes = Sizes(epochs=8, batch=64, unit=10.0)
    slots: int = 6
    radius: float = 25.0
    stride: int = 2
    test_stride: int = 6
    train_minutes: tuple[float, float] = (0.0, HALF)
    test_minutes: tuple[float, float] = (HALF, 1000.0)
    rates: tuple[tuple[str, float], ...] = (
        (f"{SUBSETS}, {WORLD}", 8e-3),
        (f"{ORDINARY}, {WORLD}", 8e-3),
        (f"{ALONE}, {WORLD}", 8e-3),
        (f"{SUBSETS}, {FOOTBALL}", 4e-3),
        (f"{ORDINARY}, {FOOTBALL}", 8e-3),
        (f"{ALONE}, {FOOTBALL}", 8e-3),
    )

    SIZES: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "ci": {
            "seeds": 2, "scenes": 60, "test_scenes": 60, "walking": Sizes(epochs=2, batch=128),
            "playing": Sizes(epochs=1, batch=128, unit=10.0), "stride": 18, "test_stride": 36,
        },
        "study": {"seeds": 10},
        "paper": {
            "seeds": 10, "kappas": (0.0, 0.25, 0.5, 1.0, 2.0, 4.0), "walkers": 12, "scenes": 20_000,
            "test_scenes": 1000, "stride": 1, "test_stride": 1,
            "walking": Sizes(width=128, epochs=60, batch=512, amp=True),
            "playing": Sizes(width=128, epochs=60, batch=512, unit=10.0, amp=True),
        },
    }  # fmt: skip

    def rate(self, arm: str, data: str) -> float:
        """The learning rate of an arm on a data set."""
        return dict(self.rates)[f"{arm}, {data}"]


def named(kappa: float) -> str:
    """A world's name."""
    return f"kappa {kappa:g}"


# ---------------------------------------------------------------- the two data sets


def walkers(config: Config, kappa: float, seed: int, device: torch.device) -> tuple[Batch, Batch]:
    """Targets to train and to test on, from different scenes of one world."""
    train_on = simulate(config.scenes, kappa, 2 * seed, walkers=config.walkers)
    test_on = simulate(config.test_scenes, kappa, 2 * seed + 1, walkers=config.walkers)
    return everyone(train_on)[0].to(device), everyone(test_on)[0].to(device)


def others(config: Config, data: Batch, test: Batch, seed: int) -> list[Measurement]:
    """The other two arms where nobody interacts: there, neighbours can be removed without any loss."""
    place = named(min(config.kappas))
    ordinary, lone = (train(data, arm, config.rate(arm, WORLD), config.walking, seed) for arm in (ORDINARY, ALONE))
    rows = errors(ordinary, test, ORDINARY, place, seed) + errors(lone, alone(test), ALONE, place, seed)
    return rows + errors(ordinary, alone(test), f"{ORDINARY}, {REMOVED}", place, seed)


def walking(config: Config, seed: int, device: torch.device) -> list[Measurement]:
    """The world with the knob: one predictor for each kappa; the other arms where it is 0."""
    rows, models = [Measurement(f"excess, {m}", NOTHING, WORLD, seed, 0.0) for m in ("ADE", "NLL")], {}
    for kappa in config.kappas:
        data, test = walkers(config, kappa, seed, device)
        models[kappa] = train(data, SUBSETS, config.rate(SUBSETS, WORLD), config.walking, seed)
        rows += attributions(models[kappa], test, named(kappa), seed) + straight(test, named(kappa), seed)
        rows += errors(models[kappa], test, SUBSETS, named(kappa), seed)
        rows += errors(models[kappa], alone(test), f"{SUBSETS}, {REMOVED}", named(kappa), seed)
        rows += others(config, data, test, seed) if kappa == min(config.kappas) else []
    strongest = named(max(config.kappas))
    effects = true_effects(config.test_scenes, max(config.kappas), 2 * seed + 1, config.walkers).to(device)
    taught, untaught = models[max(config.kappas)], models[min(config.kappas)]
    return rows + ranking(taught, untaught, test, effects, config.effect, strongest, seed)


def moments(config: Config, device: torch.device) -> tuple[Batch, Batch]:
    """Windows of the match to train and to test on, apart in time."""
    match, shape = football(), (config.slots, config.radius)
    data = windows(match, *shape, config.stride, config.train_minutes)[0]
    test = windows(match, *shape, config.test_stride, config.test_minutes)[0]
    return data.to(device), test.to(device)


def playing(config: Config, seed: int, device: torch.device) -> list[Measurement]:
    """The match: with and without neighbours, and what each kind of neighbour is worth."""
    data, test = moments(config, device)
    model, lone = (train(data, arm, config.rate(arm, FOOTBALL), config.playing, seed) for arm in (SUBSETS, ALONE))
    rows = errors(model, test, SUBSETS, FOOTBALL, seed) + errors(lone, alone(test), ALONE, FOOTBALL, seed)
    rows += errors(model, alone(test), f"{SUBSETS}, {REMOVED}", FOOTBALL, seed) + straight(test, FOOTBALL, seed)
    rows += by_kind(model, test, seed)
    gains = method.ade(*forecast(lone, alone(test)), test.future) - method.ade(*forecast(model, test), test.future)
    return [*rows, Measurement("error over five-minute blocks", "gain", FOOTBALL, seed, blocked(gains, test.scene))]


def experiment(config: Config, seed: int, device: torch.device) -> list[Measurement]:
    """Walkers and football on one seed: a fresh world for the walkers, a fresh start for the football models."""
    return walking(config, seed, device) + playing(config, seed, device)


# ---------------------------------------------------------------- people in streets, the choice, the cost


def drop_all(config: Config, seed: int, device: torch.device) -> list[Measurement]:
    """The paper's Table 1: a model that always saw its neighbours, with them and with all of them removed."""
    worlds = {named(kappa): (walkers(config, kappa, seed, device), WORLD) for kappa in config.kappas}
    places = {**worlds, FOOTBALL: (moments(config, device), FOOTBALL)}
    sizes, rows = {WORLD: config.walking, FOOTBALL: config.playing}, []
    for place, ((data, test), kind) in places.items():
        model = train(data, ORDINARY, config.rate(ORDINARY, kind), sizes[kind], seed)
        rows += errors(model, test, ORDINARY, place, seed)
        rows += errors(model, alone(test), f"{ORDINARY}, {REMOVED}", place, seed)
        lone = train(data, ALONE, config.rate(ALONE, kind), sizes[kind], seed)
        rows += errors(lone, alone(test), ALONE, place, seed)
    return rows


def pedestrians(config: Config, seed: int, device: torch.device) -> list[Measurement]:
    """UCY, each scene left out once; the walkers' learning rates (recorded: the scenes must be brought)."""
    rates = {arm: config.rate(arm, WORLD) for arm in (SUBSETS, ALONE)}
    return leave_one_out(rates, config.walking, config.slots, config.stride, seed, device)


def choose(config: Config, seed: int, device: torch.device) -> list[Measurement]:
    """Minus the ADE of every arm at every learning rate: on another world, and on the end of the first half."""
    pairs = {WORLD: walkers(config, max(config.kappas), seed, device), FOOTBALL: moments(config, device)}
    sizes = {WORLD: config.walking, FOOTBALL: config.playing}
    return [
        Measurement("minus ADE", f"{arm}, {name}", describe(rate), seed, -float(error.mean()))
        for name, (data, test) in pairs.items()
        for arm in ARMS
        for seen in [alone(test) if arm == ALONE else test]
        for rate in RATES
        for error in [method.ade(*forecast(train(data, arm, rate, sizes[name], seed), seen), test.future)]
    ]


def chosen(config: Config) -> dict[str, str]:
    """Arm and data set -> the candidate that the configuration uses, in words."""
    return {name: describe(rate) for name, rate in config.rates}


def describe(rate: float) -> str:
    """A candidate in words."""
    return f"lr {rate:g}"


def cost(config: Config, seed: int, device: torch.device) -> list[Measurement]:
    """Attributions a second and model calls each, by the number of players."""
    return speed(config.test_scenes, seed, device)


LAPTOP = Config.at("laptop")
EARLY = replace(LAPTOP, train_minutes=(0.0, 30.0), test_minutes=(30.0, HALF))
STREET = replace(LAPTOP, walking=replace(LAPTOP.walking, epochs=3), stride=6)
CHOICE_SIZES: dict[str, Any] = {"scenes": 1500, "walking": Sizes(epochs=5, batch=128, unit=4.0)}  # as many steps
FURTHER = {
    "choice": Study(choose, replace(EARLY, **CHOICE_SIZES, rates=(), seeds=3), first_seed=210),
    "rehearsal": Study(experiment, replace(EARLY, seeds=10), first_seed=470),
    "larger world": Study(walking, replace(LAPTOP, scenes=5 * LAPTOP.scenes, seeds=5)),
    "drop all": Study(drop_all, replace(LAPTOP, seeds=5)),
    "pedestrians": Study(pedestrians, replace(STREET, stride=3, walking=Sizes(epochs=5, batch=128), seeds=5)),
    "cost": Study(cost, replace(LAPTOP, seeds=1)),
}

# What is cut for the runs that the tests repeat.
REDUCED: dict[str, dict] = {"ci": {}, "cost": {"test_scenes": 12}} | {
    run: {
        "scenes": 100,
        "test_scenes": 100,
        "walking": Sizes(epochs=3, batch=128, unit=4.0),
        "playing": Sizes(epochs=2, batch=128, unit=10.0),
        "stride": 18,
        "test_stride": 36,
        **further,
    }
    for run, further in {
        "choice": {},
        "rehearsal": {},
        "larger world": {"scenes": 300},
        "drop all": {},
        "pedestrians": {"stride": 30},
    }.items()
}
