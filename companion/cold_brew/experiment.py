"""The experiment: all arms on one graph and one seed, measured on head, tail, isolated and all test nodes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch_geometric.data import Data
from torch_geometric.loader import NodeLoader
from torch_geometric.utils import coalesce, degree

from companion.cold_brew import baselines
from companion.cold_brew.method import (
    SEGNN,
    ColdStart,
    StudentMLPs,
    accuracy,
    adjacency,
    cold_start,
    fit,
    teacher_loss,
    teacher_memory,
    virtual_neighbours,
)
from companion.data import graphs
from companion.lab import sampling
from companion.lab.evidence import Measurement
from companion.lab.scales import Config as ScaledConfig

BUCKETS = {"degree 0": (0, 0), "degree 1": (1, 1), "degree 2-3": (2, 3), "degree 4-7": (4, 7), "degree 8+": (8, 10**9)}


@dataclass(frozen=True)
class Recipe:
    """How one network is trained."""

    dropout: float = 0.5
    lr: float = 0.01
    weight_decay: float = 5e-4


@dataclass(frozen=True)
class StudentRecipe(Recipe):
    """How the student is trained, and how it looks for virtual neighbours (no temperature: plain dot products)."""

    memory: str = "probabilities"
    k: int = 10
    temperature: float | None = None


@dataclass(frozen=True)
class Config(ScaledConfig):
    """All sizes of the lesson. The recipes were chosen on isolated *validation* nodes of other seeds (see `choose`)."""

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
    gcn: Recipe = Recipe()
    sage: Recipe = Recipe()
    teacher: Recipe = Recipe()
    mlp: Recipe = Recipe()
    distilled: Recipe = Recipe()
    student: StudentRecipe = StudentRecipe()
    rewired: tuple[float, ...] = (0.0, 0.25, 0.5, 0.75, 1.0)
    fanout: tuple[int, ...] = ()

    SIZES: ClassVar = {
        "ci": {"seeds": 2, "min_count": 5, "features": 64, "hidden": 32, "steps": 20, "rewired": (0.0, 1.0)},
        "study": {"seeds": 10},
        "paper": {
            "seeds": 10, "data": "ogbn-arxiv", "per_class": 1000, "validation": 5000, "hidden": 256, "steps": 2000,
            "batch": 4096, "fanout": (15, 10),
        },
    }  # fmt: skip


@dataclass
class World:
    """One graph with one cold start, on one device; rows are nodes."""

    x: Tensor
    y: Tensor
    classes: int
    split: ColdStart
    adjacency: Tensor
    config: Config
    seed: int
    sampler: sampling.NeighbourSampler | None = None

    @property
    def keys(self) -> Tensor:
        """Non-isolated nodes, (N,) bool: the rows of the memory."""
        return ~(self.split.isolation | self.split.isolation_val)


@dataclass
class Models:
    """What each arm says of every node: class scores (N, classes); and the networks that later cells ask again."""

    scores: dict[str, Tensor]
    gnns: dict[str, Callable[[Tensor], Tensor]]
    teacher: SEGNN | None = None
    student: StudentMLPs | None = None
    neighbours: Tensor | None = None
    settings: dict[str, Any] = field(default_factory=dict)


# ---------------------------------------------------------------- the data


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


def build_world(config: Config, seed: int, device: torch.device, graph: tuple[Tensor, Tensor, Tensor] | None = None) -> World:
    """Load the graph, isolate nodes, draw labels: everything that a seed decides before training."""
    x, y, edges = graph or load_graph(config)
    split = cold_start(edges, y, config.per_class, config.share, config.validation, seed)
    sampler = sampling.NeighbourSampler(split.edge_index, len(y), config.fanout) if config.fanout else None
    moved = ColdStart(**{name: tensor.to(device) for name, tensor in vars(split).items()})
    matrix = adjacency(split.edge_index, len(y)).to(device)
    return World(x.to(device), y.to(device), int(y.max()) + 1, moved, matrix, config, seed, sampler)


# ---------------------------------------------------------------- training one arm


@dataclass
class Piece:
    """The graph, or a sampled piece of it, that one training step sees."""

    x: Tensor
    edge_index: Tensor
    adjacency: Tensor
    rows: Tensor | None
    labelled: Tensor
    labels: Tensor


def pieces(world: World) -> Iterator[Piece]:
    """Endless training pieces: the whole graph again and again, or sampled neighbourhoods of labelled nodes."""
    split, train = world.split, torch.nonzero(world.split.train).flatten()
    if world.sampler is None:
        whole = Piece(world.x, split.edge_index, world.adjacency, None, train, world.y[train])
        while True:
            yield whole
    data = Data(edge_index=split.edge_index.cpu(), num_nodes=len(world.y))
    loader = NodeLoader(data, world.sampler, input_nodes=train.cpu(), batch_size=world.config.batch, shuffle=True)
    while True:
        for part in loader:
            yield _sampled_piece(world, part)


def _sampled_piece(world: World, part: Data) -> Piece:
    device, n = world.x.device, len(part.n_id)
    rows = part.n_id.to(device)
    labelled = torch.arange(part.batch_size, device=device)
    edges = part.edge_index
    return Piece(world.x[rows], edges.to(device), adjacency(edges, n).to(device), rows, labelled, world.y[rows[labelled]])


def _start(world: World) -> None:
    """Every arm starts from the same seed, so that none depends on which arms ran before it."""
    torch.manual_seed(world.seed)


def train_gnn(world: World, name: str, recipe: Recipe) -> Callable[[Tensor], Tensor]:
    """Train GCN or GraphSAGE; returns edges (2, E) -> class scores (N, classes)."""
    _start(world)
    make = {"gcn": baselines.gcn, "sage": baselines.graph_sage}[name]
    net = make(world.x.shape[1], world.config.hidden, world.classes, recipe.dropout).to(world.x.device)
    stream = pieces(world)

    def loss() -> Tensor:
        piece = next(stream)
        return functional.cross_entropy(net(piece.x, piece.edge_index)[piece.labelled], piece.labels)

    def score() -> float:
        return accuracy(net(world.x, world.split.edge_index), world.y, world.split.val)

    fit(net, loss, score, world.config.steps, recipe.lr, recipe.weight_decay)
    return torch.no_grad()(lambda edges: net(world.x, edges))


def train_teacher(world: World, recipe: Recipe) -> SEGNN:
    """Train the SE-GNN by Eq. 3 (step 2 of the algorithm)."""
    _start(world)
    config = world.config
    net = SEGNN(len(world.y), [world.x.shape[1], config.hidden, world.classes], recipe.dropout).to(world.x.device)
    stream = pieces(world)

    def loss() -> Tensor:
        piece = next(stream)
        return teacher_loss(net, piece.x, piece.adjacency, piece.labels, piece.labelled, config.eta, piece.rows)

    def score() -> float:
        return accuracy(net(world.x, world.adjacency), world.y, world.split.val)

    fit(net, loss, score, config.steps, recipe.lr, recipe.weight_decay)
    return net


def _batch(world: World, pool: Tensor) -> Tensor:
    """Random members of `pool` (n,), as many as a batch holds."""
    return pool[torch.randint(len(pool), (min(world.config.batch, len(pool)),), device=pool.device)]


def train_mlp(world: World, recipe: Recipe, soft: Tensor | None = None) -> Tensor:
    """An MLP on features: on the labels, or on the teacher's soft labels (N, classes) of all non-isolated nodes.

    The distilled MLP gets the width and the number of steps that the student's two networks have together.
    """
    _start(world)
    config, split = world.config, world.split
    width, steps = (config.hidden, config.steps) if soft is None else (2 * config.hidden, 3 * config.steps)
    net = baselines.mlp(world.x.shape[1], width, world.classes, recipe.dropout).to(world.x.device)
    pool = torch.nonzero(world.keys).flatten()

    def loss() -> Tensor:
        if soft is None:
            return functional.cross_entropy(net(world.x[split.train]), world.y[split.train])
        rows = _batch(world, pool)
        return baselines.distillation_loss(net(world.x[rows]), soft[rows])

    def score() -> float:
        return accuracy(net(world.x[split.val]), world.y[split.val], slice(None))

    fit(net, loss, score, steps, recipe.lr, recipe.weight_decay)
    with torch.no_grad():
        return net(world.x)


def train_student(world: World, teacher: SEGNN, recipe: StudentRecipe, neighbours: bool = True) -> tuple[StudentMLPs, Tensor, Tensor]:
    """Steps 3-6 of the algorithm: memory, xi_1, virtual neighbours, xi_2. Returns student, e-tilde (N, d), scores (N, classes).

    `neighbours=False` is the sabotage: e-tilde is zero throughout.
    """
    _start(world)
    config, split, x = world.config, world.split, world.x
    memory = teacher_memory(teacher, x, world.adjacency, recipe.memory)
    student = StudentMLPs(x.shape[1], memory[world.keys], config.hidden, world.classes, recipe.dropout).to(x.device)
    found = torch.zeros_like(memory)
    if neighbours:
        _train_discovery(world, student, memory, recipe)
        with torch.no_grad():
            found = virtual_neighbours(student.discover(x), memory[world.keys], recipe.k, recipe.temperature, config.batch)

    def loss() -> Tensor:
        return functional.cross_entropy(student(x[split.train], found[split.train]), world.y[split.train])

    def score() -> float:
        return accuracy(student(x[split.val], found[split.val]), world.y[split.val], slice(None))

    fit(student.xi2, loss, score, config.steps, recipe.lr, recipe.weight_decay)
    with torch.no_grad():
        return student, found, student(x, found)


def _train_discovery(world: World, student: StudentMLPs, memory: Tensor, recipe: StudentRecipe) -> None:
    pool, val = torch.nonzero(world.keys).flatten(), world.split.val

    def loss() -> Tensor:
        rows = _batch(world, pool)
        return student.discovery_loss(world.x[rows], memory[rows])

    fit(
        student.xi1,
        loss,
        lambda: -float(student.discovery_loss(world.x[val], memory[val])),
        2 * world.config.steps,
        recipe.lr,
        recipe.weight_decay,
    )


# ---------------------------------------------------------------- all arms, and what is measured


def train_all(world: World) -> Models:
    """Train every arm on this world."""
    config, split = world.config, world.split
    gnns = {name: train_gnn(world, name, getattr(config, name)) for name in ("gcn", "sage")}
    teacher = train_teacher(world, config.teacher)
    gnns["teacher"] = torch.no_grad()(lambda edges: teacher(world.x, adjacency(edges, len(world.y))))
    soft = teacher_memory(teacher, world.x, world.adjacency, "probabilities")
    student, found, scores = train_student(world, teacher, config.student)
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
    return Models(arms, gnns, teacher, student, found)


def experiment(config: Config, seed: int, device: torch.device) -> list[Measurement]:
    """Train every arm once and measure accuracy (per cent) by group, by degree, and on the rewired tail."""
    world = build_world(config, seed, device)
    return measure(world, train_all(world))


def measure(world: World, models: Models) -> list[Measurement]:
    """All measurements of one seed."""
    groups = world.split.test_groups(world.y >= 0)
    degrees = degree(world.split.edge_index[0], len(world.y))
    for name, (low, high) in BUCKETS.items():
        groups[name] = groups["overall"] & (degrees >= low) & (degrees <= high)
    rows = [
        Measurement("accuracy", arm, group, world.seed, accuracy(scores, world.y, mask))
        for arm, scores in models.scores.items()
        for group, mask in groups.items()
    ]
    return rows + spurious(world, models, groups["tail"])


def spurious(world: World, models: Models, tail: Tensor) -> list[Measurement]:
    """Accuracy on the tail when a share of its edges leads to random nodes at test time; the student reads no edge."""
    rows = []
    for share in world.config.rewired:
        edges = rewire(world.split.edge_index, world.split.tail, share, world.seed)
        scores = {arm: gnn(edges) for arm, gnn in models.gnns.items()} | {"student": models.scores["student"]}
        setting = f"tail, {share:.0%} rewired"
        rows += [Measurement("accuracy", arm, setting, world.seed, accuracy(s, world.y, tail)) for arm, s in scores.items()]
    return rows


def rewire(edge_index: Tensor, tail: Tensor, share: float, seed: int) -> Tensor:
    """Lead each edge of a tail node, with probability `share`, to a random node instead; (2, 2E') in both directions."""
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
    return {**{arm: grid for arm in ("gcn", "sage", "teacher", "mlp", "distilled")}, "student": students}


def choose(config: Config, seed: int, device: torch.device) -> list[Measurement]:
    """Accuracy of every candidate on the isolated *validation* nodes; no test node is looked at."""
    world = build_world(config, seed, device)
    mask = world.split.isolation_val & (world.y >= 0)
    teacher = train_teacher(world, config.teacher)
    rows = []
    for arm, recipes in candidates().items():
        for recipe in recipes:
            scores = _arm_scores(world, arm, recipe, teacher)
            rows.append(Measurement("validation accuracy", arm, describe(recipe), seed, accuracy(scores, world.y, mask)))
    return rows


def _arm_scores(world: World, arm: str, recipe: Recipe, teacher: SEGNN) -> Tensor:
    if isinstance(recipe, StudentRecipe):
        return train_student(world, teacher, recipe)[2]
    if arm == "teacher":
        with torch.no_grad():
            return train_teacher(world, recipe)(world.x, world.adjacency)
    if arm in ("mlp", "distilled"):
        soft = teacher_memory(teacher, world.x, world.adjacency, "probabilities") if arm == "distilled" else None
        return train_mlp(world, recipe, soft)
    return train_gnn(world, arm, recipe)(world.split.edge_index)


def describe(recipe: Recipe) -> str:
    """A candidate in words."""
    if isinstance(recipe, StudentRecipe):
        how = "dot product" if recipe.temperature is None else f"cosine / {recipe.temperature:g}"
        return f"{recipe.memory}, {how}, K = {recipe.k}, lr {recipe.lr:g}"
    return f"dropout {recipe.dropout:g}, lr {recipe.lr:g}, decay {recipe.weight_decay:g}"
