"""The lesson's data: DG-15 and DG-60 by the published rule, toy domains on small graphs, temperatures of states."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, Self

import numpy as np
import torch
from torch import Tensor

from companion.data.us_states import STATES, published_dg15, state_temperatures, us48
from companion.errors import CompanionError
from companion.grda import theory

Edges = tuple[tuple[int, int], ...]
Split = Literal["E->W", "N->S"]
PUBLISHED = "published DG-15"

# ---------------------------------------------------------------- DG-15 and DG-60


class Rule(NamedTuple):
    """How a DG dataset is drawn."""

    num_domains: int
    max_angle: float  # radians
    radius_growth: float  # radius of the spiral at the largest angle, minus 1
    threshold: float  # smallest cosine between two angles for an edge
    even: bool = False  # one angle in each of num_domains equal intervals, so that draws are equally hard


RULES: Mapping[str, Rule] = {
    "DG-15": Rule(15, max_angle=np.pi, radius_growth=1.8, threshold=0.5, even=True),
    "DG-15, free angles": Rule(15, max_angle=np.pi, radius_growth=1.8, threshold=0.5),
    "DG-60": Rule(60, max_angle=2 * np.pi, radius_growth=6.0, threshold=0.2),
}
PER_CLASS, NUM_SOURCES = 50, 6  # samples per class and domain; labeled domains
CANDIDATES = 300  # normal draws, of which the first 50 within the unit disk are used


@dataclass(frozen=True)
class Domains:
    """V domains of n samples each, and the graph between them.

    x (V, n, m) float32; y (V, n) int64 classes, or (V, n, c) float32 targets; adjacency (V, V) float32; sources (V,)
    bool: the domains whose y is used for training.
    """

    x: Tensor
    y: Tensor
    adjacency: Tensor
    sources: Tensor

    @property
    def hops(self) -> np.ndarray:
        """Length of the shortest path from each domain to the nearest source, (V,) int64; -1 where there is no path."""
        return hops(self.adjacency.cpu().numpy(), self.sources.cpu().numpy())

    def to(self, device: torch.device) -> Self:
        """The same domains with the tensors on a device."""
        moved = {name: getattr(self, name).to(device) for name in ("x", "y", "adjacency", "sources")}
        return replace(self, **moved)


@dataclass(frozen=True)
class DGDomains(Domains):
    """A DG dataset, y sorted by class in every domain, as published; angle (V,) in radians.

    x is standardized over all samples; center, scale (m,): the mean and the standard deviation before.
    """

    angle: np.ndarray
    center: np.ndarray
    scale: np.ndarray

    @property
    def points(self) -> np.ndarray:
        """The samples before standardization, (V, n, m) float64."""
        return self.x.cpu().numpy() * self.scale + self.center


def make_dg(name: str, seed: int) -> DGDomains:
    """Draw a DG dataset by its rule: angles, radii, edges, then 50 points of each class in every domain.

    A draw in which a target cannot be reached from the sources is repeated, with the same generator.
    """
    if name not in RULES:
        raise CompanionError(f"name = {name!r} is not a dataset of this lesson; use one of {', '.join(RULES)}.")
    rng = np.random.default_rng([seed, RULES[name].num_domains])
    domains = _draw(RULES[name], rng)
    while (domains.hops < 0).any():
        domains = _draw(RULES[name], rng)
    return domains


def _draw(rule: Rule, rng: np.random.Generator) -> DGDomains:
    angle = rng.uniform(0, rule.max_angle, rule.num_domains)
    if rule.even:
        angle = (np.arange(rule.num_domains) * rule.max_angle + angle) / rule.num_domains
    cosine = np.cos(angle[:, None] - angle[None, :])
    edges = np.triu(rng.uniform(size=cosine.shape) < cosine, 1) & (cosine >= rule.threshold)
    radius = 1 + rule.radius_growth * angle / rule.max_angle
    center = radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    first = center[:, None] + _disk(rng, rule.num_domains)
    second = -center[:, None] + _disk(rng, rule.num_domains)
    points = np.stack([first, second], axis=1)
    return assemble_dg(points, (edges | edges.T).astype(np.float32), angle)


def _disk(rng: np.random.Generator, num_domains: int) -> np.ndarray:
    """Standard normal points within the unit disk, (num_domains, 50, 2)."""
    candidates = rng.normal(size=(num_domains, CANDIDATES, 2))
    first = np.argsort(np.linalg.norm(candidates, axis=2) > 1, axis=1, kind="stable")[:, :PER_CLASS]
    return np.take_along_axis(candidates, first[:, :, None], axis=1)


def assemble_dg(
    points: np.ndarray, adjacency: np.ndarray, angle: np.ndarray, sources: np.ndarray | None = None
) -> DGDomains:
    """A dataset from points (V, classes, n, m); by default the six domains of smallest angle are sources."""
    num_domains, classes, n, m = points.shape
    flat = points.reshape(num_domains, classes * n, m)
    center, scale = flat.mean((0, 1)), flat.std((0, 1))
    x = torch.from_numpy(((flat - center) / scale).astype(np.float32))
    y = torch.arange(classes).repeat_interleave(n).expand(num_domains, -1).contiguous()
    is_source = torch.zeros(num_domains, dtype=torch.bool)
    is_source[torch.from_numpy(np.argsort(angle)[:NUM_SOURCES] if sources is None else sources)] = True
    return DGDomains(x, y, torch.from_numpy(adjacency.astype(np.float32)), is_source, angle, center, scale)


def load_published_dg15() -> DGDomains:
    """DG-15 as its authors published it; needs the user's own copy (COMPANION_REAL)."""
    file = published_dg15()
    order = np.lexsort((file.label, file.domain))
    points = file.data[order].reshape(len(file.angle), 2, PER_CLASS, -1)
    return assemble_dg(points, file.adjacency, file.angle, file.source_domains)


