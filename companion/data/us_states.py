"""Domains and how they are related: the states and their borders, their temperatures, and DG-15 as published."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from companion.data.cache import path
from companion.data.catalog import card
from companion.errors import CompanionError

# in the alphabetical order of the full names, as both publishers number them
STATES = (
    "AL", "AZ", "AR", "CA", "CO", "CT", "DE", "FL", "GA", "ID", "IL", "IN", "IA", "KS", "KY", "LA",
    "ME", "MD", "MA", "MI", "MN", "MS", "MO", "MT", "NE", "NV", "NH", "NJ", "NM", "NY", "NC", "ND",
    "OH", "OK", "OR", "PA", "RI", "SC", "SD", "TN", "TX", "UT", "VT", "VA", "WA", "WV", "WI", "WY",
)  # fmt: skip
MEET_IN_A_POINT = (("AZ", "CO"), ("NM", "UT"))
MEAN_TEMPERATURE = "02"  # the element's code
MISSING = -99.9
MONTHS = 12
DG15_ARRAYS = ("data", "label", "domain", "adjacency", "angle", "domain_embedding", "source_domains")


# ---------------------------------------------------------------- the states


def reduce_us48(files: Mapping[str, Path]) -> dict[str, np.ndarray]:
    """The published list of neighbors as edges [2, 105] int8, each border once, without the two single points."""
    lines = [line.split() for line in files["states48.gal"].read_text(encoding="ascii").splitlines()]
    heads, neighbors = lines[1::2], lines[2::2]
    pairs = {(int(head[0]), int(other)) for head, others in zip(heads, neighbors, strict=True) for other in others}
    points = {(STATES.index(a), STATES.index(b)) for a, b in MEET_IN_A_POINT}
    borders = sorted({(min(pair), max(pair)) for pair in pairs} - points)
    return {"edges": np.array(borders, dtype=np.int8).T}


def us48() -> np.ndarray:
    """Which states share a border: A [48, 48] float64, 0 or 1, symmetric, no loops; in the order of STATES."""
    adjacency = np.zeros((len(STATES), len(STATES)))
    with np.load(path("us48")) as arrays:
        first, second = arrays["edges"].astype(np.int64)
    adjacency[first, second] = adjacency[second, first] = 1
    return adjacency


# ---------------------------------------------------------------- their temperatures


def state_temperatures(first: int, last: int) -> np.ndarray:
    """Mean temperature of each state, year and month: [48, last - first + 1, 12] float64, in degrees F.

    first, last: years, both included. States stand in the order of STATES.
    Raises CompanionError where the file is not there, or lacks a month of one of these years.
    """
    if first > last:
        raise CompanionError(f"first = {first} comes after last = {last}; give the earlier year first.")
    return _read_climdiv(_climdiv_file(), first, last)


def _climdiv_file() -> Path:
    folder = path("noaa_climdiv_states")
    found = sorted(folder.glob("climdiv-tmpcst-*"))
    if len(found) != 1:
        raise CompanionError(
            f"{folder} holds {len(found)} files climdiv-tmpcst-*; it must hold one: the newest of "
            f"{card('noaa_climdiv_states').homepage}."
        )
    return found[0]


def _read_climdiv(file: Path, first: int, last: int) -> np.ndarray:
    """Columns 1-3 are the area, 4 is 0, 5-6 the element, 7-10 the year; then twelve values of seven characters."""
    values = np.full((len(STATES), last - first + 1, MONTHS), np.nan)
    for line in file.read_text(encoding="ascii").splitlines():
        area, year = int(line[:3]), int(line[6:10])
        if area <= len(STATES) and line[3:6] == "0" + MEAN_TEMPERATURE and first <= year <= last:
            values[area - 1, year - first] = [float(line[i : i + 7]) for i in range(10, 10 + 7 * MONTHS, 7)]
    values[values == MISSING] = np.nan
    if np.isnan(values).any():
        state, year, month = np.argwhere(np.isnan(values))[0].tolist()
        raise CompanionError(
            f"{file.name} has no temperature of {STATES[state]} for month {month + 1} of {first + year}; "
            "ask for years that it covers."
        )
    return values


# ---------------------------------------------------------------- DG-15


@dataclass(frozen=True)
class PublishedDG15:
    """DG-15 as its authors published it, points in the order of their file: per domain 50 of class 0, then 50 of 1.

    data [1500, 2] float64, not standardized. label, domain [1500] int64. adjacency [15, 15] float64, 0 or 1.
    angle [15] float64, in radians. domain_embedding [15, 2] float32, the authors' own. source_domains [6] int64.
    """

    data: np.ndarray
    label: np.ndarray
    domain: np.ndarray
    adjacency: np.ndarray
    angle: np.ndarray
    domain_embedding: np.ndarray
    source_domains: np.ndarray


def published_dg15() -> PublishedDG15:
    """The user's own copy of DG-15."""
    file = path("grda_dg15") / "dg15.npz"
    if not file.is_file():
        raise CompanionError(f"DG-15 lacks the file dg15.npz; get its arrays from {card('grda_dg15').homepage}.")
    with np.load(file, allow_pickle=False) as arrays:
        return PublishedDG15(**{name: arrays[name] for name in DG15_ARRAYS})
