"""Figures of the lesson: measurements or tensors in, a matplotlib figure out."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from companion.lab.evidence import Measurement, values
from companion.lab.plots import DASHES, INK, MARKERS, label_right, new_figure, seed_rows
from companion.trans_encoder import speed, theory
from companion.trans_encoder.arms import HELD, SPEARMAN, START, TRAINED
from companion.trans_encoder.evaluate import correlation
from companion.trans_encoder.story import Move, Sight

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SETTINGS = {TRAINED: "pairs that were learnt from", HELD: "pairs held out"}
MOST = 200  # sentences, in the count beside the two ways of reading


def sight(alone: Sight, joint: Sight) -> Figure:
    """Who looks at whom when each sentence is read alone, and when both are read together; what n sentences cost."""
    figure, (left, middle, right) = new_figure(columns=3, width=10.8, height=4.3, width_ratios=(4, 4, 2.6))
    titles = ("bi: each sentence alone", "cross: both together")
    for ax, title, seen in zip((left, middle), titles, (alone, joint), strict=True):
        ax.imshow(seen.attention.sqrt().numpy(), cmap="Greys", vmin=0, vmax=0.9)
        ax.set_xticks(range(len(seen.pieces)), seen.pieces, rotation=90, fontsize=7.5)
        ax.set_yticks(range(len(seen.pieces)), seen.pieces, fontsize=7.5)
        ax.axhline(border := seen.pieces.index("[SEP]") + 0.5, color="C1", lw=1.2)
        ax.axvline(border, color="C1", lw=1.2)
        ax.set_title(title)
        ax.grid(visible=False)
    left.set_ylabel("a word piece, and ...")
    left.set_xlabel("... at which it looks")
    n = np.arange(2, MOST + 1)
    ends = []
    for i, (name, count) in enumerate({"bi": speed.bi_passes, "cross": speed.cross_passes}.items()):
        line = [count(int(size)) for size in n]
        right.plot(n, line, DASHES[i], color=f"C{i}", lw=2)
        ends.append((float(line[-1]), f"{name}: {line[-1]:,}", INK))
    right.set(xscale="log", yscale="log", xlabel="sentences n", title="texts read for all pairs")
    label_right(right, MOST, ends)
    return figure


def toy() -> Figure:
    """Five pairs: a student that cannot express its teacher's habit, one that can, and the closed form with draws."""
    figure, (left, middle, right) = new_figure(columns=3, width=11.4, height=3.7)
    teacher = theory.TRUTH + theory.HABIT
    for ax, can, directions in zip(
        (left, middle), ("only a line", "the habit, too"), theory.toy_directions(), strict=True
    ):
        said = theory.student(teacher, directions)
        ax.plot(theory.TRUTH, theory.TRUTH, ":", color=INK, lw=1.2, label="truth")
        ax.plot(theory.TRUTH, teacher, "s", color="C1", ms=8, label="teacher")
        ax.plot(theory.TRUTH, said, "o-", mfc="none", color="C0", lw=1.6, ms=12, label="student")
        r = np.corrcoef(said, theory.TRUTH)[0, 1]
        ax.set(title=f"student expresses {can}: {r:.2f}", xlabel="truth", ylim=(-3.6, 3.6))
    left.set_ylabel("label")
    left.legend(loc="upper left")
    _closed_form(right)
    return figure


def _closed_form(ax: Axes) -> None:
    own, ends, rng = np.linspace(0, 4, 81), [], np.random.default_rng(0)
    for i, (labellers, share) in enumerate(((1, 1.0), (2, 1.0), (1, 0.2), (2, 0.2))):
        line = [theory.expected_correlation(float(each), 0.0, labellers, share) for each in own]
        ax.plot(own, line, DASHES[i], color=f"C{i}", lw=2)
        for each in (1.0, 2.0, 3.0):
            drawn = theory.simulated(each, 0.0, labellers, 10, 50, 400, rng)
            ax.plot(each, drawn[int(share < 1)], MARKERS[i], color=f"C{i}", ms=6)
        ends.append((line[-1], f"{'student' if share < 1 else 'labels'} of K = {labellers}", INK))
    ax.set(xlabel="variance of a labeller's noise", ylabel="correlation with truth", ylim=(0.4, 1.02))
    ax.set_title("a student that keeps a fifth of the noise")
    label_right(ax, 4.0, ends)


def stages(rows: Sequence[Measurement], prefix: str = "") -> list[str]:
    """The arms of a relay in order, as far as they were measured: its start, cross 1, bi 1, ..."""
    known = {row.method for row in rows}
    start = f"{prefix}{START}" if f"{prefix}{START}" in known else START
    names = [f"{prefix}{form} {cycle}" for cycle in range(1, 10) for form in ("cross", "bi")]
    return [start, *(name for name in names if name in known)]


