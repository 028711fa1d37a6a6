"""The neighbor sampler: it follows edges backwards, and a seed draws the neighbors that it always drew.

No stored study runs it (it serves the paper scale), so its draws are pinned here and not by a reduced run.
"""

import torch
from torch_geometric.sampler import NodeSamplerInput

from companion.lab.neighbor_sampling import NeighborSampler

EDGES = torch.tensor([[1, 2, 3, 4, 5, 6, 7, 0, 2], [0, 0, 0, 0, 1, 2, 2, 3, 4]])  # source above target


def sample(*fanout: int) -> tuple[list[int], list[tuple[int, int]]]:
    """The nodes, and the edges (source, target) by their global numbers, sampled around nodes 0 and 4 with seed 3."""
    torch.manual_seed(3)
    found = NeighborSampler(EDGES, 8, fanout).sample_from_nodes(NodeSamplerInput(None, torch.tensor([0, 4])))
    nodes = found.node.tolist()
    return nodes, [(nodes[row], nodes[col]) for row, col in zip(found.row, found.col, strict=True)]


def test_a_seed_draws_what_it_always_drew():
    assert sample(2, 2) == ([0, 4, 1, 2, 5, 7], [(1, 0), (2, 4), (5, 1), (7, 2)])


def test_the_asked_nodes_stand_first_and_edges_are_those_of_the_graph():
    nodes, edges = sample(3, 3)
    assert nodes[:2] == [0, 4]
    assert set(edges) <= set(zip(*EDGES.tolist(), strict=True))
    assert len(set(nodes)) == len(nodes)


def test_every_neighbor_is_drawn_as_often_as_every_other():
    torch.manual_seed(0)
    sampler, counts = NeighborSampler(EDGES, 8, (1,)), torch.zeros(8)
    for _ in range(2000):
        counts[sampler.sample_from_nodes(NodeSamplerInput(None, torch.tensor([0]))).node[1]] += 1
    assert counts[[0, 5, 6, 7]].sum() == 0
    assert (counts[1:5] - 500).abs().max() < 4 * (2000 * 0.25 * 0.75) ** 0.5


def test_a_node_without_neighbors_stays_alone():
    found = NeighborSampler(EDGES, 8, (2, 2)).sample_from_nodes(NodeSamplerInput(None, torch.tensor([6])))
    assert found.node.tolist() == [6]
    assert found.row.tolist() == []
