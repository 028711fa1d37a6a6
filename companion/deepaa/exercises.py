"""Exercises of the lesson: checks, hints and reference answers. The statements stand in the notebook."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from companion.deepaa import method
from companion.lab.exercises import Exercise, NotYet, require_close

P, M, L = 7, 5, 4


def numbers(*shape: int, seed: int = 0) -> Tensor:
    """Normal numbers in double precision, always the same."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


GRADIENTS, REFERENCE = numbers(M, P), numbers(P, seed=1)
SHARES = torch.tensor([0.4, 0.3, 0.15, 0.1, 0.05], dtype=torch.float64)

# ---------------------------------------------------------------- E1: the reward, the long way


def check_reward(answer: Callable[[Tensor, Tensor, Tensor], Tensor]) -> None:
    """Against automatic differentiation of the cosine; and the policy's average must be zero."""
    for p in (SHARES, SHARES.flip(0)):
        probabilities = p.clone().requires_grad_()
        g = probabilities @ GRADIENTS
        (expected,) = torch.autograd.grad((g @ REFERENCE) / (g.norm() * REFERENCE.norm()), probabilities)
        computed = answer(GRADIENTS, p, REFERENCE)
        require_close(computed, expected, 1e-6, "the rewards")


def solve_reward(gradients: Tensor, p: Tensor, v: Tensor) -> Tensor:
    """Projections on u, the part of v across g."""
    g = p @ gradients
    u = v - (v @ g) / (g @ g) * g
    return gradients @ u / (v.norm() * g.norm())


# ---------------------------------------------------------------- E2: drawing from a policy

POLICY = torch.tensor([[0.5, 0.3, 0.2], [0.1, 0.1, 0.8]], dtype=torch.float64)
DRAWN, ERRORS = 20_000, 4.5


def check_draw(answer: Callable[[Tensor, int], Tensor]) -> None:
    """Frequencies of each layer, and of pairs, which must be independent, within 4.5 standard errors."""
    torch.manual_seed(0)
    try:
        choices = np.asarray(answer(POLICY, DRAWN))
    except (TypeError, ValueError, RuntimeError) as error:
        raise NotYet("the choices must be a tensor of whole numbers.") from error
    if choices.shape != (DRAWN, 2) or choices.dtype.kind not in "iu" or choices.min() < 0 or choices.max() > 2:
        raise NotYet(f"the choices must be whole numbers from 0 to 2 of shape {(DRAWN, 2)}: a row an image.")
    pairs = np.zeros((3, 3))
    np.add.at(pairs, (choices[:, 0], choices[:, 1]), 1 / DRAWN)
    expected = np.outer(POLICY[0], POLICY[1])
    off = np.abs(pairs - expected) / np.sqrt(expected * (1 - expected) / DRAWN)
    if off.max() > ERRORS:
        raise NotYet(f"how often a pair of candidates is drawn is off by {off.max():.1f} standard errors.")


def solve_draw(policy: Tensor, n: int) -> Tensor:
    """Every layer draws for every image."""
    return torch.multinomial(policy, n, replacement=True).T


# ---------------------------------------------------------------- E3: all rewards in one pass


def check_one_pass(answer: Callable[[Any, Tensor, Tensor, Tensor], Tensor]) -> None:
    """Losses that are not linear in w; they may be evaluated three times, not once a candidate."""
    calls = []

    def losses(w: Tensor) -> Tensor:
        calls.append(1)
        return (GRADIENTS @ w).tanh() + (w.square() * numbers(P, seed=4)).sum()

    w = numbers(P, seed=2)
    each = torch.autograd.functional.jacobian(losses, w)
    v, g = REFERENCE, SHARES @ each
    calls.clear()
    computed = answer(losses, w, v, g)
    require_close(computed, each @ method.orthogonal_part(v, g) / (v.norm() * g.norm()), 1e-6, "the rewards")
    if len(calls) > 3:
        raise NotYet(f"the losses were evaluated {len(calls)} times; one pass forward should do.")


def solve_one_pass(losses: Callable[[Tensor], Tensor], w: Tensor, v: Tensor, g: Tensor) -> Tensor:
    """Forward-mode differentiation along u."""
    u = v - (v @ g) / (g @ g) * g
    derivatives: Tensor = torch.func.jvp(losses, (w,), (u,))[1]
    return derivatives / (v.norm() * g.norm())


# ---------------------------------------------------------------- E4: reward agreement


def check_regularize(answer: Callable[[Tensor, float], Tensor]) -> None:
    """Prefixes are averaged first; the std is that of a population, over draws."""
    c = numbers(L, 3, M, seed=3)
    for kappa in (0.0, 0.5, 2.0):
        expected = c.mean(1).mean(0) - kappa * c.mean(1).std(0, correction=0)
        require_close(answer(c, kappa), expected, 1e-6, f"the rewards with kappa = {kappa:g}")


def solve_regularize(c: Tensor, kappa: float) -> Tensor:
    """Average over the prefixes, then penalize disagreement between draws."""
    each = c.mean(1)
    return each.mean(0) - kappa * each.std(0, correction=0)


# ---------------------------------------------------------------- E5: the class that suffers most


def check_worst(answer: Callable[[Tensor, Tensor], Tensor]) -> None:
    """Mean over the draws of a class, then the least over classes, for each candidate."""
    c, classes = numbers(6, M, seed=6), torch.tensor([3, 0, 3, 0, 3, 1])
    expected = torch.stack([c[classes == k].mean(0) for k in (0, 1, 3)]).amin(0)
    require_close(answer(c, classes), expected, 1e-6, "the rewards")


def solve_worst(c: Tensor, classes: Tensor) -> Tensor:
    """The smallest mean reward of a class."""
    return torch.stack([c[classes == k].mean(0) for k in classes.unique()]).amin(0)


EXERCISES = (
    Exercise(
        id="E1",
        title="The reward, the long way",
        stars=1,
        minutes=10,
        check=check_reward,
        hints=("g = p @ gradients.", "Only the part of v across g counts: u = v - (v·g / g·g) g."),
        solution=solve_reward,
    ),
    Exercise(
        id="E2",
        title="Drawing from a policy",
        stars=1,
        minutes=10,
        check=check_draw,
        hints=("`torch.multinomial` draws from every row of a table.", "Mind `replacement`, and transpose."),
        solution=solve_draw,
    ),
    Exercise(
        id="E3",
        title="All rewards in one pass",
        stars=2,
        minutes=20,
        check=check_one_pass,
        hints=("A gradient times a direction is a directional derivative.", "`torch.func.jvp(losses, (w,), (u,))`."),
        solution=solve_one_pass,
    ),
    Exercise(
        id="E4",
        title="Help everybody",
        stars=2,
        minutes=15,
        check=check_regularize,
        hints=("Average over the prefixes first.", "The standard deviation is that of a population."),
        solution=solve_regularize,
    ),
    Exercise(
        id="E5",
        title="Research: the class that suffers most",
        stars=4,
        minutes=60,
        check=check_worst,
        hints=("First a mean per class, then a minimum, for each candidate by itself.",),
        solution=solve_worst,
    ),
)
