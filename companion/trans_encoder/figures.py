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
from companion.trans_encoder import data
from companion.trans_encoder.data import HELD_OUT, TRAINING, AttentionMap
from companion.trans_encoder.evaluation import CPU_SECONDS, PASSES, SPEARMAN, RankChange, correlation, passes
from companion.trans_encoder.method import BI, CROSS
from companion.trans_encoder.training import Variant

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_SENTENCES = 200  # in the count of forward passes
MOST_CYCLES = 9


def attention(separate: AttentionMap, joint: AttentionMap) -> Figure:
    """Attention between the tokens of a pair, encoded separately and jointly; forward passes for n sentences."""
    figure, (left, middle, right) = new_figure(columns=3, width=10.8, height=4.3, width_ratios=(4, 4, 2.6))
    titles = ("bi-encoder: separately", "cross-encoder: jointly")
    for ax, title, shown in zip((left, middle), titles, (separate, joint), strict=True):
        ax.imshow(shown.attention.sqrt().numpy(), cmap="Greys", vmin=0, vmax=0.9)
        ax.set_xticks(range(len(shown.tokens)), shown.tokens, rotation=90, fontsize=7.5)
        ax.set_yticks(range(len(shown.tokens)), shown.tokens, fontsize=7.5)
        border = shown.tokens.index("[SEP]") + 0.5
        ax.axhline(border, color="C1", lw=1.2)
        ax.axvline(border, color="C1", lw=1.2)
        ax.set_title(title)
        ax.grid(visible=False)
    left.set_ylabel("attention of a token ...")
    left.set_xlabel("... to a token")
    n = np.arange(2, MOST_SENTENCES + 1)
    ends = []
    for i, encoder_type in enumerate((BI, CROSS)):
        line = [passes(encoder_type, int(size)) for size in n]
        right.plot(n, line, DASHES[i], color=f"C{i}", lw=2)
        ends.append((float(line[-1]), f"{encoder_type}:\n{line[-1]:,}", INK))
    right.set(xscale="log", yscale="log", xlabel="sentences n", title="forward passes")
    label_right(right, MOST_SENTENCES, ends)
    return figure


def toy() -> Figure:
    """Five pairs: a student that cannot express its teacher's bias, one that can, and the closed form with draws."""
    figure, (left, middle, right) = new_figure(columns=3, width=11.4, height=3.7)
    teacher = data.TOY_TRUTH + data.TOY_BIAS
    names = ("a line", "line and bias")
    for ax, name, directions in zip((left, middle), names, data.toy_directions(), strict=True):
        student = data.least_squares_student(teacher, directions)
        ax.plot(data.TOY_TRUTH, data.TOY_TRUTH, ":", color=INK, lw=1.2, label="truth")
        ax.plot(data.TOY_TRUTH, teacher, "s", color="C1", ms=8, label="teacher")
        ax.plot(data.TOY_TRUTH, student, "o-", mfc="none", color="C0", lw=1.6, ms=12, label="student")
        r = np.corrcoef(student, data.TOY_TRUTH)[0, 1]
        ax.set(title=f"student expresses {name}: {r:.2f}", xlabel="truth", ylim=(-3.6, 3.6))
    left.set_ylabel("label")
    left.legend(loc="upper left")
    _closed_form(right)
    return figure


def _closed_form(ax: Axes) -> None:
    own, ends, rng = np.linspace(0, 4, 81), [], np.random.default_rng(0)
    for i, (teachers, share) in enumerate(((1, 1.0), (2, 1.0), (1, 0.2), (2, 0.2))):
        line = [data.expected_correlation(float(each), 0.0, teachers, share) for each in own]
        ax.plot(own, line, DASHES[i], color=f"C{i}", lw=2)
        for each in (1.0, 2.0, 3.0):
            drawn = data.simulated_correlation(each, 0.0, teachers, 10, 50, 400, rng)
            ax.plot(each, drawn[int(share < 1)], MARKERS[i], color=f"C{i}", ms=6)
        ends.append((line[-1], f"{'student' if share < 1 else 'labels'}, K = {teachers}", INK))
    ax.set(xlabel="variance of a teacher's noise", ylabel="correlation with truth", ylim=(0.4, 1.02))
    ax.set_title("student expresses 1/5 of the noise")
    label_right(ax, 4.0, ends)


def averaging(own: float, shared: float, expressed: float, most_teachers: int = 8) -> Figure:
    """The closed form for K = 1 ... `most_teachers`: the mean of K teachers' labels, and a student of that mean."""
    figure, ax = new_figure(width=7.2, height=3.6)
    k = np.arange(1, most_teachers + 1)
    for i, (name, share) in enumerate({"labels": 1.0, "student of these labels": expressed}.items()):
        line = [data.expected_correlation(own, shared, int(each), share) for each in k]
        ax.plot(k, line, MARKERS[i], ls=DASHES[i], color=f"C{i}", lw=2, ms=7, label=name)
    limit = data.expected_correlation(0.0, shared)
    ax.axhline(limit, color=INK, ls=":", lw=1.2, label="labels, limit of large K")
    ax.set(xlabel="teachers K", ylabel="correlation with truth", ylim=(0, 1.03), xticks=k)
    ax.legend(loc="lower right")
    return figure


def measured_stages(measurements: Sequence[Measurement], variant: Variant) -> dict[str, str]:
    """Short name -> display name of a variant's stages, in order, as far as they were measured, its start first."""
    known = {m.method for m in measurements}
    stages = {"start": variant.start_name}
    for cycle in range(1, MOST_CYCLES + 1):
        for encoder_type in (CROSS, BI):
            stages[f"{encoder_type} {cycle}"] = variant.stage_name(encoder_type, cycle)
    return {short: name for short, name in stages.items() if name in known}


