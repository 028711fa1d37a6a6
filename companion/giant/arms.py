"""The arms: every set of features that the lesson compares, made on one world with the same number of steps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.random_projection import GaussianRandomProjection
from torch import Tensor

from companion.data import graphs, minilm, texts
from companion.data.graphs import TextGraph
from companion.errors import CompanionError
from companion.giant import baselines, method, training
from companion.giant.downstream import Graph, normalised
from companion.giant.encoders import Adapter, Fixed, Reader, Whole, language_model
from companion.giant.method import Encoder, LabelTree, Recipe
from companion.giant.training import Level

TFIDF, FROZEN, GIANT, RANDOM, FLAT, LINK, PLAIN, OWN = (
    "TF-IDF", "frozen", "GIANT", "random tree", "flat", "link prediction", "no bootstrap", "own text",
)  # fmt: skip
BAG_WIDTH = 64
ALL = -1


class Clusters(NamedTuple):
    """What a tree's levels are, and the learning rate."""

    depths: tuple[int, ...]
    lr: float

    def __str__(self) -> str:
        return f"{' - '.join(str(2**depth) for depth in self.depths)} clusters, lr {self.lr:g}"


class Links(NamedTuple):
    """How sharp the logistic loss of cosines is, and the learning rate."""

    sharpness: float
    lr: float

    def __str__(self) -> str:
        return f"sharpness {self.sharpness:g}, lr {self.lr:g}"


class Budget(NamedTuple):
    """What every tuned arm may use: passes over the nodes, batch, width of the adapter, rank for the tree.

    With layers > 0 that many last layers of the encoder are tuned, with -1 the whole of it, and there is no adapter;
    amp: in bfloat16.
    """

    passes: int = 5
    batch: int = 256
    adapter: int = 256
    rank: int = 128
    layers: int = 0
    amp: bool = False
    head_lr: float | None = None

    def recipe(self, lr: float, levels: int, bootstrap_from: int = 2) -> Recipe:
        """The passes shared out evenly among levels."""
        epochs = tuple(len(part) for part in np.array_split(np.arange(self.passes), levels))
        return Recipe(lr, epochs, self.batch, bootstrap_from, head_lr=self.head_lr)


@dataclass(frozen=True)
class World:
    """What all seeds share: texts, links (N, N), TF-IDF and PIFA at low rank (N, r), the encoder's vectors (N, h)."""

    texts: TextGraph
    links: sparse.csr_matrix
    tfidf: Tensor
    pifa: Tensor
    vectors: Tensor
    graph: Graph
    encoder: str
    pieces: int


LOADERS: dict[str, Callable[[int], TextGraph]] = {
    "wordnet": graphs.wordnet,
    "cora_text": lambda min_count: texts.cora_text(),
    "ogbn_arxiv_text": lambda min_count: texts.arxiv_with_texts(),
}


def load(data: str, min_count: int) -> TextGraph:
    """A graph of texts by name; `min_count` is WordNet's threshold, and the others have none."""
    if data not in LOADERS:
        raise CompanionError(f"data = {data!r} is not known; use one of {', '.join(LOADERS)}.")
    return LOADERS[data](min_count)


def words(found: list[str]) -> tuple[sparse.csr_matrix, np.ndarray]:
    """TF-IDF of single words, (N, V), as the paper weighs them before its tree; and the words, (V,)."""
    vectorizer = TfidfVectorizer(min_df=2, sublinear_tf=True, stop_words="english", dtype=np.float32)
    return vectorizer.fit_transform(found), vectorizer.get_feature_names_out()


def frozen(found: TextGraph, tfidf: sparse.csr_matrix, encoder: str, pieces: int) -> np.ndarray:
    """What an encoder that knows no graph makes of each text, (N, h); "bag" is a random projection of TF-IDF."""
    if encoder == "bag":
        return GaussianRandomProjection(BAG_WIDTH, random_state=0).fit_transform(tfidf).astype(np.float32)
    known = dict(zip(graphs.wordnet().texts, minilm.minilm_nouns(), strict=True)) if encoder == "minilm" else {}
    if known.keys() >= set(found.texts):
        return np.stack([known[text] for text in found.texts])
    tokenizer, network = language_model(encoder)
    tokenizer.model_max_length = pieces
    return minilm.embed(found.texts, tokenizer, network)


