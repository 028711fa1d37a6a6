"""GIANT-XRT: tune a text encoder until a node's text foretells its neighbourhood, at ever finer resolution.

symbol           identifier             shape
A = Y            links                  (N, N) sparse, 0/1, symmetric, no loops: a node's labels are its neighbours
X                features               (N, V) sparse, TF-IDF rows
Z                vectors                (N, V): what stands for a node as a label (PIFA)
C^(1) ... C^(T)  LabelTree              cluster of every node at every level, K_t clusters
Y^(t)            counts                 (n, K_t): how many neighbours of each instance lie in each cluster
z_i              z                      (n, h): the encoder's vector of a text, of length sqrt(h)
w, b             head.weight, head.bias (K_t, h), (K_t,)
s_ik             scores                 (n, K_t)
M_i              mask                   (n, K_t) bool: the clusters that count for an instance
top-b            beam                   (n, b) int64: the parents that the level before found likeliest
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from scipy import sparse
from sklearn.preprocessing import normalize
from torch import Tensor, nn
from torch.nn import functional

from companion.errors import CompanionError

ROUNDS = 20  # of balanced 2-means, at most
FREE = 1e-3  # the share of the ridge that falls on the bias: most clusters are empty for most nodes

# ---------------------------------------------------------------- step 1: a vector for every label


def adjacency(pairs: np.ndarray, nodes: int) -> sparse.csr_matrix:
    """Undirected pairs (2, E), each once and without loops, as a symmetric matrix (N, N) of 0 and 1."""
    both = np.concatenate([pairs, pairs[::-1]], axis=1)
    return sparse.csr_matrix((np.ones(both.shape[1], dtype=np.float32), (both[0], both[1])), (nodes, nodes))


def pifa(links: sparse.csr_matrix, features: sparse.csr_matrix) -> sparse.csr_matrix:
    """Positive instance feature aggregation: a label's vector is the mean text of the instances that have it.

    links (N, N), features (N, V) -> (N, V), rows of length 1; a node without neighbours has a row of zeros.
    Z = rownorm(rownorm(Y)' X): a node's own text is not in its vector.
    """
    return normalize(normalize(links).T @ features)


# ---------------------------------------------------------------- step 2: a balanced tree of labels


@dataclass(frozen=True)
class LabelTree:
    """A binary tree over the nodes, read at some depths: `depths` (5, 7, 9) are 32, 128 and 512 clusters.

    leaves (N,) int64: the path from the root to a node's leaf, a bit a step.
    """

    leaves: Tensor
    depths: tuple[int, ...]

    def clusters(self, level: int) -> int:
        """K_t, the number of clusters of level 1, 2, ...; level 0 is the root."""
        return 2 ** self.depths[level - 1] if level else 1

    def cluster(self, level: int) -> Tensor:
        """The cluster of every node at a level, (N,) int64."""
        return self.leaves >> (self.depths[-1] - self.depths[level - 1]) if level else torch.zeros_like(self.leaves)

    def children(self, level: int) -> int:
        """How many clusters of a level share a parent; they have consecutive numbers (this is C^(t))."""
        return self.clusters(level) // self.clusters(level - 1)


def balanced_tree(vectors: Tensor, depths: tuple[int, ...], generator: torch.Generator) -> LabelTree:
    """Split in two, again and again: vectors (N, d), rows of length 1 or 0. Sizes differ by at most one.

    Raises CompanionError if the deepest level would have clusters of less than two nodes.
    """
    if 2 ** depths[-1] > len(vectors) / 2:
        raise CompanionError(
            f"depths = {depths} asks for {2 ** depths[-1]} clusters of {len(vectors)} nodes; "
            "a cluster needs two nodes or more, so take a smaller depth."
        )
    leaves = torch.zeros(len(vectors), dtype=torch.int64)
    for _ in range(depths[-1]):
        leaves = 2 * leaves + split(vectors, leaves, generator)
    return LabelTree(leaves, depths)


def split(vectors: Tensor, cluster: Tensor, generator: torch.Generator, rounds: int = ROUNDS) -> Tensor:
    """Balanced spherical 2-means in all clusters at once: which half each node joins, (N,) int64 of 0 and 1.

    vectors (N, d), cluster (N,) int64. The upper half of <c_right - c_left, z> goes right, until nobody moves.
    """
    side = halves(torch.rand(len(vectors), generator=generator), cluster)
    first = _extremes(vectors, cluster, generator)
    direction = vectors[first[1]] - vectors[first[0]]
    for _ in range(rounds):
        moved = halves((vectors * direction[cluster]).sum(1), cluster)
        if torch.equal(moved, side):
            break
        side = moved
        left, right = centroids(vectors, 2 * cluster + side, 2 * len(direction)).view(-1, 2, vectors.shape[1]).unbind(1)
        direction = right - left
    return side


def _extremes(vectors: Tensor, cluster: Tensor, generator: torch.Generator) -> Tensor:
    """Two random members of each cluster, (2, C) int64."""
    order = torch.randperm(len(vectors), generator=generator)
    order = order[cluster[order].argsort(stable=True)]
    start = torch.cat([torch.zeros(1, dtype=torch.int64), cluster.bincount().cumsum(0)[:-1]])
    return torch.stack([order[start], order[start + 1]])


def halves(scores: Tensor, cluster: Tensor) -> Tensor:
    """1 for the upper half of each cluster by score, 0 for the lower, which has one more if the number is odd."""
    order = scores.argsort(stable=True)
    order = order[cluster[order].argsort(stable=True)]
    size = cluster.bincount()
    start = size.cumsum(0) - size
    rank = torch.empty_like(cluster)
    rank[order] = torch.arange(len(order))
    return (rank - start[cluster] >= (size[cluster] + 1) // 2).long()


def centroids(vectors: Tensor, cluster: Tensor, count: int) -> Tensor:
    """Mean directions of `count` clusters, (count, d), rows of length 1."""
    sums = torch.zeros(count, vectors.shape[1]).index_add_(0, cluster, vectors)
    return functional.normalize(sums)


# ---------------------------------------------------------------- step 3: targets, active clusters, loss


def level_targets(links: sparse.csr_matrix, tree: LabelTree, level: int) -> sparse.csr_matrix:
    """Y^(t): how many neighbours of each node lie in each cluster of a level, (N, K_t) sparse."""
    nodes, cluster = len(tree.leaves), tree.cluster(level).numpy()
    member = sparse.csr_matrix(
        (np.ones(nodes, dtype=np.float32), (np.arange(nodes), cluster)), (nodes, tree.clusters(level))
    )
    return links @ member


def active_mask(parents: Tensor, beam: Tensor, children: int) -> Tensor:
    """The clusters that count: children of true parents (teacher forcing), and of predicted ones (matcher-aware).

    parents (n, K_{t-1}) bool; beam (n, b) int64. Returns (n, K_t) bool.
    """
    return parents.scatter(1, beam, True).repeat_interleave(children, dim=1)


def hinge(scores: Tensor, counts: Tensor, mask: Tensor) -> Tensor:
    """Weighted squared hinge: for each instance the mean over its active clusters, then the mean over instances.

    scores, counts (n, K), mask (n, K) bool. A positive weighs as many neighbours as it holds, a negative weighs 1.
    """
    sign, weight = (counts > 0).to(scores.dtype) * 2 - 1, counts.clamp(min=1)
    loss = weight * functional.relu(1 - sign * scores).square()
    return ((loss * mask).sum(1) / mask.sum(1)).mean()


# ---------------------------------------------------------------- step 3: the head, before its level is tuned


def bootstrap(z: Tensor, counts: Tensor, active: Tensor, children: int, ridge: float) -> nn.Linear:
    """A head fitted to the encoder as it is: ridge regression on -1 and 1, for each cluster on its active instances.

    z (n, h), counts (n, K), active (n, K_{t-1}) bool. Siblings share their instances, so one system a parent.
    """
    head, h = nn.Linear(z.shape[1], counts.shape[1]), z.shape[1]
    design, sign = functional.pad(z, (0, 1), value=1.0), (counts > 0).to(z.dtype) * 2 - 1
    penalty = ridge * torch.tensor([1.0] * h + [FREE]).diag()
    with torch.no_grad():
        for parent in range(active.shape[1]):
            rows, own = active[:, parent], slice(parent * children, (parent + 1) * children)
            x = design[rows]
            solved = torch.linalg.solve(x.T @ x + penalty, x.T @ sign[rows, own]).T
            head.weight[own], head.bias[own] = solved[:, :h], solved[:, h]
    return head


def random_head(width: int, clusters: int) -> nn.Linear:
    """How the first level starts, and every level without bootstrap: rows from N(0, 0.02^2), bias 0."""
    head = nn.Linear(width, clusters)
    nn.init.normal_(head.weight, std=0.02)
    nn.init.zeros_(head.bias)
    return head


# ---------------------------------------------------------------- step 3: level by level


class Recipe(NamedTuple):
    """How an encoder is tuned: learning rate, passes at each level, batch, the first level with bootstrap,
    beam, ridge, and the heads' own rate if it is another.
    """

    lr: float
    epochs: tuple[int, ...]
    batch: int = 256
    bootstrap_from: int = 2
    beam: int = 5
    ridge: float = 300.0
    head_lr: float | None = None


class Encoder(nn.Module):
    """Anything that turns nodes into vectors: `forward(nodes)` takes (b,) int64 and returns (b, h) float32."""

    @property
    def device(self) -> torch.device:
        """Where it computes; nodes, targets and vectors that are kept stay on the CPU."""
        return next(iter([*self.parameters(), *self.buffers()])).device


def unit(z: Tensor) -> Tensor:
    """Rows scaled to length sqrt(h)."""
    return functional.normalize(z) * z.shape[1] ** 0.5


def descend(
    encoder: Encoder, head: nn.Module | None, loss: Callable[[Tensor], Tensor], count: int, recipe: Recipe, epochs: int
) -> list[float]:
    """Tune encoder and head, if there is one, with rates that fall linearly to 0; the loss of every step.

    loss: of the instances at these places of 0 to count - 1, (b,) int64; each pass shuffles them anew.
    """
    tuned = [weight for weight in encoder.parameters() if weight.requires_grad]
    groups = [{"params": tuned, "lr": recipe.lr}]
    if head:
        groups.append({"params": list(head.parameters()), "lr": recipe.head_lr or recipe.lr})
    optimiser = torch.optim.Adam([group for group in groups if group["params"]], fused=True)
    decay = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.0, max(1, epochs * -(-count // recipe.batch)))
    losses = []
    for _ in range(epochs):
        for part in torch.randperm(count).split(recipe.batch):
            value = loss(part)
            optimiser.zero_grad()
            value.backward()
            optimiser.step()
            decay.step()
            losses.append(float(value.detach()))
    return losses


def dense(matrix: sparse.csr_matrix, rows: Tensor) -> Tensor:
    """Some rows of a sparse matrix as a tensor, (n, K) float32."""
    return torch.from_numpy(matrix[rows.numpy()].toarray().astype(np.float32))
