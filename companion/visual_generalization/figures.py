"""Figures of the lesson: measurements, masks, images or predictions in, a matplotlib figure out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from companion.errors import CompanionError
from companion.lab.evidence import Measurement, values
from companion.lab.plots import INK, MARKERS, label_right, new_figure
from companion.visual_generalization import method
from companion.visual_generalization.data import FactorDataset
from companion.visual_generalization.evaluation import OTHERS, R2, only
from companion.visual_generalization.method import COMPOSITION, EXTRAPOLATION, INTERPOLATION, SPLITS, Grid
from companion.visual_generalization.training import predict

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TRAINING, HELD_OUT = "#c9d6e8", "#d1495b"
FEW = 100  # cells up to which they are hatched
LOWEST = -1.0  # lower end of the color scale


# ---------------------------------------------------------------- splits


def split_maps(grid: Grid, pair: tuple[str, str], splits: Sequence[str]) -> Figure:
    """One slice of the grid per split: training cells are plain, test cells hatched; other factors are in mid range."""
    figure, axes = new_figure(columns=len(splits), width=2.05 * len(splits), height=2.6, squeeze=False)
    i, j = (grid.index(name) for name in pair)
    for ax, split in zip(axes[0], splits, strict=True):
        position: list[slice | int] = [_middle(grid, k) for k in range(len(grid.sizes))]
        position[i] = position[j] = slice(None)
        mask = method.train_mask(grid, split)[tuple(position)]
        mask = mask if i < j else mask.T
        _paint(ax, mask.T.numpy())
        ax.set(title=split, xlabel=pair[0], aspect="auto")
    axes[0][0].set_ylabel(pair[1])
    return figure


def _middle(grid: Grid, j: int) -> int:
    """A value near the middle that is in every split's training range."""
    return min(k for k in range(grid.sizes[j] // 2, grid.sizes[j]) if _is_trained(grid, j, k))


def _is_trained(grid: Grid, j: int, k: int) -> bool:
    return all(bool(method.in_range(grid, split)[j][k]) for split in (INTERPOLATION, EXTRAPOLATION))


def _paint(ax: Axes, mask: np.ndarray) -> None:
    from matplotlib.patches import Rectangle

    for (row, column), trained in np.ndenumerate(mask):
        hatch = None if trained or mask.size > FEW else "///"
        face = TRAINING if trained else HELD_OUT
        corner = (column - 0.5, row - 0.5)
        ax.add_patch(Rectangle(corner, 1, 1, lw=0.5, hatch=hatch, facecolor=face, edgecolor="white"))
    ax.set(xlim=(-0.5, mask.shape[1] - 0.5), ylim=(-0.5, mask.shape[0] - 0.5))
    ax.grid(visible=False)
    if mask.size <= FEW:
        ax.set_xticks(range(mask.shape[1]))
        ax.set_yticks(range(mask.shape[0]))


def image_rows(dataset: FactorDataset, groups: Mapping[str, Sequence[Sequence[int]]]) -> Figure:
    """Rows of images, each with a name, drawn from their factors."""
    columns = max(map(len, groups.values()))
    figure, axes = new_figure(columns=columns, rows=len(groups), width=7.4, height=1.15 * len(groups), squeeze=False)
    for line, (name, factors) in zip(axes, groups.items(), strict=True):
        images = dataset.draw(torch.tensor(factors))
        for ax, image in zip(line, images, strict=False):
            ax.imshow(_as_picture(image), cmap="gray", vmin=0, vmax=1)
        for ax in line:
            ax.set_axis_off()
        line[0].set_title(name, fontsize=9)
    return figure


def _as_picture(image: Tensor) -> np.ndarray:
    return image.squeeze(0).numpy() if image.shape[0] == 1 else image.permute(1, 2, 0).numpy()


# ---------------------------------------------------------------- tables of scores


def score_table(
    rows: Sequence[Measurement], names: Sequence[str], settings: Sequence[str], metric: str = "ordered"
) -> Figure:
    """The mean over seeds of R^2: one row per predictor, one column per split; blank where it was not measured."""
    table = np.array([[_mean(rows, f"{R2}, {metric}", name, setting) for setting in settings] for name in names])
    figure, ax = new_figure(width=1.6 + 1.25 * len(settings), height=0.9 + 0.32 * len(names))
    _cells(ax, table, names, settings)
    return figure


def _mean(rows: Sequence[Measurement], metric: str, name: str, setting: str) -> float:
    try:
        return float(values(rows, metric, name, setting).mean())
    except CompanionError:
        return float("nan")


def _cells(ax: Axes, table: np.ndarray, names: Sequence[str], columns: Sequence[str]) -> None:
    ax.imshow(np.clip(table, LOWEST, 1), cmap="RdBu", vmin=LOWEST, vmax=1, aspect="auto")
    for (row, column), value in np.ndenumerate(table):
        if np.isfinite(value):
            color = "white" if abs(min(value, 1.0)) > 0.75 or value < LOWEST else "black"
            ax.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=9, color=color)
    ax.set_xticks(range(len(columns)), columns)
    ax.set_yticks(range(len(names)), names)
    ax.grid(visible=False)
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0, top=True, labeltop=True, bottom=False, labelbottom=False)


