"""Exercises of the lesson: what is asked, how an answer is checked, hints, a reference answer, wrong answers."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from companion.lab.exercises import Exercise, NotYet, require_close
from companion.rim import intensity, matching
from companion.rim.checks import fit_example, scores
from companion.rim.matching import Exposure
from companion.rim.method import top_columns, top_rows

# ---------------------------------------------------------------- E1: two readings


def check_readings(answer: Callable[[Tensor, int, int], Tensor]) -> None:
    """Against the package, on a matrix without ties; then the two invariances."""
    table = scores(9, 6)
    wanted = torch.stack([top_rows(table, 2, torch.arange(6)), top_columns(table, 3, torch.arange(9))]).float()
    require_close(torch.as_tensor(answer(table, 2, 3)).float(), wanted, 0, "the two readings")
    rows = answer(table * torch.arange(1.0, 10).unsqueeze(1), 2, 3)[0]
    columns = answer(table * torch.arange(1.0, 7), 2, 3)[1]
    require_close(rows.float(), wanted[0], 0, "the reading by rows after a factor for each row")
    require_close(columns.float(), wanted[1], 0, "the reading by columns after a factor for each column")


def solve_readings(table: Tensor, k: int, c: int) -> Tensor:
    """A threshold for each row, and one for each column."""
    by_row = table >= table.topk(k, dim=1).values[:, -1:]
    by_column = table >= table.topk(c, dim=0).values[-1:]
    return torch.stack([by_row, by_column])


def wrong_readings_axes(table: Tensor, k: int, c: int) -> Tensor:
    """Takes the axes for each other."""
    return solve_readings(table, k, c).flip(0)


def wrong_readings_whole(table: Tensor, k: int, c: int) -> Tensor:
    """One threshold for the whole matrix."""
    flat = table.flatten().sort(descending=True).values
    return torch.stack([table >= flat[k * len(table) - 1], table >= flat[c * table.shape[1] - 1]])


# ---------------------------------------------------------------- E2: the EM step


def check_em(answer: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]) -> None:
    """The package's step, the exact count, and a likelihood that never falls."""
    phi, counts, exposure = fit_example()
    weights = torch.linspace(0.2, 2, 7, dtype=torch.float64)
    given = torch.as_tensor(answer(phi, counts, exposure, weights), dtype=torch.float64)
    if given.shape == weights.shape and abs(float((phi @ given).sum() - counts.sum())) > 1e-6 * float(counts.sum()):
        raise NotYet("after a step the expected count must be the observed one, and it is not.")
    require_close(given, intensity.em_step(phi, counts, exposure, weights), 1e-9, "the weights after one step")


def solve_em(phi: Tensor, counts: Tensor, exposure: Tensor, weights: Tensor) -> Tensor:
    """Each event is shared out among the channels; the shares are divided by the exposure."""
    return weights * (phi.T @ (counts / (phi @ weights))) / exposure


def wrong_em_gradient(phi: Tensor, counts: Tensor, exposure: Tensor, weights: Tensor) -> Tensor:
    """A gradient step."""
    return (weights + 0.01 * (phi.T @ (counts / (phi @ weights)) - exposure)).clamp(min=0)


def wrong_em_forgets(phi: Tensor, counts: Tensor, exposure: Tensor, weights: Tensor) -> Tensor:
    """Loses the old weights from the share."""
    return (phi.T @ (counts / (phi @ weights))) / exposure


# ---------------------------------------------------------------- E3: a count over the horizon


def expected_count(excess: float, mu: float, a: float, beta: float, horizon: float) -> float:
    """E of the events in a horizon: the excess decays at the rate beta (1 - a), to the level a mu / (1 - a)."""
    level, rate = a * mu / (1 - a), beta * (1 - a)
    settled = torch.tensor(1.0, dtype=torch.float64) - torch.exp(torch.tensor(-rate * horizon, dtype=torch.float64))
    return float((mu + level) * horizon + (excess - level) * settled / rate)


