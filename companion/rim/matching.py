"""Matching states and items under budgets by the dual problem: item prices learned on past states, used online.

    max  E[S pi] + eps E[H(pi)]   over 0 <= pi <= 1,   s.t.  every row  <= k items,   least <= every column <= most
    d(u, v) = E[u] k / m + E[v_least] least / n + E[v_most] most / n + eps E[softplus((S - u - v) / eps)]

symbol        identifier     shape
S             scores         (n, m) float64, not negative
u             row_prices     (n, 1), u >= 0: the price of one of the k items of a row; found by bisection for any v
v             prices         (m,): v_least + v_most, where v_least <= 0 and v_most >= 0
pi            (inner)        (n, m) in [0, 1]: sigmoid((S - u - v) / eps), the share of a pair
eps           epsilon        smoothing, in units of the scores; as it goes to 0, pi goes to 0 or 1
E             mean over rows, columns or both
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor
from torch.nn import functional

from companion.errors import CompanionError
from companion.rim.method import Exposure, top_rows

BISECTIONS = 14  # steps of the search for a row price: 2^-14 of the interval between two neighboring scores
Blocks = Callable[[], Iterable[Tensor]]


def row_prices(values: Tensor, k: int, epsilon: float, steps: int = BISECTIONS) -> Tensor:
    """u >= 0 at which sigmoid((values - u) / eps) sums to k in each row, or 0 where it sums to less: (n, m) -> (n, 1).

    The root lies between the values number k and k + 1, widened by eps log(4 m).
    """
    m = values.shape[1]
    if k >= m:
        return torch.zeros_like(values[:, :1])
    best, margin = values.topk(k + 1, dim=1).values, epsilon * math.log(4 * m)
    low, high = (best[:, k:] - margin).clamp(min=0), (best[:, k - 1 : k] + margin).clamp(min=0)
    for _ in range(steps):
        middle = (low + high) / 2
        too_many = torch.sigmoid((values - middle) / epsilon).sum(1, keepdim=True) > k
        low, high = torch.where(too_many, middle, low), torch.where(too_many, high, middle)
    return (low + high) / 2


def dual(
    blocks: Iterable[Tensor],
    least: Tensor,
    most: Tensor,
    k: int,
    exposure: Exposure,
    epsilon: float,
    steps: int = BISECTIONS,
) -> tuple[float, Tensor]:
    """d(u(v), v), and to how many states each item is shown, sum_x pi, (m,); the rows come in blocks (r, m).

    least, most (m,) are the two parts of v. As u is optimal for this v, the gradient with respect to v is
    (bound - shown) / (n m).
    """
    v, value, shown, n = least + most, 0.0, torch.zeros_like(least), 0
    for scores in blocks:
        u = row_prices(scores - v, k, epsilon, steps)
        x = (scores - v - u) / epsilon
        value += float(u.sum() * k + epsilon * functional.softplus(x).sum())
        shown += torch.sigmoid(x).sum(0)
        n += len(scores)
    bounds = float(least.sum() * exposure.least) + (float(most.sum() * exposure.most) if most.any() else 0.0)
    return (value + bounds) / (n * len(v)), shown


def minimize_dual(
    blocks: Blocks,
    n: int,
    m: int,
    k: int,
    exposure: Exposure,
    epsilons: Sequence[float],
    iterations: int,
    steps: int = BISECTIONS,
) -> Tensor:
    """Prices v (m,) of the items that minimize d, by L-BFGS-B at ever smaller eps.

    blocks() yields the rows of scores (n, m) in blocks; large scores are about 1, and epsilons are in their unit.
    Raises CompanionError where no assignment can meet the bounds.
    """
    if not 0 <= exposure.least <= min(exposure.most, n) or exposure.least * m > n * min(k, m):
        raise CompanionError(
            f"exposure = {exposure} cannot be met by {n} states with {k} items each among {m}; "
            f"least may be at most {n * min(k, m) / m:g} and not above most."
        )
    parts = np.zeros(2 * m)
    has_most = exposure.most < n
    bounds = [(None, 0.0) if exposure.least else (0.0, 0.0)] * m + [(0.0, None) if has_most else (0.0, 0.0)] * m
    for epsilon in epsilons:

        def objective(flat: np.ndarray, epsilon: float = epsilon) -> tuple[float, np.ndarray]:
            least, most = torch.tensor(flat).split(m)
            value, shown = dual(blocks(), least, most, k, exposure, epsilon, steps)
            gradient = [exposure.least - shown.cpu(), (exposure.most if has_most else n) - shown.cpu()]
            return 100 * m * value, 100 * torch.cat(gradient).numpy() / n

        options = {"maxiter": iterations, "maxcor": 20, "ftol": 1e-12, "gtol": 1e-8}
        parts = minimize(objective, parts, jac=True, method="L-BFGS-B", bounds=bounds, options=options).x
    least, most = torch.tensor(parts).split(m)
    return least + most


def item_prices(scores: Tensor, k: int, exposure: Exposure, epsilons: Sequence[float], iterations: int = 40) -> Tensor:
    """Prices (m,) learned on past states, scores (n, m) >= 0, in the unit of the scores.

    Scores are heavy-tailed: they are divided by their 99.9 % quantile before eps is applied.
    """
    unit = scores.flatten().kthvalue(max(1, int(0.999 * scores.numel()))).values.clamp(min=1e-30)
    scaled = (scores / unit).cpu()
    n, m = scaled.shape
    prices = minimize_dual(lambda: [scaled], n, m, k, exposure, epsilons, iterations)
    return prices.to(scores.device) * unit


def serve(scores: Tensor, prices: Tensor, seen: Tensor, k: int, order: Tensor) -> Tensor:
    """Online, (n, m) bool: each state gets the k best items by S - v, whatever the other states are.

    scores (n, m), prices (m,), seen (n, m) bool: pairs that are never chosen, order (m,) of ties.
    """
    return top_rows((scores - prices).masked_fill(seen, -torch.inf), k, order)


def shortfall(chosen: Tensor, least: float) -> float:
    """Percent of the guaranteed exposure that is missing: sum_y (least - shown)_+ / (least m); chosen (n, m) bool."""
    missing = (least - chosen.sum(0).double()).clamp(min=0)
    return 100 * float(missing.sum()) / (least * chosen.shape[1])
