"""The experiment: every approach on every split, factor by factor, beside oracles; one factor out at a time; leaks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from companion.lab.evidence import Measurement
from companion.lab.config import BaseConfig
from companion.lab.config import Study
from companion.visual_generalization import baselines, method, training
from companion.visual_generalization.baselines import CLAMP, GRID_MEAN, NEAREST, SHORTCUT, TRAIN_MEAN
from companion.visual_generalization.method import (
    COMPOSITION,
    EXTRAPOLATION,
    INTERPOLATION,
    RANDOM,
    SCATTERED,
    SPLITS,
    Grid,
)
from companion.visual_generalization.models import Shape
from companion.visual_generalization.registry import ENTRIES, entry
from companion.visual_generalization.speed import renderer
from companion.visual_generalization.training import Examples, Recipe
from companion.visual_generalization.worlds import World, named_world

R2, LOST, BEYOND = "R2", "R2 lost", "share of the way"
CNN, MLP = "CNN", "MLP"
EVERYTHING, LEAKED, NOTHING, LEAST, MOST = "everything", "CNN, leaked", "nothing", "least of all", "most of all"
OTHERS = "others"
RATES = (3e-3, 1e-2, 2e-2, 4e-2)
RUNNABLE = tuple(e.name for e in ENTRIES if not e.needs)


@dataclass(frozen=True)
class Config(BaseConfig):
    """All sizes of the lesson. The learning rates, one an approach, were chosen elsewhere (see `choose`)."""

    seeds: int = 5
    world: str = "sprites"
    approaches: tuple[str, ...] = ("PCA", "PCL", MLP, CNN, "CoordConv", "coordinate-based")
    unbiased: tuple[str, ...] = (MLP, CNN)
    images: int = 2500
    test: int = 1500
    single: int = 500
    pool: int = 2
    shape: Shape = Shape()
    recipe: Recipe = Recipe(epochs=4, batch=64)
    checkpoints: str = ""  # a folder, where training is long
    rates: tuple[tuple[str, float], ...] = (
        ("PCA", 0.02),
        ("beta-VAE", 0.02),
        ("Ada-GVAE", 0.02),
        ("SlowVAE", 0.01),
        ("PCL", 0.003),
        ("MLP", 0.01),
        ("CNN", 0.02),
        ("CoordConv", 0.02),
        ("coordinate-based", 0.01),
        ("rotation-equivariant", 0.02),
        ("spatial transformer", 0.02),
    )

    SIZES: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "ci": {
            "seeds": 2, "images": 300, "test": 200, "single": 60, "recipe": Recipe(epochs=1, batch=64),
        },
        "study": {"seeds": 10},
        "paper": {
            "approaches": tuple(e.name for e in ENTRIES), "unbiased": (CNN, "ResNet-50"), "images": 60_000,
            "test": 120_000, "single": 10_000, "pool": 1,
            "shape": Shape(side=64, widths=(32, 32, 64, 64), hidden=256, readout=(256,) * 5),
            "recipe": Recipe(steps=500_000, batch=64, amp=True), "checkpoints": "checkpoints",
            "rates": tuple((e.name, 1e-4) for e in ENTRIES),
        },
    }  # fmt: skip

    def rate(self, name: str) -> float:
        """The learning rate of an approach."""
        return dict(self.rates)[name]


class Test(NamedTuple):
    """Images to judge on, (B, C, S, S), their factors (B, F) int64 and targets (B, F)."""

    images: Tensor
    factors: Tensor
    targets: Tensor


def seed_of(config: Config, split: str, seed: int, purpose: int) -> int:
    """A seed of its own for each split and purpose."""
    return 1000 * seed + 10 * [*SPLITS, SCATTERED, EVERYTHING].index(split) + purpose


def world(config: Config) -> World:
    """The world of a configuration."""
    return named_world(config.world)


def mask_of(config: Config, split: str) -> Tensor:
    """Which images train; "everything" is the leak: nothing is held out."""
    grid = world(config).grid
    return torch.ones(grid.sizes, dtype=torch.bool) if split == EVERYTHING else method.train_mask(grid, split)


@lru_cache(maxsize=2)
def training_set(config: Config, split: str, seed: int, device: torch.device) -> Examples:
    """This seed's training images of a split."""
    drawn = seed_of(config, split, seed, 0)
    return training.examples(world(config), mask_of(config, split), config.images, config.pool, drawn, device)


