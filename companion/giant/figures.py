"""Figures of the lesson: measurements or tensors in, a matplotlib figure out."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from companion.giant import data
from companion.giant.data import TOY_EDGES, TOY_NODES, TOY_WORDS, ExperimentData
from companion.giant.evaluation import typical_words
from companion.giant.experiment import ACCURACY
from companion.giant.method import LabelTree, Level
from companion.lab.evidence import Measurement, values
from companion.lab.plots import DASHES, INK, MARKERS, label_right, new_figure, seed_rows

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from torch import Tensor

TOY_POSITIONS = ((0.0, 2.0), (1.2, 2.0), (0.6, 1.0), (0.0, -1.0), (1.2, -1.0), (0.6, 0.0))


def results(measurements: Sequence[Measurement], methods: Mapping[str, Sequence[str]]) -> Figure:
    """Accuracy on the features of each method, one panel per classifier: a dot per seed, a bar for the mean."""
    figure, axes = new_figure(columns=len(methods), width=9.0, height=3.6)
    for ax, (kind, names) in zip(axes, methods.items(), strict=True):
        seed_rows(ax, {name: values(measurements, ACCURACY, name, kind) for name in names}, decimals=1)
        ax.set(xlabel="test accuracy, %", title=f"{kind} on these features")
    return figure


def toy() -> Figure:
    """Six nodes and their links, shape by cluster; the vectors of the nodes as labels; the targets of the clusters."""
    figure, axes = new_figure(columns=3, width=9.0, height=3.4)
    adjacency, label_vectors, tree = data.toy_graph()
    ax, side = axes[0], tree.assignment(1)
    for a, b in TOY_EDGES:
        ax.plot(*zip(TOY_POSITIONS[a], TOY_POSITIONS[b], strict=True), "-", color="0.6", zorder=1)
    for node, (x, y) in enumerate(TOY_POSITIONS):
        ax.plot(x, y, MARKERS[int(side[node])], ms=15, color=f"C{int(side[node])}", zorder=2)
        ax.annotate(TOY_NODES[node], (x, y), (11, 5), textcoords="offset points")
    ax.set(title="links; shape: cluster", xlim=(-0.3, 1.9), ylim=(-1.5, 2.6))
    ax.axis("off")
    _table(axes[1], label_vectors, TOY_WORDS, "PIFA: neighbors' words", ".2f")
    membership = np.eye(2)[side.numpy()]
    _table(axes[2], adjacency @ membership, ("cluster 0", "cluster 1"), "targets: neighbors per cluster", ".0f")
    return figure


def _table(ax: Axes, table: np.ndarray, columns: Sequence[str], title: str, form: str) -> None:
    """Numbers in gray cells, one row per node of the toy."""
    ax.imshow(table, cmap="Greys", vmax=2.2 * table.max(), aspect="auto")
    for i, j in np.ndindex(*table.shape):
        ax.text(j, i, format(table[i, j], form), ha="center", va="center")
    ax.set_xticks(range(len(columns)), columns)
    ax.set_yticks(range(len(TOY_NODES)), TOY_NODES)
    ax.set_title(title)
    ax.grid(visible=False)


def trees(tables: Mapping[str, np.ndarray]) -> Figure:
    """Clusters down, classes across: the share of each class in each cluster, (K, classes), one panel per tree."""
    figure, axes = new_figure(columns=len(tables), width=8.6, height=3.7, sharey=True)
    for ax, (title, table) in zip(axes, tables.items(), strict=True):
        image = ax.imshow(table, cmap="Greys", vmin=0, vmax=1, aspect="auto")
        ax.set(title=title, xlabel="class (lexicographer's file)")
        ax.grid(visible=False)
    axes[0].set_ylabel("cluster")
    figure.colorbar(image, ax=axes, label="share of the cluster", shrink=0.85)
    return figure


def cosines(encoders: Mapping[str, tuple[Tensor, Tensor]]) -> Figure:
    """Histograms of the cosines of linked pairs, (E,), and of random pairs, (E,): one panel per encoder."""
    figure, axes = new_figure(columns=len(encoders), width=8.6, height=3.3, sharex=True, sharey=True)
    bins = np.linspace(-0.6, 1.0, 41)
    for ax, (title, (linked, random)) in zip(axes, encoders.items(), strict=True):
        for i, (name, pair) in enumerate((("random pairs", random), ("linked pairs", linked))):
            ax.hist(pair.numpy(), bins, density=True, histtype="step", lw=2, color=f"C{i}", ls=DASHES[i])
            peak = np.histogram(pair.numpy(), bins, density=True)[0]
            ax.annotate(name, (bins[peak.argmax()] + 0.1, peak.max()), (6, 0), textcoords="offset points")
        ax.set(title=title, xlabel="cosine of two nodes' vectors")
    axes[0].set_ylabel("density")
    return figure


def block_model(homophilies: Sequence[float], signal: float = 0.5, draws: int = 20_000) -> Figure:
    """Error of the mean of d neighbors: the closed form as lines, draws as markers, a node's own feature dashed."""
    figure, ax = new_figure(width=7.4)
    d, rng, ends = np.unique(np.geomspace(1, 100, 60).round()), np.random.default_rng(0), []
    ax.set(xscale="log", xlim=(0.9, 100), ylim=(-0.03, 0.55), xticks=[1, 10, 100], xticklabels=["1", "10", "100"])
    for i, m in enumerate(homophilies):
        line = [data.neighbor_error(signal, 1.0, m, n) for n in d]
        ax.plot(d, line, DASHES[i], color=f"C{i}", lw=2)
        for n in (11, 31, 75):
            ax.plot(n, data.simulated_error(signal, 1.0, m, n, draws, rng), MARKERS[i], color=f"C{i}", ms=7)
        ends.append((line[-1], f"homophily {m:g}", INK))
    raw = data.raw_error(signal, 1.0)
    ax.axhline(raw, color=INK, ls=":", lw=1.5)
    label_right(ax, float(d[-1]), [*ends, (raw, "own feature", INK)])
    ax.set(xlabel="neighbors d", ylabel="error of the best classifier")
    return figure


