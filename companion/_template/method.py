"""Stein's paradox (James and Stein, 1961), in the paper's order: the estimator, its risk, an estimate of the risk.

symbol        here          shape
X             x             (n, d), n observations of d means, each with noise of variance 1
theta         theta         (d,)
d             x.shape[1]    int
a = d - 2     strength      float, the shrinkage strength
1 - a/|X|^2   factor        (n, 1)
g(X)          change        (n, d), estimate minus observation
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from companion.lab import validation

Estimator = Callable[[Tensor], Tensor]

# ---------------------------------------------------------------- the estimator


def best_strength(d: int) -> int:
    """The shrinkage strength that James and Stein prove best: d - 2, and 0 for one or two means."""
    return max(d - 2, 0)


def shrinkage_factor(x: Tensor, strength: float) -> Tensor:
    """1 - strength / |x|^2 of each row, (n, 1) float, for x (n, d) float: one number for all coordinates."""
    x = validation.features(x, "x", dtype=None)
    return 1 - strength / x.square().sum(1, keepdim=True)


def james_stein(x: Tensor) -> Tensor:
    """The estimator of the paper, (1 - (d - 2) / |x|^2) x, (n, d), from observations x (n, d)."""
    return shrinkage_factor(x, best_strength(x.shape[-1])) * x


def positive_part(x: Tensor) -> Tensor:
    """James-Stein with negative factors replaced by 0, (n, d), from observations x (n, d) (Baranchik, 1964)."""
    return shrinkage_factor(x, best_strength(x.shape[-1])).clamp(min=0) * x


# ---------------------------------------------------------------- its risk


def mean_inverse_square(d: int, squared_norm: float, terms: int = 4000) -> float:
    """E 1/|X|^2 for |theta|^2 = `squared_norm` and d >= 3: the mean of 1/(d - 2 + 2K), K Poisson(|theta|^2 / 2)."""
    if d < 3:
        raise ValueError(f"d = {d}: the mean of 1/|X|^2 is infinite below three dimensions; use d >= 3.")
    k, rate = torch.arange(terms, dtype=torch.float64), torch.tensor(squared_norm / 2, dtype=torch.float64)
    log_weight = torch.special.xlogy(k, rate) - rate - torch.lgamma(k + 1)
    return float((log_weight.exp() / (d - 2 + 2 * k)).sum())


def exact_risk(d: int, squared_norm: float, strength: float | None = None) -> float:
    """E |estimate - theta|^2 = d - (2 a (d - 2) - a^2) E 1/|X|^2, summed over all d coordinates, a = strength.

    The default strength is the paper's, d - 2: then the risk is d - (d - 2)^2 E 1/|X|^2.
    """
    a = best_strength(d) if strength is None else strength
    return d - (2 * a * (d - 2) - a**2) * mean_inverse_square(d, squared_norm) if a else float(d)


# ---------------------------------------------------------------- the risk, estimated without knowing theta


def sure(estimator: Estimator, x: Tensor) -> Tensor:
    """Stein's unbiased risk estimate of a differentiable estimator, (n,): d + |g|^2 + 2 div g (Stein, 1981).

    x (n, d). Automatic differentiation computes the divergence, one coordinate at a time.
    """
    x = x.detach().requires_grad_()
    change = estimator(x) - x
    derivatives = [torch.autograd.grad(change[:, i].sum(), x, retain_graph=True)[0][:, i] for i in range(x.shape[1])]
    return (x.shape[1] + change.square().sum(1) + 2 * torch.stack(derivatives).sum(0)).detach()
