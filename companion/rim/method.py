"""Recurrent intensity modeling (Ma, Liu and Deoras, 2022): one matrix of scores, ranked along rows and columns.

lambda(x, y) = lambda(x) p(y | x): how active a user-state is, times how relevant an item is to it. ItemRec ranks the
items of a state (a row), UserRec the states of an item (a column). Time is counted in horizons.

symbol          identifier            shape
x = (u, T)      a state               user u at time T; n of them, one per row
y               an item               m of them, one per column
H_u(T)          items, lengths        (n, L) int64, (n,) int64: the items before T, in order, padded
h_x             hidden                (n, d): the last state of the recurrent network
p(y | x)        log_p                 (n, m) float64, its logarithm; each row sums to 1 (relevance)
t_k             times                 (U, L) float64, ascending, 0 first, padded with inf
1 / beta_j      scales                (J,) float64: how long an event keeps exciting others, in horizons
phi(x)          hawkes_states         (U, 2J + 1): self-excitation by scale, sign-up by scale, constant
a, b, mu        weights               (2J + 1,) float64, none negative, in the order of phi
lambda(x)       states @ weights      (U,) float64, events per horizon (activity)
int phi         compensator           (U, 2J + 1): the integral of phi from the first event to T
N_x             counts                (U,): events in [T, T + 1)
lambda(x, y)    log_scores            (n, m) float64, its logarithm
Y               targets               (n, m): events of y in [T, T + 1)
M               chosen                (n, m) bool: the recommendations
k, c            k, c                  recommended items per row, selected states per column
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from companion.errors import CompanionError
from companion.lab.config import TrainConfig

TINY = 1e-300
COPIES = 6  # tensors of a block's size that are alive at once while a block is ranked


class Exposure(NamedTuple):
    """To how many states each item must and may be shown; `companion.rim.matching` meets these bounds."""

    least: float = 0.0
    most: float = math.inf


# ---------------------------------------------------------------- relevance: p(y | x)


class NextItemModel(nn.Module, ABC):
    """A language model whose tokens are items: embeddings are tied, and token m is the start of every history."""

    def __init__(self, num_items: int, hidden_dim: int, dropout: float) -> None:
        super().__init__()
        self.num_items = num_items
        self.embedding = nn.Embedding(num_items + 1, hidden_dim)
        self.bias = nn.Parameter(torch.zeros(num_items))
        self.dropout = nn.Dropout(dropout)
        nn.init.normal_(self.embedding.weight, std=hidden_dim**-0.5)

    @abstractmethod
    def encode(self, embedded: Tensor) -> Tensor:
        """Embedded histories (b, L, d) -> hidden states (b, L, d); state i depends on the tokens up to i alone."""

    def forward(self, input_ids: Tensor) -> Tensor:
        """input_ids (b, L) int64 -> hidden states (b, L, d)."""
        return self.dropout(self.encode(self.dropout(self.embedding(input_ids))))

    def logits(self, hidden: Tensor) -> Tensor:
        """Hidden states (n, d) -> w_y' h_x + b_y of every item, (n, m)."""
        return functional.linear(hidden, self.embedding.weight[: self.num_items], self.bias)

    def with_start_token(self, items: Tensor) -> Tensor:
        """The start token, then the items: (b, L) -> (b, L + 1)."""
        return functional.pad(items, (1, 0), value=self.num_items)


class GRUModel(NextItemModel):
    """The paper's relevance model: a gated recurrent unit reads the items one after the other."""

    def __init__(self, num_items: int, hidden_dim: int, num_layers: int, dropout: float) -> None:
        super().__init__(num_items, hidden_dim, dropout)
        self.gru = nn.GRU(hidden_dim, hidden_dim, num_layers, batch_first=True)

    def encode(self, embedded: Tensor) -> Tensor:
        """(b, L, d) -> (b, L, d)."""
        return self.gru(embedded)[0]


