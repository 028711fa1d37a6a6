"""What the closed forms cost: against refitting, against the size of the problem, and how much memory they take."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from companion.diva import method
from companion.lab.runtime import cpu_seconds, peak_megabytes
from companion.lab.evidence import Measurement

CLASSES = 10


def refit_each(z: Tensor, y: Tensor, alpha: Tensor, lam: float) -> Tensor:
    """What each example's label would be for a model refitted without it, (N, k): N Cholesky factorisations."""
    rows, penalty = [], lam * torch.eye(z.shape[1], dtype=z.dtype, device=z.device)
    for i in range(len(z)):
        without = alpha.clone()
        without[i] = 0.0
        weighted = without.unsqueeze(1) * z
        rows.append(z[i] @ torch.cholesky_solve(weighted.T @ y, torch.linalg.cholesky(z.T @ weighted + penalty)))
    return torch.stack(rows)


def derivative_by_steps(z: Tensor, y: Tensor, alpha: Tensor, lam: float, step: float = 1e-5) -> Tensor:
    """The derivative by forward differences of the closed form, (N,): N + 1 fits."""
    ones = torch.ones_like(alpha)
    losses = [method.loo_loss(method.fit(z, y, alpha, lam), ones)]
    for i in range(len(z)):
        moved = alpha.clone()
        moved[i] += step
        losses.append(method.loo_loss(method.fit(z, y, moved, lam), ones))
    return (torch.stack(losses[1:]) - losses[0]) / step


def loo_against_refits(z: Tensor, y: Tensor, seed: int, lam: float = 1.0) -> list[Measurement]:
    """log10 of CPU seconds for all leave-one-out predictions: in closed form (best of five), and by refitting."""
    ones = torch.ones_like(z[:, 0])
    closed = min(cpu_seconds(lambda: method.loo_predictions(method.fit(z, y, ones, lam))) for _ in range(5))
    return _logs("leave-one-out", seed, closed, cpu_seconds(lambda: refit_each(z, y, ones, lam)))


def derivative_against_steps(n: int, m: int, seed: int, lam: float = 1.0) -> list[Measurement]:
    """The same for all derivatives: in closed form, and by moving every weight a little and fitting again."""
    z, y, ones = example(n, m)
    closed = min(cpu_seconds(lambda: method.derivative(method.fit(z, y, ones, lam), ones)) for _ in range(5))
    return _logs(f"derivative, N = {n}", seed, closed, cpu_seconds(lambda: derivative_by_steps(z, y, ones, lam)))


def _logs(setting: str, seed: int, closed: float, refits: float) -> list[Measurement]:
    seconds = {"closed form": closed, "refits": refits}
    return [Measurement("CPU seconds", name, setting, seed, float(np.log10(s))) for name, s in seconds.items()]


def example(n: int, m: int) -> tuple[Tensor, Tensor, Tensor]:
    """Random features (n, m), ten classes (n, 10), weights of one (n,)."""
    z = torch.randn(n, m, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    y = torch.nn.functional.one_hot(torch.arange(n) % CLASSES, CLASSES).double()
    return z, y, torch.ones(n, dtype=torch.float64)


def derivative_seconds(n: int, m: int, repeats: int = 1) -> float:
    """CPU seconds of a fit and all its derivatives on random features (n, m)."""
    z, y, ones = example(n, m)
    return min(cpu_seconds(lambda: method.derivative(method.fit(z, y, ones, 1.0), ones)) for _ in range(repeats))


def growth(examples: Sequence[int], features: Sequence[int], seed: int, repeats: int) -> list[Measurement]:
    """CPU seconds at each number of examples (with the middle number of features), and the other way round."""
    n, m = examples[len(examples) // 2], features[len(features) // 2]
    rows = [Measurement("seconds", f"m = {m}", str(k), seed, derivative_seconds(k, m, repeats)) for k in examples]
    return rows + [
        Measurement("seconds", f"N = {n}", str(k), seed, derivative_seconds(n, k, repeats)) for k in features
    ]


def exponent(sizes: Sequence[int], seconds: Sequence[float]) -> float:
    """The power of the size with which the seconds grow: the slope of a line through the logarithms."""
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])


def largest(n: int, m: int, seed: int) -> list[Measurement]:
    """Seconds of one large derivative, and the peak memory of this process in MB afterwards."""
    seconds, setting = derivative_seconds(n, m), f"N = {n}, m = {m}"
    return [Measurement("seconds", "derivative", setting, seed, seconds),
            Measurement("peak MB", "derivative", setting, seed, peak_megabytes())]  # fmt: skip
