"""The arms on real domains: 48 states, their borders, and the second half of a year's temperatures from the first.

A state's twelve years are its samples. The pairs that the discriminator sees are of the same year: a year is no class,
so nothing leaks. No pairs within a state, as in the released code.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from companion.grda import temperature
from companion.grda.arms import DANN, GRDA, SOURCE, SOURCE_NO_Z, Recipe, Sizes, start
from companion.grda.method import SYNCHRONISED, Training, fit
from companion.grda.temperature import BASELINES, Split, Task, by_level
from companion.grda.worlds import World
from companion.lab.evidence import Measurement

TOGETHER = {SOURCE: SOURCE, SOURCE_NO_Z: SOURCE_NO_Z, DANN: DANN, "GRDA": GRDA[SYNCHRONISED]}  # name -> arm


def squared_error(predicted: Tensor, y: Tensor) -> Tensor:
    """Squared errors summed over the six months, a mean over states and years; predicted, y (S, b, 6)."""
    return (predicted - y).square().sum(-1).mean()


def as_world(task: Task) -> World:
    """A window of temperatures as domains with a graph."""
    sources = torch.zeros(len(task.adjacency), dtype=torch.bool)
    sources[torch.from_numpy(task.sources)] = True
    x, y, adjacency = (torch.from_numpy(part.astype(np.float32)) for part in (task.x, task.y, task.adjacency))
    return World(x, y, adjacency, sources)


def predictions(task: Task, arm: str, recipe: Recipe, sizes: Sizes, seed: int, device: torch.device) -> np.ndarray:
    """What an arm says of July to December, (48, 12, 6)."""
    world = as_world(task).to(device)
    game = start(world, arm, recipe, sizes, seed, squared_error)
    training = Training(sizes.epochs, sizes.batch, recipe.lr, sizes.half_life, sizes.amp)
    for _ in fit(game, world.x, world.y, training, True, torch.Generator().manual_seed(seed)):
        pass
    return game.predict(world.x).cpu().numpy()


def measure(
    split: Split, window: int, recipes: Mapping[str, Recipe], sizes: Sizes, seed: int, device: torch.device
) -> list[Measurement]:
    """Errors of all arms in one window of years, by level of the state, beside what needs no network."""
    task = temperature.task(split, window)
    found = {name: baseline(task) for name, baseline in BASELINES.items()}
    found |= {name: predictions(task, arm, recipes[arm], sizes, seed, device) for name, arm in TOGETHER.items()}
    return [
        Measurement("squared error", name, f"{split}, {place}", seed, value)
        for name, predicted in found.items()
        for place, value in by_level(task, predicted).items()
    ]


def target_error(task: Task, arm: str, recipe: Recipe, sizes: Sizes, seed: int, device: torch.device) -> float:
    """The error over all targets of one arm with one recipe: what its choice goes by."""
    return by_level(task, predictions(task, arm, recipe, sizes, seed, device))["all targets"]
