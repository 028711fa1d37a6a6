"""Cold Brew (Zheng et al., ICLR 2022), in the paper's order: splits, teacher, memory, student, FCR.

symbol        here                       shape
A~            adjacency                  (N, N) sparse, D^-1/2 (A + I) D^-1/2
X^(0)         x                          (N, features)
E^(l)         SEConv.embedding.weight    (N, d_out) of layer l
E-bar         memory                     (N, d)
e-hat_i       StudentMLPs.discover       (N, d)
Theta_K       k                          int
e-tilde_i     virtual_neighbours         (N, d)
xi_1, xi_2    StudentMLPs.xi1, .xi2      modules
eta           eta                        float
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch_geometric.nn import MLP
from torch_geometric.nn.conv.gcn_conv import gcn_norm
from torch_geometric.utils import degree

MEMORIES = ("logits", "probabilities", "concatenation")


# ---------------------------------------------------------------- the setting (section 5.1)


@dataclass(frozen=True)
class ColdStart:
    """A graph whose isolated nodes have lost their edges, and who is who; masks are (N,) bool.

    `isolation_val` is a second isolated group, for choices: no test node takes part in one.
    """

    edge_index: Tensor
    train: Tensor
    val: Tensor
    isolation_val: Tensor
    isolation: Tensor
    tail: Tensor
    head: Tensor

    def test_groups(self, labelled: Tensor) -> dict[str, Tensor]:
        """The four groups of the paper, test nodes only: labelled, and never used to train or to choose."""
        free = labelled & ~(self.train | self.val | self.isolation_val)
        return {"head": self.head & free, "tail": self.tail & free, "isolation": self.isolation & free, "overall": free}

    def validation_groups(self, labelled: Tensor) -> dict[str, Tensor]:
        """The same four groups among the nodes set aside for choices."""
        free = labelled & (self.val | self.isolation_val)
        isolated = self.isolation_val & labelled
        return {"head": self.head & free, "tail": self.tail & free, "isolation": isolated, "overall": free}


def cold_start(
    edge_index: Tensor, labels: Tensor, per_class: int, share: float, validation: int, seed: int
) -> ColdStart:
    """Isolate the nodes of lowest degree and draw the labelled ones.

    edge_index (2, 2E) int64 with both directions, labels (N,) int64 with -1 for unlabelled. `share` of the nodes
    become the isolated test group, half as many the isolated validation group; ties of degree are broken at random.
    """
    generator = torch.Generator().manual_seed(seed)
    n = len(labels)
    count = round(share * n)
    isolated = _lowest(degree(edge_index[0], n), count + count // 2, generator)
    isolated = isolated[torch.randperm(len(isolated), generator=generator)]
    cut = _mask(isolated, n)
    kept = edge_index[:, ~(cut[edge_index[0]] | cut[edge_index[1]])]
    remaining = degree(kept[0], n)
    alone = cut | (remaining == 0)
    tail = _lowest(remaining.masked_fill(alone, torch.inf), count, generator)
    tail = tail[~alone[tail]]
    head = _lowest((-remaining).masked_fill(alone | _mask(tail, n), torch.inf), count, generator)
    head = head[~(alone | _mask(tail, n))[head]]
    train = _draw_per_class(labels.masked_fill(cut, -1), per_class, generator)
    rest = torch.nonzero((labels >= 0) & ~cut & ~_mask(train, n)).flatten()
    val = rest[torch.randperm(len(rest), generator=generator)[:validation]]
    groups = (train, val, isolated[count:], isolated[:count], tail, head)
    return ColdStart(kept, *(_mask(group, n) for group in groups))


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


def adjacency(edge_index: Tensor, n: int) -> Tensor:
    """A~ = D^-1/2 (A + I) D^-1/2 as a sparse (n, n) matrix; an isolated node's row is a unit vector."""
    index, weight = gcn_norm(edge_index, num_nodes=n)
    return torch.sparse_coo_tensor(index, weight, (n, n), check_invariants=True).coalesce()


# ---------------------------------------------------------------- the teacher (section 3.1)


