"""The experiment: features of every method, classified alike; and how well neighborhoods are predicted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor

from companion.giant import evaluation, method
from companion.giant.data import ExperimentData, LabelSplit, load_data, split_instances, split_labels
from companion.giant.evaluation import GCN_NAME, MLP_NAME, ClassifierConfig
from companion.giant.method import FineTuneConfig
from companion.giant.training import FLAT, FROZEN, GIANT, LINK, RANDOM, TFIDF, TUNED, WHOLE_ENCODER, TunedEncoder, tune
from companion.lab.config import BaseConfig
from companion.lab.evidence import Measurement

ACCURACY, GAP, PRECISION, INFORMATION = "accuracy", "GCN minus MLP", "precision@1", "adjusted mutual information"
CHANCE = "chance"


@dataclass(frozen=True)
class Config(BaseConfig):
    """All sizes of the lesson. What was tuned was tuned on validation nodes of other seeds (see `studies.tune`)."""

    seeds: int = 6  # how many seeds are run
    data: str = "wordnet"  # "wordnet", "cora_text" or "ogbn_arxiv_text"
    min_count: int = 3  # WordNet's nouns that were tagged at least this often in its corpus
    encoder: str = "minilm"  # "minilm", "bag" (a random projection of TF-IDF) or a folder with a BERT
    max_length: int = 64  # tokens of a text that the encoder reads
    tuned_layers: int = 0  # last layers that are tuned; 0: an adapter in their place, -1: the whole encoder
    adapter_dim: int = 256  # hidden units of the adapter
    pifa_dim: int = 128  # dimension of PIFA, and of TF-IDF features, after truncated SVD
    held_out: float = 0.05  # share of the instances that are held out to measure precision@1
    max_degree: int = 1000  # nodes with this many neighbors or more are not instances
    train_per_class: int = 20  # labeled nodes per class that a classifier is trained on
    num_validation: int = 500  # labeled nodes on which its best epoch is selected
    num_splits: int = 3  # label splits per seed, over which the accuracy of the MLP is averaged
    train: dict[str, FineTuneConfig] = field(
        default_factory=lambda: {
            GIANT: FineTuneConfig(lr=3e-3, epochs=5, batch_size=256, depths=(3, 5)),
            FLAT: FineTuneConfig(lr=3e-3, epochs=5, batch_size=256, depths=(4,)),
            LINK: FineTuneConfig(lr=3e-3, epochs=5, batch_size=256),
        }
    )  # how each method tunes the encoder; methods that are not named use the settings of GIANT
    classifiers: dict[str, ClassifierConfig] = field(
        default_factory=lambda: {
            MLP_NAME: ClassifierConfig(weight_decay=5e-3, dropout=0.6),
            GCN_NAME: ClassifierConfig(weight_decay=5e-3, dropout=0.3),
        }
    )  # how the classifiers are trained, the same for all features
    methods: tuple[str, ...] = TUNED  # methods that tune the encoder
    gcn_methods: tuple[str, ...] = (FROZEN, GIANT)  # methods whose features a GCN is trained on as well
    runtime_sizes: tuple[int, ...] = (1_000, 10_000, 100_000, 1_000_000)  # nodes of the graphs of the runtime study

    SIZES: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "ci": {
            "seeds": 2, "min_count": 5, "encoder": "bag", "adapter_dim": 32, "pifa_dim": 32,
            "train.GIANT.epochs": 2, "train.flat.epochs": 2, "train.link prediction.epochs": 2,
            "classifiers": {MLP_NAME: ClassifierConfig(epochs=10), GCN_NAME: ClassifierConfig(epochs=10)},
        },
        "study": {"seeds": 10},
        "paper": {
            "seeds": 3, "data": "ogbn_arxiv_text", "encoder": "bert-base-uncased", "max_length": 128,
            "tuned_layers": WHOLE_ENCODER, "pifa_dim": 256, "train_per_class": 500, "num_validation": 5000,
            "train": {
                name: FineTuneConfig(lr=6e-5, epochs=4, batch_size=32, amp=True, depths=depths)
                for name, depths in ((GIANT, (5, 7, 9, 11)), (FLAT, (11,)), (LINK, ()))
            },
            "classifiers": {kind: ClassifierConfig(hidden_dim=256, epochs=300) for kind in (MLP_NAME, GCN_NAME)},
        },
    }  # fmt: skip

    def settings(self, name: str) -> FineTuneConfig:
        """The settings of a method; ablations, and heads on the frozen encoder, use those of GIANT."""
        return self.train.get(name, self.train[GIANT])

    def load_data(self) -> ExperimentData:
        """The graph of this configuration, with all that its seeds share."""
        return load_data(self.data, self.min_count, self.encoder, self.max_length, self.pifa_dim)


def experiment(config: Config, seed: int, device: torch.device) -> list[Measurement]:
    """All methods on test nodes. A seed has its own splits, tree, adapter, heads, batches and classifiers."""
    return measure(config, seed, "test")


def measure(config: Config, seed: int, part: str) -> list[Measurement]:
    """Every method on this seed's splits, evaluated on their "test" or "validation" nodes."""
    data = config.load_data()
    splits = [
        split_labels(data.labels, config.train_per_class, config.num_validation, split_seed)
        for split_seed in range(config.num_splits * seed, config.num_splits * (seed + 1))  # no other seed has these
    ]
    instances, held_out = split_instances(data.adjacency, config.held_out, config.max_degree, seed)
    measurements = accuracies(data.tfidf, data, splits, part, TFIDF, config, seed)
    measurements += accuracies(data.vectors, data, splits, part, FROZEN, config, seed)
    for name in config.methods:
        tuned = tune(data, name, config, instances, seed)
        features = method.encode(tuned.encoder, torch.arange(len(data.labels)))
        measurements += accuracies(features, data, splits, part, name, config, seed)
        if name in (GIANT, RANDOM):
            measurements += cluster_metrics(data, tuned, name, held_out, seed)
    heads_alone = tune(data, FROZEN, config, instances, seed)
    return measurements + cluster_metrics(data, heads_alone, FROZEN, held_out, seed)


