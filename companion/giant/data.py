"""Graphs of texts: loading, word counts, frozen vectors, instances, label splits, batches; and synthetic examples."""

from __future__ import annotations

import tomllib
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from scipy import sparse
from scipy.stats import norm
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.preprocessing import normalize
from sklearn.random_projection import GaussianRandomProjection
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.loader import NodeLoader
from torch_geometric.nn.conv.gcn_conv import gcn_norm
from torch_geometric.utils import k_hop_subgraph

from companion.data import graphs, minilm
from companion.data.graphs import TextGraph
from companion.errors import CompanionError
from companion.giant import method
from companion.giant.method import LabelTree
from companion.lab.neighbor_sampling import NeighborSampler

if TYPE_CHECKING:
    from transformers import BertModel, PreTrainedTokenizerFast

MINILM, BAG = "minilm", "bag"
BAG_DIM = 64  # columns of the random projection that stands for an encoder at scale ci


# ---------------------------------------------------------------- loading


@dataclass(frozen=True)
class ExperimentData:
    """What all seeds share.

    graph: texts, names, edges. adjacency (N, N) sparse. tfidf, pifa (N, pifa_dim) float32: TF-IDF and PIFA after
    truncated SVD. vectors (N, h) float32: those of the frozen encoder. gcn_matrix (N, N) sparse: D^-1/2 (A + I) D^-1/2.
    labels (N,) int64, -1 for none.
    """

    graph: TextGraph
    adjacency: sparse.csr_matrix
    tfidf: Tensor
    pifa: Tensor
    vectors: Tensor
    gcn_matrix: Tensor
    labels: Tensor

    @property
    def num_classes(self) -> int:
        """How many classes there are."""
        return int(self.labels.max()) + 1


LOADERS: dict[str, Callable[[int], TextGraph]] = {
    "wordnet": graphs.wordnet,
    "cora_text": lambda min_count: graphs.cora_text(),
    "ogbn_arxiv_text": lambda min_count: graphs.arxiv_with_texts(),
}


def load_graph(data: str, min_count: int) -> TextGraph:
    """A graph of texts by name; `min_count` is WordNet's threshold, and the others have none."""
    if data not in LOADERS:
        raise CompanionError(f"data = {data!r} is not known; use one of {', '.join(LOADERS)}.")
    return LOADERS[data](min_count)


@lru_cache(maxsize=2)
def load_data(data: str, min_count: int, encoder: str, max_length: int, pifa_dim: int) -> ExperimentData:
    """Load a graph and prepare what all seeds share; for the parameters see `experiment.Config`."""
    graph = load_graph(data, min_count)
    num_nodes, (features, _) = len(graph.texts), tfidf(graph.texts)
    adjacency = method.adjacency_matrix(graph.edges, num_nodes)
    bags, label_vectors = (truncated_svd(each, pifa_dim) for each in (features, method.pifa(adjacency, features)))
    vectors = torch.from_numpy(frozen_vectors(graph, features, encoder, max_length))
    both_directions = torch.from_numpy(np.concatenate([graph.edges, graph.edges[::-1]], axis=1))
    matrix, labels = gcn_matrix(both_directions, num_nodes), torch.from_numpy(graph.labels)
    return ExperimentData(graph, adjacency, bags, label_vectors, vectors, matrix, labels)


def tfidf(texts: Sequence[str]) -> tuple[sparse.csr_matrix, np.ndarray]:
    """TF-IDF of single words, (N, V) float32, and the words, (V,). No stop words, no words of a single text."""
    vectorizer = TfidfVectorizer(min_df=2, sublinear_tf=True, stop_words="english", dtype=np.float32)
    return vectorizer.fit_transform(texts), vectorizer.get_feature_names_out()


def truncated_svd(matrix: sparse.csr_matrix, dim: int, seed: int = 0) -> Tensor:
    """Truncated SVD of a sparse matrix (N, V), rows of length 1 or 0: (N, dim) float32."""
    dim = min(dim, min(matrix.shape) - 1)
    return torch.from_numpy(normalize(TruncatedSVD(dim, random_state=seed).fit_transform(matrix)).astype(np.float32))


