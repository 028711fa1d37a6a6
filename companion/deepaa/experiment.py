"""The experiment: pre-train, search, then train every arm on the same images, side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from companion.deepaa import baselines, method, speed
from companion.deepaa.bank import Bank, make_bank
from companion.deepaa.method import CROP, IDENTITY, Network, Recipe, Source, Trace
from companion.deepaa.shares import FIRST, SECOND, progress_of, shares_of
from companion.deepaa.tasks import COLOUR, DIGITS, Task, draw
from companion.deepaa.training import SideBySide, fit, make_net
from companion.lab.evidence import Measurement
from companion.lab.config import BaseConfig
from companion.lab.config import Study

NONE, HAND, TRIVIAL, RAND = "none", "hand-picked", "uniform, 1 layer", "uniform, 2 layers"
DEEPAA, NO_STD, LIES = "DeepAA", "DeepAA, no std", "DeepAA, random labels"
ARMS = (NONE, HAND, TRIVIAL, RAND, DEEPAA, NO_STD, LIES)
TEST = "test"
RATES = (0.05, 0.1, 0.2, 0.4)
BLACK, GREY = 0.0, 0.47  # the paper under the digits; CIFAR's mean


class Rates(NamedTuple):
    """Learning rates of the arms, in the order of ARMS; the defaults are a start, not chosen."""

    none: float = 0.1
    hand: float = 0.1
    trivial: float = 0.1
    rand: float = 0.1
    deepaa: float = 0.1
    no_std: float = 0.1
    lies: float = 0.1


@dataclass(frozen=True)
class Config(BaseConfig):
    """All sizes of the lesson. `sizes` counts images to pre-train, to search, to match, to test; `half` says of which.

    widths and depths are those of the search network and of the trained one.
    """

    seeds: int = 5
    data: str = DIGITS
    half: str = "evidence"
    sizes: tuple[int, int, int, int] = (300, 250, 250, 1700)
    pool: int = 2
    levels: int = 5
    turns: bool = True
    widths: tuple[int, int] = (8, 16)
    depths: tuple[int, int] = (2, 2)
    first_epochs: int = 40
    first_rate: float = 0.1
    recipe: Recipe = Recipe()
    epochs: int = 20
    batch: int = 50
    rates: Rates = Rates(0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2)  # chosen, see `choose`
    amp: bool = False
    checkpoint: str = ""

    SIZES: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "ci": {
            "seeds": 1, "sizes": (150, 100, 100, 400), "first_epochs": 40, "epochs": 8,
            "recipe": Recipe(steps=12, later_steps=6, lr=0.8, later_lr=1.5),
        },
        "study": {"seeds": 12},
        "paper": {
            "seeds": 3, "data": "cifar10", "sizes": (5000, 35_000, 10_000, 10_000), "pool": 1, "levels": 13,
            "turns": False, "widths": (32, 64), "depths": (4, 4), "first_epochs": 45, "epochs": 200, "batch": 128,
            "amp": True, "checkpoint": "build",
            "recipe": Recipe(
                steps=1024, later_steps=1024, lr=0.025, later_lr=0.025, draws=16, prefixes=16, batch=64, layers=6
            ),
        },
    }  # fmt: skip


# ---------------------------------------------------------------- the search


@dataclass(frozen=True)
class Found:
    """What a seed's search had before it, and the layers that it left, by arm."""

    task: Task
    bank: Bank
    network: Network
    source: Source
    layers: dict[str, list[Trace]]

    def policy(self, arm: str) -> Tensor:
        """The policy of a searched arm, (K, M)."""
        return method.stack(self.bank, self.layers[arm])


def generator_of(seed: int, stream: int) -> torch.Generator:
    """A stream of random numbers of its own for each purpose of a seed."""
    return torch.Generator().manual_seed(1000 * seed + stream)


def pretrain(task: Task, bank: Bank, config: Config, seed: int) -> Network:
    """The search network: trained on the first part of the images, with shifts alone, and frozen."""
    images, labels = task.part("pretrain")
    channels, side = images.shape[1:3]
    torch.manual_seed(seed)
    net = make_net(channels, side, config.widths[0], config.depths[0], task.classes).to(images.device)
    nets, generator = SideBySide(net, 1), generator_of(seed, 0)
    shifts = baselines.always(bank, [CROP])
    batch = min(config.batch, len(images))
    fit(
        nets, several(bank, [shifts], [generator]), images, labels, [config.first_rate],
        config.first_epochs, batch, generator,
    )  # fmt: skip
    net.load_state_dict({name: w.detach()[0] for name, w in nets.weights.items()})
    return Network(net, config.amp)


