"""Figures of the lesson: measurements or tensors in, a matplotlib figure out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from companion.deepaa import method
from companion.deepaa.augmentations import Bank
from companion.deepaa.evaluation import FIRST, SECOND
from companion.deepaa.experiment import TEST
from companion.deepaa.training import DEEPAA, NO_STD, SearchResult
from companion.lab.evidence import Measurement, values
from companion.lab.plots import INK, label_right, new_figure, seed_lines, seed_rows

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# The second released CIFAR policy: percent of a layer, operations summed over magnitudes, the largest ones alone.
RELEASED = {
    1: {"Solarize": 15, "Color": 13, "TranslateY": 11, "TranslateX": 10},
    2: {"RandCutout": 99},
    3: {"RandCrop": 68, "RandCutout": 31},
    4: {"RandCrop": 73, "RandFlip": 23},
    5: {"RandFlip": 78, "Identity": 22},
    6: {"Identity": 99},
}
SMALLEST = 0.003  # rewards are drawn on a scale that is linear up to here and logarithmic beyond


def accuracies(rows: Sequence[Measurement], methods: Sequence[str], least: float) -> Figure:
    """Accuracy of every method, one dot per seed; the axis begins at `least`."""
    figure, ax = new_figure(width=7.4, height=0.42 * len(methods) + 0.9)
    seed_rows(ax, {name: values(rows, "accuracy", name, TEST) for name in methods}, decimals=1)
    ax.set(xlabel="test accuracy, %", xlim=(least, None))
    return figure


def geometry(v: Tensor, gradients: Tensor, p: Tensor, names: Sequence[str], step: float) -> Figure:
    """In the plane: v (2,), candidates' gradients (M, 2), their mean g under p (M,), u; and g after one update of p."""
    figure, (left, right) = new_figure(columns=2, width=8.8, height=4.0, width_ratios=(3, 2))
    g = p @ gradients
    u = method.orthogonal_part(v, g)
    c = gradients @ u / (v.norm() * g.norm())
    after = (p.log() + step * c).softmax(0)
    moved = after @ gradients
    shown = {"v": (v, "C1", "-"), "g": (g, "C0", "-"), "u": (u, "C2", "--"), "g after a step": (moved, "C0", ":")}
    for name, (vector, color, dash) in shown.items():
        _arrow(left, vector, color, dash)
        below = name == "g"
        left.annotate(
            name, vector.tolist(), (6, -6 if below else 5), textcoords="offset points", color=INK, fontweight="bold"
        )
    for gradient, name in zip(gradients, names, strict=True):
        foot = (gradient @ u) / (u @ u) * u
        left.plot(*gradient.tolist(), "s", color=INK)
        left.annotate(name, gradient.tolist(), (7, 4), textcoords="offset points", color=INK)
        left.plot(*torch.stack([gradient, foot]).T.tolist(), ls=":", color="0.5", lw=1)
    line = torch.stack([-2 * u, 2.4 * u])
    left.plot(*line.T.tolist(), color="0.7", lw=0.8, zorder=0)
    left.set(xlim=(-2.1, 3.2), ylim=(-1.5, 2.5), aspect="equal")
    bars = np.arange(len(names))
    right.barh(bars + 0.2, p.tolist(), 0.36, color="C0", label="p")
    right.barh(bars - 0.2, after.tolist(), 0.36, color="C1", hatch="//", label="p after")
    right.set_yticks(bars, [f"{name}\nc = {float(x):+.2f}" for name, x in zip(names, c, strict=True)])
    right.set(xlabel="probability", xlim=(0, 1))
    right.legend(loc="upper right")
    return figure


def _arrow(ax: Axes, vector: Tensor, color: str, dash: str) -> None:
    look: dict[str, Any] = {
        "arrowstyle": "-|>",
        "color": color,
        "lw": 2,
        "linestyle": dash,
        "shrinkA": 0,
        "shrinkB": 0,
    }
    ax.annotate("", (float(vector[0]), float(vector[1])), (0, 0), arrowprops=look)