def load_dg(name: str, seed: int) -> DGDomains:
    """A DG dataset drawn for a seed, or the published file, the same for every seed."""
    if name not in (*RULES, PUBLISHED):
        raise CompanionError(f"data = {name!r} is not known; use one of {', '.join((*RULES, PUBLISHED))}.")
    return load_published_dg15() if name == PUBLISHED else make_dg(name, seed)


def hops(adjacency: np.ndarray, sources: np.ndarray) -> np.ndarray:
    """Length of the shortest path from each node to the nearest source, (V,) int64; -1 where there is no path.

    adjacency (V, V), sources (V,) bool.
    """
    distance = np.where(sources, 0, -1)
    for step in range(1, len(adjacency)):
        reached = (adjacency[distance >= 0].sum(0) > 0) & (distance < 0)
        distance[reached] = step
    return distance


def permute_graph(domains: Domains, seed: int) -> Domains:
    """The same domains with the nodes of the graph permuted, so that edges join unrelated domains."""
    order = torch.from_numpy(np.random.default_rng([seed, 7]).permutation(len(domains.adjacency))).to(domains.x.device)
    return replace(domains, adjacency=domains.adjacency[order][:, order])


# ---------------------------------------------------------------- toy domains

CLUSTER_STD = 0.5  # of a class, in units of the circle's radius


@dataclass(frozen=True)
class ToyDomains:
    """V domains on a graph and K classes, whose centers lie at equal angles on a circle.

    Each domain has its own class shares. The sources are labeled. The plane of each target is rotated by an unknown
    angle, so its points alone do not show which cluster is which class. The graph's condition delta(e)' A delta(e') = 0
    (see `theory`) may; DANN's condition is that all domains are equal.
    """

    name: str
    prediction: str  # what the graph's condition says of the targets
    shares: tuple[tuple[float, ...], ...]  # class shares, (V, K)
    edges: Edges  # of the graph whose condition the class shares satisfy
    sources: tuple[int, ...]
    max_rotation: float = math.pi  # radians
    encoder: Literal["rotation", "matrices", "mlp"] = "rotation"
    given_edges: Edges = ()  # edges that the methods use, if they are not `edges`

    def given_graph(self) -> Tensor:
        """A (V, V) float64, as the methods use it."""
        return theory.graph(len(self.shares), self.given_edges or self.edges)

    def targets(self) -> list[int]:
        """Indices of the domains without labels."""
        return [domain for domain in range(len(self.shares)) if domain not in self.sources]


def two_classes(*second: float) -> tuple[tuple[float, ...], ...]:
    """Class shares of each domain, from the share of the second class."""
    return tuple((1 - share, share) for share in second)