class SEConv(nn.Module):
    """One layer of the teacher before its nonlinearity: A~ (X W + E), with a free row of E for every node (Eq. 2)."""

    def __init__(self, nodes: int, d_in: int, d_out: int) -> None:
        super().__init__()
        self.linear = nn.Linear(d_in, d_out, bias=False)
        self.embedding = nn.Embedding(nodes, d_out)
        nn.init.xavier_uniform_(self.linear.weight)
        nn.init.normal_(self.embedding.weight, std=0.01)

    def before_aggregation(self, x: Tensor, rows: Tensor | None = None) -> Tensor:
        """X W + E, (n, d_out); `rows` (n,) int64 names the nodes where x holds only some of them."""
        return self.linear(x) + (self.embedding.weight if rows is None else self.embedding(rows))

    def forward(self, x: Tensor, adjacency: Tensor, rows: Tensor | None = None) -> Tensor:
        """A (X W + E), (n, d_out)."""
        return adjacency @ self.before_aggregation(x, rows)


class SEGNN(nn.Module):
    """The teacher: a GCN with structural embeddings in every layer, ReLU and dropout between layers."""

    def __init__(self, nodes: int, sizes: Sequence[int], dropout: float) -> None:
        super().__init__()
        self.layers: list[SEConv] = nn.ModuleList(SEConv(nodes, d_in, d_out) for d_in, d_out in pairwise(sizes))  # type: ignore[assignment]
        self.dropout = dropout

    def forward(self, x: Tensor, adjacency: Tensor, rows: Tensor | None = None) -> Tensor:
        """Class scores (n, classes) from features x (n, features) and A~ (n, n)."""
        for layer in self.layers[:-1]:
            x = functional.dropout(layer(x, adjacency, rows).relu(), self.dropout, self.training)
        return self.layers[-1](x, adjacency, rows)

    def penalty(self) -> Tensor:
        """The sum of all squared structural embeddings (Eq. 3, before eta)."""
        return sum((layer.embedding.weight.square().sum() for layer in self.layers), torch.zeros(()))


def teacher_loss(
    teacher: SEGNN,
    x: Tensor,
    adjacency: Tensor,
    labels: Tensor,
    labelled: Tensor,
    eta: float,
    rows: Tensor | None = None,
) -> Tensor:
    """Cross-entropy on the rows `labelled` (n,) with `labels` (n,), int64, plus eta ||E||^2 (Eq. 3)."""
    return functional.cross_entropy(teacher(x, adjacency, rows)[labelled], labels) + eta * teacher.penalty()


@torch.no_grad()
def teacher_memory(teacher: SEGNN, x: Tensor, adjacency: Tensor, kind: str) -> Tensor:
    """E-bar, (N, d): what the teacher hands over (section 3.2).

    "logits" is the paper's first option; "probabilities" is the same after a softmax, our choice of scale;
    "concatenation" is the second option: the scores beside X W + E of every hidden layer.
    """
    if kind not in MEMORIES:
        raise ValueError(f"kind = {kind!r} is not a memory; use one of {', '.join(MEMORIES)}.")
    teacher.eval()
    scores = teacher(x, adjacency)
    if kind == "logits":
        return scores
    if kind == "probabilities":
        return scores.softmax(-1)
    parts, hidden = [scores], x
    for layer in teacher.layers[:-1]:
        parts.append(layer.before_aggregation(hidden))
        hidden = layer(hidden, adjacency).relu()
    return torch.cat(parts, dim=1)


# ---------------------------------------------------------------- the student (section 3.2)


def virtual_neighbours(
    queries: Tensor, memory: Tensor, k: int, temperature: float | None = None, chunk: int = 1024
) -> Tensor:
    """e-tilde = softmax(Theta_K(e-hat E-bar^T)) E-bar, (n, d), `chunk` queries at a time (Eq. 4).

    queries (n, d), memory (keys, d). With a `temperature` the scores are cosines divided by it, else dot products.
    """
    index, weights = attend(queries, memory, k, temperature, chunk)
    return torch.cat(
        [(w.unsqueeze(-1) * memory[i]).sum(1) for i, w in zip(index.split(chunk), weights.split(chunk), strict=True)]
    )


