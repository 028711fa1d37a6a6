"""The data: an exact generator of true means and noisy observations."""

from __future__ import annotations

import torch
from torch import Tensor


def setting_name(d: int, signal: float) -> str:
    """The name of a setting: d means whose squares average `signal`."""
    return f"d = {d}, signal = {signal:g}"


def draw_means(d: int, signal: float, generator: torch.Generator) -> Tensor:
    """True means theta, (d,) float32: a random direction, and |theta|^2 = d * signal."""
    direction = torch.randn(d, generator=generator)
    return direction / direction.norm() * (d * signal) ** 0.5


def observe(theta: Tensor, draws: int, generator: torch.Generator) -> Tensor:
    """Observations x = theta + noise of variance 1, (draws, d) float32, of means theta (d,)."""
    return theta + torch.randn(draws, len(theta), generator=generator)