CHAIN_3, CHAIN_4, CHAIN_5 = (tuple((i, i + 1) for i in range(n - 1)) for n in (3, 4, 5))
TAIL = ((0, 1), (1, 2), (1, 3), (2, 3))  # a tail, domain 0, on the triangle 1, 2, 3
TWO_TRIANGLES = ((0, 1), (1, 2), (1, 3), (1, 4), (2, 3), (2, 4))  # a tail on two triangles with a common side
STAR = ((0, 1), (0, 2), (0, 3), (0, 4))
WRONG_TAIL = ((2, 1), (0, 1), (0, 3), (1, 3))  # the same with domains 0 and 2 exchanged
MIXED = ((0.8, 0.1, 0.1), (0.8, 0.1, 0.1), (0.1, 0.45, 0.45), (0.1, 0.45, 0.45))

TAIL_SHARES, TAIL_SOURCES = two_classes(0.1, 0.1, 0.9, 0.9), (0, 2, 3)
TOYS = (
    ToyDomains("triangle with tail", "hub = tail; the other two are equal", TAIL_SHARES, TAIL, TAIL_SOURCES),
    ToyDomains("triangle with tail, milder", "hub = tail", two_classes(0.2, 0.2, 0.8, 0.8), TAIL, TAIL_SOURCES),
    ToyDomains("triangle with tail, three classes", "hub = tail", MIXED, TAIL, TAIL_SOURCES),
    ToyDomains("triangle with tail, small turns", "hub = tail", TAIL_SHARES, TAIL, TAIL_SOURCES, math.pi / 3),
    ToyDomains("triangle with tail, matrices", "hub = tail", TAIL_SHARES, TAIL, TAIL_SOURCES, encoder="matrices"),
    ToyDomains("triangle with tail, paper's encoder", "hub = tail", TAIL_SHARES, TAIL, TAIL_SOURCES, encoder="mlp"),
    ToyDomains("triangle with tail, wrong graph", "hub = 2, which is false", TAIL_SHARES, TAIL, TAIL_SOURCES,
               given_edges=WRONG_TAIL),
    ToyDomains("triangle with tail, false condition", "hub = tail, which is false here",
               two_classes(0.1, 0.9, 0.9, 0.9), TAIL, TAIL_SOURCES),
    ToyDomains("two triangles with tail", "one solution for the hub", two_classes(0.1, 0.1, 0.9, 0.7, 0.7),
               TWO_TRIANGLES, (0, 2, 3, 4)),
    ToyDomains("chain of 5, middle", "one solution", two_classes(0.1, 0.5, 0.1, 0.9, 0.9), CHAIN_5, (0, 1, 3, 4)),
    ToyDomains("chain of 4, ends", "an end is half as far as its neighbor", two_classes(0.7, 0.9, 0.1, 0.3), CHAIN_4,
               (1, 2)),
    ToyDomains("chain of 3, end", "end = 2 middle - other end", two_classes(0.9, 0.5, 0.1), CHAIN_3, (0, 1)),
    ToyDomains("chain of 3, middle", "middle = mean, as for DANN", two_classes(0.9, 0.6, 0.3), CHAIN_3, (0, 2)),
    ToyDomains("star, one leaf", "center = mean of leaves", two_classes(0.5, 0.9, 0.9, 0.1, 0.1), STAR, (0, 1, 2, 3)),
)  # fmt: skip
TOY: Mapping[str, ToyDomains] = {toy.name: toy for toy in TOYS}


def draw_toy(toy: ToyDomains, samples: int, seed: int) -> Domains:
    """Draw `samples` points per domain: exact class shares, normal clusters around their centers, targets rotated.

    x (V, samples, 2) float32, y (V, samples) int64; the adjacency is the given graph.
    """
    rng = np.random.default_rng([seed, 3])
    counts = np.round(np.array(toy.shares) * samples).astype(int)
    labels = np.array([np.repeat(np.arange(len(row)), row) for row in counts])
    angles = 2 * np.pi * labels / counts.shape[1]
    points = np.stack([np.cos(angles), np.sin(angles)], -1) + CLUSTER_STD * rng.normal(size=(*labels.shape, 2))
    is_source = np.isin(np.arange(len(labels)), toy.sources)
    rotation = np.where(is_source, 0, rng.uniform(-toy.max_rotation, toy.max_rotation, len(labels)))
    x = torch.from_numpy(np.einsum("vnm,vhm->vnh", points, rotation_matrices(rotation)).astype(np.float32))
    return Domains(x, torch.from_numpy(labels), toy.given_graph().float(), torch.from_numpy(is_source))


