"""What the dataset derivative is compared with: other scores of an example, and brute force.

A score is a function (ridge, validation_weights) -> (N,): the larger, the more harmful the example. All scores
take part in the same procedures, with the same refits and the same selection of lambda.
"""

from __future__ import annotations

import torch
from torch import Tensor

from companion.diva.method import (
    Ridge,
    Score,
    dataset_derivative,
    fit,
    loo_loss,
    loo_residuals,
    model_weights,
    validation_derivative,
)


def loo_error(ridge: Ridge, validation_weights: Tensor) -> Tensor:
    """|r_i|^2, (N,): the squared error on the example's label of a model trained without the example."""
    return loo_residuals(ridge).square().sum(1)


def training_error(ridge: Ridge, validation_weights: Tensor) -> Tensor:
    """|e_i|^2, (N,): the squared error on the example's label of the model trained with it."""
    return ridge.residuals.square().sum(1)


def random_scores(generator: torch.Generator) -> Score:
    """Uniform random numbers, (N,)."""
    return lambda ridge, validation_weights: torch.rand(len(ridge.z), generator=generator, dtype=ridge.z.dtype)


def clean_derivative(z_val: Tensor, y_val: Tensor) -> Score:
    """Proposition 2 for the squared error on clean validation examples z_val (V, m), y_val (V, k), which DIVA lacks."""
    return lambda ridge, validation_weights: validation_derivative(
        ridge, z_val, 2 * (z_val @ model_weights(ridge) - y_val)
    )


def true_errors(wrong: Tensor) -> Score:
    """The oracle: 1 where the label is wrong, (N,) bool, else 0."""
    return lambda ridge, validation_weights: wrong.to(ridge.z.dtype)


# ---------------------------------------------------------------- ablations of the derivative


def sign_flipped(ridge: Ridge, validation_weights: Tensor) -> Tensor:
    """The derivative times -1, (N,)."""
    return -dataset_derivative(ridge, validation_weights)


def shuffled(generator: torch.Generator) -> Score:
    """The derivative's values in a random order, (N,)."""
    return lambda ridge, validation_weights: dataset_derivative(ridge, validation_weights)[
        torch.randperm(len(ridge.z), generator=generator)
    ]


def without_residual(ridge: Ridge, validation_weights: Tensor) -> Tensor:
    """The derivative without the term that holds the example's own residual e_j, (N,).

    For an example j with validation weight 0, as in a candidate pool, it does not depend on the label of j.
    """
    one_minus_h = 1 - ridge.leverage
    influence = ridge.z.T @ ((validation_weights / one_minus_h).unsqueeze(1) * loo_residuals(ridge))
    return dataset_derivative(ridge, validation_weights) + 2 * (ridge.residuals * (ridge.zc @ influence)).sum(1)


# ---------------------------------------------------------------- brute force, for the comparison of runtimes


def loo_by_refitting(z: Tensor, y: Tensor, alpha: Tensor, lam: float) -> Tensor:
    """Leave-one-out predictions (N, k) by N fits, each without one example."""
    predictions, regularization = [], lam * torch.eye(z.shape[1], dtype=z.dtype, device=z.device)
    for i in range(len(z)):
        without_i = alpha.clone()
        without_i[i] = 0.0
        weighted_z = without_i.unsqueeze(1) * z
        factor = torch.linalg.cholesky(z.T @ weighted_z + regularization)
        predictions.append(z[i] @ torch.cholesky_solve(weighted_z.T @ y, factor))
    return torch.stack(predictions)


def derivative_by_finite_differences(z: Tensor, y: Tensor, alpha: Tensor, lam: float, step: float = 1e-5) -> Tensor:
    """The dataset derivative (N,) by forward differences of the leave-one-out loss: N + 1 fits."""
    ones = torch.ones_like(alpha)
    losses = [loo_loss(fit(z, y, alpha, lam), ones)]
    for i in range(len(z)):
        moved = alpha.clone()
        moved[i] += step
        losses.append(loo_loss(fit(z, y, moved, lam), ones))
    return (torch.stack(losses[1:]) - losses[0]) / step
