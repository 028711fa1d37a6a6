"""Correctness checks: what must be true of this code for any data; each returns an error that should be near zero."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch_geometric.utils import erdos_renyi_graph, is_undirected, remove_self_loops, to_undirected

from companion.cold_brew import baselines
from companion.cold_brew.data import ColdStart
from companion.cold_brew.method import SEGNN, adjacency, fcr, teacher_loss, virtual_neighbors


class Published(NamedTuple):
    """One graph of the paper's Table 11: accuracies, FCR and homophily, in percent."""

    gnn: float
    mlp: float
    lp: float
    fcr: float
    homophily: float


TABLE_11 = {
    "Cora": Published(86.96, 69.02, 78.18, 32.86, 83),
    "Citeseer": Published(72.44, 56.59, 45.00, 63.39, 71),
    "Pubmed": Published(75.96, 73.51, 67.80, 76.91, 79),
    "Arxiv": Published(71.54, 54.89, 68.26, 16.45, 68),
    "Chameleon": Published(68.51, 58.65, 41.01, 73.61, 25),
    "Squirrel": Published(31.95, 38.51, 22.85, 141.91, 22),
    "Actor": Published(59.79, 37.93, 29.69, 57.93, 24),
    "Cornell": Published(65.10, 86.26, 32.06, 139.04, 11),
    "Texas": Published(61.08, 83.33, 52.08, 171.20, 6),
    "Wisconsin": Published(81.62, 85.42, 40.62, 108.48, 16),
}


def small_graph(num_nodes: int = 40, isolated: int = 5) -> Tensor:
    """A random undirected graph, (2, edges) int64, whose last `isolated` nodes have no edge."""
    return remove_self_loops(erdos_renyi_graph(num_nodes - isolated, 0.15))[0]


@torch.no_grad()
def teacher_on_isolated_node_is_an_mlp() -> float:
    """An isolated node's row of A~ is a unit vector, so the teacher computes relu(x W0 + e0) W1 + e1 there."""
    n, x, teacher = 40, torch.randn(40, 6), SEGNN(40, [6, 8, 3], dropout=0.5).eval()
    first, last = teacher.layers
    by_teacher = teacher(x, adjacency(small_graph(), n))[-5:]
    hidden = (x @ first.linear.weight.T + first.embedding.weight).relu()
    by_mlp = (hidden @ last.linear.weight.T + last.embedding.weight)[-5:]
    return float((by_teacher - by_mlp).abs().max())


@torch.no_grad()
def teacher_without_embeddings_is_a_gcn() -> float:
    """With E = 0 the teacher equals PyTorch Geometric's GCN with the same weights."""
    n, x, edge_index = 40, torch.randn(40, 6), small_graph()
    teacher, gcn = SEGNN(n, [6, 8, 3], dropout=0.5).eval(), baselines.gcn(6, 8, 3, dropout=0.5).eval()
    for ours, theirs in zip(teacher.layers, gcn.convs, strict=True):  # type: ignore[arg-type]
        torch.nn.init.zeros_(ours.embedding.weight)
        theirs.lin.weight.data.copy_(ours.linear.weight)
    return float((teacher(x, adjacency(edge_index, n)) - gcn(x, edge_index)).abs().max())


def embedding_gradient_of_isolated_nodes() -> float:
    """Cross-entropy sends no gradient to the rows of E that belong to unlabeled isolated nodes."""
    n, x, teacher = 40, torch.randn(40, 6), SEGNN(40, [6, 8, 3], dropout=0.0)
    labels, labeled = torch.randint(3, (10,)), torch.arange(10)
    teacher_loss(teacher, x, adjacency(small_graph(), n), labels, labeled, eta=0.0).backward()
    gradients = [layer.embedding.weight.grad[-5:] for layer in teacher.layers]  # type: ignore[index]
    return float(torch.cat(gradients, dim=1).abs().max())


def chunked_attention_is_dense_attention(k: int = 7) -> float:
    """Eq. 4 in chunks equals a softmax over all keys whose scores outside the K largest are -inf; also for K = N."""
    queries, memory = torch.randn(50, 4), torch.randn(30, 4)
    scores = queries @ memory.T
    errors = []
    for size in (k, len(memory)):
        smallest = scores.topk(size).values[:, -1:]
        dense = scores.masked_fill(scores < smallest, -torch.inf).softmax(-1) @ memory
        errors.append((virtual_neighbors(queries, memory, size, chunk_size=8) - dense).abs().max())
    return float(torch.stack(errors).max())


def one_virtual_neighbor_is_the_best_key() -> float:
    """With K = 1 the virtual neighborhood is the row of the memory with the largest score."""
    queries, memory = torch.randn(50, 4), torch.randn(30, 4)
    return float((virtual_neighbors(queries, memory, 1) - memory[(queries @ memory.T).argmax(1)]).abs().max())


def smoothing_rate(steps: int = 2000) -> float:
    """D^1/2 1 is an eigenvector of A~, and the rest of A~^k x shrinks by |lambda_2| per step."""
    n = 30
    ring = torch.stack([torch.arange(n), (torch.arange(n) + 1) % n])
    chords = torch.stack([torch.arange(0, n, 3), (torch.arange(0, n, 3) * 7 + 5) % n])
    edges = remove_self_loops(to_undirected(torch.cat([ring, chords], dim=1)))[0]
    matrix = adjacency(edges, n).to_dense().double()
    limit = (matrix > 0).sum(1).double().sqrt()
    limit = limit / limit.norm()
    state = torch.randn(n, dtype=torch.float64)
    for _ in range(steps):
        state = state - limit * (limit @ state)  # what is left of x without the eigenvector D^1/2 1
        before = state / state.norm()
        state = matrix @ before
    second = torch.linalg.eigvalsh(matrix).abs().sort().values[-2]
    rate_error = (state.norm() / before.norm() - second).abs()
    return float(torch.maximum(rate_error, (matrix @ limit - limit).abs().max()))


def fcr_of_table_11() -> float:
    """The ten published FCR values, recomputed from the published accuracies: the largest difference in points."""
    return max(abs(fcr(row.gnn, row.mlp, row.lp) - row.fcr) for row in TABLE_11.values())


def split_violations(split: ColdStart) -> float:
    """Edges at isolated nodes, directed edges, labeled isolated nodes and overlaps of groups: all must be zero."""
    isolated = split.isolation_mask | split.isolation_val_mask
    edge_at_isolated = isolated[split.edge_index].any()
    overlap = (
        (split.head_mask & split.tail_mask)
        | (isolated & (split.head_mask | split.tail_mask))
        | (split.isolation_mask & split.isolation_val_mask)
    )
    labeled = isolated & (split.train_mask | split.val_mask)
    directed = not is_undirected(split.edge_index)
    return float(edge_at_isolated) + float(overlap.sum()) + float(labeled.sum()) + float(directed)
