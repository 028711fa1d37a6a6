"""Metrics of a prediction: R^2 of every factor, R^2 with one factor out of range, and summaries over approaches."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from companion.lab.evidence import Measurement
from companion.visual_generalization import method
from companion.visual_generalization.data import TestImages
from companion.visual_generalization.method import COMPOSITION, EXTRAPOLATION, INTERPOLATION, RANDOM, Grid

R2, R2_LOST, DISTANCE = "R2", "R2 lost", "share of the distance"
OTHERS = "others"
SMALLEST, LARGEST, ZERO = "smallest over approaches", "largest over approaches", "zero"


def factor_scores(
    prediction: Tensor, test: TestImages, grid: Grid, name: str, setting: str, seed: int
) -> list[Measurement]:
    """R^2 of every factor, its mean over all factors and over those of V; prediction (B, F)."""
    scores = method.scores(prediction, test.targets, grid)
    return [Measurement(f"{R2}, {factor}", name, setting, seed, value) for factor, value in scores.items()]


def only(factor: str, split: str) -> str:
    """The name of the setting in which one factor is out of range."""
    return f"{split}, only {factor}"


def single_factor_scores(
    prediction: Tensor, clamped: Tensor, test: TestImages, grid: Grid, j: int, name: str, setting: str, seed: int
) -> list[Measurement]:
    """Scores with factor j out of range: all R^2, the mean over the other factors of V, and how far j is followed.

    prediction, clamped (B, F). The share of the distance is 0 for a prediction clamped to the last training value and 1
    for the true value.
    """
    scores = method.r_squared(prediction, test.targets, grid)
    others = [k for k in grid.varied if k != j]
    moved, distance = (prediction - clamped)[:, j].mean(), (test.targets - clamped)[:, j].mean()
    share = float(moved / distance) if abs(float(distance)) > 1e-6 else 0.0
    return [
        *factor_scores(prediction, test, grid, name, setting, seed),
        Measurement(f"{R2}, {OTHERS}", name, setting, seed, float(scores[others].mean())),
        Measurement(DISTANCE, name, setting, seed, share),
    ]


def over_approaches(
    measurements: Sequence[Measurement], approaches: Sequence[str], factors: Sequence[str], seed: int
) -> list[Measurement]:
    """The smallest and largest loss against the random split, and the smallest and largest R^2 in composition."""
    table = {(m.metric, m.method, m.setting): m.value for m in measurements}
    ordered = f"{R2}, ordered"
    groups = {
        (R2_LOST, split): [table[ordered, name, RANDOM] - table[ordered, name, split] for name in approaches]
        for split in (INTERPOLATION, EXTRAPOLATION, COMPOSITION)
    }
    groups |= {
        (f"{R2}, {factor}", COMPOSITION): [table[f"{R2}, {factor}", name, COMPOSITION] for name in approaches]
        for factor in factors
    }
    return [
        Measurement(metric, name, setting, seed, value)
        for (metric, setting), values in groups.items()
        for name, value in ((SMALLEST, min(values)), (LARGEST, max(values)), (ZERO, 0.0))
    ]
