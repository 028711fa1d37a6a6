"""How every figure looks, and the one way to show it: as a picture with a sentence that says what it shows."""

from __future__ import annotations

import html
import io
from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import TYPE_CHECKING, Any

import numpy as np

from companion.errors import CompanionError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 110
LARGEST_BYTES = 120_000
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
DASHES = ("-", "--", "-.", ":")
SMALLEST_ALT = 30
INK = "0.15"


def use_style() -> None:
    """Colour-blind-safe colours (petroff10), no frame, a light grid, readable sizes."""
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


def png(figure: Figure) -> bytes:
    """The figure as PNG bytes; an error if it is too large for a notebook."""
    import matplotlib.pyplot as plt

    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
    plt.close(figure)
    if buffer.tell() > LARGEST_BYTES:
        raise CompanionError(f"The figure takes {buffer.tell()} bytes and may take {LARGEST_BYTES}; draw fewer points.")
    return buffer.getvalue()


def check_alt(alt: object) -> str:
    """The sentence itself if it can stand in for the picture."""
    if not isinstance(alt, str) or len(alt.strip()) < SMALLEST_ALT:
        raise CompanionError(f"alt = {alt!r} does not say what is shown; write {SMALLEST_ALT} characters or more.")
    return " ".join(alt.split())


def show(figure: Figure, alt: str, caption: str = "") -> None:
    """Display a figure as PNG; `alt` goes to the output's metadata, and `caption` (or else `alt`) stands below it."""
    from IPython.display import display

    sentence = check_alt(alt)
    picture = png(figure)
    display({"image/png": picture, "text/plain": sentence}, raw=True, metadata={"image/png": {"alt": sentence}})
    below = " ".join(caption.split()) or sentence
    display({"text/html": f"<p><em>{html.escape(below)}</em></p>", "text/plain": below}, raw=True)


def seed_dots(ax: Axes, groups: Sequence[str], values: Mapping[str, Sequence[Sequence[float] | np.ndarray]]) -> None:
    """One dot a seed and a bar for the mean: `values[method][group]` holds the seeds; a legend names the methods."""
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
    """A row a name, from the top: a dot a seed, and a bar and a number for the mean; `rows[name]` holds the seeds."""
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
    """Mean lines with a dot a seed, each line labelled at its right end: `values[name]` is (seeds, len(x)).

    A name has the same colour, marker and dashes in every figure that is given the same list of `known` names.
    """
    ends = []
    for i, (name, rows) in enumerate(values.items()):
        k = known.index(name) if name in known else i
        colour, marker = f"C{k}", MARKERS[k % len(MARKERS)]
        rows = np.asarray(rows, dtype=float)
        ax.plot(x, rows.mean(0), marker, lw=2, color=colour, linestyle=DASHES[k % len(DASHES)], ms=7)
        for row in rows:
            ax.plot(x, row, marker, color=colour, alpha=0.35, ms=3.5)
        ends.append((float(rows.mean(0)[-1]), name, INK))
    label_right(ax, float(x[-1]), ends)


def label_right(ax: Axes, x: float, ends: Sequence[tuple[float, str, str]], gap: float = 0.07) -> None:
    """Names at the right end of lines, pushed apart so that none covers another: (height, name, colour).

    Set the axis' scale and limits first: `gap` is a share of the axis, linear or logarithmic.
    """
    scale = ax.yaxis.get_transform()
    low, high = scale.transform(np.array(ax.get_ylim()))
    floor = -np.inf
    for y, name, colour in sorted(ends):
        floor = max(float(scale.transform(np.array(y))), floor + gap * (high - low))
        beside = (x, float(scale.inverted().transform(np.array(floor))))
        ax.annotate(name, beside, (10, 0), textcoords="offset points", va="center", color=colour, annotation_clip=False)
