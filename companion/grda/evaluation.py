"""Metrics: accuracy by domain and by group of domains, errors of temperatures by level, Moran's I."""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter
from typing import NamedTuple

import numpy as np
from torch import Tensor

from companion.grda.data import MAX_LEVEL, DGDomains, Temperatures
from companion.lab.evidence import Measurement

TARGETS, SOURCES, THIRDS = "targets", "sources", ("near targets", "middle targets", "far targets")


def domain_groups(domains: DGDomains) -> dict[str, np.ndarray]:
    """Group -> indices of its domains: sources, targets, and the targets in thirds by angle."""
    is_source = domains.sources.cpu().numpy()
    order = np.argsort(domains.angle)
    targets = order[~is_source[order]]
    return {
        SOURCES: order[is_source[order]],
        TARGETS: targets,
        **dict(zip(THIRDS, np.array_split(targets, 3), strict=True)),
    }


def accuracy_by_domain(domains: DGDomains, predictions: Tensor) -> np.ndarray:
    """Accuracy in each domain, %, (V,); predictions (V, n) int64."""
    return 100 * (predictions == domains.y).double().mean(1).cpu().numpy()


class Outcome(NamedTuple):
    """The result of one start: accuracy on the targets, %, and the label-free criterion by which starts are ranked."""

    accuracy: float
    criterion: float


def over_starts(name: str, setting: str, seed: int, outcomes: Sequence[Outcome]) -> list[Measurement]:
    """Accuracy of a method on toy domains: the mean over its starts, and that of the start with the best criterion."""
    mean, selected = float(np.mean([each.accuracy for each in outcomes])), max(outcomes, key=itemgetter(1)).accuracy
    return [
        Measurement("accuracy", f"{name}, {which}", setting, seed, value)
        for which, value in (("mean", mean), ("selected", selected))
    ]


def squared_errors(data: Temperatures, predictions: np.ndarray) -> np.ndarray:
    """Per state, the mean over years of the squared error summed over six months, (N,); predictions (N, years, 6)."""
    return np.square(predictions - data.y).sum(-1).mean(-1)


def error_by_level(data: Temperatures, predictions: np.ndarray) -> dict[str, float]:
    """Group -> mean squared error over the source states, over all targets, and over the targets of each level."""
    errors = squared_errors(data, predictions)
    groups = {"sources": data.level == 0, "all targets": data.level > 0}
    groups |= {f"level {level}": data.level == level for level in range(1, MAX_LEVEL + 1)}
    return {name: float(errors[group].mean()) for name, group in groups.items() if group.any()}


def morans_i(values: np.ndarray, adjacency: np.ndarray) -> np.ndarray:
    """Moran's I of each column, (m,): spatial autocorrelation; values (N, m), adjacency (N, N).

    1 / (1 - N) on average if the graph is not informative, toward 1 if neighbors are similar. At an equilibrium of
    adversarial training it is 0 for the domains' means of whatever is computed from an encoding, predictions included.
    """
    centered = values - values.mean(0)
    products = np.einsum("im,ij,jm->m", centered, adjacency, centered) / adjacency.sum()
    return products / np.square(centered).mean(0)
