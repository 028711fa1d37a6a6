"""What can be known of a small world before any training: which clusters each critic would confuse, on tables."""

from __future__ import annotations

from itertools import product

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from companion.grda.equilibrium import masses, posterior
from companion.grda.method import pair_weights
from companion.grda.settings import Setting

TIE = 1e-6  # losses closer than this are equal


def gram_loss(shares: Tensor, adjacency: Tensor) -> float:
    """L_d of the best D(e)' D(e') on tables, shares (V, K) float64, adjacency (V, V).

    A Gram matrix has no negative square: where connected domains are the less alike, this D sees little or nothing.
    """
    connected, apart = masses(shares, pair_weights(adjacency, same_domain=True))
    q = (
        torch.randn(len(connected), len(connected), generator=torch.Generator().manual_seed(0))
        .double()
        .requires_grad_()
    )
    optimiser = torch.optim.LBFGS([q], max_iter=200, tolerance_grad=1e-10, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        logits = q @ q.T
        value = (connected * functional.softplus(-logits) + apart * functional.softplus(logits)).sum()
        (q.grad,) = torch.autograd.grad(value, q)
        return value

    optimiser.step(loss)
    return loss().item()


def uniform_loss(shares: Tensor) -> float:
    """The cross-entropy of the best guess of the domain on tables, shares (V, K): the larger, the more alike."""
    return float(-torch.xlogy(shares, posterior(shares)).sum() / len(shares))


def forecast(setting: Setting) -> dict[str, float]:
    """Per player, the accuracy on the targets, in per cent, where the best critic is deceived most.

    Clusters stay whole, and a target's may be taken for each other in a circle; ties are averaged.
    """
    shares, targets = torch.tensor(setting.shares, dtype=torch.float64), setting.targets()
    shifts = list(product(range(shares.shape[1]), repeat=len(targets)))
    losses: dict[str, list[float]] = {"DANN": [], "GRDA": []}
    for shift in shifts:
        taken = shares.clone()
        for target, steps in zip(targets, shift, strict=True):
            taken[target] = shares[target].roll(steps)
        losses["DANN"].append(uniform_loss(taken))
        losses["GRDA"].append(gram_loss(taken, setting.graph()))
    right = np.array([[100 * (steps == 0) for steps in shift] for shift in shifts]).mean(1)
    return {player: float(right[np.array(value) > max(value) - TIE].mean()) for player, value in losses.items()}
