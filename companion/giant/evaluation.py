"""Metrics: accuracy of classifiers on the features, precision of predicted clusters, clusters against classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy import sparse
from sklearn.metrics import adjusted_mutual_info_score
from torch import Tensor, nn
from torch.nn import functional
from torch_geometric.data import Data
from torch_geometric.nn.models import GCN, MLP

from companion.giant import method
from companion.giant.data import ExperimentData, LabelSplit, receptive_field, sampled_neighborhoods, tfidf
from companion.giant.method import LabelTree, Level
from companion.lab.config import TrainConfig
from companion.lab.training import train

MLP_NAME, GCN_NAME = "MLP", "GCN"


@dataclass(frozen=True)
class ClassifierConfig(TrainConfig):
    """How a classifier is trained, the same for all features."""

    lr: float = 0.01  # learning rate
    weight_decay: float = 5e-4  # L2 regularization
    dropout: float = 0.5  # probability that a unit is zeroed
    epochs: int = 40  # passes over the training nodes, all in one batch
    eval_every: int = 10  # epochs between two evaluations on validation nodes
    hidden_dim: int = 64  # width of the hidden layer


def standardize(features: Tensor) -> Tensor:
    """Each column of (N, h) with mean 0 and standard deviation 1 over all nodes; no label is used."""
    return (features - features.mean(0)) / features.std(0).clamp(min=1e-6)


def accuracy(scores: Tensor, labels: Tensor, nodes: Tensor) -> float:
    """Percent of nodes (n,) whose highest score is that of their class; scores (N, classes), labels (N,)."""
    return 100 * float((scores[nodes].argmax(1) == labels[nodes]).float().mean())


def build_classifier(kind: str, in_dim: int, num_classes: int, config: ClassifierConfig) -> nn.Module:
    """An MLP or a GCN of two layers, from torch-geometric."""
    if kind == MLP_NAME:
        return MLP([in_dim, config.hidden_dim, num_classes], dropout=config.dropout, norm=None)
    return GCN(in_dim, config.hidden_dim, 2, num_classes, dropout=config.dropout, normalize=False)


def classify(
    features: Tensor, data: ExperimentData, split: LabelSplit, kind: str, config: ClassifierConfig, seed: int
) -> Tensor:
    """Train a classifier on features (N, h); class scores (N, classes) at its best epoch on validation nodes.

    The MLP takes a node's own features as input, the GCN those within two hops of it as well, none of them sampled.
    """
    torch.manual_seed(seed)
    x = standardize(features)
    net = build_classifier(kind, x.shape[1], data.num_classes, config).to(x.device)
    train_inputs, all_inputs, positions = [x[split.train]], [x], torch.arange(len(split.train))
    if kind == GCN_NAME:
        rows, matrix, positions = receptive_field(data.gcn_matrix, split.train)
        train_inputs, all_inputs = [x[rows], matrix], [x, data.gcn_matrix]
    optimizer = torch.optim.Adam(net.parameters(), lr=config.lr, weight_decay=config.weight_decay, fused=True)
    best, best_scores = -1.0, torch.empty(0)
    for epoch in range(1, config.epochs + 1):
        net.train()
        loss = functional.cross_entropy(net(*train_inputs)[positions], data.labels[split.train])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if epoch % config.eval_every == 0:
            with torch.no_grad():
                scores = net.eval()(*all_inputs)
            validation = accuracy(scores, data.labels, split.validation)
            if validation > best:
                best, best_scores = validation, scores
    return best_scores


def train_sampled_gcn(
    features: Tensor, graph: Data, nodes: Tensor, fanout: Sequence[int], config: ClassifierConfig, seed: int
) -> nn.Module:
    """For graphs that do not fit into memory: a GCN of two layers, trained on sampled neighborhoods of `nodes` (n,).

    features (N, h); graph: edge_index (2, 2E) with both directions, y (N,) int64. Its input: standardized features.
    """
    torch.manual_seed(seed)
    x, batch_size = standardize(features), config.batch_size or len(nodes)
    net = GCN(x.shape[1], config.hidden_dim, 2, int(graph.y.max()) + 1, dropout=config.dropout)

    def loss_fn(net: nn.Module, batch: Data) -> Tensor:
        scores = net(x[batch.n_id], batch.edge_index)[: batch.batch_size]
        return functional.cross_entropy(scores, batch.y[: batch.batch_size])

    train(net, lambda: sampled_neighborhoods(graph, nodes, fanout, batch_size), loss_fn, config)
    return net


# ---------------------------------------------------------------- clusters and vectors


def precision_at_1(level: Level, counts: sparse.csr_matrix, nodes: Tensor) -> float:
    """Percent of nodes (n,) whose most probable cluster holds a neighbor; counts (N, K)."""
    hits = method.dense_rows(counts, nodes).gather(1, level.beam[nodes, :1]) > 0
    return 100 * float(hits.float().mean())


def mutual_information(tree: LabelTree, level: int, labels: Tensor) -> float:
    """Adjusted mutual information of clusters and classes in percent; 0 is expected of random clusters. labels (N,)."""
    known = labels >= 0
    return 100 * float(adjusted_mutual_info_score(labels[known].numpy(), tree.assignment(level)[known].numpy()))


def tree_objective(vectors: Tensor, leaf: Tensor) -> float:
    """Mean cosine of a row with the centroid of its leaf; vectors (N, d), rows of length 1 or 0, leaf (N,) int64."""
    sums = torch.zeros(int(leaf.max()) + 1, vectors.shape[1]).index_add_(0, leaf, vectors)
    return float(sums.norm(dim=1).sum() / len(vectors))


def class_shares(tree: LabelTree, level: int, labels: Tensor, num_classes: int) -> np.ndarray:
    """How the nodes of each cluster spread over classes: (K, classes), rows sum to 1, sorted by their largest class."""
    cluster, known = tree.assignment(level), labels >= 0
    table = torch.zeros(tree.num_clusters(level), num_classes)
    table.index_put_((cluster[known], labels[known]), torch.ones(int(known.sum())), accumulate=True)
    table = table / table.sum(1, keepdim=True).clamp(min=1)
    return table[torch.argsort(table.argmax(1) - table.amax(1))].numpy()


def pair_cosines(vectors: Tensor, edges: np.ndarray, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Cosines of linked and of random pairs, (E,) each, without the mean vector: vectors (N, h), edges (2, E) int64."""
    z = functional.normalize(vectors - vectors.mean(0))
    a, b = torch.from_numpy(edges)
    random = torch.randint(len(z), (2, len(a)), generator=torch.Generator().manual_seed(seed))
    return (z[a] * z[b]).sum(1), (z[random[0]] * z[random[1]]).sum(1)


def typical_words(texts: Sequence[str], tree: LabelTree, level: int, count: int = 3) -> list[str]:
    """For each cluster "a, b, c": the words whose mean TF-IDF in its own texts exceeds the overall mean most."""
    (weights, names), cluster = tfidf(texts), tree.assignment(level).numpy()
    means = [np.asarray(weights[cluster == k].mean(0))[0] for k in range(tree.num_clusters(level))]
    overall = np.asarray(weights.mean(0))[0]
    return [", ".join(names[(mean - overall).argsort()[::-1][:count]]) for mean in means]