@lru_cache(maxsize=8)
def find(config: Config, seed: int, device: torch.device) -> Found:
    """A seed's split, search network and searches: whole, without the std, and matching gradients of random labels.

    Without the std layer 1 is the same, so only what follows is searched again. The random labels' search is one layer.
    """
    task = draw(config.data, config.half, config.sizes, config.pool, seed).to(device)
    bank = make_bank(task.images.shape[1], config.levels, config.turns, BLACK if config.data == DIGITS else GREY)
    network = pretrain(task, bank, config, seed)
    (searched, classes), (matched, true) = task.part("search"), task.part("validation")
    random = torch.randint(task.classes, true.shape, generator=generator_of(seed, 1)).to(device)
    source, lying = (Source(searched, classes, matched, true, given) for given in (true, random))
    file = Path(config.checkpoint) / f"deepaa-{seed}.pt" if config.checkpoint else None
    plain, single = replace(config.recipe, kappa=0.0), replace(config.recipe, layers=1)
    whole = method.search(network, bank, source, config.recipe, generator_of(seed, 2), file=file)
    no_std = method.search(network, bank, source, plain, generator_of(seed, 3), begun=whole[:1])
    lies = method.search(network, bank, lying, single, generator_of(seed, 2))
    return Found(task, bank, network, source, {DEEPAA: whole, NO_STD: no_std, LIES: lies})


# ---------------------------------------------------------------- training every arm


def policies(found: Found) -> dict[str, Tensor]:
    """The policy of every arm, (K, M) each."""
    bank = found.bank
    given = {NONE: baselines.none(bank), HAND: baselines.hand_picked(bank)}
    given |= {TRIVIAL: baselines.uniform(bank, 1), RAND: baselines.uniform(bank, 2)}
    return given | {arm: found.policy(arm) for arm in (DEEPAA, NO_STD, LIES)}


def several(bank: Bank, policies: Sequence[Tensor], generators: Sequence[torch.Generator]) -> Any:
    """images (n, C, H, W) -> (A, n, C, H, W): augmented by each policy (K, M), with random numbers of its own."""

    def augment(images: Tensor) -> Tensor:
        drawn = [(method.sample(p, len(images), g), g) for p, g in zip(policies, generators, strict=True)]
        return torch.stack([method.augment(bank, images, choices, g) for choices, g in drawn])

    return augment


def train(found: Found, arms: Mapping[str, tuple[Tensor, float]], config: Config, seed: int) -> dict[str, float]:
    """Arm -> per cent of the test images right: each arm's policy (K, M) and learning rate; one start for all."""
    task = found.task
    channels, side = task.images.shape[1:3]
    torch.manual_seed(seed)
    net = make_net(channels, side, config.widths[1], config.depths[1], task.classes).to(task.images.device)
    nets = SideBySide(net, len(arms))
    given, rates = zip(*arms.values(), strict=True)
    augment = several(found.bank, given, [generator_of(seed, 10 + i) for i in range(len(arms))])
    fit(nets, augment, task.images, task.labels, rates, config.epochs, config.batch, generator_of(seed, 4))
    return dict(zip(arms, nets.accuracy(task.test_images, task.test_labels), strict=True))


# ---------------------------------------------------------------- all of it


def experiment(config: Config, seed: int, device: torch.device) -> list[Measurement]:
    """Search, look at what was chosen, train every arm: a seed has its own images, search network, search and start."""
    found = find(config, seed, device)
    arms = {arm: (policy, rate) for (arm, policy), rate in zip(policies(found).items(), config.rates, strict=True)}
    rows = shares_of(found.bank, policies(found), DEEPAA, seed) + progress_of(found.layers, seed)
    rows.append(Measurement("identity mass", "stop rule", SECOND, seed, 100 * config.recipe.stop))
    with torch.no_grad():
        scores = found.network(found.network.weights, found.task.test_images)
    right = 100 * float((scores.argmax(1) == found.task.test_labels).double().mean())
    rows.append(Measurement("accuracy", "search network", TEST, seed, right))
    trained = train(found, arms, config, seed)
    return rows + [Measurement("accuracy", arm, TEST, seed, value) for arm, value in trained.items()]


# ---------------------------------------------------------------- how it was chosen, and what is shown beside it


