"""Figures of the lesson: measurements or tensors in, a matplotlib figure out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from companion.lab.evidence import Measurement, values
from companion.lab.plots import INK, MARKERS, new_figure, seed_dots, seed_lines, seed_rows
from companion.trajectory_attribution import data, evaluation, method
from companion.trajectory_attribution.data import KINDS
from companion.trajectory_attribution.evaluation import EXCESS, FOOTBALL, RANDOM_AGENT, SIMULATION, VALUE, predict
from companion.trajectory_attribution.experiment import kappa_name
from companion.trajectory_attribution.method import Batch, Predictor
from companion.trajectory_attribution.training import RETRAINED, SUBSETS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SCORES = (
    evaluation.APPROACH, evaluation.NEAREST, evaluation.SENSITIVITY, evaluation.ATTRIBUTION, evaluation.OTHER_TARGET,
    evaluation.NO_INTERACTION, evaluation.CHANCE,
)  # fmt: skip
FEATURES = ("past", "A", "B")  # of the game by hand
DASHES = ("-", "--", ":")  # one per feature


def result(rows: Sequence[Measurement], kappas: Sequence[float]) -> Figure:
    """Left, contribution of a neighbor above a random agent by kappa; right, contributions of football's agents."""
    figure, (left, right) = new_figure(columns=2, width=9.4, height=3.6)
    excess = [100 * values(rows, EXCESS["ADE"], kappa_name(kappa), SIMULATION) for kappa in kappas]
    seed_lines(left, kappas, {"": np.stack(excess, axis=1)})
    left.axhline(0, color=INK, lw=1)
    left.set(xlabel="strength of the interaction, kappa", ylabel="centimeters of ADE")
    left.set_title("simulated pedestrians: contribution of\na neighbor above a random agent's")
    leave_one_out = evaluation.LEAVE_ONE_OUT_VALUE
    seed_rows(right, {name: 100 * values(rows, leave_one_out, name, FOOTBALL) for name in (*KINDS, RANDOM_AGENT)}, 1)
    right.axvline(0, color=INK, lw=1)
    right.set(xlabel="centimeters of ADE that its presence saves")
    right.set_title("football, second half:\nleave-one-out value of one neighbor")
    return figure


# ---------------------------------------------------------------- the game by hand


def lattice(table: Sequence[float]) -> Figure:
    """The eight coalitions of three features with their values; each line shows what the entering feature adds."""
    figure, ax = new_figure(width=7.4, height=4.4)
    members = [[i for i in range(3) if coalition >> i & 1] for coalition in range(8)]
    heights = (0.0, 1.0, 0.0, 1.0, -1.0, 0.0, -1.0, 0.0)  # by coalition
    places = [(float(len(inside)), height) for inside, height in zip(members, heights, strict=True)]
    for coalition, (x, y) in enumerate(places):
        for i in range(3):
            if i not in members[coalition]:
                larger = coalition | 1 << i
                _edge(ax, (x, y), places[larger], table[larger] - table[coalition], i)
        words = " + ".join(FEATURES[i] for i in members[coalition]) or "none"
        box = {"boxstyle": "round", "fc": "white", "ec": INK}
        ax.annotate(f"{words}\n{table[coalition]:.1f}", (x, y), ha="center", va="center", bbox=box, fontsize=9)
    for i, name in enumerate(FEATURES):
        ax.plot([], [], color=f"C{i}", ls=DASHES[i], lw=2.2, label=f"{name} enters")
    ax.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=3)
    ax.set(xlim=(-0.45, 3.4), ylim=(-1.5, 1.5))
    ax.axis("off")
    return figure