def relay(
    rows: Sequence[Measurement], relays: Mapping[str, str], controls: Mapping[str, int] = MappingProxyType({})
) -> Figure:
    """Spearman along relays, `relays[label]` being the prefix of its arms, on pairs learnt from and on pairs held out.

    A small mark is a seed, a large one the mean; `controls[arm]` is the stage beside which an arm's mean is drawn.
    """
    figure, axes = new_figure(columns=2, width=10.6, height=4.3, sharey=True)
    for ax, (setting, title) in zip(axes, SETTINGS.items(), strict=True):
        for i, (name, prefix) in enumerate(relays.items()):
            seeds = np.array([values(rows, SPEARMAN, arm, setting) for arm in stages(rows, prefix)])
            x = np.arange(len(seeds)) + 0.06 * (i - 0.5)
            ax.plot(x, seeds, MARKERS[i], color=f"C{i}", alpha=0.3, ms=4)
            ax.plot(x, seeds.mean(1), MARKERS[i], ls=DASHES[i], color=f"C{i}", lw=2, ms=8, label=name)
        for i, (arm, stage) in enumerate(controls.items(), start=len(relays)):
            mean = float(values(rows, SPEARMAN, arm, setting).mean())
            ax.plot(stage + 0.22, mean, MARKERS[i], color=INK, mfc="none", ms=9, mew=1.6, label=arm)
        names = max((stages(rows, prefix) for prefix in relays.values()), key=len)
        ax.set_xticks(range(len(names)), [START, *(" ".join(name.split()[-2:]) for name in names[1:])])
        ax.set_title(title)
    axes[0].set_ylabel("Spearman x 100")
    axes[1].legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def labels(gold: np.ndarray, written: Mapping[str, Tensor]) -> Figure:
    """Gold against the labels that each of several writers gave the same pairs; the rank correlation above."""
    figure, axes = new_figure(columns=len(written), width=8.6, height=3.9, sharey=True, squeeze=False)
    for i, (ax, (name, found)) in enumerate(zip(axes[0], written.items(), strict=True)):
        ax.plot(gold, found.numpy(), MARKERS[i], color=f"C{i}", alpha=0.35, ms=4)
        ax.set(title=f"{name}: {correlation(found, gold):.1f}", xlabel="gold, never seen in training")
    axes[0][0].set_ylabel("label")
    return figure


def moves(found: Sequence[Move], before: str, after: str) -> Figure:
    """The pairs that moved most: an arrow from their place by one score to that by the other; a diamond is gold."""
    figure, ax = new_figure(width=9.8, height=0.5 * len(found) + 1.0)
    for row, move in enumerate(found):
        nearer = abs(move.after - move.gold) < abs(move.before - move.gold)
        arrow = {"arrowstyle": "-|>", "color": "C0" if nearer else "C1", "lw": 2.2, "ls": "-" if nearer else ":"}
        ax.annotate("", (move.after, -row), (move.before, -row), arrowprops=arrow)
        ax.plot(move.before, -row, "o", color=INK, mfc="white", ms=7)
        ax.plot(move.gold, -row, "D", color=INK, ms=6)
    lines = [f"{textwrap.shorten(move.first, 58)}\n{textwrap.shorten(move.second, 58)}" for move in found]
    ax.set_yticks([-row for row in range(len(found))], lines, fontsize=8)
    ax.set(xlim=(-2, 102), ylim=(0.6 - len(found), 0.6), xlabel="place among all pairs, per cent (100: most alike)")
    ax.set_title(f"ring: {before}; arrow head: {after}; diamond: gold; dotted: away from gold", fontsize=9)
    return figure


def cost(rows: Sequence[Measurement]) -> Figure:
    """CPU seconds for all pairs of n sentences in both forms, measured, and what the counted passes foretell."""
    figure, ax = new_figure(width=7.4, height=4.0)
    sizes = sorted({int(row.setting.removeprefix("n = ")) for row in rows if row.metric == speed.SECONDS})
    ax.set(xscale="log", yscale="log", xlabel="sentences n", ylabel="CPU seconds for all pairs")
    ax.set_xticks(sizes, [str(n) for n in sizes])
    ax.minorticks_off()
    ends = []
    for i, arm in enumerate((speed.BI, speed.CROSS)):
        seconds = [float(values(rows, speed.SECONDS, arm, f"n = {n}").mean()) for n in sizes]
        passes = [float(values(rows, speed.PASSES, arm, f"n = {n}").mean()) for n in sizes]
        ax.plot(sizes, seconds, MARKERS[i], ls="-", color=f"C{i}", lw=1.8, ms=7)
        ax.plot(sizes, np.array(passes) * seconds[-1] / passes[-1], ":", color=INK, lw=1.2)
        ends.append((seconds[-1], f"{arm}: {passes[-1]:,.0f} texts", INK))
    label_right(ax, sizes[-1], ends)
    return figure


def by_seed(rows: Sequence[Measurement], arms: Sequence[str], settings: Sequence[str] = (TRAINED, HELD)) -> Figure:
    """Spearman of each arm: a row an arm, a dot a seed, on one panel a setting."""
    figure, axes = new_figure(
        columns=len(settings), width=10.4, height=0.34 * len(arms) + 1.1, sharey=True, squeeze=False
    )
    for ax, setting in zip(axes[0], settings, strict=True):
        seed_rows(ax, {arm: values(rows, SPEARMAN, arm, setting) for arm in arms}, decimals=1)
        ax.set(title=SETTINGS.get(setting, setting), xlabel="Spearman x 100")
    return figure


def world(own: float, shared: float, expressed: float, most: int = 8) -> Figure:
    """The toy's closed form for K = 1 ... `most` labellers: of their mean, and of a student of it."""
    figure, ax = new_figure(width=7.2, height=3.6)
    k = np.arange(1, most + 1)
    for i, (name, share) in enumerate({"the labels": 1.0, "a student of them": expressed}.items()):
        line = [theory.expected_correlation(own, shared, int(each), share) for each in k]
        ax.plot(k, line, MARKERS[i], ls=DASHES[i], color=f"C{i}", lw=2, ms=7, label=name)
    ceiling = theory.expected_correlation(0.0, shared)
    ax.axhline(ceiling, color=INK, ls=":", lw=1.2, label="labels of ever more labellers")
    ax.set(xlabel="labellers K", ylabel="correlation with truth", ylim=(0, 1.03), xticks=k)
    ax.legend(loc="lower right")
    return figure