def last_events(items: Tensor, lengths: Tensor, max_length: int) -> tuple[Tensor, Tensor]:
    """The last `max_length` items of histories (n, L), moved to the left: (n, max_length), and their numbers (n,)."""
    new_lengths = lengths.clamp(max=max_length)
    position = torch.arange(max_length, device=items.device) + (lengths - new_lengths).unsqueeze(1)
    return items.gather(1, position.clamp(max=items.shape[1] - 1)), new_lengths


def next_item_loss(model: NextItemModel, items: Tensor, lengths: Tensor) -> Tensor:
    """Mean of -log p(item | items before it) over the events of histories (b, L) int64, lengths (b,).

    The product with all items is the expensive step, so the valid positions are selected before it.
    """
    items = items[:, : int(lengths.max())]
    valid = torch.arange(items.shape[1], device=items.device) < lengths.unsqueeze(1)
    hidden = model(model.with_start_token(items)[:, :-1])
    return functional.cross_entropy(model.logits(hidden[valid]), items[valid])


def fit_relevance(
    model: NextItemModel,
    items: Tensor,
    lengths: Tensor,
    config: TrainConfig,
    max_length: int,
    generator: torch.Generator,
) -> NextItemModel:
    """Train in place on histories (n, L) int64, lengths (n,); return the model in evaluation mode.

    Users without events are left out. The order of batches is drawn from `generator` in each epoch.
    """
    items, lengths = last_events(items, lengths, max_length)
    users = torch.nonzero(lengths).squeeze(1)
    # 1. batches of users with similar lengths, so that little is padded
    batches = users[lengths[users].argsort()].split(config.batch_size)
    optimizer = torch.optim.Adam(model.parameters(), lr=config.lr, fused=True)
    model.train()
    for _ in range(config.epochs):
        for i in torch.randperm(len(batches), generator=generator).tolist():
            # 2. loss of predicting each item from those before it
            with torch.autocast(items.device.type, torch.bfloat16, enabled=config.amp):
                loss = next_item_loss(model, items[batches[i]], lengths[batches[i]])
            # 3. the update
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return model.eval()


@torch.no_grad()
def log_relevance(model: NextItemModel, items: Tensor, lengths: Tensor, max_length: int, batch: int = 512) -> Tensor:
    """log p(y | x) of every item after histories (n, L) int64, lengths (n,): (n, m) float64."""
    items, lengths = last_events(items, lengths, max_length)
    parts = []
    for input_ids, ends in zip(model.with_start_token(items).split(batch), lengths.split(batch), strict=True):
        rows = torch.arange(len(input_ids), device=input_ids.device)
        hidden = model(input_ids[:, : int(ends.max()) + 1])[rows, ends]
        parts.append(model.logits(hidden).double().log_softmax(1))
    return torch.cat(parts)


# ---------------------------------------------------------------- activity: lambda(x), a Hawkes process


def decay_scales(smallest: float, largest: float, count: int) -> Tensor:
    """`count` time scales 1 / beta, evenly spaced in the logarithm, (J,) float64."""
    low, high = torch.tensor([smallest, largest], dtype=torch.float64).log10().tolist()
    return torch.logspace(low, high, count, dtype=torch.float64)


def excitation(times: Tensor, scales: Tensor) -> Tensor:
    """sum over 1 <= i < k of beta exp(-beta (t_k - t_i)) at every event k, (U, L, J), by recursion over the events.

    Event 0, the first, is not in the sum: it has a channel of its own (`sign_up`).
    """
    gaps = torch.where(times[:, 1:].isfinite(), times[:, 1:] - times[:, :-1], torch.inf)
    decay = torch.exp(-gaps.unsqueeze(2) / scales)
    total = torch.zeros(len(times), len(scales), dtype=times.dtype, device=times.device)
    sums = [total]
    for k in range(times.shape[1] - 1):
        total = decay[:, k] * (total + float(k > 0))
        sums.append(total)
    return torch.stack(sums, 1) / scales


def sign_up(times: Tensor, scales: Tensor) -> Tensor:
    """beta exp(-beta (t - t_0)), where t_0 = 0: times (...) -> (..., J)."""
    return torch.exp(-times.unsqueeze(-1) / scales) / scales