def test_set(config: Config, mask: Tensor, count: int, drawn: int, device: torch.device) -> Test:
    """Images that a mask allows, drawn with a seed."""
    flat = method.sample(mask, count, torch.Generator().manual_seed(drawn)).to(device)
    factors = world(config).grid.factors(flat)
    return Test(world(config).images(flat, config.pool), factors, world(config).grid.targets(factors))


@lru_cache(maxsize=256)
def fitted(config: Config, name: str, split: str, seed: int, device: torch.device) -> nn.Module:
    """An approach trained on a split, as the experiment trains it; asked again, it is the same network."""
    made, data = seed_of(config, split, seed, 1), training_set(config, split, seed, device)
    folder = Path(config.checkpoints, f"{name}, {split}, {made}") if config.checkpoints else None
    return training.train(name, data, config.shape, config.recipe, config.rate(name), made, folder)


# ---------------------------------------------------------------- what is measured


def rows_of(predicted: Tensor, test: Test, grid: Grid, name: str, setting: str, seed: int) -> list[Measurement]:
    """R^2 of every factor, over all and over those that take part."""
    found = method.scores(predicted, test.targets, grid)
    return [Measurement(f"{R2}, {factor}", name, setting, seed, value) for factor, value in found.items()]


def known_predictors(config: Config, data: Examples, test: Test, split: str) -> dict[str, Tensor]:
    """What needs no training: constants, the nearest image in pixels, and the oracles that a split has."""
    grid = world(config).grid
    found = {
        TRAIN_MEAN: baselines.constant(data.targets, len(test.factors)),
        GRID_MEAN: baselines.grid_mean(grid, len(test.factors)).to(data.targets),
        NEAREST: baselines.nearest(test.images, data.images, data.targets),
    }
    if split in (INTERPOLATION, EXTRAPOLATION):
        found[CLAMP] = baselines.clamp(test.factors, grid, split)
    if split == COMPOSITION:
        found[SHORTCUT] = baselines.shortcut(test.factors, grid, tied(grid))
    return found


def tied(grid: Grid) -> str:
    """The factor that composition ties most strongly to the others: the last of V whose low set is one value."""
    return [grid.names[j] for j, count in method.low_counts(grid).items() if count == 1][-1]


def on_split(config: Config, split: str, names: tuple[str, ...], seed: int, device: torch.device) -> list[Measurement]:
    """Approaches, baselines and oracles on what a split holds out."""
    grid, data = world(config).grid, training_set(config, split, seed, device)
    test = test_set(config, ~mask_of(config, split), config.test, seed_of(config, split, seed, 2), device)
    said = {name: training.predict(fitted(config, name, split, seed, device), test.images) for name in names}
    said |= known_predictors(config, data, test, split)
    return [row for name, guess in said.items() for row in rows_of(guess, test, grid, name, split, seed)]


def one_out(config: Config, split: str, seed: int, device: torch.device) -> list[Measurement]:
    """Modularity: with exactly one factor out of range, its own R^2, the mean of the others, and how far it goes."""
    grid, rows = world(config).grid, []
    for j in grid.taking_part:
        mask = method.only_one_out(grid, split, grid.names[j])
        test = test_set(config, mask, config.single, seed_of(config, split, seed, 3 + j), device)
        said = {n: training.predict(fitted(config, n, split, seed, device), test.images) for n in config.approaches}
        said[CLAMP] = baselines.clamp(test.factors, grid, split)
        for name, guess in said.items():
            rows += single_rows(guess, said[CLAMP], test, grid, j, (name, alone(grid.names[j], split)), seed)
    return rows


def alone(factor: str, split: str) -> str:
    """The name of a setting in which one factor is out of range."""
    return f"{split}, only {factor}"


def single_rows(
    guess: Tensor, clamped: Tensor, test: Test, grid: Grid, j: int, arm: tuple[str, str], seed: int
) -> list[Measurement]:
    """All R^2, the others' mean without the free factors, and the way from the last trained value to the true one."""
    name, setting = arm
    found = method.r_squared(guess, test.targets, grid)
    others = [k for k in grid.taking_part if k != j]
    gone, due = (guess - clamped)[:, j].mean(), (test.targets - clamped)[:, j].mean()
    way = float(gone / due) if abs(float(due)) > 1e-6 else 0.0
    return [
        *rows_of(guess, test, grid, name, setting, seed),
        Measurement(f"{R2}, {OTHERS}", name, setting, seed, float(found[others].mean())),
        Measurement(BEYOND, name, setting, seed, way),
    ]


