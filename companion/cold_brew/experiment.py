"""The experiment: all methods on one graph and one seed, measured on head, tail, isolated and all test nodes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from companion.cold_brew import baselines
from companion.cold_brew.data import ExperimentData, cold_start, load_graph
from companion.cold_brew.evaluation import Predictor, accuracy_by_group, accuracy_on_rewired_tail
from companion.cold_brew.method import adjacency
from companion.cold_brew.training import (
    DISTILLED,
    GCN,
    LP,
    MLP,
    NO_NEIGHBORS,
    RAW_LOGITS,
    SAGE,
    STUDENT,
    TEACHER,
    TRAINED,
    StudentConfig,
    train_predictor,
    train_teacher,
)
from companion.lab.config import BaseConfig, TrainConfig
from companion.lab.evidence import Measurement
from companion.lab.neighbor_sampling import NeighborSampler

REWIRED = (GCN, SAGE, TEACHER, STUDENT)  # the methods that are measured on the rewired tail


def settings_of_all(steps: int, batch_size: int = 0) -> dict[str, int]:
    """Overrides of `Config.train`: `steps` per network, and the batch size where it is not the default.

    Distillation into one MLP gets as many steps as the two networks of the student together.
    """
    overrides = {f"train.{name}.steps": steps for name in TRAINED}
    overrides |= {f"train.{STUDENT}.embedding_steps": 2 * steps, f"train.{DISTILLED}.steps": 3 * steps}
    if batch_size:
        overrides |= {f"train.{name}.batch_size": batch_size for name in TRAINED if name != MLP}
    return overrides


@dataclass(frozen=True)
class Config(BaseConfig):
    """All sizes of the lesson. The training settings were tuned on isolated *validation* nodes of other seeds.

    Where a batch size is 0, a step takes the whole graph, or all labeled nodes.
    """

    seeds: int = 5  # how many seeds are run
    data: str = "wordnet"  # the graph: "wordnet", "Cora", "CiteSeer", "PubMed" or "ogbn-arxiv"
    min_count: int = 3  # WordNet: a noun sense is a node if it was tagged at least this often
    num_features: int = 128  # WordNet: dimensions of the TF-IDF features
    num_train_per_class: int = 20  # labeled training nodes per class, at most half of a class
    group_share: float = 0.1  # share of all nodes in each of the groups head, tail and isolation
    num_val: int = 500  # validation nodes, for early stopping
    hidden_dim: int = 64  # hidden units of the GNNs, the MLP and xi_2; xi_1 and the distilled MLP have twice as many
    eta: float = 1e-4  # strength of the penalty on the teacher's structural embeddings (Eq. 3)
    train: dict[str, TrainConfig] = field(
        default_factory=lambda: {
            GCN: TrainConfig(lr=0.03, weight_decay=5e-4, dropout=0.5, steps=100),
            SAGE: TrainConfig(lr=0.003, weight_decay=5e-4, dropout=0.5, steps=100),
            TEACHER: TrainConfig(lr=0.03, weight_decay=5e-4, dropout=0.5, steps=100),
            MLP: TrainConfig(lr=0.003, weight_decay=5e-5, dropout=0.5, steps=100),
            DISTILLED: TrainConfig(lr=0.03, weight_decay=5e-5, dropout=0.5, steps=300, batch_size=1024),
            STUDENT: StudentConfig(
                lr=0.003, weight_decay=5e-4, dropout=0.5, steps=100, embedding_steps=200, batch_size=1024
            ),
        }
    )  # how each method is trained
    rewired_shares: tuple[float, ...] = (0.0, 0.25, 0.5, 0.75, 1.0)  # shares of the tail's edges that are rewired
    fanout: tuple[int, ...] = (15, 10)  # neighbors sampled per hop where a GNN's batch size is above 0

    SIZES: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "ci": {"seeds": 2, "min_count": 5, "num_features": 64, "hidden_dim": 32, **settings_of_all(steps=20)},
        "study": {"seeds": 10},
        "paper": {
            "seeds": 10, "data": "ogbn-arxiv", "num_train_per_class": 1000, "num_val": 5000, "hidden_dim": 256,
            **settings_of_all(steps=2000, batch_size=4096),
        },
    }  # fmt: skip


def load_data(config: Config, seed: int, device: torch.device) -> ExperimentData:
    """Load the graph, isolate nodes, draw the labeled ones: everything that a seed decides before training."""
    graph = load_graph(config.data, config.min_count, config.num_features)
    x, y = graph.x, graph.y
    split = cold_start(graph.edge_index, y, config.num_train_per_class, config.group_share, config.num_val, seed)
    return ExperimentData(
        x=x.to(device),
        y=y.to(device),
        num_classes=int(y.max()) + 1,
        split=split.to(device),
        adjacency=adjacency(split.edge_index, len(y)).to(device),
        seed=seed,
        sampler=NeighborSampler(split.edge_index, len(y), config.fanout),
    )


def train_methods(data: ExperimentData, config: Config) -> dict[str, Predictor]:
    """Train every method; each predicts scores (N, C) from an edge_index, which the MLPs and the student ignore."""
    teacher = train_teacher(data, config.train[TEACHER], config.hidden_dim, config.eta)
    student = config.train[STUDENT]
    assert isinstance(student, StudentConfig)
    settings = {
        **config.train,
        NO_NEIGHBORS: replace(student, use_neighbors=False),
        RAW_LOGITS: replace(student, memory="logits", temperature=None),  # Eq. 4 taken literally
    }
    predictors: dict[str, Predictor] = {
        LP: lambda edge_index: baselines.label_propagation(edge_index, data.y, data.split.train_mask)
    }
    for name, train_config in settings.items():
        predictors[name] = train_predictor(data, name, train_config, config.hidden_dim, config.eta, teacher)
    return predictors


def measure(data: ExperimentData, config: Config, groups: Mapping[str, Tensor]) -> list[Measurement]:
    """Train every method and measure its accuracy in percent: by group, by degree, and on the rewired tail."""
    predictors = train_methods(data, config)
    rewired = {name: predictors[name] for name in REWIRED}
    measurements = accuracy_by_group(data, predictors, groups)
    return measurements + accuracy_on_rewired_tail(data, rewired, groups["tail"], config.rewired_shares)


def experiment(config: Config, seed: int, device: torch.device) -> list[Measurement]:
    """Train every method once and measure it on the test nodes."""
    data = load_data(config, seed, device)
    return measure(data, config, data.split.test_groups(data.y >= 0))
