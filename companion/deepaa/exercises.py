"""Exercises of the lesson: what is asked, how an answer is checked, hints, a reference answer, wrong answers."""

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
        free = p.clone().requires_grad_()
        g = free @ GRADIENTS
        (wanted,) = torch.autograd.grad((g @ REFERENCE) / (g.norm() * REFERENCE.norm()), free)
        given = answer(GRADIENTS, p, REFERENCE)
        require_close(given, wanted, 1e-6, "the rewards")


def solve_reward(gradients: Tensor, p: Tensor, v: Tensor) -> Tensor:
    """Projections on u, the part of v across g."""
    g = p @ gradients
    u = v - (v @ g) / (g @ g) * g
    return gradients @ u / (v.norm() * g.norm())


def wrong_reward_v(gradients: Tensor, p: Tensor, v: Tensor) -> Tensor:
    """Projects on v itself: the longer a gradient, the better."""
    g = p @ gradients
    return gradients @ v / (v.norm() * g.norm())


def wrong_reward_alone(gradients: Tensor, p: Tensor, v: Tensor) -> Tensor:
    """Each candidate's own cosine, as if it were applied to every image."""
    return gradients @ v / (v.norm() * gradients.norm(dim=1))


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
    wanted = np.outer(POLICY[0], POLICY[1])
    off = np.abs(pairs - wanted) / np.sqrt(wanted * (1 - wanted) / DRAWN)
    if off.max() > ERRORS:
        raise NotYet(f"how often a pair of candidates is drawn is off by {off.max():.1f} standard errors.")


def solve_draw(policy: Tensor, n: int) -> Tensor:
    """Every layer draws for every image."""
    return torch.multinomial(policy, n, replacement=True).T


def wrong_draw_batch(policy: Tensor, n: int) -> Tensor:
    """One draw for the whole batch."""
    return torch.multinomial(policy, 1).T.expand(n, -1)


def wrong_draw_same(policy: Tensor, n: int) -> Tensor:
    """The first layer's policy for both layers."""
    return torch.multinomial(policy[:1].expand(2, -1), n, replacement=True).T


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
    given = answer(losses, w, v, g)
    require_close(given, each @ method.across(v, g) / (v.norm() * g.norm()), 1e-6, "the rewards")
    if len(calls) > 3:
        raise NotYet(f"the losses were evaluated {len(calls)} times; one pass forward should do.")


def solve_one_pass(losses: Callable[[Tensor], Tensor], w: Tensor, v: Tensor, g: Tensor) -> Tensor:
    """Forward-mode differentiation along u."""
    u = v - (v @ g) / (g @ g) * g
    slopes: Tensor = torch.func.jvp(losses, (w,), (u,))[1]
    return slopes / (v.norm() * g.norm())


def wrong_one_pass_steps(losses: Callable[[Tensor], Tensor], w: Tensor, v: Tensor, g: Tensor) -> Tensor:
    """A difference along u with a step that is far too long."""
    u = v - (v @ g) / (g @ g) * g
    return (losses(w + 0.1 * u) - losses(w)) / 0.1 / (v.norm() * g.norm())


def wrong_one_pass_lengths(losses: Callable[[Tensor], Tensor], w: Tensor, v: Tensor, g: Tensor) -> Tensor:
    """Divides by the length of u, where those of v and g are due."""
    u = v - (v @ g) / (g @ g) * g
    slopes: Tensor = torch.func.jvp(losses, (w,), (u,))[1]
    return slopes / u.norm()


# ---------------------------------------------------------------- E4: help everybody


def check_regularise(answer: Callable[[Tensor, float], Tensor]) -> None:
    """Prefixes are averaged first; the std is that of a population, over draws."""
    c = numbers(L, 3, M, seed=3)
    for kappa in (0.0, 0.5, 2.0):
        wanted = c.mean(1).mean(0) - kappa * c.mean(1).std(0, correction=0)
        require_close(answer(c, kappa), wanted, 1e-6, f"the rewards with kappa = {kappa:g}")


def solve_regularise(c: Tensor, kappa: float) -> Tensor:
    """Prefixes are noise, draws are what must agree."""
    each = c.mean(1)
    return each.mean(0) - kappa * each.std(0, correction=0)


