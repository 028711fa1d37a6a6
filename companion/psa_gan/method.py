"""PSA-GAN: generator and discriminator grow together, level by level, from 8 hours to the whole window.

symbol         here                     shape (hours before channels: a 1 x 1 convolution is a linear layer)
phi            phi                      (b, tau, 8), the calendar features
i              series                   (b,) int64, index of the series, embedded in 10 dimensions at every hour
z              z                        (b, 8, 1) ~ N(0, 1), noise at the coarsest level
h_k            Generator.hidden         (b, 8 * 2^k, C)
x-hat_k        Generator.forward        (b, 8 * 2^k)
m_k            Block                    (b, l, in) -> (b, l, C)
gamma          Attention.gamma          (), initialized with 0
s_k            Generator.skips          (b, l, C) -> (b, l, C), initialized as the identity
alpha          alpha                    0 (the level before, upsampled) to 1 (the new level)
mu, sigma      moments                  (b,) each, over the hours of a window
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm

ADAM_BETAS = (0.5, 0.99)
BASE = 8  # hours of the shortest window
LEAKY_SLOPE = 0.2
INPUT_SCALE = 4.0  # of the windows that a discriminator reads


@dataclass(frozen=True)
class Batch:
    """Windows x (b, l) with their conditions: calendar phi (b, l, 8), series (b,), first hours (b,) in the panel.

    before (b, c): the c hours before each window, for PSA-GAN-C.
    """

    x: Tensor
    phi: Tensor
    series: Tensor
    hours: Tensor
    before: Tensor


def pool(x: Tensor, times: int = 2) -> Tensor:
    """Average pooling P over `times` successive hours, (b, l, ...) -> (b, l / times, ...)."""
    return x if times == 1 else x.unflatten(1, (-1, times)).mean(2)


def upsample(x: Tensor) -> Tensor:
    """Upsampling U: every hour twice, (b, l, ...) -> (b, 2 l, ...), as in the released code (Figure 1 says linear)."""
    return x.repeat_interleave(2, dim=1)


def rescale(x: Tensor) -> Tensor:
    """Windows in [0, 1] shifted and scaled to the range of the discriminator's other inputs."""
    return INPUT_SCALE * (x - 0.5)


