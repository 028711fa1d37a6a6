"""What PSA-GAN is compared with: a recurrent conditional GAN with the same losses, and a bootstrap.

PSA-GAN without progressive growing or without attention is a variant of the method, see `training.VARIANTS`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from companion.psa_gan.method import BaseGenerator, ConditionEmbedding, rescale

DAY, WEEK = 24, 168


class RecurrentGenerator(BaseGenerator):
    """RCGAN's generator: a GRU that gets the condition and new noise at every hour."""

    def __init__(self, series: int, width: int) -> None:
        super().__init__()
        self.condition = ConditionEmbedding(series)
        self.gru = nn.GRU(self.condition.width + 1, width, batch_first=True)
        self.out = nn.Linear(width, 1)

    def noise(self, size: int, hours: int, generator: torch.Generator) -> Tensor:
        """z (size, hours, 1)."""
        return torch.randn(size, hours, 1, generator=generator)

    def forward(
        self, phi: Tensor, series: Tensor, z: Tensor, alpha: float = 1.0, context: Tensor | None = None
    ) -> Tensor:
        """x-hat (b, l) for phi (b, l, 8), series (b,), z (b, l, 1); it does not grow and has no context."""
        inputs = torch.cat([self.condition(phi, series), z], dim=2)
        return self.out(self.gru(inputs)[0]).squeeze(2)


class RecurrentDiscriminator(nn.Module):
    """RCGAN's discriminator: a GRU with a score at every hour; the mean is the score of the window."""

    def __init__(self, series: int, width: int) -> None:
        super().__init__()
        self.condition = ConditionEmbedding(series)
        self.gru = nn.GRU(self.condition.width + 1, width, batch_first=True)
        self.out = nn.Linear(width, 1)

    def forward(self, x: Tensor, phi: Tensor, series: Tensor, alpha: float = 1.0) -> Tensor:
        """D(x, y) (b,) for x (b, l), phi (b, l, 8), series (b,)."""
        inputs = torch.cat([self.condition(phi, series), rescale(x).unsqueeze(2)], dim=2)
        return self.out(self.gru(inputs)[0]).mean((1, 2))


# ---------------------------------------------------------------- bootstrap


def weekly_profile(values: Tensor, week: Tensor, known: Tensor) -> Tensor:
    """Mean of each series in each hour of the week, (N, 168); values and known (bool) (N, hours), week (hours,)."""
    empty = values.new_zeros(len(values), WEEK)
    total, count = (empty.index_add(1, week, x * known) for x in (values, torch.ones_like(values)))
    return total / count.clamp(min=1)


def bootstrap(
    profile: Tensor, week: Tensor, values: Tensor, series: Tensor, hours: Tensor, donors: Tensor, length: int
) -> Tensor:
    """The weekly profile of the requested hours plus another day's difference from its own profile, (b, length).

    series, hours (b,): the conditions. donors (n, 2): windows, as series and hour; each condition takes
    a random one of its series that begins at the same hour of another day of the week, so that no window is copied.
    """
    donor_hours, steps, row = draw_donors(week, series, hours, donors), torch.arange(length), series.unsqueeze(1)
    requested, donated = hours.unsqueeze(1) + steps, donor_hours.unsqueeze(1) + steps
    return profile[row, week[requested]] + values[row, donated] - profile[row, week[donated]]


def draw_donors(week: Tensor, series: Tensor, hours: Tensor, donors: Tensor, tries: int = 20) -> Tensor:
    """The hour at which each condition's donor window begins, (b,)."""
    keys, order = (donors[:, 0] * DAY + week[donors[:, 1]] % DAY).sort()
    keys_wanted = series * DAY + week[hours] % DAY
    first, last = torch.searchsorted(keys, keys_wanted), torch.searchsorted(keys, keys_wanted, right=True)
    chosen = hours
    for _ in range(tries):
        drawn = first + (torch.rand(len(keys_wanted)) * (last - first)).long()
        chosen = torch.where(week[chosen] == week[hours], donors[order[drawn], 1], chosen)
    return chosen