def frozen_vectors(graph: TextGraph, features: sparse.csr_matrix, encoder: str, max_length: int) -> np.ndarray:
    """The vectors of an encoder that never saw the graph, (N, h) float32; "bag" is a random projection of TF-IDF.

    The vectors that MiniLM gives WordNet's nouns were stored when the data were downloaded.
    """
    if encoder == BAG:
        return GaussianRandomProjection(BAG_DIM, random_state=0).fit_transform(features).astype(np.float32)
    stored = dict(zip(graphs.wordnet().texts, minilm.minilm_nouns(), strict=True)) if encoder == MINILM else {}
    if stored.keys() >= set(graph.texts):
        return np.stack([stored[text] for text in graph.texts])
    tokenizer, model = language_model(encoder)
    tokenizer.model_max_length = max_length
    return minilm.embed(graph.texts, tokenizer, model)


def language_model(name: str) -> tuple[PreTrainedTokenizerFast, BertModel]:
    """Tokenizer and encoder: "minilm", or a folder with a BERT (the paper's is bert-base-uncased)."""
    if name == MINILM:
        return minilm.minilm()
    from transformers import BertModel, PreTrainedTokenizerFast

    return PreTrainedTokenizerFast.from_pretrained(name), BertModel.from_pretrained(name).eval()


# ---------------------------------------------------------------- instances, splits, matrices, batches


def split_instances(adjacency: sparse.csr_matrix, held_out: float, max_degree: int, seed: int) -> tuple[Tensor, Tensor]:
    """Nodes that are trained on and held-out ones, int64: of all that have 1 to `max_degree` - 1 neighbors."""
    degree = torch.from_numpy(np.diff(adjacency.indptr))
    usable = torch.nonzero((degree > 0) & (degree < max_degree))[:, 0]
    shuffled = usable[torch.randperm(len(usable), generator=torch.Generator().manual_seed(seed))]
    count = int(held_out * len(shuffled))
    return shuffled[count:], shuffled[:count]


class LabelSplit(NamedTuple):
    """Nodes with a label, int64 each: to train a classifier on, to select its best epoch, and to test it."""

    train: Tensor
    validation: Tensor
    test: Tensor


def split_labels(labels: Tensor, train_per_class: int, num_validation: int, seed: int) -> LabelSplit:
    """`train_per_class` nodes of each class, then `num_validation` nodes, then the rest; labels (N,), -1 for none."""
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    order = order[labels[order] >= 0]
    order = order[labels[order].argsort(stable=True)]
    size = labels[order].bincount()
    rank = torch.arange(len(order)) - (size.cumsum(0) - size)[labels[order]]
    rest = order[rank >= train_per_class]
    rest = rest[torch.randperm(len(rest), generator=torch.Generator().manual_seed(seed))]
    return LabelSplit(order[rank < train_per_class], rest[:num_validation], rest[num_validation:])


def gcn_matrix(edge_index: Tensor, num_nodes: int) -> Tensor:
    """D^-1/2 (A + I) D^-1/2, sparse (N, N); edge_index (2, 2E) int64 holds both directions of every edge."""
    index, weight = gcn_norm(edge_index, num_nodes=num_nodes)
    return _sparse_rows(index, weight, num_nodes)


def receptive_field(matrix: Tensor, nodes: Tensor, hops: int = 2) -> tuple[Tensor, Tensor, Tensor]:
    """The input of a GCN of `hops` layers for nodes (n,): rows (m,), their matrix (m, m), their positions (n,)."""
    entries = matrix.to_sparse_coo()
    rows, index, positions, used = k_hop_subgraph(nodes, hops, entries.indices(), True, len(matrix), "target_to_source")
    return rows, _sparse_rows(index, entries.values()[used], len(rows)), positions


