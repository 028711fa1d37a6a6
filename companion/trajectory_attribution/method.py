"""Attribution of a prediction's performance to the target's own past and to each of its neighbors.

symbol           identifier              shape
x_0              Batch.past              (N, H, 2)      meters; the last position is the origin, the heading is +x
x_1 .. x_K       Batch.neighbors         (N, K, H, 2)   the neighbors' pasts in the same frame
y                Batch.future            (N, F, 2)      ground-truth future
P = {0 .. K}     num_features = K + 1                   feature 0 is the past, feature j > 0 is neighbor j - 1
S                members                 (M, P) bool    coalitions: each row says which features are present
f                Predictor                              mean (N, F, 2) and log standard deviation (N, F)
v(S) = -L        Encoded.values          (N, M)         minus the error of f with S present; all S: 2^P columns
phi              attribute               (N, P)         attribution of each feature
w(|S|)           size_weights            (P,)           weight of a coalition, by its size

Eq. 1 to 4 are those of the paper.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from itertools import pairwise
from typing import Self

import torch
from torch import Tensor, nn

from companion.errors import CompanionError

SHAPLEY, BANZHAF, LEAVE_ONE_OUT = "Shapley", "Banzhaf", "leave-one-out"
MAX_FEATURES = 13  # a full table of values has 2^13 columns
MAX_ROWS = 200_000  # rows that the decoder predicts at once, which bounds the memory
SAMPLES = 20  # paths of minADE, as in the paper
QUERY_DIM = 16  # width of query and key in the gate of a message
STEP_SCALE = 0.1  # a step between two frames is about a tenth of `Predictor.unit`
LOG_STD_RANGE = (-5.0, 4.0)
MAX_KEEP_RATE = 1.2  # a rate above 1 keeps every neighbor: in a sixth of the targets none is dropped


@dataclass(frozen=True)
class Batch:
    """N targets with K neighbor slots each; all tensors are float32 but `mask` and `scene`.

    past (N, H, 2), future (N, F, 2), neighbors (N, K, H, 2), in meters. kind (N, K, C) is one-hot. mask (N, K) bool is
    False for an empty neighbor slot. scene (N,) int64: targets with the same number share a moment.
    """

    past: Tensor
    future: Tensor
    neighbors: Tensor
    kind: Tensor
    mask: Tensor
    scene: Tensor

    def __len__(self) -> int:
        return len(self.past)

    def __getitem__(self, index: Tensor | slice) -> Self:
        return type(self)(*(getattr(self, field.name)[index] for field in fields(self)))

    def to(self, device: torch.device) -> Self:
        """The same targets on a device."""
        return type(self)(*(getattr(self, field.name).to(device) for field in fields(self)))

    @property
    def num_features(self) -> int:
        """The past and all neighbor slots."""
        return self.mask.shape[1] + 1


# ---------------------------------------------------------------- the predictor


def mlp(*sizes: int) -> nn.Sequential:
    """Linear layers with a ReLU after each."""
    return nn.Sequential(*[layer for a, b in pairwise(sizes) for layer in (nn.Linear(a, b), nn.ReLU())])


def extrapolate(past: Tensor, steps: int) -> Tensor:
    """Constant velocity: the last observed step repeated; past (..., H, 2) -> (..., steps, 2)."""
    step = past[..., -1:, :] - past[..., -2:-1, :]
    return step * torch.arange(1, steps + 1, device=past.device).unsqueeze(-1)


class Predictor(nn.Module):
    """A constant-velocity prediction, corrected by a sum of gated messages of neighbors (a small Trajectron++Edge).

    history H and steps F: observed and predicted frames. kinds C: classes of neighbors. unit: meters that count as 1
    inside the network. Neighbors meet only in the sum, so a neighbor is removed by leaving out its message (eq. 1, 3).
    """

    def __init__(self, history: int, steps: int, kinds: int, hidden_dim: int = 64, unit: float = 4.0) -> None:
        super().__init__()
        self.steps, self.unit = steps, unit
        self.past_encoder = mlp(2 * (history - 1), hidden_dim, hidden_dim)
        self.edge_encoder = mlp(4 * history - 2 + kinds, hidden_dim, hidden_dim)
        self.query, self.key = nn.Linear(hidden_dim, QUERY_DIM), nn.Linear(hidden_dim, QUERY_DIM)
        self.message = nn.Linear(hidden_dim, hidden_dim)
        self.head = nn.Sequential(mlp(2 * hidden_dim, hidden_dim), nn.Linear(hidden_dim, 3 * steps))

    def velocities(self, tracks: Tensor) -> Tensor:
        """Steps between frames in units of the network, (..., H, 2) -> (..., 2 (H - 1))."""
        return tracks.diff(dim=-2).flatten(-2) / (STEP_SCALE * self.unit)

    def encode_past(self, past: Tensor) -> Tensor:
        """Embedding of the target's past, (N, H, 2) -> (N, hidden_dim)."""
        return self.past_encoder(self.velocities(past))

    def encode_neighbors(self, past: Tensor, embedding: Tensor, neighbors: Tensor, kind: Tensor) -> Tensor:
        """The message of every neighbor slot, (N, K, hidden_dim), the empty ones included."""
        positions, relative = neighbors.flatten(2) / self.unit, self.velocities(neighbors - past.unsqueeze(1))
        edge = self.edge_encoder(torch.cat([positions, relative, kind], dim=-1))
        scores = (self.key(edge) * self.query(embedding).unsqueeze(1)).sum(-1, keepdim=True)
        return torch.sigmoid(scores / QUERY_DIM**0.5) * self.message(edge)

    def decode(self, embedding: Tensor, pooled: Tensor, extrapolation: Tensor) -> tuple[Tensor, Tensor]:
        """Mean path (..., F, 2) in meters and log standard deviation (..., F).

        embedding and pooled messages: (..., hidden_dim). extrapolation (..., F, 2): what the mean path corrects.
        """
        out = self.head(torch.cat([embedding, pooled], dim=-1)).unflatten(-1, (self.steps, 3))
        time = torch.arange(1, self.steps + 1, device=embedding.device)
        mean = extrapolation + self.unit * STEP_SCALE * out[..., :2].cumsum(-2)
        return mean, (out[..., 2] + torch.log(STEP_SCALE * time)).clamp(*LOG_STD_RANGE)

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """The prediction with all neighbors in `batch.mask` present: mean (N, F, 2), log standard deviation (N, F)."""
        embedding = self.encode_past(batch.past)
        messages = self.encode_neighbors(batch.past, embedding, batch.neighbors, batch.kind)
        pooled = (messages * batch.mask.unsqueeze(-1)).sum(1)
        return self.decode(embedding, pooled, extrapolate(batch.past, self.steps))


