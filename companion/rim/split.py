"""The split of the paper's code for MovieLens: every user on a clock of their own, in units of the horizon.

Of each user one half of the events is kept: the second for evidence, as in the paper's code; the first, which the
paper's code throws away, for choices and rehearsals. Time 0 is the user's first kept event; the horizon is the median
over users of the time from the first to the last; the state of every user is the one at time 1, and its targets are
the events in [1, 2). Users of group A train in full, those of group B before time 1.

identifier   shape
items        (U, L) int64, padded with 0
times        (U, L) float64, in horizons, padded with inf
group_a      (U,) bool
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from companion.data.ratings import Interactions
from companion.errors import CompanionError

Half = Literal["first", "second"]
HALVES = ("first", "second")
STATE, END = 1.0, 2.0


@dataclass(frozen=True)
class Split:
    """Histories and groups; see the legend. horizon: seconds; films: how many there are."""

    items: Tensor
    times: Tensor
    group_a: Tensor
    horizon: float
    films: int

    @property
    def before(self) -> Tensor:
        """How many events each user has before the state, (U,)."""
        return (self.times < STATE).sum(1)

    @property
    def after(self) -> Tensor:
        """How many events each user has in the test window, (U,)."""
        return ((self.times >= STATE) & (self.times < END)).sum(1)

    def training(self, clean: bool = False) -> Tensor:
        """How many events of each user a relevance model may read, (U,).

        clean: of group A too only those before the state, so that what is fitted on A meets a model like that of B.
        """
        everything = self.times.isfinite().sum(1)
        return self.before if clean else torch.where(self.group_a, everything, self.before)

    def popularity(self) -> Tensor:
        """Training events of each film, (m,) float64."""
        read = torch.arange(self.items.shape[1], device=self.items.device) < self.training().unsqueeze(1)
        return torch.bincount(self.items[read], minlength=self.films).double()

    def targets(self, users: Tensor) -> Tensor:
        """Y: events of each film in the test window, (n, m) float64, of users (n,)."""
        return self._table(users, (self.times >= STATE) & (self.times < END))

    def seen(self, users: Tensor) -> Tensor:
        """What stands in the history already, (n, m) bool, of users (n,)."""
        return self._table(users, self.times < STATE) > 0

    def _table(self, users: Tensor, which: Tensor) -> Tensor:
        table = torch.zeros(len(users), self.films, dtype=torch.float64, device=self.items.device)
        return table.scatter_add_(1, self.items[users], which[users].double())

    def to(self, device: torch.device) -> Split:
        """The same split on a device."""
        items, times, group_a = (part.to(device) for part in (self.items, self.times, self.group_a))
        return Split(items, times, group_a, self.horizon, self.films)


def make_split(data: Interactions, half: Half, seed: int) -> Split:
    """Halve, clock and group; the seed draws the groups, and the order of events of one second.

    Raises CompanionError if half is neither "first" nor "second".
    """
    if half not in HALVES:
        raise CompanionError(f"half = {half!r} is not known; use one of {', '.join(HALVES)}.")
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(data.user))
    order = order[np.lexsort((data.time[order], data.user[order]))]
    bounds = np.searchsorted(data.user[order], np.arange(data.user.max() + 2))
    cuts = [(a, (a + b) // 2, b) for a, b in pairwise(bounds)]
    kept = [order[m:b] if half == "second" else order[a:m] for a, m, b in cuts]
    horizon = float(np.median([data.time[e[-1]] - data.time[e[0]] for e in kept]))
    items = [torch.from_numpy(data.item[e]) for e in kept]
    times = [torch.from_numpy((data.time[e] - data.time[e[0]]) / horizon) for e in kept]
    group_a = torch.zeros(len(kept), dtype=torch.bool)
    group_a[torch.from_numpy(rng.permutation(len(kept))[: len(kept) // 2])] = True
    return Split(padded(items, 0), padded(times, np.inf), group_a, horizon, len(data.titles))


def padded(rows: list[Tensor], value: float) -> Tensor:
    """Rows of unlike length as one table."""
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=value)


def shuffled_gaps(times: Tensor, generator: torch.Generator) -> Tensor:
    """Sabotage: the waits between a user's events, the open one up to the state among them, in a random order.

    times (U, L) -> (U, L), and inf from the state on. First event, count of events and state stay; what is lost is
    when the pauses were.
    """
    inside = times < STATE
    edges = torch.cat([torch.where(inside, times, STATE), torch.full_like(times[:, :1], STATE)], 1)
    gaps, count = edges.diff(dim=1), inside.sum(1, keepdim=True)
    key = torch.rand(gaps.shape, generator=generator).to(times.device)
    key = torch.where(torch.arange(gaps.shape[1], device=times.device) < count, key, 2.0)
    moved = gaps.gather(1, key.argsort(1))
    mixed = torch.cat([torch.zeros_like(times[:, :1]), moved.cumsum(1)[:, :-1]], 1)
    return torch.where(inside, mixed.clamp(max=STATE * (1 - 1e-9)), torch.inf)
