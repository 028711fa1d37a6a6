"""What Cold Brew is measured against, each on the same nodes, the same steps and the same early stopping."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch_geometric.nn import GCN, MLP, GraphSAGE, LabelPropagation


def gcn(features: int, hidden: int, classes: int, dropout: float) -> nn.Module:
    """The teacher without structural embeddings; adds self-loops and normalises the edges itself."""
    return GCN(features, hidden, 2, classes, dropout=dropout)


def graph_sage(features: int, hidden: int, classes: int, dropout: float) -> nn.Module:
    """GraphSAGE with mean aggregation."""
    return GraphSAGE(features, hidden, 2, classes, dropout=dropout)


def mlp(features: int, hidden: int, classes: int, dropout: float) -> nn.Module:
    """Features to labels, no graph. Also the student of plain distillation."""
    return MLP([features, hidden, classes], dropout=dropout, act="gelu", norm="layer_norm")


def distillation_loss(scores: Tensor, teacher_probabilities: Tensor) -> Tensor:
    """Cross-entropy against the teacher's soft labels (plain distillation, as in GLNN)."""
    return -(teacher_probabilities * functional.log_softmax(scores, dim=-1)).sum(-1).mean()


@torch.no_grad()
def label_propagation(edge_index: Tensor, labels: Tensor, train: Tensor, steps: int = 50, alpha: float = 0.9) -> Tensor:
    """Labels spread along edges, features unused: (N, classes) scores."""
    return LabelPropagation(num_layers=steps, alpha=alpha)(labels.clamp(min=0), edge_index, mask=train)