def _edge(ax: Axes, a: tuple[float, float], b: tuple[float, float], gain: float, feature: int) -> None:
    ax.plot([a[0], b[0]], [a[1], b[1]], color=f"C{feature}", ls=DASHES[feature], lw=2.2, zorder=0)
    share = 0.36 if a[1] != b[1] else 0.5
    label = (a[0] + share * (b[0] - a[0]), a[1] + share * (b[1] - a[1]))
    background = {"boxstyle": "round,pad=0.1", "fc": "white", "ec": "none"}
    ax.annotate(f"+{gain:.1f}", label, ha="center", va="center", fontsize=8, bbox=background)


# ---------------------------------------------------------------- one scene


def scene(
    model: Predictor,
    kappa: float,
    along: float = 0.0,
    across: float = 0.0,
    A: str = "present",
    B: str = "present",
    C: str = "present",
) -> Figure:
    """The drawn scene: paths and predictions on the left; phi and the true displacement by each neighbor on the right.

    along, across: meters by which A's start is moved. A, B, C: "present" or "removed".
    """
    absent = [slot for slot, state in enumerate((A, B, C)) if state == "removed"]
    positions = data.drawn_scene(kappa, along, across, absent=absent)
    batch = data.drawn_target(positions, absent)
    figure, (left, right) = new_figure(columns=2, width=9.6, height=4.2, gridspec_kw={"width_ratios": (1.5, 1)})
    present = batch.past.shape[1] - 1  # the last observed frame
    for slot, name in enumerate(data.DRAWN_NAMES):
        if slot not in absent:
            track = positions[0, slot + 1] - positions[0, 0, present]
            left.plot(*track[: present + 1].T, "-", color="0.45", lw=2)
            left.plot(*track[present:].T, ":", color="0.45", lw=1.5)
            left.plot(*track[present], MARKERS[slot + 1], color="0.3", ms=8)
            place = tuple(track[present].tolist())
            left.annotate(name, place, (7, -14), textcoords="offset points", fontsize=9)
    _target(left, model, batch, "prediction, all present")
    alone, _ = predict(model, data.drawn_target(positions, (0, 1, 2)))
    left.plot(*alone[0].T, "s--", color="C1", ms=3.5, label="prediction, neighbors removed")
    left.set(xlabel="meters", ylabel="meters", aspect="equal", xlim=(-7, 6.5), ylim=(-4.6, 4.2))
    left.legend(loc="upper left", fontsize=8)
    phi = method.attribute(method.value_table(model, batch))[0].tolist()
    _bars(right, ("past", *data.DRAWN_NAMES), phi, data.drawn_effects(kappa, along, across, absent).tolist())
    return figure


def _target(ax: Axes, model: Predictor, batch: Batch, label: str) -> None:
    """Past, ground-truth future and prediction of the first target."""
    ax.plot(*batch.past[0].T, "-", color=INK, lw=3)
    ax.plot(*batch.future[0].T, "-", color=INK, lw=1.5, label="ground-truth future")
    ax.plot(*predict(model, batch)[0][0].T, "o--", color="C0", ms=4, label=label)


def _bars(ax: Axes, names: Sequence[str], phi: Sequence[float], effects: Sequence[float]) -> None:
    """For each feature its attribution, and below it the true displacement, which the past (the first) has not."""
    filled = [(len(phi) - 1 - i + 0.18, value) for i, value in enumerate(phi)]
    hatched = [(len(effects) - 1 - i - 0.18, value) for i, value in enumerate(effects)]
    for height, value in filled:
        ax.barh(height, value, 0.32, color="C0")
    for height, value in hatched:
        ax.barh(height, value, 0.32, color="none", edgecolor=INK, hatch="///")
    for height, value in filled + hatched:
        side, shift = ("left", 4) if value >= 0 else ("right", -4)
        text = f"{value:.2f}".replace("-0.00", "0.00")
        ax.annotate(text, (value, height), (shift, 0), textcoords="offset points", va="center", ha=side, fontsize=8)
    ax.set_yticks(range(len(names)), list(names)[::-1])
    ax.axvline(0, color=INK, lw=1)
    low, high = min(0.0, *phi), max(*phi, *effects)
    ax.set_xlim(low - 0.22 * (high - low), high + 0.22 * (high - low))
    ax.set(xlabel="meters", title="filled: phi (ADE saved)\nhatched: true displacement")
    ax.grid(axis="y", visible=False)