def candidate_sheet(bank: Bank, image: Tensor, layer: Tensor) -> Figure:
    """One image (C, S, S) under every candidate, one row per operation, with its percentage of a layer (M,).

    A thick frame marks what the layer chooses more often than a uniform draw would.
    """
    shown = bank(image.expand(len(bank), -1, -1, -1), torch.arange(len(bank)), torch.Generator().manual_seed(1))
    width = max(len(bank.rows(o)) for o in bank.operations)
    single = [o for o in bank.operations if len(bank.rows(o)) == 1]
    lines = [(o, bank.rows(o)) for o in bank.operations if o not in single]
    for i in range(0, len(single), width):
        part = single[i : i + width]
        lines.append((", ".join(part), [bank.rows(o)[0] for o in part]))
    half = (len(lines) + 1) // 2
    figure, axes = new_figure(2 * width + 1, width=8.6, height=0.95 * half, rows=half)
    for ax in axes.flat:
        ax.axis("off")
    for i, (name, rows) in enumerate(lines):
        beside = axes[i % half, (i // half) * (width + 1) :]
        for ax, n in zip(beside, rows, strict=False):
            _tile(ax, shown[n], 100 * float(layer[n]), 100 / len(bank))
        beside[0].set_title(name, fontsize=8, loc="left", pad=3).set_in_layout(False)
    return figure


def _tile(ax: Axes, image: Tensor, share: float, chance: float) -> None:
    ax.axis("on")
    ax.imshow(image.permute(1, 2, 0).squeeze(2).numpy(), cmap="gray_r", vmin=0, vmax=1)
    ax.set(xticks=[], yticks=[])
    ax.grid(visible=False)
    for spine in ax.spines.values():
        spine.set(visible=True, color="C0" if share > chance else "0.7", lw=3 if share > chance else 1)
    ax.set_xlabel(f"{share:.1f}", fontsize=8, labelpad=1)


def mean_and_std(bank: Bank, rewards: Tensor, named: Sequence[str]) -> Figure:
    """Each candidate's mean reward against its standard deviation, from rewards (L, M); r > 0 above the line."""
    figure, ax = new_figure(width=7.6, height=4.4)
    mean, std = rewards.double().mean(0).numpy(), rewards.double().std(0, correction=0).numpy()
    moves = std > SMALLEST
    ax.plot(std[moves], mean[moves], "o", color="C0", alpha=0.75)
    line = np.geomspace(SMALLEST, 2 * std.max(), 100)
    ax.plot(line, line, color=INK, lw=1.5)
    ax.axhline(0, color=INK, lw=0.6)
    ax.set_xscale("log")
    ax.set_yscale("symlog", linthresh=SMALLEST)
    high = float(2 * np.abs(mean).max())
    ax.set_ylim(min(-SMALLEST, 2 * float(mean.min())), high)
    middle = float(line[35])
    ax.annotate("mean = std", (middle, middle), (-8, 4), textcoords="offset points", ha="right", va="center")
    for name in named:
        n = [str(c) for c in bank.candidates].index(name)
        at = (float(std[n]), float(mean[n]))
        ax.plot(*at, "s", color="C1", ms=8)
        ax.annotate(name, at, (8, -7), textcoords="offset points", fontsize=9)
    ax.set(xlabel="standard deviation of the reward over draws", ylabel="mean of the reward")
    return figure


def progress(result: SearchResult) -> Figure:
    """Cosine and entropy at each step of each layer, and of a second layer searched without the standard deviation."""
    figure, axes = new_figure(columns=2, width=9.4, height=3.6)
    traces = result.layers[DEEPAA]
    lines = {"layer 1": (traces[0], "-", "C0"), "layer 2": (traces[-1], "--", "C1")}
    lines["layer 2, no std"] = (result.layers[NO_STD][-1], ":", "C2")
    for ax, name, label in zip(axes, ("cosines", "entropies"), ("cos(v, g)", "entropy, nats"), strict=True):
        ends, longest = [], 0
        for words, (trace, dash, color) in lines.items():
            seen = np.array(getattr(trace, name))
            if name == "cosines":
                seen = np.convolve(seen, np.ones(8) / 8, mode="valid")
            ax.plot(range(len(seen)), seen, dash, color=color, lw=2)
            ends.append((float(seen[-1]), words, INK))
            longest = max(longest, len(seen))
        label_right(ax, longest - 1.0, ends, gap=0.08)
        ax.set(xlabel="step", ylabel=label)
    axes[0].set_title("cosine (running mean of 8 steps)")
    return figure


def policies(rows: Sequence[Measurement], columns: Sequence[str]) -> Figure:
    """Percent of each layer by operation: the mean over seeds, beside the released CIFAR policy."""
    known = {row.method for row in rows if row.metric == "mass"}
    shares = [[values(rows, "mass", o, k).mean() if o in known else np.nan for k in (FIRST, SECOND)] for o in columns]
    found_here = np.array(shares)
    released = np.array([[float(RELEASED[k].get(o, 0)) for k in RELEASED] for o in columns])
    figure, axes = new_figure(columns=2, width=8.2, height=0.29 * len(columns) + 1.0, sharey=True, width_ratios=(2, 6))
    for ax, table, title in zip(
        axes, (found_here, released), ("digits, found here", "CIFAR, released (cifar_2)"), strict=True
    ):
        ax.imshow(np.nan_to_num(table), cmap="Blues", vmin=0, vmax=100, aspect="auto")
        for i, j in zip(*np.nonzero(np.nan_to_num(table) >= 1), strict=True):
            dark = table[i, j] > 55
            ax.text(j, i, f"{table[i, j]:.0f}", ha="center", va="center", color="white" if dark else INK, fontsize=8)
        ax.set_xticks(range(table.shape[1]), [str(k + 1) for k in range(table.shape[1])])
        ax.set(xlabel="layer", title=title)
        ax.grid(visible=False)
    axes[0].set_yticks(range(len(columns)), list(columns))
    return figure


def lengths(rows: Sequence[Measurement], epochs: Sequence[int], methods: Sequence[str]) -> Figure:
    """Accuracy against epochs for every method."""
    figure, ax = new_figure(width=7.8, height=4.0)
    lines = {name: np.array([values(rows, "accuracy", name, f"{n} epochs") for n in epochs]).T for name in methods}
    ax.set_xscale("log")
    ax.set_xticks(list(epochs), [str(n) for n in epochs])
    ax.minorticks_off()
    seed_lines(ax, list(epochs), lines, known=list(methods))
    ax.set(xlabel="epochs, the same for all methods", ylabel="test accuracy, %")
    return figure


# ---------------------------------------------------------------- interactive


def layer_by_hand(result: SearchResult, digit: int, crop: int, rotate: int, invert: int) -> Figure:
    """A layer set by hand: percent for crops, rotations and inversion, the rest identity; 16 samples and cos(v, g)."""
    bank, data = result.bank, result.search_data
    shares = {"RandCrop": crop, "Rotate": rotate, "Invert": invert}
    total = max(100, sum(shares.values()))
    p = torch.zeros(len(bank), dtype=torch.float64)
    for name, share in shares.items():
        p[bank.rows(name)] = share / total / len(bank.rows(name))
    p[0] = 1 - p.sum()
    similarity, image = class_cosine(result, digit, p)
    generator = torch.Generator().manual_seed(0)
    which = method.sample(p.clamp(min=0)[None], 16, generator)[:, 0]
    shown = bank(data.images[image].expand(16, -1, -1, -1), which, generator)
    figure, axes = new_figure(8, width=8.4, height=2.7, rows=2)
    for ax, tile in zip(axes.flat, shown, strict=True):
        ax.imshow(tile.permute(1, 2, 0).squeeze(2).numpy(), cmap="gray_r", vmin=0, vmax=1)
        ax.axis("off")
    alone = class_cosine(result, digit, torch.eye(len(bank), dtype=torch.float64)[0])[0]
    words = f"identity {100 * float(p[0]):.0f} %, cos(v, g) = {similarity:.3f} (with identity alone {alone:.3f})"
    figure.suptitle(words, fontsize=11)
    return figure


def class_cosine(result: SearchResult, digit: int, p: Tensor) -> tuple[float, int]:
    """cos(v, g) of a class, v over its validation images, g over twenty search images; and one image's number."""
    network, bank, data = result.network, result.bank, result.search_data
    rows = torch.nonzero(data.classes == digit).squeeze(1)[:20]
    validation = torch.nonzero(data.validation_classes == digit).squeeze(1)
    even = torch.full((1, len(validation)), 1 / len(validation))
    v = method.gradients(network, data.validation[validation][None], data.validation_labels[validation][None], even)
    used = torch.nonzero(p).squeeze(1)
    generator = torch.Generator().manual_seed(0)
    images = bank(data.images[rows].repeat_interleave(len(used), 0), used.repeat(len(rows)), generator)
    weight = (p[used].float() / len(rows)).repeat(len(rows))
    labels = torch.full((len(images),), digit)
    g = method.gradients(network, images[None], labels[None], weight[None])
    return float(method.cosine(v, g)), int(rows[0])
