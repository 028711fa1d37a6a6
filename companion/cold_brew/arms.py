"""The arms: every model of the lesson trained on one world, with the same steps and the same early stopping."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional
from torch_geometric.data import Data
from torch_geometric.loader import NodeLoader

from companion.cold_brew import baselines
from companion.cold_brew.method import (
    SEGNN,
    ColdStart,
    StudentMLPs,
    accuracy,
    adjacency,
    fit,
    teacher_loss,
    teacher_memory,
    virtual_neighbours,
)
from companion.lab.neighbor_sampling import NeighborSampler


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


@dataclass
class World:
    """One graph with one cold start on one device, and the sizes that all arms share; rows are nodes."""

    x: Tensor
    y: Tensor
    classes: int
    split: ColdStart
    adjacency: Tensor
    seed: int
    hidden: int
    steps: int
    batch: int
    eta: float
    sampler: NeighborSampler | None = None

    @property
    def keys(self) -> Tensor:
        """Non-isolated nodes, (N,) bool: the rows of the memory."""
        return ~(self.split.isolation | self.split.isolation_val)


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
    loader = NodeLoader(data, world.sampler, input_nodes=train.cpu(), batch_size=world.batch, shuffle=True)
    while True:
        for part in loader:
            yield _sampled_piece(world, part)


def _sampled_piece(world: World, part: Data) -> Piece:
    device, n = world.x.device, len(part.n_id)
    rows = part.n_id.to(device)
    labelled = torch.arange(part.batch_size, device=device)
    edges = part.edge_index
    return Piece(
        world.x[rows], edges.to(device), adjacency(edges, n).to(device), rows, labelled, world.y[rows[labelled]]
    )


def _start(world: World) -> None:
    """Every arm starts from the same seed, so that none depends on which arms ran before it."""
    torch.manual_seed(world.seed)


def train_gnn(world: World, name: str, recipe: Recipe) -> Callable[[Tensor], Tensor]:
    """Train GCN or GraphSAGE; returns edges (2, E) -> class scores (N, classes)."""
    _start(world)
    make = {"gcn": baselines.gcn, "sage": baselines.graph_sage}[name]
    net = make(world.x.shape[1], world.hidden, world.classes, recipe.dropout).to(world.x.device)
    stream = pieces(world)

    def loss() -> Tensor:
        piece = next(stream)
        return functional.cross_entropy(net(piece.x, piece.edge_index)[piece.labelled], piece.labels)

    def score() -> float:
        return accuracy(net(world.x, world.split.edge_index), world.y, world.split.val)

    fit(net, loss, score, world.steps, recipe.lr, recipe.weight_decay)
    return torch.no_grad()(lambda edges: net(world.x, edges))


def train_teacher(world: World, recipe: Recipe) -> SEGNN:
    """Train the SE-GNN by Eq. 3 (step 2 of the algorithm)."""
    _start(world)
    net = SEGNN(len(world.y), [world.x.shape[1], world.hidden, world.classes], recipe.dropout).to(world.x.device)
    stream = pieces(world)

    def loss() -> Tensor:
        piece = next(stream)
        return teacher_loss(net, piece.x, piece.adjacency, piece.labels, piece.labelled, world.eta, piece.rows)

    def score() -> float:
        return accuracy(net(world.x, world.adjacency), world.y, world.split.val)

    fit(net, loss, score, world.steps, recipe.lr, recipe.weight_decay)
    return net


def _batch(world: World, pool: Tensor) -> Tensor:
    """Random members of `pool` (n,), as many as a batch holds."""
    return pool[torch.randint(len(pool), (min(world.batch, len(pool)),), device=pool.device)]


def train_mlp(world: World, recipe: Recipe, soft: Tensor | None = None) -> Tensor:
    """An MLP on features: on the labels, or on the teacher's soft labels (N, classes) of all non-isolated nodes.

    The distilled MLP is as wide as the wider of the student's two networks, and gets the steps of both together.
    """
    _start(world)
    split = world.split
    width, steps = (world.hidden, world.steps) if soft is None else (2 * world.hidden, 3 * world.steps)
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


def train_student(
    world: World, teacher: SEGNN, recipe: StudentRecipe, neighbours: bool = True
) -> tuple[StudentMLPs, Tensor, Tensor]:
    """Steps 3-6 of the algorithm: memory, xi_1, virtual neighbours, xi_2.

    Returns the student, e-tilde (N, d) and class scores (N, classes).

    `neighbours=False` is the sabotage: e-tilde is zero throughout.
    """
    _start(world)
    split, x = world.split, world.x
    memory = teacher_memory(teacher, x, world.adjacency, recipe.memory)
    student = StudentMLPs(x.shape[1], memory[world.keys], world.hidden, world.classes, recipe.dropout).to(x.device)
    found = torch.zeros_like(memory)
    if neighbours:
        _train_discovery(world, student, memory, recipe)
        with torch.no_grad():
            found = virtual_neighbours(
                student.discover(x), memory[world.keys], recipe.k, recipe.temperature, world.batch
            )

    def loss() -> Tensor:
        return functional.cross_entropy(student(x[split.train], found[split.train]), world.y[split.train])

    def score() -> float:
        return accuracy(student(x[split.val], found[split.val]), world.y[split.val], slice(None))

    fit(student.xi2, loss, score, world.steps, recipe.lr, recipe.weight_decay)
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
        2 * world.steps,
        recipe.lr,
        recipe.weight_decay,
    )
