"""What the estimator is measured against: the observation itself, a shrinker that knows too much, broken shrinkers."""

from __future__ import annotations

import torch
from torch import Tensor

from companion._template.method import factor, james_stein, own_strength


def observation(x: Tensor) -> Tensor:
    """Maximum likelihood, (n, d): what was seen, x (n, d), is what is believed."""
    return x


def oracle(x: Tensor, theta: Tensor) -> Tensor:
    """The best multiple of x (n, d), for whoever knows the length of theta (d,): |theta|^2 / (|theta|^2 + d)."""
    squared = theta.square().sum()
    return squared / (squared + x.shape[1]) * x


def with_strength(x: Tensor, times: float) -> Tensor:
    """James-Stein, (n, d), with its strength d - 2 multiplied: 0 is the observation, 2 and more should gain nothing."""
    return factor(x, times * own_strength(x.shape[1])) * x


def in_groups(x: Tensor, size: int) -> Tensor:
    """James-Stein, (n, d), on groups of `size` means apart: what is learned in one group does not help another."""
    return torch.cat([james_stein(group) for group in x.split(size, dim=1)], dim=1)
