"""Attribution from few coalitions: permutation sampling, which estimates Shapley, and the released code's coin flips.

A *game* takes coalitions (M, P) bool to values (N, M): a table (`from_table`), or a model (`Encoded.values`).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from companion.trajectory_attribution.method import coalitions

Game = Callable[[Tensor], Tensor]


def from_table(table: Tensor) -> Game:
    """The game that a full table (N, 2^P) holds."""
    bits = 2 ** torch.arange(table.shape[-1].bit_length() - 1)
    return lambda members: table[:, (members.long() * bits).sum(-1)]


def marginals(game: Game, orders: Tensor) -> Tensor:
    """What each player adds on arriving, (N, D, P), when players enter in the orders (D, P) int64."""
    rank = orders.argsort(-1)
    players = orders.shape[1]
    arrived = rank.unsqueeze(1) < torch.arange(players + 1).view(1, -1, 1)  # (D, P + 1, P)
    values = game(arrived.flatten(0, 1)).unflatten(1, (len(orders), players + 1)).double()
    return values.diff(dim=-1).gather(-1, rank.to(values.device).expand(len(values), -1, -1))


def permutations(game: Game, players: int, draws: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Shapley values and their standard errors, both (N, P) float64, from `draws` orders, each beside its reverse.

    An order costs P + 1 evaluations; `draws` must be even and at least 4.
    """
    half = torch.rand(draws // 2, players, generator=generator).argsort(-1)
    found = marginals(game, torch.cat([half, half.flip(-1)]))
    pairs = found.unflatten(1, (2, -1)).mean(1)
    return pairs.mean(1), pairs.std(1) / (draws // 2) ** 0.5


def coin_flips(game: Game, players: int, draws: int, generator: torch.Generator) -> Tensor:
    """The released estimator, (N, P) float64: others are kept or removed by fair coins. 2 P evaluations a draw.

    Fair coins give every coalition of the others the same weight: this estimates the Banzhaf value.
    """
    coins = torch.rand(players, draws, players, generator=generator) < 0.5
    return torch.stack([gain(game, player, coins[player]).mean(1) for player in range(players)], dim=1)


def gain(game: Game, player: int, others: Tensor) -> Tensor:
    """v(S with the player) - v(S without), (N, D), for coalitions (D, P) bool whose own column does not matter."""
    without, with_player = others.clone(), others.clone()
    without[:, player], with_player[:, player] = False, True
    return game(with_player).double() - game(without).double()


def all_coin_flips(game: Game, players: int) -> Tensor:
    """What the released estimator tends to: every outcome of its coins once, (N, P)."""
    return torch.stack([gain(game, player, coalitions(players)).mean(1) for player in range(players)], dim=1)
