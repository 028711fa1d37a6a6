"""What GIANT is measured against: fixed features, link prediction, and the same training with a worse tree."""

from __future__ import annotations

import numpy as np
import torch
from scipy import sparse
from sklearn.decomposition import TruncatedSVD
from sklearn.preprocessing import normalize
from torch import Tensor
from torch.nn import functional

from companion.giant.method import Encoder, LabelTree, Recipe, descend, unit


def reduced(matrix: sparse.csr_matrix, width: int, seed: int = 0) -> Tensor:
    """Truncated SVD of a sparse matrix (N, V), rows of length 1 or 0: (N, width) float32."""
    width = min(width, min(matrix.shape) - 1)
    return torch.from_numpy(normalize(TruncatedSVD(width, random_state=seed).fit_transform(matrix)).astype(np.float32))


def random_tree(tree: LabelTree, generator: torch.Generator) -> LabelTree:
    """The same tree with the nodes in other places: as balanced as before, and without meaning."""
    return LabelTree(tree.leaves[torch.randperm(len(tree.leaves), generator=generator)], tree.depths)


def neighbours(links: sparse.csr_matrix, nodes: Tensor, generator: torch.Generator) -> Tensor:
    """A random neighbour of each node (n,), which must have one: (n,) int64."""
    start, size = torch.from_numpy(links.indptr).long(), torch.from_numpy(links.indptr).long().diff()
    place = start[nodes] + (torch.rand(len(nodes), generator=generator) * size[nodes]).long()
    return torch.from_numpy(links.indices).long()[place]


def link_loss(z: Tensor, near: Tensor, far: Tensor, sharpness: float) -> Tensor:
    """Is this pair linked? Logistic loss of cosines, each pair on its own: z, near, far (n, h)."""
    close, apart = (sharpness * functional.cosine_similarity(z, other) for other in (near, far))
    return (functional.softplus(-close) + functional.softplus(apart)).mean()


def fit_links(
    encoder: Encoder, links: sparse.csr_matrix, rows: Tensor, recipe: Recipe, sharpness: float, seed: int
) -> list[float]:
    """Tune the encoder to tell a neighbour from the neighbour of another node: as many steps as `fit` takes."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)

    def loss(part: Tensor) -> Tensor:
        nodes = rows[part]
        near = unit(encoder(neighbours(links, nodes, generator)))
        return link_loss(unit(encoder(nodes)), near, near.roll(1, 0), sharpness)

    return descend(encoder, None, loss, len(rows), recipe, sum(recipe.epochs))