def losses(runs: Mapping[str, Sequence[Sequence[float]]]) -> Figure:
    """The training loss, level after level: `runs[method]` holds the losses of each level, one per step."""
    figure, ax = new_figure(width=7.6, height=3.4)
    ends = []
    for i, (name, levels) in enumerate(runs.items()):
        parts = [np.pad(np.asarray(level), 2, mode="edge") for level in levels]
        smooth = np.concatenate([np.convolve(part, np.ones(5) / 5, "valid") for part in parts])
        starts = np.cumsum([0, *map(len, levels)])
        for a, b in pairwise(starts):
            ax.plot(np.arange(a, b), smooth[a:b], DASHES[i], color=f"C{i}", lw=2)
        ends.append((float(smooth[-1]), name, INK))
    for border in starts[1:-1]:
        ax.axvline(border, color="0.6", lw=1)
    ax.set(xlabel="step (gray line: start of a level)", ylabel="weighted squared hinge", ylim=(0, None))
    label_right(ax, float(starts[-1]), ends)
    return figure


def runtime(measurements: Sequence[Measurement], sizes: Sequence[int]) -> Figure:
    """CPU seconds of PIFA, tree and targets, and the peak memory, against the number of nodes."""
    figure, (left, right) = new_figure(columns=2, width=8.6, height=3.4)
    settings, ends = [f"{n:,} nodes" for n in sizes], []
    left.set(xscale="log", yscale="log", xlim=(600, 2e7))
    for i, name in enumerate(("PIFA", "tree", "targets")):
        seconds = [float(values(measurements, "CPU seconds", name, setting)[0]) for setting in settings]
        left.plot(sizes, seconds, MARKERS[i], ls=DASHES[i], color=f"C{i}", lw=1.8)
        ends.append((seconds[-1], name, INK))
    label_right(left, sizes[-1], ends)
    left.set(xlabel="nodes", ylabel="CPU seconds")
    peak = [float(values(measurements, "megabytes", "peak memory", setting)[0]) for setting in settings]
    right.semilogx(sizes, peak, "o-", color="C0", lw=1.8)
    right.set(xlabel="nodes", ylabel="megabytes, whole process", ylim=(0, None))
    return figure


def predicted_clusters(
    data: ExperimentData, tree: LabelTree, encoders: Mapping[str, Sequence[Level]], name: str, t: int
) -> Figure:
    """The most probable clusters of a node at level t, one panel per encoder: `encoders[title]` holds its levels.

    An asterisk and color mark clusters that hold a neighbor; typical words of its texts describe a cluster.
    """
    figure, axes = new_figure(columns=len(encoders), width=9.0, height=3.7, sharex=True)
    graph, node = data.graph, data.graph.names.index(name)
    neighbors = data.adjacency[node].indices
    true_clusters, words = tree.assignment(t)[neighbors].tolist(), typical_words(graph.texts, tree, t)
    for ax, (title, levels) in zip(axes, encoders.items(), strict=True):
        clusters, scores = levels[t - 1].beam[node].tolist(), levels[t - 1].beam_scores[node].exp().tolist()
        for row, (cluster, score) in enumerate(zip(clusters, scores, strict=True)):
            mark = "* " if cluster in true_clusters else ""
            ax.barh(-row, score, color="C1" if mark else "0.75", height=0.72)
            ax.text(0.02, -row, f"{mark}{words[cluster]}", va="center", fontsize=9)
        ax.set(title=title, xlabel="exp(score)", xlim=(0, 1.05), yticks=[])
        ax.grid(axis="y", visible=False)
    names = ", ".join(graph.names[i] for i in neighbors[:8]) + (" ..." if len(neighbors) > 8 else "")
    text = textwrap.fill(graph.texts[node], 105, max_lines=2)
    figure.suptitle(f"{text}\nneighbors: {textwrap.shorten(names, 95)}", fontsize=9, x=0.01, ha="left")
    return figure
