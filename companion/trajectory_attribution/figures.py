"""Figures of the lesson: measurements or tensors in, a matplotlib figure out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from companion.lab.evidence import Measurement, values
from companion.lab.plots import INK, MARKERS, new_figure, seed_dots, seed_lines, seed_rows
from companion.trajectory_attribution import method, scene
from companion.trajectory_attribution.arms import ALONE, SUBSETS
from companion.trajectory_attribution.experiment import named
from companion.trajectory_attribution.measures import (
    APPROACH,
    ATTRIBUTION,
    BEST,
    BEST_STRANGER,
    CHANCE,
    FOOTBALL,
    NEAREST,
    SHIFT,
    SHUFFLED,
    STRAIGHT,
    STRANGER,
    UNTAUGHT,
    WORLD,
    forecast,
)
from companion.trajectory_attribution.method import LEAVE_ONE_OUT, Batch, Predictor
from companion.trajectory_attribution.windows import KINDS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

RANKINGS = (APPROACH, NEAREST, SHIFT, ATTRIBUTION, SHUFFLED, UNTAUGHT, CHANCE)
PLAYERS = ("past", "A", "B")


def result(rows: Sequence[Measurement], kappas: Sequence[float]) -> Figure:
    """Left, the excess of a real neighbour over a stranger along the knob; right, what football's players are worth."""
    figure, (left, right) = new_figure(columns=2, width=9.4, height=3.6)
    excess = np.stack([values(rows, "excess, ADE", named(kappa), WORLD) for kappa in kappas], axis=1)
    seed_lines(left, kappas, {"": 100 * excess})
    left.axhline(0, color=INK, lw=1)
    left.set(xlabel="strength of the interaction, kappa", ylabel="centimetres")
    left.set_title("simulated walkers:\nworth of a neighbour beyond a stranger's")
    names = (KINDS[0], *KINDS[1:], STRANGER)
    seed_rows(right, {name: 100 * values(rows, LEAVE_ONE_OUT, name, FOOTBALL) for name in names}, 1)
    right.axvline(0, color=INK, lw=1)
    right.set(
        xlabel="centimetres of error that its presence saves", title="football, second half:\nworth of one neighbour"
    )
    return figure


# ---------------------------------------------------------------- the toy


def lattice(table: Sequence[float]) -> Figure:
    """A game of three players as a lattice: coalitions with their values, and on each line what the newcomer adds."""
    figure, ax = new_figure(width=7.4, height=4.4)
    place = {code: _node(code) for code in range(8)}
    for code in range(8):
        for player in (p for p in range(3) if not code >> p & 1):
            _line(ax, place[code], place[code | 1 << player], table[code | 1 << player] - table[code], player)
        words = " + ".join(name for p, name in enumerate(PLAYERS) if code >> p & 1) or "nobody"
        box = {"boxstyle": "round", "fc": "white", "ec": INK}
        ax.annotate(f"{words}\n{table[code]:.1f}", place[code], ha="center", va="center", bbox=box, fontsize=9)
    for player, name in enumerate(PLAYERS):
        ax.plot([], [], color=f"C{player}", ls=("-", "--", ":")[player], lw=2.2, label=f"{name} arrives")
    ax.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=3)
    ax.set(xlim=(-0.45, 3.4), ylim=(-1.5, 1.5))
    ax.axis("off")
    return figure


def _node(code: int) -> tuple[float, float]:
    members = [p for p in range(3) if code >> p & 1]
    height = {1: 1.0, 2: 0.0, 4: -1.0, 3: 1.0, 5: 0.0, 6: -1.0}.get(code, 0.0)
    return len(members) * 1.0, height


def _line(ax: Axes, a: tuple[float, float], b: tuple[float, float], gain: float, player: int) -> None:
    ax.plot([a[0], b[0]], [a[1], b[1]], color=f"C{player}", ls=("-", "--", ":")[player], lw=2.2, zorder=0)
    at = 0.36 if a[1] != b[1] else 0.5
    middle = (a[0] + at * (b[0] - a[0]), a[1] + at * (b[1] - a[1]))
    paper = {"boxstyle": "round,pad=0.1", "fc": "white", "ec": "none"}
    ax.annotate(f"+{gain:.1f}", middle, ha="center", va="center", fontsize=8, bbox=paper)