def leaked(config: Config, seed: int, device: torch.device) -> list[Measurement]:
    """The sabotage: a CNN that may train on what is held out, judged where the others are."""
    grid, rows = world(config).grid, []
    net = fitted(config, CNN, EVERYTHING, seed, device)
    for split in (EXTRAPOLATION, COMPOSITION):
        test = test_set(config, ~mask_of(config, split), config.test, seed_of(config, split, seed, 2), device)
        rows += rows_of(training.predict(net, test.images), test, grid, LEAKED, split, seed)
    return rows


def summary(rows: list[Measurement], config: Config, seed: int) -> list[Measurement]:
    """What no approach escapes: the least and the most over approaches, and a nothing to compare with."""
    table = {(row.metric, row.method, row.setting): row.value for row in rows}
    trained = [entry(name) for name in config.approaches]
    found = []
    for split in (INTERPOLATION, EXTRAPOLATION, COMPOSITION):
        lost = [table[f"{R2}, ordered", e.name, RANDOM] - table[f"{R2}, ordered", e.name, split] for e in trained]
        found += [Measurement(LOST, LEAST, split, seed, min(lost)), Measurement(LOST, MOST, split, seed, max(lost)),
                  Measurement(LOST, NOTHING, split, seed, 0.0)]  # fmt: skip
    for factor in world(config).grid.names:
        metric = f"{R2}, {factor}"
        seen = [table[metric, e.name, COMPOSITION] for e in trained]
        found += [Measurement(metric, LEAST, COMPOSITION, seed, min(seen)),
                  Measurement(metric, MOST, COMPOSITION, seed, max(seen)),
                  Measurement(metric, NOTHING, COMPOSITION, seed, 0.0)]  # fmt: skip
    return found


def experiment(config: Config, seed: int, device: torch.device) -> list[Measurement]:
    """All splits, the scattered one, one factor out at a time, the leak, and the summary."""
    rows = []
    for split in SPLITS:
        rows += on_split(config, split, config.approaches, seed, device)
        if split in (INTERPOLATION, EXTRAPOLATION):
            rows += one_out(config, split, seed, device)
    rows += on_split(config, SCATTERED, config.unbiased, seed, device)
    return rows + leaked(config, seed, device) + summary(rows, config, seed)


# ---------------------------------------------------------------- how it was chosen, and what was measured beside it


def choose(config: Config, seed: int, device: torch.device) -> list[Measurement]:
    """Every learning rate of every approach: trained on the random split, judged on images of the same training set.

    No image that any split tests on is looked at.
    """
    mask, rows = mask_of(config, RANDOM), []
    data = training_set(config, RANDOM, seed, device)
    seen = method.sample(mask, config.images, torch.Generator().manual_seed(seed_of(config, RANDOM, seed, 0)))
    fresh = mask.flatten().clone()
    fresh[seen] = False
    valid = test_set(config, fresh.view(mask.shape), config.test, seed_of(config, RANDOM, seed, 2), device)
    for name in config.approaches:
        for rate in RATES:
            net = training.train(name, data, config.shape, config.recipe, rate, seed_of(config, RANDOM, seed, 1))
            value = method.scores(training.predict(net, valid.images), valid.targets, world(config).grid)["ordered"]
            rows.append(Measurement(f"{R2}, ordered", name, f"{rate:g}", seed, value))
    return rows


def chosen(config: Config) -> dict[str, str]:
    """Approach -> the learning rate that the configuration uses, in words."""
    return {name: f"{config.rate(name):g}" for name in RUNNABLE}


def cost(config: Config, seed: int, device: torch.device) -> list[Measurement]:
    """Images a second that the two worlds draw."""
    return renderer(seed, device)


LAPTOP = Config.at("laptop")
ALL = replace(LAPTOP, approaches=RUNNABLE)
FURTHER = {
    "choice": Study(choose, replace(ALL, seeds=3, rates=()), first_seed=100),
    "rehearsal": Study(experiment, replace(LAPTOP, seeds=10), first_seed=200),
    "every approach": Study(experiment, replace(ALL, seeds=2), first_seed=300),
    "coloured room": Study(
        experiment,
        replace(LAPTOP, world="room", approaches=(MLP, CNN), shape=Shape(channels=3, factors=6), seeds=3),
        first_seed=300,
    ),
    "cost": Study(cost, replace(LAPTOP, seeds=1)),
}

# What is cut for the runs that the tests repeat.
SMALL = {"images": 320, "test": 100, "single": 40, "recipe": Recipe(epochs=2, batch=32)}
REDUCED: dict[str, dict] = {
    "ci": {}, "choice": SMALL, "rehearsal": SMALL, "every approach": SMALL, "coloured room": SMALL, "cost": {},
}  # fmt: skip
