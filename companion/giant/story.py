"""What the notebook looks at closely: a toy of six nodes, cosines of linked pairs, and one noun's clusters in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from scipy import sparse
from torch import Tensor
from torch.nn import functional

from companion.giant import arms, method
from companion.giant.arms import FROZEN, GIANT, Budget, Clusters, World
from companion.giant.method import LabelTree
from companion.giant.training import Level

TOY_NODES = ("cat", "dog", "pet", "gene", "DNA", "cell")
TOY_PAIRS = ((0, 2), (1, 2), (0, 1), (3, 4), (3, 5), (2, 5))
TOY_TEXTS = ((1, 1, 0), (1, 1, 0), (0, 1, 0), (0, 0, 1), (0, 0, 1), (1, 0, 1))


class Toy(NamedTuple):
    """Six nodes: links (6, 6), texts (6, 3) as counts of three words, PIFA (6, 3), a tree of two levels."""

    links: np.ndarray
    texts: np.ndarray
    pifa: np.ndarray
    tree: LabelTree


def toy() -> Toy:
    """Three nodes on animals, three on genes, and one link between."""
    links = method.adjacency(np.array(TOY_PAIRS).T, len(TOY_NODES))
    texts = np.array(TOY_TEXTS, dtype=np.float32)
    vectors = method.pifa(links, sparse.csr_matrix(texts)).toarray()
    side = method.split(torch.from_numpy(vectors), torch.zeros(6, dtype=torch.int64), torch.Generator().manual_seed(0))
    return Toy(links.toarray(), texts, vectors, LabelTree(side, (1,)))


class Pairs(NamedTuple):
    """Cosines of linked pairs, and of as many random ones."""

    linked: Tensor
    random: Tensor


def cosines(vectors: Tensor, pairs: np.ndarray, seed: int = 0) -> Pairs:
    """Cosines after subtracting the mean vector: vectors (N, h), pairs (2, E)."""
    z = functional.normalize(vectors - vectors.mean(0))
    a, b = torch.from_numpy(pairs)
    mixed = torch.randint(len(z), (2, len(a)), generator=torch.Generator().manual_seed(seed))
    return Pairs((z[a] * z[b]).sum(1), (z[mixed[0]] * z[mixed[1]]).sum(1))


@dataclass(frozen=True)
class Reading:
    """One noun under one level: its text, its neighbours, and the likeliest clusters before and after tuning."""

    name: str
    text: str
    near: list[str]
    clusters: list[list[int]]
    scores: list[list[float]]
    true: set[int]
    words: dict[int, str]


class Reader:
    """Everything that the widget shows, made once: levels before and after tuning, and typical words of clusters."""

    def __init__(self, world: World, choice: Clusters, budget: Budget, rows: Tensor, seed: int) -> None:
        before, after = (arms.tune(world, arm, choice, budget, rows, seed) for arm in (FROZEN, GIANT))
        self.world, self.tree, self.after = world, after.grown, after
        self.levels: list[tuple[Level, Level]] = list(zip(before.levels, after.levels, strict=True))
        self.words = [typical_words(world, self.tree, level) for level in range(1, len(self.levels) + 1)]

    def read(self, name: str, level: int) -> Reading:
        """A noun by its name, at level 1 (coarsest), 2, ..."""
        found, node = self.world.texts, self.world.texts.names.index(name)
        near = self.world.links[node].indices
        pair = self.levels[level - 1]
        cluster = self.tree.cluster(level)
        return Reading(
            name,
            found.texts[node],
            [found.names[i] for i in near],
            [step.beam[node].tolist() for step in pair],
            [step.likely[node].exp().tolist() for step in pair],
            set(cluster[near].tolist()),
            self.words[level - 1],
        )


def typical_words(world: World, tree: LabelTree, level: int, count: int = 3) -> dict[int, str]:
    """The words whose mean weight in a cluster's own texts stands out most, cluster -> "word, word, word"."""
    (weights, names), cluster = arms.words(world.texts.texts), tree.cluster(level).numpy()
    mean, found = np.asarray(weights.mean(0))[0], {}
    for k in range(tree.clusters(level)):
        gain = np.asarray(weights[cluster == k].mean(0))[0] - mean
        found[k] = ", ".join(names[gain.argsort()[::-1][:count]])
    return found


def shares(world: World, tree: LabelTree, level: int) -> np.ndarray:
    """How the nodes of each cluster spread over classes, (K, classes), rows sum to 1, sorted by their largest class."""
    labels, cluster = world.graph.labels, tree.cluster(level)
    known = labels >= 0
    table = torch.zeros(tree.clusters(level), world.graph.classes)
    table.index_put_((cluster[known], labels[known]), torch.ones(int(known.sum())), accumulate=True)
    table = table / table.sum(1, keepdim=True).clamp(min=1)
    return table[torch.argsort(table.argmax(1) - table.amax(1))].numpy()
