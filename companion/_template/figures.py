"""Figures of the lesson: measurements or tensors in, a matplotlib figure out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from companion._template.experiment import OUTLIER, place
from companion._template.method import exact_risk, own_strength
from companion.lab.evidence import Measurement, values
from companion.lab.plots import DASHES, INK, MARKERS, new_figure, seed_dots, seed_lines

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NAMES = {
    "mle": "observation",
    "james-stein": "James-Stein",
    "positive-part": "positive part",
    "oracle": "oracle",
}
LOOK = {arm: i for i, arm in enumerate(NAMES)}  # the number of its colour and marker, in every figure
RISK = "risk: squared error a coordinate"


def toy(truth: Sequence[float], seen: Sequence[float], estimate: Sequence[float]) -> Figure:
    """A row a number: where the truth is, what was seen, and the arrow to what is believed."""
    figure, ax = new_figure(height=2.6)
    rows = range(len(seen))[::-1]
    for row, x, guess in zip(rows, seen, estimate, strict=True):
        ax.annotate("", (guess, row), (x, row), arrowprops={"arrowstyle": "->", "color": "C1", "lw": 2.5, "shrinkB": 0})
    kinds = {"truth": (truth, "|", "black"), "seen": (seen, "o", "C0"), "James-Stein": (estimate, "d", "C1")}
    for name, (points, marker, colour) in kinds.items():
        ax.plot(points, rows, marker, color=colour, ms=16 if marker == "|" else 8, mew=2)
        ax.annotate(name, (points[0], rows[0]), (0, 12), textcoords="offset points", ha="center", color=INK)
    ax.axvline(0, color="0.5", lw=1)
    ax.set(yticks=list(rows), yticklabels=["first", "second", "third"], ylim=(-0.5, len(seen) - 0.4), xlabel="value")
    ax.grid(axis="y", visible=False)
    return figure


def lengths(observations: Mapping[int, Tensor], signal: float) -> Figure:
    """For each number of means d, the squared lengths of its observations (n, d), divided by d; the truth beside."""
    figure, ax = new_figure()
    for i, (d, x) in enumerate(observations.items()):
        share = x.square().sum(1).cpu().numpy() / d
        height, edges = np.histogram(share, bins=30, range=(0, 6), density=True)
        ax.stairs(height, edges, color=f"C{i}", lw=2, linestyle=DASHES[i], label=f"{d} means")
    ax.axvline(signal, color="black", lw=2)
    ax.text(signal - 0.08, 0.92, "the truth", transform=ax.get_xaxis_transform(), ha="right")
    ax.set(xlabel="squared length of the observation, divided by the number of means", ylabel="density", xlim=(0, 5))
    ax.legend()
    ax.grid(axis="y", visible=False)
    return figure


def risk_by_dimension(rows: Sequence[Measurement], dimensions: Sequence[int]) -> Figure:
    """Risk against the number of means, at signal 1: a line an arm, a dot a seed."""
    figure, ax = new_figure(width=7.5)
    arms = ("mle", "james-stein", "oracle")
    lines = {NAMES[arm]: np.array([values(rows, "risk", arm, place(d, 1.0)) for d in dimensions]).T for arm in arms}
    seed_lines(ax, range(len(dimensions)), lines, known=list(NAMES.values()))
    ax.set_xticks(range(len(dimensions)), [str(d) for d in dimensions])
    ax.set(xlabel="how many means are estimated together", ylabel=RISK, ylim=(0.4, 1.15))
    return figure


def risk_by_signal(rows: Sequence[Measurement], d: int, signals: Sequence[float]) -> Figure:
    """Risk against the size of the truth: lines are exact, dots are seeds."""
    figure, ax = new_figure(width=7.5)
    fine = np.linspace(0, max(signals), 200)
    exact = {
        "mle": np.ones_like(fine),
        "james-stein": np.array([exact_risk(d, d * s) / d for s in fine]),
        "oracle": fine / (fine + 1),
    }
    for arm, curve in exact.items():
        k = LOOK[arm]
        ax.plot(fine, curve, MARKERS[k], linestyle=DASHES[k], color=f"C{k}", lw=2, markevery=[-1], label=NAMES[arm])
        for s in signals:
            seeds = values(rows, "risk", arm, place(d, s))
            ax.plot([s] * len(seeds), seeds, MARKERS[k], color=f"C{k}", alpha=0.5)
    ax.set(xlabel="signal: mean square of the true values (the noise has 1)", ylabel=RISK, ylim=(-0.05, 1.15))
    ax.legend(loc="lower right")
    return figure


def who_pays(rows: Sequence[Measurement], arms: Sequence[str]) -> Figure:
    """One mean far from zero among zeros: the risk of all coordinates, and of the far one alone."""
    figure, ax = new_figure(width=6.0, height=3.4)
    metrics = {"all ten means": "risk", "the outlying mean alone": "risk of the outlier"}
    seed_dots(
        ax, list(metrics), {NAMES[arm]: [values(rows, m, arm, OUTLIER) for m in metrics.values()] for arm in arms}
    )
    ax.set(ylabel="squared error a coordinate", ylim=(0, 3.2))
    ax.legend(loc="upper left")
    return figure


def broken(rows: Sequence[Measurement], d: int, strengths: Sequence[float], groups: Sequence[int]) -> Figure:
    """Risk at signal 1 when the strength is wrong (line: exact), and when the means are pooled in groups."""
    figure, (left, right) = new_figure(columns=2, width=8.4, sharey=True)
    arms = {1.0: "james-stein"} | {times: f"strength x {times:g}" for times in strengths}
    fine = np.linspace(0, 3.1, 100)
    left.plot(fine, [exact_risk(d, d, t * own_strength(d)) / d for t in fine], color="C1", lw=2)
    _dots(left, {times: values(rows, "risk", arm, place(d, 1.0)) for times, arm in arms.items()})
    left.set_title("the wrong strength")
    left.set(xlabel="strength, in multiples of d - 2", ylabel=RISK, ylim=(0.4, 2.4), xticks=[0, 0.5, 1, 1.5, 2, 3])
    sizes = {size: f"groups of {size}" for size in groups} | {d: "james-stein"}
    pooled = {float(i): values(rows, "risk", arm, place(d, 1.0)) for i, arm in enumerate(sizes.values())}
    _dots(right, pooled)
    right.set_title("apart, in groups")
    right.set(xlabel=f"means in a group, of {d}", xticks=list(pooled), xticklabels=[str(size) for size in sizes])
    return figure


def _dots(ax: Axes, values: Mapping[float, np.ndarray]) -> None:
    for x, seeds in values.items():
        ax.plot([x] * len(seeds), seeds, "s", color="C1", alpha=0.5)
    ax.axhline(1, color="C0", lw=2)
    ax.text(0.98, 1.03, "observation", color=INK, ha="right", transform=ax.get_yaxis_transform())


def risk_curve(d: int, strength: float) -> Figure:
    """Exact risk against the signal for d means and a strength in multiples of d - 2; where it beats 1 is shaded."""
    figure, ax = new_figure()
    signal = np.linspace(0, 6, 120)
    risk = np.array([exact_risk(d, d * s, strength * own_strength(d)) / d for s in signal])
    ax.axhline(1, color="C0", lw=2)
    ax.plot(signal, risk, color="C1", lw=2)
    ax.fill_between(signal, risk, 1, where=risk < 1, color="C0", alpha=0.25, lw=0)
    ax.fill_between(signal, risk, 1, where=risk > 1, color="C2", alpha=0.25, lw=0, hatch="//")
    ax.set(xlabel="signal: mean square of the true values", ylabel=RISK, xlim=(0, 6), ylim=(0, 2.2))
    ax.set_title(f"{d} means, strength {strength:g} x (d - 2)")
    ax.text(5.9, 1.04, "observation", color=INK, ha="right")
    return figure
