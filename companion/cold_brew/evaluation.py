"""Accuracy by group of nodes, by degree, and on the rewired tail; summaries of measurements."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor
from torch_geometric.utils import degree

from companion.cold_brew.data import ExperimentData, rewire
from companion.lab.evidence import Measurement, values

Predictor = Callable[[Tensor], Tensor]  # edge_index (2, edges) -> scores of all nodes (N, C)
VALIDATION = "validation accuracy"  # the metric of the tuning study
GROUPS = ("isolation", "tail", "head", "overall")
DEGREES = {"degree 0": (0, 0), "degree 1": (1, 1), "degree 2-3": (2, 3), "degree 4-7": (4, 7), "degree 8+": (8, 10**9)}


def accuracy(scores: Tensor, labels: Tensor) -> float:
    """Percent of the nodes whose largest score (n, C) is at their label (n,) int64."""
    return float((scores.argmax(1) == labels).double().mean() * 100)


def accuracy_by_group(
    data: ExperimentData, predictors: Mapping[str, Predictor], groups: Mapping[str, Tensor]
) -> list[Measurement]:
    """Accuracy of every method on each group, a mask (N,) bool, and on the nodes of "overall" by remaining degree."""
    degrees = degree(data.split.edge_index[0], len(data.y))
    by_degree = {
        name: groups["overall"] & (degrees >= low) & (degrees <= high) for name, (low, high) in DEGREES.items()
    }
    measurements = []
    for method, predict in predictors.items():
        with torch.no_grad():
            scores = predict(data.split.edge_index)
        for group, mask in {**groups, **by_degree}.items():
            if mask.any():
                value = accuracy(scores[mask], data.y[mask])
                measurements.append(Measurement("accuracy", method, group, data.seed, value))
    return measurements


def rewired_setting(share: float) -> str:
    """The name of the setting in which a share of the tail's edges is rewired."""
    return f"tail, {share:.0%} rewired"


def accuracy_on_rewired_tail(
    data: ExperimentData, predictors: Mapping[str, Predictor], tail: Tensor, shares: Sequence[float]
) -> list[Measurement]:
    """Accuracy on the nodes `tail`, a mask (N,) bool, when at test time a share of the tail's edges is rewired."""
    measurements = []
    for share in shares:
        edge_index = rewire(data.split.edge_index, data.split.tail_mask, share, data.seed)
        for method, predict in predictors.items():
            with torch.no_grad():
                value = accuracy(predict(edge_index)[tail], data.y[tail])
            measurements.append(Measurement("accuracy", method, rewired_setting(share), data.seed, value))
    return measurements


def mean_difference(measurements: Sequence[Measurement], method: str, baseline: str, group: str = "overall") -> float:
    """How much more accurate `method` is than `baseline` on a group of nodes: the mean over seeds, in points."""
    return float(
        np.mean(values(measurements, "accuracy", method, group) - values(measurements, "accuracy", baseline, group))
    )


def accuracy_rows(runs: Mapping[str, Sequence[Measurement]], methods: Sequence[str]) -> list[list[str]]:
    """Rows of a table: graph, group, then the mean and the standard deviation over seeds of each method."""
    rows = []
    for graph, measurements in runs.items():
        for group in GROUPS:
            seeds = [values(measurements, "accuracy", method, group) for method in methods]
            cells = [f"{accuracies.mean():.1f} ({accuracies.std(ddof=1):.1f})" for accuracies in seeds]
            rows.append([f"{graph}, {len(seeds[0])} seeds", group, *cells])
    return rows
