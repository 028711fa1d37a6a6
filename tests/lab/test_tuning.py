"""The choice of hyperparameters: every candidate is scored, the best mean wins, a diverged one cannot."""

import math

import pytest

from companion.errors import CompanionError
from companion.lab.tuning import best, grid, grid_search

CANDIDATES = {"GCN": {"lr 0.1": 0.1, "lr 0.01": 0.01}, "MLP": {"lr 1": 1.0}}


def test_the_grid_holds_every_combination():
    assert grid(lr=(1, 2), width=(8, 16)) == [
        {"lr": 1, "width": 8}, {"lr": 1, "width": 16}, {"lr": 2, "width": 8}, {"lr": 2, "width": 16},
    ]  # fmt: skip


def test_every_candidate_is_scored_and_the_best_mean_wins():
    rows = [
        row
        for seed in range(2)
        for row in grid_search(CANDIDATES, lambda method, lr, s=seed: lr * 10 + (1 - 2 * s) * 100, "accuracy", seed)
    ]
    assert [(row.method, row.setting) for row in rows[:3]] == [("GCN", "lr 0.1"), ("GCN", "lr 0.01"), ("MLP", "lr 1")]
    assert best(rows, "accuracy", "GCN") == "lr 0.1"
    assert best(rows, "accuracy", "GCN", higher_is_better=False) == "lr 0.01"


def test_a_candidate_that_diverged_once_cannot_win():
    scores = {0.1: math.nan, 0.01: 1.0}
    rows = grid_search({"GCN": CANDIDATES["GCN"]}, lambda method, lr: scores[lr], "accuracy", 0)
    assert best(rows, "accuracy", "GCN") == "lr 0.01"
    assert best(rows, "accuracy", "GCN", higher_is_better=False) == "lr 0.01"
    with pytest.raises(CompanionError, match="No candidate of 'GCN' has a finite 'accuracy'"):
        best(rows[:1], "accuracy", "GCN")
