"""Exercises of the lesson: what is asked, how an answer is checked, hints, a reference answer, wrong answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from companion.lab.exercises import Exercise, NotYet, require_close
from companion.psa_gan import checks, judge
from companion.psa_gan.method import moment_loss, upsample

# ---------------------------------------------------------------- E1: fade by hand

OLD, NEW = torch.tensor([[1.0, 3.0, 2.0, 4.0]]), torch.tensor([[1.0, 2.0, 3.0, 3.0, 1.0, 2.0, 5.0, 4.0]])


def check_fade(answer: Callable[[Tensor, Tensor, float], Tensor]) -> None:
    """At both ends and between."""
    for alpha in (0.0, 0.25, 1.0):
        wanted = alpha * NEW + (1 - alpha) * upsample(OLD)
        require_close(answer(OLD, NEW, alpha), wanted, 1e-6, f"the output at alpha = {alpha:g}")


def solve_fade(old: Tensor, new: Tensor, alpha: float) -> Tensor:
    """A straight line from the old output, upsampled, to the new one."""
    return alpha * new + (1 - alpha) * old.repeat_interleave(2, dim=1)


def wrong_fade_turned(old: Tensor, new: Tensor, alpha: float) -> Tensor:
    """Fades out instead of in."""
    return (1 - alpha) * new + alpha * old.repeat_interleave(2, dim=1)


def wrong_fade_tiled(old: Tensor, new: Tensor, alpha: float) -> Tensor:
    """Puts the old output twice in a row instead of every hour twice."""
    return alpha * new + (1 - alpha) * old.repeat(1, 2)


# ---------------------------------------------------------------- E2: the Frechet distance


def check_frechet(answer: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]) -> None:
    """Against the package for covariances that commute and that do not, and that it is the same both ways."""
    zero, one = torch.zeros(6, dtype=torch.float64), torch.eye(6, dtype=torch.float64)
    require_close(answer(zero, 4 * one, zero + 1, one), 12.0, 1e-6, "for 4 x identity and identity, the distance")
    mu, sigma, other, tau = checks.matrices()
    wanted = float(judge.frechet(mu, sigma, other, tau))
    require_close(answer(mu, sigma, other, tau), wanted, 1e-6, "for covariances with other axes, the distance")
    require_close(answer(other, tau, mu, sigma), wanted, 1e-6, "the other way round, the distance")


def solve_frechet(mu: Tensor, sigma: Tensor, other_mu: Tensor, other_sigma: Tensor) -> Tensor:
    """The root of one covariance, then the eigenvalues of the product that is symmetric."""
    values, axes = torch.linalg.eigh(sigma)
    half = axes * values.clamp(min=0).sqrt() @ axes.T
    shared = torch.linalg.eigvalsh(half @ other_sigma @ half).clamp(min=0).sqrt().sum()
    return (mu - other_mu).square().sum() + sigma.trace() + other_sigma.trace() - 2 * shared


def wrong_frechet_axes(mu: Tensor, sigma: Tensor, other_mu: Tensor, other_sigma: Tensor) -> Tensor:
    """Pairs the eigenvalues in order, as if both covariances had the same axes."""
    values = [torch.linalg.eigvalsh(matrix).clamp(min=0).sqrt() for matrix in (sigma, other_sigma)]
    return (mu - other_mu).square().sum() + (values[0] - values[1]).square().sum()


def wrong_frechet_entries(mu: Tensor, sigma: Tensor, other_mu: Tensor, other_sigma: Tensor) -> Tensor:
    """Takes the root of every entry instead of the root of the matrix."""
    shared = (sigma @ other_sigma).clamp(min=0).sqrt().trace()
    return (mu - other_mu).square().sum() + sigma.trace() + other_sigma.trace() - 2 * shared


# ---------------------------------------------------------------- E3: the floor

SAMPLES, AXES = (64, 128, 256, 512, 1024), 8


def check_floor(answer: Callable[[int, int], float]) -> None:
    """Against the law; the answer must be the mean of many draws, or the law itself."""
    for n in (200, 800):
        law = 2 * AXES / n + AXES * (AXES + 1) / (2 * n)
        given = answer(n, AXES)
        require_close(given, law, 0.12 * law, f"the floor for two samples of {n} in {AXES} dimensions")


def solve_floor(n: int, d: int) -> float:
    """The mean score of many pairs of samples."""
    stream, found = torch.Generator().manual_seed(0), []
    for _ in range(60):
        x, y = torch.randn(2, n, d, generator=stream, dtype=torch.float64)
        found.append(float(judge.frechet(*judge.gaussian(x), *judge.gaussian(y))))
    return float(np.mean(found))


def wrong_floor_mean_alone(n: int, d: int) -> float:
    """Counts the distance of the means and forgets the covariances."""
    return 2 * d / n


def wrong_floor_zero(n: int, d: int) -> float:
    """Holds that equal distributions score nothing."""
    return 0.0


# ---------------------------------------------------------------- E4: what the moments miss


def check_blind(answer: Callable[[Tensor], Tensor]) -> None:
    """The moment loss must be nothing, the series another, and the values the same."""
    real = checks.conditions(32)[0]
    fake = answer(real)
    if not isinstance(fake, Tensor) or fake.shape != real.shape:
        raise NotYet("the answer must be a tensor of the shape of `real`.")
    if float(moment_loss(fake, real)) > 1e-9:
        raise NotYet(f"the moment loss sees it: {float(moment_loss(fake, real)):.2g}.")
    lag = [float(torch.corrcoef(torch.stack([x[:, 1:].flatten(), x[:, :-1].flatten()]))[0, 1]) for x in (fake, real)]
    if abs(lag[0] - lag[1]) < 0.2:
        raise NotYet(f"hours in a row are as alike as before (correlation {lag[0]:.2f} and {lag[1]:.2f}).")


def solve_blind(real: Tensor) -> Tensor:
    """The same hours in the order of their size: mean and spread stay, the course is another."""
    return real.sort(dim=1).values


def wrong_blind_level(real: Tensor) -> Tensor:
    """Moves the level, which the mean sees."""
    return real + 0.5


def wrong_blind_turned(real: Tensor) -> Tensor:
    """Backwards in time: neighbours stay neighbours."""
    return real.flip(1)


# ---------------------------------------------------------------- E5: fill a gap

GAP = slice(40, 64)


def gaps() -> tuple[Tensor, Tensor]:
    """Windows (20, 96) of a daily wave with its own noise, float64, and the made draws (20, 9, 96) to fill from."""
    stream = torch.Generator().manual_seed(2)
    hours = torch.arange(96, dtype=torch.float64)
    wave = torch.sin(2 * torch.pi * hours / 24) + 2 + 0.2 * torch.randn(20, 1, generator=stream, dtype=torch.float64)
    made = wave.unsqueeze(1) + 0.3 * torch.randn(20, 9, 96, generator=stream, dtype=torch.float64)
    made[:, 0] += 8  # one draw of nine is a stray
    return wave + 0.1 * torch.randn(20, 96, generator=stream, dtype=torch.float64), made


def check_gap(answer: Callable[[Tensor, Tensor], Tensor]) -> None:
    """The gap's error must be near that of the wave; the known hours must stay."""
    real, made = gaps()
    holed = real.clone()
    holed[:, GAP] = torch.nan
    filled = answer(holed.clone(), made)
    if not isinstance(filled, Tensor) or filled.shape != real.shape or bool(filled.isnan().any()):
        raise NotYet("the answer must be a tensor of the shape of `x` without NaN.")
    known = ~holed.isnan()
    if not torch.equal(filled[known], holed[known]):
        raise NotYet("hours that were known have changed.")
    error = float((filled - real)[~known].square().mean().sqrt())
    if error > 0.25:
        raise NotYet(f"the filled hours are off by {error:.2f}; the median of the made draws is nearer than 0.25.")


