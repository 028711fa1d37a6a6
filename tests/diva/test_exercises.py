"""DIVA's exercises: plausible wrong answers are refused with a reason."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from companion.diva import exercises, method
from companion.diva.data import one_hot
from companion.diva.exercises import EXERCISES
from companion.lab.exercises import NOT_YET, RIGHT, examine


def wrong_loo_unweighted(y: Tensor, fitted: Tensor, own: Tensor, alpha: Tensor) -> Tensor:
    """Right where all weights are one: forgets alpha in the leverage."""
    h = own.unsqueeze(1)
    return (fitted - h * y) / (1 - h)


def wrong_loo_removed(y: Tensor, fitted: Tensor, own: Tensor, alpha: Tensor) -> Tensor:
    """Takes away what the example adds to its own prediction, and does not rescale the rest."""
    return fitted - (alpha * own).unsqueeze(1) * y


def wrong_lambda_sign(derivative: Tensor, alpha: Tensor, lam: float) -> Tensor:
    """Forgets that the two terms cancel."""
    return (alpha @ derivative) / lam


def wrong_lambda_sum(derivative: Tensor, alpha: Tensor, lam: float) -> Tensor:
    """Adds the derivatives up as if all weights were one."""
    return -derivative.sum() / lam


def wrong_validation_labels(z: Tensor, y: Tensor, alpha: Tensor, lam: float, z_val: Tensor, y_val: Tensor) -> Tensor:
    """Labels in place of residuals, as if the model predicted zero."""
    ridge = method.fit(z, y, alpha, lam)
    output_gradient = 2 * (z_val @ method.model_weights(ridge) - y_val)
    return ((ridge.zc @ (z_val.T @ output_gradient)) * y).sum(1)


def wrong_validation_sign(z: Tensor, y: Tensor, alpha: Tensor, lam: float, z_val: Tensor, y_val: Tensor) -> Tensor:
    """The gradient of the error with the wrong sign: y - f in place of f - y."""
    return -exercises.solve_validation(z, y, alpha, lam, z_val, y_val)


def wrong_shares_sum(alpha: Tensor, groups: Tensor) -> Tensor:
    """A transformation with more copies gets more probability."""
    return method.group_shares(alpha, groups, int(groups.max()) + 1)


def wrong_shares_count(alpha: Tensor, groups: Tensor) -> Tensor:
    """Counts the examples with positive weight, whatever the weight."""
    return method.group_shares((alpha > 0).double(), groups, int(groups.max()) + 1)


def wrong_projection_mean(derivative: Tensor, alpha: Tensor) -> Tensor:
    """Right only where all weights are equal."""
    return derivative - derivative.mean()


def wrong_projection_length(derivative: Tensor, alpha: Tensor) -> Tensor:
    """Divides by the length of alpha once, not twice."""
    return derivative - (derivative @ alpha) / alpha.norm() * alpha


def wrong_sentences_helpful(z: Tensor, labels: Tensor, count: int) -> Tensor:
    """Marks the most helpful examples: the wrong sign of the derivative."""
    y, ones = one_hot(labels.numpy(), int(labels.max()) + 1), torch.ones(len(z), dtype=z.dtype)
    derivative = method.dataset_derivative(method.fit(z, y, ones, 1.0), ones)
    return torch.zeros(len(z), dtype=torch.bool).index_fill(0, (-derivative).topk(count).indices, True)


def wrong_sentences_outliers(z: Tensor, labels: Tensor, count: int) -> Tensor:
    """Marks the examples far from the mean: outliers, which are not the same as errors."""
    far = (z - z.mean(0)).square().sum(1)
    return torch.zeros(len(z), dtype=torch.bool).index_fill(0, far.topk(count).indices, True)


WRONG = {
    "E1": (wrong_loo_unweighted, wrong_loo_removed),
    "E2": (wrong_lambda_sign, wrong_lambda_sum),
    "E3": (wrong_validation_labels, wrong_validation_sign),
    "E4": (wrong_shares_sum, wrong_shares_count),
    "E5": (wrong_projection_mean, wrong_projection_length),
    "E6": (wrong_sentences_helpful, wrong_sentences_outliers),
}


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda exercise: exercise.id)
def test_wrong_answers_are_refused_and_the_solution_is_right(exercise) -> None:
    assert len(WRONG[exercise.id]) >= 2
    for answer in WRONG[exercise.id]:
        outcome = examine(exercise, answer)
        assert outcome.state == NOT_YET, answer
        assert "raised" not in outcome.reason, outcome.reason
    assert examine(exercise, exercise.solution).state == RIGHT
