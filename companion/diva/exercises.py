"""Exercises of the lesson: checks, hints and reference answers. The statements stand in the notebook."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from companion.diva import checks, method
from companion.diva.data import one_hot
from companion.lab.exercises import Exercise, NotYet, require_close

LAM = checks.LAM

# ---------------------------------------------------------------- E1: leave-one-out from one fit


def check_loo(answer: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]) -> None:
    """Against refits, with weights of zero and weights other than one."""
    z, y, alpha, _ = checks.example()
    ridge = method.fit(z, y, alpha, LAM)
    computed = answer(y, y - ridge.residuals, ridge.h_diagonal, alpha)
    require_close(computed, checks.refitted(z, y, alpha, LAM), 1e-8, "the leave-one-out predictions")


def solve_loo(y: Tensor, fitted: Tensor, own: Tensor, alpha: Tensor) -> Tensor:
    """y minus the residual scaled by 1 / (1 - h)."""
    h = (alpha * own).unsqueeze(1)
    return (fitted - h * y) / (1 - h)


# ---------------------------------------------------------------- E2: the derivative with respect to lambda


def check_lambda(answer: Callable[[Tensor, Tensor, float], Tensor]) -> None:
    """Against the closed form of the derivative with respect to lambda."""
    z, y, alpha, validation_weights = checks.example()
    for lam in (LAM, 3.0):
        ridge = method.fit(z, y, alpha, lam)
        computed = answer(method.dataset_derivative(ridge, validation_weights), alpha, lam)
        expected = method.lambda_derivative(ridge, validation_weights)
        require_close(computed, expected, 1e-8, f"the derivative at lambda = {lam:g}")


def solve_lambda(derivative: Tensor, alpha: Tensor, lam: float) -> Tensor:
    """Scaling alpha and lambda together changes nothing."""
    return -(alpha @ derivative) / lam


# ---------------------------------------------------------------- E3: the derivative of a validation loss


def check_validation(answer: Callable[[Tensor, Tensor, Tensor, float, Tensor, Tensor], Tensor]) -> None:
    """Against automatic differentiation."""
    z, y, alpha, _ = checks.example()
    z_val, y_val = z.flip(0)[:20] + 0.1, y[:20]
    free = alpha.clone().requires_grad_()
    loss = (z_val @ checks.solve(z, y, free, LAM) - y_val).square().sum()
    (expected,) = torch.autograd.grad(loss, free)
    require_close(answer(z, y, alpha, LAM, z_val, y_val), expected, 1e-8, "the derivative")


def solve_validation(z: Tensor, y: Tensor, alpha: Tensor, lam: float, z_val: Tensor, y_val: Tensor) -> Tensor:
    """Proposition 2 for squared errors."""
    ridge = method.fit(z, y, alpha, lam)
    return method.validation_derivative(ridge, z_val, 2 * (z_val @ method.model_weights(ridge) - y_val))


# ---------------------------------------------------------------- E4: which augmentation helps


def check_shares(answer: Callable[[Tensor, Tensor], Tensor]) -> None:
    """Groups of unequal size: the mean weight must count, not the sum."""
    alpha = torch.tensor([1.0, 3.0, 0.0, 0.0, 2.0, 2.0, 2.0, 1.0], dtype=torch.float64)
    groups = torch.tensor([0, 0, 1, 1, 2, 2, 2, 3])
    require_close(answer(alpha, groups), torch.tensor([2.0, 0.0, 2.0, 1.0]) / 5, 1e-8, "the probabilities")


def solve_shares(alpha: Tensor, groups: Tensor) -> Tensor:
    """The share of each group divided by its number of copies, normalized to sum 1."""
    mean = method.group_shares(alpha, groups, int(groups.max()) + 1) / torch.bincount(groups)
    return mean / mean.sum()


# ---------------------------------------------------------------- E5: reweighting without changing lambda


def check_projection(answer: Callable[[Tensor, Tensor], Tensor]) -> None:
    """The result must be orthogonal to alpha, and the part that was removed parallel to it."""
    z, y, alpha, validation_weights = checks.example()
    derivative = method.dataset_derivative(method.fit(z, y, alpha, LAM), validation_weights)
    computed = torch.as_tensor(answer(derivative, alpha), dtype=torch.float64)
    if computed.shape != alpha.shape:
        raise NotYet(f"the projected derivative must have shape {tuple(alpha.shape)}.")
    if abs(float(computed @ alpha)) > 1e-8:
        raise NotYet("a step along it still scales all weights together: its product with alpha is not zero.")
    require_close(computed, solve_projection(derivative, alpha), 1e-8, "the projected derivative")


def solve_projection(derivative: Tensor, alpha: Tensor) -> Tensor:
    """Subtract the projection onto alpha."""
    return derivative - (derivative @ alpha) / (alpha @ alpha) * alpha


# ---------------------------------------------------------------- E6: sentences


def synthetic_sentences() -> tuple[Tensor, Tensor, Tensor]:
    """Stand-ins for sentence embeddings: z (120, 17) around four topics, labels (120,), a mask of the 24 wrong ones."""
    generator = torch.Generator().manual_seed(4)
    topics = torch.randn(4, 16, generator=generator, dtype=torch.float64)
    true_labels = torch.arange(120) % 4
    z = topics[true_labels] + 0.9 * torch.randn(120, 16, generator=generator, dtype=torch.float64)
    wrong = torch.zeros(120, dtype=torch.bool)
    wrong[torch.randperm(120, generator=generator)[:24]] = True
    labels = torch.where(wrong, (true_labels + 1 + torch.arange(120) // 4 % 3) % 4, true_labels)
    return torch.cat([z, torch.ones(120, 1, dtype=torch.float64)], dim=1), labels, wrong


def check_sentences(answer: Callable[[Tensor, Tensor, int], Tensor]) -> None:
    """The mask must mark the 24 examples with the largest derivative at the lambda that leave-one-out selects."""
    z, labels, _ = synthetic_sentences()
    mask = torch.as_tensor(answer(z, labels, 24))
    if mask.shape != (120,) or mask.dtype != torch.bool:
        raise NotYet("the answer must be a mask of shape (120,) of True and False.")
    if int(mask.sum()) != 24:
        raise NotYet(f"the mask must mark 24 examples, and it marks {int(mask.sum())}.")
    missed = int((solve_sentences(z, labels, 24) & ~mask).sum())
    if missed:
        raise NotYet(f"{missed} of the 24 most harmful examples are not marked.")


def solve_sentences(z: Tensor, labels: Tensor, count: int) -> Tensor:
    """The method needs features and labels only, whatever they describe."""
    y, ones = one_hot(labels.numpy(), int(labels.max()) + 1), torch.ones(len(z), dtype=z.dtype)
    lam = method.select_lambda(z, y, ones, ones, [10.0**e for e in range(-2, 4)])
    derivative = method.dataset_derivative(method.fit(z, y, ones, lam), ones)
    return torch.zeros(len(z), dtype=torch.bool).index_fill(0, derivative.topk(count).indices, True)


EXERCISES = (
    Exercise(
        id="E1", title="Leave-one-out from a single fit", stars=1, minutes=15, check=check_loo, solution=solve_loo,
        hints=(
            "The leverage is h = alpha * own.",
            "An example of weight zero does not affect the fit: h = 0 must change nothing.",
        ),
    ),
    Exercise(
        id="E2", title="The derivative with respect to λ, without new algebra", stars=2, minutes=15,
        check=check_lambda, solution=solve_lambda,
        hints=(
            "L(c alpha, c lambda) does not depend on c: differentiate with respect to c, and set c = 1.",
            "The sum over examples is weighted by alpha.",
        ),
    ),
    Exercise(
        id="E3", title="The derivative of a validation loss", stars=2, minutes=20,
        check=check_validation, solution=solve_validation,
        hints=(
            "The gradient of |f - y|² with respect to f is 2 (f - y).",
            "Each training example contributes through its own residual.",
        ),
    ),
    Exercise(
        id="E4", title="Which transformation helps", stars=2, minutes=20, check=check_shares, solution=solve_shares,
        hints=(
            "`diva.method.group_shares` gives each group's part of the sum.",
            "`torch.bincount` counts the copies.",
        ),
    ),
    Exercise(
        id="E5", title="Reweighting without changing λ", stars=3, minutes=30,
        check=check_projection, solution=solve_projection,
        hints=("Project onto alpha, and subtract.", "The projection divides by alpha·alpha."),
    ),
    Exercise(
        id="E6", title="Research: sentences instead of digits", stars=4, minutes=60,
        check=check_sentences, solution=solve_sentences,
        hints=(
            "`select_lambda`, `fit` and `dataset_derivative` of `diva.method`, in this order.",
            "Harmful means a positive derivative.",
        ),
    ),
)  # fmt: skip
