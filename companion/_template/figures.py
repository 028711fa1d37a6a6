"""Figures of the lesson: measurements or tensors in, a matplotlib figure out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from companion._template.data import setting_name
from companion._template.experiment import JAMES_STEIN, METHODS, OBSERVATION, ORACLE, OUTLIER
from companion._template.method import best_strength, exact_risk
from companion.lab.evidence import Measurement, interval, values
from companion.lab.plots import DASHES, INK, MARKERS, diagram, new_figure, seed_dots

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

RISK = "risk: squared error per coordinate"


def method_diagram() -> Figure:
    """The estimator as boxes and arrows: observations, their squared length, the factor, the estimate."""
    boxes = {
        "x": (0.0, 0.0, "observation $X$\n$d$ numbers"),
        "length": (1.1, 0.55, "squared length\n$|X|^2$"),
        "factor": (2.3, 0.55, "factor\n$1 - (d-2)/|X|^2$"),
        "estimate": (3.5, 0.0, "estimate $\\hat\\theta$\n$d$ numbers"),
    }
    arrows = [("x", "length", ""), ("length", "factor", ""), ("factor", "estimate", ""), ("x", "estimate", "times")]
    return diagram(boxes, arrows, height=2.0)


def by_hand(theta: Sequence[float], x: Sequence[float], estimate: Sequence[float]) -> Figure:
    """One row per mean: the true value, the observation, and an arrow to the estimate."""
    figure, ax = new_figure(height=2.6)
    rows = range(len(x))[::-1]
    for row, before, after in zip(rows, x, estimate, strict=True):
        arrow = {"arrowstyle": "->", "color": "C1", "lw": 2.5, "shrinkB": 0}
        ax.annotate("", (after, row), (before, row), arrowprops=arrow)
    kinds = {"true mean": (theta, "|", "black"), "observation": (x, "o", "C0"), "estimate": (estimate, "d", "C1")}
    for i, (name, (points, marker, color)) in enumerate(kinds.items()):
        ax.plot(points, rows, marker, color=color, ms=16 if marker == "|" else 8, mew=2)
        shift = (0, -18) if i == 2 else (0, 12)
        ax.annotate(name, (points[0], rows[0]), shift, textcoords="offset points", ha="center", color=INK)
    ax.axvline(0, color="0.5", lw=1)
    ax.set(yticks=list(rows), yticklabels=["first", "second", "third"], ylim=(-0.5, len(x) - 0.3), xlabel="value")
    ax.grid(axis="y", visible=False)
    return figure


def squared_lengths(observations: Mapping[int, Tensor], signal: float) -> Figure:
    """Histograms of |x|^2 / d of observations (n, d), one per number of means d, beside the true |theta|^2 / d."""
    figure, ax = new_figure(height=3.2)
    for i, (d, x) in enumerate(observations.items()):
        scaled = x.square().sum(1).cpu().numpy() / d
        height, edges = np.histogram(scaled, bins=30, range=(0, 6), density=True)
        ax.stairs(height, edges, color=f"C{i}", lw=2, linestyle=DASHES[i], label=f"{d} means")
    ax.axvline(signal, color="black", lw=2)
    ax.text(signal - 0.08, 0.92, "true value", transform=ax.get_xaxis_transform(), ha="right")
    ax.set(xlabel="squared length of an observation, divided by d", ylabel="density", xlim=(0, 5))
    ax.legend()
    ax.grid(axis="y", visible=False)
    return figure


def gain_by_dimension(measurements: Sequence[Measurement], dimensions: Sequence[int]) -> Figure:
    """Boundary experiment: the gain over the observation against the number of means, with 95 % intervals."""
    figure, ax = new_figure(width=7.2, height=3.6)
    for k, name in enumerate((JAMES_STEIN, ORACLE)):
        gains = [_gain(measurements, name, d) for d in dimensions]
        means, ends = np.array([gain.mean() for gain in gains]), np.array([interval(gain) for gain in gains])
        error = np.abs(ends.T - means)
        ax.errorbar(range(len(dimensions)), means, error, fmt=MARKERS[k], ls=DASHES[k], color=f"C{k + 1}", capsize=4)
        ax.annotate(name, (len(dimensions) - 1, means[-1]), (8, 14 * k - 11), textcoords="offset points", color=INK)
    ax.axhline(0, color="C0", lw=2)
    ax.axvline(0.5, color="0.6", ls=":", lw=1.5)
    ax.text(0.55, 0.02, "theory: a gain from d = 3 on", color=INK, fontsize=9)
    ax.set_xticks(range(len(dimensions)), [str(d) for d in dimensions])
    ax.set(
        xlabel="number of means d", ylabel="gain: risk of the observation\nminus risk of the method", ylim=(-0.1, 0.6)
    )
    return figure


def _gain(measurements: Sequence[Measurement], name: str, d: int) -> np.ndarray:
    risks = [values(measurements, "risk", method, setting_name(d, 1.0)) for method in (OBSERVATION, name)]
    return risks[0] - risks[1]


def risk_by_signal(measurements: Sequence[Measurement], d: int, signals: Sequence[float]) -> Figure:
    """Risk against the mean square of the true means: lines are exact, points are seeds."""
    figure, ax = new_figure(width=7.2, height=3.6)
    fine = np.linspace(0, max(signals), 200)
    exact = {
        OBSERVATION: np.ones_like(fine),
        JAMES_STEIN: np.array([exact_risk(d, d * s) / d for s in fine]),
        ORACLE: fine / (fine + 1),
    }
    for name, curve in exact.items():
        k = METHODS.index(name)
        ax.plot(fine, curve, MARKERS[k], linestyle=DASHES[k], color=f"C{k}", lw=2, markevery=[-1], label=name)
        for s in signals:
            seeds = values(measurements, "risk", name, setting_name(d, s))
            ax.plot([s] * len(seeds), seeds, MARKERS[k], color=f"C{k}", alpha=0.5)
    ax.set(xlabel="signal: mean square of the true means (the noise has 1)", ylabel=RISK, ylim=(-0.05, 1.15))
    ax.legend(loc="lower right")
    return figure


def outlier_risk(measurements: Sequence[Measurement], methods: Sequence[str]) -> Figure:
    """One mean far from zero: the risk of all coordinates, and of that one alone."""
    figure, ax = new_figure(width=6.4, height=3.2)
    metrics = {"all ten means": "risk", "the outlying mean alone": "risk of the outlier"}
    rows = {name: [values(measurements, metric, name, OUTLIER) for metric in metrics.values()] for name in methods}
    seed_dots(ax, list(metrics), rows)
    ax.set(ylabel="squared error per coordinate", ylim=(0, 3.2))
    ax.legend(loc="upper left")
    return figure


def ablation(measurements: Sequence[Measurement], d: int, strengths: Sequence[float], groups: Sequence[int]) -> Figure:
    """Risk at signal 1 with other shrinkage strengths (line: exact), and with means estimated in groups."""
    figure, (left, right) = new_figure(columns=2, width=8.4, height=3.4, sharey=True)
    names = {1.0: JAMES_STEIN} | {times: f"strength x {times:g}" for times in strengths}
    fine = np.linspace(0, 3.1, 100)
    left.plot(fine, [exact_risk(d, d, t * best_strength(d)) / d for t in fine], color="C1", lw=2)
    setting = setting_name(d, 1.0)
    _points(left, {times: values(measurements, "risk", name, setting) for times, name in names.items()})
    left.set_title("another strength")
    left.set(xlabel="strength, in multiples of d - 2", ylabel=RISK, ylim=(0.4, 2.4), xticks=[0, 0.5, 1, 1.5, 2, 3])
    sizes = {size: f"groups of {size}" for size in groups} | {d: JAMES_STEIN}
    grouped = {float(i): values(measurements, "risk", name, setting) for i, name in enumerate(sizes.values())}
    _points(right, grouped)
    right.set_title("separate groups of means")
    right.set(xlabel=f"means per group, of {d}", xticks=list(grouped), xticklabels=[str(size) for size in sizes])
    return figure


def _points(ax: Axes, values: Mapping[float, np.ndarray]) -> None:
    for x, seeds in values.items():
        ax.plot([x] * len(seeds), seeds, "s", color="C1", alpha=0.5)
    ax.axhline(1, color="C0", lw=2)
    ax.text(0.98, 1.03, "observation", color=INK, ha="right", transform=ax.get_yaxis_transform())


def risk_curve(d: int, strength: float) -> Figure:
    """Exact risk against the signal for d means and a strength in multiples of d - 2; gains and losses are shaded."""
    figure, ax = new_figure(height=3.4)
    signal = np.linspace(0, 6, 120)
    risk = np.array([exact_risk(d, d * s, strength * best_strength(d)) / d for s in signal])
    ax.axhline(1, color="C0", lw=2)
    ax.plot(signal, risk, color="C1", lw=2)
    ax.fill_between(signal, risk, 1, where=risk < 1, color="C0", alpha=0.25, lw=0)
    ax.fill_between(signal, risk, 1, where=risk > 1, color="C2", alpha=0.25, lw=0, hatch="//")
    ax.set(xlabel="signal: mean square of the true means", ylabel=RISK, xlim=(0, 6), ylim=(0, 2.2))
    ax.set_title(f"{d} means, strength {strength:g} x (d - 2); plain: gain, hatched: loss")
    ax.text(5.9, 1.04, "observation", color=INK, ha="right")
    return figure
