"""Figures of the lesson: measurements or tensors in, a matplotlib figure out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor
from torch_geometric.utils import degree

from companion.cold_brew.checks import TABLE_11
from companion.cold_brew.experiment import BUCKETS
from companion.cold_brew.method import ColdStart, attend
from companion.lab.evidence import Measurement, values
from companion.lab.plots import new_figure, seed_lines, seed_rows

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAMES = {
    "gcn": "GCN",
    "student": "student (Cold Brew)",
    "mlp": "MLP",
    "distilled": "distilled MLP",
    "sage": "GraphSAGE",
    "teacher": "teacher (SE-GNN)",
    "lp": "label propagation",
    "no neighbours": "student, no neighbours",
    "plain logits": "student, plain logits",
}
LABEL_LEFT = ("Chameleon", "Cora", "Wisconsin")  # their names would cover a neighbour's in the plane of FCR
REAL_ARMS = ("gcn", "sage", "teacher", "mlp", "distilled", "student")


def isolated_accuracy(measurements: Sequence[Measurement], arms: Sequence[str]) -> Figure:
    """Accuracy on isolated nodes: a row an arm, a dot a seed, a bar for the mean."""
    figure, ax = new_figure(height=0.42 * len(arms) + 1.0)
    seed_rows(ax, {NAMES[arm]: values(measurements, "accuracy", arm, "isolation") for arm in arms})
    ax.set(xlabel="accuracy on isolated nodes, %", xlim=(0, None))
    return figure


def by_degree(measurements: Sequence[Measurement], arms: Sequence[str]) -> Figure:
    """Accuracy against the degree that is left: the lines cross."""
    figure, ax = new_figure(width=7.5)
    rows = {
        NAMES[arm]: np.array([values(measurements, "accuracy", arm, bucket) for bucket in BUCKETS]).T for arm in arms
    }
    seed_lines(ax, range(len(BUCKETS)), rows, list(NAMES.values()))
    ax.set_xticks(range(len(BUCKETS)), [bucket.removeprefix("degree ") for bucket in BUCKETS])
    ax.set(xlabel="neighbours left in the graph", ylabel="accuracy, %")
    return figure


def spurious_edges(measurements: Sequence[Measurement], arms: Sequence[str], shares: Sequence[float]) -> Figure:
    """Accuracy on the tail against the share of tail edges that lead to random nodes."""
    figure, ax = new_figure(width=7.5)
    settings = [f"tail, {share:.0%} rewired" for share in shares]
    rows = {
        NAMES[arm]: np.array([values(measurements, "accuracy", arm, setting) for setting in settings]).T for arm in arms
    }
    seed_lines(ax, [100 * share for share in shares], rows, list(NAMES.values()))
    ax.set(xlabel="tail edges that lead to a random node, %", ylabel="accuracy on the tail, %")
    return figure


def degrees(edge_index: Tensor, split: ColdStart) -> Figure:
    """How many nodes have how many neighbours, and where head, tail and isolated nodes lie."""
    figure, ax = new_figure()
    before = degree(edge_index[0], len(split.train)).long()
    for mask, name, marker, colour in (
        (split.isolation | split.isolation_val, "isolated by us", "v", "C1"),
        (split.tail, "tail", "s", "C2"),
        (split.head, "head", "^", "C3"),
    ):
        seen, counts = before[mask].unique(return_counts=True)
        ax.plot(seen, counts, marker, color=colour, ms=8, alpha=0.8, label=name)
    seen, counts = before.unique(return_counts=True)
    ax.plot(seen, counts, ".-", color="C0", lw=1, label="all nodes")
    ax.set(xscale="log", yscale="log", xlabel="neighbours before isolation", ylabel="nodes")
    ax.legend()
    return figure


def deltas(measurements: Sequence[Measurement]) -> tuple[float, float]:
    """Mean (delta_MLP, delta_LP) over the seeds, from overall accuracies (Eq. 5a)."""
    gnn, mlp, lp = (float(np.mean(values(measurements, "accuracy", arm, "overall"))) for arm in ("gcn", "mlp", "lp"))
    return gnn - mlp, gnn - lp


def real_rows(runs: Mapping[str, Sequence[Measurement]]) -> list[list[str]]:
    """Rows of a table: graph, group, then mean and standard deviation over seeds of each arm."""
    rows = []
    for graph, group in product(runs, ("isolation", "tail", "head", "overall")):
        seeds = [values(runs[graph], "accuracy", arm, group) for arm in REAL_ARMS]
        rows.append(
            [
                f"{graph}, {len(seeds[0])} seeds",
                group,
                *(f"{np.mean(arm):.1f} ({np.std(arm, ddof=1):.1f})" for arm in seeds),
            ]
        )
    return rows


def fcr_plane(ours: Mapping[str, tuple[float, float]]) -> Figure:
    """delta_MLP against delta_LP: the ten graphs of Table 11, and our points (delta_MLP, delta_LP) by name."""
    figure, ax = new_figure(height=4.4)
    paper = {name: (row.gnn - row.mlp, row.gnn - row.lp) for name, row in TABLE_11.items()}
    for points, marker, colour in ((paper, "o", "C0"), (ours, "*", "C1")):
        for name, (x, y) in points.items():
            ax.plot(x, y, marker, color=colour, ms=7 if marker == "o" else 14)
            side, shift = ("right", -6) if name in LABEL_LEFT else ("left", 6)
            ax.annotate(name, (x, y), (shift, 5), textcoords="offset points", ha=side, fontsize=9)
    ax.axvline(0, color="0.5", lw=1)
    ax.plot([0, 45], [0, 45], "--", color="0.5", lw=1)
    ax.text(20, 22, "FCR 50 %", rotation=38, color="0.35")
    ax.text(0.6, 43, "FCR 100 %", color="0.35")
    ax.set(xlabel="what the graph adds to features: GNN - MLP, points", ylabel="what features add: GNN - LP, points")
    ax.set(ylim=(0, 46))
    return figure


def toy(memory: np.ndarray, query: np.ndarray, found: np.ndarray, weights: Sequence[float]) -> Figure:
    """The toy in the plane of the memory: keys (n, 2), a query (2,), its virtual neighbourhood (2,), weights (n,)."""
    figure, ax = new_figure(width=5.6, height=4.0)
    for i, (key, weight) in enumerate(zip(memory, weights, strict=True)):
        ax.plot(*key, "o", color="C0", ms=6 + 22 * weight)
        drop = 8 if weight > 0 else -16
        ax.annotate(f"node {i}: {weight:.2f}", key, (10, drop), textcoords="offset points")
    for point, marker, name, offset in (
        (query, "X", "guess of the first MLP", 12),
        (found, "*", "virtual neighbourhood", -14),
    ):
        ax.plot(*point, marker, color="C1", ms=13)
        ax.annotate(name, point, (10, offset), textcoords="offset points")
    ax.set(xlabel="memory, first number", ylabel="memory, second number", xlim=(-0.2, 1.6), ylim=(-0.2, 1.3))
    return figure


def neighbourhood(
    query: Tensor, memory: Tensor, labels: Tensor, classes: Sequence[str], truth: str, k: int, temperature: float | None
) -> Figure:
    """Where a node's attention goes, by class: query (d,), memory (keys, d), labels (keys,) with -1 for unlabelled."""
    index, weights = attend(query.unsqueeze(0), memory, k, temperature)
    owners = labels[index[0]]
    share: dict[str, float] = {}
    for name, w in zip(owners.tolist(), weights[0].tolist(), strict=True):
        key = classes[name] if name >= 0 else "unlabelled"
        share[key] = share.get(key, 0.0) + w
    top = sorted(share.items(), key=lambda item: -item[1])[:6][::-1]
    entropy = float(-(weights * weights.clamp(min=1e-12).log()).sum())
    figure, ax = new_figure(height=3.0)
    bars = ax.barh(
        [name for name, _ in top], [value for _, value in top], color=["C1" if n == truth else "C0" for n, _ in top]
    )
    ax.bar_label(bars, [f"{value:.2f}" + (" (true class)" if n == truth else "") for n, value in top], padding=3)
    ax.set(xlabel=f"attention of {k} virtual neighbours, entropy {entropy:.1f} nats", xlim=(0, 1.25))
    ax.set(title=f"true class: {truth}", ylim=(-0.6, max(len(top), 3) - 0.4))
    ax.grid(axis="y", visible=False)
    return figure


