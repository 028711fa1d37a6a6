"""Deep AutoAugment's exercises: plausible wrong answers are refused with a reason."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from companion.deepaa.exercises import EXERCISES
from companion.lab.exercises import NOT_YET, RIGHT, examine


def wrong_reward_v(gradients: Tensor, p: Tensor, v: Tensor) -> Tensor:
    """Projects on v itself: the longer a gradient, the better."""
    g = p @ gradients
    return gradients @ v / (v.norm() * g.norm())


def wrong_reward_alone(gradients: Tensor, p: Tensor, v: Tensor) -> Tensor:
    """Each candidate's own cosine, as if it were applied to every image."""
    return gradients @ v / (v.norm() * gradients.norm(dim=1))


def wrong_draw_batch(policy: Tensor, n: int) -> Tensor:
    """One draw for the whole batch."""
    return torch.multinomial(policy, 1).T.expand(n, -1)


def wrong_draw_same(policy: Tensor, n: int) -> Tensor:
    """The first layer's policy for both layers."""
    return torch.multinomial(policy[:1].expand(2, -1), n, replacement=True).T


def wrong_one_pass_steps(losses: Callable[[Tensor], Tensor], w: Tensor, v: Tensor, g: Tensor) -> Tensor:
    """A difference along u with a step that is far too long."""
    u = v - (v @ g) / (g @ g) * g
    return (losses(w + 0.1 * u) - losses(w)) / 0.1 / (v.norm() * g.norm())


def wrong_one_pass_lengths(losses: Callable[[Tensor], Tensor], w: Tensor, v: Tensor, g: Tensor) -> Tensor:
    """Divides by the length of u, where those of v and g are due."""
    u = v - (v @ g) / (g @ g) * g
    derivatives: Tensor = torch.func.jvp(losses, (w,), (u,))[1]
    return derivatives / u.norm()


def wrong_regularize_all(c: Tensor, kappa: float) -> Tensor:
    """Counts the noise of the prefixes as disagreement."""
    return c.mean((0, 1)) - kappa * c.flatten(0, 1).std(0, correction=0)


def wrong_regularize_sample(c: Tensor, kappa: float) -> Tensor:
    """The std of a sample, which is larger."""
    each = c.mean(1)
    return each.mean(0) - kappa * each.std(0)


def wrong_worst_draw(c: Tensor, classes: Tensor) -> Tensor:
    """The worst draw: one odd image decides."""
    return c.amin(0)


def wrong_worst_class(c: Tensor, classes: Tensor) -> Tensor:
    """One class, the worst on average, decides about all candidates."""
    means = torch.stack([c[classes == k].mean(0) for k in classes.unique()])
    return means[means.mean(1).argmin()]


WRONG = {
    "E1": (wrong_reward_v, wrong_reward_alone),
    "E2": (wrong_draw_batch, wrong_draw_same),
    "E3": (wrong_one_pass_steps, wrong_one_pass_lengths),
    "E4": (wrong_regularize_all, wrong_regularize_sample),
    "E5": (wrong_worst_draw, wrong_worst_class),
}


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda exercise: exercise.id)
def test_wrong_answers_are_refused_and_the_solution_is_right(exercise) -> None:
    assert len(WRONG[exercise.id]) >= 2
    for answer in WRONG[exercise.id]:
        outcome = examine(exercise, answer)
        assert outcome.state == NOT_YET, answer
        assert "raised" not in outcome.reason, outcome.reason
    assert examine(exercise, exercise.solution).state == RIGHT