def wrong_regularise_all(c: Tensor, kappa: float) -> Tensor:
    """Counts the noise of the prefixes as disagreement."""
    return c.mean((0, 1)) - kappa * c.flatten(0, 1).std(0, correction=0)


def wrong_regularise_sample(c: Tensor, kappa: float) -> Tensor:
    """The std of a sample, which is larger."""
    each = c.mean(1)
    return each.mean(0) - kappa * each.std(0)


# ---------------------------------------------------------------- E5: the class that suffers most


def check_worst(answer: Callable[[Tensor, Tensor], Tensor]) -> None:
    """Mean over the draws of a class, then the least over classes, for each candidate."""
    c, classes = numbers(6, M, seed=6), torch.tensor([3, 0, 3, 0, 3, 1])
    wanted = torch.stack([c[classes == k].mean(0) for k in (0, 1, 3)]).amin(0)
    require_close(answer(c, classes), wanted, 1e-6, "the rewards")


def solve_worst(c: Tensor, classes: Tensor) -> Tensor:
    """What the worst-served class gets."""
    return torch.stack([c[classes == k].mean(0) for k in classes.unique()]).amin(0)


def wrong_worst_draw(c: Tensor, classes: Tensor) -> Tensor:
    """The worst draw: one odd image decides."""
    return c.amin(0)


def wrong_worst_class(c: Tensor, classes: Tensor) -> Tensor:
    """One class, the worst on average, decides about all candidates."""
    means = torch.stack([c[classes == k].mean(0) for k in classes.unique()])
    return means[means.mean(1).argmin()]


EXERCISES = (
    Exercise(
        id="E1",
        title="The reward, the long way",
        stars=1,
        minutes=10,
        statement="Write `reward(gradients, p, v)`: the derivative of cos(v, g) by each probability, (M,), where g is "
        "the mixture of the rows of gradients (M, P) by p (M,). Then convince yourself that `p @ reward(...)` is zero.",
        check=check_reward,
        hints=("g = p @ gradients.", "Only the part of v across g counts: u = v - (v·g / g·g) g."),
        solution=solve_reward,
        wrong=(wrong_reward_v, wrong_reward_alone),
    ),
    Exercise(
        id="E2",
        title="Drawing from a policy",
        stars=1,
        minutes=10,
        statement="Write `draw(policy, n)`: for n images the candidates of all layers, whole numbers of shape (n, K), "
        "from a policy (K, M). Each image draws for itself, each layer independently.",
        check=check_draw,
        hints=("`torch.multinomial` draws from every row of a table.", "Mind `replacement`, and transpose."),
        solution=solve_draw,
        wrong=(wrong_draw_batch, wrong_draw_same),
    ),
    Exercise(
        id="E3",
        title="All rewards in one pass",
        stars=2,
        minutes=20,
        statement="Write `rewards(losses, w, v, g)`: what E1 computes, but without any candidate's gradient. losses "
        "maps w (P,) to M losses; v and g (P,) are given. You may evaluate the losses three times at most.",
        check=check_one_pass,
        hints=("A gradient times a direction is a slope along it.", "`torch.func.jvp(losses, (w,), (u,))`."),
        solution=solve_one_pass,
        wrong=(wrong_one_pass_steps, wrong_one_pass_lengths),
    ),
    Exercise(
        id="E4",
        title="Help everybody",
        stars=2,
        minutes=15,
        statement="Write `regularise(c, kappa)` for rewards c of shape (draws, prefixes, M): the mean minus kappa "
        "times the standard deviation. What must agree are the draws (classes and images); prefixes are only noise.",
        check=check_regularise,
        hints=("Average over the prefixes first.", "The standard deviation is that of a population."),
        solution=solve_regularise,
        wrong=(wrong_regularise_all, wrong_regularise_sample),
    ),
    Exercise(
        id="E5",
        title="Research: the class that suffers most",
        stars=4,
        minutes=60,
        statement="The std is one way to ask that all classes agree. Write `worst(c, classes)` for rewards c (L, M) "
        "and the draws' classes (L,): per candidate the least over classes of the mean reward of a class. Then search "
        "a second layer with it: does it stop at identity as well, and what does accuracy say?",
        check=check_worst,
        hints=("First a mean per class, then a minimum, for each candidate by itself.",),
        solution=solve_worst,
        wrong=(wrong_worst_draw, wrong_worst_class),
    ),
)
