"""Figures of the lesson: measurements or tensors in, a matplotlib figure out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from companion.lab.evidence import Measurement, values
from companion.lab.plots import DASHES, INK, MARKERS, label_right, new_figure
from companion.rim import baselines
from companion.rim.data import END, STATE, ExperimentData, Split
from companion.rim.experiment import (
    ITEMREC,
    RELATIVE,
    SHORTFALL,
    TEST,
    USERREC,
    guarantee_name,
    method_name,
    size_name,
    user_rec,
)
from companion.rim.method import hawkes_states, log_scores, top_columns
from companion.rim.training import EMA, EMA_TUNED, HAWKES, HP, NONE, USER

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHOWN = (NONE, USER, EMA, EMA_TUNED, HAWKES, HP)
HOLLOW = (EMA_TUNED, HAWKES)  # often nearly the same precision as HP: drawn hollow, around its marker
FAINT = 0.35


def stacks(rows: Sequence[Measurement], relevances: Sequence[str], shown: Sequence[str] = SHOWN) -> Figure:
    """UserRec against ItemRec precision: a marker per activity, a vertical stack per relevance; means over seeds."""
    figure, ax = new_figure(width=7.6, height=4.4)
    tops: dict[str, tuple[float, float]] = {}
    for r in relevances:
        names = [method_name(r, a) for a in shown]
        x = [float(values(rows, ITEMREC, name, TEST).mean()) for name in names]
        y = [float(values(rows, USERREC, name, TEST).mean()) for name in names]
        ax.plot(x, y, "-", color=INK, lw=1, alpha=FAINT, zorder=1)
        for i, a in enumerate(shown):
            label = a if r == relevances[0] else None
            style = {"mfc": "none", "ms": 13 - i, "mew": 1.8} if a in HOLLOW else {"ms": 8}
            ax.plot(x[i], y[i], MARKERS[i], color=f"C{i}", label=label, **style)
        tops[r] = (x[0], max(y))
    for r, (x_top, y_top) in tops.items():
        near = [other - x_top for name, (other, _) in tops.items() if name != r and abs(other - x_top) < 0.4]
        side = "center" if not near else "right" if near[0] > 0 else "left"
        ax.annotate(r, (x_top, y_top), (0, 9), textcoords="offset points", ha=side)
    ax.legend(title="activity", loc="center left", bbox_to_anchor=(1.0, 0.5))
    ax.set(xlabel="ItemRec: hits in 100 recommended items", ylabel="UserRec: hits in 100 selected states")
    ax.margins(x=0.24, y=0.14)
    return figure


def toy(relevance: Tensor, activity: Tensor, items: Sequence[str], users: Sequence[str]) -> Figure:
    """Two tables: p alone (n, m), and activity (n,) times p; a square is the best of a row, a ring that of a column."""
    figure, axes = new_figure(columns=2, width=8.2, height=3.1)
    tables = {"p(item | user): rows sum to 1": relevance, "activity x p": activity.unsqueeze(1) * relevance}
    for ax, (title, table) in zip(axes, tables.items(), strict=True):
        ax.imshow(table.numpy(), cmap="Greys", vmax=1.8 * float(table.max()), aspect="auto")
        for i, j in np.ndindex(*table.shape):
            ax.text(j, i, f"{float(table[i, j]):.2g}", ha="center", va="center", fontsize=9)
        for i in range(len(table)):
            ax.plot(int(table[i].argmax()), i, "s", ms=28, mfc="none", mec="C0", mew=2)
        for j in range(table.shape[1]):
            ax.plot(j, int(table[:, j].argmax()), "o", ms=34, mfc="none", mec="C1", mew=2, ls="")
        ax.set_xticks(range(len(items)), items)
        ax.set_yticks(range(len(users)), users)
        ax.set_title(title)
        ax.grid(visible=False)
    return figure


def timeline(split: Split, user: int, scales: Tensor, weights: Tensor, ema_scale: float) -> Figure:
    """One user's events, the Hawkes intensity with its two largest channels, and an exponentially decayed count."""
    figure, ax = new_figure(width=7.6, height=3.8)
    times = split.times[user : user + 1]
    grid = torch.linspace(0.003, END, 420, dtype=torch.float64)
    phi = torch.cat([hawkes_states(times, scales, float(t)) for t in grid]) * weights
    ax.axvspan(STATE, END, color="0.5", alpha=0.15, lw=0)
    j = len(scales)
    channels = phi[:, :j] + phi[:, j : 2 * j]
    largest = channels.sum(0).topk(2).indices.sort().values
    for rank, channel in enumerate(largest.tolist()):
        name = f"Hawkes, its part at scale {float(scales[channel]):.2g}"
        ax.plot(grid, channels[:, channel], DASHES[rank + 1], color="C2", lw=1, label=name)
    ax.plot(grid, phi.sum(1), color="C0", lw=2, label="Hawkes intensity")
    decayed = [float(baselines.decayed_count(times, float(t), ema_scale)) / ema_scale for t in grid]
    ax.plot(grid, decayed, ":", color="C1", lw=2, label=f"decayed count (EMA), scale {ema_scale:g}")
    events = times[0][times[0] < END]
    ax.plot(events, np.full(len(events), 0.15), "|", color=INK, ms=12, label="events")
    ax.set(yscale="log", ylim=(0.1, 1000), xlabel="horizons since the first event", ylabel="events per horizon")
    ax.set_title("the shaded window is to be predicted at time 1")
    ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure


def assignments(table: Tensor, chosen: Mapping[str, Tensor]) -> Figure:
    """The logarithm of the same scores (n, m) in each panel, with the pairs that each policy chooses, (n, m) bool."""
    figure, axes = new_figure(columns=len(chosen), width=8.6, height=3.9, sharey=True)
    for ax, (title, mask) in zip(axes, chosen.items(), strict=True):
        image = ax.imshow(table.log10().numpy(), cmap="Greys", aspect="auto", alpha=0.75)
        rows, columns = np.nonzero(mask.numpy())
        ax.plot(columns, rows, "o", color="C1", mec="white", mew=0.5, ms=6)
        ax.set_title(title)
        ax.set(xlabel="items, by popularity")
        ax.grid(visible=False)
    axes[0].set_ylabel("states, the most active on top")
    figure.colorbar(image, ax=axes, label="log10 of the score", shrink=0.8)
    return figure


def deciles(data: ExperimentData, activity: Mapping[str, Tensor], expected: str = HP) -> Figure:
    """Mean events in the window of each decile of the states, ranked by each activity; crosses: predicted by one."""
    figure, ax = new_figure(width=7.6)
    after, ends, deciles = data.split.events_after[data.states].double(), [], np.arange(1, 11)
    for i, (name, rate) in enumerate(activity.items()):
        order = rate[data.states].argsort()
        observed = [float(after[part].mean()) for part in order.tensor_split(10)]
        ax.plot(deciles, observed, MARKERS[i], ls=DASHES[i % 4], color=f"C{i}", lw=1.6)
        ends.append((observed[-1], name, INK))
        if name == expected:
            predicted = [float(rate[data.states][part].mean()) for part in order.tensor_split(10)]
            ax.plot(deciles, predicted, "x", color=INK, ms=9, mew=2, label=f"predicted by {name}")
    label_right(ax, 10.0, ends)
    ax.set(xlabel="decile of the states, by activity", ylabel="events in the window, mean", xticks=deciles)
    ax.legend(loc="upper left")
    return figure


def exposure(rows: Sequence[Measurement], policies: Sequence[str], guarantees: Sequence[int]) -> Figure:
    """Relative precision against shortfall: one line per policy, one marker per guarantee; means over seeds."""
    figure, ax = new_figure(width=7.6, height=4.0)
    settings = [guarantee_name(least) for least in guarantees]
    for i, name in enumerate(policies):
        x = [float(values(rows, SHORTFALL, name, setting).mean()) for setting in settings]
        y = [float(values(rows, RELATIVE, name, setting).mean()) for setting in settings]
        ax.plot(x, y, MARKERS[i], ls=DASHES[i % 4], color=f"C{i}", lw=1.6, ms=7, label=name)
        for j, (least, point) in enumerate(zip(guarantees, zip(x, y, strict=True), strict=True)):
            beside = ((-3, 7), (8, -4), (-13, 8 * (j % 2) - 6))[i % 3]
            ax.annotate(str(least), point, beside, textcoords="offset points", fontsize=8)
    ax.legend(title="policy (numbers: guaranteed states)", loc="center left", bbox_to_anchor=(1.0, 0.5))
    ax.set(xlabel="shortfall of the guarantee, %", ylabel="ItemRec precision, % of top k", xlim=(-4, None))
    return figure