def choose(config: Config, seed: int, device: torch.device) -> list[Measurement]:
    """Every arm at every learning rate, on the half that gives no evidence."""
    found = find(config, seed, device)
    rows = []
    for rate in RATES:
        arms = {arm: (policy, rate) for arm, policy in policies(found).items()}
        rows += [
            Measurement("accuracy", arm, f"{rate:g}", seed, v) for arm, v in train(found, arms, config, seed).items()
        ]
    return rows


def chosen(config: Config) -> dict[str, str]:
    """Arm -> the learning rate that the configuration uses, in words."""
    return {arm: f"{rate:g}" for arm, rate in zip(ARMS, config.rates, strict=True)}


def crossed(config: Config, seed: int, device: torch.device) -> list[Measurement]:
    """One search, three trainings with starts of their own: which of the two makes the numbers differ?"""
    found = find(config, seed, device)
    arms = {NONE: (baselines.none(found.bank), config.rates.none), DEEPAA: (found.policy(DEEPAA), config.rates.deepaa)}
    return [
        Measurement("accuracy", arm, f"training {i}", seed, value)
        for i in range(3)
        for arm, value in train(found, arms, config, 100 * seed + i).items()
    ]


def longer(config: Config, seed: int, device: torch.device) -> list[Measurement]:
    """Every arm, trained for half, once, twice and four times the epochs."""
    found = find(config, seed, device)
    arms = {arm: (policy, rate) for (arm, policy), rate in zip(policies(found).items(), config.rates, strict=True)}
    lengths = [round(times * config.epochs) for times in (0.5, 1, 2, 4)]
    return [
        Measurement("accuracy", arm, f"{epochs} epochs", seed, value)
        for epochs in lengths
        for arm, value in train(found, arms, replace(config, epochs=epochs), seed).items()
    ]


def doubts(config: Config, seed: int, device: torch.device) -> list[Measurement]:
    """Does a layer stop for noise alone? Identity's share with the std in layer 1 too, and in a calmer second layer.

    Calmer: four times the prefixes behind each reward, and four times the validation images behind each v.
    """
    found = find(config, seed, device)
    r = config.recipe
    strict = replace(r, first_kappa=r.kappa, layers=1)
    calm = replace(r, prefixes=4 * r.prefixes, batch=4 * r.batch)
    whole = found.layers[DEEPAA]
    tried = {
        "std in layer 1 too": (strict, [], FIRST),
        "less noise": (calm, whole[:1], SECOND),
        "less noise, no std": (replace(calm, kappa=0.0), whole[:1], SECOND),
    }
    rows = []
    for i, (name, (recipe, begun, where)) in enumerate(tried.items()):
        layers = method.search(found.network, found.bank, found.source, recipe, generator_of(seed, 5 + i), begun)
        share = baselines.mass(found.bank, layers[-1].probabilities, [IDENTITY])
        rows.append(Measurement("identity mass", name, where, seed, share))
    return rows


def cost(config: Config, seed: int, device: torch.device) -> list[Measurement]:
    """Rewards a second by the Jacobian-vector product and by per-sample gradients, and the memory of both."""
    found = find(config, seed, device)
    return speed.rewards_a_second(found.network, found.bank, found.source, seed)


LAPTOP, STUDY = Config.at("laptop"), Config.at("study")
FURTHER = {
    "choice": Study(choose, replace(LAPTOP, half="choices", rates=Rates(), seeds=3), first_seed=100),
    "rehearsal": Study(experiment, replace(LAPTOP, half="choices", seeds=10), first_seed=200),
    "search x training": Study(crossed, replace(LAPTOP, seeds=3), first_seed=300),
    "epochs": Study(longer, replace(LAPTOP, seeds=3), first_seed=400),
    "natural colour images": Study(
        experiment,
        replace(
            LAPTOP,
            data=COLOUR,
            sizes=(600, 500, 500, 1000),
            levels=3,
            epochs=15,
            turns=False,
            widths=(12, 24),
            rates=Rates(*[0.05] * len(ARMS)),
            seeds=3,
        ),
    ),
    "doubts": Study(doubts, replace(LAPTOP, seeds=4), first_seed=500),
    "cost": Study(cost, replace(LAPTOP, seeds=1)),
}

# What is cut for the runs that the tests repeat.
REDUCED: dict[str, dict] = {
    "ci": {},
    **{run: {"sizes": (150, 100, 100, 1000), "recipe": Config.at("ci").recipe, "epochs": 8} for run in FURTHER},
    "epochs": {"sizes": (150, 100, 100, 1000), "recipe": Config.at("ci").recipe, "epochs": 4},
    "natural colour images": {"sizes": (300, 200, 200, 500), "recipe": Config.at("ci").recipe, "epochs": 8},
}