def modularity(rows: Sequence[Measurement], names: Sequence[str], grid: Grid, split: str = EXTRAPOLATION) -> Figure:
    """One matrix per model: row, the factor out of range; column, the inferred factor; last, the mean of the others."""
    factors = [grid.names[j] for j in grid.varied]
    figure, axes = new_figure(columns=len(names), width=4.3 * len(names), height=2.9, squeeze=False)
    for ax, name in zip(axes[0], names, strict=True):
        columns = [*factors, OTHERS]
        table = [[_mean(rows, f"{R2}, {column}", name, only(out, split)) for column in columns] for out in factors]
        _cells(ax, np.array(table), [f"only {out}" for out in factors], columns)
        ax.set_title(f"{name}, {split}", pad=22)
        for k in range(len(factors)):
            ax.add_patch(_frame(k))
    return figure


def _frame(k: int) -> object:
    from matplotlib.patches import Rectangle

    return Rectangle((k - 0.47, k - 0.47), 0.94, 0.94, fill=False, edgecolor=INK, lw=2)


# ---------------------------------------------------------------- single predictions


def shrinkage_to_training_range(
    nets: Mapping[str, nn.Module], dataset: FactorDataset, pool: int, split: str = EXTRAPOLATION, each: int = 40
) -> Figure:
    """Mean prediction against the true value of one factor, the others in range; gray: values in the training range."""
    grid = dataset.grid
    places = grid.varied
    figure, axes = new_figure(columns=len(places), width=2.45 * len(places), height=3.0, squeeze=False)
    for ax, j in zip(axes[0], places, strict=True):
        trained = method.in_range(grid, split)[j]
        true, images = _sweep(dataset, pool, split, j, each)
        ax.axvspan(0, float(torch.nonzero(trained).max()) / (grid.sizes[j] - 1), color="0.92", zorder=0)
        last = float(torch.nonzero(trained).max()) / (grid.sizes[j] - 1)
        ax.plot([0, 1], [0, 1], color=INK, lw=1, label="truth")
        ax.plot([0, last, 1], [0, last, last], color=INK, lw=1.5, ls=":", label="clamp oracle")
        for k, (name, net) in enumerate(nets.items()):
            prediction = predict(net, images)[:, j].view(grid.sizes[j], each).mean(1)
            ax.plot(true, prediction, MARKERS[k], ls="-", color=f"C{k}", ms=4, label=name)
        ax.set(title=grid.names[j], xlabel="true value", xlim=(0, 1.02), ylim=(-0.1, 1.1))
    axes[0][0].set_ylabel("mean prediction")
    figure.legend(*axes[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=5)
    return figure


def _sweep(dataset: FactorDataset, pool: int, split: str, j: int, each: int) -> tuple[np.ndarray, Tensor]:
    """Every value of factor j with `each` random values in range of the others: targets (n,), images by value."""
    grid, stream = dataset.grid, torch.Generator().manual_seed(0)
    trained = method.in_range(grid, split)
    choices = [torch.nonzero(s)[:, 0] for s in trained]
    context = torch.stack([p[torch.randint(len(p), (each,), generator=stream)] for p in choices], dim=1)
    factors = context.repeat(grid.sizes[j], 1)
    factors[:, j] = torch.arange(grid.sizes[j]).repeat_interleave(each)
    return np.arange(grid.sizes[j]) / (grid.sizes[j] - 1), _draw(dataset, factors, pool)


def _draw(dataset: FactorDataset, factors: Tensor, pool: int) -> Tensor:
    parts = [nn.functional.avg_pool2d(dataset.draw(part), pool) for part in factors.split(200)]
    return torch.cat(parts)


def orientation_predictions(
    nets: Mapping[str, nn.Module], dataset: FactorDataset, pool: int, sprite: Sequence[int]
) -> Figure:
    """Predicted orientation of one sprite at every x, beside the true orientation; hatched: low values of x."""
    grid = dataset.grid
    x, orientation = grid.index("x"), grid.index("orientation")
    factors = torch.tensor([sprite]).repeat(grid.sizes[x], 1)
    factors[:, x] = torch.arange(grid.sizes[x])
    images = _draw(dataset, factors, pool)
    figure, ax = new_figure(width=7.4, height=3.2)
    ax.axvspan(-0.5, method.low_counts(grid)[x] - 0.5, facecolor="0.9", edgecolor="0.6", hatch="//", lw=0)
    truth = sprite[orientation] / (grid.sizes[orientation] - 1)
    ax.axhline(truth, color=INK, lw=1.5)
    ends = [(truth, "true orientation", INK)]
    for k, (name, net) in enumerate(nets.items()):
        prediction = predict(net, images)[:, orientation].numpy()
        ax.plot(range(grid.sizes[x]), prediction, MARKERS[k], ls="-", color=f"C{k}", ms=4)
        ends.append((float(prediction[-4:].mean()), name, INK))
    ax.set(xlabel="position x, 0 to 31", ylabel="orientation, 0 to 1", xlim=(-0.5, 31.5), ylim=(-0.15, 1.1))
    label_right(ax, 31.5, ends)
    return figure


def prediction_panel(
    nets: Mapping[tuple[str, str], nn.Module], dataset: FactorDataset, pool: int, **factors: int
) -> Figure:
    """Left: the image of these factors. Right: each network's prediction of each factor, beside the true value.

    nets: (approach, split) -> network.
    """
    grid = dataset.grid
    y = torch.tensor([[factors[name.replace(" ", "_")] for name in grid.names]])
    image = dataset.draw(y)
    figure, (left, right) = new_figure(columns=2, width=9.4, height=3.6, gridspec_kw={"width_ratios": (1, 2.4)})
    left.imshow(_as_picture(image[0]), cmap="gray", vmin=0, vmax=1)
    left.set_axis_off()
    left.set_title("\n".join(membership(grid, y[0], split) for split in SPLITS[1:]), fontsize=9)
    truth = grid.targets(y)[0]
    for j, value in enumerate(truth):
        right.hlines(float(value), j - 0.4, j + 0.4, color=INK, lw=2.5)
    for k, ((name, split), net) in enumerate(nets.items()):
        prediction = predict(net, nn.functional.avg_pool2d(image, pool))[0]
        offset = (k - (len(nets) - 1) / 2) * 0.7 / len(nets)
        place = np.arange(len(truth)) + offset
        right.plot(place, prediction, MARKERS[k], color=f"C{k}", ls="", ms=7, label=f"{name}, {split}")
    right.set_xticks(range(len(truth)), grid.names)
    right.set(ylabel="value, 0 to 1 (bar: truth)", ylim=(-0.4, 1.4))
    right.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, fontsize=8)
    return figure


def membership(grid: Grid, y: Tensor, split: str) -> str:
    """In words: is an image, y (F,), a training image of a split, and if not, which of its factors are out of range?"""
    if bool(method.train_mask(grid, split)[tuple(y)]):
        return f"{split}: training image"
    if split == COMPOSITION:
        return f"{split}: HELD OUT, no low value"
    trained = method.in_range(grid, split)
    out = [name for name, s, k in zip(grid.names, trained, y.tolist(), strict=True) if not s[k]]
    return f"{split}: HELD OUT by {', '.join(out)}"
