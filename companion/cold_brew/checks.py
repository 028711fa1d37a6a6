"""Exact checks: what must be true of this code whatever the data; each returns an error that should be near zero."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch_geometric.utils import erdos_renyi_graph, is_undirected, remove_self_loops, to_undirected

from companion.cold_brew import baselines
from companion.cold_brew.method import SEGNN, ColdStart, adjacency, fcr, teacher_loss, virtual_neighbours


class Published(NamedTuple):
    """A column of the paper's Table 11, per cent."""

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


def small_graph(nodes: int = 40, isolated: int = 5) -> Tensor:
    """A random undirected graph, (2, 2E) int64, whose last `isolated` nodes have no edge."""
    return remove_self_loops(erdos_renyi_graph(nodes - isolated, 0.15))[0]


@torch.no_grad()
def teacher_on_isolated_node_is_an_mlp() -> float:
    """An isolated node's row of A~ is a unit vector, so the teacher computes relu(x W0 + e0) W1 + e1 there."""
    n, x, teacher = 40, torch.randn(40, 6), SEGNN(40, [6, 8, 3], dropout=0.5).eval()
    first, last = teacher.layers
    scores = teacher(x, adjacency(small_graph(), n))[-5:]
    hidden = (x @ first.linear.weight.T + first.embedding.weight).relu()
    alone = (hidden @ last.linear.weight.T + last.embedding.weight)[-5:]
    return float((scores - alone).abs().max())


@torch.no_grad()
def teacher_without_embeddings_is_a_gcn() -> float:
    """With E = 0 the teacher equals PyG's GCN with the same weights."""
    n, x, edges = 40, torch.randn(40, 6), small_graph()
    teacher, gcn = SEGNN(n, [6, 8, 3], dropout=0.5).eval(), baselines.gcn(6, 8, 3, dropout=0.5).eval()
    for ours, theirs in zip(teacher.layers, gcn.convs, strict=True):  # type: ignore[arg-type]
        torch.nn.init.zeros_(ours.embedding.weight)
        theirs.lin.weight.data.copy_(ours.linear.weight)
    return float((teacher(x, adjacency(edges, n)) - gcn(x, edges)).abs().max())


def embedding_gradient_of_isolated_nodes() -> float:
    """Cross-entropy moves no row of E that belongs to an unlabelled isolated node: the gradient there is zero."""
    n, x, teacher = 40, torch.randn(40, 6), SEGNN(40, [6, 8, 3], dropout=0.0)
    labels, labelled = torch.randint(3, (10,)), torch.arange(10)
    teacher_loss(teacher, x, adjacency(small_graph(), n), labels, labelled, eta=0.0).backward()
    rows = [layer.embedding.weight.grad[-5:] for layer in teacher.layers]  # type: ignore[index]
    return float(torch.cat(rows, dim=1).abs().max())


def chunked_attention_is_dense_attention(k: int = 7) -> float:
    """Eq. 4 in chunks equals a dense softmax over all N scores with the others at minus infinity; also for K = N."""
    queries, memory = torch.randn(50, 4), torch.randn(30, 4)
    errors = []
    for size in (k, len(memory)):
        scores = queries @ memory.T
        floor = scores.topk(size).values[:, -1:]
        dense = scores.masked_fill(scores < floor, -torch.inf).softmax(-1) @ memory
        errors.append((virtual_neighbours(queries, memory, size, chunk=8) - dense).abs().max())
    return float(torch.stack(errors).max())


def one_virtual_neighbour_is_the_best_key() -> float:
    """With K = 1 the virtual neighbourhood is the row of the memory with the largest score."""
    queries, memory = torch.randn(50, 4), torch.randn(30, 4)
    return float((virtual_neighbours(queries, memory, 1) - memory[(queries @ memory.T).argmax(1)]).abs().max())


def smoothing_rate(steps: int = 2000) -> float:
    """A~ leaves the direction of D^1/2 1 alone, and what A~^k x holds beside it shrinks by |lambda_2| a step."""
    n = 30
    ring = torch.stack([torch.arange(n), (torch.arange(n) + 1) % n])
    chords = torch.stack([torch.arange(0, n, 3), (torch.arange(0, n, 3) * 7 + 5) % n])
    edges = remove_self_loops(to_undirected(torch.cat([ring, chords], dim=1)))[0]
    matrix = adjacency(edges, n).to_dense().double()
    limit = (matrix > 0).sum(1).double().sqrt()
    limit = limit / limit.norm()
    state = torch.randn(n, dtype=torch.float64)
    for _ in range(steps):
        state = state - limit * (limit @ state)
        before, state = state / state.norm(), matrix @ (state / state.norm())
    second = torch.linalg.eigvalsh(matrix).abs().sort().values[-2]
    rate = (state.norm() / before.norm() - second).abs()
    return float(torch.maximum(rate, (matrix @ limit - limit).abs().max()))


def fcr_of_table_11() -> float:
    """The ten published FCR values, recomputed from the published accuracies: largest difference in per cent points."""
    return max(abs(fcr(row.gnn, row.mlp, row.lp) - row.fcr) for row in TABLE_11.values())


def split_violations(split: ColdStart) -> float:
    """Edges at isolated nodes, one-way edges, isolated nodes among the labelled, overlaps of groups: none may be."""
    isolated = split.isolation | split.isolation_val
    touching = isolated[split.edge_index].any()
    overlap = (
        (split.head & split.tail) | (isolated & (split.head | split.tail)) | (split.isolation & split.isolation_val)
    )
    labelled = isolated & (split.train | split.val)
    one_way = not is_undirected(split.edge_index)
    return float(touching) + float(overlap.sum()) + float(labelled.sum()) + float(one_way)
