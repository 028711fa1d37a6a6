"""Where does the graph help without the leak? Every small world that was tried, as data, and the one function that
plays them all. All pairs are independent; same-domain pairs are on.

A world has V domains on a graph and K classes, whose centres stand evenly on a circle. A domain has its own shares of
the classes. The sources have labels. Each target's plane is turned by an angle that nobody knows: which of its
clusters is which class, its points alone cannot say. What can be known is how p(e | u) should relate to that of the
other domains, and there the discriminators differ: DANN's wants them equal; the graph's wants
delta(e)' A delta(e') = 0 (see the legend of `equilibrium`), which some graphs fulfil with unequal domains.

symbol       here              shape
x, y         Draw.x, Draw.y    (V, n, 2) float32, (V, n) int64
A            Draw.adjacency    (V, V)
E(x, z_u)    Turn, Matrices    (V, b, 2) -> (V, b, 2); z_u is one-hot, so a domain has an angle, or a matrix, of its own

Training starts from four angles of the targets in turn, since nothing prefers one; "mean" is over the four, "kept" is
the one start that the arm itself would keep, without a target's label: where its critic is deceived most (the largest
L_d), or, for arms without a critic, where it is most confident.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from operator import itemgetter
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn

from companion.grda.baselines import DomainCritic, self_training
from companion.grda.equilibrium import graph
from companion.grda.method import Encoder, Game, GraphCritic, Training, embed_graph, fit, mlp
from companion.lab.evidence import Measurement
from companion.lab.config import BaseConfig

Edges = tuple[tuple[int, int], ...]
PLAYERS = ("source-only", "DANN", "GRDA")
STARTS = (-0.75, -0.25, 0.25, 0.75)  # times the largest turn
SPREAD = 0.5  # of a class, in units of the circle's radius


@dataclass(frozen=True)
class Setting:
    """A world: what its graph lets one expect, its shares of the classes (V, K), edges, and sources.

    turn: the largest angle by which a target is turned, in radians. told: the edges that the game is told, where they
    are not the true ones.
    """

    name: str
    theory: str
    shares: tuple[tuple[float, ...], ...]
    edges: Edges
    sources: tuple[int, ...]
    turn: float = math.pi
    encoder: Literal["turn", "matrices", "whole"] = "turn"
    told: Edges = ()

    def graph(self) -> Tensor:
        """A (V, V) float64, as the game is told."""
        return graph(len(self.shares), list(self.told or self.edges))

    def targets(self) -> list[int]:
        """The domains without labels."""
        return [domain for domain in range(len(self.shares)) if domain not in self.sources]


def two(*second: float) -> tuple[tuple[float, ...], ...]:
    """Shares of two classes from that of the second."""
    return tuple((1 - share, share) for share in second)


CHAIN_3, CHAIN_4, CHAIN_5 = (tuple((i, i + 1) for i in range(n - 1)) for n in (3, 4, 5))
PAW = ((0, 1), (1, 2), (1, 3), (2, 3))  # a tail, 0, on a triangle 1, 2, 3
BOOK = ((0, 1), (1, 2), (1, 3), (1, 4), (2, 3), (2, 4))  # two triangles with a common side, and a tail
STAR = ((0, 1), (0, 2), (0, 3), (0, 4))
WRONG_PAW = ((2, 1), (0, 1), (0, 3), (1, 3))  # the paw with its tail and one of the others exchanged
MIXED = ((0.8, 0.1, 0.1), (0.8, 0.1, 0.1), (0.1, 0.45, 0.45), (0.1, 0.45, 0.45))

SETTINGS = (
    Setting("paw", "hub = tail; the other two are alike", two(0.1, 0.1, 0.9, 0.9), PAW, (0, 2, 3)),
    Setting("paw, milder", "hub = tail", two(0.2, 0.2, 0.8, 0.8), PAW, (0, 2, 3)),
    Setting("paw, three classes", "hub = tail", MIXED, PAW, (0, 2, 3)),
    Setting("paw, small turns", "hub = tail", two(0.1, 0.1, 0.9, 0.9), PAW, (0, 2, 3), turn=math.pi / 3),
    Setting("paw, matrices", "hub = tail", two(0.1, 0.1, 0.9, 0.9), PAW, (0, 2, 3), encoder="matrices"),
    Setting("paw, paper's encoder", "hub = tail", two(0.1, 0.1, 0.9, 0.9), PAW, (0, 2, 3), encoder="whole"),
    Setting("paw, wrong graph", "hub = 2, which is false", two(0.1, 0.1, 0.9, 0.9), PAW, (0, 2, 3), told=WRONG_PAW),
    Setting("paw, false condition", "hub = tail, which is false here", two(0.1, 0.9, 0.9, 0.9), PAW, (0, 2, 3)),
    Setting("book", "one solution for the hub", two(0.1, 0.1, 0.9, 0.7, 0.7), BOOK, (0, 2, 3, 4)),
    Setting("chain of 5, middle", "one solution", two(0.9, 0.9, 0.1, 0.5, 0.1)[::-1], CHAIN_5, (0, 1, 3, 4)),
    Setting("chain of 4, ends", "an end is half as far as its neighbour", two(0.7, 0.9, 0.1, 0.3), CHAIN_4, (1, 2)),
    Setting("chain of 3, end", "end = 2 middle - other end", two(0.9, 0.5, 0.1), CHAIN_3, (0, 1)),
    Setting("chain of 3, middle", "middle = mean, as DANN says", two(0.9, 0.6, 0.3), CHAIN_3, (0, 2)),
    Setting("star, one leaf", "centre = mean of leaves", two(0.5, 0.9, 0.9, 0.1, 0.1), STAR, (0, 1, 2, 3)),
)
NAMES: Mapping[str, Setting] = {setting.name: setting for setting in SETTINGS}


class Recipe(NamedTuple):
    """What was chosen for an arm in a setting: lambda, and the learning rate of all players."""

    lam: float
    lr: float

    def __str__(self) -> str:
        return f"lambda {self.lam:g}, lr {self.lr:g}"


GRID = tuple(Recipe(lam, lr) for lam, lr in product((0.3, 3.0), (0.01, 0.03)))


@dataclass(frozen=True)
class Search(BaseConfig):
    """All sizes of the search."""

    seeds: int = 10
    samples: int = 200
    batch: int = 40
    epochs: int = 60
    half_life: float = 30.0
    width: int = 32
    rounds: int = 3
    names: tuple[str, ...] = tuple(NAMES)
    players: tuple[str, ...] = PLAYERS

    SIZES: ClassVar[Mapping[str, Mapping[str, Any]]] = {"ci": {"seeds": 2, "samples": 40, "epochs": 2}}


# ---------------------------------------------------------------- the world


class Draw(NamedTuple):
    """A setting, drawn; shapes as in the legend, sources (V,) bool, adjacency as the game is told."""

    x: Tensor
    y: Tensor
    adjacency: Tensor
    sources: Tensor


def draw(setting: Setting, samples: int, seed: int) -> Draw:
    """Draw `samples` points a domain: class shares exact, classes normal around their centres, targets turned."""
    rng = np.random.default_rng([seed, 3])
    counts = np.round(np.array(setting.shares) * samples).astype(int)
    labels = np.array([np.repeat(np.arange(len(row)), row) for row in counts])
    angles = 2 * np.pi * labels / counts.shape[1]
    points = np.stack([np.cos(angles), np.sin(angles)], -1) + SPREAD * rng.normal(size=(*labels.shape, 2))
    known = np.isin(np.arange(len(labels)), setting.sources)
    turns = np.where(known, 0, rng.uniform(-setting.turn, setting.turn, len(labels)))
    x = torch.from_numpy(np.einsum("vnm,vhm->vnh", points, _rotation(turns)).astype(np.float32))
    return Draw(x, torch.from_numpy(labels), setting.graph().float(), torch.from_numpy(known))


def _rotation(angles: np.ndarray) -> np.ndarray:
    cosine, sine = np.cos(angles), np.sin(angles)
    return np.stack([np.stack([cosine, -sine], -1), np.stack([sine, cosine], -1)], -2)


# ---------------------------------------------------------------- the players


class Matrices(nn.Module):
    """E(x, z) = W(z) x with a matrix of its own for each domain, which starts as a rotation by `angles` (V,)."""

    def __init__(self, angles: np.ndarray) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.from_numpy(_rotation(angles).astype(np.float32)))

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        """x (V, b, 2), z (V, V) one-hot -> (V, b, 2)."""
        return torch.einsum("vbm,vu,uhm->vbh", x, z, self.weight)


class Turn(nn.Module):
    """E(x, z) = R(z) x: the same, but it stays a rotation; it can neither squeeze nor move a domain."""

    def __init__(self, angles: np.ndarray) -> None:
        super().__init__()
        self.angle = nn.Parameter(torch.from_numpy(angles.astype(np.float32)))

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        """x (V, b, 2), z (V, V) one-hot -> (V, b, 2)."""
        angle = z @ self.angle
        cosine, sine = angle.cos()[:, None], angle.sin()[:, None]
        return torch.stack([cosine * x[..., 0] - sine * x[..., 1], sine * x[..., 0] + cosine * x[..., 1]], dim=-1)


def make_game(setting: Setting, data: Draw, player: str, lam: float, start: float, width: int, seed: int) -> Game:
    """The three players of one arm; the targets' angle starts at `start` times the largest turn."""
    torch.manual_seed(seed)
    domains, classes = np.array(setting.shares).shape
    angles = np.where(data.sources.numpy(), 0, start * setting.turn)
    z, out, predictor = torch.eye(domains), 2, mlp(2, classes)
    encoder: nn.Module = Matrices(angles) if setting.encoder == "matrices" else Turn(angles)
    if setting.encoder == "whole":
        z = embed_graph(data.adjacency, domains, 300, torch.Generator().manual_seed(seed))
        encoder, out, predictor = Encoder(2, domains, width), width, mlp(width, width, classes)
    critics = {
        "DANN": DomainCritic(mlp(out, width, width, domains)),
        "GRDA": GraphCritic(mlp(out, width, width, domains), data.adjacency, aligned=False, same_domain=True),
    }
    return Game(encoder, predictor, critics.get(player), z, data.sources, lam)


