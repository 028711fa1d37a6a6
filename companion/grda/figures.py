"""Figures of the lesson: measurements, worlds or tables in, a matplotlib figure out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import networkx as nx
import numpy as np
from torch import Tensor

from companion.grda.arms import GRDA, PERMUTED, SOURCE, Recipe, Sizes, guesses
from companion.grda.equilibrium import climb
from companion.grda.experiment import SOURCES, TARGETS, THIRDS, by_domain
from companion.grda.worlds import DG, World
from companion.lab.evidence import Measurement, values
from companion.lab.plots import DASHES, INK, MARKERS, label_right, new_figure, seed_lines, seed_rows

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CORNERS = np.array([[0.0, 0.0], [1.0, 0.0], [0.5, np.sqrt(3) / 2]])
CLASS_MARKERS = ("o", "^")


# ---------------------------------------------------------------- what was measured


def result(rows: Sequence[Measurement], arms: Sequence[str], published: Mapping[str, float]) -> Figure:
    """Target accuracy of each arm: a dot a draw, a bar for the mean, a cross for the paper's Table 1."""
    figure, ax = new_figure(width=8.4, height=0.42 * len(arms) + 1.0)
    seed_rows(ax, {arm: values(rows, "accuracy", arm, TARGETS) for arm in arms})
    for height, arm in enumerate(reversed(arms)):
        if arm in published:
            ax.plot(published[arm], height, "x", color=INK, ms=8, mew=2)
    ax.axvline(50, color=INK, lw=1, ls=":")
    ax.annotate("guessing", (50, len(arms) - 0.4), (3, 0), textcoords="offset points", fontsize=8, va="center")
    ax.set(xlabel="accuracy on target domains, % (cross: the paper's Table 1)", xlim=(0, 103), ylim=(-0.6, len(arms)))
    return figure


def by_place(rows: Sequence[Measurement], arms: Sequence[str]) -> Figure:
    """Accuracy against the distance from the labelled domains, a line an arm."""
    figure, ax = new_figure(width=8.6, height=4.2)
    where = (SOURCES, *THIRDS)
    lines = {arm: np.array([values(rows, "accuracy", arm, place) for place in where]).T for arm in arms}
    seed_lines(ax, range(len(where)), {arm: found.mean(0, keepdims=True) for arm, found in lines.items()})
    ax.axhline(50, color=INK, lw=1, ls=":")
    ax.annotate("guessing", (0, 50), (2, 4), textcoords="offset points", fontsize=8)
    ax.set_xticks(range(len(where)), where)
    ax.set(ylabel="accuracy, %", ylim=(0, 104))
    return figure


def errors(rows: Sequence[Measurement], splits: Sequence[str], arms: Sequence[str]) -> Figure:
    """Squared errors on temperatures by level, one panel a split, logarithmic: a dot a window, a line through means."""
    figure, axes = new_figure(columns=len(splits), width=9.6, height=4.2, sharey=True)
    where = ("sources", "level 1", "level 2", "level 3")
    for ax, split in zip(axes, splits, strict=True):
        ax.set_yscale("log")
        ends = []
        for i, arm in enumerate(arms):
            found = np.array([values(rows, "squared error", arm, f"{split}, {place}") for place in where])
            ax.plot(found.mean(1), MARKERS[i] + DASHES[i % len(DASHES)], color=f"C{i}", lw=2)
            ends.append((float(found.mean(1)[-1]), arm, INK))
        label_right(ax, len(where) - 1, ends)
        ax.set_xticks(range(len(where)), where)
        ax.set(title=f"learned in the {_words(split)}")
    axes[0].set_ylabel("squared error of six months")
    return figure


def _words(split: str) -> str:
    return {"E->W": "east, asked in the west", "N->S": "north, asked in the south"}.get(split, split)


# ---------------------------------------------------------------- worlds


def domains(world: DG) -> Figure:
    """Left, all samples, the sources' filled; right, the same domains as a graph."""
    figure, (left, right) = new_figure(columns=2, width=9.6, height=4.4)
    _scatter(left, world, world.y.numpy(), filled=world.sources.numpy())
    left.set(title="the samples: class 0 round, class 1 triangles")
    _network(right, world, np.where(world.sources.numpy(), 1.0, 0.0), "Blues", (0, 2))
    right.set(title="the domain graph: sources dark")
    return figure


def _scatter(ax: Axes, world: DG, classes: np.ndarray, filled: np.ndarray) -> None:
    points, classes = world.points[:, ::2], classes[:, ::2]  # every second one is enough for the eye
    for label, marker in enumerate(CLASS_MARKERS):
        for domain in range(len(points)):
            x, y = points[domain][classes[domain] == label].T
            face = f"C{label}" if filled[domain] else "none"
            ax.plot(x, y, marker, mfc=face, mec=f"C{label}", ms=3.5, mew=0.7, alpha=0.7)
    ax.set_aspect("equal")
    ax.axis("off")


