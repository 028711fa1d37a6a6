"""Stein's paradox (James & Stein, 1961), in the paper's order: the estimator, its risk, the unbiased estimate of it.

symbol        here          shape
X             x             (n, d), one observation of d means a row, each with variance 1
theta         theta         (d,)
d             x.shape[1]    int
d - 2         strength      float, how hard an estimate is pulled towards zero
1 - a/|X|^2   factor        (n, 1)
g(X)          moves         (n, d), estimate minus observation
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Estimator = Callable[[Tensor], Tensor]

# ---------------------------------------------------------------- the estimator


def own_strength(d: int) -> int:
    """The strength that James and Stein prove best: d - 2, and nothing at all for one or two means."""
    return max(d - 2, 0)


def factor(x: Tensor, strength: float) -> Tensor:
    """1 - strength / |x|^2 of each row, (n, 1), for x (n, d): one number for all coordinates."""
    if x.ndim != 2:
        raise ValueError(f"x has shape {tuple(x.shape)}; it must be (n, d), one observation of d means a row.")
    return 1 - strength / x.square().sum(1, keepdim=True)


def james_stein(x: Tensor) -> Tensor:
    """The estimate (1 - (d - 2) / |x|^2) x, (n, d), from x (n, d): the estimator of the paper."""
    return factor(x, own_strength(x.shape[-1])) * x


def positive_part(x: Tensor) -> Tensor:
    """The same, (n, d), but a factor below zero becomes zero: nothing is pulled through the origin (Baranchik)."""
    return factor(x, own_strength(x.shape[-1])).clamp(min=0) * x


# ---------------------------------------------------------------- its risk


def mean_inverse_square(d: int, squared_norm: float, terms: int = 4000) -> float:
    """E 1/|X|^2 for |theta|^2 = `squared_norm` and d >= 3: the mean of 1/(d - 2 + 2K), K Poisson(|theta|^2 / 2)."""
    if d < 3:
        raise ValueError(f"d = {d}: the mean of 1/|X|^2 is infinite below three dimensions; use d >= 3.")
    k, rate = torch.arange(terms, dtype=torch.float64), torch.tensor(squared_norm / 2, dtype=torch.float64)
    log_weight = torch.special.xlogy(k, rate) - rate - torch.lgamma(k + 1)
    return float((log_weight.exp() / (d - 2 + 2 * k)).sum())


def exact_risk(d: int, squared_norm: float, strength: float | None = None) -> float:
    """E |estimate - theta|^2 = d - (2 a (d - 2) - a^2) E 1/|X|^2, all d coordinates together, a = strength.

    Without a strength it is the paper's own, d - 2: then the risk is d - (d - 2)^2 E 1/|X|^2.
    """
    a = own_strength(d) if strength is None else strength
    return d - (2 * a * (d - 2) - a**2) * mean_inverse_square(d, squared_norm) if a else float(d)


# ---------------------------------------------------------------- the risk, estimated without knowing theta


def sure(estimator: Estimator, x: Tensor) -> Tensor:
    """Stein's unbiased risk estimate of any smooth estimator, (n,): d + |g|^2 + 2 div g (Stein, 1981).

    x (n, d). Automatic differentiation takes the divergence, one coordinate at a time.
    """
    x = x.detach().requires_grad_()
    moves = estimator(x) - x
    slopes = [torch.autograd.grad(moves[:, i].sum(), x, retain_graph=True)[0][:, i] for i in range(x.shape[1])]
    return (x.shape[1] + moves.square().sum(1) + 2 * torch.stack(slopes).sum(0)).detach()
