"""Figures of the lesson: measurements or tensors in, a matplotlib figure out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from sklearn.metrics import roc_curve
from torch import Tensor

from companion.diva import method
from companion.diva.data import ExperimentData
from companion.diva.evaluation import DERIVATIVE, accuracy, exponent
from companion.diva.experiment import CLEAN_POOL, NOISY_POOL, Config
from companion.diva.training import ALL_EXAMPLES, DIVA, STEP_SIZES, STEPS, WHOLE_POOL
from companion.lab.evidence import Measurement, values
from companion.lab.plots import INK, label_right, new_figure, seed_lines, seed_rows

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BY_LEAVE_ONE_OUT = "by leave-one-out"


def gains(measurements: Sequence[Measurement], setting: str, methods: Sequence[str]) -> Figure:
    """Left, AUC of each score as a detector of wrong labels; right, the gain in accuracy after removal by it."""
    figure, (left, right) = new_figure(columns=2, width=8.4, height=0.36 * len(methods) + 1.2, sharey=True)
    before = values(measurements, "accuracy", ALL_EXAMPLES, f"Reject, {setting}")
    after = {name: values(measurements, "accuracy", name, f"Reject, {setting}") for name in methods}
    seed_rows(left, {name: values(measurements, "AUC", name, setting) for name in methods}, decimals=1)
    seed_rows(right, {name: accuracies - before for name, accuracies in after.items()}, decimals=1)
    left.set(xlabel="detection of wrong labels: AUC, %")
    right.axvline(0, color=INK, lw=1)
    right.set(xlabel="gain in accuracy after removal, points")
    return figure


def toy(x: Tensor, y: Tensor, left_out: int, lam: float) -> Figure:
    """A line through points x (n,), y (n,): with all of them, and without one; both residuals of that one."""
    figure, ax = new_figure(width=6.4, height=3.4)
    z = torch.stack([x, torch.ones_like(x)], dim=1)
    alpha = torch.ones_like(x)
    grid = torch.stack([torch.linspace(float(x.min()) - 0.3, float(x.max()) + 0.3, 2), torch.ones(2)], dim=1).double()
    ax.plot(x, y, "o", color="C0", ms=8)
    for name, weight, dash in (("with it", 1.0, "-"), ("without it", 0.0, "--")):
        ridge = method.fit(z, y.unsqueeze(1), alpha.index_fill(0, torch.tensor([left_out]), weight), lam)
        w = method.model_weights(ridge)
        line = (grid @ w).flatten()
        prediction = float((z[left_out] @ w).item())
        ax.plot(grid[:, 0], line, dash, color="C1", lw=2)
        end = (float(grid[1, 0]), float(line[1]))
        ax.annotate(name, end, (6, 0), textcoords="offset points", va="center", color=INK, annotation_clip=False)
        shift = -0.03 if weight else 0.03
        ax.vlines(float(x[left_out]) + shift, prediction, float(y[left_out]), color=INK, lw=1.5, ls=dash)
    ax.plot(x[left_out], y[left_out], "o", ms=15, mfc="none", mec=INK)
    ax.set(xlabel="x", ylabel="y")
    return figure


def histogram_and_roc(data: ExperimentData, scores: Mapping[str, Tensor]) -> Figure:
    """Left, the derivative of correct and of wrong labels; right, the ROC curve of each method's score (N,)."""
    figure, (left, right) = new_figure(columns=2, width=8.6, height=3.6)
    derivative = scores[DIVA].cpu().numpy()
    low, high = (float(np.quantile(derivative, q)) for q in (0.005, 0.995))
    _label_histogram(left, derivative, data.wrong, np.linspace(low, high, 40))
    left.axvline(0, color=INK, lw=1)
    left.set(xlabel="derivative of the leave-one-out loss", ylabel="examples")
    left.legend(loc="upper right")
    for i, (name, score) in enumerate(scores.items()):
        false, true, _ = roc_curve(data.wrong, score.cpu().numpy())
        right.plot(100 * false, 100 * true, ("-", "--", "-.", ":")[i % 4], color=f"C{i}", lw=2, label=name)
    right.set(xlabel="correct labels flagged, %", ylabel="wrong labels flagged, %", xlim=(-2, 60))
    right.legend(loc="lower right")
    return figure


