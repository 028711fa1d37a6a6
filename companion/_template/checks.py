"""Exact checks: what must be true of this code whatever the draws; each returns an error that should be near zero."""

from __future__ import annotations

import numpy as np
import torch
from scipy.special import roots_gegenbauer, roots_genlaguerre
from torch import Tensor

from companion._template.method import Estimator, exact_risk, james_stein, own_strength, sure

NORMS = (0.0, 1.0, 9.0, 40.0)  # |theta|^2


def grid(d: int, squared_norm: float, nodes: int = 60) -> tuple[Tensor, Tensor, Tensor]:
    """Points x (n, d), their probabilities (n,) and theta (d,): an average over the points is an integral, for d >= 3.

    Turn theta onto the first axis; then only |x| and the cosine of the angle between x and theta matter (Gauss rules,
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
    """E |estimate - theta|^2 without a random number: the estimator's own code, integrated."""
    x, weight, theta = grid(d, squared_norm)
    return float(weight @ (estimator(x) - theta).square().sum(1))


def risk_is_the_closed_form(d: int = 10) -> float:
    """Integrating the loss of the code gives d - (d - 2)^2 E 1/(d - 2 + 2K)."""
    return max(abs(integrated_risk(james_stein, d, s) - exact_risk(d, s, d - 2)) for s in NORMS)


def risk_at_zero_is_two() -> float:
    """If all means are zero, the risk of all coordinates together is 2, however many they are."""
    return max(abs(integrated_risk(james_stein, d, 0.0) - 2) for d in (3, 10, 30))


def sure_by_derivatives_is_its_formula(d: int = 7) -> float:
    """d + |g|^2 + 2 div g, with derivatives taken automatically, equals d - (d - 2)^2 / |x|^2."""
    x = torch.randn(50, d, dtype=torch.float64)
    return float((sure(james_stein, x) - (d - own_strength(d) ** 2 / x.square().sum(1))).abs().max())


def sure_is_unbiased(d: int = 10) -> float:
    """The integral of SURE, which never sees theta, equals the integral of the loss, which does (Stein's lemma)."""
    errors = []
    for squared_norm in NORMS:
        x, weight, _ = grid(d, squared_norm)
        errors.append(abs(float(weight @ sure(james_stein, x)) - integrated_risk(james_stein, d, squared_norm)))
    return max(errors)


def two_means_are_left_alone() -> float:
    """With d = 2 the estimate is the observation, to the last bit."""
    x = torch.randn(200, 2)
    return float((james_stein(x) - x).abs().max())


def turning_changes_nothing(d: int = 6) -> float:
    """Turning the observation turns the estimate: no direction is preferred."""
    x, turn = torch.randn(200, d, dtype=torch.float64), torch.linalg.qr(torch.randn(d, d, dtype=torch.float64)).Q
    return float((james_stein(x @ turn) - james_stein(x) @ turn).abs().max())
