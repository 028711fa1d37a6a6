"""GIANT's exercises: plausible wrong answers are refused with a reason."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from companion.giant.exercises import EXERCISES, solve_pifa
from companion.lab.exercises import NOT_YET, RIGHT, examine


def wrong_pifa_plain_sum(links: np.ndarray, features: np.ndarray) -> np.ndarray:
    """Forgets that an instance with many labels counts less for each."""
    total = links.T @ features
    length = np.linalg.norm(total, axis=1, keepdims=True)
    return total / np.where(length > 0, length, 1)


def wrong_pifa_own_text(links: np.ndarray, features: np.ndarray) -> np.ndarray:
    """Lets a node's own text in."""
    return solve_pifa(links + np.eye(len(links)), features)


def wrong_coarse_all(counts: Tensor, children: int) -> Tensor:
    """Asks for all children."""
    return (counts.view(len(counts), -1, children) > 0).all(2).float()


def wrong_coarse_counts(counts: Tensor, children: int) -> Tensor:
    """Gives the counts, which are the weights, and not the targets."""
    return counts.view(len(counts), -1, children).sum(2)


def wrong_split_unbalanced(vectors: Tensor) -> Tensor:
    """Plain 2-means: each row goes to the nearer of two rows."""
    return (vectors @ vectors[0] < vectors @ vectors[1]).long()


def wrong_split_by_number(vectors: Tensor) -> Tensor:
    """Balanced, but whatever the vectors are."""
    return (torch.arange(len(vectors)) % 2).long()


def wrong_inductive_targets(pairs: np.ndarray, nodes: int, hidden: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Hides the instances and leaves their links in the targets."""
    return pairs, np.setdiff1d(np.unique(pairs), hidden)


def wrong_inductive_isolated(pairs: np.ndarray, nodes: int, hidden: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Keeps instances that have no neighbor left: negatives alone would push them away from everything."""
    return pairs[:, ~np.isin(pairs, hidden).any(axis=0)], np.setdiff1d(np.arange(nodes), hidden)


def wrong_crossover_no_mixing(signal: float, noise: float, homophily: float) -> int:
    """Forgets that neighbors of the other class spread the mean as well."""
    return int(np.floor(1 / homophily**2)) + 1


def wrong_crossover_first_power(signal: float, noise: float, homophily: float) -> int:
    """m instead of its square."""
    return int(np.floor((1 + (1 - homophily) * (signal / noise) ** 2) / homophily)) + 1


WRONG = {
    "E1": (wrong_pifa_plain_sum, wrong_pifa_own_text),
    "E2": (wrong_coarse_all, wrong_coarse_counts),
    "E3": (wrong_split_unbalanced, wrong_split_by_number),
    "E4": (wrong_inductive_targets, wrong_inductive_isolated),
    "E5": (wrong_crossover_no_mixing, wrong_crossover_first_power),
}


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda exercise: exercise.id)
def test_wrong_answers_are_refused_and_the_solution_is_right(exercise) -> None:
    assert len(WRONG[exercise.id]) >= 2
    for answer in WRONG[exercise.id]:
        outcome = examine(exercise, answer)
        assert outcome.state == NOT_YET, answer
        assert "raised" not in outcome.reason, outcome.reason
    assert examine(exercise, exercise.solution).state == RIGHT
