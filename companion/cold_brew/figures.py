"""Figures of the lesson: measurements or tensors in, a matplotlib figure out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor
from torch_geometric.utils import degree

from companion.cold_brew.checks import TABLE_11
from companion.cold_brew.data import ColdStart
from companion.cold_brew.evaluation import DEGREES, VALIDATION, rewired_setting
from companion.cold_brew.method import top_k_attention
from companion.cold_brew.training import METHODS
from companion.lab.evidence import Measurement, values
from companion.lab.plots import new_figure, seed_lines, seed_rows
from companion.lab.tuning import best

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LABEL_LEFT = ("Chameleon", "Cora", "Wisconsin")  # in the FCR plane their names would cover another point's


def isolated_accuracy(measurements: Sequence[Measurement], methods: Sequence[str]) -> Figure:
    """Accuracy on isolated nodes: one row per method, one dot per seed, a bar for the mean."""
    figure, ax = new_figure(height=0.42 * len(methods) + 1.0)
    seed_rows(ax, {method: values(measurements, "accuracy", method, "isolation") for method in methods})
    ax.set(xlabel="accuracy on isolated nodes, %", xlim=(0, None))
    return figure


def by_degree(measurements: Sequence[Measurement], methods: Sequence[str]) -> Figure:
    """Accuracy against the degree that a test node has left."""
    figure, ax = new_figure(width=7.5)
    seed_lines(ax, range(len(DEGREES)), _lines(measurements, methods, list(DEGREES)), METHODS)
    ax.set_xticks(range(len(DEGREES)), [name.removeprefix("degree ") for name in DEGREES])
    ax.set(xlabel="neighbors left in the graph", ylabel="accuracy, %")
    return figure


def rewired_edges(measurements: Sequence[Measurement], methods: Sequence[str], shares: Sequence[float]) -> Figure:
    """Accuracy on the tail against the share of its edges that are rewired to random nodes."""
    figure, ax = new_figure(width=7.5)
    lines = _lines(measurements, methods, [rewired_setting(share) for share in shares])
    seed_lines(ax, [100 * share for share in shares], lines, METHODS)
    ax.set(xlabel="rewired edges of the tail, %", ylabel="accuracy on the tail, %")
    return figure


def _lines(
    measurements: Sequence[Measurement], methods: Sequence[str], settings: Sequence[str]
) -> dict[str, np.ndarray]:
    """Method -> accuracies (seeds, settings)."""
    return {
        method: np.array([values(measurements, "accuracy", method, setting) for setting in settings]).T
        for method in methods
    }


def degrees(edge_index: Tensor, split: ColdStart) -> Figure:
    """How many nodes have how many neighbors in edge_index (2, edges), and where the groups of the split are."""
    figure, ax = new_figure()
    before = degree(edge_index[0], len(split.train_mask)).long()
    for mask, name, marker, color in (
        (split.isolation_mask | split.isolation_val_mask, "isolated by us", "v", "C1"),
        (split.tail_mask, "tail", "s", "C2"),
        (split.head_mask, "head", "^", "C3"),
    ):
        present, counts = before[mask].unique(return_counts=True)
        ax.plot(present, counts, marker, color=color, ms=8, alpha=0.8, label=name)
    present, counts = before.unique(return_counts=True)
    ax.plot(present, counts, ".-", color="C0", lw=1, label="all nodes")
    ax.set(xscale="log", yscale="log", xlabel="neighbors before isolation", ylabel="nodes")
    ax.legend()
    return figure


def fcr_plane(ours: Mapping[str, tuple[float, float]]) -> Figure:
    """delta_MLP against delta_LP: the ten graphs of Table 11, and our points (delta_MLP, delta_LP) by name."""
    figure, ax = new_figure(height=4.4)
    paper = {name: (row.gnn - row.mlp, row.gnn - row.lp) for name, row in TABLE_11.items()}
    for points, marker, color in ((paper, "o", "C0"), (ours, "*", "C1")):
        for name, (x, y) in points.items():
            ax.plot(x, y, marker, color=color, ms=7 if marker == "o" else 14)
            side, shift = ("right", -6) if name in LABEL_LEFT else ("left", 6)
            ax.annotate(name, (x, y), (shift, 5), textcoords="offset points", ha=side, fontsize=9)
    ax.axvline(0, color="0.5", lw=1)
    ax.plot([0, 45], [0, 45], "--", color="0.5", lw=1)
    ax.text(20, 22, "FCR 50 %", rotation=38, color="0.35")
    ax.text(0.6, 43, "FCR 100 %", color="0.35")
    ax.set(xlabel="what the graph adds to features: GNN - MLP, points", ylabel="what features add: GNN - LP, points")
    ax.set(ylim=(0, 46))
    return figure


def toy(memory: np.ndarray, query: np.ndarray, neighborhood: np.ndarray, weights: Sequence[float]) -> Figure:
    """A toy memory (n, 2), a query (2,), its virtual neighborhood (2,), and the attention weights (n,)."""
    figure, ax = new_figure(width=5.6, height=4.0)
    for i, (key, weight) in enumerate(zip(memory, weights, strict=True)):
        ax.plot(*key, "o", color="C0", ms=6 + 22 * weight)
        height = 8 if weight > 0 else -16
        ax.annotate(f"node {i}: {weight:.2f}", key, (10, height), textcoords="offset points")
    for point, marker, name, offset in (
        (query, "X", "predicted embedding", 12),
        (neighborhood, "*", "virtual neighborhood", -14),
    ):
        ax.plot(*point, marker, color="C1", ms=13)
        ax.annotate(name, point, (10, offset), textcoords="offset points")
    ax.set(xlabel="memory, dimension 1", ylabel="memory, dimension 2", xlim=(-0.2, 1.6), ylim=(-0.2, 1.3))
    return figure


def attention_by_class(
    query: Tensor, memory: Tensor, labels: Tensor, classes: Sequence[str], truth: str, k: int, temperature: float | None
) -> Figure:
    """The attention of one node, by class: query (d,), memory (keys, d), labels (keys,) int64 with -1 for unlabeled."""
    index, weights = top_k_attention(query.unsqueeze(0), memory, k, temperature)
    attention: dict[str, float] = {}
    for label, weight in zip(labels[index[0]].tolist(), weights[0].tolist(), strict=True):
        name = classes[label] if label >= 0 else "unlabeled"
        attention[name] = attention.get(name, 0.0) + weight
    top = dict(sorted(attention.items(), key=lambda item: -item[1])[:6][::-1])
    entropy = float(-(weights * weights.clamp(min=1e-12).log()).sum())
    figure, ax = new_figure(height=3.0)
    bars = ax.barh(list(top), list(top.values()), color=["C1" if name == truth else "C0" for name in top])
    texts = [f"{weight:.2f}" + (" (true class)" if name == truth else "") for name, weight in top.items()]
    ax.bar_label(bars, texts, padding=3)
    ax.set(xlabel=f"attention of {k} virtual neighbors, entropy {entropy:.1f} nats", xlim=(0, 1.25))
    ax.set(title=f"true class: {truth}", ylim=(-0.6, max(len(top), 3) - 0.4))
    ax.grid(axis="y", visible=False)
    return figure


def tuning(measurements: Sequence[Measurement], methods: Sequence[str]) -> Figure:
    """All candidates of every method on isolated validation nodes: one dot each, the best one filled and named."""
    figure, ax = new_figure(height=0.42 * len(methods) + 1.0)
    for row, method in enumerate(reversed(methods)):
        candidates = dict.fromkeys(m.setting for m in measurements if m.method == method)
        means = {name: float(values(measurements, VALIDATION, method, name).mean()) for name in candidates}
        winner = best(measurements, VALIDATION, method)
        ax.plot(list(means.values()), [row] * len(means), "o", mfc="none", color="C0", alpha=0.7)
        ax.plot(means[winner], row, "o", color="C1", ms=8)
        ax.annotate(winner, (means[winner], row), xytext=(8, -3), textcoords="offset points", fontsize=8)
    ax.set_yticks(range(len(methods)), list(reversed(methods)))
    ax.set(xlabel="accuracy on isolated validation nodes, %", xlim=(None, ax.get_xlim()[1] + 16))
    ax.grid(axis="y", visible=False)
    return figure
