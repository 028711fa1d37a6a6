"""Figures of the lesson: measurements or tensors in, a matplotlib figure out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.stats import spearmanr
from torch import Tensor

from companion.lab.evidence import Measurement, values
from companion.lab.plots import DASHES, INK, MARKERS, label_right, new_figure
from companion.psa_gan.experiment import ALONE, MORE, NAIVE, REAL, WINDOWS, few_windows
from companion.psa_gan.panel import Batch, Windows
from companion.psa_gan.story import ALPHAS, Story, asked
from companion.psa_gan.training import Game

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS = ("Context-FID", "CPU seconds")
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def ranking(rows: Sequence[Measurement], arms: Sequence[str], ladder: Mapping[str, float]) -> Figure:
    """Context-FID by arm on a logarithmic axis, a dot a seed; below, what corrupted real windows score."""
    height = 0.42 * (len(arms) + 1 + len(ladder)) + 1.0
    figure, (top, low) = new_figure(
        rows=2, width=7.6, height=height, sharex=True, height_ratios=(len(arms) + 1, len(ladder))
    )
    _log_rows(top, {arm: values(rows, "Context-FID", arm, WINDOWS) for arm in (REAL, *arms)})
    _log_rows(low, {name: np.log10([score]) for name, score in sorted(ladder.items(), key=lambda pair: pair[1])})
    top.set_title("made windows, a dot a seed, a bar and a number for the mean")
    low.set_title("real windows, spoiled")
    low.set(xlabel="Context-FID (smaller is better)")
    ticks = np.arange(-3, 2)
    low.set_xticks(ticks, [f"{10.0**t:g}" for t in ticks])
    low.set_xlim(-2.9, 1.2)
    return figure


def _log_rows(ax: Axes, rows: Mapping[str, np.ndarray]) -> None:
    """A row a name: a dot a seed at its logarithm, a bar at the mean, and the number that this stands for."""
    for height, found in enumerate(reversed(list(rows.values()))):
        mean = float(np.mean(found))
        ax.plot(found, [height] * len(found), "o", color="C0", alpha=0.45)
        ax.vlines(mean, height - 0.3, height + 0.3, color="C1", lw=3)
        ax.annotate(f"{10**mean:.2g}", (1.0, height), (-4, 0), xycoords=("axes fraction", "data"),
                    textcoords="offset points", ha="right", va="center", fontsize=9)  # fmt: skip
    ax.set_yticks(range(len(rows)), list(rows)[::-1])
    ax.set_ylim(-0.6, len(rows) - 0.4)
    ax.grid(axis="y", visible=False)


def city(windows: Windows, week: int, sensors: Sequence[int]) -> Figure:
    """A week of some sensors, scaled, from the panel's hour `week` on, each named at its right end."""
    figure, ax = new_figure(width=8.2, height=3.4)
    ends = []
    for i, sensor in enumerate(sensors):
        course = windows.values[sensor, week : week + 168].numpy()
        ax.plot(course, DASHES[i % len(DASHES)], lw=1.6, color=f"C{i}")
        ends.append((float(course[-1]), windows.names[sensor], INK))
    ax.set_xticks(range(12, 168, 24), [DAYS[int(windows.week[week + h]) // 24] for h in range(12, 168, 24)])
    ax.set(ylabel="root of the count, scaled", ylim=(0, 1.15))
    label_right(ax, 167.0, ends)
    return figure


def film(story: Story) -> Figure:
    """A column a level, a row a condition: the made window from the same noise, over the real one, pooled."""
    count, levels = len(story.z), len(story.levels)
    figure, axes = new_figure(levels, width=8.4, height=1.5 * count + 0.7, rows=count, sharex=True, sharey=True)
    hours = story.shown.x.shape[1]
    for k, (real, made) in enumerate(story.levels):
        wide = hours // real.shape[1]
        for row in range(count):
            ax = axes[row, k]
            for x, style, name in ((real, {"color": INK, "ls": ":"}, "real"), (made, {"color": "C0"}, "made")):
                ax.stairs(
                    x[row].numpy(), np.arange(real.shape[1] + 1) * wide, baseline=None, lw=1.8, label=name, **style
                )
        axes[0, k].set_title(f"{real.shape[1]} numbers")
        axes[-1, k].set_xlabel("hour of the window")
    axes[0, 0].set_ylim(-0.15, 1.25)
    axes[0, 0].legend(loc="upper left", fontsize=8, ncols=2)
    axes[count // 2, 0].set_ylabel("scaled count")
    return figure


def fade(story: Story, row: int = 0) -> Figure:
    """The last level comes in: left behind a skip that starts as the identity, right behind a random one."""
    figure, axes = new_figure(columns=2, width=8.4, height=3.2, sharey=True)
    for ax, (name, outputs) in zip(axes, story.fades.items(), strict=True):
        ax.plot(story.old[row].numpy(), color=INK, lw=4, alpha=0.25, label="before")
        for i, (alpha, made) in enumerate(zip(ALPHAS, outputs, strict=True)):
            ax.plot(made[row].numpy(), DASHES[i], color=f"C{i}", lw=1.8, label=f"alpha = {alpha:g}")
        ax.set(title=name, xlabel="hour of the window")
    axes[0].set_ylabel("scaled count")
    axes[1].legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure


def compare(real: Tensor, made: Mapping[str, Tensor]) -> Figure:
    """Three windows of each kind; mean power by frequency; autocorrelation: real (n, l) and made (n, l) by name."""
    figure, (left, middle, right) = new_figure(columns=3, width=10.2, height=3.6)
    for i, (name, x) in enumerate({"real": real, **made}.items()):
        style = {"color": INK if name == "real" else f"C{i - 1}", "ls": DASHES[i % len(DASHES)], "lw": 1.6}
        for row in range(3):
            left.plot(x[row].numpy() + 1.1 * (2 - row), **style)
        power = torch.fft.rfft(x - x.mean(1, keepdim=True)).abs().square().mean(0)[1:]
        middle.semilogy(np.arange(1, len(power) + 1), power.numpy(), label=name, **style)
        right.plot(autocorrelation(x), **style)
    left.set(title="three conditions, shifted", xlabel="hour of the window", yticks=[])
    middle.set(title="mean power", xlabel=f"cycles in {real.shape[1]} hours")
    right.set(title="autocorrelation", xlabel="hours apart")
    middle.legend(loc="upper right", fontsize=8)
    return figure


def autocorrelation(x: Tensor) -> np.ndarray:
    """Of all windows (n, l) about their own means, for 0 to l / 2 hours apart."""
    x = x - x.mean(1, keepdim=True)
    lags = range(x.shape[1] // 2 + 1)
    found = [float((x[:, : x.shape[1] - lag] * x[:, lag:]).mean()) for lag in lags]
    return np.array(found) / found[0]


def augmentation(rows: Sequence[Measurement], few: Sequence[int], arms: Sequence[str]) -> Figure:
    """Forecast error against the number of real windows, alone and with made ones; two references as lines."""
    figure, ax = new_figure(width=7.8, height=4.2)
    for i, name in enumerate((ALONE, *arms, MORE)):
        found = np.array([values(rows, "NRMSE", name, few_windows(n)) for n in few])
        label = "real windows alone" if name == ALONE else f"+ {name}" if name == MORE else f"+ 300 of {name}"
        ax.plot(few, found.mean(1), MARKERS[i], ls=DASHES[i % len(DASHES)], color=f"C{i}", lw=1.8, label=label)
    naive = float(values(rows, "NRMSE", NAIVE, WINDOWS).mean())
    ax.axhline(naive, color=INK, lw=1, ls=":")
    ax.text(few[0], naive, "as yesterday", va="bottom", fontsize=9)
    ax.set_xscale("log")
    ax.set_xticks(few, [str(n) for n in few])
    ax.minorticks_off()
    ax.set(xlabel="real windows", ylabel="forecast error, % of the mean")
    ax.legend(loc="upper right")
    return figure


def indicative(rows: Sequence[Measurement], arms: Sequence[str]) -> Figure:
    """Each arm and seed: Context-FID against the error of a forecaster trained on its windows alone."""
    figure, ax = new_figure(width=7.2, height=3.8)
    for i, arm in enumerate(arms):
        score, error = (values(rows, metric, arm, WINDOWS) for metric in ("Context-FID", "NRMSE"))
        ax.plot(score, error, MARKERS[i % len(MARKERS)], color=f"C{i}", alpha=0.75, label=arm, ls="")
    real = float(values(rows, "NRMSE", REAL, WINDOWS).mean())
    ax.axhline(real, color=INK, lw=1, ls=":")
    ax.text(
        0.99, real, "trained on real windows", transform=ax.get_yaxis_transform(), ha="right", va="bottom", fontsize=9
    )
    low, high = ax.get_xlim()
    ticks = [t for t in range(-3, 3) if low <= t <= high]
    ax.set_xticks(ticks, [f"{10.0**t:g}" for t in ticks])
    ax.set(xlabel="Context-FID", ylabel="forecast error, % of the mean")
    ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure


def agreement(rows: Sequence[Measurement], arms: Sequence[str]) -> dict[str, float]:
    """Rank correlation of Context-FID and that error: over all trained networks of these arms, and within each."""
    pairs = {arm: [values(rows, metric, arm, WINDOWS) for metric in ("Context-FID", "NRMSE")] for arm in arms}
    together = [np.concatenate(side) for side in zip(*pairs.values(), strict=True)]
    return {name: float(spearmanr(*pair)[0]) for name, pair in {"all networks": together, **pairs}.items()}


def side_by_side(runs: Mapping[str, Sequence[Measurement]], arms: Sequence[str]) -> list[list[str]]:
    """A row an arm: the geometric mean of Context-FID in each run, and what the arm costs there; blank where absent."""
    rows = []
    for arm in arms:
        cells = []
        for run in runs.values():
            score, spent = ([m.value for m in run if (m.metric, m.method) == (metric, arm)] for metric in COLUMNS)
            cells += [f"{10 ** np.mean(score):.2g}" if score else "", f"{np.mean(spent):.0f}" if spent else ""]
        rows.append([arm, *cells])
    return rows


def panel(windows: Windows, game: Game, part: str, sensor: str, begins: int, noise: int, alpha: float) -> Figure:
    """The picture of the control panel: three made windows over where nine in ten real ones of this hour lie."""
    figure, ax = new_figure(height=3.4)
    batch = alike(windows, part, windows.names.index(sensor), begins)
    low, middle, high = (batch.x.quantile(q, dim=0).numpy() for q in (0.05, 0.5, 0.95))
    hours = np.arange(begins, begins + windows.length)
    ax.fill_between(hours, low, high, color="C0", alpha=0.2, lw=0, label="nine in ten real windows")
    ax.plot(hours, middle, color="C0", ls=":", lw=2, label="their median")
    for i, seed in enumerate(range(3 * noise, 3 * noise + 3)):
        one = windows.at(windows.starts[part].new_tensor([[int(batch.series[0]), int(batch.hours[0])]]))
        z = game.generator.noise(1, windows.length, torch.Generator().manual_seed(seed))
        made = asked(game.generator, one, z, windows.length, alpha)
        ax.plot(hours, made[0].numpy(), color="C1", lw=1.4, label=None if i else "made, three draws")
    ax.set_xticks(range(6 * (begins // 6 + 1), begins + windows.length, 6))
    ax.set_xticklabels([f"{int(h) % 24} h" for h in ax.get_xticks()])
    ax.set(title=f"{sensor}, from {begins} h on a working day", ylabel="scaled count", ylim=(-0.1, 1.2))
    ax.legend(loc="upper left", fontsize=8)
    return figure


def alike(windows: Windows, part: str, series: int, begins: int) -> Batch:
    """All windows of a series in a part that begin at this hour on Monday to Thursday."""
    starts = windows.starts[part]
    at = windows.week[starts[:, 1]]
    return windows.at(starts[(starts[:, 0] == series) & (at % 24 == begins) & (at < 96)])
