"""MovieLens under the split of the paper's code, and simulated users: each user's time counts from their first event.

Of each user one half of the events is used: the second for the evidence, as in the paper's code; the first, which the
paper's code discards, for tuning and the pilot run. Time 0 is the first event of that half; one unit, the horizon, is
the median over users of the time from the first to the last event. The state of every user is the one at time 1, and
its targets are the events in [1, 2). Users of group A train in full, those of group B before time 1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from companion.data.ratings import Interactions, ml1m, ml100k, ml_latest_small
from companion.errors import CompanionError
from companion.rim.method import log_scores

Half = Literal["first", "second"]
HALVES = ("first", "second")
STATE, END = 1.0, 2.0  # the time of every user's state, and the end of its window of targets, in horizons
DATASETS: dict[str, Callable[[], Interactions]] = {"ml100k": ml100k, "ml1m": ml1m, "ml_latest_small": ml_latest_small}


@dataclass(frozen=True)
class Split:
    """Histories and groups of U users.

    items (U, L) int64, padded with 0; times (U, L) float64, in horizons, padded with inf; group_a (U,) bool;
    horizon: seconds; num_items: the size of the catalog.
    """

    items: Tensor
    times: Tensor
    group_a: Tensor
    horizon: float
    num_items: int

    @property
    def events_before(self) -> Tensor:
        """The number of each user's events before the state, (U,) int64."""
        return (self.times < STATE).sum(1)

    @property
    def events_after(self) -> Tensor:
        """The number of each user's events in the window of targets, (U,) int64."""
        return ((self.times >= STATE) & (self.times < END)).sum(1)

    def training_lengths(self, exclude_future: bool = False) -> Tensor:
        """How many events of each user a relevance model trains on, (U,) int64.

        exclude_future: of group A too only those before the state, so that prices, which are learned on A, are learned
        from scores of the same kind as those of B.
        """
        everything = self.times.isfinite().sum(1)
        return self.events_before if exclude_future else torch.where(self.group_a, everything, self.events_before)

    def training_events(self) -> tuple[Tensor, Tensor]:
        """Users and items of all training events, two tensors (E,) int64."""
        used = torch.arange(self.items.shape[1], device=self.items.device) < self.training_lengths().unsqueeze(1)
        return torch.nonzero(used)[:, 0], self.items[used]

    def item_counts(self) -> Tensor:
        """Training events of each item, (num_items,) float64."""
        return torch.bincount(self.training_events()[1], minlength=self.num_items).double()

    def targets(self, users: Tensor) -> Tensor:
        """Y: events of each item in the window of targets, (n, num_items) float64, of users (n,)."""
        return self._count(users, (self.times >= STATE) & (self.times < END))

    def seen(self, users: Tensor) -> Tensor:
        """Which items each history contains before the state, (n, num_items) bool, of users (n,)."""
        return self._count(users, self.times < STATE) > 0

    def _count(self, users: Tensor, events: Tensor) -> Tensor:
        table = torch.zeros(len(users), self.num_items, dtype=torch.float64, device=self.items.device)
        return table.scatter_add_(1, self.items[users], events[users].double())

    def to(self, device: torch.device) -> Split:
        """The same split on a device."""
        return replace(self, **{name: getattr(self, name).to(device) for name in ("items", "times", "group_a")})