def rotation_matrices(angles: np.ndarray) -> np.ndarray:
    """Rotations by angles (V,) in radians, (V, 2, 2)."""
    cosine, sine = np.cos(angles), np.sin(angles)
    return np.stack([np.stack([cosine, -sine], -1), np.stack([sine, cosine], -1)], -2)


# ---------------------------------------------------------------- temperatures of 48 states

FIRST_YEAR, WINDOW_YEARS, NUM_WINDOWS = 1900, 12, 9
TUNING_WINDOWS, TEST_WINDOWS = range(3), range(3, NUM_WINDOWS)
HALF_YEAR = 6  # months
MAX_LEVEL = 3  # states that are farther from the sources have this level as well
EAST = (
    "VT", "NH", "ME", "MI", "NY", "MA", "IN", "OH", "PA", "NJ", "CT", "RI",
    "MO", "KY", "WV", "MD", "DE", "TN", "VA", "AL", "GA", "NC", "FL", "SC",
)  # fmt: skip
NORTH = (
    "ND", "VT", "NH", "ME", "WA", "MT", "SD", "MN", "WI", "MI", "NY", "MA",
    "OR", "ID", "WY", "NE", "IA", "IL", "IN", "OH", "PA", "NJ", "CT", "RI",
)  # fmt: skip
SOURCE_STATES: Mapping[Split, tuple[str, ...]] = {"E->W": EAST, "N->S": NORTH}


@dataclass(frozen=True)
class Temperatures:
    """TPT-48 in other years: predict the second half of a state's year from the first; one window, one split.

    The paper uses 2008 to 2019. Here 1900 to 2007 is divided into nine windows of the same length, twelve years: three
    for tuning, six for testing. Pairs of the same year are shown together: the year carries no label.
    """

    x: np.ndarray  # (48, 12, 6) January to June, standardized by the source states' months of the window
    y: np.ndarray  # (48, 12, 6) July to December, likewise
    sources: np.ndarray  # (24,) indices of the states whose y is used for training
    level: np.ndarray  # (48,) borders to the closest source: 0 (a source), 1, 2, 3 (3 or more)
    adjacency: np.ndarray  # (48, 48)
    mean: float  # of the source states' months, degrees F
    std: float  # of the source states' months, degrees F

    @property
    def targets(self) -> np.ndarray:
        """Indices of the target states, (24,)."""
        return np.flatnonzero(self.level > 0)

    def domains(self) -> Domains:
        """The states as domains with a graph, float32."""
        is_source = torch.zeros(len(self.adjacency), dtype=torch.bool)
        is_source[torch.from_numpy(self.sources)] = True
        x, y, adjacency = (torch.from_numpy(part.astype(np.float32)) for part in (self.x, self.y, self.adjacency))
        return Domains(x, y, adjacency, is_source)


def levels(adjacency: np.ndarray, sources: np.ndarray) -> np.ndarray:
    """Borders from each domain to its closest source, (N,) int64, at most 3; adjacency (N, N); sources: indices."""
    steps = hops(adjacency, np.isin(np.arange(len(adjacency)), sources))
    return np.where((steps < 0) | (steps > MAX_LEVEL), MAX_LEVEL, steps)


def standardize(temperatures: np.ndarray, adjacency: np.ndarray, sources: np.ndarray) -> Temperatures:
    """Split temperatures (N, years, 12) in degrees F into x and y, standardized by the sources' mean and deviation."""
    of_sources = temperatures[sources]
    mean, std = float(of_sources.mean()), float(of_sources.std())
    scaled = (temperatures - mean) / std
    x, y = scaled[..., :HALF_YEAR], scaled[..., HALF_YEAR:]
    return Temperatures(x, y, sources, levels(adjacency, sources), adjacency, mean, std)


def load_temperatures(split: Split, window: int) -> Temperatures:
    """Twelve years: window 0 is 1900 to 1911, 8 is 1996 to 2007. Needs the user's own copy of the temperatures."""
    if split not in SOURCE_STATES or not 0 <= window < NUM_WINDOWS:
        raise CompanionError(
            f"split = {split!r}, window = {window}; use {' or '.join(SOURCE_STATES)}, and a window from 0 to "
            f"{NUM_WINDOWS - 1}."
        )
    first = FIRST_YEAR + WINDOW_YEARS * window
    sources = np.array([STATES.index(state) for state in SOURCE_STATES[split]])
    return standardize(state_temperatures(first, first + WINDOW_YEARS - 1), us48(), sources)
