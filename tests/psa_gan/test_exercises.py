"""PSA-GAN's exercises: plausible wrong answers are refused with a reason."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from companion.lab.exercises import NOT_YET, RIGHT, examine
from companion.psa_gan.exercises import EXERCISES, GAP


def wrong_fade_out(old: Tensor, new: Tensor, alpha: float) -> Tensor:
    """Fades out instead of in."""
    return (1 - alpha) * new + alpha * old.repeat_interleave(2, dim=1)


def wrong_fade_tiled(old: Tensor, new: Tensor, alpha: float) -> Tensor:
    """Repeats the whole old output instead of every hour."""
    return alpha * new + (1 - alpha) * old.repeat(1, 2)


def wrong_frechet_axes(mu: Tensor, sigma: Tensor, other_mu: Tensor, other_sigma: Tensor) -> Tensor:
    """Pairs the eigenvalues in order, as if both covariances had the same axes."""
    values = [torch.linalg.eigvalsh(matrix).clamp(min=0).sqrt() for matrix in (sigma, other_sigma)]
    return (mu - other_mu).square().sum() + (values[0] - values[1]).square().sum()


def wrong_frechet_entries(mu: Tensor, sigma: Tensor, other_mu: Tensor, other_sigma: Tensor) -> Tensor:
    """Takes the root of every entry instead of the root of the matrix."""
    shared = (sigma @ other_sigma).clamp(min=0).sqrt().trace()
    return (mu - other_mu).square().sum() + sigma.trace() + other_sigma.trace() - 2 * shared


def wrong_floor_mean_alone(n: int, d: int) -> float:
    """Includes the means and omits the covariances."""
    return 2 * d / n


def wrong_floor_zero(n: int, d: int) -> float:
    """Assumes that equal distributions have a score of 0."""
    return 0.0


def wrong_same_moments_level(real: Tensor) -> Tensor:
    """Changes the mean."""
    return real + 0.5


def wrong_same_moments_reversed(real: Tensor) -> Tensor:
    """Reverses time: successive hours stay successive."""
    return real.flip(1)


def wrong_gap_line(x: Tensor, generated: Tensor) -> Tensor:
    """A straight line over the gap, which ignores the daily pattern."""
    before, after = x[:, GAP.start - 1 : GAP.start], x[:, GAP.stop : GAP.stop + 1]
    steps = torch.linspace(0, 1, GAP.stop - GAP.start, dtype=x.dtype)
    filled = x.clone()
    filled[:, GAP] = before + (after - before) * steps
    return filled


def wrong_gap_mean(x: Tensor, generated: Tensor) -> Tensor:
    """The mean of the draws, which one outlier distorts."""
    return torch.where(x.isnan(), generated.mean(1), x)


def wrong_gap_everywhere(x: Tensor, generated: Tensor) -> Tensor:
    """Overwrites known hours."""
    return generated.median(1).values


WRONG = {
    "E1": (wrong_fade_out, wrong_fade_tiled),
    "E2": (wrong_frechet_axes, wrong_frechet_entries),
    "E3": (wrong_floor_mean_alone, wrong_floor_zero),
    "E4": (wrong_same_moments_level, wrong_same_moments_reversed),
    "E5": (wrong_gap_line, wrong_gap_mean, wrong_gap_everywhere),
}


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda exercise: exercise.id)
def test_wrong_answers_are_refused_and_the_solution_is_right(exercise) -> None:
    assert len(WRONG[exercise.id]) >= 2
    for answer in WRONG[exercise.id]:
        outcome = examine(exercise, answer)
        assert outcome.state == NOT_YET, answer
        assert "raised" not in outcome.reason, outcome.reason
    assert examine(exercise, exercise.solution).state == RIGHT