# ---------------------------------------------------------------- errors of a prediction

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]


def ade(mean: Tensor, log_std: Tensor, future: Tensor) -> Tensor:
    """Average displacement error (ADE) in meters: mean, future (..., F, 2) -> (...,)."""
    return (mean - future).norm(dim=-1).mean(-1)


def fde(mean: Tensor, log_std: Tensor, future: Tensor) -> Tensor:
    """Final displacement error (FDE): that of the last step, in meters, (...,)."""
    return (mean[..., -1, :] - future[..., -1, :]).norm(dim=-1)


def nll(mean: Tensor, log_std: Tensor, future: Tensor) -> Tensor:
    """Negative log-likelihood (NLL) of an isotropic Gaussian, log_std (..., F), in nats per step, (...,)."""
    squares = (mean - future).square().sum(-1)
    return (0.5 * squares * torch.exp(-2 * log_std) + 2 * log_std + math.log(2 * math.pi)).mean(-1)


def min_ade(mean: Tensor, log_std: Tensor, future: Tensor) -> Tensor:
    """ADE of the best of 20 sampled paths, meters, (...,).

    One standard normal draw (2,) shifts a whole path; the draws are the same for every target and coalition.
    """
    draws = torch.randn(SAMPLES, 2, generator=torch.Generator().manual_seed(0)).to(mean.device)
    std = log_std.exp().unsqueeze(-1)
    return torch.stack([ade(mean + std * draw, log_std, future) for draw in draws]).amin(0)


LOSSES: dict[str, Loss] = {"ADE": ade, "FDE": fde, "minADE": min_ade, "NLL": nll}


