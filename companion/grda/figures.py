"""Figures of the lesson: measurements, domains or graphs in, a matplotlib figure out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import networkx as nx
import numpy as np
from torch import Tensor

from companion.grda import training
from companion.grda.data import DGDomains, Domains
from companion.grda.evaluation import SOURCES, TARGETS, THIRDS, accuracy_by_domain
from companion.grda.method import INDEPENDENT, SHUFFLED, SYNCHRONIZED, AdversarialConfig
from companion.grda.theory import maximize_loss
from companion.grda.training import GRDA_INDEPENDENT, GRDA_PERMUTED, GRDA_SHUFFLED, GRDA_SYNCHRONIZED, SOURCE
from companion.lab.evidence import Measurement, values
from companion.lab.plots import DASHES, INK, MARKERS, label_right, new_figure, seed_lines, seed_rows

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CORNERS = np.array([[0.0, 0.0], [1.0, 0.0], [0.5, np.sqrt(3) / 2]])
SPLIT_TITLES = {"E->W": "trained in the east, tested in the west", "N->S": "trained in the north, tested in the south"}
CLASS_MARKERS = ("o", "^")
PAIRINGS = {SYNCHRONIZED: GRDA_SYNCHRONIZED, SHUFFLED: GRDA_SHUFFLED, INDEPENDENT: GRDA_INDEPENDENT}


# ---------------------------------------------------------------- results


def target_accuracy(rows: Sequence[Measurement], methods: Sequence[str], published: Mapping[str, float]) -> Figure:
    """Target accuracy of each method: a dot per draw, a bar for the mean, a cross for the paper's Table 1."""
    figure, ax = new_figure(width=8.4, height=0.42 * len(methods) + 1.0)
    seed_rows(ax, {method: values(rows, "accuracy", method, TARGETS) for method in methods})
    for height, method in enumerate(reversed(methods)):
        if method in published:
            ax.plot(published[method], height, "x", color=INK, ms=8, mew=2)
    ax.axvline(50, color=INK, lw=1, ls=":")
    ax.annotate("chance", (50, len(methods) - 0.4), (3, 0), textcoords="offset points", fontsize=8, va="center")
    ax.set(
        xlabel="accuracy on target domains, % (cross: the paper's Table 1)", xlim=(0, 103), ylim=(-0.6, len(methods))
    )
    return figure


def accuracy_by_group(rows: Sequence[Measurement], methods: Sequence[str]) -> Figure:
    """Mean accuracy against the distance from the labeled domains, one line per method."""
    figure, ax = new_figure(width=8.6, height=4.2)
    groups = (SOURCES, *THIRDS)
    means = {
        method: np.array([[values(rows, "accuracy", method, group).mean() for group in groups]]) for method in methods
    }
    seed_lines(ax, range(len(groups)), means)
    ax.axhline(50, color=INK, lw=1, ls=":")
    ax.annotate("chance", (0, 50), (2, 4), textcoords="offset points", fontsize=8)
    ax.set_xticks(range(len(groups)), groups)
    ax.set(ylabel="accuracy, %", ylim=(0, 104))
    return figure


def temperature_errors(rows: Sequence[Measurement], splits: Sequence[str], methods: Sequence[str]) -> Figure:
    """Mean squared errors on temperatures by level, on a logarithmic axis: one panel per split, one line per method."""
    figure, axes = new_figure(columns=len(splits), width=9.6, height=4.2, sharey=True)
    groups = ("sources", "level 1", "level 2", "level 3")
    for ax, split in zip(axes, splits, strict=True):
        ax.set_yscale("log")
        ends = []
        for i, method in enumerate(methods):
            means = [float(values(rows, "squared error", method, f"{split}, {group}").mean()) for group in groups]
            ax.plot(means, MARKERS[i] + DASHES[i % len(DASHES)], color=f"C{i}", lw=2)
            ends.append((means[-1], method, INK))
        label_right(ax, len(groups) - 1, ends)
        ax.set_xticks(range(len(groups)), groups)
        ax.set(title=SPLIT_TITLES.get(split, split))
    axes[0].set_ylabel("squared error of six months")
    return figure


# ---------------------------------------------------------------- domains


def domain_graph(domains: DGDomains) -> Figure:
    """Left: all samples, those of sources filled. Right: the graph of the domains, sources dark."""
    figure, (left, right) = new_figure(columns=2, width=9.6, height=4.4)
    _scatter(left, domains, domains.y.numpy(), filled=domains.sources.numpy())
    left.set(title="samples: class 0 circles, class 1 triangles")
    _network(right, domains, np.where(domains.sources.numpy(), 1.0, 0.0), "Blues", (0, 2))
    right.set(title="domain graph: sources dark")
    return figure


def _scatter(ax: Axes, domains: DGDomains, classes: np.ndarray, filled: np.ndarray) -> None:
    points, classes = domains.points[:, ::2], classes[:, ::2]  # every second sample
    for label, marker in enumerate(CLASS_MARKERS):
        for domain in range(len(points)):
            x, y = points[domain][classes[domain] == label].T
            face = f"C{label}" if filled[domain] else "none"
            ax.plot(x, y, marker, mfc=face, mec=f"C{label}", ms=3.5, mew=0.7, alpha=0.7)
    ax.set_aspect("equal")
    ax.axis("off")