CASES = ((2.0, 0.5, 0.6, 4.0, 1.0), (0.0, 1.0, 0.3, 2.0, 3.0), (5.0, 0.0, 0.9, 10.0, 0.5))


def check_expected(answer: Callable[[float, float, float, float, float], float]) -> None:
    """Three cases against the closed form (which tests compare with simulated users)."""
    for case in CASES:
        require_close(answer(*case), expected_count(*case), 1e-6, f"the expected count in the case {case}")


def wrong_expected_now(excess: float, mu: float, a: float, beta: float, horizon: float) -> float:
    """Holds the present intensity for the whole horizon."""
    return (mu + excess) * horizon


def wrong_expected_childless(excess: float, mu: float, a: float, beta: float, horizon: float) -> float:
    """Lets the excess fade at beta, as if new events excited nothing."""
    faded = 1 - torch.exp(torch.tensor(-beta * horizon, dtype=torch.float64)).item()
    return mu * horizon + excess * faded / beta


# ---------------------------------------------------------------- E4: the dual, with both bounds


def check_dual(answer: Callable[..., float]) -> None:
    """The definition at random prices; and never below the linear programme."""
    table, bounds = scores(12, 8), Exposure(least=2, most=6)
    value = matching.linear_programme(table, 2, bounds)[0]
    for seed in range(3):
        u, low, high = (scores(1, size, 20 + seed)[0] for size in (12, 8, 8))
        given = float(answer(table, u, -low, high, 2, bounds.least, bounds.most, 0.05))
        wanted = solve_dual(table, u, -low, high, 2, bounds.least, bounds.most, 0.05)
        if given < value - 1e-9:
            raise NotYet(f"a dual value may not lie below the best matching, {value:.4f}, and this is {given:.4f}.")
        require_close(given, wanted, 1e-6, "the dual value")


def solve_dual(
    table: Tensor, u: Tensor, low: Tensor, high: Tensor, k: int, least: float, most: float, epsilon: float
) -> float:
    """Three budgets at their prices, and what is left of the scores."""
    n, m = table.shape
    left = (table - u.unsqueeze(1) - low - high) / epsilon
    budgets = u.mean() * k / m + low.mean() * least / n + high.mean() * most / n
    return float(budgets + epsilon * functional.softplus(left).mean())


def wrong_dual_hard(
    table: Tensor, u: Tensor, low: Tensor, high: Tensor, k: int, least: float, most: float, epsilon: float
) -> float:
    """Forgets the smoothing."""
    n, m = table.shape
    budgets = u.mean() * k / m + low.mean() * least / n + high.mean() * most / n
    return float(budgets + (table - u.unsqueeze(1) - low - high).clamp(min=0).mean())


def wrong_dual_sign(
    table: Tensor, u: Tensor, low: Tensor, high: Tensor, k: int, least: float, most: float, epsilon: float
) -> float:
    """Charges for the least exposure instead of paying for it."""
    return solve_dual(table, u, -low, high, k, least, most, epsilon)


# ---------------------------------------------------------------- E5: exposure that is worth something


def check_engaged(answer: Callable[[Tensor, Tensor, float], float]) -> None:
    """A table by hand, and that equal activities give the plain shortfall."""
    chosen, rate = scores(20, 7) > 0.8, scores(1, 20, 9)[0].square()
    plain = matching.shortfall(chosen, 4)
    require_close(answer(chosen, torch.full((20,), 3.0), 4), plain, 1e-4, "the shortfall where all are equally active")
    require_close(answer(chosen, rate, 4), solve_engaged(chosen, rate, 4), 1e-4, "the engaged shortfall")


def solve_engaged(chosen: Tensor, rate: Tensor, least: float) -> float:
    """A state counts by its activity over the mean activity."""
    shown = (chosen.double() * (rate / rate.mean()).double().unsqueeze(1)).sum(0)
    return 100 * float((least - shown).clamp(min=0).sum()) / (least * chosen.shape[1])