def attend(
    queries: Tensor, memory: Tensor, k: int, temperature: float | None = None, chunk: int = 1024
) -> tuple[Tensor, Tensor]:
    """The k best keys of each query, (n, k) int64, and their weights, (n, k); chunk x keys scores at a time."""
    if not 1 <= k <= len(memory):
        raise ValueError(
            f"k = {k} virtual neighbours were asked for, and the memory holds {len(memory)}; use 1 to {len(memory)}."
        )
    keys = memory
    if temperature is not None:
        queries, keys = functional.normalize(queries, dim=1) / temperature, functional.normalize(memory, dim=1)
    best = [(rows @ keys.T).topk(k, sorted=True) for rows in queries.split(chunk)]
    scores, index = (torch.cat(parts) for parts in zip(*best, strict=True))
    return index, scores.softmax(-1)


class StudentMLPs(nn.Module):
    """xi_1 imitates the memory from features alone; xi_2 reads [x, e-tilde] and names the class."""

    scale: Tensor

    def __init__(self, features: int, memory: Tensor, hidden: int, classes: int, dropout: float) -> None:
        super().__init__()
        d = memory.shape[1]
        self.xi1 = MLP([features, 2 * hidden, d], dropout=dropout, act="gelu", norm="layer_norm")
        self.xi2 = MLP([features + d, hidden, classes], dropout=dropout, act="gelu", norm="layer_norm")
        self.register_buffer("scale", memory.std())

    def discover(self, x: Tensor) -> Tensor:
        """e-hat = xi_1(x), (n, d), in the memory's own scale."""
        return self.xi1(x) * self.scale

    def discovery_loss(self, x: Tensor, memory: Tensor) -> Tensor:
        """Mean squared error of xi_1 against rows of the memory, both in units of the memory's spread."""
        return functional.mse_loss(self.xi1(x), memory / self.scale)

    def forward(self, x: Tensor, neighbours: Tensor) -> Tensor:
        """Class scores (n, classes) from x (n, features) and e-tilde (n, d)."""
        return self.xi2(torch.cat([x, neighbours / self.scale], dim=1))


# ---------------------------------------------------------------- training, for every model alike


def fit(
    model: nn.Module,
    loss: Callable[[], Tensor],
    score: Callable[[], float],
    epochs: int,
    lr: float,
    weight_decay: float,
) -> None:
    """Adam for `epochs` steps; the weights with the best validation score stay (a look every tenth step)."""
    optimizer = torch.optim.Adam(model.parameters(), lr=lr, weight_decay=weight_decay)
    best, weights = float("-inf"), copy.deepcopy(model.state_dict())
    for epoch in range(1, epochs + 1):
        model.train()
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()
        if epoch % 10 == 0 or epoch == epochs:
            model.eval()
            with torch.no_grad():
                now = score()
            if now > best:
                best, weights = now, copy.deepcopy(model.state_dict())
    model.load_state_dict(weights)
    model.eval()


def accuracy(scores: Tensor, labels: Tensor, mask: Tensor | slice) -> float:
    """Per cent of the masked nodes whose largest score is their label."""
    return float((scores[mask].argmax(1) == labels[mask]).double().mean() * 100)


# ---------------------------------------------------------------- the diagnosis (section 4)


def fcr(z_gnn: float, z_mlp: float, z_lp: float) -> float:
    """Feature contribution ratio in per cent (Eq. 5): below 50 the structure decides, above 100 aggregation hurts.

    Raises ValueError where label propagation beats the GNN: the ratio is not defined there.
    """
    delta_mlp, delta_lp = z_gnn - z_mlp, z_gnn - z_lp
    if delta_lp < 0 or (delta_lp == 0 and delta_mlp == 0):
        raise ValueError(f"FCR needs a GNN better than label propagation; got z_gnn = {z_gnn:g}, z_lp = {z_lp:g}.")
    if delta_mlp >= 0:
        return 100 * delta_lp / (delta_mlp + delta_lp)
    return 100 * (1 + abs(delta_mlp) / (abs(delta_mlp) + delta_lp))
