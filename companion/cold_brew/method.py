"""Cold Brew (Zheng et al., ICLR 2022): the teacher, its memory, virtual neighbors, the student, and the FCR.

N nodes, d_in features, C classes; d is the width of the memory.

symbol      here                               shape            meaning
A~          adjacency                          (N, N) sparse    D^-1/2 (A + I) D^-1/2, D the degrees of A + I
X^(0)       x                                  (N, d_in)        node features
W^(l)       SEConv.linear.weight               (d_out, d_in)    weights of layer l, transposed
E^(l)       SEConv.embedding.weight            (N, d_out)       structural embeddings of layer l
eta         eta                                float            strength of the penalty on E
E-bar       memory                             (keys, d)        teacher embeddings of the non-isolated nodes
e-hat_i     StudentMLPs.predict_embedding      (n, d)           embedding predicted from the features alone
Theta_K     k                                  int              only the K largest scores take part
e-tilde_i   virtual_neighbors                  (n, d)           weighted mean of K rows of the memory
xi_1, xi_2  StudentMLPs.xi1, StudentMLPs.xi2   modules          the student's two networks

The algorithm; `training.train_teacher` is step 2, `training.train_student` steps 3 to 6:
1. remove the edges of the isolated nodes (`data.cold_start`, section 5.1);
2. train the teacher on the graph that remains (Eq. 2, 3);
3. compute its memory once, and freeze it (section 3.2);
4. train xi_1 on all non-isolated nodes to predict their rows of the memory; this needs no labels;
5. retrieve the virtual neighbors of every node (Eq. 4);
6. train xi_2 on the labeled nodes to classify [x, e-tilde].
For a new node, prediction is xi_1, retrieval, xi_2: no edge is used.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch_geometric.nn import MLP
from torch_geometric.nn.conv.gcn_conv import gcn_norm

MEMORIES = ("logits", "probabilities", "concatenation")
EMBEDDING_STD = 0.01  # of the initial structural embeddings; ours (the paper's code draws them from N(0, 1))


def adjacency(edge_index: Tensor, num_nodes: int) -> Tensor:
    """A~ = D^-1/2 (A + I) D^-1/2, sparse float (N, N); the row of an isolated node is a unit vector.

    edge_index: (2, edges) int64, both directions of every edge.
    """
    index, weight = gcn_norm(edge_index, num_nodes=num_nodes)
    return torch.sparse_coo_tensor(index, weight, (num_nodes, num_nodes), check_invariants=True).coalesce()


# ---------------------------------------------------------------- the teacher (section 3.1)


class SEConv(nn.Module):
    """One layer of the teacher before its nonlinearity, A~ (X W + E): E has a free row for every node (Eq. 2)."""

    def __init__(self, num_nodes: int, d_in: int, d_out: int) -> None:
        super().__init__()
        self.linear = nn.Linear(d_in, d_out, bias=False)
        self.embedding = nn.Embedding(num_nodes, d_out)
        nn.init.xavier_uniform_(self.linear.weight)
        nn.init.normal_(self.embedding.weight, std=EMBEDDING_STD)

    def before_aggregation(self, x: Tensor, node_ids: Tensor | None = None) -> Tensor:
        """X W + E, float (n, d_out), of x (n, d_in); `node_ids` (n,) int64 says which nodes, if x has not all N."""
        return self.linear(x) + (self.embedding.weight if node_ids is None else self.embedding(node_ids))

    def forward(self, x: Tensor, adjacency: Tensor, node_ids: Tensor | None = None) -> Tensor:
        """A~ (X W + E), float (n, d_out), of x (n, d_in) and A~ (n, n)."""
        return adjacency @ self.before_aggregation(x, node_ids)


class SEGNN(nn.Module):
    """The teacher: a GCN with structural embeddings in every layer, ReLU and dropout between the layers.

    layer_sizes: d_in, the hidden sizes, and the number of classes.
    """

    def __init__(self, num_nodes: int, layer_sizes: Sequence[int], dropout: float) -> None:
        super().__init__()
        layers = (SEConv(num_nodes, d_in, d_out) for d_in, d_out in pairwise(layer_sizes))
        self.layers: list[SEConv] = nn.ModuleList(layers)  # type: ignore[assignment]
        self.dropout = dropout

    def forward(self, x: Tensor, adjacency: Tensor, node_ids: Tensor | None = None) -> Tensor:
        """Logits (n, C) from features x (n, d_in) and A~ (n, n)."""
        for layer in self.layers[:-1]:
            x = functional.dropout(layer(x, adjacency, node_ids).relu(), self.dropout, self.training)
        return self.layers[-1](x, adjacency, node_ids)

    def squared_embeddings(self) -> Tensor:
        """||E||^2, a scalar: the sum of all squared structural embeddings."""
        return sum((layer.embedding.weight.square().sum() for layer in self.layers), torch.zeros(()))


def teacher_loss(
    teacher: SEGNN,
    x: Tensor,
    adjacency: Tensor,
    labels: Tensor,
    labeled: Tensor,
    eta: float,
    node_ids: Tensor | None = None,
) -> Tensor:
    """Cross-entropy on the labeled nodes plus eta ||E||^2, a scalar (Eq. 3).

    x (n, d_in), A~ (n, n); labeled (m,) int64 are rows of x, and labels (m,) int64 their classes.
    """
    logits = teacher(x, adjacency, node_ids)
    return functional.cross_entropy(logits[labeled], labels) + eta * teacher.squared_embeddings()


@torch.no_grad()
def teacher_memory(teacher: SEGNN, x: Tensor, adjacency: Tensor, kind: str) -> Tensor:
    """E-bar of all nodes, float (N, d): what is distilled from the teacher (section 3.2).

    "logits" is the paper's first option; "probabilities" is its softmax, a scale of our choice; "concatenation" is
    the second option: the logits next to X W + E of every hidden layer. Raises ValueError for another kind.
    """
    if kind not in MEMORIES:
        raise ValueError(f"kind = {kind!r} is not a memory; use one of {', '.join(MEMORIES)}.")
    teacher.eval()
    logits = teacher(x, adjacency)
    if kind == "logits":
        return logits
    if kind == "probabilities":
        return logits.softmax(-1)
    parts, hidden = [logits], x
    for layer in teacher.layers[:-1]:
        parts.append(layer.before_aggregation(hidden))
        hidden = layer(hidden, adjacency).relu()
    return torch.cat(parts, dim=1)


# ---------------------------------------------------------------- the student (section 3.2)


def virtual_neighbors(
    queries: Tensor, memory: Tensor, k: int, temperature: float | None = None, chunk_size: int = 1024
) -> Tensor:
    """e-tilde = softmax(Theta_K(e-hat E-bar^T)) E-bar, float (n, d), `chunk_size` queries at a time (Eq. 4).

    queries e-hat (n, d), memory E-bar (keys, d); the other arguments are those of `top_k_attention`.
    """
    index, weights = top_k_attention(queries, memory, k, temperature, chunk_size)
    chunks = zip(index.split(chunk_size), weights.split(chunk_size), strict=True)
    return torch.cat([(weight.unsqueeze(-1) * memory[rows]).sum(1) for rows, weight in chunks])


def top_k_attention(
    queries: Tensor, memory: Tensor, k: int, temperature: float | None = None, chunk_size: int = 1024
) -> tuple[Tensor, Tensor]:
    """The k best keys of each query, (n, k) int64, best first, and their softmax weights, (n, k) float.

    queries (n, d), memory (keys, d). Scores are dot products, or with a `temperature` cosine similarities divided by
    it; at most chunk_size x keys of them are in memory at once. Raises ValueError unless 1 <= k <= keys.
    """
    if not 1 <= k <= len(memory):
        raise ValueError(
            f"k = {k} virtual neighbors were asked for, and the memory holds {len(memory)}; use 1 to {len(memory)}."
        )
    keys = memory
    if temperature is not None:
        queries, keys = functional.normalize(queries, dim=1) / temperature, functional.normalize(memory, dim=1)
    best = [(chunk @ keys.T).topk(k, sorted=True) for chunk in queries.split(chunk_size)]
    scores, index = (torch.cat(parts) for parts in zip(*best, strict=True))
    return index, scores.softmax(-1)


class StudentMLPs(nn.Module):
    """xi_1 predicts a node's row of the memory from its features; xi_2 classifies [x, e-tilde].

    memory: E-bar (keys, d), only for its width and its scale: both networks work on E-bar / std(E-bar).
    """

    scale: Tensor

    def __init__(self, num_features: int, memory: Tensor, hidden_dim: int, num_classes: int, dropout: float) -> None:
        super().__init__()
        d = memory.shape[1]
        self.xi1 = MLP([num_features, 2 * hidden_dim, d], dropout=dropout, act="gelu", norm="layer_norm")
        self.xi2 = MLP([num_features + d, hidden_dim, num_classes], dropout=dropout, act="gelu", norm="layer_norm")
        self.register_buffer("scale", memory.std())

    def predict_embedding(self, x: Tensor) -> Tensor:
        """e-hat = xi_1(x), float (n, d), in the scale of the memory, from features x (n, d_in)."""
        return self.xi1(x) * self.scale

    def embedding_loss(self, x: Tensor, memory: Tensor) -> Tensor:
        """Mean squared error of xi_1, a scalar: x (n, d_in) and the same nodes' rows of the memory (n, d)."""
        return functional.mse_loss(self.xi1(x), memory / self.scale)

    def forward(self, x: Tensor, neighborhood: Tensor) -> Tensor:
        """Logits (n, C) from features x (n, d_in) and virtual neighborhoods e-tilde (n, d)."""
        return self.xi2(torch.cat([x, neighborhood / self.scale], dim=1))


# ---------------------------------------------------------------- the diagnosis (section 4)


def fcr(z_gnn: float, z_mlp: float, z_lp: float) -> float:
    """Feature contribution ratio in percent (Eq. 5), from the accuracies of a GNN, an MLP and label propagation.

    Below 50 the structure dominates, from 50 to 100 the features do, above 100 aggregation hurts. Raises ValueError
    where label propagation beats the GNN: the ratio is not defined there.
    """
    delta_mlp, delta_lp = z_gnn - z_mlp, z_gnn - z_lp
    if delta_lp < 0 or (delta_lp == 0 and delta_mlp == 0):
        raise ValueError(f"FCR needs a GNN better than label propagation; got z_gnn = {z_gnn:g}, z_lp = {z_lp:g}.")
    if delta_mlp >= 0:
        return 100 * delta_lp / (delta_mlp + delta_lp)
    return 100 * (1 + abs(delta_mlp) / (abs(delta_mlp) + delta_lp))
