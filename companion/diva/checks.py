"""Exact checks: what must be true of this code whatever the data; each returns an error that should be near zero."""

from __future__ import annotations

import copy

import numpy as np
import torch
from torch import Tensor

from companion.diva import linearise, method
from companion.diva.backbones import SmallCNN, one_hot

N, M, K, ZEROS, LAM = 60, 12, 3, 5, 0.7


def example(n: int = N, m: int = M) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """z (n, m), y (n, 3), alpha (n,) of which five are zero, judges (n,) of which every fourth is zero; float64."""
    generator = torch.Generator().manual_seed(8)
    z = torch.randn(n, m, generator=generator, dtype=torch.float64)
    y = one_hot(torch.randint(K, (n,), generator=generator).numpy(), K)
    alpha = 0.2 + torch.rand(n, generator=generator, dtype=torch.float64)
    alpha[:ZEROS] = 0.0
    judges = (torch.arange(n) % 4 != 0).double()
    return z, y, alpha, judges


def solve(z: Tensor, y: Tensor, alpha: Tensor, lam: float | Tensor) -> Tensor:
    """The weighted ridge solution by a general solver, (m, k); differentiable, and no code of the method in it."""
    normal = z.T @ (alpha.unsqueeze(1) * z) + lam * torch.eye(z.shape[1], dtype=z.dtype)
    return torch.linalg.solve(normal, z.T @ (alpha.unsqueeze(1) * y))


def refitted(z: Tensor, y: Tensor, alpha: Tensor, lam: float | Tensor) -> Tensor:
    """Leave-one-out predictions the honest way, (n, k): one fit for each example, without it."""
    masks = (1 - torch.eye(len(z), dtype=z.dtype)) * alpha
    return torch.stack([z[i] @ solve(z, y, without, lam) for i, without in enumerate(masks)])


def refitted_loss(z: Tensor, y: Tensor, alpha: Tensor, lam: float | Tensor, judges: Tensor) -> Tensor:
    """The leave-one-out loss from those refits."""
    return judges @ (y - refitted(z, y, alpha, lam)).square().sum(1)


def loo_is_refitting() -> float:
    """The closed form gives what refitting without each example gives; five examples have weight zero."""
    z, y, alpha, _ = example()
    return _far(method.loo_predictions(method.fit(z, y, alpha, LAM)), refitted(z, y, alpha, LAM))


def printed_form_fails_at_zero() -> float:
    """Eq. 13 as printed: equal where alpha > 0, and not a number exactly where alpha = 0."""
    z, y, alpha, _ = example()
    printed, ours = (
        method.printed_loo_predictions(z, y, alpha, LAM),
        method.loo_predictions(method.fit(z, y, alpha, LAM)),
    )
    misplaced = (printed.isnan().all(1) != (alpha == 0)).sum()
    return float(misplaced) + _far(printed[alpha > 0], ours[alpha > 0])


def derivative_is_autograd() -> float:
    """The derivative equals automatic differentiation through all refits."""
    z, y, alpha, judges = example()
    free = alpha.clone().requires_grad_()
    (wanted,) = torch.autograd.grad(refitted_loss(z, y, free, LAM, judges), free)
    return _far(method.derivative(method.fit(z, y, alpha, LAM), judges), wanted)


def derivative_is_finite_differences(step: float = 1e-5) -> float:
    """... and central differences of the refits, with no calculus at all."""
    z, y, alpha, judges = example()
    alpha = alpha + 0.1  # room for a step to both sides
    moves = step * torch.eye(N, dtype=z.dtype)
    loss = torch.stack([refitted_loss(z, y, a, LAM, judges) for a in torch.cat([alpha + moves, alpha - moves])])
    return _far(method.derivative(method.fit(z, y, alpha, LAM), judges), (loss[:N] - loss[N:]) / (2 * step))