Outcome = tuple[float, float]  # accuracy on the targets, per cent; and what the arm goes by, which needs no label


def play(setting: Setting, data: Draw, player: str, recipe: Recipe, config: Search, seed: int) -> list[Outcome]:
    """Train from each start. A player with a critic goes by L_d on all points, without one by its confidence."""
    training = Training(config.epochs, config.batch, recipe.lr, config.half_life)
    outcomes = []
    for i, start in enumerate(STARTS):
        game = make_game(setting, data, player, recipe.lam, start, config.width, len(STARTS) * seed + i)
        for _ in fit(game, data.x, data.y, training, False, torch.Generator().manual_seed(seed)):
            pass
        outcomes.append(_outcome(game, data))
    return outcomes


@torch.no_grad()
def _outcome(game: Game, data: Draw) -> Outcome:
    scores = game.predict(data.x)[~data.sources]
    hidden = game.losses(data.x, data.y)[1]
    right = (scores.argmax(-1) == data.y[~data.sources]).float().mean()
    return 100 * float(right), float(scores.softmax(-1).amax(-1).mean() if hidden is None else hidden)


def walk(setting: Setting, data: Draw, rounds: int) -> list[Outcome]:
    """Self-training through the graph from each start; it goes by the confidence of what it learned in the sources."""
    known, y = data.sources.numpy(), data.y.numpy()
    taught = LogisticRegression().fit(data.x[data.sources].flatten(0, 1), y[known].ravel())
    outcomes = []
    for start in STARTS:
        turns = _rotation(np.where(known, 0, start * setting.turn))
        x = np.einsum("vnm,vhm->vnh", data.x.numpy(), turns)
        guesses, _ = self_training(x, y, data.adjacency.numpy(), known, rounds)
        sure = taught.predict_proba(x[~known].reshape(-1, 2)).max(1).mean()
        outcomes.append((100 * float((guesses == y)[~known].mean()), float(sure)))
    return outcomes


