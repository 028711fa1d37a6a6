"""Exact checks: what must be true of this code whatever the data; each returns an error that should be near zero."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from companion.giant import downstream, method, theory

DEPTHS = (1, 2, 3)
TOY_COUNTS, TOY_SCORES = [[2.0, 0.0, 0.0]], [[0.5, -0.2, -3.0]]


@cache
def reference() -> dict[str, Any]:
    """What libpecos made of a small random graph (`reference.toml`)."""
    return tomllib.loads((Path(__file__).parent / "reference.toml").read_text("utf-8"))


def example() -> tuple[sparse.csr_matrix, sparse.csr_matrix]:
    """The small random graph: adjacency (60, 60) and features (60, 8)."""
    known = reference()
    return method.adjacency(np.array(known["pairs"]), known["nodes"]), sparse.csr_matrix(np.array(known["features"]))


def example_tree(seed: int = 0) -> method.LabelTree:
    """A tree of depth 3 over the small graph."""
    vectors = torch.from_numpy(method.pifa(*example()).toarray()).float()
    return method.balanced_tree(vectors, DEPTHS, torch.Generator().manual_seed(seed))


def pifa_is_libpecos() -> float:
    """PIFA here less PIFA by libpecos 1.2.8, the largest difference."""
    return float(np.abs(method.pifa(*example()).toarray() - np.array(reference()["pifa"])).max())


def pifa_is_the_loop() -> float:
    """Z as one product of sparse matrices against the sum over neighbours, node by node."""
    links, features = (matrix.toarray() for matrix in example())
    worst = 0.0
    for node, found in enumerate(method.pifa(*example()).toarray()):
        near = np.flatnonzero(links[node])
        total = sum((features[i] / np.sqrt(links[i].sum()) for i in near), np.zeros(features.shape[1]))
        worst = max(worst, float(np.abs(found - total / (np.linalg.norm(total) or 1)).max()))
    return worst


def isolated_nodes_are_zero() -> float:
    """The largest entry of Z in a row of a node without neighbours, of which there are three or more."""
    links, _ = example()
    alone = np.flatnonzero(np.diff(links.indptr) == 0)
    return float(np.abs(method.pifa(*example()).toarray()[alone]).max()) if len(alone) >= 3 else 1.0


def tree_is_balanced() -> float:
    """By how much leaf sizes differ beyond one, over twelve seeds; 60 nodes in 8 leaves are 7 or 8, as libpecos has."""
    seen = {int(size) for seed in range(12) for size in example_tree(seed).leaves.bincount()}
    return float(len(seen ^ set(reference()["leaf_sizes"])))


def objective(vectors: Tensor, leaf: Tensor) -> float:
    """Mean cosine of a row with the centroid of its leaf; vectors (N, d), leaf (N,)."""
    sums = torch.zeros(int(leaf.max()) + 1, vectors.shape[1]).index_add_(0, leaf, vectors)
    return float(sums.norm(dim=1).sum() / len(vectors))


def tree_is_as_good() -> float:
    """How far our mean objective over twelve seeds falls below that of libpecos, relative."""
    vectors = torch.from_numpy(method.pifa(*example()).toarray()).float()
    ours = np.mean([objective(vectors, example_tree(seed).leaves) for seed in range(12)])
    return max(0.0, 1 - float(ours) / float(np.mean(reference()["objectives"])))


def levels_agree() -> float:
    """A cluster holds a neighbour if and only if one of its children does, and counts add up: how many entries err."""
    links, _ = example()
    tree, wrong = example_tree(), 0
    for level in range(1, len(DEPTHS) + 1):
        fine, coarse = (method.level_targets(links, tree, t).toarray() for t in (level, level - 1))
        summed = fine.reshape(len(fine), -1, tree.children(level)).sum(2)
        wrong += int((summed != coarse).sum())
    return float(wrong)


def full_mask_is_dense() -> float:
    """With every cluster active the masked loss is the plain mean over all pairs."""
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(9, 6, generator=generator)
    counts = torch.randint(0, 3, (9, 6), generator=generator).float()
    sign = torch.where(counts > 0, 1.0, -1.0)
    plain = (counts.clamp(min=1) * (1 - sign * scores).clamp(min=0) ** 2).mean()
    return float((method.hinge(scores, counts, torch.ones(9, 6, dtype=torch.bool)) - plain).abs())


def positives_stay_active() -> float:
    """How many positive clusters the mask leaves out at any level, whatever the beam says."""
    links, _ = example()
    tree, generator, lost = example_tree(), torch.Generator().manual_seed(1), 0
    for level in range(1, len(DEPTHS) + 1):
        fine, coarse = (torch.from_numpy(method.level_targets(links, tree, t).toarray()) for t in (level, level - 1))
        beam = torch.randint(coarse.shape[1], (len(coarse), 1), generator=generator)
        mask = method.active_mask(coarse > 0, beam, tree.children(level))
        lost += int(((fine > 0) & ~mask).sum())
    return float(lost)


def hinge_by_hand() -> float:
    """Two neighbours in cluster 1 scored 0.5, none in 2 and 3 scored -0.2 and -3: (2 * 0.25 + 0.64 + 0) / 3."""
    found = method.hinge(torch.tensor(TOY_SCORES), torch.tensor(TOY_COUNTS), torch.ones(1, 3, dtype=torch.bool))
    return abs(float(found) - (2 * 0.25 + 0.64) / 3)


def bootstrap_is_ridge() -> float:
    """The bootstrapped head solves its normal equations on the active instances: the largest gradient."""
    generator = torch.Generator().manual_seed(2)
    z, active = torch.randn(40, 5, generator=generator), torch.rand(40, 3, generator=generator) < 0.6
    counts = torch.randint(0, 2, (40, 6), generator=generator).float()
    head, worst = method.bootstrap(z, counts, active, 2, 3.0), 0.0
    free = torch.tensor([1.0] * 5 + [method.FREE])
    for cluster in range(6):
        rows = active[:, cluster // 2]
        x = torch.nn.functional.pad(z[rows], (0, 1), value=1.0)
        weight = torch.cat([head.weight[cluster], head.bias[cluster : cluster + 1]]).detach()
        sign = 2 * (counts[rows, cluster] > 0).float() - 1
        worst = max(worst, float((x.T @ (x @ weight - sign) + 3.0 * free * weight).abs().max()))
    return worst


def theory_is_the_simulation() -> float:
    """The closed form of the block model against 200,000 draws, for 11 to 41 neighbours: the largest difference."""
    rng, worst = np.random.default_rng(0), 0.0
    for neighbours in (11, 21, 41):
        for homophily in (0.2, 0.4):
            drawn = theory.simulated_error(1.0, 1.0, homophily, neighbours, 200_000, rng)
            worst = max(worst, abs(drawn - theory.neighbour_error(1.0, 1.0, homophily, neighbours)))
    return worst


def neighbourhood_is_enough() -> float:
    """A GCN of two layers on the two-step neighbourhood of five nodes, against the same on the whole graph."""
    links, _ = example()
    edges = torch.from_numpy(np.stack(links.nonzero())).long()
    matrix = downstream.normalised(edges, links.shape[0])
    torch.manual_seed(0)
    net = downstream.network(downstream.GCN_NAME, 4, 3, downstream.Downstream(hidden=6)).eval()
    x, nodes = torch.randn(links.shape[0], 4), torch.tensor([2, 11, 23, 35, 58])
    rows, piece, places = downstream.around(matrix, nodes)
    with torch.no_grad():
        return float((net(x[rows], piece)[places] - net(x, matrix)[nodes]).abs().max())
