"""The graph, the cold start (section 5.1), the batches of the training steps, and rewired edges."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.loader import NodeLoader
from torch_geometric.utils import coalesce, degree

from companion.cold_brew.method import adjacency
from companion.data import graphs
from companion.lab.neighbor_sampling import NeighborSampler


@lru_cache(maxsize=2)
def load_graph(name: str, min_count: int, num_features: int) -> Data:
    """A graph: x (N, d_in) float32, y (N,) int64 with -1 for unlabeled, edge_index (2, edges) int64, both directions.

    name: "wordnet", "ogbn-arxiv" or a planetoid graph; `min_count` and `num_features` concern WordNet alone.
    """
    if name == "wordnet":
        graph = graphs.wordnet(min_count)
        edges = torch.from_numpy(graph.edges)
        x = torch.from_numpy(graphs.tfidf_features(graph.texts, num_features))
        return Data(x, torch.cat([edges, edges.flip(0)], dim=1), y=torch.from_numpy(graph.labels))
    graph = graphs.ogbn_arxiv() if name == "ogbn-arxiv" else graphs.planetoid(name)
    both = coalesce(torch.cat([graph.edge_index, graph.edge_index.flip(0)], dim=1))
    return Data(graph.x.float(), both[:, both[0] != both[1]], y=graph.y.flatten().long())


# ---------------------------------------------------------------- the cold start (section 5.1)


@dataclass(frozen=True)
class ColdStart:
    """Edges (2, edges) int64 without those of the isolated nodes, and groups of nodes as masks (N,) bool.

    `isolation_val_mask` is a second isolated group, for tuning and the pilot run: no test node takes part in them.
    """

    edge_index: Tensor
    train_mask: Tensor
    val_mask: Tensor
    isolation_val_mask: Tensor
    isolation_mask: Tensor
    tail_mask: Tensor
    head_mask: Tensor

    def test_groups(self, labeled: Tensor) -> dict[str, Tensor]:
        """The four groups of the paper, among the `labeled` nodes (N,) bool without training and validation nodes."""
        test = labeled & ~(self.train_mask | self.val_mask | self.isolation_val_mask)
        return self._groups(test, self.isolation_mask)

    def validation_groups(self, labeled: Tensor) -> dict[str, Tensor]:
        """The same four groups among the validation nodes."""
        return self._groups(labeled & (self.val_mask | self.isolation_val_mask), self.isolation_val_mask)

    def _groups(self, nodes: Tensor, isolated: Tensor) -> dict[str, Tensor]:
        groups = {"head": self.head_mask, "tail": self.tail_mask, "isolation": isolated, "overall": nodes}
        return {name: mask & nodes for name, mask in groups.items()}

    def to(self, device: torch.device) -> ColdStart:
        """The same on a device."""
        return ColdStart(*(tensor.to(device) for tensor in vars(self).values()))


def cold_start(
    edge_index: Tensor, labels: Tensor, num_train_per_class: int, group_share: float, num_val: int, seed: int
) -> ColdStart:
    """Isolate the nodes of lowest degree, find head and tail, and draw the training and validation nodes.

    edge_index (2, edges) int64 with both directions, labels (N,) int64 with -1 for unlabeled. Isolated, tail and head
    nodes are `group_share` of all nodes each, the isolated validation nodes half as many; ties of degree are broken at
    random. Of each class `num_train_per_class` nodes are training nodes, but at most half of it.
    """
    generator = torch.Generator().manual_seed(seed)
    n = len(labels)
    count = round(group_share * n)
    # the isolated nodes: test and validation group, drawn from the same nodes of lowest degree
    isolated = _lowest(degree(edge_index[0], n), count + count // 2, generator)
    isolated = isolated[torch.randperm(len(isolated), generator=generator)]
    is_isolated = _mask(isolated, n)
    remaining_edges = edge_index[:, ~(is_isolated[edge_index[0]] | is_isolated[edge_index[1]])]
    # tail and head: lowest and highest degree among the nodes that still have an edge
    degrees = degree(remaining_edges[0], n)
    without_edges = is_isolated | (degrees == 0)
    tail = _lowest(degrees.masked_fill(without_edges, torch.inf), count, generator)
    tail = tail[~without_edges[tail]]
    not_head = without_edges | _mask(tail, n)
    head = _lowest((-degrees).masked_fill(not_head, torch.inf), count, generator)
    head = head[~not_head[head]]
    # labeled nodes: never isolated ones
    train = _draw_per_class(labels.masked_fill(is_isolated, -1), num_train_per_class, generator)
    rest = torch.nonzero((labels >= 0) & ~is_isolated & ~_mask(train, n)).flatten()
    val = rest[torch.randperm(len(rest), generator=generator)[:num_val]]
    groups = (train, val, isolated[count:], isolated[:count], tail, head)
    return ColdStart(remaining_edges, *(_mask(group, n) for group in groups))


def _lowest(values: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Indices of the `count` smallest values; ties in random order."""
    shuffled = torch.randperm(len(values), generator=generator)
    return shuffled[values[shuffled].argsort(stable=True)[:count]]


