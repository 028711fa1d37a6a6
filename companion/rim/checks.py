"""Exact checks: what must be true of this code whatever the data; each returns an error that should be near zero."""

from __future__ import annotations

from itertools import pairwise

import torch
from scipy.integrate import quad
from torch import Tensor

from companion.rim import blocks, intensity, matching, method, worlds
from companion.rim.matching import Exposure

N, M, K, LEAST = 60, 25, 3, 4
SMALL = (0.1, 0.01, 1e-3, 1e-4)
SCALES = torch.tensor([0.01, 0.3, 5.0], dtype=torch.float64)
ANTIDIAGONAL = torch.tensor([[0.0, 0.0, 3.0], [0.0, 4.0, 0.0], [3.0, 0.0, 5.0]], dtype=torch.float64)


def scores(n: int = N, m: int = M, seed: int = 7) -> Tensor:
    """Random scores (n, m) float64 in [0, 1)."""
    return torch.rand(n, m, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def histories(seed: int = 3) -> Tensor:
    """Times (30, L): random, with ties, some histories of one event, padded with inf."""
    generator = torch.Generator().manual_seed(seed)
    times = (20 * torch.rand(30, 12, generator=generator, dtype=torch.float64)).floor().div(10).sort(1).values
    times = times - times[:, :1]
    lengths = torch.randint(1, 13, (30, 1), generator=generator)
    return torch.where(torch.arange(12) < lengths, times, torch.inf)


def activity_drops_out_of_rows() -> float:
    """How many ItemRec choices change when every row is multiplied by an activity of its own."""
    generator = torch.Generator().manual_seed(1)
    log_p, order = scores().log().log_softmax(1).round(decimals=1), torch.randperm(M, generator=generator)
    activity = torch.rand(N, generator=generator, dtype=torch.float64).mul(30).sub(15).exp()
    return _changed(method.top_rows(log_p, K, order), method.top_rows(method.log_scores(log_p, activity), K, order))


def film_factors_drop_out_of_columns() -> float:
    """How many UserRec choices change when every column is multiplied by a factor of its own."""
    generator = torch.Generator().manual_seed(2)
    log_s, order = scores().log().round(decimals=1), torch.randperm(N, generator=generator)
    factor = torch.rand(M, generator=generator, dtype=torch.float64).mul(30).sub(15)
    return _changed(method.top_columns(log_s, LEAST, order), method.top_columns(log_s + factor, LEAST, order))


def _changed(a: Tensor, b: Tensor) -> float:
    return float((a != b).sum())


# ---------------------------------------------------------------- intensity


def recursion_is_the_sum() -> float:
    """phi at every event by recursion is phi by summing over all earlier events."""
    times, worst = histories(), 0.0
    phi = intensity.features(times, SCALES)
    for row, found in zip(times, phi, strict=True):
        for k in range(int(row.isfinite().sum())):
            past = torch.exp(-(row[k] - row[1:k]).unsqueeze(1) / SCALES).sum(0) / SCALES
            signed = torch.exp(-row[k] / SCALES) / SCALES
            wanted = torch.cat([past, signed, torch.ones(1, dtype=torch.float64)])
            worst = max(worst, float(((found[k] - wanted) / (1 + wanted)).abs().max()))
    return worst


def compensator_is_the_integral(until: float = 1.7) -> float:
    """The closed-form compensator against quadrature of the intensity between events, relative."""
    times = histories()[:6]
    closed = intensity.compensator(times, SCALES, until)
    found = torch.tensor([[integral(row, j, until) for j in range(closed.shape[1])] for row in times])
    return float(((found - closed) / (1e-3 + closed)).abs().max())


def integral(row: Tensor, channel: int, until: float) -> float:
    """The integral of one channel of phi from 0 to `until`, by quadrature between the events of a row (L,)."""
    edges = [0.0, *sorted(set(row[(row < until) & (row > 0)].tolist())), until]

    def rate(t: float) -> float:
        return float(intensity.states(row[None], SCALES, t)[0, channel])

    return float(sum(quad(rate, a, b, limit=200, points=_near(a, b))[0] for a, b in pairwise(edges)))


def _near(low: float, high: float) -> list[float]:
    """Where the fastest kernel bends."""
    return [low + min(high - low, s) * 0.999 for s in (0.005, 0.02, 0.1)]


def fit_example() -> tuple[Tensor, Tensor, Tensor]:
    """phi (N, K), counts (N,), exposure (K,) of a Poisson regression."""
    phi = scores(80, 7) + 0.01
    counts = torch.poisson(3 * phi[:, 0] + phi[:, 1], generator=torch.Generator().manual_seed(4))
    return phi, counts, phi.sum(0)


def em_never_falls(ridge: float = 0.0) -> float:
    """The largest loss of likelihood in any of 200 EM steps."""
    phi, counts, exposure = fit_example()
    weights, seen = torch.ones(7, dtype=torch.float64), []
    for _ in range(200):
        seen.append(intensity.log_likelihood(phi, counts, exposure, weights, ridge))
        weights = intensity.em_step(phi, counts, exposure, weights, ridge)
    return max(0.0, max(a - b for a, b in pairwise(seen)))


def em_counts_exactly() -> float:
    """After one EM step the expected count is the observed one."""
    phi, counts, exposure = fit_example()
    weights = intensity.em_step(phi, counts, exposure, torch.rand(7, dtype=torch.float64) + 0.1)
    return float((phi @ weights).sum() - counts.sum())


def simulated_users_are_recovered(users: int = 3000) -> float:
    """Constant rate and branching ratio, fitted on users simulated by thinning: the worst relative error."""
    truth = torch.tensor([0.3, 0.2, 0.5, 0.1, 1.0], dtype=torch.float64)
    scales = torch.tensor([0.02, 0.3], dtype=torch.float64)
    times = worlds.simulate(truth, scales, users, 4.0, torch.Generator().manual_seed(0))
    found = intensity.fit_hawkes(times, scales, 4.0, steps=400)
    return max(abs(intensity.branching(found) / 0.5 - 1), abs(float(found[-1]) - 1))


# ---------------------------------------------------------------- matching


def learnt(table: Tensor, k: int, exposure: Exposure, levels: tuple[float, ...] = SMALL) -> Tensor:
    """Prices of a small table, with many steps."""
    n, m = table.shape
    return matching.learn_prices(lambda: [table], n, m, k, exposure, levels, 300, steps=50)


def dual_lies_above(draws: int = 30) -> float:
    """By how much d(u, v) ever falls below the value of the linear programme, at random prices v <= 0."""
    table, exposure = scores(), Exposure(least=LEAST)
    value = matching.linear_programme(table, K, exposure)[0]
    generator, zero, worst = torch.Generator().manual_seed(5), torch.zeros(M, dtype=torch.float64), 0.0
    for _ in range(draws):
        v = -torch.rand(M, generator=generator, dtype=torch.float64)
        for epsilon in (0.3, 1e-3):
            worst = max(worst, value - matching.dual([table], v, zero, K, exposure, epsilon, 50)[0])
    return worst


def dual_closes_the_gap() -> float:
    """At the learnt prices and a small eps, d over the linear programme's value, less one."""
    table, exposure = scores(), Exposure(least=LEAST)
    v = learnt(table, K, exposure)
    value = matching.dual([table], v, torch.zeros_like(v), K, exposure, SMALL[-1], 50)[0]
    return value / matching.linear_programme(table, K, exposure)[0] - 1


def optimum_is_whole() -> float:
    """How far the linear programme's solution is from zeros and ones: a transport problem needs no fractions."""
    share = matching.linear_programme(scores(), K, Exposure(LEAST, 10))[1]
    return float(torch.minimum(share, 1 - share).max())


def rows_alone_are_itemrec() -> float:
    """With a row budget alone the dual's serving is the top k of each row: how many choices differ."""
    table, order, none = scores(), torch.arange(M), torch.zeros(N, M, dtype=torch.bool)
    served = matching.serve(table, learnt(table, K, Exposure()), none, K, order)
    return _changed(served, method.top_rows(table, K, order))


def columns_alone_are_userrec() -> float:
    """With a column cap alone the dual takes the top c of each column: how many choices differ."""
    table = scores()
    v = learnt(table, M, Exposure(most=LEAST))
    return _changed(table > v, method.top_columns(table, LEAST, torch.arange(N)))


def greedy_loses_on_the_antidiagonal() -> float:
    """One film a state, one state a film: the optimum is 3 + 4 + 3, the dual finds it, greedy has 5 + 4."""
    exposure, order, none = Exposure(most=1), torch.arange(3), torch.zeros(3, 3, dtype=torch.bool)
    best = 9 * matching.linear_programme(ANTIDIAGONAL, 1, exposure)[0]
    served = matching.serve(ANTIDIAGONAL, learnt(ANTIDIAGONAL, 1, exposure), none, 1, order)
    totals = [float(ANTIDIAGONAL[chosen].sum()) for chosen in (served, matching.greedy(ANTIDIAGONAL, 1, exposure))]
    return abs(best - 10) + abs(totals[0] - 10) + abs(totals[1] - 9)


# ---------------------------------------------------------------- scale


def scorer(rows: int, n: int = 50, m: int = 40, d: int = 6) -> blocks.Scorer:
    """A random scorer whose blocks have so many rows."""
    generator = torch.Generator().manual_seed(6)
    shapes: tuple[tuple[int, ...], ...] = ((n, d), (m, d), (m,), (n,))
    h, w, b, a = (torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes)
    return blocks.Scorer(h, w, b, a, memory=rows * blocks.COPIES * m * 8)


def blocks_are_the_whole(rows: int = 7) -> float:
    """Choices by row and by column, and the dual, in blocks of seven rows against all at once: the worst difference."""
    few, whole = scorer(rows), scorer(50)
    table, zero = next(whole.blocks()), torch.zeros(40, dtype=torch.float64)
    by_row, by_column = blocks.best_rows_and_columns(few, 3, 4)
    wrong = (by_row != table.topk(3, dim=1).indices).sum() + (by_column != table.T.topk(4, dim=1).indices).sum()
    v = -0.1 * scores(1, 40)[0]
    one, all_ = (matching.dual(s.blocks(), v, zero, 3, Exposure(least=2), 0.01) for s in (few, whole))
    return float(wrong) + abs(one[0] - all_[0]) + float((one[1] - all_[1]).abs().max())