# ---------------------------------------------------------------- one scene


def panel(
    model: Predictor,
    kappa: float,
    along: float = 0.0,
    across: float = 0.0,
    A: str = "there",
    B: str = "there",
    C: str = "there",
) -> Figure:
    """The drawn scene: paths and forecasts on the left; phi and the true displacement of each neighbour on the right.

    along, across: metres by which A starts elsewhere. A, B, C: "there" or "gone".
    """
    absent = [slot for slot, state in enumerate((A, B, C)) if state == "gone"]
    positions = scene.paths(kappa, along, across, absent=absent)
    batch = scene.target(positions, absent)
    figure, (left, right) = new_figure(columns=2, width=9.6, height=4.2, gridspec_kw={"width_ratios": (1.5, 1)})
    _plan(left, model, batch, positions, absent)
    phi = method.attribute(method.value_table(model, batch))[0].tolist()
    moved = scene.true_shift(kappa, along, across, absent).tolist()
    _bars(right, ("past", *scene.NAMES), phi, [None, *moved])
    return figure


def _plan(ax: Axes, model: Predictor, batch: Batch, positions: Tensor, absent: Sequence[int]) -> None:
    """Tracks in the target's frame: what was seen, what came, and the forecast with and without neighbours."""
    seen = batch.past.shape[1]
    shift = positions[0, 0, seen - 1]
    for slot, name in enumerate(scene.NAMES):
        if slot in absent:
            continue
        track = positions[0, slot + 1] - shift
        ax.plot(*track[:seen].T, "-", color="0.45", lw=2)
        ax.plot(*track[seen - 1 :].T, ":", color="0.45", lw=1.5)
        ax.plot(*track[seen - 1], MARKERS[slot + 1], color="0.3", ms=8)
        ax.annotate(name, tuple(track[seen - 1].tolist()), (7, -14), textcoords="offset points", fontsize=9)
    ax.plot(*batch.past[0].T, "-", color=INK, lw=3)
    ax.plot(*batch.future[0].T, "-", color=INK, lw=1.5, label="what came")
    ax.plot(*forecast(model, batch)[0][0].T, "o--", color="C0", ms=4, label="forecast, all present")
    alone, _ = forecast(model, scene.target(positions, (0, 1, 2)))
    ax.plot(*alone[0].T, "s--", color="C1", ms=3.5, label="forecast, neighbours removed")
    ax.set(xlabel="metres", ylabel="metres", aspect="equal", xlim=(-7, 6.5), ylim=(-4.6, 4.2))
    ax.legend(loc="upper left", fontsize=8)


def _bars(ax: Axes, names: Sequence[str], phi: Sequence[float], moved: Sequence[float | None]) -> None:
    """Two rows of bars a player: attribution, and true displacement where one is known."""
    for row, (value, truth) in enumerate(zip(phi, moved, strict=True)):
        at = len(names) - 1 - row
        ax.barh(at + 0.18, value, 0.32, color="C0")
        _number(ax, value, at + 0.18)
        if truth is not None:
            ax.barh(at - 0.18, truth, 0.32, color="none", edgecolor=INK, hatch="///")
            _number(ax, truth, at - 0.18)
    ax.set_yticks(range(len(names)), list(names)[::-1])
    ax.axvline(0, color=INK, lw=1)
    low, high = min(0.0, *phi), max(*phi, *(m for m in moved if m is not None))
    ax.set_xlim(low - 0.22 * (high - low), high + 0.22 * (high - low))
    ax.set(xlabel="metres", title="filled: phi (error saved)\nhatched: true displacement")
    ax.grid(axis="y", visible=False)


