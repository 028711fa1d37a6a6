"""All that is stored beside the main run: tuning, pilot run, a second graph, tuning of the layers, runtime."""

from __future__ import annotations

import time
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import torch
from scipy import sparse
from sklearn.random_projection import SparseRandomProjection

from companion.giant import evaluation, method
from companion.giant.data import split_instances, split_labels
from companion.giant.evaluation import GCN_NAME, MLP_NAME, ClassifierConfig
from companion.giant.experiment import ACCURACY, Config, accuracies, experiment, measure
from companion.giant.training import FLAT, FROZEN, GIANT, LINK, NO_BOOTSTRAP, RANDOM, tune
from companion.lab.config import Study
from companion.lab.evidence import Measurement
from companion.lab.runtime import peak_megabytes, runtime_by_size
from companion.lab.tuning import grid, grid_search

LEARNING_RATES = (1e-3, 3e-3)
TREES = ((3, 5), (2, 4, 6), (4, 6), (5, 7, 9))
FLAT_DEPTHS = ((4,), (5,), (6,), (9,))
SHARPNESS = (1.0, 3.0, 10.0, 30.0)
CLASSIFIERS = grid(lr=(3e-3, 1e-2), weight_decay=(5e-4, 5e-3), dropout=(0.3, 0.6))


def describe(name: str, settings: Any) -> str:
    """The tuned settings of a method or classifier in words."""
    if isinstance(settings, ClassifierConfig):
        return f"lr {settings.lr:g}, weight decay {settings.weight_decay:g}, dropout {settings.dropout:g}"
    if name == LINK:
        return f"sharpness {settings.sharpness:g}, lr {settings.lr:g}"
    return f"{' - '.join(str(2**depth) for depth in settings.depths)} clusters, lr {settings.lr:g}"


def search_space(config: Config) -> dict[str, dict[str, Any]]:
    """Method or classifier -> {description: candidate}: eight candidates each."""
    candidates: dict[str, list[Any]] = {
        MLP_NAME: [ClassifierConfig(**values) for values in CLASSIFIERS],
        GCN_NAME: [ClassifierConfig(**values) for values in CLASSIFIERS],
        GIANT: [replace(config.train[GIANT], **values) for values in grid(depths=TREES, lr=LEARNING_RATES)],
        FLAT: [replace(config.train[FLAT], **values) for values in grid(depths=FLAT_DEPTHS, lr=LEARNING_RATES)],
        LINK: [replace(config.train[LINK], **values) for values in grid(sharpness=SHARPNESS, lr=LEARNING_RATES)],
    }
    return {name: {describe(name, each): each for each in some} for name, some in candidates.items()}


def tune_all(config: Config, seed: int, device: torch.device) -> list[Measurement]:
    """Validation accuracy of every candidate.

    Candidates of the classifiers are trained on the frozen features, in favor of that baseline; those of the methods
    are compared by an MLP on their features.
    """
    data = config.load_data()
    split = split_labels(data.labels, config.train_per_class, config.num_validation, seed)
    instances, _ = split_instances(data.adjacency, config.held_out, config.max_degree, seed)

    def score(name: str, candidate: Any) -> float:
        features, kind, classifier = data.vectors, name, candidate
        if name in config.train:
            tuned = tune(data, name, config.override(train={**config.train, name: candidate}), instances, seed)
            features = method.encode(tuned.encoder, torch.arange(len(data.labels)))
            kind, classifier = MLP_NAME, config.classifiers[MLP_NAME]
        scores = evaluation.classify(features, data, split, kind, classifier, seed)
        return evaluation.accuracy(scores, data.labels, split.validation)

    return grid_search(search_space(config), score, ACCURACY, seed)


def selected(config: Config) -> dict[str, str]:
    """Method or classifier -> the candidate that the configuration uses, as `tune_all` names it."""
    return {name: describe(name, each) for name, each in (config.train | config.classifiers).items()}


def pilot(config: Config, seed: int, device: torch.device) -> list[Measurement]:
    """The experiment on validation nodes, with seeds of its own: the margins of the claims come from it."""
    return measure(config, seed, "validation")


# ---------------------------------------------------------------- the layers themselves


def tune_layers(config: Config, seed: int, device: torch.device) -> list[Measurement]:
    """The encoder's last layers in place of an adapter: one encoder per method and seed, and three splits each.

    The seed of a measurement is 3 x (that of the encoder) + (that of the split).
    """
    data = config.load_data()
    instances, _ = split_instances(data.adjacency, config.held_out, config.max_degree, seed)
    features = {FROZEN: data.vectors}
    for name in config.methods:
        encoder = tune(data, name, config, instances, seed).encoder
        features[name] = method.encode(encoder, torch.arange(len(data.labels)))
    measurements = []
    for split_seed, (name, vectors) in product(range(config.num_splits), features.items()):
        split = split_labels(data.labels, config.train_per_class, config.num_validation, split_seed)
        number = config.num_splits * seed + split_seed
        measurements += accuracies(vectors, data, [split], "test", name, config, number)
    return measurements


