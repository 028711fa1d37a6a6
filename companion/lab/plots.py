"""How every figure looks: the style, plots of seeds, the forest plot of findings, and method diagrams."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import TYPE_CHECKING, Any

import numpy as np

from companion.lab.evidence import DIVERGED, FAILS, HOLDS, OPEN, Finding

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 110
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
DASHES = ("-", "--", "-.", ":")
INK = "0.15"
LONG_LABEL = 44  # characters up to which a row of a forest plot has one line
VERDICT_MARKS = {HOLDS: ("o", "C0"), FAILS: ("X", "C1"), OPEN: ("D", "0.45"), DIVERGED: ("X", "0.1")}


def use_style() -> None:
    """Color-blind-safe colors (petroff10), no frame, a light grid, readable sizes."""
    import matplotlib as mpl
    import matplotlib.style

    matplotlib.style.use("petroff10")
    mpl.rcParams.update({
        "figure.figsize": (7.0, 3.8), "figure.dpi": DPI, "figure.constrained_layout.use": True, "font.size": 10,
        "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.alpha": 0.25,
        "axes.titlesize": 11, "axes.titlelocation": "left", "legend.frameon": False, "lines.markersize": 5,
    })  # fmt: skip


def new_figure(
    columns: int = 1, width: float = 7.0, height: float = 3.8, rows: int = 1, **options: Any
) -> tuple[Figure, Any]:
    """A figure with `columns` axes side by side, in `rows` such rows, in the course's style."""
    import matplotlib.pyplot as plt

    use_style()
    return plt.subplots(rows, columns, figsize=(width, height), **options)


def seed_dots(ax: Axes, groups: Sequence[str], values: Mapping[str, Sequence[Sequence[float] | np.ndarray]]) -> None:
    """One dot per seed and a bar for the mean: `values[method][group]` holds the seeds; a legend names the methods."""
    names = list(values)
    for i, (name, marker) in enumerate(zip(names, cycle(MARKERS), strict=False)):
        offset = (i - (len(names) - 1) / 2) * 0.8 / len(names)
        for g, seeds in enumerate(values[name]):
            x = np.full(len(seeds), g + offset)
            ax.plot(x, seeds, marker, color=f"C{i}", alpha=0.75, label=name if g == 0 else None)
            ax.hlines(float(np.mean(seeds)), g + offset - 0.06, g + offset + 0.06, color=f"C{i}", lw=2.5)
    ax.set_xticks(range(len(groups)), groups)
    ax.grid(axis="x", visible=False)


def seed_rows(ax: Axes, rows: Mapping[str, Sequence[float] | np.ndarray], decimals: int = 0) -> None:
    """A row per name, from the top: a dot per seed, a bar and a number for the mean; `rows[name]` holds the seeds."""
    for height, seeds in enumerate(reversed(list(rows.values()))):
        mean = float(np.mean(seeds))
        ax.plot(seeds, [height] * len(seeds), "o", color="C0", alpha=0.4)
        ax.vlines(mean, height - 0.28, height + 0.28, color="C1", lw=3)
        above = (mean, height + 0.28)
        ax.annotate(f"{mean:.{decimals}f}", above, (0, 1), textcoords="offset points", ha="center", fontsize=8)
    ax.set_yticks(range(len(rows)), list(rows)[::-1])
    ax.set_ylim(-0.6, len(rows) - 0.2)
    ax.grid(axis="y", visible=False)


def seed_lines(ax: Axes, x: Sequence[float], values: Mapping[str, Any], known: Sequence[str] = ()) -> None:
    """Mean lines with a dot per seed, each line labeled at its right end: `values[name]` is (seeds, len(x)).

    A name has the same color, marker and dashes in every figure that is given the same list of `known` names.
    """
    ends = []
    for i, (name, rows) in enumerate(values.items()):
        k = known.index(name) if name in known else i
        color, marker = f"C{k}", MARKERS[k % len(MARKERS)]
        rows = np.asarray(rows, dtype=float)
        ax.plot(x, rows.mean(0), marker, lw=2, color=color, linestyle=DASHES[k % len(DASHES)], ms=7)
        for row in rows:
            ax.plot(x, row, marker, color=color, alpha=0.35, ms=3.5)
        ends.append((float(rows.mean(0)[-1]), name, INK))
    label_right(ax, float(x[-1]), ends)


def label_right(ax: Axes, x: float, ends: Sequence[tuple[float, str, str]], gap: float = 0.07) -> None:
    """Names at the right end of lines, pushed apart so that none covers another: (height, name, color).

    Set the axis' scale and limits first: `gap` is a share of the axis, linear or logarithmic.
    """
    scale = ax.yaxis.get_transform()
    low, high = scale.transform(np.array(ax.get_ylim()))
    floor = -np.inf
    for y, name, color in sorted(ends):
        floor = max(float(scale.transform(np.array(y))), floor + gap * (high - low))
        beside = (x, float(scale.inverted().transform(np.array(floor))))
        ax.annotate(name, beside, (10, 0), textcoords="offset points", va="center", color=color, annotation_clip=False)


