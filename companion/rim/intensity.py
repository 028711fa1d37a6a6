"""Activity: how many events a user will have, from when the last ones were. Time is counted in horizons.

symbol          identifier          shape
t_k             times               (U, L) float64, ascending, 0 first, padded with inf
1 / beta_j      scales              (J,) float64: how long a past event keeps exciting, in horizons
phi(x)          states, features    (U, 2J + 1), (U, L, 2J + 1): self-excitation by scale, sign-up by scale, constant
a, b, mu        weights             (2J + 1,) float64, none negative, in the order of phi
lambda(x)       states @ weights    (U,)
int phi         compensator         (U, 2J + 1): the integral of phi from the first event to T
N_x             counts              (U,): events in [T, T + 1)
"""

from __future__ import annotations

import torch
from torch import Tensor

TINY = 1e-300


def decay_scales(smallest: float, largest: float, count: int) -> Tensor:
    """`count` scales 1 / beta, evenly spaced in the logarithm, (J,)."""
    low, high = torch.tensor([smallest, largest], dtype=torch.float64).log10().tolist()
    return torch.logspace(low, high, count, dtype=torch.float64)


def excitation(times: Tensor, scales: Tensor) -> Tensor:
    """sum over 1 <= i < k of beta exp(-beta (t_k - t_i)) at every event k, (U, L, J), by recursion over the events.

    Event 0, the first, is no member of the sum: it has a channel of its own (`sign_up`).
    """
    gaps = torch.where(times[:, 1:].isfinite(), times[:, 1:] - times[:, :-1], torch.inf)
    fade = torch.exp(-gaps.unsqueeze(2) / scales)
    total = torch.zeros(len(times), len(scales), dtype=times.dtype, device=times.device)
    sums = [total]
    for k in range(times.shape[1] - 1):
        total = fade[:, k] * (total + float(k > 0))
        sums.append(total)
    return torch.stack(sums, 1) / scales


def sign_up(times: Tensor, scales: Tensor) -> Tensor:
    """beta exp(-beta (t - t_0)), where t_0 = 0: times (...) -> (..., J)."""
    return torch.exp(-times.unsqueeze(-1) / scales) / scales


def features(times: Tensor, scales: Tensor) -> Tensor:
    """phi just before every event, (U, L, 2J + 1)."""
    return _joined(excitation(times, scales), sign_up(times, scales))


def states(times: Tensor, scales: Tensor, at: float) -> Tensor:
    """phi at time `at`, (U, 2J + 1), from the events before it."""
    past = (times > 0) | (torch.arange(times.shape[1], device=times.device) > 0)
    ages = torch.where((times < at) & past, at - times, torch.inf)
    now = torch.full_like(times[:, 0], at)
    return _joined(sign_up(ages, scales).sum(1), sign_up(now, scales))


def compensator(times: Tensor, scales: Tensor, until: float) -> Tensor:
    """The integral of phi from time 0 to `until`, (U, 2J + 1): an event of age s has spent 1 - exp(-beta s)."""
    later = torch.arange(times.shape[1], device=times.device) > 0
    ages = torch.where((times < until) & later, until - times, 0.0)
    spent = -torch.expm1(-ages.unsqueeze(2) / scales)
    whole = torch.full_like(times[:, 0], until)
    first = -torch.expm1(-whole.unsqueeze(1) / scales)
    return torch.cat([spent.sum(1), first, whole.unsqueeze(1)], 1)


def _joined(excited: Tensor, signed: Tensor) -> Tensor:
    return torch.cat([excited, signed, torch.ones_like(excited[..., :1])], -1)


# ---------------------------------------------------------------- fitting


def log_likelihood(phi: Tensor, counts: Tensor, exposure: Tensor, weights: Tensor, ridge: float = 0.0) -> float:
    """sum_i y_i log(phi_i' w) - c' w - ridge |w|^2 / 2; phi (N, K), counts (N,), exposure (K,), weights (K,)."""
    rate = (phi @ weights).clamp(min=TINY)
    return float(counts @ rate.log() - exposure @ weights - ridge * weights @ weights / 2)


def em_step(phi: Tensor, counts: Tensor, exposure: Tensor, weights: Tensor, ridge: float = 0.0) -> Tensor:
    """One EM step: w_j <- w_j (sum_i y_i phi_ij / phi_i' w) / c_j; with a ridge, the root of c w + ridge w^2 = share.

    The share of event i that channel j explains is w_j phi_ij / phi_i' w. No step lowers the likelihood, and without
    a ridge sum_j c_j w_j, the expected count, is the observed count after every step.
    """
    share = weights * (phi.T @ (counts / (phi @ weights).clamp(min=TINY)))
    if ridge == 0:
        return torch.where(exposure > 0, share / exposure.clamp(min=TINY), 0.0)
    return 2 * share / (exposure + (exposure.square() + 4 * ridge * share).sqrt()).clamp(min=TINY)


def em(phi: Tensor, counts: Tensor, exposure: Tensor, steps: int, ridge: float = 0.0) -> Tensor:
    """Weights (K,) after `steps` EM steps from an even start."""
    weights = counts.sum() / exposure.clamp(min=TINY) / len(exposure)
    for _ in range(steps):
        weights = em_step(phi, counts, exposure, weights, ridge)
    return weights


def fit_hawkes(times: Tensor, scales: Tensor, until: float, steps: int) -> Tensor:
    """Hawkes: weights (2J + 1,) that make the events in (0, until) likeliest; the first event of a user is given."""
    inside = times < until
    inside[:, 0] = False
    phi = features(torch.where(times < until, times, torch.inf), scales)[inside]
    exposure = compensator(times, scales, until).sum(0)
    return em(phi, torch.ones_like(phi[:, 0]), exposure, steps)


def fit_hawkes_poisson(phi: Tensor, counts: Tensor, steps: int, ridge: float) -> Tensor:
    """Hawkes-Poisson: the same features of states, (n, 2J + 1), regressed on the counts of the next horizon, (n,).

    The ridge is per state, on features scaled to a mean of one.
    """
    scale = phi.mean(0).clamp(min=TINY)
    scaled = phi / scale
    return em(scaled, counts, scaled.sum(0), steps, ridge * len(phi)) / scale


def branching(weights: Tensor) -> float:
    """How many further events an event causes in the mean: the sum of a."""
    return float(weights[: (len(weights) - 1) // 2].sum())
