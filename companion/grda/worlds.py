"""Worlds: domains with a graph between them. DG-15 and DG-60 are drawn anew from the published rule."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple, Self

import numpy as np
import torch
from torch import Tensor

from companion.data.us_states import published_dg15
from companion.errors import CompanionError


class Rule(NamedTuple):
    """How a DG set is drawn: domains, the largest angle, how far the spiral opens, and the cosine an edge needs.

    `even`: one angle in each of `domains` equal slices of the turn, so that draws are equally hard; else all free.
    """

    domains: int
    turn: float
    opening: float
    threshold: float
    even: bool = False


RULES: Mapping[str, Rule] = {
    "DG-15": Rule(domains=15, turn=np.pi, opening=1.8, threshold=0.5, even=True),
    "DG-15, free angles": Rule(domains=15, turn=np.pi, opening=1.8, threshold=0.5),
    "DG-60": Rule(domains=60, turn=2 * np.pi, opening=6.0, threshold=0.2),
}
PER_CLASS, SOURCES, CROWD = 50, 6, 300


@dataclass(frozen=True)
class World:
    """V domains of n samples each: x (V, n, m) float32; y (V, n) int64 classes, or (V, n, c) float32 targets;
    adjacency (V, V) float32; sources (V,) bool: the domains whose y may be learned.
    """

    x: Tensor
    y: Tensor
    adjacency: Tensor
    sources: Tensor

    @property
    def hops(self) -> np.ndarray:
        """Steps through the graph from each domain to the nearest source, (V,); -1 where there is no way."""
        return hops(self.adjacency.cpu().numpy(), self.sources.cpu().numpy())

    def to(self, device: torch.device) -> Self:
        """The same world with its tensors on a device."""
        moved = {name: getattr(self, name).to(device) for name in ("x", "y", "adjacency", "sources")}
        return replace(self, **moved)


@dataclass(frozen=True)
class DG(World):
    """A DG set: x is standardised, y sorted by class in every domain, as published; angle (V,), and x's scale (m,)."""

    angle: np.ndarray
    centre: np.ndarray
    scale: np.ndarray

    @property
    def points(self) -> np.ndarray:
        """The samples before they were standardised, (V, n, m)."""
        return self.x.cpu().numpy() * self.scale + self.centre


def make_dg(name: str, seed: int) -> DG:
    """Draw a DG set by its rule: angles, radii, edges, then 50 points of each class in every domain.

    A draw in which some target cannot be reached from the sources is drawn again, from the same stream.
    """
    if name not in RULES:
        raise CompanionError(f"name = {name!r} is not a set of this lesson; use one of {', '.join(RULES)}.")
    rng = np.random.default_rng([seed, RULES[name].domains])
    world = _draw(RULES[name], rng)
    while (world.hops < 0).any():
        world = _draw(RULES[name], rng)
    return world


def _draw(rule: Rule, rng: np.random.Generator) -> DG:
    angle = rng.uniform(0, rule.turn, rule.domains)
    if rule.even:
        angle = (np.arange(rule.domains) * rule.turn + angle) / rule.domains
    cosine = np.cos(angle[:, None] - angle[None, :])
    coins = np.triu(rng.uniform(size=cosine.shape) < cosine, 1) & (cosine >= rule.threshold)
    radius = 1 + rule.opening * angle / rule.turn
    centre = radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    points = np.stack([centre[:, None] + _disc(rng, rule.domains), -centre[:, None] + _disc(rng, rule.domains)], axis=1)
    return assemble(points, (coins | coins.T).astype(np.float32), angle)


def _disc(rng: np.random.Generator, domains: int) -> np.ndarray:
    """Standard normal points within the unit disc, (domains, 50, 2)."""
    crowd = rng.normal(size=(domains, CROWD, 2))
    first = np.argsort(np.linalg.norm(crowd, axis=2) > 1, axis=1, kind="stable")[:, :PER_CLASS]
    return np.take_along_axis(crowd, first[:, :, None], axis=1)


def assemble(points: np.ndarray, adjacency: np.ndarray, angle: np.ndarray, sources: np.ndarray | None = None) -> DG:
    """A set from points (V, classes, n, m); unless given, the sources are the six domains of smallest angle."""
    domains, classes, n, m = points.shape
    flat = points.reshape(domains, classes * n, m)
    centre, scale = flat.mean((0, 1)), flat.std((0, 1))
    x = torch.from_numpy(((flat - centre) / scale).astype(np.float32))
    y = torch.arange(classes).repeat_interleave(n).expand(domains, -1).contiguous()
    known = torch.zeros(domains, dtype=torch.bool)
    known[torch.from_numpy(np.argsort(angle)[:SOURCES] if sources is None else sources)] = True
    return DG(x, y, torch.from_numpy(adjacency.astype(np.float32)), known, angle, centre, scale)


def published() -> DG:
    """DG-15 as its authors published it; needs the user's own copy (COMPANION_REAL)."""
    theirs = published_dg15()
    order = np.lexsort((theirs.label, theirs.domain))
    points = theirs.data[order].reshape(len(theirs.angle), 2, PER_CLASS, -1)
    return assemble(points, theirs.adjacency, theirs.angle, theirs.source_domains)


def hops(adjacency: np.ndarray, sources: np.ndarray) -> np.ndarray:
    """Steps from each node to the nearest source, (V,) int; adjacency (V, V), sources (V,) bool; -1: no way."""
    found = np.where(sources, 0, -1)
    for step in range(1, len(adjacency)):
        reached = (adjacency[found >= 0].sum(0) > 0) & (found < 0)
        found[reached] = step
    return found


def permuted(world: World, seed: int) -> World:
    """The same domains with another graph: its nodes dealt out anew, so that edges join unrelated domains."""
    order = torch.from_numpy(np.random.default_rng([seed, 7]).permutation(len(world.adjacency))).to(world.x.device)
    return replace(world, adjacency=world.adjacency[order][:, order])
