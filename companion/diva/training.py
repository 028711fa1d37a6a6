"""Every compared method: its score of the examples, and the training sets that result from the paper's procedures.

A training set is a vector alpha (N,) of example weights. Leave-one-out selects lambda again for each of them.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from companion.diva import baselines, method
from companion.diva.data import ExperimentData
from companion.diva.method import Ridge, Score

DIVA, LOO_ERROR, TRAINING_ERROR = "DIVA", "leave-one-out error", "training error"
CLEAN_DERIVATIVE, RANDOM, ORACLE = "derivative on clean data", "random", "oracle"
SIGN_FLIPPED, SHUFFLED, NO_RESIDUAL = "DIVA, sign flipped", "DIVA, shuffled", "DIVA, no residual"
METHODS = (
    DIVA, LOO_ERROR, TRAINING_ERROR, RANDOM, CLEAN_DERIVATIVE, ORACLE, SIGN_FLIPPED, SHUFFLED, NO_RESIDUAL,
)  # fmt: skip

# Training sets that only one procedure makes:
ALL_EXAMPLES, THRESHOLD = "all examples", "DIVA, threshold 0"  # Reject: nothing removed; Eq. 15 instead of a count
ONE_ROUND = {DIVA: "DIVA, one round", LOO_ERROR: "leave-one-out error, one round"}
STEP_SIZES = (0.0, 0.1, 0.2, 0.5, 1.0, 2.0)  # Reweight: the sweep of the figure
STEPS = {size: f"step {size:g}" for size in STEP_SIZES}
WHOLE_POOL = "whole pool"  # Extend: everything added


def scores(data: ExperimentData, seed: int) -> dict[str, Score]:
    """Method -> its score; each random method has its own stream of random numbers."""
    random, order = (torch.Generator().manual_seed(1000 * seed + i) for i in range(2))
    return {
        DIVA: method.dataset_derivative,
        LOO_ERROR: baselines.loo_error,
        TRAINING_ERROR: baselines.training_error,
        RANDOM: baselines.random_scores(random),
        CLEAN_DERIVATIVE: baselines.clean_derivative(data.z_clean, data.y_clean),
        ORACLE: baselines.true_errors(torch.from_numpy(data.wrong)),
        SIGN_FLIPPED: baselines.sign_flipped,
        SHUFFLED: baselines.shuffled(order),
        NO_RESIDUAL: baselines.without_residual,
    }


def fit(data: ExperimentData, alpha: Tensor, validation_weights: Tensor, lambdas: Sequence[float]) -> Ridge:
    """The ridge at the lambda that leave-one-out selects; alpha and validation_weights (N,)."""
    lam = method.select_lambda(data.z, data.y, alpha, validation_weights, lambdas)
    return method.fit(data.z, data.y, alpha, lam)


def rejected(data: ExperimentData, rounds: int, lambdas: Sequence[float], seed: int) -> dict[str, Tensor]:
    """Method -> alpha (N,) of 0 and 1 after removing as many of the most harmful examples as there are wrong labels.

    Besides: nothing removed, the paper's threshold (Eq. 15), and all of them removed in a single round.
    """
    count, ones = int(data.wrong.sum()), data.trusted
    flagged = method.reject(method.dataset_derivative(fit(data, ones, ones, lambdas), ones))
    sets = {ALL_EXAMPLES: ones, THRESHOLD: (~flagged).to(ones.dtype)}
    for name, score in scores(data, seed).items():
        sets[name] = method.reject_in_rounds(data.z, data.y, score, count, rounds, lambdas)
    for name, label in ONE_ROUND.items():
        sets[label] = method.reject_in_rounds(data.z, data.y, scores(data, seed)[name], count, 1, lambdas)
    return sets


def reweighted(data: ExperimentData, step_size: float, lambdas: Sequence[float], seed: int) -> dict[str, Tensor]:
    """Method -> alpha (N,) after one step of `step_size`: DIVA, two ablations, and DIVA with steps of other sizes."""
    ones = data.trusted
    derivative = method.dataset_derivative(fit(data, ones, ones, lambdas), ones)
    order = torch.randperm(len(derivative), generator=torch.Generator().manual_seed(seed))
    directions = {DIVA: derivative, SIGN_FLIPPED: -derivative, SHUFFLED: derivative[order]}
    sets = {name: method.reweight(ones, direction, step_size) for name, direction in directions.items()}
    return sets | {name: method.reweight(ones, derivative, size) for size, name in STEPS.items()}


def extended(
    data: ExperimentData, methods: Sequence[str], batch_size: int, rounds: int, lambdas: Sequence[float], seed: int
) -> dict[str, list[Tensor]]:
    """Method -> alpha (N,) of 0 and 1 before the first round of additions and after each."""
    return {
        name: method.extend(data.z, data.y, data.trusted, scores(data, seed)[name], batch_size, rounds, lambdas)
        for name in methods
    }
