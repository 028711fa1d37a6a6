"""PSA-GAN: a generator and a discriminator that mirror each other and grow together, from 8 hours to the whole window.

symbol         here                     shape
phi            calendar                 (b, 4, tau)
i              series                   (b,) int64, embedded as 10 numbers and repeated over time
z              noise                    (b, 1, 8) ~ N(0, 1), at the coarsest level
h_k            Generator.hidden         (b, C, 8 * 2^k)
x-hat_k        Generator.forward        (b, 8 * 2^k)
m_k            Block                    (b, in, l) -> (b, C, l)
gamma          Attention.gamma          (), starts at 0
s_k            Generator.skips          (b, C, l) -> (b, C, l), starts as the identity
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


def pool(x: Tensor, times: int = 2) -> Tensor:
    """P: means of `times` hours in a row, (..., l) -> (..., l / times)."""
    return x if times == 1 else x.unflatten(-1, (-1, times)).mean(-1)


def upsample(x: Tensor) -> Tensor:
    """U: every value twice, (..., l) -> (..., 2 l). The figure of the paper says linear; its code repeats."""
    return x.repeat_interleave(2, dim=-1)


def normed(inputs: int, outputs: int, kernel: int) -> nn.Module:
    """A convolution that keeps the length, its weight divided by its largest singular value."""
    return spectral_norm(nn.Conv1d(inputs, outputs, kernel, padding=kernel // 2))


class Attention(nn.Module):
    """h + gamma W_o softmax(Q K' / sqrt(d)) V, over the hours; gamma starts at 0, so at first it does nothing."""

    def __init__(self, channels: int, size: int) -> None:
        super().__init__()
        self.qkv = nn.Conv1d(channels, 3 * size, 1)
        self.out = nn.Conv1d(size, channels, 1)
        self.gamma = nn.Parameter(torch.zeros(()))

    def forward(self, h: Tensor) -> Tensor:
        """h (b, C, l) -> (b, C, l)."""
        q, k, v = self.qkv(h).transpose(1, 2).chunk(3, dim=-1)
        looked = functional.scaled_dot_product_attention(q, k, v)
        return h + self.gamma * self.out(looked.transpose(1, 2))

    def weights(self, h: Tensor) -> Tensor:
        """Which hour looks at which, (b, l, l): rows sum to 1."""
        q, k, _ = self.qkv(h).transpose(1, 2).chunk(3, dim=-1)
        return (q @ k.transpose(1, 2) / q.shape[-1] ** 0.5).softmax(-1)


class Block(nn.Module):
    """m: a normed convolution over three hours, leaky ReLU, then attention (or none, where `attention` is 0)."""

    def __init__(self, inputs: int, channels: int, attention: int) -> None:
        super().__init__()
        self.conv = normed(inputs, channels, 3)
        self.attend = Attention(channels, attention) if attention else nn.Identity()

    def forward(self, h: Tensor) -> Tensor:
        """h (b, in, l) -> (b, C, l)."""
        return self.attend(functional.leaky_relu(self.conv(h), SLOPE))


class Condition(nn.Module):
    """What both players know: the calendar, and 10 learned numbers for each series, at every hour."""

    def __init__(self, series: int, calendar: int = 4, embedding: int = 10) -> None:
        super().__init__()
        self.embed = nn.Embedding(series, embedding)
        self.width = calendar + embedding

    def forward(self, phi: Tensor, series: Tensor) -> Tensor:
        """phi (b, 4, l), series (b,) -> (b, width, l)."""
        return torch.cat([phi, self.embed(series).unsqueeze(2).expand(-1, -1, phi.shape[-1])], dim=1)


class Generator(nn.Module):
    """Noise and condition in, a window out; level k makes 8 * 2^k hours, and sees the condition again.

    context: how many hours before the window it is told (PSA-GAN-C), or 0.
    """

    def __init__(self, series: int, depth: int, channels: int, attention: int, context: int = 0) -> None:
        super().__init__()
        self.depth = depth
        self.condition = Condition(series)
        seen = self.condition.width
        widths = [seen + 1] + [seen + channels] * depth
        self.blocks = nn.ModuleList(Block(width, channels, attention) for width in widths)
        self.skips = nn.ModuleList(nn.Conv1d(channels, channels, 1) for _ in range(depth))
        self.tell = nn.ModuleList(Told(context, channels) for _ in range(depth if context else 0))
        self.out = normed(channels, 1, 1)
        for skip in self.skips:
            nn.init.dirac_(skip.weight)
            nn.init.zeros_(skip.bias)

    def hidden(self, phi: Tensor, series: Tensor, z: Tensor, level: int, context: Tensor | None = None) -> list[Tensor]:
        """h_0 ... h_level; phi (b, 4, 8 * 2^level)."""
        seen = self.condition(phi, series)
        found = [self.blocks[0](torch.cat([pool(seen, 2**level), z], dim=1))]
        for k in range(1, level + 1):
            up = upsample(found[-1])
            if context is not None:
                up = up + self.tell[k - 1](up, context)
            found.append(self.blocks[k](torch.cat([pool(seen, 2 ** (level - k)), up], dim=1)))
        return found

    def forward(
        self, phi: Tensor, series: Tensor, z: Tensor, alpha: float = 1.0, context: Tensor | None = None
    ) -> Tensor:
        """x-hat (b, l) for phi (b, 4, l), series (b,), z (b, 1, 8): the length says the level."""
        level = (phi.shape[-1] // BASE).bit_length() - 1
        found = self.hidden(phi, series, z, level, context)
        if alpha < 1 and level:
            old = self.out(self.skips[level - 1](upsample(found[-2])))
            return (alpha * self.out(found[-1]) + (1 - alpha) * old).squeeze(1)
        return self.out(found[-1]).squeeze(1)


class Told(nn.Module):
    """What PSA-GAN-C adds before a level: the hours before the window, and h, through two layers at each hour."""

    def __init__(self, context: int, channels: int) -> None:
        super().__init__()
        half = max(context // 2, 1)
        self.layers = nn.Sequential(
            nn.Conv1d(context + channels, half, 1), nn.LeakyReLU(SLOPE), nn.Conv1d(half, channels, 1)
        )

    def forward(self, h: Tensor, context: Tensor) -> Tensor:
        """h (b, C, l) and context (b, c) -> (b, C, l)."""
        return self.layers(torch.cat([context.unsqueeze(2).expand(-1, -1, h.shape[-1]), h], dim=1))


class Discriminator(nn.Module):
    """A window and its condition in, one number out: 1 says real. It halves the window until 8 hours are left."""

    def __init__(self, series: int, depth: int, channels: int, attention: int) -> None:
        super().__init__()
        self.depth = depth
        self.condition = Condition(series)
        self.enter = normed(self.condition.width + 1, channels, 1)
        self.blocks = nn.ModuleList(Block(channels, channels, attention) for _ in range(depth + 1))
        self.narrow = normed(channels, 1, 1)
        self.verdict = normed_linear(BASE)

    def read(self, x: Tensor, seen: Tensor) -> Tensor:
        """The first layer, (b, C, l)."""
        return functional.leaky_relu(self.enter(torch.cat([seen, x.unsqueeze(1)], dim=1)), SLOPE)

    def forward(self, x: Tensor, phi: Tensor, series: Tensor, alpha: float = 1.0) -> Tensor:
        """D(x, y) (b,) for x (b, l), phi (b, 4, l), series (b,)."""
        level = (x.shape[-1] // BASE).bit_length() - 1
        seen = self.condition(phi, series)
        g = self.read(x, seen)
        for k in range(level, 0, -1):
            g = pool(self.blocks[k](g))
            if k == level and alpha < 1:
                g = alpha * g + (1 - alpha) * self.read(pool(x), pool(seen))
        narrow = functional.leaky_relu(self.narrow(self.blocks[0](g)), SLOPE)
        return self.verdict(narrow.flatten(1)).squeeze(1)


def normed_linear(inputs: int) -> nn.Module:
    """The last layer, to one number; its weight too is divided by its largest singular value."""
    return spectral_norm(nn.Linear(inputs, 1))


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
