"""Figures of the lesson: measurements or tensors in, a matplotlib figure out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from companion.lab.evidence import Measurement, values
from companion.lab.plots import DASHES, INK, MARKERS, label_right, new_figure
from companion.rim import baselines, intensity
from companion.rim.arms import EMA, EMA_CHOSEN, HAWKES, HP, NONE, SHUFFLED, USER, Task
from companion.rim.experiment import ITEMREC, TEST, USERREC, named, user_rec
from companion.rim.method import log_scores, top_columns
from companion.rim.speed import SIZES
from companion.rim.split import END, STATE, Split

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SHOWN = (NONE, USER, EMA, EMA_CHOSEN, HAWKES, HP)
MARK = dict(zip((*SHOWN, SHUFFLED), MARKERS, strict=False))
SAME = (EMA_CHOSEN, HAWKES)  # often the same choices as HP: drawn hollow, around it
FAINT = 0.35


def stacks(rows: Sequence[Measurement], relevances: Sequence[str], activities: Sequence[str] = SHOWN) -> Figure:
    """UserRec against ItemRec, a marker an activity, a vertical stack a relevance; means over seeds."""
    figure, ax = new_figure(width=7.6, height=4.4)
    tops: dict[str, tuple[float, float]] = {}
    for r in relevances:
        arms = [named(r, a) for a in activities]
        x = [float(values(rows, ITEMREC, arm, TEST).mean()) for arm in arms]
        y = [float(values(rows, USERREC, arm, TEST).mean()) for arm in arms]
        ax.plot(x, y, "-", color=INK, lw=1, alpha=FAINT, zorder=1)
        for i, a in enumerate(activities):
            label = a if r == relevances[0] else None
            hollow = {"mfc": "none", "ms": 13 - i, "mew": 1.8} if a in SAME else {"ms": 8}
            ax.plot(x[i], y[i], MARK[a], color=f"C{i}", label=label, **hollow)
        tops[r] = (x[0], max(y))
    for r, (x_top, y_top) in tops.items():
        near = [other - x_top for name, (other, _) in tops.items() if name != r and abs(other - x_top) < 0.4]
        side = "center" if not near else "right" if near[0] > 0 else "left"
        ax.annotate(r, (x_top, y_top), (0, 9), textcoords="offset points", ha=side)
    ax.legend(title="activity", loc="center left", bbox_to_anchor=(1.0, 0.5))
    ax.set(xlabel="ItemRec: hits in 100 recommendations of films", ylabel="UserRec: hits in 100 selected states")
    ax.margins(x=0.24, y=0.14)
    return figure


def toy(relevance: Tensor, activity: Tensor, films: Sequence[str], users: Sequence[str]) -> Figure:
    """Two tables of numbers: p alone, and lambda times p; a box is the best of a row, a ring the best of a column."""
    figure, axes = new_figure(columns=2, width=8.2, height=3.1)
    tables = {"p(film | user): rows sum to 1": relevance, "activity x p": activity.unsqueeze(1) * relevance}
    for ax, (title, table) in zip(axes, tables.items(), strict=True):
        ax.imshow(table.numpy(), cmap="Greys", vmax=1.8 * float(table.max()), aspect="auto")
        for i, j in np.ndindex(*table.shape):
            ax.text(j, i, f"{float(table[i, j]):.2g}", ha="center", va="center", fontsize=9)
        for i in range(len(table)):
            ax.plot(int(table[i].argmax()), i, "s", ms=28, mfc="none", mec="C0", mew=2)
        for j in range(table.shape[1]):
            ax.plot(j, int(table[:, j].argmax()), "o", ms=34, mfc="none", mec="C1", mew=2, ls="")
        ax.set_xticks(range(len(films)), films)
        ax.set_yticks(range(len(users)), users)
        ax.set_title(title)
        ax.grid(visible=False)
    return figure


def timeline(split: Split, user: int, scales: Tensor, weights: Tensor, ema: float) -> Figure:
    """One user's events, the Hawkes intensity with its channels by scale, and a moving average; window shaded."""
    figure, ax = new_figure(width=7.6, height=3.8)
    times = split.times[user : user + 1]
    grid = torch.linspace(0.003, END, 420, dtype=torch.float64)
    phi = torch.cat([intensity.states(times, scales, float(t)) for t in grid]) * weights
    ax.axvspan(STATE, END, color="0.5", alpha=0.15, lw=0)
    j = len(scales)
    channels = phi[:, :j] + phi[:, j : 2 * j]
    top = channels.sum(0).topk(2).indices.sort().values
    for rank, at in enumerate(top.tolist()):
        name = f"scale {float(scales[at]):.2g}"
        ax.plot(grid, channels[:, at], DASHES[rank + 1], color="C2", lw=1, label=f"Hawkes, its part at {name}")
    ax.plot(grid, phi.sum(1), color="C0", lw=2, label="Hawkes intensity")
    average = [float(baselines.moving_average(times, float(t), ema)) / ema for t in grid]
    ax.plot(grid, average, ":", color="C1", lw=2, label=f"moving average, scale {ema:g}")
    seen = times[0][times[0] < END]
    ax.plot(seen, np.full(len(seen), 0.15), "|", color=INK, ms=12, label="events")
    ax.set(yscale="log", ylim=(0.1, 1000), xlabel="horizons since the first event", ylabel="events a horizon")
    ax.set_title("the shaded window is what has to be foretold at time 1")
    ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure


