"""Correctness checks: what is true of right code for any data; each returns an error that should be near zero."""

from __future__ import annotations

from itertools import pairwise

import torch
from scipy.integrate import quad
from torch import Tensor

from companion.rim import baselines, data, matching, method
from companion.rim.method import Exposure

N, M, K, LEAST = 60, 25, 3, 4  # states, items, items per state, states per item
EPSILONS = (0.1, 0.01, 1e-3, 1e-4)
SCALES = torch.tensor([0.01, 0.3, 5.0], dtype=torch.float64)
ANTIDIAGONAL = torch.tensor([[0.0, 0.0, 3.0], [0.0, 4.0, 0.0], [3.0, 0.0, 5.0]], dtype=torch.float64)


def example_scores(n: int = N, m: int = M, seed: int = 7) -> Tensor:
    """Random scores (n, m) float64 in [0, 1)."""
    return torch.rand(n, m, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def example_times(seed: int = 3) -> Tensor:
    """Random times of 30 users, (30, 12) float64, with ties, padded with inf; some users have one event."""
    generator = torch.Generator().manual_seed(seed)
    times = (20 * torch.rand(30, 12, generator=generator, dtype=torch.float64)).floor().div(10).sort(1).values
    times = times - times[:, :1]
    lengths = torch.randint(1, 13, (30, 1), generator=generator)
    return torch.where(torch.arange(12) < lengths, times, torch.inf)


def example_regression() -> tuple[Tensor, Tensor, Tensor]:
    """phi (80, 7), counts (80,) and exposure (7,) of a Poisson regression."""
    phi = example_scores(80, 7) + 0.01
    counts = torch.poisson(3 * phi[:, 0] + phi[:, 1], generator=torch.Generator().manual_seed(4))
    return phi, counts, phi.sum(0)


# ---------------------------------------------------------------- rankings


def activity_cancels_in_rows() -> float:
    """The number of ItemRec choices that change when every row is multiplied by an activity of its own."""
    generator = torch.Generator().manual_seed(1)
    log_p, order = example_scores().log().log_softmax(1).round(decimals=1), torch.randperm(M, generator=generator)
    activity = torch.rand(N, generator=generator, dtype=torch.float64).mul(30).sub(15).exp()
    before = method.top_rows(log_p, K, order)
    after = method.top_rows(method.log_scores(log_p, activity), K, order)
    return float((before != after).sum())


def item_factors_cancel_in_columns() -> float:
    """The number of UserRec choices that change when every column is multiplied by a factor of its own."""
    generator = torch.Generator().manual_seed(2)
    log_s, order = example_scores().log().round(decimals=1), torch.randperm(N, generator=generator)
    factor = torch.rand(M, generator=generator, dtype=torch.float64).mul(30).sub(15)
    before = method.top_columns(log_s, LEAST, order)
    after = method.top_columns(log_s + factor, LEAST, order)
    return float((before != after).sum())


# ---------------------------------------------------------------- Hawkes processes


def recursion_is_the_sum() -> float:
    """phi at every event by recursion equals phi by summing over all earlier events (relative)."""
    times, worst = example_times(), 0.0
    phi = method.hawkes_features(times, SCALES)
    for row, computed in zip(times, phi, strict=True):
        for k in range(int(row.isfinite().sum())):
            excited = torch.exp(-(row[k] - row[1:k]).unsqueeze(1) / SCALES).sum(0) / SCALES
            first = torch.exp(-row[k] / SCALES) / SCALES
            expected = torch.cat([excited, first, torch.ones(1, dtype=torch.float64)])
            worst = max(worst, float(((computed[k] - expected) / (1 + expected)).abs().max()))
    return worst


def compensator_is_the_integral(until: float = 1.7) -> float:
    """The closed-form compensator against numerical integration of the intensity between events (relative)."""
    times = example_times()[:6]
    closed = method.compensator(times, SCALES, until)
    integrals = torch.tensor([[_integral(row, j, until) for j in range(closed.shape[1])] for row in times])
    return float(((integrals - closed) / (1e-3 + closed)).abs().max())


def _integral(times: Tensor, channel: int, until: float) -> float:
    """The integral of one channel of phi from 0 to `until`, by quadrature between the events of one user (L,)."""
    edges = [0.0, *sorted(set(times[(times < until) & (times > 0)].tolist())), until]

    def value(t: float) -> float:
        return float(method.hawkes_states(times[None], SCALES, t)[0, channel])

    total = 0.0
    for low, high in pairwise(edges):
        bends = [low + 0.999 * min(high - low, step) for step in (0.005, 0.02, 0.1)]  # where the fastest kernel decays
        total += quad(value, low, high, limit=200, points=bends)[0]
    return total


def em_never_lowers_the_likelihood(ridge: float = 0.0) -> float:
    """The largest loss of likelihood in any of 200 EM steps."""
    phi, counts, exposure = example_regression()
    weights, likelihoods = torch.ones(7, dtype=torch.float64), []
    for _ in range(200):
        likelihoods.append(method.log_likelihood(phi, counts, exposure, weights, ridge))
        weights = method.em_step(phi, counts, exposure, weights, ridge)
    return max(0.0, max(a - b for a, b in pairwise(likelihoods)))


def em_preserves_the_count() -> float:
    """After one EM step the expected count is the observed one."""
    phi, counts, exposure = example_regression()
    weights = method.em_step(phi, counts, exposure, torch.rand(7, dtype=torch.float64) + 0.1)
    return float((phi @ weights).sum() - counts.sum())


def simulated_users_are_recovered(users: int = 3000) -> float:
    """Constant rate and branching ratio, fitted on users simulated by thinning: the largest relative error."""
    truth = torch.tensor([0.3, 0.2, 0.5, 0.1, 1.0], dtype=torch.float64)
    scales = torch.tensor([0.02, 0.3], dtype=torch.float64)
    times = data.simulate(truth, scales, users, 4.0, torch.Generator().manual_seed(0))
    weights = method.fit_hawkes(times, scales, 4.0, steps=400)
    branching_ratio, constant = float(weights[:2].sum()), float(weights[-1])
    return max(abs(branching_ratio / 0.5 - 1), abs(constant - 1))


# ---------------------------------------------------------------- matching


def accurate_prices(table: Tensor, k: int, exposure: Exposure) -> Tensor:
    """Prices of a small table (n, m), with many steps."""
    n, m = table.shape
    return matching.minimize_dual(lambda: [table], n, m, k, exposure, EPSILONS, 300, steps=50)


def dual_is_an_upper_bound(draws: int = 30) -> float:
    """By how much d(u, v) ever lies below the value of the linear program, at random prices v <= 0."""
    table, exposure = example_scores(), Exposure(least=LEAST)
    value = baselines.linear_program(table, K, exposure)[0]
    generator, zero, worst = torch.Generator().manual_seed(5), torch.zeros(M, dtype=torch.float64), 0.0
    for _ in range(draws):
        v = -torch.rand(M, generator=generator, dtype=torch.float64)
        for epsilon in (0.3, 1e-3):
            worst = max(worst, value - matching.dual([table], v, zero, K, exposure, epsilon, 50)[0])
    return worst


def dual_closes_the_gap() -> float:
    """At the learned prices and a small eps, d over the value of the linear program, minus one."""
    table, exposure = example_scores(), Exposure(least=LEAST)
    v = accurate_prices(table, K, exposure)
    value = matching.dual([table], v, torch.zeros_like(v), K, exposure, EPSILONS[-1], 50)[0]
    return value / baselines.linear_program(table, K, exposure)[0] - 1


def optimum_is_integral() -> float:
    """How far the linear program's solution is from zeros and ones: a transport problem needs no fractions."""
    share = baselines.linear_program(example_scores(), K, Exposure(LEAST, 10))[1]
    return float(torch.minimum(share, 1 - share).max())


def rows_alone_are_itemrec() -> float:
    """With a row budget alone, serving by prices is the top k of each row: the number of choices that differ."""
    table, order, none_seen = example_scores(), torch.arange(M), torch.zeros(N, M, dtype=torch.bool)
    served = matching.serve(table, accurate_prices(table, K, Exposure()), none_seen, K, order)
    return float((served != method.top_rows(table, K, order)).sum())


def columns_alone_are_userrec() -> float:
    """With a column limit alone, prices select the top c of each column: the number of choices that differ."""
    table = example_scores()
    v = accurate_prices(table, M, Exposure(most=LEAST))
    return float(((table > v) != method.top_columns(table, LEAST, torch.arange(N))).sum())


def greedy_loses_on_the_antidiagonal() -> float:
    """One item per state, one state per item: the optimum is 3 + 4 + 3, the dual finds it, greedy gets 5 + 4."""
    exposure, order, none_seen = Exposure(most=1), torch.arange(3), torch.zeros(3, 3, dtype=torch.bool)
    best = 9 * baselines.linear_program(ANTIDIAGONAL, 1, exposure)[0]
    served = matching.serve(ANTIDIAGONAL, accurate_prices(ANTIDIAGONAL, 1, exposure), none_seen, 1, order)
    by_greedy = baselines.greedy(ANTIDIAGONAL, 1, exposure)
    totals = [float(ANTIDIAGONAL[chosen].sum()) for chosen in (served, by_greedy)]
    return abs(best - 10) + abs(totals[0] - 10) + abs(totals[1] - 9)


# ---------------------------------------------------------------- scale


def example_scorer(rows: int, n: int = 50, m: int = 40, d: int = 6) -> method.BlockScorer:
    """A random scorer whose blocks have `rows` rows."""
    generator = torch.Generator().manual_seed(6)
    shapes: tuple[tuple[int, ...], ...] = ((n, d), (m, d), (m,), (n,))
    h, w, b, a = (torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes)
    return method.BlockScorer(h, w, b, a, memory=rows * method.COPIES * m * 8)


def blocks_equal_the_whole(rows: int = 7) -> float:
    """Both rankings and the dual in blocks of seven rows against all rows at once: the largest difference."""
    in_blocks, whole = example_scorer(rows), example_scorer(50)
    table, zero = next(whole.blocks()), torch.zeros(40, dtype=torch.float64)
    by_row, by_column = method.best_rows_and_columns(in_blocks, 3, 4)
    wrong = (by_row != table.topk(3, dim=1).indices).sum() + (by_column != table.T.topk(4, dim=1).indices).sum()
    v = -0.1 * example_scores(1, 40)[0]
    a, b = (matching.dual(s.blocks(), v, zero, 3, Exposure(least=2), 0.01) for s in (in_blocks, whole))
    return float(wrong) + abs(a[0] - b[0]) + float((a[1] - b[1]).abs().max())