def wrong_engaged_total(chosen: Tensor, rate: Tensor, least: float) -> float:
    """Lets one film's surplus pay for another's lack."""
    shown = (chosen.double() * (rate / rate.mean()).double().unsqueeze(1)).sum(0)
    return 100 * max(0.0, float((least - shown).sum())) / (least * chosen.shape[1])


def wrong_engaged_unscaled(chosen: Tensor, rate: Tensor, least: float) -> float:
    """Counts in events, whatever the mean activity is."""
    shown = (chosen.double() * rate.double().unsqueeze(1)).sum(0)
    return 100 * float((least - shown).clamp(min=0).sum()) / (least * chosen.shape[1])


EXERCISES = (
    Exercise(
        id="E1",
        title="Two readings",
        stars=1,
        minutes=10,
        statement="Write `readings(table, k, c)` for a score matrix (n, m) without ties: a bool tensor (2, n, m): "
        "the k best of every row, and the c best of every column. Which of the two survives a factor for each row?",
        check=check_readings,
        hints=("`topk` along one dimension gives a threshold.", "`keepdim`, or a slice `[-1:]`, keeps the shape."),
        solution=solve_readings,
        wrong=(wrong_readings_axes, wrong_readings_whole),
    ),
    Exercise(
        id="E2",
        title="A step that cannot overshoot",
        stars=2,
        minutes=15,
        statement="Write `step(phi, counts, exposure, weights)`: one EM step for counts (N,) that are Poisson with "
        "means `phi @ weights`; phi is (N, K), and exposure (K,) is what multiplies the weights in the likelihood.",
        check=check_em,
        hints=("Channel j explains the share w_j phi_ij / phi_i'w of event i.", "Divide the shares by the exposure."),
        solution=solve_em,
        wrong=(wrong_em_gradient, wrong_em_forgets),
    ),
    Exercise(
        id="E3",
        title="Not now, but over the horizon",
        stars=3,
        minutes=30,
        statement="A Hawkes process has the constant rate mu, one kernel of size a < 1 and rate beta, and now an "
        "intensity of mu + excess. Write `expected(excess, mu, a, beta, horizon)`: the mean number of events in the "
        "horizon, those that new events will cause included.",
        check=check_expected,
        hints=(
            "In the mean, the excess x obeys x' = -beta x + a beta (mu + x).",
            "It decays at the rate beta (1 - a) to a level that is not zero.",
        ),
        solution=expected_count,
        wrong=(wrong_expected_now, wrong_expected_childless),
    ),
    Exercise(
        id="E4",
        title="Both bounds at once",
        stars=3,
        minutes=25,
        statement="Write `dual(table, u, low, high, k, least, most, epsilon)`: the value of the dual where every film "
        "has a least and a most exposure. u (n,) is not negative, low (m,) not positive, high (m,) not negative. Check "
        "yourself: no value may lie below the best matching.",
        check=check_dual,
        hints=("Each budget is paid at its price.", "`functional.softplus` is the smooth positive part."),
        solution=solve_dual,
        wrong=(wrong_dual_hard, wrong_dual_sign),
    ),
    Exercise(
        id="E5",
        title="Research: exposure that is worth something",
        stars=4,
        minutes=60,
        statement="A promise that counts states is cheapest kept with states that will do nothing. Write "
        "`engaged(chosen, rate, least)`: the shortfall, per cent, where a state counts by its activity over the mean "
        "activity; chosen (n, m) bool, rate (n,). Then score the policies with it: which order survives?",
        check=check_engaged,
        hints=("If all are equally active, it must be the plain shortfall.", "One film's surplus helps no other film."),
        solution=solve_engaged,
        wrong=(wrong_engaged_total, wrong_engaged_unscaled),
    ),
)
