"""Figures of the lesson: measurements or tensors in, a matplotlib figure out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from sklearn.metrics import roc_curve
from torch import Tensor

from companion.diva.experiment import CLEAN_POOL, NOISY_POOL, STEPS
from companion.diva.method import derivative, fit, reject, tune, weights
from companion.diva.speed import exponent
from companion.diva.tasks import Task
from companion.lab.evidence import Measurement, values
from companion.lab.plots import INK, label_right, new_figure, seed_lines, seed_rows

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAMES = {
    "diva": "DIVA",
    "loo error": "leave-one-out error",
    "training error": "training error",
    "clean derivative": "derivative on clean data",
    "random": "random",
    "flipped": "DIVA, sign flipped",
    "shuffled": "DIVA, shuffled",
    "without residuals": "DIVA, no residual",
    "oracle": "oracle",
    "none": "nothing",
}


def gains(rows: Sequence[Measurement], setting: str, arms: Sequence[str]) -> Figure:
    """Left, AUC of each score as a detector of wrong labels; right, points of accuracy gained by throwing out by it."""
    figure, axes = new_figure(columns=2, width=8.4, height=0.36 * len(arms) + 1.2, sharey=True)
    nothing = values(rows, "accuracy", "reject: none", setting)
    found = {NAMES[arm]: values(rows, "AUC", arm, setting) for arm in arms}
    gained = {NAMES[arm]: values(rows, "accuracy", f"reject: {arm}", setting) - nothing for arm in arms}
    for ax, dots in zip(axes, (found, gained), strict=True):
        seed_rows(ax, dots, decimals=1)
    axes[0].set(xlabel="finds wrong labels: AUC, %")
    axes[1].axvline(0, color=INK, lw=1)
    axes[1].set(xlabel="accuracy gained by throwing out, points")
    return figure


def toy(x: Tensor, y: Tensor, left_out: int, lam: float) -> Figure:
    """A line through points x (n,), y (n,): with all of them, and without one; both residuals of that one."""
    figure, ax = new_figure(width=6.4, height=3.4)
    z = torch.stack([x, torch.ones_like(x)], dim=1)
    alpha = torch.ones_like(x)
    grid = torch.stack([torch.linspace(float(x.min()) - 0.3, float(x.max()) + 0.3, 2), torch.ones(2)], dim=1).double()
    ax.plot(x, y, "o", color="C0", ms=8)
    for name, weight, dash in (("with it", 1.0, "-"), ("without it", 0.0, "--")):
        ridge = fit(z, y.unsqueeze(1), alpha.index_fill(0, torch.tensor([left_out]), weight), lam)
        line = (grid @ weights(ridge)).flatten()
        at = float((z[left_out] @ weights(ridge)).item())
        ax.plot(grid[:, 0], line, dash, color="C1", lw=2)
        end = (float(grid[1, 0]), float(line[1]))
        ax.annotate(name, end, (6, 0), textcoords="offset points", va="center", color=INK, annotation_clip=False)
        shift = -0.03 if weight else 0.03
        ax.vlines(float(x[left_out]) + shift, at, float(y[left_out]), color=INK, lw=1.5, ls=dash)
    ax.plot(x[left_out], y[left_out], "o", ms=15, mfc="none", mec=INK)
    ax.set(xlabel="x", ylabel="y")
    return figure


def histogram_and_roc(task: Task, found: Mapping[str, Tensor]) -> Figure:
    """Left, the derivative of right and of wrong labels; right, ROC curves of each score (N,) in `found`."""
    figure, (left, right) = new_figure(columns=2, width=8.6, height=3.6)
    gradient, wrong = found["diva"].cpu().numpy(), task.wrong
    low, high = (float(np.quantile(gradient, q)) for q in (0.005, 0.995))
    edges = np.linspace(low, high, 40)
    for mask, name, colour, hatch in ((~wrong, "right label", "C0", ""), (wrong, "wrong label", "C1", "///")):
        height, _ = np.histogram(gradient[mask], edges)
        left.stairs(height, edges, fill=True, color=colour, alpha=0.45, hatch=hatch, label=name)
    left.axvline(0, color=INK, lw=1)
    left.set(xlabel="derivative of the leave-one-out loss", ylabel="examples")
    left.legend(loc="upper right")
    for i, (name, harm) in enumerate(found.items()):
        false, true, _ = roc_curve(wrong, harm.cpu().numpy())
        right.plot(100 * false, 100 * true, ("-", "--", "-.", ":")[i % 4], color=f"C{i}", lw=2, label=NAMES[name])
    right.set(xlabel="right labels flagged, %", ylabel="wrong labels flagged, %", xlim=(-2, 60))
    right.legend(loc="lower right")
    return figure


def gallery(images: np.ndarray, task: Task, gradient: Tensor, count: int = 12) -> Figure:
    """The most harmful digits above, the most helpful below, each with its given label, and the true one if it lies."""
    order = gradient.argsort().cpu().numpy()
    picked = [*order[::-1][:count], *order[:count]]
    figure, axes = new_figure(count // 2, height=5.4, rows=4)
    for ax, i in zip(axes.flat, picked, strict=True):
        ax.imshow(images[task.index[i]], cmap="gray_r")
        ax.set_title(f"{task.given[i]} ({task.true[i]})" if task.wrong[i] else f"{task.given[i]}", fontsize=9)
        ax.axis("off")
    for row, words in ((0, "most harmful"), (2, "most helpful")):
        axes[row, 0].text(-0.35, -0.15, words, transform=axes[row, 0].transAxes, rotation=90, va="center", ha="center")
    return figure


def extension(rows: Sequence[Measurement], added: Sequence[int], arms: Sequence[str]) -> Figure:
    """Accuracy against the number taken from the pool, for a pool with wrong labels and for a clean one."""
    figure, axes = new_figure(columns=2, width=9.6, height=4.0, sharey=True)
    for ax, pool in zip(axes, (NOISY_POOL, CLEAN_POOL), strict=True):
        lines = {
            NAMES[arm]: np.array(
                [values(rows, "accuracy", f"extend: {arm}", f"{pool}, {count} added") for count in added]
            ).T
            for arm in arms
        }
        seed_lines(ax, added, {name: line.mean(0, keepdims=True) for name, line in lines.items()})
        whole = float(values(rows, "accuracy", "extend: whole pool", pool).mean())
        ax.axhline(whole, color=INK, lw=1, ls=":")
        ax.text(0.02, whole + 0.1, "the whole pool", transform=ax.get_yaxis_transform(), fontsize=9)
        ax.set(xlabel="examples added to the core", title=pool)
    axes[0].set_ylabel("accuracy, %")
    return figure


def steps(rows: Sequence[Measurement], settings: Sequence[str]) -> Figure:
    """What a step of re-weighting changes: the leave-one-out loss (per cent), and accuracy (points)."""
    figure, axes = new_figure(columns=2, width=9.4, height=3.8)
    for ax, metric in zip(axes, ("loo loss", "accuracy"), strict=True):
        ends = []
        for i, setting in enumerate(settings):
            found = np.array([values(rows, metric, f"step {step:g}", setting) for step in STEPS])
            change = found - found[0] if metric == "accuracy" else 100 * (found / found[0] - 1)
            mean, spread = change.mean(1), change.std(1, ddof=1) if found.shape[1] > 1 else 0 * change.mean(1)
            ax.plot(range(len(STEPS)), mean, "os^"[i], ls=("-", "--", "-.")[i], color=f"C{i}", lw=2)
            ax.fill_between(range(len(STEPS)), mean - spread, mean + spread, color=f"C{i}", alpha=0.12, lw=0)
            ends.append((float(mean[-1]), setting, INK))
        ax.axhline(0, color=INK, lw=1)
        label_right(ax, len(STEPS) - 1.0, ends)
        ax.set_xticks(range(len(STEPS)), [f"{step:g}" for step in STEPS])
        ax.set(xlabel="size of the step")
    axes[0].set_ylabel("change of the leave-one-out loss, %")
    axes[1].set_ylabel("change of test accuracy, points")
    return figure


def growth(rows: Sequence[Measurement], examples: Sequence[int], features: Sequence[int]) -> Figure:
    """Seconds of all derivatives against N and against m, both logarithmic, with the fitted power in the title."""
    figure, axes = new_figure(columns=2, width=8.4, height=3.4)
    n, m = examples[len(examples) // 2], features[len(features) // 2]
    for ax, sizes, fixed, letter in ((axes[0], examples, f"m = {m}", "N"), (axes[1], features, f"N = {n}", "m")):
        seconds = [float(values(rows, "seconds", fixed, str(size)).mean()) for size in sizes]
        ax.loglog(sizes, seconds, "o-", color="C0", lw=2)
        ax.set_xticks(sizes, [f"{size:,}" for size in sizes])
        ax.set_yticks(seconds, [f"{value:.2g}" for value in seconds])
        ax.minorticks_off()
        ax.set(xlabel=f"{letter}, with {fixed}", ylabel="CPU seconds")
        ax.set_title(f"grows like {letter} to the power {exponent(sizes, seconds):.1f}")
    return figure


def threshold(noisy: Mapping[float, Task], noise: float, penalty: str, epsilon: float) -> Figure:
    """The picture of the control panel: the derivative at this noise, penalty and threshold, and what it leads to."""
    task = noisy[noise]
    ones = torch.ones_like(task.z[:, 0])
    penalties = [1e-3, 1e-2, 0.1, 0.3, 1.0, 3.0, 10.0]
    lam = tune(task.z, task.y, ones, ones, penalties) if penalty == "by leave-one-out" else float(penalty)
    gradient = derivative(fit(task.z, task.y, ones, lam), ones)
    scaled = gradient / gradient.abs().mean()
    out = reject(scaled, epsilon)
    kept = (~out).double()
    before, after = (_accuracy(task, alpha, lam) for alpha in (ones, kept))
    figure, ax = new_figure(height=3.4)
    edges = np.linspace(-4, 4, 41)
    for mask, name, colour, hatch in (
        (~task.wrong, "right label", "C0", ""),
        (task.wrong, "wrong label", "C1", "///"),
    ):
        height, _ = np.histogram(scaled.numpy()[mask].clip(-4, 4), edges)
        ax.stairs(height, edges, fill=True, color=colour, alpha=0.45, hatch=hatch, label=name)
    ax.axvline(epsilon, color=INK, lw=2)
    caught = int((out.numpy() & task.wrong).sum())
    ax.set_title(
        f"lambda {lam:g}: {int(out.sum())} go, {caught} of {int(task.wrong.sum())} wrong labels among them;\n"
        f"accuracy {before:.1f} % before, {after:.1f} % after"
    )
    ax.set(xlabel="derivative, in units of its mean size", ylabel="examples")
    ax.legend(loc="upper left")
    return figure


def _accuracy(task: Task, alpha: Tensor, lam: float) -> float:
    scores = task.z_test @ weights(fit(task.z, task.y, alpha, lam))
    return float((scores.argmax(1).numpy() == task.test).mean() * 100)
