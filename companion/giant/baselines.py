"""What GIANT is compared with: a tree without meaning, and fine-tuning by link prediction."""

from __future__ import annotations

import torch
from scipy import sparse
from torch import Tensor
from torch.nn import functional

from companion.giant.method import Encoder, FineTuneConfig, LabelTree, minimize, rescale


def random_tree(tree: LabelTree, generator: torch.Generator) -> LabelTree:
    """The same tree with its nodes permuted: as balanced as before, and without meaning."""
    return LabelTree(tree.leaves[torch.randperm(len(tree.leaves), generator=generator)], tree.depths)


def random_neighbors(adjacency: sparse.csr_matrix, nodes: Tensor, generator: torch.Generator) -> Tensor:
    """A random neighbor of each node, (n,) int64; every node of `nodes` (n,) must have one."""
    start = torch.from_numpy(adjacency.indptr).long()
    degree = start.diff()[nodes]
    position = start[nodes] + (torch.rand(len(nodes), generator=generator) * degree).long()
    return torch.from_numpy(adjacency.indices).long()[position]


def fit_link_prediction(
    encoder: Encoder, adjacency: sparse.csr_matrix, instances: Tensor, config: FineTuneConfig, seed: int
) -> list[float]:
    """Tune the encoder to tell a neighbor from another node's neighbor, in as many steps as `method.fit`; the losses.

    Logistic loss of cosines, each pair by itself; instances (n,) int64.
    """
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)

    def loss_fn(batch: Tensor) -> Tensor:
        nodes = instances[batch]
        positive = rescale(encoder(random_neighbors(adjacency, nodes, generator)))
        z, negative = rescale(encoder(nodes)), positive.roll(1, 0)
        close, apart = (config.sharpness * functional.cosine_similarity(z, other) for other in (positive, negative))
        return (functional.softplus(-close) + functional.softplus(apart)).mean()

    return minimize(encoder, None, loss_fn, len(instances), config, config.epochs)
