"""TPT-48 in other years: the second half of a state's year from the first, learned in 24 states, asked in the others.

The paper takes 2008 to 2019. Here the years 1900 to 2007 are cut into nine windows of the same length, twelve years:
the first three are for choices, the last six for evidence. In each window every state has twelve pairs (x, y), and
the pairs of one year may be shown together for all states: a year is no class.

symbol       here                shape
x            Task.x              (48, 12, 6), January to June, standardised
y            Task.y              (48, 12, 6), July to December, standardised
U_s          Task.sources        (24,), states whose y is known in training
             Task.level          (48,), borders to cross to the closest source: 0 (a source), 1, 2, 3 (3 or more)

One mean and one spread, of all the source states' months in the window, standardise x and y everywhere. An error is
the squared difference summed over the six months. That the paper's Table 2 has the same units is not known.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from sklearn.linear_model import RidgeCV

from companion.data.us_states import STATES, state_temperatures, us48
from companion.errors import CompanionError
from companion.grda.worlds import hops

Split = Literal["E->W", "N->S"]

FIRST_YEAR, WINDOW, WINDOWS = 1900, 12, 9
CHOICE, EVIDENCE = range(3), range(3, WINDOWS)
HALF = 6
FARTHEST = 3  # the last level holds all that is this far or farther
PENALTIES = tuple(np.logspace(-3, 3, 13).tolist())
EAST = (
    "VT", "NH", "ME", "MI", "NY", "MA", "IN", "OH", "PA", "NJ", "CT", "RI",
    "MO", "KY", "WV", "MD", "DE", "TN", "VA", "AL", "GA", "NC", "FL", "SC",
)  # fmt: skip
NORTH = (
    "ND", "VT", "NH", "ME", "WA", "MT", "SD", "MN", "WI", "MI", "NY", "MA",
    "OR", "ID", "WY", "NE", "IA", "IL", "IN", "OH", "PA", "NJ", "CT", "RI",
)  # fmt: skip
SOURCES: Mapping[Split, tuple[str, ...]] = {"E->W": EAST, "N->S": NORTH}


@dataclass(frozen=True)
class Task:
    """One window and one split; shapes as in the legend. mean, spread: what standardised, in degrees F."""

    x: np.ndarray
    y: np.ndarray
    sources: np.ndarray
    level: np.ndarray
    adjacency: np.ndarray
    mean: float
    spread: float

    @property
    def targets(self) -> np.ndarray:
        """The states that are no source, (24,)."""
        return np.flatnonzero(self.level > 0)


def levels(adjacency: np.ndarray, sources: np.ndarray) -> np.ndarray:
    """Borders to cross from each domain to its closest source, [N] int64, at most 3; adjacency [N, N], 0 or 1."""
    steps = hops(adjacency, np.isin(np.arange(len(adjacency)), sources))
    return np.where((steps < 0) | (steps > FARTHEST), FARTHEST, steps)


def make_task(temperatures: np.ndarray, adjacency: np.ndarray, sources: np.ndarray) -> Task:
    """Temperatures [N, years, 12] in degrees F as a task; nothing is taken from the targets but their own values."""
    known = temperatures[sources]
    mean, spread = float(known.mean()), float(known.std())
    scaled = (temperatures - mean) / spread
    return Task(scaled[..., :HALF], scaled[..., HALF:], sources, levels(adjacency, sources), adjacency, mean, spread)


def task(split: Split, window: int) -> Task:
    """The task of a window: 0 is 1900 to 1911, 8 is 1996 to 2007. Needs the user's own copy of the temperatures."""
    if split not in SOURCES or not 0 <= window < WINDOWS:
        raise CompanionError(
            f"split = {split!r}, window = {window}; use {' or '.join(SOURCES)}, and a window from 0 to {WINDOWS - 1}."
        )
    first = FIRST_YEAR + WINDOW * window
    sources = np.array([STATES.index(state) for state in SOURCES[split]])
    return make_task(state_temperatures(first, first + WINDOW - 1), us48(), sources)


def autocorrelation(values: np.ndarray, adjacency: np.ndarray) -> np.ndarray:
    """Moran's I of each column: how alike neighbours are, [m]; values [N, m], adjacency [N, N].

    1 / (1 - N) where the graph says nothing on average, towards 1 where neighbours are alike. At an equilibrium of the
    game it is 0 for the domains' means of whatever is computed from an encoding, the predictions included.
    """
    apart = values - values.mean(0)
    together = np.einsum("im,ij,jm->m", apart, adjacency, apart) / adjacency.sum()
    return together / np.square(apart).mean(0)


# ---------------------------------------------------------------- errors


def errors(task: Task, predicted: np.ndarray) -> np.ndarray:
    """Per state, the mean over years of the squared error summed over six months, [N]; predicted like task.y."""
    return np.square(predicted - task.y).sum(-1).mean(-1)


def by_level(task: Task, predicted: np.ndarray) -> dict[str, float]:
    """The mean error over the source states, over all targets, and over the targets of each level."""
    found = errors(task, predicted)
    groups = {"sources": task.level == 0, "all targets": task.level > 0}
    groups |= {f"level {level}": task.level == level for level in range(1, FARTHEST + 1)}
    return {name: float(found[group].mean()) for name, group in groups.items() if group.any()}


# ---------------------------------------------------------------- what needs no network


def ridge(task: Task) -> np.ndarray:
    """Six numbers from six by ridge regression on all source states; leave-one-out there chooses the penalty."""
    x, y = (part[task.sources].reshape(-1, HALF) for part in (task.x, task.y))
    model = RidgeCV(alphas=PENALTIES).fit(x, y)
    return model.predict(task.x.reshape(-1, HALF)).reshape(task.y.shape)


def climatology(task: Task) -> np.ndarray:
    """The source states' mean July to December, for every state and year."""
    return np.broadcast_to(task.y[task.sources].mean((0, 1)), task.y.shape)


def persistence(task: Task) -> np.ndarray:
    """June goes on."""
    return np.broadcast_to(task.x[..., -1:], task.y.shape)


def mirror(task: Task) -> np.ndarray:
    """The year runs back from July: July and August as June, September as May, … December as February."""
    return task.x[..., [5, 5, 4, 3, 2, 1]]


BASELINES: Mapping[str, Callable[[Task], np.ndarray]] = {
    "ridge": ridge,
    "climatology": climatology,
    "persistence": persistence,
    "mirror": mirror,
}