def memory_choice(measurements: Sequence[Measurement], arms: Sequence[str]) -> Figure:
    """All candidates of every arm on isolated validation nodes: a dot a candidate, the best one filled and named."""
    figure, ax = new_figure(height=0.42 * len(arms) + 1.0)
    for row, arm in enumerate(reversed(arms)):
        means = candidate_means(measurements, arm)
        best = max(means, key=means.__getitem__)
        ax.plot(list(means.values()), [row] * len(means), "o", mfc="none", color="C0", alpha=0.7)
        ax.plot(means[best], row, "o", color="C1", ms=8)
        ax.annotate(best, (means[best], row), xytext=(8, -3), textcoords="offset points", fontsize=8)
    ax.set_yticks(range(len(arms)), [NAMES[arm] for arm in reversed(arms)])
    ax.set(xlabel="accuracy on isolated validation nodes, %", xlim=(None, ax.get_xlim()[1] + 16))
    ax.grid(axis="y", visible=False)
    return figure


def candidate_means(measurements: Sequence[Measurement], arm: str) -> dict[str, float]:
    """Candidate -> mean validation accuracy over the seeds of the choice."""
    rows: dict[str, list[float]] = {}
    for m in measurements:
        if m.metric == "validation accuracy" and m.method == arm:
            rows.setdefault(m.setting, []).append(m.value)
    return {name: float(np.mean(accuracies)) for name, accuracies in rows.items()}
