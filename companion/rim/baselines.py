"""What RIM is measured against: cruder activities, item popularity, matrix factorisation, a transformer."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from companion.rim.method import NextItem, Training


class ALSRecipe(NamedTuple):
    """Matrix factorisation: factors, and how much more a seen pair counts than an unseen one."""

    factors: int
    weight: float

    def __str__(self) -> str:
        return f"{self.factors} factors, weight {self.weight:g}"


# ---------------------------------------------------------------- activity


def user_popularity(times: Tensor, at: float) -> Tensor:
    """0.01 + how many events there were, however long ago: times (U, L) -> (U,)."""
    return 0.01 + (times < at).sum(1).double()


def moving_average(times: Tensor, at: float, scale: float) -> Tensor:
    """EMA: sum of exp(-age / scale) over the events before `at`: times (U, L) -> (U,)."""
    return torch.exp(-torch.where(times < at, at - times, torch.inf) / scale).sum(1)


# ---------------------------------------------------------------- relevance


def popularity(counts: Tensor, states: int) -> Tensor:
    """log of every film's share of the training events, the same for each state: counts (m,) -> (states, m)."""
    return (counts + 0.01).div((counts + 0.01).sum()).log().expand(states, -1)


def als(seen: Tensor, recipe: ALSRecipe, generator: torch.Generator, rounds: int = 8, ridge: float = 1.0) -> Tensor:
    """Scores (U, m) of an atemporal factorisation of seen (U, m) bool, by alternating least squares.

    Minimises sum of confidence (seen - p_u' q_y)^2 + ridge |.|^2, where a seen pair has confidence 1 + weight.
    """
    table = seen.float()
    films = 0.1 * torch.randn(seen.shape[1], recipe.factors, generator=generator).to(seen.device)
    for _ in range(rounds):
        users = _solve(table, films, recipe.weight, ridge)
        films = _solve(table.T, users, recipe.weight, ridge)
    return (users @ films.T).double()


def _solve(table: Tensor, others: Tensor, weight: float, ridge: float) -> Tensor:
    """The best factors of one side, (rows, f), where those of the other, (columns, f), are given."""
    f = others.shape[1]
    squares = (others.unsqueeze(2) * others.unsqueeze(1)).flatten(1)
    normal = (weight * table @ squares + squares.sum(0)).view(-1, f, f) + ridge * torch.eye(f, device=table.device)
    return torch.linalg.solve(normal, (1 + weight) * table @ others)


class Attentive(NextItem):
    """A second relevance model: causal self-attention in place of recurrence."""

    def __init__(self, films: int, training: Training, heads: int = 2, depth: int = 2) -> None:
        super().__init__(films, training)
        width = training.width
        self.place = nn.Parameter(0.02 * torch.randn(training.longest + 1, width))
        layer = nn.TransformerEncoderLayer(width, heads, 4 * width, training.dropout, batch_first=True, norm_first=True)
        self.blocks = nn.TransformerEncoder(layer, depth, nn.LayerNorm(width), enable_nested_tensor=False)

    def encode(self, embedded: Tensor) -> Tensor:
        """(b, L, d) -> (b, L, d)."""
        length = embedded.shape[1]
        mask = nn.Transformer.generate_square_subsequent_mask(length, embedded.device)
        return self.blocks(embedded + self.place[:length], mask=mask, is_causal=True)