def hawkes_features(times: Tensor, scales: Tensor) -> Tensor:
    """phi just before every event, (U, L, 2J + 1)."""
    excited = excitation(times, scales)
    return torch.cat([excited, sign_up(times, scales), torch.ones_like(excited[..., :1])], -1)


def hawkes_states(times: Tensor, scales: Tensor, at: float) -> Tensor:
    """phi at time `at`, (U, 2J + 1), from the events before it."""
    not_first = (times > 0) | (torch.arange(times.shape[1], device=times.device) > 0)
    ages = torch.where((times < at) & not_first, at - times, torch.inf)
    excited = sign_up(ages, scales).sum(1)
    now = torch.full_like(times[:, 0], at)
    return torch.cat([excited, sign_up(now, scales), torch.ones_like(excited[:, :1])], -1)


def compensator(times: Tensor, scales: Tensor, until: float) -> Tensor:
    """The integral of phi from time 0 to `until`, (U, 2J + 1): an event of age s contributes 1 - exp(-beta s)."""
    later = torch.arange(times.shape[1], device=times.device) > 0
    ages = torch.where((times < until) & later, until - times, 0.0)
    excited = -torch.expm1(-ages.unsqueeze(2) / scales)
    duration = torch.full_like(times[:, 0], until)
    first = -torch.expm1(-duration.unsqueeze(1) / scales)
    return torch.cat([excited.sum(1), first, duration.unsqueeze(1)], 1)


def log_likelihood(phi: Tensor, counts: Tensor, exposure: Tensor, weights: Tensor, ridge: float = 0.0) -> float:
    """sum_i y_i log(phi_i' w) - c' w - ridge |w|^2 / 2; phi (N, K), counts (N,), exposure c (K,), weights (K,)."""
    intensity = (phi @ weights).clamp(min=TINY)
    return float(counts @ intensity.log() - exposure @ weights - ridge * weights @ weights / 2)


def em_step(phi: Tensor, counts: Tensor, exposure: Tensor, weights: Tensor, ridge: float = 0.0) -> Tensor:
    """One EM step: w_j <- w_j (sum_i y_i phi_ij / phi_i' w) / c_j; with a ridge, the root of c w + ridge w^2 = share.

    phi (N, K), counts (N,), exposure c (K,), weights (K,) -> (K,). The share of event i that channel j explains is
    w_j phi_ij / phi_i' w. No step lowers the likelihood, and without a ridge sum_j c_j w_j, the expected count, is the
    observed count after every step.
    """
    share = weights * (phi.T @ (counts / (phi @ weights).clamp(min=TINY)))
    if ridge == 0:
        return torch.where(exposure > 0, share / exposure.clamp(min=TINY), 0.0)
    return 2 * share / (exposure + (exposure.square() + 4 * ridge * share).sqrt()).clamp(min=TINY)


def fit_by_em(phi: Tensor, counts: Tensor, exposure: Tensor, steps: int, ridge: float = 0.0) -> Tensor:
    """Weights (K,) after `steps` EM steps; at the start every channel explains the same number of events."""
    weights = counts.sum() / exposure.clamp(min=TINY) / len(exposure)
    for _ in range(steps):
        weights = em_step(phi, counts, exposure, weights, ridge)
    return weights


def fit_hawkes(times: Tensor, scales: Tensor, until: float, steps: int) -> Tensor:
    """Hawkes: maximum-likelihood weights (2J + 1,) for the events in (0, until), given each user's first event."""
    inside = times < until
    inside[:, 0] = False
    phi = hawkes_features(torch.where(times < until, times, torch.inf), scales)[inside]
    exposure = compensator(times, scales, until).sum(0)
    return fit_by_em(phi, torch.ones_like(phi[:, 0]), exposure, steps)


def fit_hawkes_poisson(phi: Tensor, counts: Tensor, steps: int, ridge: float) -> Tensor:
    """Hawkes-Poisson (HP): the features of states, (n, 2J + 1), regressed on the counts of the next horizon, (n,).

    The ridge is per state, on features scaled to a mean of one.
    """
    scale = phi.mean(0).clamp(min=TINY)
    scaled = phi / scale
    return fit_by_em(scaled, counts, scaled.sum(0), steps, ridge * len(phi)) / scale