def _network(
    ax: Axes, world: World, colour: np.ndarray, palette: str, span: tuple[float, float], words: Sequence[str] = ()
) -> None:
    graph = nx.from_numpy_array(world.adjacency.numpy())
    place = nx.kamada_kawai_layout(graph)
    nx.draw_networkx_edges(graph, place, ax=ax, edge_color="0.75", width=0.8)
    marks = np.where(world.sources.numpy(), "s", "o")
    for shape in ("s", "o"):
        nodes = np.flatnonzero(marks == shape).tolist()
        nx.draw_networkx_nodes(
            graph, place, nodes, ax=ax, node_shape=shape, node_color=colour[nodes], cmap=palette,
            vmin=span[0], vmax=span[1], edgecolors=INK, linewidths=0.8, node_size=330,
        )  # fmt: skip
    nx.draw_networkx_labels(graph, place, dict(enumerate(words)), ax=ax, font_size=8)
    ax.axis("off")


def guessed(world: DG, found: Mapping[str, Tensor]) -> Figure:
    """The class that each arm gives to every sample, one panel an arm; found: name -> (V, n); wrong ones are black."""
    figure, axes = new_figure(columns=len(found), width=3.3 * len(found), height=3.5)
    for ax, (name, guess) in zip(axes, found.items(), strict=True):
        wrong, points = (guess != world.y).numpy()[:, ::2], world.points[:, ::2]
        for label, marker in enumerate(CLASS_MARKERS):
            at = guess.numpy()[:, ::2] == label
            ax.plot(*points[at & ~wrong].T, marker, color=f"C{label}", ms=3, alpha=0.6)
            ax.plot(*points[at & wrong].T, marker, color=INK, ms=3, alpha=0.8)
        accuracy = by_domain(world, guess)[~world.sources.numpy()].mean()
        ax.set_title(f"{name}\n{accuracy:.0f} % of the targets right", fontsize=10)
        ax.set_aspect("equal")
        ax.axis("off")
    return figure


# ---------------------------------------------------------------- equilibria


def simplex(panels: Mapping[str, tuple[Tensor, bool]], start: int = 0, steps: int = 12) -> Figure:
    """The way of every domain's p(e | u) through the triangle of three encodings; filled: where it comes to rest.

    panels: name -> (adjacency (V, V), are pairs of one domain shown?).
    """
    figure, axes = new_figure(columns=len(panels), width=2.7 * len(panels), height=2.9)
    for ax, (name, (adjacency, same_domain)) in zip(np.atleast_1d(axes), panels.items(), strict=True):
        passed = climb(adjacency, 3, same_domain, start, balanced=True, steps=steps)
        _paths(ax, np.stack([table.numpy() for table in passed]) @ CORNERS, adjacency.numpy())
        ax.plot(*np.vstack([CORNERS, CORNERS[:1]]).T, color="0.6", lw=1)
        ax.set_title(name, fontsize=10)
        ax.set_aspect("equal")
        ax.axis("off")
    return figure


def _paths(ax: Axes, way: np.ndarray, adjacency: np.ndarray) -> None:
    """way (steps, V, 2); edges of the graph join the ends."""
    for i, j in zip(*np.nonzero(np.triu(adjacency)), strict=True):
        ax.plot(*way[-1, [i, j]].T, color="0.8", lw=1, zorder=0)
    for domain in range(way.shape[1]):
        colour = f"C{domain}"
        ax.plot(*way[:, domain].T, "-", color=colour, lw=1, alpha=0.7)
        ax.plot(*way[0, domain], "o", mfc="none", mec=colour, ms=5)
        ax.plot(*way[-1, domain], MARKERS[domain % len(MARKERS)], color=colour, ms=9)
        beside = (way[0, domain, 0], way[0, domain, 1])
        ax.annotate(str(domain + 1), beside, (5, 4), textcoords="offset points", fontsize=9)


# ---------------------------------------------------------------- the control panel


def panel(world: DG, sizes: Sizes, seed: int, pairing: str, weight: float, graph: str) -> Figure:
    """The picture of the control panel: GRDA trained on this world, its guesses, and accuracy on the domain graph."""
    arm = PERMUTED if graph == "permuted" else GRDA[pairing]
    guess = guesses(world, arm if weight else SOURCE, Recipe(3e-3, weight), sizes, seed)
    accuracy = by_domain(world, guess)
    figure, (left, right) = new_figure(columns=2, width=9.6, height=4.4)
    _scatter(left, world, guess.numpy(), filled=np.ones(len(accuracy), dtype=bool))
    left.set(title=f"the guesses: {accuracy[~world.sources.numpy()].mean():.0f} % of the targets right")
    _network(right, world, accuracy, "Blues", (0, 160), [f"{value:.0f}" for value in accuracy])
    right.set(title="accuracy by domain, %; sources square")
    return figure