def forest_plot(rows: Sequence[tuple[str, Finding, float | None]], unit: str) -> Figure:
    """One row a comparison: the mean difference with its 95 % interval, the margin, and the paper's number.

    rows: (label, finding, the paper's difference or None), drawn from the top. The verdict is told by marker, color and
    a word at the right, so that the plot can be read without color.
    """
    figure, ax = new_figure(width=7.6, height=0.75 + 0.48 * len(rows))
    for height, (_, finding, paper) in enumerate(reversed(rows)):
        marker, color = VERDICT_MARKS.get(finding.verdict, ("s", "0.6"))
        if np.isfinite([finding.mean, finding.low, finding.high]).all():
            ax.plot([finding.low, finding.high], [height, height], "-", color=color, lw=2)
        if np.isfinite(finding.mean):
            ax.plot(finding.mean, height, marker, color=color, ms=8)
        ax.vlines(finding.margin, height - 0.34, height + 0.34, color=INK, lw=1.6, linestyles=":")
        if paper is not None:
            ax.plot(paper, height, marker="|", ms=14, mew=2.5, color="C2", linestyle="none")
        ax.annotate(finding.verdict, (1.01, height), xycoords=("axes fraction", "data"), va="center", color=INK)
    ax.axvline(0, color="0.7", lw=1, zorder=0)
    shorten = {True: "\nvs. ", False: " vs. "}
    labels = [label.replace(" vs. ", shorten[len(label) > LONG_LABEL]) for label, _, _ in reversed(rows)]
    ax.set_yticks(range(len(rows)), labels)
    ax.set_ylim(-0.6, len(rows) - 0.4)
    ax.grid(axis="y", visible=False)
    keys = "● mean and 95 % interval    ⋮ margin" + ("    | paper" if any(p is not None for _, _, p in rows) else "")
    figure.supxlabel(f"difference in {unit}, positive in favor of the claim\n{keys}", fontsize=9)
    return figure


def diagram(
    boxes: Mapping[str, tuple[float, float, str]],
    arrows: Sequence[tuple[str, str, str]],
    trained: Sequence[str] = (),
    frozen: Sequence[str] = (),
    width: float = 7.6,
    height: float = 3.0,
) -> Figure:
    """A method as boxes and arrows, in the course's one style; it reads without color.

    boxes: name -> (x, y, text), the center in units of about one box, y upwards. arrows: (from, to, label). Boxes in
    `trained` have a thick frame, those in `frozen` a dashed frame and a gray face, all others (data) a thin frame.
    """
    figure, ax = new_figure(width=width, height=height)
    figure.set_layout_engine("none")
    ax.set_position((0.01, 0.1, 0.98, 0.89))
    ax.axis("off")
    xs, ys = [x for x, _, _ in boxes.values()], [y for _, y, _ in boxes.values()]
    ax.set_xlim(min(xs) - 0.6, max(xs) + 0.6)
    ax.set_ylim(min(ys) - 0.6, max(ys) + 0.6)
    frames = {}
    for name, (x, y, text) in boxes.items():
        style = {"facecolor": "white", "edgecolor": INK, "linewidth": 0.8, "boxstyle": "square,pad=0.45"}
        if name in trained:
            style |= {"edgecolor": "C0", "linewidth": 2.4, "boxstyle": "round,pad=0.45"}
        if name in frozen:
            style |= {"facecolor": "0.92", "linestyle": "--", "linewidth": 1.4, "boxstyle": "round,pad=0.45"}
        frames[name] = ax.text(x, y, text, ha="center", va="center", fontsize=9, bbox=style, zorder=3)
    figure.canvas.draw()  # now the frames have their sizes, so that arrows can end at them
    for start, end, label in arrows:
        (x0, y0, _), (x1, y1, _) = boxes[start], boxes[end]
        ends = {"patchA": frames[start].get_bbox_patch(), "patchB": frames[end].get_bbox_patch()}
        style = {"arrowstyle": "-|>", "color": INK, "shrinkA": 3, "shrinkB": 3, "lw": 1.3}
        ax.annotate("", (x1, y1), (x0, y0), zorder=1, arrowprops=style | ends)
        middle = ((x0 + x1) / 2, (y0 + y1) / 2)
        patch = {"facecolor": "white", "edgecolor": "none", "pad": 1, "alpha": 0.85 * bool(label)}
        where = {"xytext": (0, 4), "textcoords": "offset points", "ha": "center", "va": "bottom"}
        ax.annotate(label, middle, fontsize=8, zorder=4, bbox=patch, **where)
    legend = [("thick frame: trained", trained), ("dashed frame, gray: frozen", frozen)]
    said = "    ".join(text for text, used in legend if used)
    figure.text(0.5, 0.02, said, ha="center", va="bottom", fontsize=8, color=INK)
    return figure
