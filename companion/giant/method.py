"""GIANT-XRT: fine-tune a text encoder until a node's text predicts its neighborhood, in ever finer clusters.

symbol           identifier              shape
A = Y            adjacency               (N, N) sparse, 0/1, symmetric, no self-loops: a node's labels are its neighbors
X                features                (N, V) sparse, TF-IDF rows
Z                pifa(...)               (N, V) sparse: the vector that represents a node as a label
C^(1) ... C^(T)  LabelTree               the cluster of every node at every level, K_t clusters at level t
Y^(t)            counts                  (n, K_t): how many neighbors of each instance lie in each cluster
z_i              z                       (n, h): the encoder's vector of a text, scaled to length sqrt(h)
w_k, b_k         head.weight, head.bias  (K_t, h), (K_t,)
s_ik             scores                  (n, K_t)
M_i              mask                    (n, K_t) bool: the clusters that are active for an instance
top-b            beam                    (n, b) int64: the b most probable clusters of the level above
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy import sparse
from sklearn.preprocessing import normalize
from torch import Tensor, nn
from torch.nn import functional

from companion.errors import CompanionError

MAX_ROUNDS = 20  # of balanced 2-means, if it has not converged before
BIAS_SHARE = 1e-3  # of the ridge λ falls on the bias: most clusters hold no neighbor, so the bias must be free
HEAD_STD = 0.02  # of the weights of a random head, as in BERT


@dataclass(frozen=True)
class FineTuneConfig:
    """How an encoder is fine-tuned."""

    lr: float  # learning rate of the encoder, falling linearly to 0 within each level
    epochs: int  # passes over the instances, shared out among the levels
    batch_size: int  # instances per step
    depths: tuple[int, ...] = ()  # depths of the binary tree that are levels; (3, 5): 8 and 32 clusters
    head_lr: float = 0.0  # learning rate of the heads; 0: that of the encoder
    amp: bool = False  # bfloat16 autocast in the encoder's layers
    bootstrap_from: int = 2  # first level whose head is fitted before it is tuned; 1: every level
    ridge: float = 300.0  # regularization strength λ of that fit
    beam_size: int = 5  # predicted parents whose children are active
    sharpness: float = 3.0  # link prediction only: factor of the cosines in the logistic loss


# ---------------------------------------------------------------- step 1: a vector for every label


def adjacency_matrix(edges: np.ndarray, num_nodes: int) -> sparse.csr_matrix:
    """Undirected edges (2, E) int64, each once and without self-loops, as a symmetric (N, N) matrix of 0 and 1."""
    both = np.concatenate([edges, edges[::-1]], axis=1)
    return sparse.csr_matrix((np.ones(both.shape[1], dtype=np.float32), (both[0], both[1])), (num_nodes, num_nodes))


def pifa(adjacency: sparse.csr_matrix, features: sparse.csr_matrix) -> sparse.csr_matrix:
    """Positive instance feature aggregation: a label's vector is the mean text of the instances that have the label.

    adjacency (N, N), features (N, V) -> (N, V), rows of length 1; a node without neighbors has a row of zeros.
    Z = rownorm(rownorm(Y)' X): a node's own text is not in its vector.
    """
    return normalize(normalize(adjacency).T @ features)


# ---------------------------------------------------------------- step 2: a balanced tree of labels


@dataclass(frozen=True)
class LabelTree:
    """A binary tree over the nodes, whose levels are some depths: `depths` (5, 7, 9) are 32, 128 and 512 clusters.

    leaves (N,) int64: the path from the root to a node's leaf, one bit per split.
    """

    leaves: Tensor
    depths: tuple[int, ...]

    def num_clusters(self, level: int) -> int:
        """K_t, the number of clusters of level 1, 2, ...; level 0 is the root."""
        return 2 ** self.depths[level - 1] if level else 1

    def assignment(self, level: int) -> Tensor:
        """The cluster of every node at a level, (N,) int64."""
        return self.leaves >> (self.depths[-1] - self.depths[level - 1]) if level else torch.zeros_like(self.leaves)

    def num_children(self, level: int) -> int:
        """How many clusters of a level share a parent; they have consecutive numbers (this is C^(t))."""
        return self.num_clusters(level) // self.num_clusters(level - 1)


def balanced_tree(vectors: Tensor, depths: tuple[int, ...], generator: torch.Generator) -> LabelTree:
    """Split in two, again and again: vectors (N, d) float32, rows of length 1 or 0. Sizes differ by at most one.

    Raises CompanionError if the deepest level would have clusters of fewer than two nodes.
    """
    if 2 ** depths[-1] > len(vectors) / 2:
        raise CompanionError(
            f"depths = {depths} asks for {2 ** depths[-1]} clusters of {len(vectors)} nodes; "
            "a cluster needs two nodes or more, so use a smaller depth."
        )
    leaves = torch.zeros(len(vectors), dtype=torch.int64)
    for _ in range(depths[-1]):
        leaves = 2 * leaves + balanced_split(vectors, leaves, generator)
    return LabelTree(leaves, depths)


def balanced_split(vectors: Tensor, cluster: Tensor, generator: torch.Generator) -> Tensor:
    """Balanced spherical 2-means in all clusters at once: which half each node joins, (N,) int64 of 0 and 1.

    vectors (N, d), cluster (N,) int64. The upper half of <c_right - c_left, z> goes right, until no node moves.
    """
    side = upper_half(torch.rand(len(vectors), generator=generator), cluster)
    first = _two_members(cluster, generator)
    direction = vectors[first[1]] - vectors[first[0]]
    for _ in range(MAX_ROUNDS):
        moved = upper_half((vectors * direction[cluster]).sum(1), cluster)
        if torch.equal(moved, side):
            break
        side = moved
        # the mean directions of both halves of every cluster: left and right have consecutive numbers
        sums = torch.zeros(2 * len(direction), vectors.shape[1]).index_add_(0, 2 * cluster + side, vectors)
        left, right = functional.normalize(sums).view(-1, 2, vectors.shape[1]).unbind(1)
        direction = right - left
    return side


def _two_members(cluster: Tensor, generator: torch.Generator) -> Tensor:
    """Two random members of each cluster, (2, C) int64."""
    order = torch.randperm(len(cluster), generator=generator)
    order = order[cluster[order].argsort(stable=True)]
    start = torch.cat([torch.zeros(1, dtype=torch.int64), cluster.bincount().cumsum(0)[:-1]])
    return torch.stack([order[start], order[start + 1]])


def upper_half(scores: Tensor, cluster: Tensor) -> Tensor:
    """1 for the upper half of each cluster by score, 0 for the lower, which has one more if the number is odd."""
    order = scores.argsort(stable=True)
    order = order[cluster[order].argsort(stable=True)]
    size = cluster.bincount()
    start = size.cumsum(0) - size
    rank = torch.empty_like(cluster)
    rank[order] = torch.arange(len(order))
    return (rank - start[cluster] >= (size[cluster] + 1) // 2).long()


# ---------------------------------------------------------------- step 3: targets, active clusters, loss, head


def level_targets(adjacency: sparse.csr_matrix, tree: LabelTree, level: int) -> sparse.csr_matrix:
    """Y^(t): how many neighbors of each node lie in each cluster of a level, (N, K_t) sparse float32."""
    num_nodes, cluster = len(tree.leaves), tree.assignment(level).numpy()
    membership = sparse.csr_matrix(
        (np.ones(num_nodes, dtype=np.float32), (np.arange(num_nodes), cluster)), (num_nodes, tree.num_clusters(level))
    )
    return adjacency @ membership


def active_mask(parents: Tensor, beam: Tensor, num_children: int) -> Tensor:
    """M: children of true parents (teacher forcing) and of predicted ones (matcher-aware negatives) are active.

    parents (n, K_{t-1}) bool: clusters of the level above that hold a neighbor; beam (n, b) int64: its predicted
    clusters. Returns (n, K_t) bool.
    """
    return parents.scatter(1, beam, True).repeat_interleave(num_children, dim=1)


def squared_hinge(scores: Tensor, counts: Tensor, mask: Tensor) -> Tensor:
    """The loss L: for each instance the weighted mean over its active clusters, then the mean over instances.

    scores, counts (n, K) float32, mask (n, K) bool. A positive has its number of neighbors as weight, a negative 1.
    """
    sign, weight = (counts > 0).to(scores.dtype) * 2 - 1, counts.clamp(min=1)
    loss = weight * functional.relu(1 - sign * scores).square()
    return ((loss * mask).sum(1) / mask.sum(1)).mean()


def bootstrap_head(z: Tensor, counts: Tensor, mask: Tensor, num_children: int, ridge: float) -> nn.Linear:
    """A head fitted to the encoder as it is: ridge regression on -1 and 1, for each cluster on its active instances.

    z (n, h), counts (n, K), mask (n, K) bool. Siblings share their active instances: one linear system per parent.
    """
    head, hidden_dim = nn.Linear(z.shape[1], counts.shape[1]), z.shape[1]
    design, sign = functional.pad(z, (0, 1), value=1.0), (counts > 0).to(z.dtype) * 2 - 1
    regularization = ridge * torch.tensor([1.0] * hidden_dim + [BIAS_SHARE]).diag()
    with torch.no_grad():
        for first in range(0, counts.shape[1], num_children):
            rows, siblings = mask[:, first], slice(first, first + num_children)
            x = design[rows]
            weights = torch.linalg.solve(x.T @ x + regularization, x.T @ sign[rows, siblings]).T
            head.weight[siblings], head.bias[siblings] = weights[:, :hidden_dim], weights[:, hidden_dim]
    return head


# ---------------------------------------------------------------- step 3: level by level


class Encoder(nn.Module):
    """A module that turns nodes into vectors: `forward(nodes)` takes (b,) int64 and returns (b, h) float32."""

    @property
    def device(self) -> torch.device:
        """Where it computes; nodes, targets and stored vectors stay on the CPU."""
        return next(iter([*self.parameters(), *self.buffers()])).device


@dataclass
class Level:
    """A level after its tuning: the vectors of all nodes z (N, h), the head, its beam, the loss of every step.

    beam (N, b) int64: the most probable clusters of every node; beam_scores (N, b) float32: their log scores.
    """

    num_clusters: int
    z: Tensor
    head: nn.Linear
    beam: Tensor
    beam_scores: Tensor
    losses: list[float]


def rescale(z: Tensor) -> Tensor:
    """Rows (n, h) scaled to length sqrt(h)."""
    return functional.normalize(z) * z.shape[1] ** 0.5


def encode(encoder: Encoder, nodes: Tensor, block: int = 4096) -> Tensor:
    """The vectors of nodes (n,) int64, (n, h) float32 on the CPU, each of length sqrt(h); no gradient."""
    with torch.no_grad():
        return torch.cat([rescale(encoder(part)).cpu() for part in nodes.split(block)])


def dense_rows(matrix: sparse.csr_matrix, rows: Tensor) -> Tensor:
    """Some rows of a sparse matrix, (n, K) float32; rows (n,) int64."""
    return torch.from_numpy(matrix[rows.numpy()].toarray().astype(np.float32))


def fit(
    encoder: Encoder,
    adjacency: sparse.csr_matrix,
    tree: LabelTree,
    instances: Tensor,
    config: FineTuneConfig,
    seed: int,
    checkpoints: Path | None = None,
) -> list[Level]:
    """Fine-tune the encoder in place on the nodes `instances` (n,) int64, one level at a time, from coarse to fine.

    checkpoints: a folder in which each finished level is saved, so that an interrupted run continues after it.
    """
    torch.manual_seed(seed)
    num_nodes = len(tree.leaves)
    z, root = encode(encoder, torch.arange(num_nodes)), torch.zeros(num_nodes, 1, dtype=torch.int64)
    levels = [Level(1, z, nn.Linear(z.shape[1], 1), root, torch.zeros(num_nodes, 1), [])]
    for t in range(1, len(tree.depths) + 1):
        file = checkpoints / f"level_{t}.pt" if checkpoints else None
        if file and file.is_file():
            saved = torch.load(file, weights_only=False)
            encoder.load_state_dict(saved["encoder"])
            torch.set_rng_state(saved["random_state"])
            levels.append(saved["level"])
            continue
        levels.append(fit_level(encoder, adjacency, tree, t, levels[-1], instances, config))
        if file:
            state = {"encoder": encoder.state_dict(), "level": levels[-1], "random_state": torch.get_rng_state()}
            torch.save(state, file)
    return levels[1:]


def fit_level(
    encoder: Encoder,
    adjacency: sparse.csr_matrix,
    tree: LabelTree,
    t: int,
    parent: Level,
    instances: Tensor,
    config: FineTuneConfig,
) -> Level:
    """Level t = 1, 2, ...: `parent` is the level above, `instances` (n,) int64 the nodes that are trained on."""
    # 1. targets and active clusters of every instance
    z, num_children = parent.z[instances], tree.num_children(t)
    counts, parent_counts = (dense_rows(level_targets(adjacency, tree, level), instances) for level in (t, t - 1))
    mask = active_mask(parent_counts > 0, parent.beam[instances], num_children)
    # 2. a head: random, or fitted to the encoder as it is now
    head = nn.Linear(z.shape[1], counts.shape[1])
    nn.init.normal_(head.weight, std=HEAD_STD)
    nn.init.zeros_(head.bias)
    if t >= config.bootstrap_from:
        head = bootstrap_head(z, counts, mask, num_children, config.ridge)
    head = head.to(encoder.device)

    # 3. tune encoder and head together; the levels share the epochs, the first ones have one more if there is a rest
    def loss_fn(batch: Tensor) -> Tensor:
        scores = head(rescale(encoder(instances[batch])))
        return squared_hinge(scores, counts[batch].to(encoder.device), mask[batch].to(encoder.device))

    epochs = config.epochs // len(tree.depths) + (t <= config.epochs % len(tree.depths))
    losses = minimize(encoder, head, loss_fn, len(instances), config, epochs)
    # 4. every node looks for its most probable clusters: the beam of the next level
    head = head.cpu()
    z = encode(encoder, torch.arange(len(tree.leaves)))
    beam, beam_scores = beam_search(z, head, parent, num_children, config.beam_size)
    return Level(tree.num_clusters(t), z, head, beam, beam_scores, losses)


def minimize(
    encoder: Encoder,
    head: nn.Module | None,
    loss_fn: Callable[[Tensor], Tensor],
    num_instances: int,
    config: FineTuneConfig,
    epochs: int,
) -> list[float]:
    """Tune the encoder, and the head if there is one, with Adam; the loss of every step.

    loss_fn takes a batch, (b,) int64 positions from 0 to num_instances - 1; each epoch shuffles them.
    """
    trainable = [weight for weight in encoder.parameters() if weight.requires_grad]
    groups = [{"params": trainable, "lr": config.lr}]
    if head is not None:
        groups.append({"params": list(head.parameters()), "lr": config.head_lr or config.lr})
    optimizer = torch.optim.Adam([group for group in groups if group["params"]], fused=True)
    steps = epochs * -(-num_instances // config.batch_size)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, max(1, steps))
    losses = []
    for _ in range(epochs):
        for batch in torch.randperm(num_instances).split(config.batch_size):
            loss = loss_fn(batch)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            losses.append(float(loss.detach()))
    return losses


def beam_search(z: Tensor, head: nn.Linear, parent: Level, num_children: int, beam_size: int) -> tuple[Tensor, Tensor]:
    """The b most probable clusters below the parent's beam, (n, b) int64, and their log scores (n, b); z (n, h).

    A cluster's log score is that of its parent minus its own loss as a positive, max(0, 1 - s)^2.
    """
    with torch.no_grad():
        above = torch.full((len(z), parent.num_clusters), -torch.inf).scatter(1, parent.beam, parent.beam_scores)
        scores = above.repeat_interleave(num_children, dim=1) - functional.relu(1 - head(z)).square()
        best = scores.topk(min(beam_size, scores.shape[1]), dim=1)
    return best.indices, best.values
