"""What the features are for: an MLP and a GCN from torch-geometric, trained alike on any features."""

from __future__ import annotations

import warnings
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch_geometric.nn.conv.gcn_conv import gcn_norm
from torch_geometric.nn.models import GCN, MLP
from torch_geometric.utils import k_hop_subgraph

MLP_NAME, GCN_NAME = "MLP", "GCN"


class Split(NamedTuple):
    """Nodes to train on, to stop on, and to judge by, int64 each."""

    train: Tensor
    validation: Tensor
    test: Tensor


class Downstream(NamedTuple):
    """How a classifier is trained, the same for all features."""

    hidden: int = 64
    lr: float = 0.01
    weight_decay: float = 5e-4
    dropout: float = 0.5
    epochs: int = 40
    every: int = 10


def make_split(labels: Tensor, per_class: int, validation: int, seed: int) -> Split:
    """`per_class` nodes of each class to train on, then `validation`, and the rest; -1 is no label."""
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    order = order[labels[order] >= 0]
    order = order[labels[order].argsort(stable=True)]
    size = labels[order].bincount()
    rank = torch.arange(len(order)) - (size.cumsum(0) - size)[labels[order]]
    rest = order[rank >= per_class]
    rest = rest[torch.randperm(len(rest), generator=torch.Generator().manual_seed(seed))]
    return Split(order[rank < per_class], rest[:validation], rest[validation:])


def standard(features: Tensor) -> Tensor:
    """Each column with mean 0 and deviation 1 over all nodes; no label is read."""
    return (features - features.mean(0)) / features.std(0).clamp(min=1e-6)


def normalised(edges: Tensor, nodes: int) -> Tensor:
    """D^-1/2 (A + I) D^-1/2 as a sparse matrix (N, N); edges (2, 2E), both directions."""
    index, weight = gcn_norm(edges, num_nodes=nodes)
    return by_rows(index, weight, nodes)


def by_rows(index: Tensor, weight: Tensor, nodes: int) -> Tensor:
    """A sparse matrix (nodes, nodes) kept row by row, which is how products are fast."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse")
        return torch.sparse_coo_tensor(index, weight, (nodes, nodes)).coalesce().to_sparse_csr()


def accuracy(scores: Tensor, labels: Tensor, nodes: Tensor) -> float:
    """Per cent of nodes (n,) whose best-scored class is theirs; scores (N, classes)."""
    return 100 * float((scores[nodes].argmax(1) == labels[nodes]).float().mean())


class Graph(NamedTuple):
    """What a classifier may read beside features: the normalised matrix (N, N), and labels (N,) with -1 for none."""

    matrix: Tensor
    labels: Tensor

    @property
    def classes(self) -> int:
        """How many classes there are."""
        return int(self.labels.max()) + 1


def around(matrix: Tensor, nodes: Tensor, hops: int = 2) -> tuple[Tensor, Tensor, Tensor]:
    """What a GCN of `hops` layers reads for nodes (n,): rows (m,), their matrix (m, m), the nodes' places (n,)."""
    entries = matrix.to_sparse_coo()
    rows, index, places, kept = k_hop_subgraph(nodes, hops, entries.indices(), True, len(matrix), "target_to_source")
    return rows, by_rows(index, entries.values()[kept], len(rows)), places


def network(kind: str, width: int, classes: int, recipe: Downstream) -> nn.Module:
    """An MLP or a GCN of two layers, from torch-geometric."""
    if kind == MLP_NAME:
        return MLP([width, recipe.hidden, classes], dropout=recipe.dropout, norm=None)
    return GCN(width, recipe.hidden, 2, classes, dropout=recipe.dropout, normalize=False)


def classify(features: Tensor, graph: Graph, split: Split, kind: str, recipe: Downstream, seed: int) -> Tensor:
    """Train a classifier on features (N, h); class scores (N, classes) at its best round on validation nodes.

    The MLP reads a node's own features, the GCN those within two steps of it as well: all of them, none sampled.
    """
    torch.manual_seed(seed)
    x = standard(features)
    net = network(kind, x.shape[1], graph.classes, recipe).to(x.device)
    rows, piece, places = around(graph.matrix, split.train)
    inputs, known = (x[rows], (piece,)) if kind == GCN_NAME else (x[split.train], ())
    places = places if known else torch.arange(len(split.train))
    optimiser = torch.optim.Adam(net.parameters(), lr=recipe.lr, weight_decay=recipe.weight_decay, fused=True)
    best, kept = -1.0, torch.empty(0)
    for epoch in range(1, recipe.epochs + 1):
        net.train()
        loss = functional.cross_entropy(net(inputs, *known)[places], graph.labels[split.train])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if epoch % recipe.every == 0:
            scores = predict(net, x, (graph.matrix,) if known else ())
            if (found := accuracy(scores, graph.labels, split.validation)) > best:
                best, kept = found, scores
    return kept


@torch.no_grad()
def predict(net: nn.Module, x: Tensor, known: tuple[Tensor, ...]) -> Tensor:
    """Class scores of all nodes, (N, classes), without dropout."""
    return net.eval()(x, *known)
