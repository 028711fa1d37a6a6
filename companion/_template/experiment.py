"""The experiment: every estimator on the same observations, and its squared error per coordinate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from companion._template.baselines import in_groups, observation, oracle, with_strength
from companion._template.data import draw_means, observe, setting_name
from companion._template.method import james_stein, positive_part
from companion.lab.config import BaseConfig
from companion.lab.evidence import Measurement

OBSERVATION, JAMES_STEIN, POSITIVE_PART, ORACLE = METHODS = ("observation", "James-Stein", "positive part", "oracle")
OUTLIER = "one outlier"


@dataclass(frozen=True)
class Config(BaseConfig):
    """All sizes of the lesson. Every method that a claim names is run at every scale."""

    seeds: int = 5  # how many seeds are run
    draws: int = 2000  # observations per setting and seed
    d: int = 10  # number of means where it is not varied
    dimensions: tuple[int, ...] = (2, 3, 5, 10, 30, 100)  # numbers of means compared
    signals: tuple[float, ...] = (0.0, 0.5, 1.0, 2.0, 4.0, 16.0)  # mean squares of the true means compared
    strengths: tuple[float, ...] = (0.5, 1.5, 2.0, 3.0)  # shrinkage strengths compared, in multiples of d - 2
    groups: tuple[int, ...] = (1, 2, 5)  # group sizes compared
    outlier: float = 5.0  # the one mean that is not 0 in the setting "one outlier"

    SIZES: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "ci": {"seeds": 2, "draws": 200},
        "study": {"seeds": 10, "draws": 20_000},
        "paper": {"seeds": 20, "draws": 200_000, "dimensions": (2, 3, 5, 10, 30, 100, 300, 1000)},
    }


def estimates(x: Tensor, theta: Tensor) -> dict[str, Tensor]:
    """The estimates of the four methods, (n, d) each, on the same observations x (n, d); the oracle uses theta (d,)."""
    return {
        OBSERVATION: observation(x),
        JAMES_STEIN: james_stein(x),
        POSITIVE_PART: positive_part(x),
        ORACLE: oracle(x, theta),
    }


def ablations(x: Tensor, config: Config) -> dict[str, Tensor]:
    """James-Stein, (n, d) each, with another strength, or applied to groups of the means."""
    strengths = {f"strength x {times:g}": with_strength(x, times) for times in config.strengths}
    return strengths | {f"groups of {size}": in_groups(x, size) for size in config.groups}


def risk(estimate: Tensor, theta: Tensor) -> float:
    """Squared error per coordinate, averaged over observations: estimate (n, d), theta (d,)."""
    return float((estimate - theta).square().mean())


def experiment(config: Config, seed: int, device: torch.device) -> list[Measurement]:
    """Risk of every method for each number of means and each signal; ablations in the base setting only."""
    generator = torch.Generator().manual_seed(seed)
    settings = [(d, 1.0) for d in config.dimensions] + [(config.d, s) for s in config.signals if s != 1.0]
    measurements = []
    for d, signal in settings:
        theta = draw_means(d, signal, generator)
        x, theta = observe(theta, config.draws, generator).to(device), theta.to(device)
        compared = estimates(x, theta)
        if (d, signal) == (config.d, 1.0):
            compared |= ablations(x, config)
        for name, estimate in compared.items():
            measurements.append(Measurement("risk", name, setting_name(d, signal), seed, risk(estimate, theta)))
    return measurements + one_outlier(config, seed, generator, device)


def one_outlier(config: Config, seed: int, generator: torch.Generator, device: torch.device) -> list[Measurement]:
    """One mean is far from zero and the others are zero: the risk of that one, and of all."""
    theta = torch.zeros(config.d)
    theta[0] = config.outlier
    x, theta = observe(theta, config.draws, generator).to(device), theta.to(device)
    measurements = []
    for name, estimate in estimates(x, theta).items():
        measurements.append(Measurement("risk", name, OUTLIER, seed, risk(estimate, theta)))
        outlier = risk(estimate[:, :1], theta[:1])
        measurements.append(Measurement("risk of the outlier", name, OUTLIER, seed, outlier))
    return measurements