# ---------------------------------------------------------------- what is measured


def rows_of(name: str, setting: str, seed: int, outcomes: Sequence[Outcome]) -> list[Measurement]:
    """The accuracy of one arm: the mean over its starts, and that of the start which it would keep."""
    mean, (kept, _) = float(np.mean([accuracy for accuracy, _ in outcomes])), max(outcomes, key=itemgetter(1))
    return [
        Measurement("accuracy", f"{name}, {which}", setting, seed, value)
        for which, value in (("mean", mean), ("kept", kept))
    ]


def choose(config: Search, seed: int, device: torch.device) -> list[Measurement]:
    """The accuracy of each player by each recipe of the grid, in every setting; for seeds that give no evidence."""
    rows = []
    for name in config.names:
        data = draw(NAMES[name], config.samples, seed)
        for player, recipe in product(PLAYERS, GRID):
            outcomes = play(NAMES[name], data, player, recipe, config, seed)
            rows += rows_of(player, f"{name}: {recipe}", seed, outcomes)
    return rows


def search(config: Search, seed: int, device: torch.device) -> list[Measurement]:
    """Every setting, every arm, by the recipes that were chosen."""
    rows = []
    for name in config.names:
        setting = NAMES[name]
        data = draw(setting, config.samples, seed)
        for player in config.players:
            rows += rows_of(player, name, seed, play(setting, data, player, CHOSEN[name][player], config, seed))
        rows += rows_of("self-training", name, seed, walk(setting, data, config.rounds))
    return rows


# the places in GRID of recipes with the best accuracy "kept" in the recorded choice (several tie), in PLAYERS' order
PLACES: Mapping[str, tuple[int, int, int]] = {
    "paw": (1, 1, 3),
    "paw, milder": (1, 0, 1),
    "paw, three classes": (0, 1, 2),
    "paw, small turns": (1, 1, 1),
    "paw, matrices": (1, 3, 0),
    "paw, paper's encoder": (1, 2, 0),
    "paw, wrong graph": (1, 1, 3),
    "paw, false condition": (0, 0, 2),
    "book": (1, 1, 3),
    "chain of 5, middle": (1, 1, 3),
    "chain of 4, ends": (1, 1, 1),
    "chain of 3, end": (1, 1, 3),
    "chain of 3, middle": (0, 0, 1),
    "star, one leaf": (0, 2, 1),
}
CHOSEN: Mapping[str, Mapping[str, Recipe]] = {
    name: {player: GRID[place] for player, place in zip(PLAYERS, places, strict=True)}
    for name, places in PLACES.items()
}