def _number(ax: Axes, value: float, at: float) -> None:
    side = "left" if value >= 0 else "right"
    step = (4 if value >= 0 else -4, 0)
    ax.annotate(
        f"{value + 0.0:.2f}".replace("-0.00", "0.00"),
        (value, at),
        step,
        textcoords="offset points",
        va="center",
        ha=side,
        fontsize=8,
    )


# ---------------------------------------------------------------- findings


def knob(rows: Sequence[Measurement], kappas: Sequence[float]) -> Figure:
    """The best of four neighbours beside one stranger, as the paper has it, and beside the best of four strangers."""
    figure, ax = new_figure(width=7.4, height=3.6)
    names = {BEST: BEST, f"one {STRANGER} (the paper's control)": STRANGER, "best of four strangers": BEST_STRANGER}
    found = {
        words: [100 * values(rows, "phi, ADE", name, named(kappa)) for kappa in kappas] for words, name in names.items()
    }
    seed_dots(ax, [named(kappa) for kappa in kappas], found)
    ax.axhline(0, color=INK, lw=1)
    ax.set(ylabel="Shapley value, centimetres")
    ax.legend(loc="upper left")
    return figure


def ranking(rows: Sequence[Measurement], kappa: float) -> Figure:
    """How often each score puts the neighbour first who moves the target most."""
    figure, ax = new_figure(width=7.4, height=3.4)
    seed_rows(ax, {name: values(rows, "hits", name, named(kappa)) for name in RANKINGS})
    ax.set(xlabel="targets whose strongest neighbour comes first, %", xlim=(0, 100))
    return figure


def pitch(model: Predictor, batch: Batch, phi: Tensor) -> Figure:
    """One moment of the match in the target's frame: tracks, forecast, and phi beside every neighbour; N = 1."""
    figure, ax = new_figure(width=7.4, height=4.6)
    there = sorted(torch.nonzero(batch.mask[0])[:, 0].tolist(), key=lambda slot: float(batch.tracks[0, slot, -1, 1]))
    for place, slot in enumerate(there):
        kind, track = int(batch.kind[0, slot].argmax()), batch.tracks[0, slot]
        ax.plot(*track.T, "-", color=f"C{kind + 2}", lw=1.5)
        ax.plot(*track[-1], MARKERS[kind + 1], color=f"C{kind + 2}", ms=5 + 6 * min(abs(float(phi[0, slot + 1])), 1))
        words = f"{KINDS[kind].removesuffix('s')} {100 * float(phi[0, slot + 1]):+.0f} cm"
        beside, line = (1.02, (place + 0.5) / len(there)), {"arrowstyle": "-", "color": "0.6", "lw": 0.8}
        ax.annotate(words, tuple(track[-1].tolist()), beside, textcoords="axes fraction", fontsize=8, arrowprops=line)
    ax.plot(*batch.past[0].T, "-", color=INK, lw=3)
    ax.plot(*batch.future[0].T, "-", color=INK, lw=1.5, label="what came")
    ax.plot(*forecast(model, batch)[0][0].T, "o--", color="C0", ms=4, label="forecast")
    ax.annotate(f"past {100 * float(phi[0, 0]):+.0f} cm", (0, 0), (-6, -14), textcoords="offset points", fontsize=8)
    ax.set(xlabel="metres along the target's heading", ylabel="metres", aspect="equal")
    ax.margins(0.15)
    ax.legend(loc="best", fontsize=8)
    return figure


def street(rows: Sequence[Measurement], scenes: Sequence[str]) -> Figure:
    """ADE on each left-out scene: the model, a model retrained without neighbours, constant velocity."""
    figure, ax = new_figure(width=8.2, height=3.6)
    names = {"with neighbours": SUBSETS, ALONE: ALONE, STRAIGHT: STRAIGHT}
    found = {words: [values(rows, "ADE", name, place) for place in scenes] for words, name in names.items()}
    seed_dots(ax, [place.removeprefix("crowds_").replace("_", "\n") for place in scenes], found)
    ax.set(ylabel="ADE, metres", ylim=(0, None))
    ax.legend(loc="lower right")
    return figure