# ---------------------------------------------------------------- the value of every coalition


@dataclass(frozen=True)
class Encoded:
    """Targets after the encoders: all that the value of a coalition still needs.

    The leading axis of three tensors is (past removed, past present): embedding (2, N, hidden_dim), messages
    (2, N, K, hidden_dim), 0 where there is no neighbor, extrapolation (2, N, F, 2). future (N, F, 2) is the batch's.
    """

    model: Predictor
    embedding: Tensor
    messages: Tensor
    extrapolation: Tensor
    future: Tensor

    def values(self, members: Tensor, loss: Loss = ade) -> Tensor:
        """v(S) = -L for every target and coalition, (N, M); members (M, P) bool. No encoder runs here."""
        members = members.to(self.messages.device)
        has_past, neighbors = members[:, 0].long(), members[:, 1:].to(self.messages)
        coalition, parts = torch.arange(len(members), device=members.device), []
        size = max(1, MAX_ROWS // len(members))  # targets at once
        for first in range(0, len(self.future), size):
            part = slice(first, first + size)  # n targets
            pooled = neighbors @ self.messages[:, part]  # (2, n, M, hidden_dim): the messages of each coalition, summed
            pooled = pooled[has_past, :, coalition].transpose(0, 1)  # (n, M, hidden_dim)
            embedding = self.embedding[:, part][has_past].transpose(0, 1)  # (n, M, hidden_dim)
            extrapolation = self.extrapolation[:, part][has_past].transpose(0, 1)  # (n, M, F, 2)
            mean, log_std = self.model.decode(embedding, pooled, extrapolation)
            parts.append(-loss(mean, log_std, self.future[part].unsqueeze(1)))
        return torch.cat(parts)


@torch.no_grad()
def encode(model: Predictor, batch: Batch) -> Encoded:
    """Encode each past twice, as it is and static (section 3.1), and every neighbor beside both."""
    pasts = torch.stack([torch.zeros_like(batch.past), batch.past])
    embedding = torch.stack([model.encode_past(past) for past in pasts])
    messages = torch.stack([
        model.encode_neighbors(past, own, batch.neighbors, batch.kind)
        for past, own in zip(pasts, embedding, strict=True)
    ])  # fmt: skip
    return Encoded(model, embedding, messages * batch.mask.unsqueeze(-1), extrapolate(pasts, model.steps), batch.future)


def coalitions(num_features: int) -> Tensor:
    """All 2^P coalitions in the order of their number, (2^P, P) bool; bit i of the number is feature i."""
    if not 1 <= num_features <= MAX_FEATURES:
        raise CompanionError(
            f"num_features = {num_features}, but a full table has 2^num_features columns; use 1 to {MAX_FEATURES}, "
            "or sample permutations (method.permutation_sampling)."
        )
    return (torch.arange(2**num_features).unsqueeze(1) >> torch.arange(num_features)) % 2 == 1


@torch.no_grad()
def value_table(model: Predictor, batch: Batch, loss: Loss = ade) -> Tensor:
    """The values of all coalitions, V (N, 2^P); the column is the number of the coalition."""
    return encode(model, batch).values(coalitions(batch.num_features), loss)


# ---------------------------------------------------------------- from values to attributions


def size_weights(num_features: int, rule: str = SHAPLEY) -> Tensor:
    """Weight of one coalition of the other features by its size 0 .. P - 1, (P,) float64.

    Over all coalitions of the others the weights sum to 1. rule: "Shapley", "Banzhaf" or "leave-one-out".
    """
    sizes = range(num_features)
    rules = {
        SHAPLEY: [1 / (num_features * math.comb(num_features - 1, size)) for size in sizes],
        BANZHAF: [2.0 ** (1 - num_features)] * num_features,
        LEAVE_ONE_OUT: [float(size == num_features - 1) for size in sizes],
    }
    if rule not in rules:
        raise CompanionError(f"rule = {rule!r} is not known; use one of {', '.join(rules)}.")
    return torch.tensor(rules[rule], dtype=torch.float64)


def weight_matrix(num_features: int, rule: str = SHAPLEY) -> Tensor:
    """W (P, 2^P) float64 with phi = V W^T (eq. 2): +w for a coalition with the feature, -w for the same without it."""
    inside = coalitions(num_features)
    others = inside.sum(1, keepdim=True) - inside.long()
    weights = size_weights(num_features, rule)[others]
    return torch.where(inside, weights, -weights).T


def attribute(table: Tensor, rule: str = SHAPLEY) -> Tensor:
    """phi of every feature, (N, P) float64, from a table of values (N, 2^P); positive: it lowers the error."""
    num_features = table.shape[-1].bit_length() - 1
    return table.double() @ weight_matrix(num_features, rule).to(table.device).T


def social_score(phi: Tensor, mask: Tensor) -> Tensor:
    """The social interaction score (eq. 4): the mean over targets of the best neighbor's phi; a scalar.

    phi (N, P), mask (N, K) bool. A target without neighbors counts as 0.
    """
    best = phi[:, 1:].masked_fill(~mask, -math.inf).amax(1)
    return torch.where(mask.any(1), best, torch.zeros_like(best)).mean()


# ---------------------------------------------------------------- attribution from few coalitions

Game = Callable[[Tensor], Tensor]  # coalitions (M, P) bool -> values (N, M), as `Encoded.values`


def game_of_table(table: Tensor) -> Game:
    """The game whose values are those of a full table (N, 2^P)."""
    bits = 2 ** torch.arange(table.shape[-1].bit_length() - 1)
    return lambda members: table[:, (members.long() * bits).sum(-1)]


def marginal_contributions(game: Game, orders: Tensor) -> Tensor:
    """What each feature adds when features enter in the orders (D, P) int64: (N, D, P) float64."""
    rank = orders.argsort(-1)
    draws, num_features = orders.shape
    entered = rank.unsqueeze(1) < torch.arange(num_features + 1).view(1, -1, 1)  # (D, P + 1, P)
    values = game(entered.flatten(0, 1)).unflatten(1, (draws, num_features + 1)).double()
    return values.diff(dim=-1).gather(-1, rank.to(values.device).expand(len(values), -1, -1))


def permutation_sampling(
    game: Game, num_features: int, draws: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Shapley values and their standard errors, both (N, P) float64, from `draws` orders, each beside its reverse.

    An order costs P + 1 values; `draws` must be even and at least 4.
    """
    half = torch.rand(draws // 2, num_features, generator=generator).argsort(-1)
    contributions = marginal_contributions(game, torch.cat([half, half.flip(-1)]))
    pairs = contributions.unflatten(1, (2, -1)).mean(1)
    return pairs.mean(1), pairs.std(1) / (draws // 2) ** 0.5


def bernoulli_sampling(game: Game, num_features: int, draws: int, generator: torch.Generator) -> Tensor:
    """The estimator of the released code, (N, P) float64: every other feature is present with probability 1/2.

    All coalitions of the others are then equally probable: this estimates the Banzhaf value. A draw costs 2 P values.
    """
    others = torch.rand(num_features, draws, num_features, generator=generator) < 0.5
    return torch.stack([differences(game, i, others[i]).mean(1) for i in range(num_features)], dim=1)


def differences(game: Game, feature: int, others: Tensor) -> Tensor:
    """v(S with the feature) - v(S without it), (N, D) float64; in `others` (D, P) bool its own column is ignored."""
    without, with_feature = others.clone(), others.clone()
    without[:, feature], with_feature[:, feature] = False, True
    return game(with_feature).double() - game(without).double()


# ---------------------------------------------------------------- training on coalitions


def random_coalitions(batch: Batch, drop_past: float, generator: torch.Generator) -> Batch:
    """Subset training: a random coalition for each target, so that the model has seen features removed.

    Each target draws a rate from U(0, 1.2) and keeps every neighbor with that probability; a share `drop_past` of the
    targets gets a static past.
    """
    rate = MAX_KEEP_RATE * torch.rand(len(batch), 1, generator=generator)
    keep = torch.rand(batch.mask.shape, generator=generator) < rate
    keep_past = torch.rand(len(batch), 1, 1, generator=generator) >= drop_past
    device = batch.past.device
    return replace(batch, mask=batch.mask & keep.to(device), past=batch.past * keep_past.to(device))
