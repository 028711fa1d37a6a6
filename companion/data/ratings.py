"""Interactions: who rated which item when. MovieLens in three sizes. Loaders never download."""

import csv
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from companion.data.cache import brought, path

YEAR = re.compile(r" \(\d{4}\)$")


@dataclass(frozen=True)
class Interactions:
    """Events in the order of the file: user, item (E,) int64, numbered from 0; time (E,) int64, seconds since 1970.

    titles (items,) are the items' names, "" where the source has none.
    """

    user: np.ndarray
    item: np.ndarray
    time: np.ndarray
    titles: np.ndarray


def numbered(user: np.ndarray, item: np.ndarray, time: np.ndarray, titles: Mapping[int, str]) -> dict[str, np.ndarray]:
    """The arrays of `Interactions`, users and items numbered by the order of their published numbers."""
    items, number = np.unique(item, return_inverse=True)
    names = np.array([YEAR.sub("", titles.get(int(i), "")) for i in items])
    return {
        "user": np.unique(user, return_inverse=True)[1].astype(np.int32),
        "item": number.astype(np.int32),
        "time": time.astype(np.int64),
        "titles": names,
    }


def reduce_ml100k(files: Mapping[str, Path]) -> dict[str, np.ndarray]:
    """The events and titles of ML-100K, from its carrier (.inter, .item) or from the publisher's u.data and u.item."""
    if "ml-100k.inter" in files:
        table = np.loadtxt(files["ml-100k.inter"], skiprows=1)
        lines = files["ml-100k.item"].read_text("utf-8").splitlines()[1:]
        titles = _titles((line.split("\t")[0], line.split("\t")[1]) for line in lines)
    else:
        table = np.loadtxt(files["u.data"])
        titles = _titles(line.split("|")[:2] for line in files["u.item"].read_text("latin-1").splitlines())
    user, item, _, time = table.astype(np.int64).T
    return numbered(user, item, time, titles)


def reduce_ml1m(files: Mapping[str, Path]) -> dict[str, np.ndarray]:
    """The events and titles of ML-1M: fields separated by two colons."""
    rows = [line.split("::") for line in files["ratings.dat"].read_text("latin-1").splitlines()]
    user, item, _, time = np.array(rows, dtype=np.int64).T
    lines = files["movies.dat"].read_text("latin-1").splitlines()
    return numbered(user, item, time, _titles(line.split("::")[:2] for line in lines))


def _titles(pairs: Iterable[Iterable[str]]) -> dict[int, str]:
    return {int(number): title for number, title in pairs}


def ml100k() -> Interactions:
    """MovieLens-100K: 943 users, 1682 items, 100,000 events in seven months of 1997 and 1998."""
    return _cached("ml100k")


def ml1m() -> Interactions:
    """MovieLens-1M, the smallest of the paper's sets: 6040 users, 3706 items, 1,000,209 events."""
    return _cached("ml1m")


def _cached(name: str) -> Interactions:
    with np.load(path(name)) as arrays:
        return Interactions(**{key: _wide(arrays[key]) for key in ("user", "item", "time", "titles")})


def _wide(array: np.ndarray) -> np.ndarray:
    return array.astype(np.int64) if array.dtype.kind == "i" else array


def ml_latest_small(fewest: int = 10) -> Interactions:
    """The user's own ml-latest-small; items with fewer than `fewest` events are left out."""
    user, item, _, time = np.loadtxt(brought("ml_latest_small", "ratings.csv"), delimiter=",", skiprows=1).T
    with brought("ml_latest_small", "movies.csv").open(encoding="utf-8", newline="") as file:
        titles = _titles(row[:2] for row in list(csv.reader(file))[1:])
    _, number, count = np.unique(item, return_inverse=True, return_counts=True)
    kept = count[number] >= fewest
    arrays = numbered(user[kept], item[kept], time[kept], titles)
    return Interactions(**{key: _wide(value) for key, value in arrays.items()})