def football_moment(model: Predictor, batch: Batch, phi: Tensor) -> Figure:
    """One moment of the match in the target's frame: tracks, prediction, and phi (1, P) of each neighbor; N = 1."""
    figure, ax = new_figure(width=7.4, height=4.6)
    slots = torch.nonzero(batch.mask[0])[:, 0].tolist()
    slots.sort(key=lambda slot: float(batch.neighbors[0, slot, -1, 1]))  # labels from bottom to top
    for rank, slot in enumerate(slots):
        kind, track, value = int(batch.kind[0, slot].argmax()), batch.neighbors[0, slot], float(phi[0, slot + 1])
        ax.plot(*track.T, "-", color=f"C{kind + 2}", lw=1.5)
        ax.plot(*track[-1], MARKERS[kind + 1], color=f"C{kind + 2}", ms=5 + 6 * min(abs(value), 1))
        words = f"{KINDS[kind].removesuffix('s')} {100 * value:+.0f} cm"
        beside, line = (1.02, (rank + 0.5) / len(slots)), {"arrowstyle": "-", "color": "0.6", "lw": 0.8}
        ax.annotate(words, tuple(track[-1].tolist()), beside, textcoords="axes fraction", fontsize=8, arrowprops=line)
    _target(ax, model, batch, "prediction")
    ax.annotate(f"past {100 * float(phi[0, 0]):+.0f} cm", (0, 0), (-6, -14), textcoords="offset points", fontsize=8)
    ax.set(xlabel="meters along the target's heading", ylabel="meters", aspect="equal")
    ax.margins(0.15)
    ax.legend(loc="best", fontsize=8)
    return figure


# ---------------------------------------------------------------- findings


def controls(rows: Sequence[Measurement], kappas: Sequence[float]) -> Figure:
    """The best of four neighbors beside one random agent, as in the paper, and beside the best of four."""
    figure, ax = new_figure(width=7.4, height=3.6)
    names = {
        "best of four neighbors": evaluation.BEST,
        "one random agent (the paper's control)": RANDOM_AGENT,
        "best of four random agents": evaluation.BEST_RANDOM_AGENT,
    }
    settings = [kappa_name(kappa) for kappa in kappas]
    metric = VALUE["ADE"]
    columns = {label: [100 * values(rows, metric, name, s) for s in settings] for label, name in names.items()}
    seed_dots(ax, settings, columns)
    ax.axhline(0, color=INK, lw=1)
    ax.set(ylabel="Shapley value, centimeters of ADE")
    ax.legend(loc="upper left")
    return figure


def ranking(rows: Sequence[Measurement], kappa: float) -> Figure:
    """How often each score ranks the neighbor with the largest true effect first."""
    figure, ax = new_figure(width=7.4, height=3.4)
    seed_rows(ax, {name: values(rows, "top-1 accuracy", name, kappa_name(kappa)) for name in SCORES})
    ax.set(xlabel="targets whose most influential neighbor is ranked first, %", xlim=(0, 100))
    return figure


def pedestrian_errors(rows: Sequence[Measurement], scenes: Sequence[str]) -> Figure:
    """ADE on each held-out scene: the model, a model retrained without neighbors, constant velocity."""
    figure, ax = new_figure(width=8.2, height=3.6)
    names = {"with neighbors": SUBSETS, RETRAINED: RETRAINED, "constant velocity": evaluation.CONSTANT_VELOCITY}
    columns = {label: [values(rows, "ADE", name, scene) for scene in scenes] for label, name in names.items()}
    seed_dots(ax, [scene.removeprefix("crowds_").replace("_", "\n") for scene in scenes], columns)
    ax.set(ylabel="ADE, meters", ylim=(0, None))
    ax.legend(loc="lower right")
    return figure