def solve_gap(x: Tensor, made: Tensor) -> Tensor:
    """The median of the made draws where nothing is known."""
    return torch.where(x.isnan(), made.median(1).values, x)


def wrong_gap_line(x: Tensor, made: Tensor) -> Tensor:
    """A straight line over the gap, which knows no day."""
    before, after = x[:, GAP.start - 1 : GAP.start], x[:, GAP.stop : GAP.stop + 1]
    steps = torch.linspace(0, 1, GAP.stop - GAP.start, dtype=x.dtype)
    filled = x.clone()
    filled[:, GAP] = before + (after - before) * steps
    return filled


def wrong_gap_mean(x: Tensor, made: Tensor) -> Tensor:
    """The mean of the draws, which one stray draw spoils."""
    return torch.where(x.isnan(), made.mean(1), x)


def wrong_gap_everywhere(x: Tensor, made: Tensor) -> Tensor:
    """Overwrites what was known."""
    return made.median(1).values


def _exercise(id: str, title: str, stars: int, minutes: int, statement: str, **parts: Any) -> Exercise:
    return Exercise(id, title, stars, minutes, statement, **parts)


EXERCISES = (
    _exercise(
        "E1", "Fade in", 1, 10,
        "Write `fade(old, new, alpha)`: the output while a level fades in. old is (n, l), what the net made before; "
        "new is (n, 2 l), what the new level makes; at alpha = 0 nothing may have changed, and at 1 the new level is "
        "alone.",
        check=check_fade, hints=("Upsample the old output: every hour twice.", "A straight line between the two."),
        solution=solve_fade, wrong=(wrong_fade_turned, wrong_fade_tiled),
    ),
    _exercise(
        "E2", "The Fréchet distance", 2, 25,
        "Write `distance(mu, sigma, other_mu, other_sigma)` of two Gaussians with `torch.linalg.eigh`, without a "
        "general matrix root. Two covariances need not have the same axes.",
        check=check_frechet,
        hints=("The root of a symmetric matrix: its eigenvectors, and the roots of its eigenvalues.",
               "tr (S T)^(1/2) = tr (S^(1/2) T S^(1/2))^(1/2), and what stands in there is symmetric."),
        solution=solve_frechet, wrong=(wrong_frechet_axes, wrong_frechet_entries),
    ),
    _exercise(
        "E3", "A score that is never zero", 2, 20,
        "Write `floor(n, d)`: the score that two samples of n from the same standard normal distribution in d "
        "dimensions get on average. Simulate it, or derive its first order. What does a paper owe its reader beside "
        "every score?",
        check=check_floor,
        hints=("`psa_gan.judge.gaussian` and `psa_gan.judge.frechet` are all you need.",
               "The means alone are 2 d / n apart; the covariances add d (d + 1) / (2 n)."),
        solution=solve_floor, wrong=(wrong_floor_mean_alone, wrong_floor_zero),
    ),
    _exercise(
        "E4", "What the moment loss cannot see", 2, 15,
        "Write `blind(real)`: other windows of the same shape, whose moment loss against `real` (n, l) is zero, and "
        "whose hours follow each other quite differently. So why does the discriminator have to stay?",
        check=check_blind, hints=("Mean and standard deviation do not know the order of the hours.",),
        solution=solve_blind, wrong=(wrong_blind_level, wrong_blind_turned),
    ),
    _exercise(
        "E5", "Research: fill a gap", 4, 90,
        "Write `fill(x, made)`: windows x (n, l) with NaN where a sensor failed, and made (n, k, l), k made windows "
        "for the same sensor and dates. Return x with the gaps filled; one made window in nine may be a stray. Then "
        "hide 50 hours of two sensors from *all* training, fill them with your own generator, and compare with the "
        "weekly profile.",
        check=check_gap, hints=("Which average does not care for one stray among nine?",),
        solution=solve_gap, wrong=(wrong_gap_line, wrong_gap_mean, wrong_gap_everywhere),
    ),
)  # fmt: skip
