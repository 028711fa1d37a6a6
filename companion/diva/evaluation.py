"""Metrics: test accuracy, detection of wrong labels, the share of wrong labels among additions, runtime."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from sklearn.metrics import f1_score, roc_auc_score
from torch import Tensor

from companion.diva import method
from companion.diva.method import Ridge
from companion.lab.evidence import Measurement
from companion.lab.runtime import cpu_seconds

CLOSED_FORM, BRUTE_FORCE, DERIVATIVE = "closed form", "refits", "derivative"  # what is timed
REPEATS = 5  # of the closed form, which takes milliseconds; the best counts


def accuracy(ridge: Ridge, z_test: Tensor, labels: np.ndarray) -> float:
    """Percent of test features z_test (V, m) that the ridge assigns to their class, labels (V,)."""
    outputs = z_test @ method.model_weights(ridge)
    return float((outputs.argmax(1).cpu().numpy() == labels).mean() * 100)


def auc(wrong: np.ndarray, score: Tensor) -> float:
    """Area under the ROC curve in percent: how well a score (N,) separates wrong labels, (N,) bool, from correct."""
    return 100 * roc_auc_score(wrong, score.cpu().numpy())


def f1(wrong: np.ndarray, flagged: Tensor) -> float:
    """F1 score in percent of the flagged examples, (N,) bool, as a prediction of the wrong labels, (N,) bool."""
    return 100 * f1_score(wrong, flagged.cpu().numpy())


def wrong_share(wrong: np.ndarray, added: Tensor) -> float:
    """Percent of the added examples, (N,) bool, whose label is wrong, (N,) bool."""
    return 100 * float(wrong[added.cpu().numpy()].mean())


def log10_seconds(
    setting: str, seed: int, closed_form: Callable[[], Tensor], brute_force: Callable[[], Tensor]
) -> list[Measurement]:
    """log10 of the CPU seconds of the closed form (the best of REPEATS) and of the same numbers by brute force."""
    seconds = {
        CLOSED_FORM: min(cpu_seconds(closed_form) for _ in range(REPEATS)),
        BRUTE_FORCE: cpu_seconds(brute_force),
    }
    return [Measurement("log10 CPU seconds", name, setting, seed, float(np.log10(s))) for name, s in seconds.items()]


def exponent(sizes: Sequence[int], seconds: Sequence[float]) -> float:
    """The power of the size with which the seconds grow: the slope of a line through the logarithms."""
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])
