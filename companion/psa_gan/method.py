"""PSA-GAN: a generator and a discriminator that mirror each other and grow together, from 8 hours to the whole window.

symbol         here                     shape (hours before channels, so that a 1 x 1 convolution is a linear layer)
phi            phi                      (b, tau, 8), the calendar
i              series                   (b,) int64, embedded as 10 numbers and repeated over the hours
z              z                        (b, 8, 1) ~ N(0, 1), noise at the coarsest level
h_k            Generator.hidden         (b, 8 * 2^k, C)
x-hat_k        Generator.forward        (b, 8 * 2^k)
m_k            Block                    (b, l, in) -> (b, l, C)
gamma          Attention.gamma          (), starts at 0
s_k            Generator.skips          (b, l, C) -> (b, l, C), starts as the identity
alpha          alpha                    0 (the old net, upsampled) to 1 (the new level alone)
mu, sigma      moments                  (b,) each, over the hours of a window
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm

BASE = 8  # hours of the shortest window
SLOPE = 0.2
STRETCH = 4.0


def pool(x: Tensor, times: int = 2) -> Tensor:
    """P: means of `times` hours in a row, (b, l, ...) -> (b, l / times, ...)."""
    return x if times == 1 else x.unflatten(1, (-1, times)).mean(2)


def upsample(x: Tensor) -> Tensor:
    """U: every hour twice, (b, l, ...) -> (b, 2 l, ...). The caption of Figure 1 says linear; the code repeats."""
    return x.repeat_interleave(2, dim=1)


def stretched(x: Tensor) -> Tensor:
    """Windows scaled to [0, 1] about 0, and as wide as the numbers that a discriminator reads beside them."""
    return STRETCH * (x - 0.5)


def level_of(hours: int) -> int:
    """How often 8 hours must be doubled to make so many."""
    return (hours // BASE).bit_length() - 1


class Convolution(nn.Module):
    """Each hour from itself and its two neighbours, zeros outside; the weight over its largest singular value."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.linear = spectral_norm(nn.Linear(3 * inputs, outputs))

    def forward(self, h: Tensor) -> Tensor:
        """h (b, l, in) -> (b, l, out)."""
        wide = functional.pad(h, (0, 0, 1, 1))
        return self.linear(torch.cat([wide[:, :-2], h, wide[:, 2:]], dim=2))


class Attention(nn.Module):
    """h + gamma W_o softmax(Q K' / sqrt(d)) V, over the hours; gamma starts at 0, so at first it does nothing."""

    def __init__(self, channels: int, size: int) -> None:
        super().__init__()
        self.qkv = nn.Linear(channels, 3 * size)
        self.out = nn.Linear(size, channels)
        self.gamma = nn.Parameter(torch.zeros(()))

    def forward(self, h: Tensor) -> Tensor:
        """h (b, l, C) -> (b, l, C)."""
        q, k, v = self.qkv(h).chunk(3, dim=-1)
        return h + self.gamma * self.out(functional.scaled_dot_product_attention(q, k, v))

    def weights(self, h: Tensor) -> Tensor:
        """Which hour looks at which, (b, l, l): rows sum to 1."""
        q, k, _ = self.qkv(h).chunk(3, dim=-1)
        return (q @ k.transpose(1, 2) / q.shape[-1] ** 0.5).softmax(-1)


class Block(nn.Module):
    """m: a normed convolution over three hours, leaky ReLU, then attention (none, where its size is 0)."""

    def __init__(self, inputs: int, channels: int, attention: int) -> None:
        super().__init__()
        self.conv = Convolution(inputs, channels)
        self.attend = Attention(channels, attention) if attention else nn.Identity()

    def forward(self, h: Tensor) -> Tensor:
        """h (b, l, in) -> (b, l, C)."""
        return self.attend(functional.leaky_relu(self.conv(h), SLOPE))


class Condition(nn.Module):
    """What both players know at every hour: the calendar, and 10 learned numbers for each series."""

    def __init__(self, series: int, calendar: int = 8, embedding: int = 10) -> None:
        super().__init__()
        self.embed = nn.Embedding(series, embedding)
        nn.init.normal_(self.embed.weight, std=0.1)
        self.width = calendar + embedding

    def forward(self, phi: Tensor, series: Tensor) -> Tensor:
        """phi (b, l, 8), series (b,) -> (b, l, width)."""
        return torch.cat([phi, self.embed(series).unsqueeze(1).expand(-1, phi.shape[1], -1)], dim=2)


def skip(channels: int) -> nn.Linear:
    """s: a linear layer at each hour that changes nothing at first, (b, l, C) -> (b, l, C)."""
    layer = nn.Linear(channels, channels)
    nn.init.eye_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


class Maker(nn.Module):
    """What every generator offers: noise of its own kind, and windows from it."""

    def noise(self, size: int, hours: int, generator: torch.Generator) -> Tensor:
        """z for `size` windows of so many hours."""
        raise NotImplementedError


