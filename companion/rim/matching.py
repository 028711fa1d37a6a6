"""Matching states and films under budgets: greedy, and by the dual, whose prices can be frozen and served online.

    max  E[S pi] + eps E[H(pi)]   over 0 <= pi <= 1,   s.t.  every row  <= k films,   least <= every column <= most
    d(u, v) = E[u] k / m + E[v_least] least / n + E[v_most] most / n + eps E[softplus((S - u - v) / eps)]

symbol        identifier     shape
S             scores         (n, m) float64, not negative
u             (inner)        (n, 1), u >= 0: the price of a place in a row; solved for by bisection wherever v stands
v             prices         (m,): v_least + v_most, where v_least <= 0 (a subsidy) and v_most >= 0 (a charge)
pi            share          (n, m) in [0, 1]: sigmoid((S - u - v) / eps)
eps           epsilon        smoothing, in units of the scores; small enough, pi is 0 or 1
E             mean over rows, columns or both
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from scipy.optimize import linprog, minimize
from scipy.sparse import eye_array, kron, vstack
from torch import Tensor
from torch.nn import functional

from companion.errors import CompanionError
from companion.rim.method import top_rows


class Exposure(NamedTuple):
    """How many states each film must and may be shown to."""

    least: float = 0.0
    most: float = math.inf


Blocks = Callable[[], Iterable[Tensor]]


# ---------------------------------------------------------------- the dual


def row_prices(values: Tensor, k: int, epsilon: float, steps: int = 14) -> Tensor:
    """u >= 0 at which sigmoid((values - u) / eps) sums to k in each row, or 0 where it sums to less: (n, m) -> (n, 1).

    The root lies between the values number k and k + 1, widened by eps log(4 m).
    """
    m = values.shape[1]
    if k >= m:
        return torch.zeros_like(values[:, :1])
    best, widened = values.topk(k + 1, dim=1).values, epsilon * math.log(4 * m)
    low, high = (best[:, k:] - widened).clamp(min=0), (best[:, k - 1 : k] + widened).clamp(min=0)
    for _ in range(steps):
        middle = (low + high) / 2
        over = torch.sigmoid((values - middle) / epsilon).sum(1, keepdim=True) > k
        low, high = torch.where(over, middle, low), torch.where(over, high, middle)
    return (low + high) / 2


def dual(
    blocks: Iterable[Tensor], least: Tensor, most: Tensor, k: int, exposure: Exposure, epsilon: float, steps: int = 14
) -> tuple[float, Tensor]:
    """d(u(v), v), and how many states each film is shown to, sum_x pi, (m,); rows come in blocks (r, m).

    least, most (m,) are the two parts of v. As u is the best for this v, the gradient by v is (bound - shown) / (n m).
    """
    v, value, shown, n = least + most, 0.0, torch.zeros_like(least), 0
    for scores in blocks:
        u = row_prices(scores - v, k, epsilon, steps)
        x = (scores - v - u) / epsilon
        value += float(u.sum() * k + epsilon * functional.softplus(x).sum())
        shown += torch.sigmoid(x).sum(0)
        n += len(scores)
    charges = float(least.sum() * exposure.least) + (float(most.sum() * exposure.most) if most.any() else 0.0)
    return (value + charges) / (n * len(v)), shown


def check_exposure(exposure: Exposure, n: int, m: int, k: int) -> None:
    """Raises CompanionError where no assignment can meet the bounds."""
    if not 0 <= exposure.least <= min(exposure.most, n) or exposure.least * m > n * min(k, m):
        raise CompanionError(
            f"exposure = {exposure} cannot be met by {n} states with {k} films each among {m}; "
            f"least may be at most {n * min(k, m) / m:g} and not above most."
        )


def learn_prices(
    blocks: Blocks,
    n: int,
    m: int,
    k: int,
    exposure: Exposure,
    levels: Sequence[float],
    iterations: int,
    steps: int = 14,
) -> Tensor:
    """Prices v (m,) of the films that minimise d, by L-BFGS-B at ever smaller eps = levels.

    blocks() yields the rows of scores (n, m), about 1 in size where it matters, in blocks; eps is in their unit.
    """
    check_exposure(exposure, n, m, k)
    parts = np.zeros(2 * m)
    charged = exposure.most < n
    bounds = [(None, 0.0) if exposure.least else (0.0, 0.0)] * m + [(0.0, None) if charged else (0.0, 0.0)] * m
    for epsilon in levels:

        def objective(flat: np.ndarray, epsilon: float = epsilon) -> tuple[float, np.ndarray]:
            least, most = torch.tensor(flat).split(m)
            value, shown = dual(blocks(), least, most, k, exposure, epsilon, steps)
            slope = [exposure.least - shown.cpu(), (exposure.most if charged else n) - shown.cpu()]
            return 100 * m * value, 100 * torch.cat(slope).numpy() / n

        options = {"maxiter": iterations, "maxcor": 20, "ftol": 1e-12, "gtol": 1e-8}
        parts = minimize(objective, parts, jac=True, method="L-BFGS-B", bounds=bounds, options=options).x
    least, most = torch.tensor(parts).split(m)
    return least + most


def prices(scores: Tensor, k: int, exposure: Exposure, levels: Sequence[float], iterations: int = 40) -> Tensor:
    """Prices (m,) learnt on past states, scores (n, m) >= 0, in the unit of the scores.

    Scores are heavy-tailed: they are divided by their 99.9 per cent quantile before eps is applied.
    """
    unit = scores.flatten().kthvalue(max(1, int(0.999 * scores.numel()))).values.clamp(min=1e-30)
    scaled = (scores / unit).cpu()
    n, m = scaled.shape
    learnt = learn_prices(lambda: [scaled], n, m, k, exposure, levels, iterations)
    return learnt.to(scores.device) * unit


def serve(scores: Tensor, prices: Tensor, seen: Tensor, k: int, order: Tensor) -> Tensor:
    """Online: each state takes the k best of S - v, and no other state matters; seen pairs are masked last."""
    return top_rows((scores - prices).masked_fill(seen, -torch.inf), k, order)


# ---------------------------------------------------------------- greedy, exact, and the measure


def greedy(scores: Tensor, k: int, exposure: Exposure) -> Tensor:
    """Offline: all pairs from the best down, while both budgets last; a least exposure is filled before all else.

    scores (n, m), -inf where a pair is forbidden -> (n, m) bool. It sees all states before it serves the first.
    """
    n, m = scores.shape
    order = scores.flatten().argsort(descending=True)
    pairs = order[scores.flatten()[order] > -torch.inf].tolist()
    chosen, rows, columns = np.zeros((n, m), dtype=bool), [k] * n, [0] * m
    for limit in (exposure.least, exposure.most):
        for pair in pairs if limit else ():
            row, column = divmod(pair, m)
            if rows[row] and columns[column] < limit and not chosen[row, column]:
                chosen[row, column] = True
                rows[row] -= 1
                columns[column] += 1
    return torch.from_numpy(chosen).to(scores.device)


def linear_programme(scores: Tensor, k: int, exposure: Exposure) -> tuple[float, Tensor]:
    """The value and the solution at eps = 0, by HiGHS: E[S pi], and pi (n, m)."""
    n, m = scores.shape
    rows, columns = kron(eye_array(n), np.ones((1, m))), kron(np.ones((1, n)), eye_array(m))
    limits = [np.full(n, float(k)), np.full(m, -float(exposure.least)), np.full(m, float(min(exposure.most, n)))]
    bounded = vstack([rows, -columns, columns]).tocsr()
    found = linprog(-scores.numpy().ravel(), A_ub=bounded, b_ub=np.concatenate(limits), bounds=(0, 1))
    return -found.fun / (n * m), torch.from_numpy(found.x).view(n, m)


def shortfall(chosen: Tensor, least: float) -> float:
    """How much of the promised exposure is missing, per cent: sum_y (least - shown)_+ / (least m); chosen (n, m)."""
    missing = (least - chosen.sum(0).double()).clamp(min=0)
    return 100 * float(missing.sum()) / (least * chosen.shape[1])
