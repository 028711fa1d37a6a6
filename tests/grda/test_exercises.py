"""GRDA's exercises: plausible wrong answers are refused with a reason."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from companion.grda.exercises import EXERCISES, Gradients, Parameters
from companion.lab.exercises import NOT_YET, RIGHT, examine


def wrong_idle_mean(domains: int) -> float:
    """Omits the released code's factor N."""
    return math.log(2)


def wrong_idle_classes(domains: int) -> float:
    """The largest loss of a classifier of domains, as in DANN."""
    return math.log(domains)


def wrong_leak_order(labels: Tensor, batches: list[Tensor]) -> bool:
    """Flags a shared order, which alone does not leak, and misses shared classes."""
    return all(bool((rows == rows[:1]).all()) for rows in batches)


def wrong_leak_balance(labels: Tensor, batches: list[Tensor]) -> bool:
    """Flags batches whose classes are not balanced, which happens by chance."""
    domains = torch.arange(len(labels)).unsqueeze(1)
    return any(bool((labels[domains, rows].double().mean(1) != 0.5).any()) for rows in batches)


def wrong_gradients_shared(
    prediction_loss: Tensor, discriminator_loss: Tensor, lam: float, of_ef: Parameters, of_d: Parameters
) -> Gradients:
    """The released update: the second pass adds -lambda times D's gradient to D's."""
    gradients_d = torch.autograd.grad(discriminator_loss, of_d, retain_graph=True)
    both = torch.autograd.grad(prediction_loss - lam * discriminator_loss, [*of_ef, *of_d])
    return both[: len(of_ef)], [a + b for a, b in zip(gradients_d, both[len(of_ef) :], strict=True)]


def wrong_gradients_sign(
    prediction_loss: Tensor, discriminator_loss: Tensor, lam: float, of_ef: Parameters, of_d: Parameters
) -> Gradients:
    """The sign of lambda is wrong: E minimizes the discriminator's loss."""
    gradients_d = torch.autograd.grad(discriminator_loss, of_d, retain_graph=True)
    return torch.autograd.grad(prediction_loss + lam * discriminator_loss, of_ef), gradients_d


def wrong_synchronize_order(predictions: Tensor) -> Tensor:
    """One order for all domains, as in the released loader: sufficient only where samples are sorted by class."""
    return torch.randperm(predictions.shape[1]).expand(len(predictions), -1)


def wrong_synchronize_repeated(predictions: Tensor) -> Tensor:
    """Selects samples of the right class, some repeatedly."""
    classes = predictions[0]
    return torch.stack([(row.unsqueeze(0) == classes.unsqueeze(1)).int().argmax(1) for row in predictions])


WRONG = {
    "E1": (wrong_idle_mean, wrong_idle_classes),
    "E2": ([0, 1, 1, 1, 1, 3, 3, 3, 3, 5], list(range(10))),
    "E3": (wrong_leak_order, wrong_leak_balance),
    "E4": (wrong_gradients_shared, wrong_gradients_sign),
    "E5": (wrong_synchronize_order, wrong_synchronize_repeated),
}


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda exercise: exercise.id)
def test_wrong_answers_are_refused_and_the_solution_is_right(exercise) -> None:
    assert len(WRONG[exercise.id]) >= 2
    for answer in WRONG[exercise.id]:
        outcome = examine(exercise, answer)
        assert outcome.state == NOT_YET, answer
        assert "raised" not in outcome.reason, outcome.reason
    assert examine(exercise, exercise.solution).state == RIGHT
