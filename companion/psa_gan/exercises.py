"""Exercises of the lesson: checks, hints and reference answers. The statements stand in the notebook."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from companion.lab.exercises import Exercise, NotYet, require_close
from companion.psa_gan import checks, evaluation
from companion.psa_gan.method import moment_loss, upsample

# ---------------------------------------------------------------- E1: fade by hand

OLD, NEW = torch.tensor([[1.0, 3.0, 2.0, 4.0]]), torch.tensor([[1.0, 2.0, 3.0, 3.0, 1.0, 2.0, 5.0, 4.0]])


def check_fade(answer: Callable[[Tensor, Tensor, float], Tensor]) -> None:
    """At both ends and between."""
    for alpha in (0.0, 0.25, 1.0):
        expected = alpha * NEW + (1 - alpha) * upsample(OLD)
        require_close(answer(OLD, NEW, alpha), expected, 1e-6, f"the output at alpha = {alpha:g}")


def solve_fade(old: Tensor, new: Tensor, alpha: float) -> Tensor:
    """Linear interpolation from the old output, upsampled, to the new one."""
    return alpha * new + (1 - alpha) * old.repeat_interleave(2, dim=1)


# ---------------------------------------------------------------- E2: the Frechet distance


def check_frechet(answer: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]) -> None:
    """Against the package for covariances that commute and that do not, and that it is the same both ways."""
    zero, one = torch.zeros(6, dtype=torch.float64), torch.eye(6, dtype=torch.float64)
    require_close(answer(zero, 4 * one, zero + 1, one), 12.0, 1e-6, "for 4 x identity and identity, the distance")
    mu, sigma, other, tau = checks.matrices()
    expected = float(evaluation.frechet(mu, sigma, other, tau))
    require_close(answer(mu, sigma, other, tau), expected, 1e-6, "for covariances with other axes, the distance")
    require_close(answer(other, tau, mu, sigma), expected, 1e-6, "with the arguments exchanged, the distance")


def solve_frechet(mu: Tensor, sigma: Tensor, other_mu: Tensor, other_sigma: Tensor) -> Tensor:
    """The root of one covariance, then the eigenvalues of the product that is symmetric."""
    values, axes = torch.linalg.eigh(sigma)
    half = axes * values.clamp(min=0).sqrt() @ axes.T
    shared = torch.linalg.eigvalsh(half @ other_sigma @ half).clamp(min=0).sqrt().sum()
    return (mu - other_mu).square().sum() + sigma.trace() + other_sigma.trace() - 2 * shared


# ---------------------------------------------------------------- E3: the floor

SAMPLES, AXES = (64, 128, 256, 512, 1024), 8


def check_floor(answer: Callable[[int, int], float]) -> None:
    """Against theory; the answer must be the mean of many draws, or the formula."""
    for n in (200, 800):
        theory = 2 * AXES / n + AXES * (AXES + 1) / (2 * n)
        computed = answer(n, AXES)
        require_close(computed, theory, 0.12 * theory, f"the floor for two samples of {n} in {AXES} dimensions")


def solve_floor(n: int, d: int) -> float:
    """The mean score of many pairs of samples."""
    stream, scores = torch.Generator().manual_seed(0), []
    for _ in range(60):
        x, y = torch.randn(2, n, d, generator=stream, dtype=torch.float64)
        scores.append(float(evaluation.frechet(*evaluation.gaussian(x), *evaluation.gaussian(y))))
    return float(np.mean(scores))


# ---------------------------------------------------------------- E4: what the moments do not measure


def check_same_moments(answer: Callable[[Tensor], Tensor]) -> None:
    """The moment loss must be zero and the autocorrelation different."""
    real = checks.conditions(32)[0]
    fake = answer(real)
    if not isinstance(fake, Tensor) or fake.shape != real.shape:
        raise NotYet("the answer must be a tensor of the shape of `real`.")
    if float(moment_loss(fake, real)) > 1e-9:
        raise NotYet(f"the moment loss is not zero: {float(moment_loss(fake, real)):.2g}.")
    lag = [float(torch.corrcoef(torch.stack([x[:, 1:].flatten(), x[:, :-1].flatten()]))[0, 1]) for x in (fake, real)]
    if abs(lag[0] - lag[1]) < 0.2:
        raise NotYet(f"the correlation of successive hours is too similar (correlation {lag[0]:.2f} and {lag[1]:.2f}).")


def solve_same_moments(real: Tensor) -> Tensor:
    """The same hours in the order of their size: mean and standard deviation are equal, the order is not."""
    return real.sort(dim=1).values


# ---------------------------------------------------------------- E5: fill a gap

GAP = slice(40, 64)


def gaps() -> tuple[Tensor, Tensor]:
    """Windows (20, 96) of a daily wave with its own noise, float64, and generated draws (20, 9, 96) for its gaps."""
    stream = torch.Generator().manual_seed(2)
    hours = torch.arange(96, dtype=torch.float64)
    wave = torch.sin(2 * torch.pi * hours / 24) + 2 + 0.2 * torch.randn(20, 1, generator=stream, dtype=torch.float64)
    generated = wave.unsqueeze(1) + 0.3 * torch.randn(20, 9, 96, generator=stream, dtype=torch.float64)
    generated[:, 0] += 8  # one draw of nine is an outlier
    return wave + 0.1 * torch.randn(20, 96, generator=stream, dtype=torch.float64), generated


def check_gap(answer: Callable[[Tensor, Tensor], Tensor]) -> None:
    """The error in the gap must be near that of the wave; known hours must not change."""
    real, generated = gaps()
    with_gaps = real.clone()
    with_gaps[:, GAP] = torch.nan
    filled = answer(with_gaps.clone(), generated)
    if not isinstance(filled, Tensor) or filled.shape != real.shape or bool(filled.isnan().any()):
        raise NotYet("the answer must be a tensor of the shape of `x` without NaN.")
    known = ~with_gaps.isnan()
    if not torch.equal(filled[known], with_gaps[known]):
        raise NotYet("known hours have changed.")
    error = float((filled - real)[~known].square().mean().sqrt())
    if error > 0.25:
        raise NotYet(f"the filled hours are off by {error:.2f}; the median of the generated draws is within 0.25.")


def solve_gap(x: Tensor, generated: Tensor) -> Tensor:
    """The median of the generated draws where nothing is known."""
    return torch.where(x.isnan(), generated.median(1).values, x)


EXERCISES = (
    Exercise(
        id="E1",
        title="Fade in",
        stars=1,
        minutes=10,
        check=check_fade,
        hints=("Upsample the old output: every hour twice.", "A linear interpolation of the two."),
        solution=solve_fade,
    ),
    Exercise(
        id="E2",
        title="The Fréchet distance",
        stars=2,
        minutes=25,
        check=check_frechet,
        hints=(
            "The root of a symmetric matrix: its eigenvectors, and the roots of its eigenvalues.",
            "tr (S T)^(1/2) = tr (S^(1/2) T S^(1/2))^(1/2), and the matrix in the second root is symmetric.",
        ),
        solution=solve_frechet,
    ),
    Exercise(
        id="E3",
        title="A score that is never zero",
        stars=2,
        minutes=20,
        check=check_floor,
        hints=(
            "`psa_gan.evaluation.gaussian` and `psa_gan.evaluation.frechet` are all you need.",
            "The means contribute 2 d / n; the covariances add d (d + 1) / (2 n).",
        ),
        solution=solve_floor,
    ),
    Exercise(
        id="E4",
        title="What the moment loss cannot see",
        stars=2,
        minutes=15,
        check=check_same_moments,
        hints=("Mean and standard deviation do not depend on the order of the hours.",),
        solution=solve_same_moments,
    ),
    Exercise(
        id="E5",
        title="Research: fill a gap",
        stars=4,
        minutes=90,
        check=check_gap,
        hints=("Which average is not changed by one outlier among nine?",),
        solution=solve_gap,
    ),
)
