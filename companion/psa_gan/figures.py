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
from companion.psa_gan.data import Windows
from companion.psa_gan.experiment import ALONE, MORE, NAIVE, REAL, WINDOWS, few_windows
from companion.psa_gan.method import GAN, Batch
from companion.psa_gan.training import ALPHAS, Snapshots, generate

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS = ("Context-FID", "CPU seconds")
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def ranking(rows: Sequence[Measurement], methods: Sequence[str], ladder: Mapping[str, float]) -> Figure:
    """Context-FID by method on a logarithmic axis, one dot per seed; below, the scores of corrupted real windows."""
    height = 0.42 * (len(methods) + 1 + len(ladder)) + 1.0
    figure, (top, low) = new_figure(
        rows=2, width=7.6, height=height, sharex=True, height_ratios=(len(methods) + 1, len(ladder))
    )
    _log_rows(top, {name: values(rows, "Context-FID", name, WINDOWS) for name in (REAL, *methods)})
    _log_rows(low, {name: np.log10([score]) for name, score in sorted(ladder.items(), key=lambda pair: pair[1])})
    top.set_title("generated windows: one dot per seed, bar and number for the mean")
    low.set_title("real windows, corrupted")
    low.set(xlabel="Context-FID (smaller is better)")
    ticks = np.arange(-3, 2)
    low.set_xticks(ticks, [f"{10.0**t:g}" for t in ticks])
    low.set_xlim(-2.9, 1.2)
    return figure


def _log_rows(ax: Axes, rows: Mapping[str, np.ndarray]) -> None:
    """One row per name: a dot per seed at its logarithm, a bar at the mean, and the mean as a number."""
    for height, found in enumerate(reversed(list(rows.values()))):
        mean = float(np.mean(found))
        ax.plot(found, [height] * len(found), "o", color="C0", alpha=0.45)
        ax.vlines(mean, height - 0.3, height + 0.3, color="C1", lw=3)
        ax.annotate(f"{10**mean:.2g}", (1.0, height), (-4, 0), xycoords=("axes fraction", "data"),
                    textcoords="offset points", ha="right", va="center", fontsize=9)  # fmt: skip
    ax.set_yticks(range(len(rows)), list(rows)[::-1])
    ax.set_ylim(-0.6, len(rows) - 0.4)
    ax.grid(axis="y", visible=False)


