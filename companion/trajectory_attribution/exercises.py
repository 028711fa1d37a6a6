"""Exercises of the lesson: what is asked, how an answer is checked, hints, a reference answer, wrong answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from companion.lab.exercises import Exercise, NotYet, require_close
from companion.trajectory_attribution import method

# ---------------------------------------------------------------- E1: by hand

BY_HAND = (-3.0, -1.0, -3.0, -0.8, -3.0, -1.0, -1.8, -0.2)  # v by code: nobody, past, A, past + A, B, ...
PHI = [1.9, 0.5, 0.4]


def check_by_hand(answer: Any) -> None:
    """Against the package's own attribution."""
    require_close(answer, PHI, 1e-6, "the list")


# ---------------------------------------------------------------- E2: the released rule


def check_coins(answer: Callable[[Tensor], Tensor]) -> None:
    """Random tables of three players."""
    tables = torch.randn(5, 8, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    require_close(answer(tables), method.attribute(tables, method.BANZHAF), 1e-9, "the values")


def solve_coins(table: Tensor) -> Tensor:
    """Every coalition of the others weighs the same: the mean of four differences."""
    codes = torch.arange(8)
    rows = []
    for player in range(3):
        without = codes[(codes >> player) % 2 == 0]
        rows.append((table[:, without + 2**player] - table[:, without]).mean(1))
    return torch.stack(rows, dim=1)


def wrong_coins_shapley(table: Tensor) -> Tensor:
    """Every size weighs the same, which is Shapley's rule."""
    return method.attribute(table)


def wrong_coins_sum(table: Tensor) -> Tensor:
    """Forgets to divide by the number of coalitions."""
    return 4 * solve_coins(table)


# ---------------------------------------------------------------- E3: a closed form


def check_closed(answer: Callable[[Tensor, float], Tensor]) -> None:
    """Against the exact table, for games of two to six players."""
    for players in (2, 4, 6):
        d = torch.randn(players, generator=torch.Generator().manual_seed(players), dtype=torch.float64)
        table = -(0.4 + (~method.coalitions(players)).double() @ d).square().unsqueeze(0)
        require_close(answer(d, 0.4), method.attribute(table)[0], 1e-9, f"the values for {players} players")


def solve_closed(d: Tensor, r: float) -> Tensor:
    """Each pair shares its product equally: d_i (2 r + sum d)."""
    return d * (2 * r + d.sum())


def wrong_closed_alone(d: Tensor, r: float) -> Tensor:
    """What a player adds on arriving last: it keeps none of the shared products."""
    return d * (2 * r + d)


def wrong_closed_first(d: Tensor, r: float) -> Tensor:
    """What a player adds on arriving first: it keeps all of the shared products."""
    return d * (2 * (r + d.sum()) - d)


# ---------------------------------------------------------------- E4: encode once


def check_pooled(answer: Callable[[Tensor, Tensor], Tensor]) -> None:
    """Against a loop over coalitions."""
    stream = torch.Generator().manual_seed(5)
    edges, members = torch.randn(7, 4, 3, generator=stream), method.coalitions(4)
    wanted = torch.stack([edges[:, row].sum(1) for row in members], dim=1)
    given = answer(edges, members)
    if not isinstance(given, Tensor) or given.shape != wanted.shape:
        raise NotYet(f"the sums must be a tensor of shape {tuple(wanted.shape)}.")
    require_close(given, wanted, 1e-5, "the sums")


def solve_pooled(edges: Tensor, members: Tensor) -> Tensor:
    """One matrix product: a coalition is a row of zeros and ones."""
    return members.to(edges.dtype) @ edges


def wrong_pooled_mean(edges: Tensor, members: Tensor) -> Tensor:
    """A mean: a neighbour's message shrinks when others are present."""
    share = members.to(edges.dtype)
    return (share / share.sum(1, keepdim=True).clamp_min(1)) @ edges


def wrong_pooled_all(edges: Tensor, members: Tensor) -> Tensor:
    """Everybody's sum for every coalition: nobody was removed."""
    return edges.sum(1, keepdim=True).expand(-1, len(members), -1)


# ---------------------------------------------------------------- E5: windows that overlap

ROWS, WINDOWS = 20, 25


def worlds(shift: float, count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Sets of excesses (500,) with their moments (500,): 20 moments of 25 windows that share most of their luck."""
    rng = np.random.default_rng(0)
    moment = np.repeat(np.arange(ROWS), WINDOWS)
    luck = [rng.normal(size=ROWS)[moment] + 0.3 * rng.normal(size=len(moment)) for _ in range(count)]
    return [(shift + each, moment) for each in luck]


def check_p(answer: Callable[[np.ndarray, np.ndarray], float]) -> None:
    """Where nothing is there, few small p; where something is there, many."""
    for shift, what in ((0.0, "nothing"), (1.0, "an effect")):
        found = [answer(*world) for world in worlds(shift, 60)]
        if not all(isinstance(p, (float, np.floating)) and 0 <= p <= 1 for p in found):
            raise NotYet("the answer must be a number between 0 and 1.")
        small = float(np.mean(np.array(found) < 0.05))
        if shift == 0 and small > 0.15:
            raise NotYet(f"in worlds with {what} in them, {small:.0%} of the p values are below 0.05.")
        if shift == 1 and small < 0.9:
            raise NotYet(f"in worlds with {what} in them, only {small:.0%} of the p values are below 0.05.")


def solve_p(excess: np.ndarray, moment: np.ndarray) -> float:
    """Flip the sign of whole moments: under no effect all 2^20 sign patterns are alike."""
    means = np.array([excess[moment == number].mean() for number in np.unique(moment)])
    signs = np.random.default_rng(1).choice([-1, 1], size=(2000, len(means)))
    return float(((signs * means).mean(1) >= means.mean()).mean())


def wrong_p_windows(excess: np.ndarray, moment: np.ndarray) -> float:
    """Flips single windows, as if they were independent: far too sure."""
    signs = np.random.default_rng(1).choice([-1, 1], size=(2000, len(excess)))
    return float(((signs * excess).mean(1) >= excess.mean()).mean())


def wrong_p_share(excess: np.ndarray, moment: np.ndarray) -> float:
    """The share of windows below zero, which is no p value."""
    return float((excess <= 0).mean())


def _tuple(values: Sequence[float]) -> str:
    return ", ".join(f"{value:g}" for value in values)


EXERCISES = (
    Exercise(
        id="E1",
        title="By hand",
        stars=1,
        minutes=15,
        statement="Another three-player game. Its values, for nobody, past, A, past + A, B, past + B, A + B, all: "
        f"{_tuple(BY_HAND)}. Give the Shapley values of past, A and B as a list, by hand or with "
        "`ta.attribute`. Do they add up to v(all) - v(nobody)?",
        check=check_by_hand,
        hints=("Write down the six orders of arrival.", "Player 0 is the past: bit 0 of the column's number."),
        solution=PHI,
        wrong=([2.0, 0.6, 0.5], [0.8, 0.8, 0.6]),
        function=False,
    ),
    Exercise(
        id="E2",
        title="What the released code computes",
        stars=2,
        minutes=20,
        statement="Write `coin_limit(table)`: tables (N, 8) of three players to values (N, 3), when every *other* "
        "player is "
        "kept by a fair coin and the two errors, with and without the player, are subtracted. Use no weight from the "
        "package.",
        check=check_coins,
        hints=("Four coalitions of the others, all equally likely.", "Adding player i adds 2**i to the column."),
        solution=solve_coins,
        wrong=(wrong_coins_shapley, wrong_coins_sum),
    ),
    Exercise(
        id="E3",
        title="A closed form",
        stars=2,
        minutes=25,
        statement="A forecast misses by r, and by d_i more for every absent player: v(S) = -(r + sum of absent d_i)^2. "
        "Write "
        "`closed(d, r)`: the Shapley values (P,) without any table. Why does the Banzhaf value agree?",
        check=check_closed,
        hints=("Expand the square.", "A product d_i d_j belongs to i and j alike; each gets half of it."),
        solution=solve_closed,
        wrong=(wrong_closed_alone, wrong_closed_first),
    ),
    Exercise(
        id="E4",
        title="Encode once",
        stars=3,
        minutes=20,
        statement="Write `pooled(edges, members)`: messages (N, K, W) and coalitions (M, K) bool to sums (N, M, W), "
        "without a "
        "loop. This one line is why 2^P coalitions cost one pass of the encoders.",
        check=check_pooled,
        hints=("A coalition is a row of zeros and ones.", "`@` works on the last two axes."),
        solution=solve_pooled,
        wrong=(wrong_pooled_mean, wrong_pooled_all),
    ),
    Exercise(
        id="E5",
        title="Research: informative, or interacting?",
        stars=4,
        minutes=90,
        statement="Write `p_value(excess, moment)`: a one-sided p for 'the mean excess is above 0', from excesses (N,) "
        "whose "
        "windows overlap within each moment (N,). Then train on `world.simulate(..., kappa=0, circle=True)`, where "
        "all cross one point and nobody avoids anybody. What is the excess there, by NLL, what your p, and what "
        "the true effect? Explain the three together.",
        check=check_p,
        hints=("Windows of one moment share their luck: take one mean a moment.", "Then flip the signs of moments."),
        solution=solve_p,
        wrong=(wrong_p_windows, wrong_p_share),
    ),
)