def gallery(images: np.ndarray, data: ExperimentData, derivative: Tensor, count: int = 12) -> Figure:
    """The most harmful digits above, the most helpful below, each with its label, and the true one if that is wrong."""
    order = derivative.argsort().cpu().numpy()
    shown = [*order[::-1][:count], *order[:count]]
    figure, axes = new_figure(count // 2, height=5.4, rows=4)
    for ax, i in zip(axes.flat, shown, strict=True):
        ax.imshow(images[data.rows[i]], cmap="gray_r")
        title = f"{data.labels[i]} ({data.true_labels[i]})" if data.wrong[i] else f"{data.labels[i]}"
        ax.set_title(title, fontsize=9)
        ax.axis("off")
    for row, words in ((0, "most harmful"), (2, "most helpful")):
        axes[row, 0].text(-0.35, -0.15, words, transform=axes[row, 0].transAxes, rotation=90, va="center", ha="center")
    return figure


def extension(measurements: Sequence[Measurement], added: Sequence[int], methods: Sequence[str]) -> Figure:
    """Accuracy against the number of added candidates, for a pool with wrong labels and for a clean one."""
    figure, axes = new_figure(columns=2, width=9.6, height=4.0, sharey=True)
    for ax, pool in zip(axes, (NOISY_POOL, CLEAN_POOL), strict=True):
        lines = {
            name: [values(measurements, "accuracy", name, f"{pool}, {count} added").mean() for count in added]
            for name in methods
        }
        seed_lines(ax, added, {name: [means] for name, means in lines.items()})
        whole = float(values(measurements, "accuracy", WHOLE_POOL, pool).mean())
        ax.axhline(whole, color=INK, lw=1, ls=":")
        ax.text(0.02, whole + 0.1, "the whole pool", transform=ax.get_yaxis_transform(), fontsize=9)
        ax.set(xlabel="candidates added to the seed set", title=pool)
    axes[0].set_ylabel("accuracy, %")
    return figure


def steps(measurements: Sequence[Measurement], settings: Sequence[str]) -> Figure:
    """Changes by a Reweight step of each size: the leave-one-out loss in percent, and accuracy in points."""
    figure, axes = new_figure(columns=2, width=9.4, height=3.8)
    positions = range(len(STEP_SIZES))
    for ax, metric in zip(axes, ("leave-one-out loss", "accuracy"), strict=True):
        ends = []
        for i, setting in enumerate(settings):
            place = f"Reweight, {setting}"
            results = np.array([values(measurements, metric, STEPS[size], place) for size in STEP_SIZES])
            change = results - results[0] if metric == "accuracy" else 100 * (results / results[0] - 1)
            mean, spread = change.mean(1), change.std(1, ddof=1) if results.shape[1] > 1 else 0 * change.mean(1)
            ax.plot(positions, mean, "os^"[i], ls=("-", "--", "-.")[i], color=f"C{i}", lw=2)
            ax.fill_between(positions, mean - spread, mean + spread, color=f"C{i}", alpha=0.12, lw=0)
            ends.append((float(mean[-1]), setting, INK))
        ax.axhline(0, color=INK, lw=1)
        label_right(ax, len(STEP_SIZES) - 1.0, ends)
        ax.set_xticks(positions, [f"{size:g}" for size in STEP_SIZES])
        ax.set(xlabel="step size")
    axes[0].set_ylabel("change of the leave-one-out loss, %")
    axes[1].set_ylabel("change of test accuracy, points")
    return figure


def growth(measurements: Sequence[Measurement], config: Config) -> Figure:
    """CPU seconds of all derivatives against N and against m, both logarithmic, with the fitted power in the title."""
    figure, axes = new_figure(columns=2, width=8.4, height=3.4)
    n, m = config.fixed_sizes
    panels = (("N", config.runtime_examples, f"m = {m}"), ("m", config.runtime_features, f"N = {n}"))
    for ax, (letter, sizes, fixed) in zip(axes, panels, strict=True):
        label = f"{DERIVATIVE}, {fixed}"
        seconds = [float(values(measurements, "CPU seconds", label, f"{letter} = {size}").mean()) for size in sizes]
        ax.loglog(sizes, seconds, "o-", color="C0", lw=2)
        ax.set_xticks(sizes, [f"{size:,}" for size in sizes])
        ax.set_yticks(seconds, [f"{value:.2g}" for value in seconds])
        ax.minorticks_off()
        ax.set(xlabel=f"{letter}, with {fixed}", ylabel="CPU seconds")
        ax.set_title(f"grows as {letter} to the power {exponent(sizes, seconds):.1f}")
    return figure


def rejection(data: Mapping[float, ExperimentData], noise: float, strength: str, threshold: float) -> Figure:
    """Interactive demo: the derivative at this noise and regularization strength, and what the threshold removes."""
    task = data[noise]
    ones = torch.ones_like(task.z[:, 0])
    lambdas = [1e-3, 1e-2, 0.1, 0.3, 1.0, 3.0, 10.0]
    by_loo = strength == BY_LEAVE_ONE_OUT
    lam = method.select_lambda(task.z, task.y, ones, ones, lambdas) if by_loo else float(strength)
    ridge = method.fit(task.z, task.y, ones, lam)
    derivative = method.dataset_derivative(ridge, ones)
    scaled = derivative / derivative.abs().mean()
    removed = method.reject(scaled, threshold)
    after = method.fit(task.z, task.y, (~removed).double(), lam)
    figure, ax = new_figure(height=3.4)
    _label_histogram(ax, scaled.numpy().clip(-4, 4), task.wrong, np.linspace(-4, 4, 41))
    ax.axvline(threshold, color=INK, lw=2)
    caught = int((removed.numpy() & task.wrong).sum())
    accuracies = [accuracy(each, task.z_test, task.test_labels) for each in (ridge, after)]
    ax.set_title(
        f"λ = {lam:g}: {int(removed.sum())} removed, {caught} of {int(task.wrong.sum())} wrong labels among them;\n"
        f"accuracy {accuracies[0]:.1f} % before, {accuracies[1]:.1f} % after"
    )
    ax.set(xlabel="derivative, in units of its mean absolute value", ylabel="examples")
    ax.legend(loc="upper left")
    return figure


def _label_histogram(ax: Axes, derivative: np.ndarray, wrong: np.ndarray, edges: np.ndarray) -> None:
    """Two histograms over each other: of correct and of wrong labels."""
    for mask, name, color, hatch in ((~wrong, "correct label", "C0", ""), (wrong, "wrong label", "C1", "///")):
        height, _ = np.histogram(derivative[mask], edges)
        ax.stairs(height, edges, fill=True, color=color, alpha=0.45, hatch=hatch, label=name)