def runtime(rows: Sequence[Measurement], sizes: Sequence[tuple[int, int]]) -> Figure:
    """CPU seconds and megabytes of the blocked scorer against the number of scores; sizes: (users, items)."""
    figure, (left, right) = new_figure(columns=2, width=8.6, height=3.4)
    names = [size_name(n, m) for n, m in sizes]
    cells = [float(n * m) for n, m in sizes]
    left.set(xscale="log", yscale="log", xlim=(cells[0] / 2, cells[-1] * 60))
    ends = []
    for i, operation in enumerate(("top rows and columns", "one dual update")):
        seconds = [float(values(rows, "CPU seconds", operation, name)[0]) for name in names]
        left.plot(cells, seconds, MARKERS[i], ls=DASHES[i], color=f"C{i}", lw=1.8)
        ends.append((seconds[-1], operation, INK))
    label_right(left, cells[-1], ends)
    left.set(xlabel="users x items", ylabel="CPU seconds")
    peak = [float(values(rows, "megabytes", "peak memory", name)[0]) for name in names]
    right.loglog(cells, peak, "o-", color="C0", lw=1.8)
    whole = [cell * 4 / 2**20 for cell in cells]
    right.plot(cells, whole, "s--", color="C1", lw=1.8)
    right.set(xlim=(cells[0] / 2, cells[-1] * 60), xlabel="users x items", ylabel="megabytes")
    label_right(right, cells[-1], [(peak[-1], "peak, whole process", INK), (whole[-1], "the matrix alone", INK)])
    return figure


def selected_states(data: ExperimentData, log_p: Tensor, titles: Sequence[str], ema_scale: float, title: str) -> Figure:
    """For the demo: the states that an exponentially decayed count of this scale selects for a movie, and its hits."""
    rate = baselines.decayed_count(data.split.times, STATE, ema_scale)
    column = [titles[int(i)] for i in data.items].index(title)
    scores = data.log_scores(log_p, rate)
    mask = top_columns(scores[:, column : column + 1], 2 * data.c, data.state_order)[:, 0]
    selected = torch.nonzero(mask)[:, 0][scores[mask, column].argsort(descending=True)]
    figure, ax = new_figure(width=7.6, height=3.6)
    for height, state in enumerate(selected.tolist()):
        times = data.split.times[data.states[state]]
        events = times[times < END]
        ax.plot(events, np.full(len(events), height), "|", color=INK, ms=9)
        if data.targets[state, column]:
            end = {"xy": (END, height), "xytext": (4, -3), "textcoords": "offset points"}
            ax.annotate("← rated it", **end, weight="bold", annotation_clip=False)
    hits = int(data.targets[selected, column].sum())
    precision = user_rec(data, log_p, rate)
    ax.set_title(f"{title}: {hits} hits in {len(selected)} states; all movies: UserRec precision {precision:.2f}")
    ax.axvspan(STATE, END, color="0.5", alpha=0.15, lw=0)
    ax.set(xlim=(0, END), xlabel="horizons since the first event", ylabel="selected states, best on top")
    ax.set_yticks([])
    ax.set_ylim(len(selected) - 0.4, -0.6)
    return figure


def corner(data: ExperimentData, log_p: Tensor, activity: Tensor, states: int, items: int) -> Tensor:
    """A part of the scores, (states, items): states evenly by rank of activity, the most popular items."""
    order = activity[data.states].argsort(descending=True)
    rows = data.states[order[torch.linspace(0, len(order) - 1, states).long()]]
    columns = data.split.item_counts().topk(items).indices
    return log_scores(log_p[rows][:, columns], activity[rows]).exp()
