"""What the estimator is compared with: the observation, an oracle, and James-Stein with one component changed."""

from __future__ import annotations

import torch
from torch import Tensor

from companion._template.method import best_strength, james_stein, shrinkage_factor


def observation(x: Tensor) -> Tensor:
    """The maximum likelihood estimate of the means, (n, d): the observation x (n, d) itself."""
    return x


def oracle(x: Tensor, theta: Tensor) -> Tensor:
    """The best multiple of x (n, d) if the length of theta (d,) is known: |theta|^2 / (|theta|^2 + d) x."""
    squared = theta.square().sum()
    return squared / (squared + x.shape[1]) * x


def with_strength(x: Tensor, times: float) -> Tensor:
    """James-Stein, (n, d), with its strength d - 2 multiplied by `times`: 0 gives the observation."""
    return shrinkage_factor(x, times * best_strength(x.shape[1])) * x


def in_groups(x: Tensor, size: int) -> Tensor:
    """James-Stein, (n, d), applied separately to groups of `size` means."""
    return torch.cat([james_stein(group) for group in x.split(size, dim=1)], dim=1)
