"""The experiment: all arms on one graph and one seed, measured on head, tail, isolated and all test nodes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import product
from typing import ClassVar

import torch
from torch import Tensor
from torch_geometric.utils import coalesce, degree

from companion.cold_brew import baselines
from companion.cold_brew.arms import Recipe, StudentRecipe, World, train_gnn, train_mlp, train_student, train_teacher
from companion.cold_brew.method import SEGNN, ColdStart, StudentMLPs, accuracy, adjacency, cold_start, teacher_memory
from companion.data import graphs
from companion.lab.evidence import Measurement
from companion.lab.neighbor_sampling import NeighborSampler
from companion.lab.config import BaseConfig
from companion.lab.config import Study

BUCKETS = {"degree 0": (0, 0), "degree 1": (1, 1), "degree 2-3": (2, 3), "degree 4-7": (4, 7), "degree 8+": (8, 10**9)}


@dataclass(frozen=True)
class Config(BaseConfig):
    """All sizes of the lesson. The recipes were chosen on isolated *validation* nodes of other seeds (see `choose`)."""

    seeds: int = 5
    data: str = "wordnet"
    min_count: int = 3
    features: int = 128
    per_class: int = 20
    share: float = 0.1
    validation: int = 500
    hidden: int = 64
    steps: int = 100
    batch: int = 1024
    eta: float = 1e-4
    gcn: Recipe = Recipe(lr=0.03)
    sage: Recipe = Recipe(lr=0.003)
    teacher: Recipe = Recipe(lr=0.03)
    mlp: Recipe = Recipe(lr=0.003, weight_decay=5e-5)
    distilled: Recipe = Recipe(lr=0.03, weight_decay=5e-5)
    student: StudentRecipe = StudentRecipe(lr=0.003)
    rewired: tuple[float, ...] = (0.0, 0.25, 0.5, 0.75, 1.0)
    fanout: tuple[int, ...] = ()

    SIZES: ClassVar = {
        "ci": {"seeds": 2, "min_count": 5, "features": 64, "hidden": 32, "steps": 20},
        "study": {"seeds": 10},
        "paper": {
            "seeds": 10, "data": "ogbn-arxiv", "per_class": 1000, "validation": 5000, "hidden": 256, "steps": 2000,
            "batch": 4096, "fanout": (15, 10),
        },
    }  # fmt: skip


@dataclass
class Models:
    """What each arm says of every node: class scores (N, classes); and the networks that later cells ask again."""

    scores: dict[str, Tensor]
    gnns: dict[str, Callable[[Tensor], Tensor]]
    teacher: SEGNN
    student: StudentMLPs


# ---------------------------------------------------------------- the data


@lru_cache(maxsize=2)
def load_graph(config: Config) -> tuple[Tensor, Tensor, Tensor]:
    """Features (N, d) float32, labels (N,) int64 with -1 for unlabelled, edges (2, 2E) int64 in both directions."""
    if config.data == "wordnet":
        graph = graphs.wordnet(config.min_count)
        edges = torch.from_numpy(graph.edges)
        x = torch.from_numpy(graphs.tfidf_features(graph.texts, config.features))
        return x, torch.from_numpy(graph.labels), torch.cat([edges, edges.flip(0)], dim=1)
    data = graphs.ogbn_arxiv() if config.data == "ogbn-arxiv" else graphs.planetoid(config.data)
    both = coalesce(torch.cat([data.edge_index, data.edge_index.flip(0)], dim=1))
    return data.x.float(), data.y.flatten().long(), both[:, both[0] != both[1]]


def build_world(config: Config, seed: int, device: torch.device) -> World:
    """Load the graph, isolate nodes, draw labels: everything that a seed decides before training."""
    x, y, edges = load_graph(config)
    split = cold_start(edges, y, config.per_class, config.share, config.validation, seed)
    sampler = NeighborSampler(split.edge_index, len(y), config.fanout) if config.fanout else None
    moved = ColdStart(**{name: tensor.to(device) for name, tensor in vars(split).items()})
    matrix = adjacency(split.edge_index, len(y)).to(device)
    sizes = (config.hidden, config.steps, config.batch, config.eta)
    return World(x.to(device), y.to(device), int(y.max()) + 1, moved, matrix, seed, *sizes, sampler)


# ---------------------------------------------------------------- all arms, and what is measured


def train_all(world: World, config: Config) -> Models:
    """Train every arm on this world."""
    split = world.split
    gnns = {name: train_gnn(world, name, getattr(config, name)) for name in ("gcn", "sage")}
    teacher = train_teacher(world, config.teacher)
    gnns["teacher"] = torch.no_grad()(lambda edges: teacher(world.x, adjacency(edges, len(world.y))))
    soft = teacher_memory(teacher, world.x, world.adjacency, "probabilities")
    student, _, scores = train_student(world, teacher, config.student)
    literal = replace(config.student, memory="logits", temperature=None)
    arms = {
        "lp": baselines.label_propagation(split.edge_index, world.y, split.train),
        **{name: gnn(split.edge_index) for name, gnn in gnns.items()},
        "mlp": train_mlp(world, config.mlp),
        "distilled": train_mlp(world, config.distilled, soft),
        "student": scores,
        "no neighbours": train_student(world, teacher, config.student, neighbours=False)[2],
        "plain logits": train_student(world, teacher, literal)[2],
    }
    return Models(arms, gnns, teacher, student)


def experiment(config: Config, seed: int, device: torch.device) -> list[Measurement]:
    """Train every arm once and measure accuracy (per cent) by group, by degree, and on the rewired tail."""
    world = build_world(config, seed, device)
    return measure(world, train_all(world, config), world.split.test_groups(world.y >= 0), config.rewired)


def rehearse(config: Config, seed: int, device: torch.device) -> list[Measurement]:
    """The experiment on validation nodes only: the margins of the claims were fixed on it, with seeds of its own."""
    world = build_world(config, seed, device)
    return measure(world, train_all(world, config), world.split.validation_groups(world.y >= 0), config.rewired)


def measure(world: World, models: Models, nodes: Mapping[str, Tensor], rewired: Sequence[float]) -> list[Measurement]:
    """Accuracy of every arm on each group of nodes, by degree, and on the rewired tail."""
    groups = dict(nodes)
    degrees = degree(world.split.edge_index[0], len(world.y))
    for name, (low, high) in BUCKETS.items():
        groups[name] = groups["overall"] & (degrees >= low) & (degrees <= high)
    rows = [
        Measurement("accuracy", arm, group, world.seed, accuracy(scores, world.y, mask))
        for arm, scores in models.scores.items()
        for group, mask in groups.items()
        if mask.any()
    ]
    return rows + spurious(world, models, groups["tail"], rewired)


def spurious(world: World, models: Models, tail: Tensor, rewired: Sequence[float]) -> list[Measurement]:
    """Accuracy on the tail when a share of its edges leads to random nodes at test time; the student reads no edge."""
    rows = []
    for share in rewired:
        edges = rewire(world.split.edge_index, world.split.tail, share, world.seed)
        scores = {arm: gnn(edges) for arm, gnn in models.gnns.items()} | {"student": models.scores["student"]}
        setting = f"tail, {share:.0%} rewired"
        rows += [
            Measurement("accuracy", arm, setting, world.seed, accuracy(s, world.y, tail)) for arm, s in scores.items()
        ]
    return rows


def rewire(edge_index: Tensor, tail: Tensor, share: float, seed: int) -> Tensor:
    """Lead each edge of a tail node, with probability `share`, to a random node; (2, 2E'), both directions."""
    generator = torch.Generator().manual_seed(seed)
    source, target = edge_index[:, edge_index[0] < edge_index[1]].cpu()
    mask = tail.cpu()
    chosen = (mask[source] | mask[target]) & (torch.rand(len(source), generator=generator) < share)
    anywhere = torch.randint(len(mask), (len(source),), generator=generator)
    keep_source = mask[source]
    source, target = (
        torch.where(chosen & ~keep_source, anywhere, source),
        torch.where(chosen & keep_source, anywhere, target),
    )
    pairs = torch.stack([source, target])[:, source != target]
    return coalesce(torch.cat([pairs, pairs.flip(0)], dim=1)).to(edge_index.device)


# ---------------------------------------------------------------- how the recipes were chosen


def candidates() -> dict[str, list[Recipe]]:
    """Sixteen recipes for every trained arm: the same number of tries for each."""
    grid = [Recipe(d, lr, decay) for d, lr, decay in product((0.2, 0.5), (0.03, 0.01, 0.003, 0.001), (5e-4, 5e-5))]
    looks = [("probabilities", None), ("probabilities", 0.1), ("logits", 0.1), ("concatenation", 0.1)]
    students: list[Recipe] = [
        StudentRecipe(lr=lr, memory=memory, temperature=temperature, k=k)
        for (memory, temperature), k, lr in product(looks, (10, 100), (0.01, 0.003))
    ]
    return {**dict.fromkeys(("gcn", "sage", "teacher", "mlp", "distilled"), grid), "student": students}


def choose(config: Config, seed: int, device: torch.device) -> list[Measurement]:
    """Accuracy of every candidate on the isolated *validation* nodes; no test node is looked at."""
    world = build_world(config, seed, device)
    mask = world.split.isolation_val & (world.y >= 0)
    teacher = train_teacher(world, config.teacher)
    rows = []
    for arm, recipes in candidates().items():
        for recipe in recipes:
            scores = _arm_scores(world, arm, recipe, teacher)
            rows.append(
                Measurement("validation accuracy", arm, describe(recipe), seed, accuracy(scores, world.y, mask))
            )
    return rows


def _arm_scores(world: World, arm: str, recipe: Recipe, teacher: SEGNN) -> Tensor:
    if isinstance(recipe, StudentRecipe):
        return train_student(world, teacher, recipe)[2]
    if arm == "teacher":
        return teacher_memory(train_teacher(world, recipe), world.x, world.adjacency, "logits")
    if arm in ("mlp", "distilled"):
        soft = teacher_memory(teacher, world.x, world.adjacency, "probabilities") if arm == "distilled" else None
        return train_mlp(world, recipe, soft)
    return train_gnn(world, arm, recipe)(world.split.edge_index)


def chosen(config: Config) -> dict[str, str]:
    """Arm -> the candidate that the configuration uses, in words."""
    return {arm: describe(getattr(config, arm)) for arm in candidates()}


def describe(recipe: Recipe) -> str:
    """A candidate in words."""
    if isinstance(recipe, StudentRecipe):
        how = "dot product" if recipe.temperature is None else f"cosine / {recipe.temperature:g}"
        return f"{recipe.memory}, {how}, K = {recipe.k}, lr {recipe.lr:g}"
    return f"dropout {recipe.dropout:g}, lr {recipe.lr:g}, decay {recipe.weight_decay:g}"


STUDY = Config.at("study")
FURTHER = {
    "choice": Study(choose, replace(STUDY, seeds=3), first_seed=100),
    "rehearsal": Study(rehearse, replace(STUDY, validation=3000), first_seed=100),
    "label-rich": Study(experiment, replace(STUDY, per_class=200)),
    "Cora": Study(experiment, replace(STUDY, data="Cora", per_class=86)),
    "CiteSeer": Study(experiment, replace(STUDY, data="CiteSeer", per_class=100)),
}

# What is cut for the runs that the tests repeat.
SMALL = {"min_count": 5, "features": 64, "hidden": 32, "steps": 20}
REDUCED = {
    "ci": {},
    "choice": {"min_count": 5, "features": 32, "hidden": 16, "steps": 10},
    "rehearsal": {**SMALL, "validation": 1000},
    "label-rich": SMALL,
    "Cora": {"hidden": 16, "steps": 20},
    "CiteSeer": {"hidden": 16, "steps": 10},
}