def assignments(table: Tensor, chosen: Mapping[str, Tensor]) -> Figure:
    """The logarithm of the same scores (n, m) in each panel, with the pairs that each policy chooses."""
    figure, axes = new_figure(columns=len(chosen), width=8.6, height=3.9, sharey=True)
    for ax, (title, mask) in zip(axes, chosen.items(), strict=True):
        image = ax.imshow(table.log10().numpy(), cmap="Greys", aspect="auto", alpha=0.75)
        rows, columns = np.nonzero(mask.numpy())
        ax.plot(columns, rows, "o", color="C1", mec="white", mew=0.5, ms=6)
        ax.set_title(title)
        ax.set(xlabel="films, by popularity")
        ax.grid(visible=False)
    axes[0].set_ylabel("states, the most active on top")
    figure.colorbar(image, ax=axes, label="log10 of the score", shrink=0.8)
    return figure


def deciles(task: Task, activity: Mapping[str, Tensor], expected: str = HP) -> Figure:
    """Events in the window of the states in each tenth, by rank of each activity; and what `expected` foretold."""
    figure, ax = new_figure(width=7.6)
    after, ends, tenths = task.split.after[task.states].double(), [], np.arange(1, 11)
    for i, (name, rate) in enumerate(activity.items()):
        order = rate[task.states].argsort()
        seen = [float(after[part].mean()) for part in order.tensor_split(10)]
        ax.plot(tenths, seen, MARKERS[i], ls=DASHES[i % 4], color=f"C{i}", lw=1.6)
        ends.append((seen[-1], name, INK))
        if name == expected:
            told = [float(rate[task.states][part].mean()) for part in order.tensor_split(10)]
            ax.plot(tenths, told, "x", color=INK, ms=9, mew=2, label=f"foretold by {name}")
    label_right(ax, 10.0, ends)
    ax.set(xlabel="tenth of the states, by activity", ylabel="events in the window, mean", xticks=tenths)
    ax.legend(loc="upper left")
    return figure


def exposure(rows: Sequence[Measurement], policies: Sequence[str], promises: Sequence[str]) -> Figure:
    """Precision kept against shortfall, a line a policy, a marker a promise; means over seeds."""
    figure, ax = new_figure(width=7.6, height=4.0)
    for i, name in enumerate(policies):
        x = [float(values(rows, "shortfall", name, place).mean()) for place in promises]
        y = [float(values(rows, "precision kept", name, place).mean()) for place in promises]
        ax.plot(x, y, MARKERS[i], ls=DASHES[i % 4], color=f"C{i}", lw=1.6, ms=7, label=name)
        for j, (place, at) in enumerate(zip(promises, zip(x, y, strict=True), strict=True)):
            beside = ((-3, 7), (8, -4), (-13, 8 * (j % 2) - 6))[i % 3]
            ax.annotate(place.split()[0], at, beside, textcoords="offset points", fontsize=8)
    ax.legend(title="policy (numbers: states promised)", loc="center left", bbox_to_anchor=(1.0, 0.5))
    ax.set(xlabel="shortfall of the promise, %", ylabel="ItemRec precision kept, % of top k", xlim=(-4, None))
    return figure