def _draw_per_class(labels: Tensor, per_class: int, generator: torch.Generator) -> Tensor:
    """Up to `per_class` nodes of each class, never more than half of it."""
    drawn = []
    for c in range(int(labels.max()) + 1):
        members = torch.nonzero(labels == c).flatten()
        size = min(per_class, len(members) // 2)
        drawn.append(members[torch.randperm(len(members), generator=generator)[:size]])
    return torch.cat(drawn)


def _mask(index: Tensor, n: int) -> Tensor:
    return torch.zeros(n, dtype=torch.bool).index_fill_(0, index, True)


def rewire(edge_index: Tensor, tail_mask: Tensor, share: float, seed: int) -> Tensor:
    """Replace, with probability `share`, the other end of each edge of a tail node by a random node.

    edge_index (2, edges) int64 with both directions, tail_mask (N,) bool; the result has both directions, too.
    """
    generator = torch.Generator().manual_seed(seed)
    source, target = edge_index[:, edge_index[0] < edge_index[1]].cpu()
    is_tail = tail_mask.cpu()
    rewired = (is_tail[source] | is_tail[target]) & (torch.rand(len(source), generator=generator) < share)
    random_nodes = torch.randint(len(is_tail), (len(source),), generator=generator)
    source_stays = is_tail[source]
    new_source = torch.where(rewired & ~source_stays, random_nodes, source)
    new_target = torch.where(rewired & source_stays, random_nodes, target)
    pairs = torch.stack([new_source, new_target])[:, new_source != new_target]
    return coalesce(torch.cat([pairs, pairs.flip(0)], dim=1)).to(edge_index.device)


# ---------------------------------------------------------------- what training sees


@dataclass(frozen=True)
class ExperimentData:
    """One graph with one cold start on one device: x (N, d_in), y (N,) int64, A~ of the remaining edges (N, N) sparse.

    seed: of the cold start and of every method's training. sampler: draws the neighborhoods of a batch.
    """

    x: Tensor
    y: Tensor
    num_classes: int
    split: ColdStart
    adjacency: Tensor
    seed: int
    sampler: NeighborSampler

    @property
    def memory_mask(self) -> Tensor:
        """The non-isolated nodes, (N,) bool: their teacher embeddings are the memory."""
        return ~(self.split.isolation_mask | self.split.isolation_val_mask)


@dataclass(frozen=True)
class GraphBatch:
    """What a GNN sees in one step: n nodes, their edges and A~ (n, n); `node_ids` (n,) is None if these are all nodes.

    labeled (m,) int64 are the rows of the training nodes, labels (m,) int64 their classes.
    """

    x: Tensor
    edge_index: Tensor
    adjacency: Tensor
    node_ids: Tensor | None
    labeled: Tensor
    labels: Tensor


def graph_batches(data: ExperimentData, batch_size: int) -> Iterator[GraphBatch]:
    """Endless batches of a GNN: the neighborhoods of `batch_size` training nodes, or for 0 the whole graph."""
    edge_index, train_ids = data.split.edge_index, torch.nonzero(data.split.train_mask).flatten()
    whole = GraphBatch(data.x, edge_index, data.adjacency, None, train_ids, data.y[train_ids])
    while batch_size == 0:
        yield whole
    graph = Data(edge_index=edge_index.cpu(), num_nodes=len(data.y))
    loader = NodeLoader(graph, data.sampler, input_nodes=train_ids.cpu(), batch_size=batch_size, shuffle=True)
    while True:
        for part in loader:
            part = part.to(data.x.device)
            matrix = adjacency(part.edge_index, len(part.n_id))
            labeled = torch.arange(part.batch_size, device=data.x.device)  # the sampler puts them first
            yield GraphBatch(data.x[part.n_id], part.edge_index, matrix, part.n_id, labeled, data.y[part.n_id[labeled]])


def node_batches(node_ids: Tensor, batch_size: int) -> Iterator[Tensor]:
    """Endless batches of an MLP, (batch_size,) int64: random members of `node_ids` (n,), with replacement."""
    while True:
        yield node_ids[torch.randint(len(node_ids), (min(batch_size, len(node_ids)),), device=node_ids.device)]
