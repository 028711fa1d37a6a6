"""The experiment: every arm on a fresh draw of DG-15 (or on the published file, or on DG-60), from a fresh start."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from companion.errors import CompanionError
from companion.grda.arms import (
    ADDA,
    CDANN,
    DANN,
    GRDA,
    NEURAL,
    PERMUTED,
    SOURCE,
    SOURCE_NO_Z,
    WALK,
    Recipe,
    Sizes,
    guesses,
)
from companion.grda.forecast import TOGETHER, measure, target_error
from companion.grda.method import INDEPENDENT, SHUFFLED, SYNCHRONISED
from companion.grda.settings import Search, search
from companion.grda.settings import choose as choose_settings
from companion.grda.temperature import CHOICE, EVIDENCE, task
from companion.grda.temperature import SOURCES as SOURCE_STATES
from companion.grda.worlds import DG, RULES, make_dg, published
from companion.lab.evidence import Measurement
from companion.lab.config import BaseConfig
from companion.lab.config import Study

PUBLISHED = "published DG-15"
LIVE = (SOURCE, DANN, *GRDA.values(), PERMUTED, WALK)
WEIGHTS = dict.fromkeys((DANN, CDANN, ADDA, *GRDA.values()), (0.1, 0.5, 2.0, 8.0))
STATE_WEIGHTS = dict.fromkeys((DANN, GRDA[SYNCHRONISED]), (0.001, 0.01, 0.1, 1.0))
RATES, STATE_RATES = (1e-3, 3e-3), (3e-3, 1e-2)
ALL = (SOURCE, SOURCE_NO_Z, DANN, *GRDA.values(), PERMUTED, WALK, CDANN, ADDA)
TARGETS, SOURCES, THIRDS = "targets", "sources", ("near targets", "middle targets", "far targets")


@dataclass(frozen=True)
class Config(BaseConfig):
    """All sizes of the lesson. The recipes, one an arm, were chosen on draws of other seeds (see `choose`)."""

    seeds: int = 6
    data: str = "DG-15"
    arms: tuple[str, ...] = tuple(arm for arm in LIVE if arm != PERMUTED)
    sizes: Sizes = Sizes(epochs=40, half_life=25)
    small: tuple[Search, ...] = (
        Search(names=("paw",), players=("DANN", "GRDA")),
        Search(names=("paw, wrong graph",), players=("GRDA",)),
    )
    recipes: tuple[tuple[str, Recipe], ...] = (
        (SOURCE, Recipe(3e-4)),
        (SOURCE_NO_Z, Recipe(3e-4)),
        (DANN, Recipe(1e-3, 2.0)),
        (CDANN, Recipe(1e-3, 8.0)),
        (ADDA, Recipe(1e-3, 8.0)),
        (GRDA[SYNCHRONISED], Recipe(3e-3, 2.0)),
        (GRDA[SHUFFLED], Recipe(1e-3, 8.0)),
        (GRDA[INDEPENDENT], Recipe(1e-3, 8.0)),
    )

    SIZES: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "ci": {
            "seeds": 2,
            "sizes": Sizes(width=16, embed_steps=50, epochs=3, half_life=2),
            "small": (
                Search(names=("paw",), samples=40, epochs=2),
                Search(names=("paw, wrong graph",), players=("GRDA",), samples=40, epochs=2),
            ),
        },
        "study": {
            "seeds": 10,
            "arms": ALL,
            "small": (Search(names=("paw",)), Search(names=("paw, wrong graph",), players=("GRDA",))),
        },
        "paper": {
            "seeds": 10,
            "arms": ALL,
            "sizes": Sizes(width=512, epochs=500, batch=10, half_life=100),
            "recipes": tuple((arm, Recipe(1e-4, 15.0 if arm in GRDA.values() else 1.0)) for arm in NEURAL),
        },
    }

    def recipe(self, arm: str) -> Recipe:
        """The recipe of an arm; a broken arm has that of the whole one, and the walk needs none."""
        whole = {PERMUTED: GRDA[SYNCHRONISED]}.get(arm, arm)
        return Recipe(0.0) if arm == WALK else dict(self.recipes)[whole]


# ---------------------------------------------------------------- the data and what is measured


def build(config: Config, seed: int, device: torch.device) -> DG:
    """The domains of one seed: drawn anew from the rule, or the published file, the same for every seed."""
    if config.data not in (*RULES, PUBLISHED):
        raise CompanionError(f"data = {config.data!r} is not known; use one of {', '.join((*RULES, PUBLISHED))}.")
    return (published() if config.data == PUBLISHED else make_dg(config.data, seed)).to(device)


def places(world: DG) -> dict[str, np.ndarray]:
    """Groups of domains, as their numbers: sources, targets, and the targets in thirds by angle."""
    sources = world.sources.cpu().numpy()
    order = np.argsort(world.angle)
    targets = order[~sources[order]]
    return {
        SOURCES: order[sources[order]],
        TARGETS: targets,
        **dict(zip(THIRDS, np.array_split(targets, 3), strict=True)),
    }


def by_domain(world: DG, guess: Tensor) -> np.ndarray:
    """Accuracy in each domain, per cent, (V,); guess (V, n)."""
    return 100 * (guess == world.y).double().mean(1).cpu().numpy()


def experiment(config: Config, seed: int, device: torch.device) -> list[Measurement]:
    """Train every arm on this seed's world, and measure accuracy where its labels were seen and where not."""
    world, rows = build(config, seed, device), []
    groups = places(world)
    for arm in config.arms:
        accuracy = by_domain(world, guesses(world, arm, config.recipe(arm), config.sizes, seed))
        rows += [Measurement("accuracy", arm, place, seed, float(accuracy[at].mean())) for place, at in groups.items()]
    return rows + [row for world in config.small for row in search(world, seed, device)]


