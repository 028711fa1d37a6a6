"""Correctness checks: what is true of a right implementation for all draws; each returns an error near zero."""

from __future__ import annotations

import numpy as np
import torch
from scipy.special import roots_gegenbauer, roots_genlaguerre
from torch import Tensor

from companion._template.method import Estimator, best_strength, exact_risk, james_stein, sure

NORMS = (0.0, 1.0, 9.0, 40.0)  # |theta|^2


def grid(d: int, squared_norm: float, nodes: int = 60) -> tuple[Tensor, Tensor, Tensor]:
    """Points x (n, d), their probabilities (n,) and theta (d,): averages over the points are integrals, for d >= 3.

    Rotate theta onto the first axis; then only |x| and the cosine of the angle between x and theta matter (Gauss rules,
    with 1/|x|^2 taken into the weight, so that few nodes do).
    """
    half_square, length_weight = roots_genlaguerre(nodes, d / 2 - 2)
    cosine, angle_weight = roots_gegenbauer(nodes, (d - 2) / 2)
    length, norm = np.sqrt(2 * half_square), squared_norm**0.5
    density = np.exp(norm * np.outer(length, cosine) - squared_norm / 2)
    weight = np.outer(half_square * length_weight, angle_weight) * density
    x = torch.zeros(nodes * nodes, d, dtype=torch.float64)
    x[:, 0] = torch.from_numpy(np.outer(length, cosine).ravel())
    x[:, 1] = torch.from_numpy(np.outer(length, np.sqrt(1 - cosine**2)).ravel())
    theta = torch.zeros(d, dtype=torch.float64)
    theta[0] = norm
    return x, torch.from_numpy(weight.ravel() / weight.sum()), theta


def integrated_risk(estimator: Estimator, d: int, squared_norm: float) -> float:
    """E |estimate - theta|^2 by numerical integration of the estimator's own code, without random numbers."""
    x, weight, theta = grid(d, squared_norm)
    return float(weight @ (estimator(x) - theta).square().sum(1))


def risk_is_the_closed_form(d: int = 10) -> float:
    """Integrating the loss of the code gives d - (d - 2)^2 E 1/(d - 2 + 2K)."""
    return max(abs(integrated_risk(james_stein, d, s) - exact_risk(d, s, d - 2)) for s in NORMS)


def risk_at_zero_is_two() -> float:
    """If all means are zero, the risk summed over all coordinates is 2 for every d >= 3."""
    return max(abs(integrated_risk(james_stein, d, 0.0) - 2) for d in (3, 10, 30))


def sure_by_derivatives_is_its_formula(d: int = 7) -> float:
    """d + |g|^2 + 2 div g, with automatic differentiation, equals d - (d - 2)^2 / |x|^2."""
    x = torch.randn(50, d, dtype=torch.float64)
    return float((sure(james_stein, x) - (d - best_strength(d) ** 2 / x.square().sum(1))).abs().max())


def sure_is_unbiased(d: int = 10) -> float:
    """The integral of SURE, which does not use theta, equals the integral of the loss, which does (Stein's lemma)."""
    errors = []
    for squared_norm in NORMS:
        x, weight, _ = grid(d, squared_norm)
        errors.append(abs(float(weight @ sure(james_stein, x)) - integrated_risk(james_stein, d, squared_norm)))
    return max(errors)


def two_means_are_not_changed() -> float:
    """With d = 2 the estimate equals the observation to the last bit."""
    x = torch.randn(200, 2)
    return float((james_stein(x) - x).abs().max())


def rotation_equivariance(d: int = 6) -> float:
    """Rotating the observation rotates the estimate: no direction is preferred."""
    x, rotation = torch.randn(200, d, dtype=torch.float64), torch.linalg.qr(torch.randn(d, d, dtype=torch.float64)).Q
    return float((james_stein(x @ rotation) - james_stein(x) @ rotation).abs().max())
