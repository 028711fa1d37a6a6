"""A classifier for graphs that do not fit: a GCN from torch-geometric, trained on sampled neighbourhoods."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch_geometric.data import Data
from torch_geometric.loader import NodeLoader
from torch_geometric.nn.models import GCN

from companion.giant.downstream import Downstream, Split, standard
from companion.lab.neighbor_sampling import NeighborSampler


def pieces(edges: Tensor, nodes: int, asked: Tensor, fanout: Sequence[int], batch: int) -> Iterator[Data]:
    """Batches of asked nodes (n,) with a sampled neighbourhood: edges (2, 2E) both ways, so many neighbours a hop."""
    sampler = NeighborSampler(edges, nodes, fanout)
    data = Data(edge_index=edges, num_nodes=nodes)
    yield from NodeLoader(data, sampler, input_nodes=asked, batch_size=batch, shuffle=False)


def scores(net: nn.Module, x: Tensor, part: Data) -> Tensor:
    """Class scores of the asked nodes of a piece, (batch, classes); x (N, h) stays where it is, its rows travel."""
    return net(x[part.n_id], part.edge_index)[: part.batch_size]


def classify(
    features: Tensor, edges: Tensor, labels: Tensor, split: Split, fanout: Sequence[int], recipe: Downstream, seed: int
) -> nn.Module:
    """Train a GCN of two layers on sampled pieces around the training nodes, 512 at a time; the network."""
    torch.manual_seed(seed)
    x = standard(features)
    net = GCN(x.shape[1], recipe.hidden, 2, int(labels.max()) + 1, dropout=recipe.dropout)
    optimiser = torch.optim.Adam(net.parameters(), lr=recipe.lr, weight_decay=recipe.weight_decay)
    for _ in range(recipe.epochs):
        for part in pieces(edges, len(x), split.train, fanout, 512):
            wanted = labels[part.n_id[: part.batch_size]]
            loss = functional.cross_entropy(scores(net, x, part), wanted)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    return net.eval()
