"""Correctness checks: identities that hold for any data; each check returns an error that should be near zero."""

from __future__ import annotations

import copy

import numpy as np
import torch
from torch import Tensor

from companion.diva import method
from companion.diva.data import SmallCNN, one_hot

N, M, K, ZEROS, LAM = 60, 12, 3, 5, 0.7


def example(n: int = N, m: int = M) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """z (n, m), y (n, 3), alpha (n,) with five zeros, validation_weights (n,) with every fourth zero; all float64."""
    generator = torch.Generator().manual_seed(8)
    z = torch.randn(n, m, generator=generator, dtype=torch.float64)
    y = one_hot(torch.randint(K, (n,), generator=generator).numpy(), K)
    alpha = 0.2 + torch.rand(n, generator=generator, dtype=torch.float64)
    alpha[:ZEROS] = 0.0
    validation_weights = (torch.arange(n) % 4 != 0).double()
    return z, y, alpha, validation_weights


def solve(z: Tensor, y: Tensor, alpha: Tensor, lam: float | Tensor) -> Tensor:
    """The weighted ridge solution by a general solver, (m, k); differentiable, and independent of `method`."""
    normal = z.T @ (alpha.unsqueeze(1) * z) + lam * torch.eye(z.shape[1], dtype=z.dtype)
    return torch.linalg.solve(normal, z.T @ (alpha.unsqueeze(1) * y))


def refitted(z: Tensor, y: Tensor, alpha: Tensor, lam: float | Tensor) -> Tensor:
    """Leave-one-out predictions by brute force, (n, k): one fit for each example, without it."""
    masks = (1 - torch.eye(len(z), dtype=z.dtype)) * alpha
    return torch.stack([z[i] @ solve(z, y, without, lam) for i, without in enumerate(masks)])


def refitted_loss(z: Tensor, y: Tensor, alpha: Tensor, lam: float | Tensor, validation_weights: Tensor) -> Tensor:
    """The leave-one-out loss from those refits."""
    return validation_weights @ (y - refitted(z, y, alpha, lam)).square().sum(1)


def loo_is_refitting() -> float:
    """The closed form gives what refitting without each example gives; five examples have weight zero."""
    z, y, alpha, _ = example()
    return _difference(method.loo_predictions(method.fit(z, y, alpha, LAM)), refitted(z, y, alpha, LAM))


def printed_form_fails_at_zero() -> float:
    """Eq. 13 as printed: equal where alpha > 0, and NaN exactly where alpha = 0."""
    z, y, alpha, _ = example()
    printed = method.printed_loo_predictions(z, y, alpha, LAM)
    ours = method.loo_predictions(method.fit(z, y, alpha, LAM))
    misplaced = (printed.isnan().all(1) != (alpha == 0)).sum()
    return float(misplaced) + _difference(printed[alpha > 0], ours[alpha > 0])


def derivative_is_autograd() -> float:
    """The dataset derivative equals automatic differentiation through all refits."""
    z, y, alpha, validation_weights = example()
    free = alpha.clone().requires_grad_()
    (expected,) = torch.autograd.grad(refitted_loss(z, y, free, LAM, validation_weights), free)
    return _difference(method.dataset_derivative(method.fit(z, y, alpha, LAM), validation_weights), expected)


def derivative_is_finite_differences(step: float = 1e-5) -> float:
    """The derivative equals central differences of the loss after refits."""
    z, y, alpha, validation_weights = example()
    alpha = alpha + 0.1  # now a step to either side is possible
    moves = step * torch.eye(N, dtype=z.dtype)
    moved = torch.cat([alpha + moves, alpha - moves])
    losses = torch.stack([refitted_loss(z, y, a, LAM, validation_weights) for a in moved])
    derivative = method.dataset_derivative(method.fit(z, y, alpha, LAM), validation_weights)
    return _difference(derivative, (losses[:N] - losses[N:]) / (2 * step))