def accuracies(
    features: Tensor, data: ExperimentData, splits: list[LabelSplit], part: str, name: str, config: Config, seed: int
) -> list[Measurement]:
    """Accuracy on the `part` ("test" or "validation") of an MLP, the mean over splits, and of a GCN on the first split.

    The GCN is trained for `config.gcn_methods`; the gap is by how much it is better than the MLP on the same split.
    features (N, h).
    """

    def score(split: LabelSplit, kind: str) -> float:
        scores = evaluation.classify(features, data, split, kind, config.classifiers[kind], seed)
        return evaluation.accuracy(scores, data.labels, getattr(split, part))

    mlp = [score(split, MLP_NAME) for split in splits]
    measurements = [Measurement(ACCURACY, name, MLP_NAME, seed, sum(mlp) / len(mlp))]
    if name in config.gcn_methods:
        gcn = score(splits[0], GCN_NAME)
        measurements.append(Measurement(ACCURACY, name, GCN_NAME, seed, gcn))
        measurements.append(Measurement(GAP, name, "", seed, gcn - mlp[0]))
    return measurements


def cluster_metrics(
    data: ExperimentData, tuned: TunedEncoder, name: str, held_out: Tensor, seed: int
) -> list[Measurement]:
    """At each level: precision@1 on nodes whose texts are never trained on, held_out (n,); clusters against classes."""
    measurements = []
    for t, level in enumerate(tuned.levels, start=1):
        counts, setting = method.level_targets(data.adjacency, tuned.tree, t), f"{level.num_clusters} clusters"
        precision = evaluation.precision_at_1(level, counts, held_out)
        measurements.append(Measurement(PRECISION, name, setting, seed, precision))
        if name == GIANT:
            chance = 100 * float((method.dense_rows(counts, held_out) > 0).float().mean())
            measurements.append(Measurement(PRECISION, CHANCE, setting, seed, chance))
        if name != FROZEN:  # its tree is that of GIANT
            information = evaluation.mutual_information(tuned.tree, t, data.labels)
            measurements.append(Measurement(INFORMATION, name, setting, seed, information))
    return measurements
