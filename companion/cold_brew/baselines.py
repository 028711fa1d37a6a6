"""What Cold Brew is compared with; each is trained on the same nodes and stopped by the same validation nodes."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch_geometric.nn import GCN, MLP, GraphSAGE, LabelPropagation

# The paper searches 10 to 200 steps and alpha from 0.01 to 0.99 and has 50 steps on Cora (Table 9); not searched here.
LP_STEPS, LP_ALPHA = 50, 0.9


def gcn(num_features: int, hidden_dim: int, num_classes: int, dropout: float) -> nn.Module:
    """The teacher without structural embeddings; adds self-loops and normalizes the edges itself."""
    return GCN(num_features, hidden_dim, 2, num_classes, dropout=dropout)


def graph_sage(num_features: int, hidden_dim: int, num_classes: int, dropout: float) -> nn.Module:
    """GraphSAGE with mean aggregation."""
    return GraphSAGE(num_features, hidden_dim, 2, num_classes, dropout=dropout)


def mlp(num_features: int, hidden_dim: int, num_classes: int, dropout: float) -> nn.Module:
    """Features to logits without the graph; also the student of plain distillation."""
    return MLP([num_features, hidden_dim, num_classes], dropout=dropout, act="gelu", norm="layer_norm")


def distillation_loss(logits: Tensor, teacher_probabilities: Tensor) -> Tensor:
    """Cross-entropy against the teacher's soft labels, a scalar; both (n, C). Plain distillation, as in GLNN."""
    return -(teacher_probabilities * functional.log_softmax(logits, dim=-1)).sum(-1).mean()


@torch.no_grad()
def label_propagation(edge_index: Tensor, labels: Tensor, train_mask: Tensor) -> Tensor:
    """Scores (N, C) from labels that spread along the edges; features are not used.

    edge_index (2, edges) int64, labels (N,) int64, train_mask (N,) bool.
    """
    return LabelPropagation(num_layers=LP_STEPS, alpha=LP_ALPHA)(labels.clamp(min=0), edge_index, mask=train_mask)
