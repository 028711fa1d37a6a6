"""Attribution of a forecast's performance to the target's own past and to each of its neighbours.

symbol           identifier            shape
x_0              Batch.past            (N, H, 2)      metres, present at the origin, heading along +x
x_1 .. x_K       Batch.tracks          (N, K, H, 2)   the neighbours' pasts in the same frame
y                Batch.future          (N, F, 2)
P = {0 .. K}     players = K + 1       player 0 is the past, player j > 0 sits in slot j - 1
S                members               (M, P) bool    a row says who is present
f                Predictor
v(S) = -L        Encoded.values        (N, M)         minus the error of f with S present; all S: 2^P columns
phi              attribute             (N, P)
w(|S|)           size_weights          (P,)           what a coalition of each size weighs
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from companion.errors import CompanionError

SHAPLEY, BANZHAF, LEAVE_ONE_OUT = "Shapley", "Banzhaf", "leave-one-out"
MOST_EXACT = 12
ROWS_AT_ONCE = 200_000
SAMPLES = 20


@dataclass(frozen=True)
class Batch:
    """N targets with K slots for neighbours each, all float32 but `mask` (bool) and `scene` (int64).

    kind (N, K, C) is one-hot, mask (N, K) says which slots are filled, scene (N,) which targets share a moment.
    """

    past: Tensor
    future: Tensor
    tracks: Tensor
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
    def players(self) -> int:
        """The past and all slots."""
        return self.mask.shape[1] + 1


# ---------------------------------------------------------------- the predictor


def mlp(*sizes: int) -> nn.Sequential:
    """Linear layers with a ReLU after each."""
    return nn.Sequential(*[layer for a, b in pairwise(sizes) for layer in (nn.Linear(a, b), nn.ReLU())])


def straight_on(past: Tensor, steps: int) -> Tensor:
    """Constant velocity: the last observed step again and again; past (..., H, 2) -> (..., steps, 2)."""
    step = past[..., -1:, :] - past[..., -2:-1, :]
    return step * torch.arange(1, steps + 1, device=past.device).unsqueeze(-1)


class Predictor(nn.Module):
    """One edge per neighbour: gated messages, summed, correct a constant-velocity forecast (a small Trajectron++Edge).

    unit: metres that count as 1 inside the network. The sum is the only place where neighbours meet, so a neighbour is
    removed by leaving its message out (paper, eq. 1 and 3).
    """

    def __init__(self, history: int, steps: int, kinds: int, width: int = 64, unit: float = 4.0) -> None:
        super().__init__()
        self.steps, self.unit = steps, unit
        self.own = mlp(2 * (history - 1), width, width)
        self.edge = mlp(4 * history - 2 + kinds, width, width)
        self.query, self.key = nn.Linear(width, 16), nn.Linear(width, 16)
        self.message = nn.Linear(width, width)
        self.head = nn.Sequential(mlp(2 * width, width), nn.Linear(width, 3 * steps))

    def pace(self, tracks: Tensor) -> Tensor:
        """Steps between frames, (..., H, 2) -> (..., 2 (H - 1)), of the size of 1."""
        return tracks.diff(dim=-2).flatten(-2) / (0.1 * self.unit)

    def encode_own(self, past: Tensor) -> Tensor:
        """past (N, H, 2) -> (N, width)."""
        return self.own(self.pace(past))

    def encode_edges(self, past: Tensor, own: Tensor, tracks: Tensor, kind: Tensor) -> Tensor:
        """The message of every neighbour, (N, K, width); nobody is left out yet."""
        places, paces = tracks.flatten(2) / self.unit, self.pace(tracks - past.unsqueeze(1))
        edge = self.edge(torch.cat([places, paces, kind], dim=-1))
        gate = torch.sigmoid((self.key(edge) * self.query(own).unsqueeze(1)).sum(-1, keepdim=True) / 4)
        return gate * self.message(edge)

    def decode(self, own: Tensor, pooled: Tensor, straight: Tensor) -> tuple[Tensor, Tensor]:
        """Mean path (..., F, 2) in metres, and log of its spread (..., F), from codes (..., width)."""
        out = self.head(torch.cat([own, pooled], dim=-1)).unflatten(-1, (self.steps, 3))
        time = torch.arange(1, self.steps + 1, device=own.device)
        return straight + self.unit * 0.1 * out[..., :2].cumsum(-2), (out[..., 2] + torch.log(0.1 * time)).clamp(-5, 4)

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """The forecast with everybody in `mask` present: mean (N, F, 2), log spread (N, F)."""
        own = self.encode_own(batch.past)
        edges = self.encode_edges(batch.past, own, batch.tracks, batch.kind)
        pooled = (edges * batch.mask.unsqueeze(-1)).sum(1)
        return self.decode(own, pooled, straight_on(batch.past, self.steps))


# ---------------------------------------------------------------- errors of a forecast

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]


def ade(mean: Tensor, log_spread: Tensor, future: Tensor) -> Tensor:
    """Average displacement error in metres, (...,)."""
    return (mean - future).norm(dim=-1).mean(-1)


def fde(mean: Tensor, log_spread: Tensor, future: Tensor) -> Tensor:
    """Displacement error of the last step in metres, (...,)."""
    return (mean[..., -1, :] - future[..., -1, :]).norm(dim=-1)


def nll(mean: Tensor, log_spread: Tensor, future: Tensor) -> Tensor:
    """Negative log-likelihood of a round Gaussian, nats a step, (...,)."""
    squares = (mean - future).square().sum(-1)
    return (0.5 * squares * torch.exp(-2 * log_spread) + 2 * log_spread + math.log(2 * math.pi)).mean(-1)


def min_ade(mean: Tensor, log_spread: Tensor, future: Tensor) -> Tensor:
    """The best of 20 drawn paths, metres, (...,); the same draws for every coalition; a path keeps its side."""
    draws = torch.randn(SAMPLES, 2, generator=torch.Generator().manual_seed(0)).to(mean.device)
    spread = log_spread.exp().unsqueeze(-1)
    paths = (ade(mean + spread * draw, log_spread, future) for draw in draws)
    return torch.stack(list(paths)).amin(0)


LOSSES: dict[str, Loss] = {"ADE": ade, "FDE": fde, "minADE": min_ade, "NLL": nll}


# ---------------------------------------------------------------- the value of every coalition


@dataclass(frozen=True)
class Encoded:
    """Targets after the encoders: all that a coalition still needs. The leading axis is (past removed, past kept).

    own (2, N, width), edges (2, N, K, width) with empty slots 0, straight (2, N, F, 2), future (N, F, 2).
    """

    model: Predictor
    own: Tensor
    edges: Tensor
    straight: Tensor
    future: Tensor

    def values(self, members: Tensor, loss: Loss = ade) -> Tensor:
        """v(S) = -L for every target and coalition, (N, M); members (M, P) bool. No encoder runs here."""
        members = members.to(self.own.device)
        past = members[:, 0].long()
        rows = max(1, ROWS_AT_ONCE // len(members))
        parts = [self._values(members[:, 1:], past, slice(i, i + rows), loss) for i in range(0, len(self.future), rows)]
        return torch.cat(parts)

    def _values(self, present: Tensor, past: Tensor, at: slice, loss: Loss) -> Tensor:
        pooled = present.to(self.edges) @ self.edges[:, at]  # (2, n, M, width)
        columns = torch.arange(len(past), device=past.device)
        pooled = pooled[past, :, columns].transpose(0, 1)  # (n, M, width)
        own, straight = self.own[:, at][past].transpose(0, 1), self.straight[:, at][past].transpose(0, 1)
        mean, spread = self.model.decode(own, pooled, straight)
        return -loss(mean, spread, self.future[at].unsqueeze(1))


@torch.no_grad()
def encode(model: Predictor, batch: Batch) -> Encoded:
    """Each past is encoded twice, as it is and standing still (the paper's section 3.1), each neighbour beside both."""
    pasts = torch.stack([torch.zeros_like(batch.past), batch.past])
    own = torch.stack([model.encode_own(past) for past in pasts])
    pairs = zip(pasts, own, strict=True)
    edges = torch.stack([model.encode_edges(past, code, batch.tracks, batch.kind) for past, code in pairs])
    return Encoded(model, own, edges * batch.mask.unsqueeze(-1), straight_on(pasts, model.steps), batch.future)


def coalitions(players: int) -> Tensor:
    """All 2^P coalitions in the order of their code, (2^P, P) bool; bit i of the code is player i."""
    if not 1 <= players <= MOST_EXACT + 1:
        raise CompanionError(
            f"players = {players}, but a full table has 2^players columns; use 1 to {MOST_EXACT + 1}, or sample "
            "permutations (estimators.permutations)."
        )
    return (torch.arange(2**players).unsqueeze(1) >> torch.arange(players)) % 2 == 1


@torch.no_grad()
def value_table(model: Predictor, batch: Batch, loss: Loss = ade) -> Tensor:
    """The whole game of every target: V (N, 2^P), column = code of the coalition."""
    return encode(model, batch).values(coalitions(batch.players), loss)


# ---------------------------------------------------------------- from values to attributions


def size_weights(players: int, kind: str = SHAPLEY) -> Tensor:
    """The weight of one coalition of the others by its size 0 .. P - 1, (P,) float64; over all of them it sums to 1."""
    sizes = range(players)
    rules = {
        SHAPLEY: [1 / (players * math.comb(players - 1, size)) for size in sizes],
        BANZHAF: [2.0 ** (1 - players)] * players,
        LEAVE_ONE_OUT: [float(size == players - 1) for size in sizes],
    }
    if kind not in rules:
        raise CompanionError(f"kind = {kind!r} is not known; use one of {', '.join(rules)}.")
    return torch.tensor(rules[kind], dtype=torch.float64)


def weight_matrix(players: int, kind: str = SHAPLEY) -> Tensor:
    """W (P, 2^P) float64 with phi = V W^T: +w for a coalition with the player, -w for the same one without (eq. 2)."""
    inside = coalitions(players)
    others = inside.sum(1, keepdim=True) - inside.long()
    weights = size_weights(players, kind)[others]
    return torch.where(inside, weights, -weights).T


def attribute(table: Tensor, kind: str = SHAPLEY) -> Tensor:
    """phi of every player, (N, P) float64, from a table (N, 2^P); positive helps the forecast."""
    players = table.shape[-1].bit_length() - 1
    return table.double() @ weight_matrix(players, kind).to(table.device).T


def social_score(phi: Tensor, mask: Tensor) -> Tensor:
    """The paper's robust score, the mean of the best neighbour's phi (eq. 4); nobody there counts as 0. A scalar."""
    best = phi[:, 1:].masked_fill(~mask, -math.inf).amax(1)
    return torch.where(mask.any(1), best, torch.zeros_like(best)).mean()


def neighbour_mean(phi: Tensor, mask: Tensor) -> Tensor:
    """The mean phi of a neighbour, over all filled slots; a scalar."""
    return phi[:, 1:][mask].mean()


# ---------------------------------------------------------------- training on coalitions


def keep_some(mask: Tensor, generator: torch.Generator) -> Tensor:
    """Subset training: every target draws a rate from U(0, 1.2) and keeps each neighbour with it; mask (N, K)."""
    rate = 1.2 * torch.rand(len(mask), 1, generator=generator)
    return mask & (torch.rand(mask.shape, generator=generator) < rate.to(mask.device)).to(mask.device)


def drop_past(past: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """A share of the pasts stands still, so that coalitions without the past are known as well; past (N, H, 2)."""
    kept = torch.rand(len(past), 1, 1, generator=generator) >= share
    return past * kept.to(past.device)


def train_step(model: Predictor, batch: Batch, optimiser: torch.optim.Optimizer) -> float:
    """One step on the negative log-likelihood."""
    mean, spread = model(batch)
    loss = nll(mean, spread, batch.future).mean()
    optimiser.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 5.0)
    optimiser.step()
    return float(loss.detach())


def pad(tracks: Tensor, slots: int) -> Tensor:
    """Empty slots appended on axis 1."""
    return functional.pad(tracks, [0, 0] * (tracks.dim() - 2) + [0, slots - tracks.shape[1]])
