"""A world in which one can calculate what a relay gains: labels with noise, and a student that expresses part of it.

symbol     identifier  meaning
t (n,)     truth       the similarity that nobody shows, centred; the student can express it
e (n,)     -           what a labeller adds: variance `shared` (the same in all labellers) plus `own` (each its own)
P (n, n)   projection  onto what the student can express, r directions of n that contain t
K          labellers   how many labellers are averaged

A student that fits noisy labels y = t + e by least squares, among all that it can express, ends at P y = t + P e: the
part of the noise that it cannot express is gone, and the rest stays. A lopsided teacher is not mended by its student.
"""

from __future__ import annotations

import numpy as np


def projection(directions: np.ndarray) -> np.ndarray:
    """P (n, n), onto the span of the columns of `directions` (n, r)."""
    basis, _ = np.linalg.qr(directions)
    return basis @ basis.T


def student(labels: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """What a student makes of labels (n,) or (n, draws): the nearest that `directions` (n, r) can express."""
    return projection(directions) @ labels


def expected_correlation(own: float, shared: float = 0.0, labellers: int = 1, expressed: float = 1.0) -> float:
    """Correlation with the truth, whose variance is 1, of the mean of K labellers, or of a student of that mean.

    own, shared: variances of a labeller's own and of the shared noise. expressed: the share of the noise that the
    student can express, r / n for noise in all directions alike; 1 is the labels themselves.
    """
    return float(1 / np.sqrt(1 + expressed * (shared + own / labellers)))


def simulated(
    own: float, shared: float, labellers: int, expressed: int, pairs: int, draws: int, rng: np.random.Generator
) -> tuple[float, float]:
    """The same by drawing: (of the labels, of the student) over `draws` sets of n = `pairs` pairs and r = `expressed`.

    Correlations of all draws together, about zero, since truth and noise have mean zero.
    """
    truth = np.zeros((pairs, 1))
    truth[0] = np.sqrt(pairs)
    noise = np.sqrt(shared) * rng.standard_normal((pairs, draws))
    for _ in range(labellers):
        noise = noise + np.sqrt(own) / labellers * rng.standard_normal((pairs, draws))
    labels = truth + noise
    said = student(labels, np.eye(pairs)[:, :expressed])
    both = [
        float((each * truth).sum() / np.sqrt((each**2).sum() * (truth**2).sum() * draws)) for each in (labels, said)
    ]
    return both[0], both[1]


# ---------------------------------------------------------------- five pairs, by hand

TRUTH = np.array([-2.0, -1.0, 0.0, 1.0, 2.0])
HABIT = np.array([1.0, -2.0, 0.0, 2.0, -1.0])  # what the teacher adds; it does not lean on the truth


def toy_directions() -> tuple[np.ndarray, np.ndarray]:
    """What two students can express: a line over the pairs (5, 2), or a line and the first teacher's habit (5, 3)."""
    line = np.stack([np.ones(5), TRUTH], 1)
    return line, np.column_stack([line, HABIT])