class Generator(Maker):
    """Noise and condition in, a window out; level k makes 8 * 2^k hours, and sees the condition again.

    attention: the size d of queries and keys, 0 for none. context: how many hours before the window are told
    (PSA-GAN-C), 0 for none.
    """

    def __init__(self, series: int, depth: int, channels: int, attention: int, context: int = 0) -> None:
        super().__init__()
        self.condition = Condition(series)
        seen = self.condition.width
        self.blocks = nn.ModuleList(Block(seen + (channels if k else 1), channels, attention) for k in range(depth + 1))
        self.skips = nn.ModuleList(skip(channels) for _ in range(depth))
        self.tell = nn.ModuleList(Told(context, channels) for _ in range(depth if context else 0))
        self.out = spectral_norm(nn.Linear(channels, 1))

    def noise(self, size: int, hours: int, generator: torch.Generator) -> Tensor:
        """z (size, 8, 1), whatever the hours: all chance enters at the coarsest level."""
        return torch.randn(size, BASE, 1, generator=generator)

    def hidden(self, phi: Tensor, series: Tensor, z: Tensor, context: Tensor | None = None) -> list[Tensor]:
        """h_0 ... h_level; phi (b, 8 * 2^level, 8)."""
        level, seen = level_of(phi.shape[1]), self.condition(phi, series)
        found = [self.blocks[0](torch.cat([pool(seen, 2**level), z], dim=2))]
        for k in range(1, level + 1):
            up = upsample(found[-1])
            if self.tell and context is not None:
                up = up + self.tell[k - 1](up, context)
            found.append(self.blocks[k](torch.cat([pool(seen, 2 ** (level - k)), up], dim=2)))
        return found

    def forward(
        self, phi: Tensor, series: Tensor, z: Tensor, alpha: float = 1.0, context: Tensor | None = None
    ) -> Tensor:
        """x-hat (b, l) for phi (b, l, 8), series (b,), z (b, 8, 1), context (b, c): the hours l say the level."""
        found = self.hidden(phi, series, z, context)
        if alpha == 1 or len(found) == 1:
            return self.out(found[-1]).squeeze(2)
        old = self.out(self.skips[len(found) - 2](upsample(found[-2])))
        return (alpha * self.out(found[-1]) + (1 - alpha) * old).squeeze(2)


class Told(nn.Module):
    """What PSA-GAN-C adds before a level: the hours before the window, and h, through two layers at each hour."""

    def __init__(self, context: int, channels: int) -> None:
        super().__init__()
        half = max(context // 2, 1)
        self.layers = nn.Sequential(nn.Linear(context + channels, half), nn.LeakyReLU(SLOPE), nn.Linear(half, channels))

    def forward(self, h: Tensor, context: Tensor) -> Tensor:
        """h (b, l, C) and context (b, c) -> (b, l, C)."""
        return self.layers(torch.cat([context.unsqueeze(1).expand(-1, h.shape[1], -1), h], dim=2))


class Discriminator(nn.Module):
    """A window and its condition in, one number out: 1 says real. It halves the window until 8 hours are left."""

    def __init__(self, series: int, depth: int, channels: int, attention: int) -> None:
        super().__init__()
        self.condition = Condition(series)
        self.enter = spectral_norm(nn.Linear(self.condition.width + 1, channels))
        self.blocks = nn.ModuleList(Block(channels, channels, attention) for _ in range(depth + 1))
        self.narrow = nn.Linear(channels, 1)
        self.verdict = nn.Linear(BASE, 1)

    def read(self, x: Tensor, seen: Tensor) -> Tensor:
        """The first layer, (b, l, C)."""
        return functional.leaky_relu(self.enter(torch.cat([seen, stretched(x).unsqueeze(2)], dim=2)), SLOPE)

    def forward(self, x: Tensor, phi: Tensor, series: Tensor, alpha: float = 1.0) -> Tensor:
        """D(x, y) (b,) for x (b, l), phi (b, l, 8), series (b,)."""
        level, seen = level_of(x.shape[1]), self.condition(phi, series)
        g = self.read(x, seen)
        for k in range(level, 0, -1):
            g = pool(self.blocks[k](g))
            if k == level and alpha < 1:
                g = alpha * g + (1 - alpha) * self.read(pool(x), pool(seen))
        narrow = functional.leaky_relu(self.narrow(self.blocks[0](g)), SLOPE)
        return self.verdict(narrow.squeeze(2)).squeeze(1)


# ---------------------------------------------------------------- losses


def moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation over the hours of each window (b, l): (b,), (b,)."""
    deviation, mean = torch.std_mean(x, dim=-1, correction=0)
    return mean, deviation


def moment_loss(fake: Tensor, real: Tensor) -> Tensor:
    """E |mu(fake) - mu(real)| + |sigma(fake) - sigma(real)|, window by window under one condition; both (b, l)."""
    pairs = zip(moments(fake), moments(real), strict=True)
    return torch.stack([(a - b).abs().mean() for a, b in pairs]).sum()


def discriminator_loss(on_real: Tensor, on_fake: Tensor) -> Tensor:
    """Least squares: real windows should get 1, made ones 0; scores (b,)."""
    return (on_real - 1).square().mean() / 2 + on_fake.square().mean() / 2


def generator_loss(on_fake: Tensor) -> Tensor:
    """Least squares: made windows should get 1; scores (b,)."""
    return (on_fake - 1).square().mean() / 2