def example_week(windows: Windows, week: int, sensors: Sequence[int]) -> Figure:
    """A week of some sensors, scaled, from the panel's hour `week` on, each labeled at its right end."""
    figure, ax = new_figure(width=8.2, height=3.4)
    ends = []
    for i, sensor in enumerate(sensors):
        counts = windows.values[sensor, week : week + 168].numpy()
        ax.plot(counts, DASHES[i % len(DASHES)], lw=1.6, color=f"C{i}")
        ends.append((float(counts[-1]), windows.names[sensor], INK))
    ax.set_xticks(range(12, 168, 24), [DAYS[int(windows.week[week + h]) // 24] for h in range(12, 168, 24)])
    ax.set(ylabel="root of the count, scaled", ylim=(0, 1.15))
    label_right(ax, 167.0, ends)
    return figure


def levels(shots: Snapshots) -> Figure:
    """One column per level, one row per condition: generated window from the same noise, and real window, pooled."""
    count = len(shots.z)
    figure, axes = new_figure(
        len(shots.levels), width=8.4, height=1.5 * count + 0.7, rows=count, sharex=True, sharey=True
    )
    hours = shots.batch.x.shape[1]
    for k, (real, generated) in enumerate(shots.levels):
        width = hours // real.shape[1]
        for row in range(count):
            ax = axes[row, k]
            for x, style, name in (
                (real, {"color": INK, "ls": ":"}, "real"),
                (generated, {"color": "C0"}, "generated"),
            ):
                ax.stairs(
                    x[row].numpy(), np.arange(real.shape[1] + 1) * width, baseline=None, lw=1.8, label=name, **style
                )
        axes[0, k].set_title(f"{real.shape[1]} numbers")
        axes[-1, k].set_xlabel("hour of the window")
    axes[0, 0].set_ylim(-0.15, 1.25)
    axes[0, 0].legend(loc="upper left", fontsize=8, ncols=2)
    axes[count // 2, 0].set_ylabel("scaled count")
    return figure


def fade_in(shots: Snapshots, row: int = 0) -> Figure:
    """The last level fades in: left with a skip layer initialized as the identity, right with a random one."""
    figure, axes = new_figure(columns=2, width=8.4, height=3.2, sharey=True)
    for ax, (name, outputs) in zip(axes, shots.fades.items(), strict=True):
        ax.plot(shots.before[row].numpy(), color=INK, lw=4, alpha=0.25, label="before")
        for i, (alpha, generated) in enumerate(zip(ALPHAS, outputs, strict=True)):
            ax.plot(generated[row].numpy(), DASHES[i], color=f"C{i}", lw=1.8, label=f"alpha = {alpha:g}")
        ax.set(title=name, xlabel="hour of the window")
    axes[0].set_ylabel("scaled count")
    axes[1].legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure


def compare(real: Tensor, generated: Mapping[str, Tensor]) -> Figure:
    """Three windows, mean power by frequency, and autocorrelation of real and generated windows (n, l)."""
    figure, (left, center, right) = new_figure(columns=3, width=10.2, height=3.6)
    for i, (name, x) in enumerate({"real": real, **generated}.items()):
        style = {"color": INK if name == "real" else f"C{i - 1}", "ls": DASHES[i % len(DASHES)], "lw": 1.6}
        for row in range(3):
            left.plot(x[row].numpy() + 1.1 * (2 - row), **style)
        power = torch.fft.rfft(x - x.mean(1, keepdim=True)).abs().square().mean(0)[1:]
        center.semilogy(np.arange(1, len(power) + 1), power.numpy(), label=name, **style)
        right.plot(autocorrelation(x), **style)
    left.set(title="three conditions, shifted", xlabel="hour of the window", yticks=[])
    center.set(title="mean power", xlabel=f"cycles in {real.shape[1]} hours")
    right.set(title="autocorrelation", xlabel="hours apart")
    center.legend(loc="upper right", fontsize=8)
    return figure


def autocorrelation(x: Tensor) -> np.ndarray:
    """Of all windows (n, l) about their own means, for 0 to l / 2 hours apart."""
    x = x - x.mean(1, keepdim=True)
    lags = range(x.shape[1] // 2 + 1)
    found = [float((x[:, : x.shape[1] - lag] * x[:, lag:]).mean()) for lag in lags]
    return np.array(found) / found[0]


def augmentation(rows: Sequence[Measurement], few: Sequence[int], methods: Sequence[str]) -> Figure:
    """Forecast error against the number of real windows, alone and with generated ones; the naive error as a line."""
    figure, ax = new_figure(width=7.8, height=4.2)
    for i, name in enumerate((ALONE, *methods, MORE)):
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


def fid_against_error(rows: Sequence[Measurement], methods: Sequence[str]) -> Figure:
    """For each method and seed, Context-FID against the error of a forecaster trained on its windows only."""
    figure, ax = new_figure(width=7.2, height=3.8)
    for i, name in enumerate(methods):
        score, error = (values(rows, metric, name, WINDOWS) for metric in ("Context-FID", "NRMSE"))
        ax.plot(score, error, MARKERS[i % len(MARKERS)], color=f"C{i}", alpha=0.75, label=name, ls="")
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


def rank_correlations(rows: Sequence[Measurement], methods: Sequence[str]) -> dict[str, float]:
    """Rank correlation of Context-FID and that error: over all trained networks of the methods, and within each."""
    pairs = {name: [values(rows, metric, name, WINDOWS) for metric in ("Context-FID", "NRMSE")] for name in methods}
    together = [np.concatenate(side) for side in zip(*pairs.values(), strict=True)]
    return {name: float(spearmanr(*pair)[0]) for name, pair in {"all networks": together, **pairs}.items()}


def side_by_side(runs: Mapping[str, Sequence[Measurement]], methods: Sequence[str]) -> list[list[str]]:
    """One row per method: geometric mean of Context-FID and CPU seconds in each run; blank where it was not run."""
    rows = []
    for name in methods:
        cells = []
        for run in runs.values():
            score, seconds = ([m.value for m in run if (m.metric, m.method) == (metric, name)] for metric in COLUMNS)
            cells += [f"{10 ** np.mean(score):.2g}" if score else "", f"{np.mean(seconds):.0f}" if seconds else ""]
        rows.append([name, *cells])
    return rows


def sampled_windows(
    windows: Windows, gan: GAN, part: str, sensor: str, begins: int, noise: int, alpha: float
) -> Figure:
    """Three generated windows over the range of 90 % of the real windows that begin at this hour."""
    figure, ax = new_figure(height=3.4)
    batch = similar_windows(windows, part, windows.names.index(sensor), begins)
    low, median, high = (batch.x.quantile(q, dim=0).numpy() for q in (0.05, 0.5, 0.95))
    hours = np.arange(begins, begins + windows.length)
    ax.fill_between(hours, low, high, color="C0", alpha=0.2, lw=0, label="90 % of the real windows")
    ax.plot(hours, median, color="C0", ls=":", lw=2, label="their median")
    for i, seed in enumerate(range(3 * noise, 3 * noise + 3)):
        one = windows.at(windows.starts[part].new_tensor([[int(batch.series[0]), int(batch.hours[0])]]))
        z = gan.generator.noise(1, windows.length, torch.Generator().manual_seed(seed))
        generated = generate(gan.generator, one, z, windows.length, alpha)
        ax.plot(hours, generated[0].numpy(), color="C1", lw=1.4, label=None if i else "generated, three draws")
    ax.set_xticks(range(6 * (begins // 6 + 1), begins + windows.length, 6))
    ax.set_xticklabels([f"{int(h) % 24} h" for h in ax.get_xticks()])
    ax.set(title=f"{sensor}, from {begins} h on a working day", ylabel="scaled count", ylim=(-0.1, 1.2))
    ax.legend(loc="upper left", fontsize=8)
    return figure


def similar_windows(windows: Windows, part: str, series: int, begins: int) -> Batch:
    """All windows of a series in a part that begin at this hour on Monday to Thursday."""
    starts = windows.starts[part]
    at = windows.week[starts[:, 1]]
    return windows.at(starts[(starts[:, 0] == series) & (at % 24 == begins) & (at < 96)])
