"""What the features are for: an MLP and a GCN from torch-geometric, trained alike on any features."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch_geometric.nn.conv.gcn_conv import gcn_norm
from torch_geometric.nn.models import GCN, MLP

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
    epochs: int = 60
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
    return torch.sparse_coo_tensor(index, weight, (nodes, nodes)).to_sparse_csr()


def accuracy(scores: Tensor, labels: Tensor, nodes: Tensor) -> float:
    """Per cent of nodes (n,) whose best-scored class is theirs; scores (N, classes)."""
    return 100 * float((scores[nodes].argmax(1) == labels[nodes]).float().mean())