@lru_cache(maxsize=2)
def world(data: str, min_count: int, encoder: str, pieces: int, rank: int) -> World:
    """Read a graph and prepare what all seeds share."""
    found = load(data, min_count)
    nodes, (bags, _) = len(found.texts), words(found.texts)
    links = method.adjacency(found.edges, nodes)
    edges = torch.from_numpy(np.concatenate([found.edges, found.edges[::-1]], axis=1))
    graph = Graph(normalised(edges, nodes), torch.from_numpy(found.labels))
    vectors = torch.from_numpy(frozen(found, bags, encoder, pieces))
    low = [baselines.reduced(matrix, rank) for matrix in (bags, method.pifa(links, bags))]
    return World(found, links, low[0], low[1], vectors, graph, encoder, pieces)


def instances(links: sparse.csr_matrix, watched: float, cap: int, seed: int) -> tuple[Tensor, Tensor]:
    """Nodes that are trained on, and nodes that are only watched: a share of all that have 1 to `cap` neighbours."""
    degree = torch.from_numpy(np.diff(links.indptr))
    usable = torch.nonzero((degree > 0) & (degree < cap))[:, 0]
    mixed = usable[torch.randperm(len(usable), generator=torch.Generator().manual_seed(seed))]
    aside = int(watched * len(mixed))
    return mixed[aside:], mixed[:aside]


class Tuned(NamedTuple):
    """A tuned encoder, its levels (none for link prediction), and the tree that they belong to."""

    encoder: Encoder
    levels: list[Level]
    tree: LabelTree | None

    @property
    def grown(self) -> LabelTree:
        """The tree; an error for link prediction, which has none."""
        if self.tree is None:
            raise CompanionError("Link prediction has no tree and no levels; ask another arm for them.")
        return self.tree


def start(world: World, arm: str, budget: Budget, seed: int) -> Encoder:
    """An encoder before it is tuned, the same for every arm of a seed."""
    torch.manual_seed(seed)
    if arm == FROZEN:
        return Fixed(world.vectors)
    if budget.layers == ALL:
        return Whole(world.encoder, world.texts.texts, world.pieces, budget.amp)
    if budget.layers:
        return Reader(world.encoder, world.texts.texts, budget.layers, world.pieces, budget.amp)
    return Adapter(world.vectors, budget.adapter)


def plant(world: World, arm: str, depths: tuple[int, ...], seed: int) -> LabelTree:
    """The tree of an arm: from PIFA, from own texts, flat, or with the nodes in random places."""
    generator = torch.Generator().manual_seed(seed)
    tree = method.balanced_tree(world.tfidf if arm == OWN else world.pifa, depths, generator)
    return baselines.random_tree(tree, generator) if arm == RANDOM else tree


def tune(world: World, arm: str, choice: Clusters | Links, budget: Budget, rows: Tensor, seed: int) -> Tuned:
    """Tune an adapter as one arm does, on instances `rows` (n,); for frozen features the heads alone are tuned."""
    encoder = start(world, arm, budget, seed)
    if isinstance(choice, Links):
        baselines.fit_links(encoder, world.links, rows, budget.recipe(choice.lr, 1), choice.sharpness, seed)
        return Tuned(encoder, [], None)
    tree = plant(world, arm, choice.depths, seed)
    levels = len(choice.depths)
    recipe = budget.recipe(choice.lr, levels, {FROZEN: 1, PLAIN: levels + 1}.get(arm, 2))
    return Tuned(encoder, training.fit(encoder, world.links, tree, rows, recipe, seed), tree)


def features(encoder: Encoder, nodes: int) -> Tensor:
    """What is handed to the classifiers: the vectors of all nodes, (N, h)."""
    return training.encode(encoder, torch.arange(nodes))
