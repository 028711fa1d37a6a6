"""Users of whom everything is known: Hawkes processes by thinning, each beginning with a sign-up at time 0."""

from __future__ import annotations

import torch
from torch import Tensor


def simulate(weights: Tensor, scales: Tensor, users: int, until: float, generator: torch.Generator) -> Tensor:
    """Times (users, L) float64 of events in [0, until), padded with inf; weights (2J + 1,), scales (J,) as fitted.

    Ogata's thinning for all users at once: between events the intensity only falls, so that its present value bounds
    it; a proposal is kept with the share that is left of it.
    """
    j = len(scales)
    now, excited = torch.zeros(users, dtype=torch.float64), torch.zeros(users, j, dtype=torch.float64)
    events = [now.clone()]
    while bool((now < until).any()):
        bound = _rate(weights, scales, now, excited)
        wait = -torch.rand(users, generator=generator, dtype=torch.float64).log() / bound
        now, excited = now + wait, excited * torch.exp(-wait.unsqueeze(1) / scales)
        left = _rate(weights, scales, now, excited) / bound
        happened = (torch.rand(users, generator=generator, dtype=torch.float64) < left) & (now < until)
        excited = excited + happened.unsqueeze(1)
        events.append(torch.where(happened, now, torch.inf))
    times = torch.stack(events, 1).sort(1).values
    return times[:, : int(times.isfinite().sum(1).max())]


def _rate(weights: Tensor, scales: Tensor, now: Tensor, excited: Tensor) -> Tensor:
    """lambda of each user, (users,): self-excitation, sign-up, constant."""
    j = len(scales)
    sign_up = torch.exp(-now.unsqueeze(1) / scales) / scales
    return (excited / scales) @ weights[:j] + sign_up @ weights[j : 2 * j] + weights[-1]