# ---------------------------------------------------------------- one matrix, ranked along rows and columns


def log_scores(log_p: Tensor, activity: Tensor) -> Tensor:
    """log lambda(x, y) = log lambda(x) + log p(y | x): log_p (n, m) float64, activity lambda(x) (n,) -> (n, m)."""
    return log_p + activity.clamp(min=torch.finfo(log_p.dtype).tiny).log().unsqueeze(1)


def top_rows(scores: Tensor, k: int, order: Tensor) -> Tensor:
    """ItemRec: the k best items of each state, (n, m) bool; ties go to those that come first in `order` (m,).

    scores (n, m); a pair with -inf is never chosen.
    """
    k = min(k, scores.shape[1])
    smallest = scores.topk(k, dim=1).values[:, -1:]
    above, equal = scores > smallest, scores == smallest
    rank = equal[:, order].cumsum(1)[:, order.argsort()]
    return (above | (equal & (rank <= k - above.sum(1, keepdim=True)))) & (scores > -torch.inf)


def top_columns(scores: Tensor, c: int, order: Tensor) -> Tensor:
    """UserRec: the c best states of each item, (n, m) bool; ties go to those that come first in `order` (n,)."""
    return top_rows(scores.T, c, order).T


def precision(targets: Tensor, chosen: Tensor) -> float:
    """Events per hundred recommendations: 100 sum(Y M) / sum(M); targets, chosen (n, m)."""
    return 100 * float(targets[chosen].sum()) / max(1, int(chosen.sum()))


# ---------------------------------------------------------------- at scale: the matrix in blocks of rows


@dataclass(frozen=True)
class BlockScorer:
    """Scores on demand: log lambda(x, y) = log lambda(x) + log softmax_y(w_y' h_x + b_y); the matrix is never stored.

    hidden (n, d); embedding (m, d); bias (m,); log_activity (n,). memory: bytes that the work on a block may take; a
    limit that holds no row at all raises CompanionError.
    """

    hidden: Tensor
    embedding: Tensor
    bias: Tensor
    log_activity: Tensor
    memory: int

    @property
    def block_rows(self) -> int:
        """How many rows a block has."""
        row = COPIES * len(self.embedding) * self.hidden.element_size()
        if row > self.memory:
            m = len(self.embedding)
            raise CompanionError(f"memory = {self.memory} bytes holds no row of {m} items; use {row}.")
        return self.memory // row

    def log_blocks(self) -> Iterator[Tensor]:
        """Blocks of log-scores, (r, m), in the order of the rows."""
        size = self.block_rows
        for hidden, log_activity in zip(self.hidden.split(size), self.log_activity.split(size), strict=True):
            logits = torch.addmm(self.bias, hidden, self.embedding.T)
            yield logits.sub_(logits.logsumexp(1, keepdim=True) - log_activity.unsqueeze(1))

    def blocks(self) -> Iterator[Tensor]:
        """The same blocks as scores."""
        for block in self.log_blocks():
            yield block.exp_()


def best_rows_and_columns(scorer: BlockScorer, k: int, c: int) -> tuple[Tensor, Tensor]:
    """Both rankings in one pass: the k best items of each state, (n, k), and the c best states of each item, (m, c).

    Of each column only the c best states so far are stored, and the next block is merged into them.
    """
    best_items, start = [], 0
    values = torch.empty(len(scorer.embedding), 0, dtype=scorer.hidden.dtype, device=scorer.hidden.device)
    states = torch.empty(len(scorer.embedding), 0, dtype=torch.int32, device=values.device)
    for block in scorer.log_blocks():
        best_items.append(block.topk(k, dim=1).indices)
        new = block.T.contiguous().topk(min(c, len(block)), dim=1)
        values, position = torch.cat([values, new.values], 1).topk(min(c, start + len(block)), dim=1)
        states = torch.cat([states, (new.indices + start).int()], 1).gather(1, position)
        start += len(block)
    return torch.cat(best_items), states