# ---------------------------------------------------------------- real domains


def temperatures(config: Config, seed: int, device: torch.device) -> list[Measurement]:
    """Errors on the states' temperatures, for both splits; a seed stands for a window of twelve years."""
    recipes, window = {arm: config.recipe(arm) for arm in TOGETHER.values()}, EVIDENCE[seed]
    return [m for split in SOURCE_STATES for m in measure(split, window, recipes, config.sizes, seed, device)]


def choose_temperatures(config: Config, seed: int, device: torch.device) -> list[Measurement]:
    """Target error of every candidate in the windows that give no evidence, a mean over both splits."""
    tasks = [task(split, CHOICE[seed % len(CHOICE)]) for split in SOURCE_STATES]
    return [
        Measurement("target error", name, describe(recipe), seed, float(np.mean(found)))
        for name, arm in TOGETHER.items()
        for recipe in candidates(STATE_WEIGHTS, STATE_RATES)[arm]
        for found in [[target_error(each, arm, recipe, config.sizes, seed, device) for each in tasks]]
    ]


# ---------------------------------------------------------------- how the recipes were chosen


def candidates(weights: Mapping[str, Sequence[float]], rates: Sequence[float]) -> dict[str, list[Recipe]]:
    """Eight recipes for every arm: two learning rates by four weights, or eight rates where nothing is weighed."""
    alone = [Recipe(lr) for lr in (3e-4, 5e-4, 7e-4, 1e-3, 2e-3, 3e-3, 5e-3, 1e-2)]
    return {
        arm: [Recipe(lr, lam) for lr in rates for lam in weights[arm]] if arm in weights else alone for arm in NEURAL
    }


def choose(config: Config, seed: int, device: torch.device) -> list[Measurement]:
    """Target accuracy of every candidate on a draw that gives no evidence."""
    world = build(config, seed, device)
    at = places(world)[TARGETS]
    return [
        Measurement("target accuracy", arm, describe(recipe), seed, float(by_domain(world, guess)[at].mean()))
        for arm in config.arms
        for recipe in candidates(WEIGHTS, RATES).get(arm, [])
        for guess in [guesses(world, arm, recipe, config.sizes, seed)]
    ]


def chosen(config: Config) -> dict[str, str]:
    """Arm -> the candidate that the configuration uses, in words."""
    return {arm: describe(config.recipe(arm)) for arm in candidates(WEIGHTS, RATES)}


def describe(recipe: Recipe) -> str:
    """A candidate in words."""
    return f"lr {recipe.lr:g}, weight {recipe.lam:g}"


STUDY = Config.at("study")
ALONE = replace(STUDY, small=())
OPEN = replace(STUDY, recipes=())
DG60 = replace(OPEN, data="DG-60", seeds=3, arms=ALL[:-2], sizes=Sizes(epochs=60, batch=10))
STATES = replace(OPEN, data="temperatures", seeds=6, arms=(), sizes=Sizes(k=8, epochs=300, batch=12, half_life=150))
FURTHER = {
    "choice": Study(choose, replace(OPEN, seeds=3), first_seed=100),
    "choice temperatures": Study(choose_temperatures, replace(STATES, seeds=3), first_seed=102),
    "choice settings": Study(choose_settings, Search(seeds=2), first_seed=100),
    "rehearsal": Study(experiment, STUDY, first_seed=300),
    "free angles": Study(experiment, replace(ALONE, data="DG-15, free angles")),
    PUBLISHED: Study(experiment, replace(ALONE, data=PUBLISHED)),
    "DG-60": Study(experiment, replace(DG60, recipes=STUDY.recipes, small=(), seeds=3)),
    "temperatures": Study(
        temperatures,
        replace(
            STATES,
            recipes=(
                (SOURCE, Recipe(5e-3)),
                (SOURCE_NO_Z, Recipe(1e-2)),
                (DANN, Recipe(3e-3, 0.001)),
                (GRDA[SYNCHRONISED], Recipe(1e-2, 0.001)),
            ),
        ),
    ),
    "settings": Study(search, Search(seeds=3)),
}

# What is cut for the runs that the tests repeat.
QUICK = Sizes(width=16, embed_steps=50, epochs=3, half_life=2)
GAMES = (
    Search(names=("paw",), samples=40, epochs=2),
    Search(names=("paw, wrong graph",), players=("GRDA",), samples=40, epochs=2),
)
REDUCED = {
    "ci": {},
    "laptop": {"sizes": QUICK, "small": Config.SIZES["ci"]["small"]},
    "study": {"sizes": QUICK, "small": GAMES},
    "choice": {"sizes": QUICK, "small": GAMES},
    "choice temperatures": {"sizes": Sizes(width=16, k=4, embed_steps=50, epochs=2, batch=12, half_life=2)},
    "choice settings": {"samples": 40, "epochs": 1, "rounds": 1, "width": 8},
    "rehearsal": {"sizes": QUICK, "small": GAMES},
    "free angles": {"sizes": QUICK},
    PUBLISHED: {"sizes": QUICK},
    "DG-60": {"sizes": Sizes(width=16, embed_steps=50, epochs=2, batch=10, half_life=2)},
    "temperatures": {"sizes": Sizes(width=16, k=4, embed_steps=50, epochs=2, batch=12, half_life=2)},
    "settings": {"samples": 40, "epochs": 1, "rounds": 1, "width": 8},
}
