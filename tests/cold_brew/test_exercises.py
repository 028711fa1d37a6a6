"""Cold Brew's exercises: plausible wrong answers are refused with a reason, and the solutions are right."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from companion.cold_brew.exercises import EXERCISES
from companion.lab.exercises import NOT_YET, RIGHT, examine


def wrong_fcr_one_branch(z_gnn: float, z_mlp: float, z_lp: float) -> float:
    """Forgets the branch in which the MLP is better than the GNN."""
    return 100 * (z_gnn - z_lp) / (2 * z_gnn - z_mlp - z_lp)


def wrong_fcr_silent(z_gnn: float, z_mlp: float, z_lp: float) -> float:
    """Right for Table 11, but never raises an error."""
    delta_mlp, delta_lp = abs(z_gnn - z_mlp), z_gnn - z_lp
    ratio = 100 * (delta_lp if z_mlp <= z_gnn else delta_mlp) / (delta_mlp + delta_lp)
    return ratio if z_mlp <= z_gnn else 100 + ratio


def wrong_attention_zero(queries: Tensor, memory: Tensor, k: int) -> Tensor:
    """Theta_K sets the others to zero instead of minus infinity."""
    scores = queries @ memory.T
    return (scores * (scores >= scores.topk(k).values[:, -1:])).softmax(-1) @ memory


def wrong_attention_late(queries: Tensor, memory: Tensor, k: int) -> Tensor:
    """Takes the softmax over all scores first, so that the K weights no longer sum to one."""
    weights, index = (queries @ memory.T).softmax(-1).topk(k)
    return (weights.unsqueeze(-1) * memory[index]).sum(1)


def wrong_purity_unlabeled(index: Tensor, key_labels: Tensor, query_labels: Tensor) -> float:
    """Counts unlabeled queries, and lets -1 agree with -1."""
    return float((key_labels[index] == query_labels.unsqueeze(1)).double().mean() * 100)


def wrong_purity_fraction(index: Tensor, key_labels: Tensor, query_labels: Tensor) -> float:
    """A fraction where percent was asked."""
    labeled = query_labels >= 0
    return float((key_labels[index[labeled]] == query_labels[labeled].unsqueeze(1)).double().mean())


def wrong_gate_strict(teacher: Tensor, student: Tensor, degrees: Tensor, m: int) -> Tensor:
    """Sends nodes of degree exactly m to the student."""
    return torch.where((degrees > m).unsqueeze(1), teacher, student)


def wrong_gate_swapped(teacher: Tensor, student: Tensor, degrees: Tensor, m: int) -> Tensor:
    """The student predicts for the well-connected nodes."""
    return torch.where((degrees >= m).unsqueeze(1), student, teacher)


def wrong_masked_late(queries: Tensor, memory: Tensor, k: int, own: Tensor) -> Tensor:
    """Removes the own row after the K best were selected, so that only K - 1 neighbors are left."""
    best, index = (queries @ memory.T).topk(k)
    best = best.masked_fill(index == own.unsqueeze(1), -torch.inf)
    return (best.softmax(-1).unsqueeze(-1) * memory[index]).sum(1)


def wrong_masked_zero(queries: Tensor, memory: Tensor, k: int, own: Tensor) -> Tensor:
    """Sets the own score to zero, which is still a score."""
    best, index = (queries @ memory.T).scatter(1, own.unsqueeze(1), 0.0).topk(k)
    return (best.softmax(-1).unsqueeze(-1) * memory[index]).sum(1)


WRONG = {
    "E1": (wrong_fcr_one_branch, wrong_fcr_silent),
    "E2": (wrong_attention_zero, wrong_attention_late),
    "E3": (wrong_purity_unlabeled, wrong_purity_fraction),
    "E4": (wrong_gate_strict, wrong_gate_swapped),
    "E5": (wrong_masked_late, wrong_masked_zero),
}


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda exercise: exercise.id)
def test_the_solution_is_right_and_wrong_answers_are_not(exercise):
    assert examine(exercise, exercise.solution).state == RIGHT
    assert len(WRONG[exercise.id]) >= 2
    for wrong in WRONG[exercise.id]:
        outcome = examine(exercise, wrong)
        assert outcome.state == NOT_YET, wrong
        assert outcome.reason
        assert "raised" not in outcome.reason, outcome.reason  # a plausible answer runs; it is wrong, not broken
