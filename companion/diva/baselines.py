"""What the derivative is measured against, each as a score of every example: the larger, the sooner it goes.

All take part in the same procedures, with the same refits and the same choice of the penalty.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from companion.diva.method import Ridge, derivative, loo_residuals, validation_derivative, weights


def loo_error(ridge: Ridge, judges: Tensor) -> Tensor:
    """|r_i|^2, (N,): how badly a model that has not seen the example explains its label."""
    return loo_residuals(ridge).square().sum(1)


def training_error(ridge: Ridge, judges: Tensor) -> Tensor:
    """|e_i|^2, (N,): how badly the model that was trained on the example explains its label."""
    return ridge.residuals.square().sum(1)


def at_random(generator: torch.Generator) -> Callable[[Ridge, Tensor], Tensor]:
    """A score that says nothing, (N,)."""
    return lambda ridge, judges: torch.rand(len(ridge.z), generator=generator, dtype=ridge.z.dtype)


def clean_derivative(z_val: Tensor, y_val: Tensor) -> Callable[[Ridge, Tensor], Tensor]:
    """Proposition 2 on clean examples z_val (V, m), y_val (V, k), squared error: needs what DIVA does without."""
    return lambda ridge, judges: validation_derivative(ridge, z_val, 2 * (z_val @ weights(ridge) - y_val))


def true_errors(wrong: Tensor) -> Callable[[Ridge, Tensor], Tensor]:
    """The oracle: knows which labels are wrong, (N,) bool."""
    return lambda ridge, judges: wrong.to(ridge.z.dtype)


# ---------------------------------------------------------------- the derivative, broken


def flipped(ridge: Ridge, judges: Tensor) -> Tensor:
    """The derivative with its sign turned, (N,)."""
    return -derivative(ridge, judges)


def shuffled(generator: torch.Generator) -> Callable[[Ridge, Tensor], Tensor]:
    """The derivative's values, handed to the wrong examples, (N,)."""
    return lambda ridge, judges: derivative(ridge, judges)[torch.randperm(len(ridge.z), generator=generator)]


def without_residuals(ridge: Ridge, judges: Tensor) -> Tensor:
    """The derivative without the term that holds the example's own residual e_j, (N,): it cannot see j's label.

    That the label is not seen is true where j itself does not judge, as in a pool.
    """
    r = loo_residuals(ridge)
    kept = 1 - ridge.leverage
    pull = ridge.z.T @ ((judges / kept).unsqueeze(1) * r)
    return derivative(ridge, judges) + 2 * (ridge.residuals * (ridge.zc @ pull)).sum(1)