def gram_form_agrees() -> float:
    """The Gram form gives the same derivative, whichever is larger, N or m; relative to its largest entry."""
    errors = []
    for m in (M, 3 * N):
        z, y, alpha, judges = example(m=m)
        gram = method.derivative_gram(z @ z.T, y, alpha, LAM, judges)
        wanted = method.derivative(method.fit(z, y, alpha, LAM), judges)
        errors.append(_far(gram, wanted) / float(wanted.abs().max()))
    return max(errors)


def validation_derivative_is_autograd() -> float:
    """Proposition 2 equals automatic differentiation, for a validation loss that is not squared: cross-entropy."""
    z, y, alpha, _ = example()
    z_val, labels = z.flip(0)[:20] + 0.1, torch.arange(20) % K
    outputs = (z_val @ method.weights(ridge := method.fit(z, y, alpha, LAM))).requires_grad_()
    (slopes,) = torch.autograd.grad(torch.nn.functional.cross_entropy(outputs, labels), outputs)
    free = alpha.clone().requires_grad_()
    loss = torch.nn.functional.cross_entropy(z_val @ solve(z, y, free, LAM), labels)
    (wanted,) = torch.autograd.grad(loss, free)
    return _far(method.validation_derivative(ridge, z_val, slopes), wanted)


def model_derivative_is_autograd(j: int = 2) -> float:
    """Proposition 1 equals automatic differentiation, for an example of weight zero."""
    z, y, alpha, _ = example()
    wanted = torch.autograd.functional.jacobian(lambda a: solve(z, y, a, LAM), alpha)[:, :, j]
    return _far(method.model_derivative(method.fit(z, y, alpha, LAM), j), wanted)


def euler_identity() -> float:
    """Scaling all weights and lambda together changes nothing: sum_j alpha_j dL/dalpha_j + lambda dL/dlambda = 0."""
    z, y, alpha, judges = example()
    ridge = method.fit(z, y, alpha, LAM)
    return float((alpha @ method.derivative(ridge, judges) + LAM * method.penalty_derivative(ridge, judges)).abs())


def tuning_is_ridge_cv() -> float:
    """Without weights the loss is that of scikit-learn's RidgeCV, and the same penalty is chosen."""
    from sklearn.linear_model import RidgeCV

    z, y, _, _ = example()
    ones, penalties = torch.ones(N, dtype=z.dtype), [float(p) for p in np.logspace(-2, 2, 9)]
    theirs = RidgeCV(penalties, fit_intercept=False, store_cv_results=True).fit(z.numpy(), y.numpy())
    losses = [float(method.loo_loss(method.fit(z, y, ones, p), ones)) for p in penalties]
    chosen = method.tune(z, y, ones, ones, penalties)
    error = np.abs(theirs.cv_results_.sum((0, 1)) - losses).max()
    return float(error) + abs(chosen - float(theirs.alpha_))


def tangent_of_the_head_is_the_last_layer() -> float:
    """With a head of zeros nothing below it has a slope: the full linearisation is the last layer's, to rounding.

    Both Gram matrices, and the derivative from each, relative to their largest entry.
    """
    torch.manual_seed(3)
    net = SmallCNN(classes=K, width=2, features=5).double()
    images, y = torch.rand(12, 1, 28, 28, dtype=torch.float64), one_hot(np.arange(12) % K, K)
    zero = copy.deepcopy(net)
    torch.nn.init.zeros_(zero.head.weight)
    last = linearise.last_layer_gram(net.body, images)
    full = linearise.tangent_gram(zero, images)
    ones = torch.ones(12, dtype=torch.float64)
    errors = [
        full - last,
        *[method.derivative_gram(full, y, ones, LAM, ones) - method.derivative_gram(last, y, ones, LAM, ones)],
    ]
    return max(float(error.abs().max()) for error in errors)


def _far(given: Tensor, wanted: Tensor) -> float:
    """The largest difference; infinite where a number is missing."""
    return float((given - wanted).abs().nan_to_num(nan=torch.inf).max())