def make_split(data: Interactions, half: Half, seed: int) -> Split:
    """Take one half of each user's events, count time from its first, and draw the groups.

    The seed draws the groups, and the order of events of one second. Raises CompanionError if half is neither "first"
    nor "second".
    """
    if half not in HALVES:
        raise CompanionError(f"half = {half!r} is not known; use one of {', '.join(HALVES)}.")
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(data.user))
    order = order[np.lexsort((data.time[order], data.user[order]))]
    bounds = np.searchsorted(data.user[order], np.arange(data.user.max() + 2))
    middles = [(start, (start + end) // 2, end) for start, end in pairwise(bounds)]
    events = [order[middle:end] if half == "second" else order[start:middle] for start, middle, end in middles]
    horizon = float(np.median([data.time[e[-1]] - data.time[e[0]] for e in events]))
    items = [torch.from_numpy(data.item[e]) for e in events]
    times = [torch.from_numpy((data.time[e] - data.time[e[0]]) / horizon) for e in events]
    group_a = torch.zeros(len(events), dtype=torch.bool)
    group_a[torch.from_numpy(rng.permutation(len(events))[: len(events) // 2])] = True
    padded_items = pad_sequence(items, batch_first=True)
    padded_times = pad_sequence(times, batch_first=True, padding_value=np.inf)
    return Split(padded_items, padded_times, group_a, horizon, len(data.titles))


@dataclass(frozen=True)
class ExperimentData:
    """A split, and what is to be recommended in it.

    states (n,) and items (m,) int64: the users and items of the matrix; targets (n, m) float64: events in the window;
    seen (n, m) bool: pairs that are never recommended; k items per state, c states per item; item_order (m,) and
    state_order (n,): random orders that break ties.
    """

    split: Split
    states: Tensor
    items: Tensor
    targets: Tensor
    seen: Tensor
    k: int
    c: int
    item_order: Tensor
    state_order: Tensor

    def log_scores(self, log_p: Tensor, activity: Tensor) -> Tensor:
        """log lambda(x, y) of states and items, (n, m), -inf for seen pairs; log_p (U, num_items), activity (U,)."""
        table = log_scores(log_p[self.states][:, self.items], activity[self.states])
        return table.masked_fill(self.seen, -torch.inf)


def select(split: Split, states: Tensor, items: Tensor, seed: int) -> ExperimentData:
    """The matrix of the given states (n,) and items (m,); k is 1 % of the items and c is 1 % of the states."""
    generator = torch.Generator().manual_seed(seed)
    orders = [torch.randperm(len(x), generator=generator).to(states.device) for x in (items, states)]
    tables = (split.targets(states)[:, items], split.seen(states)[:, items])
    return ExperimentData(split, states, items, *tables, one_percent(len(items)), one_percent(len(states)), *orders)


def one_percent(count: int) -> int:
    """One percent, rounded up."""
    return -(-count // 100)


def load_interactions(name: str) -> Interactions:
    """The events of a data set; raises CompanionError for an unknown name."""
    if name not in DATASETS:
        raise CompanionError(f"data = {name!r} is not known; use one of {', '.join(DATASETS)}.")
    return DATASETS[name]()


def load_data(name: str, half: Half, seed: int, device: torch.device) -> ExperimentData:
    """The data of one seed: the states of group B, and the items that occur in the training events."""
    split = make_split(load_interactions(name), half, seed).to(device)
    items = torch.nonzero(split.item_counts() > 0).squeeze(1)
    return select(split, torch.nonzero(~split.group_a).squeeze(1), items, seed)


def most_popular(data: ExperimentData, count: int, k: int) -> tuple[ExperimentData, ExperimentData]:
    """The `count` items with most training events, for the states of group A and for the test states; k per state."""
    items = data.split.item_counts().topk(min(count, len(data.items))).indices
    group_a = torch.nonzero(data.split.group_a).squeeze(1)
    past, test = (select(data.split, states, items, 0) for states in (group_a, data.states))
    return replace(past, k=k), replace(test, k=k)


def shuffle_gaps(times: Tensor, generator: torch.Generator) -> Tensor:
    """For the ablation test: a user's waiting times, the open one before the state included, in a random order.

    times (U, L) -> (U, L), and inf from the state on. First event, number of events and state are unchanged; when the
    pauses were is lost.
    """
    inside = times < STATE
    edges = torch.cat([torch.where(inside, times, STATE), torch.full_like(times[:, :1], STATE)], 1)
    gaps, count = edges.diff(dim=1), inside.sum(1, keepdim=True)
    key = torch.rand(gaps.shape, generator=generator).to(times.device)
    key = torch.where(torch.arange(gaps.shape[1], device=times.device) < count, key, 2.0)
    shuffled = gaps.gather(1, key.argsort(1))
    new_times = torch.cat([torch.zeros_like(times[:, :1]), shuffled.cumsum(1)[:, :-1]], 1)
    return torch.where(inside, new_times.clamp(max=STATE * (1 - 1e-9)), torch.inf)


def simulate(weights: Tensor, scales: Tensor, users: int, until: float, generator: torch.Generator) -> Tensor:
    """Hawkes processes with a sign-up at time 0, by Ogata's thinning for all users at once.

    weights (2J + 1,), scales (J,) as fitted -> times (users, L) float64 of events in [0, until), padded with inf.
    Between events the intensity only falls, so its present value bounds it; a proposed event is accepted with the
    ratio of the intensity to that bound.
    """
    j = len(scales)

    def intensity(now: Tensor, excited: Tensor) -> Tensor:
        first = torch.exp(-now.unsqueeze(1) / scales) / scales
        return (excited / scales) @ weights[:j] + first @ weights[j : 2 * j] + weights[-1]

    now, excited = torch.zeros(users, dtype=torch.float64), torch.zeros(users, j, dtype=torch.float64)
    events = [now.clone()]
    while bool((now < until).any()):
        bound = intensity(now, excited)
        wait = -torch.rand(users, generator=generator, dtype=torch.float64).log() / bound
        now, excited = now + wait, excited * torch.exp(-wait.unsqueeze(1) / scales)
        ratio = intensity(now, excited) / bound
        accepted = (torch.rand(users, generator=generator, dtype=torch.float64) < ratio) & (now < until)
        excited = excited + accepted.unsqueeze(1)
        events.append(torch.where(accepted, now, torch.inf))
    times = torch.stack(events, 1).sort(1).values
    return times[:, : int(times.isfinite().sum(1).max())]
