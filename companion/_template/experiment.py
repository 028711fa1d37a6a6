"""The experiment: every estimator on the same observations, and its squared error a coordinate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from companion._template.baselines import in_groups, observation, oracle, with_strength
from companion._template.method import james_stein, positive_part
from companion.lab.evidence import Measurement
from companion.lab.config import BaseConfig
from companion.lab.config import Study

OUTLIER = "one outlier"


@dataclass(frozen=True)
class Config(BaseConfig):
    """All sizes of the lesson. The arms that a claim names are there at every scale; only `draws` and seeds change."""

    seeds: int = 5
    draws: int = 2000
    d: int = 10
    dimensions: tuple[int, ...] = (2, 3, 5, 10, 30, 100)
    signals: tuple[float, ...] = (0.0, 0.5, 1.0, 2.0, 4.0, 16.0)
    strengths: tuple[float, ...] = (0.5, 1.5, 2.0, 3.0)
    groups: tuple[int, ...] = (1, 2, 5)
    outlier: float = 5.0

    SIZES: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "ci": {"seeds": 2, "draws": 200},
        "study": {"seeds": 10, "draws": 20_000},
        "paper": {"seeds": 20, "draws": 200_000, "dimensions": (2, 3, 5, 10, 30, 100, 300, 1000)},
    }


# ---------------------------------------------------------------- the data: an exact generator


def place(d: int, signal: float) -> str:
    """The name of a setting: d means whose squares average `signal`."""
    return f"d = {d}, signal = {signal:g}"


def truth(d: int, signal: float, generator: torch.Generator) -> Tensor:
    """Means theta, (d,): a random direction, and |theta|^2 = d * signal."""
    direction = torch.randn(d, generator=generator)
    return direction / direction.norm() * (d * signal) ** 0.5


def observe(theta: Tensor, draws: int, generator: torch.Generator) -> Tensor:
    """Observations x = theta + noise of variance 1, (draws, d), of means theta (d,)."""
    return theta + torch.randn(draws, len(theta), generator=generator)


# ---------------------------------------------------------------- the arms, and what is measured


def estimates(x: Tensor, theta: Tensor) -> dict[str, Tensor]:
    """The four arms of the lesson, (n, d) each, on the same observations x (n, d); theta (d,) is for the oracle."""
    return {
        "mle": observation(x),
        "james-stein": james_stein(x),
        "positive-part": positive_part(x),
        "oracle": oracle(x, theta),
    }


def broken(x: Tensor, config: Config) -> dict[str, Tensor]:
    """James-Stein, (n, d) each, with the wrong strength or with its means in groups apart."""
    strengths = {f"strength x {times:g}": with_strength(x, times) for times in config.strengths}
    return strengths | {f"groups of {size}": in_groups(x, size) for size in config.groups}


def risk(estimate: Tensor, theta: Tensor) -> float:
    """Squared error a coordinate, averaged over observations: estimate (n, d), theta (d,)."""
    return float((estimate - theta).square().mean())


def experiment(config: Config, seed: int, device: torch.device) -> list[Measurement]:
    """Risk of every arm for each number of means and each signal; of the broken arms at the base setting alone."""
    generator = torch.Generator().manual_seed(seed)
    settings = [(d, 1.0) for d in config.dimensions] + [(config.d, s) for s in config.signals if s != 1.0]
    rows = []
    for d, signal in settings:
        theta = truth(d, signal, generator)
        x, theta = observe(theta, config.draws, generator).to(device), theta.to(device)
        arms = estimates(x, theta)
        if (d, signal) == (config.d, 1.0):
            arms |= broken(x, config)
        rows += [Measurement("risk", arm, place(d, signal), seed, risk(e, theta)) for arm, e in arms.items()]
    return rows + one_outlier(config, seed, generator, device)


def one_outlier(config: Config, seed: int, generator: torch.Generator, device: torch.device) -> list[Measurement]:
    """One mean is far from zero, the others are zero: the risk of that one, and of all."""
    theta = torch.zeros(config.d)
    theta[0] = config.outlier
    x, theta = observe(theta, config.draws, generator).to(device), theta.to(device)
    rows = []
    for arm, estimate in estimates(x, theta).items():
        rows.append(Measurement("risk", arm, OUTLIER, seed, risk(estimate, theta)))
        rows.append(Measurement("risk of the outlier", arm, OUTLIER, seed, risk(estimate[:, :1], theta[:1])))
    return rows


# The margins of the claims were fixed on this run; its seeds give no evidence.
FURTHER = {"rehearsal": Study(experiment, replace(Config.at("laptop"), seeds=10), first_seed=100)}

# What is cut for the run that the tests repeat.
REDUCED = {"ci": {}, "rehearsal": {"draws": 200}}