def cost(rows: Sequence[Measurement]) -> Figure:
    """CPU seconds and megabytes of the blocked scorer against the number of scores."""
    figure, (left, right) = new_figure(columns=2, width=8.6, height=3.4)
    sizes = [f"{n:,} x {m:,}" for n, m in SIZES]
    cells = [float(n * m) for n, m in SIZES]
    left.set(xscale="log", yscale="log", xlim=(cells[0] / 2, cells[-1] * 60))
    ends = []
    for i, name in enumerate(("top rows and columns", "one dual update")):
        seconds = [float(values(rows, "CPU seconds", name, size)[0]) for size in sizes]
        left.plot(cells, seconds, MARKERS[i], ls=DASHES[i], color=f"C{i}", lw=1.8)
        ends.append((seconds[-1], name, INK))
    label_right(left, cells[-1], ends)
    left.set(xlabel="users x films", ylabel="CPU seconds")
    peak = [float(values(rows, "megabytes", "peak memory", size)[0]) for size in sizes]
    right.loglog(cells, peak, "o-", color="C0", lw=1.8)
    whole = [cell * 4 / 2**20 for cell in cells]
    right.plot(cells, whole, "s--", color="C1", lw=1.8)
    right.set(xlim=(cells[0] / 2, cells[-1] * 60), xlabel="users x films", ylabel="megabytes")
    label_right(right, cells[-1], [(peak[-1], "peak, whole process", INK), (whole[-1], "the matrix alone", INK)])
    return figure


def panel(task: Task, log_p: Tensor, titles: Sequence[str], memory: float, film: str) -> Figure:
    """The control panel: whom a moving average of this memory selects for a film, and what came of it."""
    rate = baselines.moving_average(task.split.times, STATE, memory)
    column = [titles[int(f)] for f in task.films].index(film)
    scores = task.table(log_p, rate)
    mask = top_columns(scores[:, column : column + 1], 2 * task.c, task.state_order)[:, 0]
    picked = torch.nonzero(mask)[:, 0][scores[mask, column].argsort(descending=True)]
    figure, ax = new_figure(width=7.6, height=3.6)
    for height, state in enumerate(picked.tolist()):
        _row(ax, height, task, state, column)
    hits = int(task.targets[picked, column].sum())
    total = user_rec(task, log_p, rate)
    ax.set_title(f"{film}: {hits} of {len(picked)} came to it; all films together: UserRec precision {total:.2f}")
    ax.axvspan(STATE, END, color="0.5", alpha=0.15, lw=0)
    ax.set(xlim=(0, END), xlabel="horizons since the first event", ylabel="selected states, best on top")
    ax.set_yticks([])
    ax.set_ylim(len(picked) - 0.4, -0.6)
    return figure


def _row(ax: Axes, height: int, task: Task, state: int, column: int) -> None:
    times = task.split.times[task.states[state]]
    seen = times[times < END].numpy()
    ax.plot(seen, np.full(len(seen), height), "|", color=INK, ms=9)
    if task.targets[state, column]:
        beside = (END, height)
        ax.annotate("← came to it", beside, (4, -3), textcoords="offset points", weight="bold", annotation_clip=False)


def exposure_example(task: Task, log_p: Tensor, rate: Tensor, states: int, films: int) -> Tensor:
    """A small corner of the scores, (states, films): states evenly by rank of activity, the most trained films."""
    order = rate[task.states].argsort(descending=True)
    rows = task.states[order[torch.linspace(0, len(order) - 1, states).long()]]
    columns = task.split.popularity().topk(films).indices
    return log_scores(log_p[rows][:, columns], rate[rows]).exp()
