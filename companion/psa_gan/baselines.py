"""What PSA-GAN is measured against: a recurrent conditional GAN with the same losses, and a method without a network.

The pyramid without growth or without attention is the method itself with a switch, see `arms`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from companion.psa_gan.method import Condition, Maker, stretched

DAY, WEEK = 24, 168


class RecurrentGenerator(Maker):
    """RCGAN's generator: a GRU that gets the condition and fresh noise at every hour."""

    def __init__(self, series: int, width: int) -> None:
        super().__init__()
        self.condition = Condition(series)
        self.gru = nn.GRU(self.condition.width + 1, width, batch_first=True)
        self.out = nn.Linear(width, 1)

    def noise(self, size: int, hours: int, generator: torch.Generator) -> Tensor:
        """z (size, hours, 1)."""
        return torch.randn(size, hours, 1, generator=generator)

    def forward(
        self, phi: Tensor, series: Tensor, z: Tensor, alpha: float = 1.0, context: Tensor | None = None
    ) -> Tensor:
        """x-hat (b, l) for phi (b, l, 8), series (b,), z (b, l, 1); it neither grows nor is told what was before."""
        seen = torch.cat([self.condition(phi, series), z], dim=2)
        return self.out(self.gru(seen)[0]).squeeze(2)


class RecurrentDiscriminator(nn.Module):
    """RCGAN's discriminator: a GRU that says after every hour how real the window looks; the mean is its verdict."""

    def __init__(self, series: int, width: int) -> None:
        super().__init__()
        self.condition = Condition(series)
        self.gru = nn.GRU(self.condition.width + 1, width, batch_first=True)
        self.out = nn.Linear(width, 1)

    def forward(self, x: Tensor, phi: Tensor, series: Tensor, alpha: float = 1.0) -> Tensor:
        """D(x, y) (b,) for x (b, l), phi (b, l, 8), series (b,)."""
        seen = torch.cat([self.condition(phi, series), stretched(x).unsqueeze(2)], dim=2)
        return self.out(self.gru(seen)[0]).mean((1, 2))


# ---------------------------------------------------------------- no network


def weekly_profile(values: Tensor, week: Tensor, known: Tensor) -> Tensor:
    """Mean of each series in each hour of the week, (N, 168); values and known (bool) (N, hours), week (hours,)."""
    empty = values.new_zeros(len(values), WEEK)
    total, count = (empty.index_add(1, week, x * known) for x in (values, torch.ones_like(values)))
    return total / count.clamp(min=1)


def bootstrap(
    profile: Tensor, week: Tensor, values: Tensor, series: Tensor, hours: Tensor, donors: Tensor, length: int
) -> Tensor:
    """The profile of the asked hours plus what another day's window strayed from its own profile, (b, length).

    series, hours (b,): the conditions. donors (n, 2): windows that may lend, as series and hour; each condition takes
    a random one of its series that begins at the same hour of another day of the week, so that nothing is copied.
    """
    lent, steps, row = lenders(week, series, hours, donors), torch.arange(length), series.unsqueeze(1)
    asked, given = hours.unsqueeze(1) + steps, lent.unsqueeze(1) + steps
    return profile[row, week[asked]] + values[row, given] - profile[row, week[given]]


def lenders(week: Tensor, series: Tensor, hours: Tensor, donors: Tensor, tries: int = 20) -> Tensor:
    """The hour at which each condition's lender begins, (b,)."""
    keys, order = (donors[:, 0] * DAY + week[donors[:, 1]] % DAY).sort()
    wanted = series * DAY + week[hours] % DAY
    first, last = torch.searchsorted(keys, wanted), torch.searchsorted(keys, wanted, right=True)
    found = hours
    for _ in range(tries):
        drawn = first + (torch.rand(len(wanted)) * (last - first)).long()
        found = torch.where(week[found] == week[hours], donors[order[drawn], 1], found)
    return found