# ---------------------------------------------------------------- runtime and memory

DEGREE, WORDS_PER_TEXT, VOCABULARY = 8, 12, 5_000
PROJECTION_DIM, LEAF_SIZE = 32, 100


def random_text_graph(num_nodes: int) -> tuple[sparse.csr_matrix, sparse.csr_matrix]:
    """A random graph of 8 edges per node, (N, N), and texts of 12 random words out of 5,000, (N, V): both sparse."""
    rng = np.random.default_rng(0)
    ends = rng.integers(0, num_nodes, (2, num_nodes * DEGREE // 2))
    edges = np.unique(np.sort(ends[:, ends[0] != ends[1]], axis=0), axis=1)
    cells = np.repeat(np.arange(num_nodes), WORDS_PER_TEXT), rng.integers(0, VOCABULARY, num_nodes * WORDS_PER_TEXT)
    texts = sparse.csr_matrix((np.ones(len(cells[0]), dtype=np.float32), cells), (num_nodes, VOCABULARY))
    return method.adjacency_matrix(edges, num_nodes), texts


def measure_runtime(num_nodes: int) -> dict[str, float]:
    """CPU seconds of PIFA, tree and targets, and megabytes at the peak of this process.

    The tree is built on 32 random directions of PIFA, which preserve angles on average; leaves hold up to 100 nodes.
    """
    adjacency, texts = random_text_graph(num_nodes)
    clock = [time.process_time()]
    label_vectors = method.pifa(adjacency, texts)
    clock.append(time.process_time())
    projection = SparseRandomProjection(PROJECTION_DIM, random_state=0, dense_output=True)
    projected = torch.from_numpy(projection.fit_transform(label_vectors).astype(np.float32))
    depth = int(np.ceil(np.log2(num_nodes / LEAF_SIZE)))
    tree = method.balanced_tree(torch.nn.functional.normalize(projected), (depth,), torch.Generator().manual_seed(0))
    clock.append(time.process_time())
    method.level_targets(adjacency, tree, 1)
    clock.append(time.process_time())
    seconds = dict(zip(("PIFA", "tree", "targets"), np.diff(clock).tolist(), strict=True))
    return seconds | {"peak memory": peak_megabytes()}


def runtime(config: Config, seed: int, device: torch.device) -> list[Measurement]:
    """CPU seconds and memory against the number of nodes, each size in a process of its own."""
    return runtime_by_size(measure_runtime, {f"{n:,} nodes": (n,) for n in config.runtime_sizes}, seed)


STUDY = Config.at("study")
SMALL = {name: value for name, value in Config.SIZES["ci"].items() if name != "seeds"}
LAYERS = STUDY.override(
    seeds=2, min_count=5, max_length=24, tuned_layers=2, methods=(GIANT, NO_BOOTSTRAP, RANDOM),
    gcn_methods=(FROZEN, GIANT, NO_BOOTSTRAP, RANDOM),
    **{"train.GIANT.lr": 2e-4, "train.GIANT.head_lr": 1e-3, "train.GIANT.epochs": 2, "train.GIANT.batch_size": 64,
       "train.GIANT.amp": True},
)  # fmt: skip
UNTUNED = {MLP_NAME: ClassifierConfig(), GCN_NAME: ClassifierConfig()}
STUDIES = {
    "tuning": Study(
        tune_all, Config.at("laptop").override(seeds=3, num_validation=3000, classifiers=UNTUNED), first_seed=100,
        reduced={**SMALL, "num_validation": 1000},
    ),
    "pilot": Study(
        pilot, STUDY.override(num_validation=3000), first_seed=300, reduced={**SMALL, "num_validation": 1000},
    ),
    "Cora": Study(
        experiment, STUDY.override(data="cora_text", max_length=48, seeds=3), reduced={**SMALL, "max_length": 24},
    ),
    "layers": Study(
        tune_layers, LAYERS,
        reduced={"min_count": 30, "max_length": 8, "train_per_class": 5, "num_validation": 50,
                 "classifiers": SMALL["classifiers"]},
    ),
    "runtime": Study(runtime, STUDY.override(seeds=1), reduced={"runtime_sizes": (1_000,)}),
}  # fmt: skip