def _sparse_rows(index: Tensor, weight: Tensor, num_nodes: int) -> Tensor:
    """A sparse matrix (N, N) stored row by row, in which products are fast."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse")
        return torch.sparse_coo_tensor(index, weight, (num_nodes, num_nodes)).coalesce().to_sparse_csr()


def sampled_neighborhoods(data: Data, nodes: Tensor, fanout: Sequence[int], batch_size: int) -> NodeLoader:
    """Batches of nodes (n,) with `fanout` sampled neighbors per hop; data.edge_index (2, 2E) has both directions."""
    sampler = NeighborSampler(data.edge_index, data.num_nodes, fanout)
    return NodeLoader(data, sampler, input_nodes=nodes, batch_size=batch_size, shuffle=False)


# ---------------------------------------------------------------- small examples

TOY_NODES = ("cat", "dog", "pet", "gene", "DNA", "cell")
TOY_WORDS = ("tail", "fur", "code")
TOY_EDGES = ((0, 2), (1, 2), (0, 1), (3, 4), (3, 5), (2, 5))
TOY_TEXTS = ((1, 1, 0), (1, 1, 0), (0, 1, 0), (0, 0, 1), (0, 0, 1), (1, 0, 1))


def toy_graph() -> tuple[sparse.csr_matrix, np.ndarray, LabelTree]:
    """Three nodes on animals, three on genes, one edge between: adjacency (6, 6), PIFA (6, 3), a tree of one level."""
    adjacency = method.adjacency_matrix(np.array(TOY_EDGES).T, len(TOY_NODES))
    vectors = method.pifa(adjacency, sparse.csr_matrix(np.array(TOY_TEXTS, dtype=np.float32))).toarray()
    return adjacency, vectors, method.balanced_tree(torch.from_numpy(vectors), (1,), torch.Generator().manual_seed(0))


@cache
def libpecos_reference() -> dict[str, Any]:
    """The output of libpecos, the authors' library, for a random graph of 60 nodes (`reference.toml`)."""
    return tomllib.loads((Path(__file__).parent / "reference.toml").read_text("utf-8"))


def reference_graph() -> tuple[sparse.csr_matrix, sparse.csr_matrix]:
    """That random graph: adjacency (60, 60) and features (60, 8)."""
    stored = libpecos_reference()
    features = sparse.csr_matrix(np.array(stored["features"]))
    return method.adjacency_matrix(np.array(stored["pairs"]), stored["nodes"]), features


def reference_tree(seed: int = 0) -> LabelTree:
    """A tree over that graph with levels of 2, 4 and 8 clusters."""
    vectors = torch.from_numpy(method.pifa(*reference_graph()).toarray()).float()
    return method.balanced_tree(vectors, (1, 2, 3), torch.Generator().manual_seed(seed))


# ---------------------------------------------------------------- a block model with known errors


def raw_error(signal: float, noise: float) -> float:
    """Contextual stochastic block model: error of the best classifier of a node's own feature, Phi(-|mu| / sigma).

    A feature is +-mu (length: signal) plus noise of standard deviation sigma in each coordinate.
    """
    return float(norm.cdf(-signal / noise))


def neighbor_error(signal: float, noise: float, homophily: float, neighbors: float) -> float:
    """Error with the mean feature of d neighbors instead, in the normal approximation (good from d = 10 on).

    With edge probabilities p within a class and q across, the homophily is m = (p - q) / (p + q). Along mu that mean
    has expectation +-m |mu| and variance (sigma^2 + (1 - m^2) |mu|^2) / d.
    """
    spread = np.sqrt((noise**2 + (1 - homophily**2) * signal**2) / neighbors)
    return float(norm.cdf(-homophily * signal / spread))


def simulated_error(
    signal: float, noise: float, homophily: float, neighbors: int, draws: int, rng: np.random.Generator
) -> float:
    """The same by simulation: a neighbor is of the node's class with probability (1 + m) / 2."""
    same = rng.random((draws, neighbors)) < (1 + homophily) / 2
    features = np.where(same, signal, -signal) + noise * rng.standard_normal((draws, neighbors))
    return float((features.mean(1) < 0).mean())