def _network(
    ax: Axes, domains: Domains, color: np.ndarray, palette: str, limits: tuple[float, float], labels: Sequence[str] = ()
) -> None:
    graph = nx.from_numpy_array(domains.adjacency.numpy())
    positions = nx.kamada_kawai_layout(graph)
    nx.draw_networkx_edges(graph, positions, ax=ax, edge_color="0.75", width=0.8)
    marks = np.where(domains.sources.numpy(), "s", "o")
    for shape in ("s", "o"):
        nodes = np.flatnonzero(marks == shape).tolist()
        nx.draw_networkx_nodes(
            graph, positions, nodes, ax=ax, node_shape=shape, node_color=color[nodes], cmap=palette,
            vmin=limits[0], vmax=limits[1], edgecolors=INK, linewidths=0.8, node_size=330,
        )  # fmt: skip
    nx.draw_networkx_labels(graph, positions, dict(enumerate(labels)), ax=ax, font_size=8)
    ax.axis("off")


def predicted_classes(domains: DGDomains, predictions: Mapping[str, Tensor]) -> Figure:
    """The class that each method predicts, one panel per method, errors black; predictions: name -> (V, n) int64."""
    figure, axes = new_figure(columns=len(predictions), width=3.3 * len(predictions), height=3.5)
    for ax, (name, predicted) in zip(axes, predictions.items(), strict=True):
        wrong, points = (predicted != domains.y).numpy()[:, ::2], domains.points[:, ::2]
        for label, marker in enumerate(CLASS_MARKERS):
            of_class = predicted.numpy()[:, ::2] == label
            ax.plot(*points[of_class & ~wrong].T, marker, color=f"C{label}", ms=3, alpha=0.6)
            ax.plot(*points[of_class & wrong].T, marker, color=INK, ms=3, alpha=0.8)
        accuracy = accuracy_by_domain(domains, predicted)[~domains.sources.numpy()].mean()
        ax.set_title(f"{name}\ntarget accuracy {accuracy:.0f} %", fontsize=10)
        ax.set_aspect("equal")
        ax.axis("off")
    return figure


# ---------------------------------------------------------------- equilibria


def equilibrium_paths(panels: Mapping[str, tuple[Tensor, bool]], start: int = 0, steps: int = 12) -> Figure:
    """The path of every domain's p(e | u) in the triangle of distributions over three encodings; filled: equilibrium.

    panels: name -> (adjacency (V, V), are pairs within a domain included?).
    """
    figure, axes = new_figure(columns=len(panels), width=2.7 * len(panels), height=2.9)
    for ax, (name, (adjacency, same_domain)) in zip(np.atleast_1d(axes), panels.items(), strict=True):
        tables = maximize_loss(adjacency, 3, same_domain, start, balanced=True, steps=steps)
        _paths(ax, np.stack([table.numpy() for table in tables]) @ CORNERS, adjacency.numpy())
        ax.plot(*np.vstack([CORNERS, CORNERS[:1]]).T, color="0.6", lw=1)
        ax.set_title(name, fontsize=10)
        ax.set_aspect("equal")
        ax.axis("off")
    return figure


def _paths(ax: Axes, path: np.ndarray, adjacency: np.ndarray) -> None:
    """path (steps, V, 2); edges of the graph connect the ends."""
    for i, j in zip(*np.nonzero(np.triu(adjacency)), strict=True):
        ax.plot(*path[-1, [i, j]].T, color="0.8", lw=1, zorder=0)
    for domain in range(path.shape[1]):
        color = f"C{domain}"
        ax.plot(*path[:, domain].T, "-", color=color, lw=1, alpha=0.7)
        ax.plot(*path[0, domain], "o", mfc="none", mec=color, ms=5)
        ax.plot(*path[-1, domain], MARKERS[domain % len(MARKERS)], color=color, ms=9)
        start = (path[0, domain, 0], path[0, domain, 1])
        ax.annotate(str(domain + 1), start, (5, 4), textcoords="offset points", fontsize=9)


# ---------------------------------------------------------------- interactive demo


def demo_panel(
    domains: DGDomains, config: AdversarialConfig, seed: int, pairing: str, weight: float, graph: str
) -> Figure:
    """GRDA trained with one pairing, lambda and graph: predicted classes, and accuracy on the domain graph."""
    method = GRDA_PERMUTED if graph == "permuted" else PAIRINGS[pairing]
    predicted = training.predictions(domains, method if weight else SOURCE, replace(config, lam=weight), seed)
    accuracy = accuracy_by_domain(domains, predicted)
    figure, (left, right) = new_figure(columns=2, width=9.6, height=4.4)
    _scatter(left, domains, predicted.numpy(), filled=np.ones(len(accuracy), dtype=bool))
    left.set(title=f"predicted classes: target accuracy {accuracy[~domains.sources.numpy()].mean():.0f} %")
    _network(right, domains, accuracy, "Blues", (0, 160), [f"{value:.0f}" for value in accuracy])
    right.set(title="accuracy by domain, %; sources square")
    return figure
