"""Uniform neighbor sampling for PyG's loaders, in plain PyTorch: PyG's own needs a compiled extension."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch_geometric.sampler import BaseSampler, NodeSamplerInput, SamplerOutput
from torch_geometric.utils import coalesce, index_sort


class NeighborSampler(BaseSampler):
    """Up to `fanout[l]` random neighbors of each node at hop l, with replacement, repeats merged.

    edge_index (2, E) int64 points from source to target; sampling follows edges backwards, from target to source.
    """

    def __init__(self, edge_index: Tensor, nodes: int, fanout: Sequence[int]) -> None:
        targets, order = index_sort(edge_index[1], nodes)
        self.sources = edge_index[0][order]
        self.start = torch.searchsorted(targets, torch.arange(nodes + 1))
        self.fanout = tuple(fanout)

    def sample_from_nodes(self, index: NodeSamplerInput, **_: object) -> SamplerOutput:
        """The sampled neighborhood; the asked nodes stand first, in the order asked."""
        seeds = index.node
        edges, frontier = [], seeds
        for size in self.fanout:
            edges.append(self._hop(frontier, size))
            frontier = edges[-1][0].unique()
        pairs = torch.cat(edges, dim=1)
        nodes = torch.cat([seeds, _without(pairs.unique(), seeds)])
        row, col = coalesce(_renumber(pairs, nodes))
        return SamplerOutput(node=nodes, row=row, col=col, edge=None, metadata=(index.input_id, index.time))

    def sample_from_edges(self, *_: object, **__: object) -> SamplerOutput:
        """Not offered: the course samples around nodes."""
        raise NotImplementedError("NeighborSampler samples around nodes; it has no sampling around edges.")

    def _hop(self, frontier: Tensor, size: int) -> Tensor:
        degree = self.start[frontier + 1] - self.start[frontier]
        frontier, degree = frontier[degree > 0], degree[degree > 0]
        place = (torch.rand(len(frontier), size) * degree.unsqueeze(1)).long()
        sources = self.sources[self.start[frontier].unsqueeze(1) + place]
        return torch.stack([sources.flatten(), frontier.repeat_interleave(size)])


def _without(values: Tensor, taken: Tensor) -> Tensor:
    return values[~torch.isin(values, taken)]


def _renumber(pairs: Tensor, nodes: Tensor) -> Tensor:
    """Global node numbers -> their places in `nodes`."""
    order = nodes.argsort()
    return order[torch.searchsorted(nodes[order], pairs)]
