"""Exercises of the lesson: what is asked, how an answer is checked, hints, a reference answer, wrong answers."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from companion.diva import checks, method
from companion.diva.backbones import one_hot
from companion.lab.exercises import Exercise, NotYet, require_close

LAM = checks.LAM

# ---------------------------------------------------------------- E1: leave-one-out from one fit


def check_loo(answer: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]) -> None:
    """Against refits, for weights that are zero, and others that are not one."""
    z, y, alpha, _ = checks.example()
    ridge = method.fit(z, y, alpha, LAM)
    own = (ridge.zc * z).sum(1)
    given = answer(y, y - ridge.residuals, own, alpha)
    require_close(given, checks.refitted(z, y, alpha, LAM), 1e-8, "the leave-one-out predictions")


def solve_loo(y: Tensor, fitted: Tensor, own: Tensor, alpha: Tensor) -> Tensor:
    """The residual, stretched by 1 / (1 - h)."""
    h = (alpha * own).unsqueeze(1)
    return (fitted - h * y) / (1 - h)


def wrong_loo_unweighted(y: Tensor, fitted: Tensor, own: Tensor, alpha: Tensor) -> Tensor:
    """Right where all weights are one: forgets alpha in the leverage."""
    h = own.unsqueeze(1)
    return (fitted - h * y) / (1 - h)


def wrong_loo_removed(y: Tensor, fitted: Tensor, own: Tensor, alpha: Tensor) -> Tensor:
    """Takes away what the example adds to its own prediction, and does not rescale the rest."""
    return fitted - (alpha * own).unsqueeze(1) * y


# ---------------------------------------------------------------- E2: the penalty's slope for nothing


def check_euler(answer: Callable[[Tensor, Tensor, float], Tensor]) -> None:
    """Against the derivative by lambda, worked out by itself."""
    z, y, alpha, judges = checks.example()
    for lam in (LAM, 3.0):
        ridge = method.fit(z, y, alpha, lam)
        given = answer(method.derivative(ridge, judges), alpha, lam)
        require_close(given, method.penalty_derivative(ridge, judges), 1e-8, f"the slope at lambda = {lam:g}")


def solve_euler(gradient: Tensor, alpha: Tensor, lam: float) -> Tensor:
    """Scaling alpha and lambda together changes nothing."""
    return -(alpha @ gradient) / lam


def wrong_euler_sign(gradient: Tensor, alpha: Tensor, lam: float) -> Tensor:
    """Forgets that the two slopes cancel."""
    return (alpha @ gradient) / lam


def wrong_euler_sum(gradient: Tensor, alpha: Tensor, lam: float) -> Tensor:
    """Adds the derivatives up as if all weights were one."""
    return -gradient.sum() / lam


# ---------------------------------------------------------------- E3: worth for a validation set


def check_validation(answer: Callable[[Tensor, Tensor, Tensor, float, Tensor, Tensor], Tensor]) -> None:
    """Against automatic differentiation."""
    z, y, alpha, _ = checks.example()
    z_val, y_val = z.flip(0)[:20] + 0.1, y[:20]
    free = alpha.clone().requires_grad_()
    loss = (z_val @ checks.solve(z, y, free, LAM) - y_val).square().sum()
    (wanted,) = torch.autograd.grad(loss, free)
    require_close(answer(z, y, alpha, LAM, z_val, y_val), wanted, 1e-8, "the derivative")


def solve_validation(z: Tensor, y: Tensor, alpha: Tensor, lam: float, z_val: Tensor, y_val: Tensor) -> Tensor:
    """Proposition 2 for squared errors."""
    ridge = method.fit(z, y, alpha, lam)
    return method.validation_derivative(ridge, z_val, 2 * (z_val @ method.weights(ridge) - y_val))


def wrong_validation_labels(z: Tensor, y: Tensor, alpha: Tensor, lam: float, z_val: Tensor, y_val: Tensor) -> Tensor:
    """Labels in place of residuals: as if the model had not fitted anything yet."""
    ridge = method.fit(z, y, alpha, lam)
    slopes = 2 * (z_val @ method.weights(ridge) - y_val)
    return ((ridge.zc @ (z_val.T @ slopes)) * y).sum(1)


def wrong_validation_sign(z: Tensor, y: Tensor, alpha: Tensor, lam: float, z_val: Tensor, y_val: Tensor) -> Tensor:
    """The slope of the error turned round: y - f in place of f - y."""
    return -solve_validation(z, y, alpha, lam, z_val, y_val)


# ---------------------------------------------------------------- E4: which augmentation helps


def check_shares(answer: Callable[[Tensor, Tensor], Tensor]) -> None:
    """Groups of unequal size: the mean weight must count, not the sum."""
    alpha = torch.tensor([1.0, 3.0, 0.0, 0.0, 2.0, 2.0, 2.0, 1.0], dtype=torch.float64)
    groups = torch.tensor([0, 0, 1, 1, 2, 2, 2, 3])
    given = answer(alpha, groups)
    require_close(given, torch.tensor([2.0, 0.0, 2.0, 1.0]) / 5, 1e-8, "the probabilities")


def solve_shares(alpha: Tensor, groups: Tensor) -> Tensor:
    """The share of the weight a group, for each of its copies, and then to one."""
    count = int(groups.max()) + 1
    mean = method.shares(alpha, groups, count) / torch.bincount(groups)
    return mean / mean.sum()


def wrong_shares_sum(alpha: Tensor, groups: Tensor) -> Tensor:
    """A transformation with more copies gets more probability."""
    return method.shares(alpha, groups, int(groups.max()) + 1)


def wrong_shares_count(alpha: Tensor, groups: Tensor) -> Tensor:
    """Counts who is left, whatever the weight."""
    return method.shares((alpha > 0).double(), groups, int(groups.max()) + 1)


# ---------------------------------------------------------------- E5: without the direction of the penalty


def check_project(answer: Callable[[Tensor, Tensor], Tensor]) -> None:
    """What is left must be orthogonal to alpha, and what was taken away must be parallel to it."""
    z, y, alpha, judges = checks.example()
    gradient = method.derivative(method.fit(z, y, alpha, LAM), judges)
    given = torch.as_tensor(answer(gradient, alpha), dtype=torch.float64)
    if given.shape != alpha.shape:
        raise NotYet(f"the projected derivative must have shape {tuple(alpha.shape)}.")
    if abs(float(given @ alpha)) > 1e-8:
        raise NotYet("a step along it still scales all weights together: its product with alpha is not zero.")
    require_close(given, gradient - (gradient @ alpha) / (alpha @ alpha) * alpha, 1e-8, "the projected derivative")


def solve_project(gradient: Tensor, alpha: Tensor) -> Tensor:
    """Take the part along alpha away."""
    return gradient - (gradient @ alpha) / (alpha @ alpha) * alpha


def wrong_project_mean(gradient: Tensor, alpha: Tensor) -> Tensor:
    """Right only where all weights are equal."""
    return gradient - gradient.mean()


def wrong_project_length(gradient: Tensor, alpha: Tensor) -> Tensor:
    """Divides by the length of alpha once, not twice."""
    return gradient - (gradient @ alpha) / alpha.norm() * alpha


# ---------------------------------------------------------------- E6: sentences


def sentences_in_small() -> tuple[Tensor, Tensor, Tensor]:
    """Stand-ins for sentence embeddings: z (120, 17) around four topics, labels (120,) of which 24 lie, who lies."""
    generator = torch.Generator().manual_seed(4)
    topics = torch.randn(4, 16, generator=generator, dtype=torch.float64)
    true = torch.arange(120) % 4
    z = topics[true] + 0.9 * torch.randn(120, 16, generator=generator, dtype=torch.float64)
    liars = torch.zeros(120, dtype=torch.bool)
    liars[torch.randperm(120, generator=generator)[:24]] = True
    given = torch.where(liars, (true + 1 + torch.arange(120) // 4 % 3) % 4, true)
    return torch.cat([z, torch.ones(120, 1, dtype=torch.float64)], dim=1), given, liars


def check_texts(answer: Callable[[Tensor, Tensor, int], Tensor]) -> None:
    """The very examples that the derivative calls most harmful at the penalty that leave-one-out chooses."""
    z, given, _ = sentences_in_small()
    out = torch.as_tensor(answer(z, given, 24))
    if out.shape != (120,) or out.dtype != torch.bool:
        raise NotYet("the answer must be a mask of shape (120,) of True and False.")
    if int(out.sum()) != 24:
        raise NotYet(f"24 examples must go, and the mask marks {int(out.sum())}.")
    missed = int((solve_texts(z, given, 24) & ~out).sum())
    if missed:
        raise NotYet(f"{missed} of the 24 most harmful examples are kept.")


def solve_texts(z: Tensor, given: Tensor, count: int) -> Tensor:
    """Nothing in the method knows that these were images."""
    y, ones = one_hot(given.numpy(), int(given.max()) + 1), torch.ones(len(z), dtype=z.dtype)
    lam = method.tune(z, y, ones, ones, [10.0**e for e in range(-2, 4)])
    gradient = method.derivative(method.fit(z, y, ones, lam), ones)
    return torch.zeros(len(z), dtype=torch.bool).index_fill(0, gradient.topk(count).indices, True)


def wrong_texts_helpful(z: Tensor, given: Tensor, count: int) -> Tensor:
    """Throws out the most helpful ones: the wrong end of the derivative."""
    y, ones = one_hot(given.numpy(), int(given.max()) + 1), torch.ones(len(z), dtype=z.dtype)
    gradient = method.derivative(method.fit(z, y, ones, 1.0), ones)
    return torch.zeros(len(z), dtype=torch.bool).index_fill(0, (-gradient).topk(count).indices, True)


def wrong_texts_first(z: Tensor, given: Tensor, count: int) -> Tensor:
    """Throws out the examples far from the middle: outliers, which are not the same as errors."""
    far = (z - z.mean(0)).square().sum(1)
    return torch.zeros(len(z), dtype=torch.bool).index_fill(0, far.topk(count).indices, True)


EXERCISES = (
    Exercise(
        id="E1",
        title="Leave-one-out from a single fit",
        stars=1,
        minutes=15,
        statement="Write `unseen(y, fitted, own, alpha)`: what the model would say of each example had it not seen it. "
        "y and fitted are (N, k), own holds the diagonal of H, alpha the weights, both (N,). It must be right "
        "at a weight of zero, too, where the printed formula is 0/0.",
        check=check_loo,
        hints=(
            "The leverage is h = alpha * own.",
            "An example of weight zero was never seen: h = 0 must change nothing.",
        ),
        solution=solve_loo,
        wrong=(wrong_loo_unweighted, wrong_loo_removed),
    ),
    Exercise(
        id="E2",
        title="A slope for nothing",
        stars=2,
        minutes=15,
        statement="Doubling all weights and the penalty together changes no prediction. Use that to write "
        "`penalty_slope(gradient, alpha, lam)`: the derivative of the leave-one-out loss by the penalty, from "
        "its derivatives (N,) by the weights alone.",
        check=check_euler,
        hints=(
            "L(c alpha, c lambda) does not depend on c: differentiate by c, and put c = 1.",
            "The sum over examples is weighted by alpha.",
        ),
        solution=solve_euler,
        wrong=(wrong_euler_sign, wrong_euler_sum),
    ),
    Exercise(
        id="E3",
        title="Worth for somebody else's data",
        stars=2,
        minutes=20,
        statement="Write `worth(z, y, alpha, lam, z_val, y_val)`: the derivative (N,) of the summed squared error on a "
        "validation set by the weight of each training example (Proposition 2). `diva.fit`, `diva.weights` and "
        "`diva.validation_derivative` may help.",
        check=check_validation,
        hints=(
            "The slope of |f - y|² at f is 2 (f - y).",
            "Each training example contributes through its own residual.",
        ),
        solution=solve_validation,
        wrong=(wrong_validation_labels, wrong_validation_sign),
    ),
    Exercise(
        id="E4",
        title="Which transformation helps",
        stars=2,
        minutes=20,
        statement="The paper tunes augmentation by adding transformed copies, re-weighing, and reading off how much "
        "weight each transformation has kept. Write `probabilities(alpha, groups)`, (groups,), summing to one: "
        "the *mean* weight of each group's copies, so that a transformation does not gain by having more of "
        "them. Then try it on flipped and shifted digits.",
        check=check_shares,
        hints=("`diva.shares` gives each group's part of the sum.", "`torch.bincount` counts the copies."),
        solution=solve_shares,
        wrong=(wrong_shares_sum, wrong_shares_count),
    ),
    Exercise(
        id="E5",
        title="Re-weighting that is not tuning the penalty",
        stars=3,
        minutes=30,
        statement="A step that scales all weights by one factor only changes the penalty. Write "
        "`without_scaling(gradient, alpha)`: the derivative with that direction removed, so that its product "
        "with alpha is zero. Then repeat the re-weighting with a penalty of 0.001: how much of the gain is left?",
        check=check_project,
        hints=("Project onto alpha, and subtract.", "The projection divides by alpha·alpha."),
        solution=solve_project,
        wrong=(wrong_project_mean, wrong_project_length),
    ),
    Exercise(
        id="E6",
        title="Research: sentences instead of digits",
        stars=4,
        minutes=60,
        statement="Nothing in the method knows of images. Write `weed(z, labels, count)`: given features (N, m) with a "
        "constant column and labels (N,), a mask (N,) of the `count` most harmful examples at the penalty that "
        "leave-one-out chooses. Then feed it sentence embeddings with wrong labels: does the ranking "
        "DIVA < leave-one-out error of claim C3 hold for texts, too?",
        check=check_texts,
        hints=("`diva.tune`, `diva.fit`, `diva.derivative`, in this order.", "Harmful means a positive derivative."),
        solution=solve_texts,
        wrong=(wrong_texts_helpful, wrong_texts_first),
    ),
)
