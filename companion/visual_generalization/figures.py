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
from companion.visual_generalization.experiment import OTHERS, R2, alone
from companion.visual_generalization.method import COMPOSITION, EXTRAPOLATION, INTERPOLATION, SPLITS, Grid
from companion.visual_generalization.training import predict
from companion.visual_generalization.worlds import World

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TRAINED, HELD = "#c9d6e8", "#d1495b"
FEW = 100  # cells that still take a hatch
LOWEST = -1.0  # where the colours of a score end


# ---------------------------------------------------------------- splits


def maps(grid: Grid, pair: tuple[str, str], splits: Sequence[str]) -> Figure:
    """One slice of the grid a split: blank cells train, hatched cells test; other factors stand in their middle."""
    figure, axes = new_figure(columns=len(splits), width=2.05 * len(splits), height=2.6, squeeze=False)
    i, j = (grid.place(name) for name in pair)
    for ax, split in zip(axes[0], splits, strict=True):
        at: list[slice | int] = [_middle(grid, k) for k in range(len(grid.sizes))]
        at[i] = at[j] = slice(None)
        mask = method.train_mask(grid, split)[tuple(at)]
        mask = mask if i < j else mask.T
        _paint(ax, mask.T.numpy())
        ax.set(title=split, xlabel=pair[0], aspect="auto")
    axes[0][0].set_ylabel(pair[1])
    return figure


def _middle(grid: Grid, j: int) -> int:
    """A value that no split holds out of range."""
    return min(k for k in range(grid.sizes[j] // 2, grid.sizes[j]) if _seen(grid, j, k))


def _seen(grid: Grid, j: int, k: int) -> bool:
    return all(bool(method.in_range(grid, split)[j][k]) for split in (INTERPOLATION, EXTRAPOLATION))


def _paint(ax: Axes, mask: np.ndarray) -> None:
    from matplotlib.patches import Rectangle

    for (row, column), trained in np.ndenumerate(mask):
        hatch = None if trained or mask.size > FEW else "///"
        face = TRAINED if trained else HELD
        corner = (column - 0.5, row - 0.5)
        ax.add_patch(Rectangle(corner, 1, 1, lw=0.5, hatch=hatch, facecolor=face, edgecolor="white"))
    ax.set(xlim=(-0.5, mask.shape[1] - 0.5), ylim=(-0.5, mask.shape[0] - 0.5))
    ax.grid(visible=False)
    if mask.size <= FEW:
        ax.set_xticks(range(mask.shape[1]))
        ax.set_yticks(range(mask.shape[0]))


def strip(world: World, groups: Mapping[str, Sequence[Sequence[int]]]) -> Figure:
    """Rows of images, each row named: factors in, pictures out."""
    columns = max(map(len, groups.values()))
    figure, axes = new_figure(columns=columns, rows=len(groups), width=7.4, height=1.15 * len(groups), squeeze=False)
    for line, (name, factors) in zip(axes, groups.items(), strict=True):
        images = world.draw(torch.tensor(factors))
        for ax, image in zip(line, images, strict=False):
            ax.imshow(_picture(image), cmap="gray", vmin=0, vmax=1)
        for ax in line:
            ax.set_axis_off()
        line[0].set_title(name, fontsize=9)
    return figure


def _picture(image: Tensor) -> np.ndarray:
    return image.squeeze(0).numpy() if image.shape[0] == 1 else image.permute(1, 2, 0).numpy()


# ---------------------------------------------------------------- tables of scores


def heat(rows: Sequence[Measurement], names: Sequence[str], settings: Sequence[str], metric: str = "ordered") -> Figure:
    """The mean over seeds of an R^2: a row a predictor, a column a split; where nothing was measured it is blank."""
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
            colour = "white" if abs(min(value, 1.0)) > 0.75 or value < LOWEST else "black"
            ax.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=9, color=colour)
    ax.set_xticks(range(len(columns)), columns)
    ax.set_yticks(range(len(names)), names)
    ax.grid(visible=False)
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0, top=True, labeltop=True, bottom=False, labelbottom=False)


def modularity(rows: Sequence[Measurement], names: Sequence[str], grid: Grid, split: str = EXTRAPOLATION) -> Figure:
    """A matrix a model: row, the one factor out of range; column, the factor inferred; last, the others' mean."""
    factors = [grid.names[j] for j in grid.taking_part]
    figure, axes = new_figure(columns=len(names), width=4.3 * len(names), height=2.9, squeeze=False)
    for ax, name in zip(axes[0], names, strict=True):
        columns = [*factors, OTHERS]
        table = [[_mean(rows, f"{R2}, {column}", name, alone(out, split)) for column in columns] for out in factors]
        _cells(ax, np.array(table), [f"only {out}" for out in factors], columns)
        ax.set_title(f"{name}, {split}", pad=22)
        for k in range(len(factors)):
            ax.add_patch(_frame(k))
    return figure


def _frame(k: int) -> object:
    from matplotlib.patches import Rectangle

    return Rectangle((k - 0.47, k - 0.47), 0.94, 0.94, fill=False, edgecolor=INK, lw=2)


# ---------------------------------------------------------------- single predictions