def gram_form_agrees() -> float:
    """The Gram form gives the same derivative, whichever is larger, N or m; relative to its largest entry."""
    errors = []
    for m in (M, 3 * N):
        z, y, alpha, validation_weights = example(m=m)
        gram = method.dataset_derivative_gram(z @ z.T, y, alpha, LAM, validation_weights)
        expected = method.dataset_derivative(method.fit(z, y, alpha, LAM), validation_weights)
        errors.append(_difference(gram, expected) / float(expected.abs().max()))
    return max(errors)


def validation_derivative_is_autograd() -> float:
    """Proposition 2 equals automatic differentiation, for a validation loss that is not squared: cross-entropy."""
    z, y, alpha, _ = example()
    z_val, labels = z.flip(0)[:20] + 0.1, torch.arange(20) % K
    ridge = method.fit(z, y, alpha, LAM)
    outputs = (z_val @ method.model_weights(ridge)).requires_grad_()
    (output_gradient,) = torch.autograd.grad(torch.nn.functional.cross_entropy(outputs, labels), outputs)
    free = alpha.clone().requires_grad_()
    loss = torch.nn.functional.cross_entropy(z_val @ solve(z, y, free, LAM), labels)
    (expected,) = torch.autograd.grad(loss, free)
    return _difference(method.validation_derivative(ridge, z_val, output_gradient), expected)


def model_derivative_is_autograd(j: int = 2) -> float:
    """Proposition 1 equals automatic differentiation, for an example of weight zero."""
    z, y, alpha, _ = example()
    expected = torch.autograd.functional.jacobian(lambda a: solve(z, y, a, LAM), alpha)[:, :, j]
    return _difference(method.model_derivative(method.fit(z, y, alpha, LAM), j), expected)


def euler_identity() -> float:
    """Scaling all weights and lambda together changes nothing: sum_j alpha_j dL/dalpha_j + lambda dL/dlambda = 0."""
    z, y, alpha, validation_weights = example()
    ridge = method.fit(z, y, alpha, LAM)
    by_alpha = method.dataset_derivative(ridge, validation_weights)
    by_lambda = method.lambda_derivative(ridge, validation_weights)
    return float((alpha @ by_alpha + LAM * by_lambda).abs())


def tuning_is_ridge_cv() -> float:
    """With equal weights the loss is that of scikit-learn's RidgeCV, and the same lambda is selected."""
    from sklearn.linear_model import RidgeCV

    z, y, _, _ = example()
    ones, lambdas = torch.ones(N, dtype=z.dtype), [float(p) for p in np.logspace(-2, 2, 9)]
    theirs = RidgeCV(lambdas, fit_intercept=False, store_cv_results=True).fit(z.numpy(), y.numpy())
    losses = [float(method.loo_loss(method.fit(z, y, ones, p), ones)) for p in lambdas]
    selected = method.select_lambda(z, y, ones, ones, lambdas)
    error = np.abs(theirs.cv_results_.sum((0, 1)) - losses).max()
    return float(error) + abs(selected - float(theirs.alpha_))


def tangent_of_the_head_is_the_last_layer() -> float:
    """With a head of zeros no layer below has a gradient, so the whole network linearized is its last layer linearized.

    The largest difference of the two Gram matrices, and of the dataset derivatives from them.
    """
    torch.manual_seed(3)
    net = SmallCNN(num_classes=K, channels=2, hidden_dim=5).double()
    images, y = torch.rand(12, 1, 28, 28, dtype=torch.float64), one_hot(np.arange(12) % K, K)
    zero = copy.deepcopy(net)
    torch.nn.init.zeros_(zero.head.weight)
    last = method.last_layer_gram(net.body, images)
    full = method.tangent_gram(zero, images)
    ones = torch.ones(12, dtype=torch.float64)
    derivatives = [method.dataset_derivative_gram(gram, y, ones, LAM, ones) for gram in (full, last)]
    return max(_difference(full, last), _difference(*derivatives))


def _difference(computed: Tensor, expected: Tensor) -> float:
    """The largest absolute difference; infinite where a number is NaN."""
    return float((computed - expected).abs().nan_to_num(nan=torch.inf).max())