def level_of(hours: int) -> int:
    """The level of a window: how often 8 hours are doubled."""
    return (hours // BASE).bit_length() - 1


class SpectralConv1d(nn.Module):
    """A convolution over three hours with zero padding and spectral normalization, as one linear layer."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.linear = spectral_norm(nn.Linear(3 * inputs, outputs))

    def forward(self, h: Tensor) -> Tensor:
        """h (b, l, in) -> (b, l, out)."""
        padded = functional.pad(h, (0, 0, 1, 1))
        return self.linear(torch.cat([padded[:, :-2], h, padded[:, 2:]], dim=2))


class Attention(nn.Module):
    """h + gamma W_o softmax(Q K' / sqrt(d)) V, over the hours; gamma is initialized with 0."""

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
        """The attention weights of each hour (row) over all hours, (b, l, l)."""
        q, k, _ = self.qkv(h).chunk(3, dim=-1)
        return (q @ k.transpose(1, 2) / q.shape[-1] ** 0.5).softmax(-1)


class Block(nn.Module):
    """m: a spectrally normalized convolution over three hours, leaky ReLU, then attention (none if its size is 0)."""

    def __init__(self, inputs: int, channels: int, attention: int) -> None:
        super().__init__()
        self.conv = SpectralConv1d(inputs, channels)
        self.attend = Attention(channels, attention) if attention else nn.Identity()

    def forward(self, h: Tensor) -> Tensor:
        """h (b, l, in) -> (b, l, C)."""
        return self.attend(functional.leaky_relu(self.conv(h), LEAKY_SLOPE))


class ConditionEmbedding(nn.Module):
    """The condition of both networks at every hour: calendar features and a learned embedding of the series."""

    def __init__(self, series: int, calendar: int = 8, embedding: int = 10) -> None:
        super().__init__()
        self.embed = nn.Embedding(series, embedding)
        nn.init.normal_(self.embed.weight, std=0.1)
        self.width = calendar + embedding

    def forward(self, phi: Tensor, series: Tensor) -> Tensor:
        """phi (b, l, 8), series (b,) -> (b, l, width)."""
        return torch.cat([phi, self.embed(series).unsqueeze(1).expand(-1, phi.shape[1], -1)], dim=2)


def skip(channels: int) -> nn.Linear:
    """s: a linear layer at each hour, initialized as the identity, (b, l, C) -> (b, l, C)."""
    layer = nn.Linear(channels, channels)
    nn.init.eye_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


class BaseGenerator(nn.Module):
    """A generator: it draws its own noise and maps it to windows."""

    def noise(self, size: int, hours: int, generator: torch.Generator) -> Tensor:
        """Noise z for `size` windows of `hours` hours."""
        raise NotImplementedError


class Generator(BaseGenerator):
    """Maps noise and condition to a window; level k has 8 * 2^k hours and gets the condition again.

    attention: the size d of queries and keys, 0 for none. context: number of hours before the window that PSA-GAN-C is
    conditioned on, 0 for none.
    """

    def __init__(self, series: int, depth: int, channels: int, attention: int, context: int = 0) -> None:
        super().__init__()
        self.condition = ConditionEmbedding(series)
        width = self.condition.width
        self.blocks = nn.ModuleList(
            Block(width + (channels if k else 1), channels, attention) for k in range(depth + 1)
        )
        self.skips = nn.ModuleList(skip(channels) for _ in range(depth))
        self.context_layers = nn.ModuleList(ContextEncoder(context, channels) for _ in range(depth if context else 0))
        self.out = spectral_norm(nn.Linear(channels, 1))

    def noise(self, size: int, hours: int, generator: torch.Generator) -> Tensor:
        """z (size, 8, 1), for any number of hours: noise enters at the coarsest level only."""
        return torch.randn(size, BASE, 1, generator=generator)

    def hidden(self, phi: Tensor, series: Tensor, z: Tensor, context: Tensor | None = None) -> list[Tensor]:
        """h_0 ... h_level; phi (b, 8 * 2^level, 8)."""
        level, condition = level_of(phi.shape[1]), self.condition(phi, series)
        hidden = [self.blocks[0](torch.cat([pool(condition, 2**level), z], dim=2))]
        for k in range(1, level + 1):
            up = upsample(hidden[-1])
            if self.context_layers and context is not None:
                up = up + self.context_layers[k - 1](up, context)
            hidden.append(self.blocks[k](torch.cat([pool(condition, 2 ** (level - k)), up], dim=2)))
        return hidden

    def forward(
        self, phi: Tensor, series: Tensor, z: Tensor, alpha: float = 1.0, context: Tensor | None = None
    ) -> Tensor:
        """x-hat (b, l) for phi (b, l, 8), series (b,), z (b, 8, 1), context (b, c); l determines the level."""
        hidden = self.hidden(phi, series, z, context)
        if alpha == 1 or len(hidden) == 1:
            return self.out(hidden[-1]).squeeze(2)
        previous = self.out(self.skips[len(hidden) - 2](upsample(hidden[-2])))
        return (alpha * self.out(hidden[-1]) + (1 - alpha) * previous).squeeze(2)


class ContextEncoder(nn.Module):
    """What PSA-GAN-C adds to h before a level: a function of h and of the hours before the window, at each hour."""

    def __init__(self, context: int, channels: int) -> None:
        super().__init__()
        half = max(context // 2, 1)
        self.layers = nn.Sequential(
            nn.Linear(context + channels, half), nn.LeakyReLU(LEAKY_SLOPE), nn.Linear(half, channels)
        )

    def forward(self, h: Tensor, context: Tensor) -> Tensor:
        """h (b, l, C) and context (b, c) -> (b, l, C)."""
        return self.layers(torch.cat([context.unsqueeze(1).expand(-1, h.shape[1], -1), h], dim=2))


class Discriminator(nn.Module):
    """Maps a window and its condition to a score, 1 for real; it halves the window until 8 hours are left."""

    def __init__(self, series: int, depth: int, channels: int, attention: int) -> None:
        super().__init__()
        self.condition = ConditionEmbedding(series)
        self.enter = spectral_norm(nn.Linear(self.condition.width + 1, channels))
        self.blocks = nn.ModuleList(Block(channels, channels, attention) for _ in range(depth + 1))
        self.to_score_per_hour = nn.Linear(channels, 1)
        self.to_score = nn.Linear(BASE, 1)

    def first_layer(self, x: Tensor, condition: Tensor) -> Tensor:
        """The first layer, (b, l, C)."""
        return functional.leaky_relu(self.enter(torch.cat([condition, rescale(x).unsqueeze(2)], dim=2)), LEAKY_SLOPE)

    def forward(self, x: Tensor, phi: Tensor, series: Tensor, alpha: float = 1.0) -> Tensor:
        """D(x, y) (b,) for x (b, l), phi (b, l, 8), series (b,)."""
        level, condition = level_of(x.shape[1]), self.condition(phi, series)
        g = self.first_layer(x, condition)
        for k in range(level, 0, -1):
            g = pool(self.blocks[k](g))
            if k == level and alpha < 1:
                g = alpha * g + (1 - alpha) * self.first_layer(pool(x), pool(condition))
        scores = functional.leaky_relu(self.to_score_per_hour(self.blocks[0](g)), LEAKY_SLOPE)
        return self.to_score(scores.squeeze(2)).squeeze(1)


# ---------------------------------------------------------------- losses


def moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation over the hours of each window (b, l): (b,), (b,)."""
    standard_deviation, mean = torch.std_mean(x, dim=-1, correction=0)
    return mean, standard_deviation


def moment_loss(fake: Tensor, real: Tensor) -> Tensor:
    """E |mu(fake) - mu(real)| + |sigma(fake) - sigma(real)|, window by window under one condition; both (b, l)."""
    pairs = zip(moments(fake), moments(real), strict=True)
    return torch.stack([(a - b).abs().mean() for a, b in pairs]).sum()


def discriminator_loss(on_real: Tensor, on_fake: Tensor) -> Tensor:
    """Least squares: real windows should score 1, generated ones 0; scores (b,)."""
    return (on_real - 1).square().mean() / 2 + on_fake.square().mean() / 2


def generator_loss(on_fake: Tensor) -> Tensor:
    """Least squares: generated windows should score 1; scores (b,)."""
    return (on_fake - 1).square().mean() / 2


# ---------------------------------------------------------------- progressive growing and one training step


@dataclass(frozen=True)
class Stage:
    """Training steps at one level; during the first `fading` of them alpha rises from 0 to 1."""

    level: int
    steps: int
    fading: int

    def alpha(self, step: int) -> float:
        """The weight of the new level in a step of the stage, counted from 0."""
        return min(step / self.fading, 1.0) if self.fading else 1.0


def schedule(depth: int, steps: int, last: float, fading: float) -> list[Stage]:
    """Progressive growing: a share `last` of the steps for the whole window, the others shared by the levels before.

    fading: the share of each later stage in which its level fades in.
    """
    early = round(steps * (1 - last) / depth) if depth else 0
    counts = [early] * depth + [steps - early * depth]
    return [Stage(k, count, round(fading * count) if k else 0) for k, count in enumerate(counts)]


def without_growing(depth: int, steps: int) -> list[Stage]:
    """Without progressive growing: all steps for the whole window."""
    return [Stage(depth, steps, 0)]


@dataclass
class GAN:
    """Generator, discriminator, their optimizers and the plan of stages; `moment` is lambda_M."""

    generator: BaseGenerator
    discriminator: nn.Module
    stages: list[Stage]
    lr: tuple[float, float]  # of the generator and of the discriminator
    moment: float
    batch_size: int
    amp: bool = False
    optimizers: list[torch.optim.Optimizer] = field(default_factory=list)
    losses: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.optimizers = [
            torch.optim.Adam(network.parameters(), lr, ADAM_BETAS, fused=True)
            for network, lr in zip((self.generator, self.discriminator), self.lr, strict=True)
        ]


def lr_factor(step: int, steps: int) -> float:
    """The factor of the learning rate: 1 for the first half of the steps, then linearly down to 0."""
    return min(1.0, 2 * (1 - step / steps))


def pool_batch(batch: Batch, hours: int) -> tuple[Tensor, Tensor]:
    """Real windows (b, hours) and calendar (b, hours, 8), pooled to `hours` hours."""
    times = batch.x.shape[1] // hours
    return pool(batch.x, times), pool(batch.phi, times)


def context_of(batch: Batch) -> Tensor | None:
    """The hours before the windows, (b, c), if the batch has them."""
    return batch.before if batch.before.shape[1] else None


def train_step(gan: GAN, batch: Batch, hours: int, alpha: float, stream: torch.Generator) -> None:
    """One step of the discriminator and one of the generator on a batch, pooled to `hours`, with the same fakes."""
    # 1. real windows and calendar at this level; generated windows from noise
    real, phi = pool_batch(batch, hours)
    device = real.device
    z = gan.generator.noise(len(real), hours, stream).to(device)
    with torch.autocast(device.type, torch.bfloat16, enabled=gan.amp):
        fake = gan.generator(phi, batch.series, z, alpha, context_of(batch))
        both = (torch.cat([real, fake.detach()]), torch.cat([phi, phi]), batch.series.repeat(2))
        scores = gan.discriminator(*both, alpha).float()
    # 2. discriminator: real windows toward 1, generated windows toward 0
    loss_d = discriminator_loss(*scores.chunk(2))
    _update(gan.optimizers[1], loss_d)
    # 3. generator: generated windows toward 1, and the moment loss
    gan.discriminator.requires_grad_(False)
    with torch.autocast(device.type, torch.bfloat16, enabled=gan.amp):
        on_fake = gan.discriminator(fake, phi, batch.series, alpha)
    loss_g, loss_m = generator_loss(on_fake.float()), moment_loss(fake.float(), real)
    _update(gan.optimizers[0], loss_g + gan.moment * loss_m)
    gan.discriminator.requires_grad_(True)
    gan.losses = {"discriminator": loss_d.item(), "generator": loss_g.item(), "moments": loss_m.item()}


def _update(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