def pull_back(
    nets: Mapping[str, nn.Module], world: World, pool: int, split: str = EXTRAPOLATION, each: int = 40
) -> Figure:
    """Mean prediction against the truth, one factor swept at a time, the others in range; grey: values trained on."""
    grid = world.grid
    places = grid.taking_part
    figure, axes = new_figure(columns=len(places), width=2.45 * len(places), height=3.0, squeeze=False)
    for ax, j in zip(axes[0], places, strict=True):
        seen = method.in_range(grid, split)[j]
        true, images = _sweep(world, pool, split, j, each)
        ax.axvspan(0, float(torch.nonzero(seen).max()) / (grid.sizes[j] - 1), color="0.92", zorder=0)
        last = float(torch.nonzero(seen).max()) / (grid.sizes[j] - 1)
        ax.plot([0, 1], [0, 1], color=INK, lw=1, label="truth")
        ax.plot([0, last, 1], [0, last, last], color=INK, lw=1.5, ls=":", label="clamp oracle")
        for k, (name, net) in enumerate(nets.items()):
            said = predict(net, images)[:, j].view(grid.sizes[j], each).mean(1)
            ax.plot(true, said, MARKERS[k], ls="-", color=f"C{k}", ms=4, label=name)
        ax.set(title=grid.names[j], xlabel="true value", xlim=(0, 1.02), ylim=(-0.1, 1.1))
    axes[0][0].set_ylabel("mean prediction")
    figure.legend(*axes[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=5)
    return figure


def _sweep(world: World, pool: int, split: str, j: int, each: int) -> tuple[np.ndarray, Tensor]:
    """`each` random in-range contexts, every value of factor j in each: the values (n,), and images value by value."""
    grid, stream = world.grid, torch.Generator().manual_seed(0)
    seen = method.in_range(grid, split)
    pick = [torch.nonzero(s)[:, 0] for s in seen]
    context = torch.stack([p[torch.randint(len(p), (each,), generator=stream)] for p in pick], dim=1)
    factors = context.repeat(grid.sizes[j], 1)
    factors[:, j] = torch.arange(grid.sizes[j]).repeat_interleave(each)
    return np.arange(grid.sizes[j]) / (grid.sizes[j] - 1), _images(world, factors, pool)


def _images(world: World, factors: Tensor, pool: int) -> Tensor:
    parts = [nn.functional.avg_pool2d(world.draw(part), pool) for part in factors.split(200)]
    return torch.cat(parts)


def autopsy(nets: Mapping[str, nn.Module], world: World, pool: int, sprite: Sequence[int]) -> Figure:
    """One sprite moved along x: the orientation that each network says, beside the true one; hatched: x trained low."""
    grid = world.grid
    x, orientation = grid.place("x"), grid.place("orientation")
    factors = torch.tensor([sprite]).repeat(grid.sizes[x], 1)
    factors[:, x] = torch.arange(grid.sizes[x])
    images = _images(world, factors, pool)
    figure, ax = new_figure(width=7.4, height=3.2)
    ax.axvspan(-0.5, method.low_counts(grid)[x] - 0.5, facecolor="0.9", edgecolor="0.6", hatch="//", lw=0)
    truth = sprite[orientation] / (grid.sizes[orientation] - 1)
    ax.axhline(truth, color=INK, lw=1.5)
    ends = [(truth, "true orientation", INK)]
    for k, (name, net) in enumerate(nets.items()):
        said = predict(net, images)[:, orientation].numpy()
        ax.plot(range(grid.sizes[x]), said, MARKERS[k], ls="-", color=f"C{k}", ms=4)
        ends.append((float(said[-4:].mean()), name, INK))
    ax.set(xlabel="position x, 0 to 31", ylabel="orientation, 0 to 1", xlim=(-0.5, 31.5), ylim=(-0.15, 1.1))
    label_right(ax, 31.5, ends)
    return figure


def panel(nets: Mapping[tuple[str, str], nn.Module], world: World, pool: int, **factors: int) -> Figure:
    """Left the image of these factors; right, for each split, what its network says of each factor beside the truth.

    nets: (approach, split) -> network. A filled mark: the value is in that split's trained range; else a cross.
    """
    grid = world.grid
    y = torch.tensor([[factors[name.replace(" ", "_")] for name in grid.names]])
    image = world.draw(y)
    figure, (left, right) = new_figure(columns=2, width=9.4, height=3.6, gridspec_kw={"width_ratios": (1, 2.4)})
    left.imshow(_picture(image[0]), cmap="gray", vmin=0, vmax=1)
    left.set_axis_off()
    left.set_title("\n".join(light(grid, y[0], split) for split in SPLITS[1:]), fontsize=9)
    truth = grid.targets(y)[0]
    for j, value in enumerate(truth):
        right.hlines(float(value), j - 0.4, j + 0.4, color=INK, lw=2.5)
    for k, ((name, split), net) in enumerate(nets.items()):
        said = predict(net, nn.functional.avg_pool2d(image, pool))[0]
        offset = (k - (len(nets) - 1) / 2) * 0.7 / len(nets)
        place = np.arange(len(truth)) + offset
        right.plot(place, said, MARKERS[k], color=f"C{k}", ls="", ms=7, label=f"{name}, {split}")
    right.set_xticks(range(len(truth)), grid.names)
    right.set(ylabel="value, 0 to 1 (bar: truth)", ylim=(-0.4, 1.4))
    right.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, fontsize=8)
    return figure


def light(grid: Grid, y: Tensor, split: str) -> str:
    """In words, whether an image, y (F,), trains in a split, and if not which of its factors are out of range."""
    if bool(method.train_mask(grid, split)[tuple(y)]):
        return f"{split}: trained on"
    if split == COMPOSITION:
        return f"{split}: HELD OUT, no low value"
    seen = method.in_range(grid, split)
    out = [name for name, s, k in zip(grid.names, seen, y.tolist(), strict=True) if not s[k]]
    return f"{split}: HELD OUT by {', '.join(out)}"