def distillation(
    measurements: Sequence[Measurement],
    variants: Mapping[str, Variant],
    controls: Mapping[str, int] = MappingProxyType({}),
) -> Figure:
    """Spearman along the stages of variants (label -> variant), in both settings.

    A small mark is a seed, a large one the mean; `controls[method]` is the stage beside which its mean is drawn.
    """
    figure, axes = new_figure(columns=2, width=11.4, height=4.3, sharey=True)
    for ax, setting in zip(axes, (TRAINING, HELD_OUT), strict=True):
        longest: list[str] = []
        for i, (label, variant) in enumerate(variants.items()):
            stages = measured_stages(measurements, variant)
            seeds = np.array([values(measurements, SPEARMAN, name, setting) for name in stages.values()])
            x = np.arange(len(seeds)) + 0.06 * (i - 0.5)
            ax.plot(x, seeds, MARKERS[i], color=f"C{i}", alpha=0.3, ms=4)
            ax.plot(x, seeds.mean(1), MARKERS[i], ls=DASHES[i], color=f"C{i}", lw=2, ms=8, label=label)
            longest = max(longest, list(stages), key=len)
        for i, (name, stage) in enumerate(controls.items(), start=len(variants)):
            mean = float(values(measurements, SPEARMAN, name, setting).mean())
            ax.plot(stage + 0.22, mean, MARKERS[i], color=INK, mfc="none", ms=9, mew=1.6, label=name)
        ax.set_xticks(range(len(longest)), longest)
        ax.set_title(setting)
    axes[0].set_ylabel("Spearman x 100")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


def pseudo_labels(gold: np.ndarray, labels: Mapping[str, Tensor]) -> Figure:
    """Gold against the labels of several models for the same pairs, each (N,); the rank correlation above."""
    figure, axes = new_figure(columns=len(labels), width=8.6, height=3.9, sharey=True, squeeze=False)
    for i, (ax, (name, given)) in enumerate(zip(axes[0], labels.items(), strict=True)):
        ax.plot(gold, given.numpy(), MARKERS[i], color=f"C{i}", alpha=0.35, ms=4)
        ax.set(title=f"{name}: {correlation(given, gold):.1f}", xlabel="gold similarity")
    axes[0][0].set_ylabel("pseudo-label")
    return figure


def rank_changes(changes: Sequence[RankChange], before: str, after: str) -> Figure:
    """One row per pair: an arrow from its rank by one score to that by the other; a diamond is its rank by gold."""
    figure, ax = new_figure(width=9.8, height=0.5 * len(changes) + 1.0)
    for row, change in enumerate(changes):
        color, line = ("C0", "-") if change.closer else ("C1", ":")
        arrow = {"arrowstyle": "-|>", "color": color, "lw": 2.2, "ls": line}
        ax.annotate("", (change.after, -row), (change.before, -row), arrowprops=arrow)
        ax.plot(change.before, -row, "o", color=INK, mfc="white", ms=7)
        ax.plot(change.gold, -row, "D", color=INK, ms=6)
    texts = [f"{textwrap.shorten(each.first, 58)}\n{textwrap.shorten(each.second, 58)}" for each in changes]
    ax.set_yticks([-row for row in range(len(changes))], texts, fontsize=8)
    ax.set(xlim=(-2, 102), ylim=(0.6 - len(changes), 0.6), xlabel="rank in percent of all pairs (100: most similar)")
    title = f"circle: {before}; arrow head: {after}; diamond: gold; dotted: away from gold"
    ax.set_title(title, fontsize=8.5, loc="right")
    return figure


def runtime(measurements: Sequence[Measurement]) -> Figure:
    """CPU seconds for all pairs of n sentences, and dotted the counted forward passes, scaled to the last point."""
    figure, ax = new_figure(width=7.4, height=4.0)
    sizes = sorted({int(m.setting.removeprefix("n = ")) for m in measurements if m.metric == CPU_SECONDS})
    ax.set(xscale="log", yscale="log", xlabel="sentences n", ylabel="CPU seconds for all pairs")
    ax.set_xticks(sizes, [str(n) for n in sizes])
    ax.minorticks_off()
    ends = []
    for i, name in enumerate((BI, CROSS)):
        seconds = [float(values(measurements, CPU_SECONDS, name, f"n = {n}").mean()) for n in sizes]
        counted = [float(values(measurements, PASSES, name, f"n = {n}").mean()) for n in sizes]
        ax.plot(sizes, seconds, MARKERS[i], ls="-", color=f"C{i}", lw=1.8, ms=7)
        ax.plot(sizes, np.array(counted) * seconds[-1] / counted[-1], ":", color=INK, lw=1.2)
        ends.append((seconds[-1], f"{name}: {counted[-1]:,.0f} passes", INK))
    label_right(ax, sizes[-1], ends)
    return figure


def by_seed(
    measurements: Sequence[Measurement], methods: Sequence[str], settings: Sequence[str] = (TRAINING, HELD_OUT)
) -> Figure:
    """Spearman: one row per method, one dot per seed, one panel per setting."""
    figure, axes = new_figure(
        columns=len(settings), width=10.4, height=0.34 * len(methods) + 1.1, sharey=True, squeeze=False
    )
    for ax, setting in zip(axes[0], settings, strict=True):
        seed_rows(ax, {name: values(measurements, SPEARMAN, name, setting) for name in methods}, decimals=1)
        ax.set(title=setting, xlabel="Spearman x 100")
    return figure
