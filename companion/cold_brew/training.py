"""Builds and trains every compared method: the same early stopping, and the same seed at the start of each.

Because each starts from the seed of the data, no method depends on which others were trained before it. The steps
and the learning rate of each are in `experiment.Config.train`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from companion.cold_brew import baselines
from companion.cold_brew.data import ExperimentData, GraphBatch, graph_batches, node_batches
from companion.cold_brew.evaluation import Predictor, accuracy
from companion.cold_brew.method import SEGNN, StudentMLPs, adjacency, teacher_loss, teacher_memory, virtual_neighbors
from companion.lab.config import TrainConfig
from companion.lab.training import train

LP, GCN, SAGE, TEACHER = "label propagation", "GCN", "GraphSAGE", "SE-GNN teacher"
MLP, DISTILLED, STUDENT = "MLP", "distilled MLP", "Cold Brew student"
NO_NEIGHBORS, RAW_LOGITS = "student without neighbors", "student with raw logits"  # the ablations
TRAINED = (GCN, SAGE, TEACHER, MLP, DISTILLED, STUDENT)
# The order fixes the colors in the figures: those that are shown together look different.
METHODS = (GCN, STUDENT, MLP, DISTILLED, SAGE, TEACHER, LP, NO_NEIGHBORS, RAW_LOGITS)


@dataclass(frozen=True)
class StudentConfig(TrainConfig):
    """How the student is trained and how it retrieves virtual neighbors; `steps` are those of xi_2."""

    embedding_steps: int = 0  # optimizer steps of xi_1
    memory: str = "probabilities"  # what is distilled: "logits", "probabilities" or "concatenation"
    k: int = 10  # virtual neighbors per node
    temperature: float | None = None  # cosine similarities are divided by it; None: dot products
    use_neighbors: bool = True  # False: e-tilde is zero (ablation)


def train_gnn(data: ExperimentData, name: str, config: TrainConfig, hidden_dim: int) -> nn.Module:
    """Train GCN or GraphSAGE on the labeled nodes; a module (x, edge_index) -> logits (N, C)."""
    torch.manual_seed(data.seed)
    build = {GCN: baselines.gcn, SAGE: baselines.graph_sage}[name]
    gnn = build(data.x.shape[1], hidden_dim, data.num_classes, config.dropout).to(data.x.device)
    val = data.split.val_mask

    def loss_fn(gnn: nn.Module, batch: GraphBatch) -> Tensor:
        return functional.cross_entropy(gnn(batch.x, batch.edge_index)[batch.labeled], batch.labels)

    def validate(gnn: nn.Module) -> float:
        return accuracy(gnn(data.x, data.split.edge_index)[val], data.y[val])

    train(gnn, lambda: graph_batches(data, config.batch_size), loss_fn, config, validate)
    return gnn


def train_mlp(data: ExperimentData, config: TrainConfig, hidden_dim: int) -> nn.Module:
    """Train an MLP on the features of the labeled nodes; a module x -> logits (N, C)."""
    torch.manual_seed(data.seed)
    mlp = baselines.mlp(data.x.shape[1], hidden_dim, data.num_classes, config.dropout).to(data.x.device)
    labeled, val = data.split.train_mask, data.split.val_mask

    def loss_fn(mlp: nn.Module, labeled: Tensor) -> Tensor:
        return functional.cross_entropy(mlp(data.x[labeled]), data.y[labeled])

    def validate(mlp: nn.Module) -> float:
        return accuracy(mlp(data.x[val]), data.y[val])

    train(mlp, lambda: [labeled], loss_fn, config, validate)
    return mlp


def distill_mlp(data: ExperimentData, config: TrainConfig, hidden_dim: int, teacher: SEGNN) -> nn.Module:
    """Train an MLP on the teacher's soft labels of all non-isolated nodes; it is as wide as the student's xi_1."""
    torch.manual_seed(data.seed)
    soft_labels = teacher_memory(teacher, data.x, data.adjacency, "probabilities")
    mlp = baselines.mlp(data.x.shape[1], 2 * hidden_dim, data.num_classes, config.dropout).to(data.x.device)
    non_isolated, val = torch.nonzero(data.memory_mask).flatten(), data.split.val_mask

    def loss_fn(mlp: nn.Module, node_ids: Tensor) -> Tensor:
        return baselines.distillation_loss(mlp(data.x[node_ids]), soft_labels[node_ids])

    def validate(mlp: nn.Module) -> float:
        return accuracy(mlp(data.x[val]), data.y[val])

    train(mlp, lambda: node_batches(non_isolated, config.batch_size), loss_fn, config, validate)
    return mlp


def train_teacher(data: ExperimentData, config: TrainConfig, hidden_dim: int, eta: float) -> SEGNN:
    """Train the SE-GNN by Eq. 3 (step 2 of the algorithm)."""
    torch.manual_seed(data.seed)
    layer_sizes = [data.x.shape[1], hidden_dim, data.num_classes]
    teacher = SEGNN(len(data.y), layer_sizes, config.dropout).to(data.x.device)
    val = data.split.val_mask

    def loss_fn(_: nn.Module, batch: GraphBatch) -> Tensor:
        return teacher_loss(teacher, batch.x, batch.adjacency, batch.labels, batch.labeled, eta, batch.node_ids)

    def validate(teacher: nn.Module) -> float:
        return accuracy(teacher(data.x, data.adjacency)[val], data.y[val])

    train(teacher, lambda: graph_batches(data, config.batch_size), loss_fn, config, validate)
    return teacher


def train_student(
    data: ExperimentData, teacher: SEGNN, config: StudentConfig, hidden_dim: int
) -> tuple[StudentMLPs, Tensor]:
    """Train both networks of the student; returns it and the virtual neighborhoods e-tilde of all nodes (N, d)."""
    torch.manual_seed(data.seed)
    x, y, labeled, val = data.x, data.y, data.split.train_mask, data.split.val_mask
    non_isolated = torch.nonzero(data.memory_mask).flatten()
    # step 3: the teacher's memory; its keys are the non-isolated nodes
    embeddings = teacher_memory(teacher, x, data.adjacency, config.memory)
    memory = embeddings[non_isolated]
    student = StudentMLPs(x.shape[1], memory, hidden_dim, data.num_classes, config.dropout).to(x.device)
    neighborhood = torch.zeros_like(embeddings)
    if config.use_neighbors:
        # step 4: xi_1 predicts the embeddings of the non-isolated nodes
        train(
            student.xi1,
            lambda: node_batches(non_isolated, config.batch_size),
            lambda _, node_ids: student.embedding_loss(x[node_ids], embeddings[node_ids]),
            replace(config, steps=config.embedding_steps),
            lambda _: -float(student.embedding_loss(x[val], embeddings[val])),
        )
        # step 5: virtual neighbors of every node, isolated or not
        with torch.no_grad():
            queries = student.predict_embedding(x)
            neighborhood = virtual_neighbors(queries, memory, config.k, config.temperature, config.batch_size)
    # step 6: xi_2 classifies [x, e-tilde]
    train(
        student.xi2,
        lambda: [labeled],
        lambda _, labeled: functional.cross_entropy(student(x[labeled], neighborhood[labeled]), y[labeled]),
        config,
        lambda _: accuracy(student(x[val], neighborhood[val]), y[val]),
    )
    return student, neighborhood


def train_predictor(
    data: ExperimentData, name: str, config: TrainConfig, hidden_dim: int, eta: float, teacher: SEGNN
) -> Predictor:
    """Train one method; `teacher` is the trained teacher of the distilled methods, which ignore edges afterward."""
    if isinstance(config, StudentConfig):
        student, neighborhood = train_student(data, teacher, config, hidden_dim)
        return lambda edge_index: student(data.x, neighborhood)
    if name == TEACHER:
        net = train_teacher(data, config, hidden_dim, eta)
        return lambda edge_index: net(data.x, adjacency(edge_index, len(data.y)))
    if name in (MLP, DISTILLED):
        mlp = (
            distill_mlp(data, config, hidden_dim, teacher) if name == DISTILLED else train_mlp(data, config, hidden_dim)
        )
        return lambda edge_index: mlp(data.x)
    gnn = train_gnn(data, name, config, hidden_dim)
    return lambda edge_index: gnn(data.x, edge_index)
