"""Correctness checks: what must be true of this code for any data; each returns an error that should be near zero."""

from __future__ import annotations

import numpy as np
import torch

from companion.giant import data, evaluation, method
from companion.giant.data import libpecos_reference, reference_graph, reference_tree


def pifa_is_libpecos() -> float:
    """PIFA here minus PIFA by libpecos 1.2.8, the largest difference."""
    return float(np.abs(method.pifa(*reference_graph()).toarray() - np.array(libpecos_reference()["pifa"])).max())


def pifa_is_the_loop() -> float:
    """Z as one product of sparse matrices against the sum over neighbors, node by node."""
    adjacency, features = (matrix.toarray() for matrix in reference_graph())
    worst = 0.0
    for node, vector in enumerate(method.pifa(*reference_graph()).toarray()):
        near = np.flatnonzero(adjacency[node])
        total = sum((features[i] / np.sqrt(adjacency[i].sum()) for i in near), np.zeros(features.shape[1]))
        worst = max(worst, float(np.abs(vector - total / (np.linalg.norm(total) or 1)).max()))
    return worst


def isolated_nodes_are_zero() -> float:
    """The largest entry of Z in a row of a node without neighbors, of which there are three or more."""
    adjacency, _ = reference_graph()
    alone = np.flatnonzero(np.diff(adjacency.indptr) == 0)
    return float(np.abs(method.pifa(*reference_graph()).toarray()[alone]).max()) if len(alone) >= 3 else 1.0


def tree_is_balanced() -> float:
    """How many leaf sizes differ from those of libpecos, over twelve seeds: 60 nodes in 8 leaves are 7 or 8 each."""
    sizes = {int(size) for seed in range(12) for size in reference_tree(seed).leaves.bincount()}
    return float(len(sizes ^ set(libpecos_reference()["leaf_sizes"])))


def tree_is_as_good() -> float:
    """How far our mean objective over twelve seeds falls below that of libpecos, relative."""
    vectors = torch.from_numpy(method.pifa(*reference_graph()).toarray()).float()
    ours = np.mean([evaluation.tree_objective(vectors, reference_tree(seed).leaves) for seed in range(12)])
    return max(0.0, 1 - float(ours) / float(np.mean(libpecos_reference()["objectives"])))


def levels_agree() -> float:
    """A cluster holds a neighbor if and only if one of its children does, and counts add up: wrong entries."""
    adjacency, _ = reference_graph()
    tree, wrong = reference_tree(), 0
    for level in range(1, len(tree.depths) + 1):
        fine, coarse = (method.level_targets(adjacency, tree, t).toarray() for t in (level, level - 1))
        summed = fine.reshape(len(fine), -1, tree.num_children(level)).sum(2)
        wrong += int((summed != coarse).sum())
    return float(wrong)


def full_mask_is_dense() -> float:
    """With every cluster active the masked loss is the plain mean over all pairs."""
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(9, 6, generator=generator)
    counts = torch.randint(0, 3, (9, 6), generator=generator).float()
    sign = torch.where(counts > 0, 1.0, -1.0)
    plain = (counts.clamp(min=1) * (1 - sign * scores).clamp(min=0) ** 2).mean()
    return float((method.squared_hinge(scores, counts, torch.ones(9, 6, dtype=torch.bool)) - plain).abs())


def positives_stay_active() -> float:
    """How many positive clusters the mask leaves out at any level, whatever the beam says."""
    adjacency, _ = reference_graph()
    tree, generator, lost = reference_tree(), torch.Generator().manual_seed(1), 0
    for level in range(1, len(tree.depths) + 1):
        targets = [method.level_targets(adjacency, tree, t).toarray() for t in (level, level - 1)]
        fine, coarse = map(torch.from_numpy, targets)
        beam = torch.randint(coarse.shape[1], (len(coarse), 1), generator=generator)
        mask = method.active_mask(coarse > 0, beam, tree.num_children(level))
        lost += int(((fine > 0) & ~mask).sum())
    return float(lost)


def hinge_by_hand() -> float:
    """Two neighbors in a cluster with score 0.5, none in two with scores -0.2 and -3: (2 * 0.25 + 0.64 + 0) / 3."""
    scores, counts = torch.tensor([[0.5, -0.2, -3.0]]), torch.tensor([[2.0, 0.0, 0.0]])
    loss = method.squared_hinge(scores, counts, torch.ones(1, 3, dtype=torch.bool))
    return abs(float(loss) - (2 * 0.25 + 0.64) / 3)


def bootstrap_is_ridge() -> float:
    """The bootstrapped head solves its normal equations on the active instances: the largest gradient."""
    generator = torch.Generator().manual_seed(2)
    z, parents = torch.randn(40, 5, generator=generator), torch.rand(40, 3, generator=generator) < 0.6
    mask = parents.repeat_interleave(2, dim=1)
    counts = torch.randint(0, 2, (40, 6), generator=generator).float()
    head, worst = method.bootstrap_head(z, counts, mask, 2, 3.0), 0.0
    ridge = 3.0 * torch.tensor([1.0] * 5 + [method.BIAS_SHARE])
    for cluster in range(6):
        rows = mask[:, cluster]
        x = torch.nn.functional.pad(z[rows], (0, 1), value=1.0)
        weight = torch.cat([head.weight[cluster], head.bias[cluster : cluster + 1]]).detach()
        sign = 2 * (counts[rows, cluster] > 0).float() - 1
        worst = max(worst, float((x.T @ (x @ weight - sign) + ridge * weight).abs().max()))
    return worst


def block_model_is_the_simulation() -> float:
    """The closed form of the block model against 200,000 draws, for 11 to 41 neighbors: the largest difference."""
    rng, worst = np.random.default_rng(0), 0.0
    for neighbors in (11, 21, 41):
        for homophily in (0.2, 0.4):
            simulated = data.simulated_error(1.0, 1.0, homophily, neighbors, 200_000, rng)
            worst = max(worst, abs(simulated - data.neighbor_error(1.0, 1.0, homophily, neighbors)))
    return worst


def receptive_field_is_enough() -> float:
    """A GCN of two layers on the two-hop neighborhood of five nodes, against the same on the whole graph."""
    adjacency, _ = reference_graph()
    edge_index = torch.from_numpy(np.stack(adjacency.nonzero())).long()
    matrix = data.gcn_matrix(edge_index, adjacency.shape[0])
    torch.manual_seed(0)
    config = evaluation.ClassifierConfig(hidden_dim=6)
    net = evaluation.build_classifier(evaluation.GCN_NAME, 4, 3, config).eval()
    x, nodes = torch.randn(adjacency.shape[0], 4), torch.tensor([2, 11, 23, 35, 58])
    rows, own_matrix, positions = data.receptive_field(matrix, nodes)
    with torch.no_grad():
        return float((net(x[rows], own_matrix)[positions] - net(x, matrix)[nodes]).abs().max())
