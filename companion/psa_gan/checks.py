"""Exact checks: what must be true of this code whatever the data; each returns an error that should be near zero."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn

from companion.psa_gan import judge
from companion.psa_gan.jump import with_random_skip
from companion.psa_gan.method import (
    Attention,
    Block,
    Discriminator,
    Generator,
    moment_loss,
    pool,
    upsample,
)

SERIES, DEPTH, CHANNELS = 3, 3, 8
CALENDAR = 8


def players(attention: int = 4) -> tuple[Generator, Discriminator]:
    """Two players of depth 3 in float64 with attention switched on, ready to be asked."""
    torch.manual_seed(0)
    form = (SERIES, DEPTH, CHANNELS, attention)
    pair = Generator(*form).double(), Discriminator(*form).double()
    for player in pair:
        for part in player.modules():
            if isinstance(part, Attention):
                nn.init.constant_(part.gamma, 0.7)
        player.eval()
    return pair


def conditions(hours: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """x (5, hours), phi (5, hours, 8), series (5,), z (5, 8, 1), float64."""
    stream = torch.Generator().manual_seed(1)
    x = torch.rand(5, hours, generator=stream, dtype=torch.float64)
    phi = torch.rand(5, hours, CALENDAR, generator=stream, dtype=torch.float64) - 0.5
    return x, phi, torch.arange(5) % SERIES, torch.randn(5, 8, 1, generator=stream, dtype=torch.float64)


# ---------------------------------------------------------------- growing


@torch.no_grad()
def grown_discriminator_is_the_old_one() -> float:
    """At alpha = 0 the discriminator says of a window what it said of the pooled one before, at every level."""
    _, critic = players()
    errors = []
    for level in range(1, DEPTH + 1):
        x, phi, series, _ = conditions(8 << level)
        errors.append(_far(critic(x, phi, series, 0.0), critic(pool(x), pool(phi), series)))
    return max(errors)


@torch.no_grad()
def grown_generator_is_the_old_one() -> float:
    """At alpha = 0 the generator makes what it made before, every hour twice, at every level."""
    maker, _ = players()
    errors = []
    for level in range(1, DEPTH + 1):
        _, phi, series, z = conditions(8 << level)
        errors.append(_far(maker(phi, series, z, 0.0), upsample(maker(pool(phi), series, z))))
    return max(errors)


@torch.no_grad()
def jump_with_a_random_skip() -> float:
    """The same difference where the skip starts at random: not zero at all. A number to look at, not a check."""
    maker, _ = players()
    _, phi, series, z = conditions(8 << DEPTH)
    random = with_random_skip(maker, DEPTH, seed=3).eval()
    return _far(random(phi, series, z, 0.0), upsample(maker(pool(phi), series, z)))


@torch.no_grad()
def fading_is_a_straight_line() -> float:
    """Half-way the output is the mean of both ends, for the generator."""
    maker, _ = players()
    _, phi, series, z = conditions(16)
    ends = (maker(phi, series, z, 0.0) + maker(phi, series, z, 1.0)) / 2
    return _far(maker(phi, series, z, 0.5), ends)


# ---------------------------------------------------------------- the blocks


def largest_singular_values_are_one() -> float:
    """After power iterations every normed weight of both players has the largest singular value 1."""
    maker, critic = (player.train() for player in players())
    x, phi, series, z = conditions(64)
    with torch.no_grad():
        for _ in range(300):
            maker(phi, series, z)
            critic(x, phi, series)
    maker.eval()
    critic.eval()
    weights = [
        part.weight for player in (maker, critic) for part in player.modules()
        if isinstance(part, nn.Linear) and nn.utils.parametrize.is_parametrized(part)
    ]  # fmt: skip
    return max(float((torch.linalg.matrix_norm(weight.detach(), 2) - 1).abs()) for weight in weights)


def attention_is_a_loop() -> float:
    """Attention equals the formula, hour by hour."""
    torch.manual_seed(0)
    layer, h = Attention(CHANNELS, 4).double(), torch.randn(2, 6, CHANNELS, dtype=torch.float64)
    nn.init.constant_(layer.gamma, 0.7)
    found = torch.empty_like(h)
    for b in range(2):
        q, k, v = layer.qkv(h[b]).chunk(3, dim=-1)
        for t in range(6):
            share = torch.softmax(torch.stack([q[t] @ k[s] / 2 for s in range(6)]), 0)
            found[b, t] = h[b, t] + 0.7 * layer.out((share.unsqueeze(1) * v).sum(0))
    return _far(layer(h), found)


def distant_hours_meet_only_in_attention() -> float:
    """The slope of hour 0 of a block by hour 20 is 0 while gamma is 0, and is not once it is 0.7."""
    slopes = []
    for gamma in (0.0, 0.7):
        torch.manual_seed(0)
        block = Block(CHANNELS, CHANNELS, 4).double()
        nn.init.constant_(next(part for part in block.modules() if isinstance(part, Attention)).gamma, gamma)
        h = torch.randn(1, 32, CHANNELS, dtype=torch.float64, requires_grad=True)
        (slope,) = torch.autograd.grad(block(h)[0, 0].sum(), h)
        slopes.append(float(slope[0, 20].abs().max()))
    return slopes[0] if slopes[1] > 1e-6 else math.inf


def moment_loss_is_by_hand() -> float:
    """Two windows of four hours: the means differ by 1 and 0, the deviations by 0 and 1; one half each."""
    real = torch.tensor([[0.0, 2.0, 0.0, 2.0], [0.0, 2.0, 0.0, 2.0]], dtype=torch.float64)
    fake = torch.tensor([[1.0, 3.0, 1.0, 3.0], [-1.0, 3.0, -1.0, 3.0]], dtype=torch.float64)
    shuffled = fake[:, [2, 1, 0, 3]]
    return max(abs(float(moment_loss(fake, real)) - 1.0), abs(float(moment_loss(shuffled, real)) - 1.0))


# ---------------------------------------------------------------- the judge


def matrices(size: int = 6) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Two means (6,) and two covariances (6, 6), float64, that do not commute."""
    stream = torch.Generator().manual_seed(4)
    roots = torch.randn(2, size, size, generator=stream, dtype=torch.float64)
    means = torch.randn(2, size, generator=stream, dtype=torch.float64)
    return means[0], roots[0] @ roots[0].T, means[1], roots[1] @ roots[1].T


def frechet_closed_forms() -> float:
    """One dimension: (m - m')^2 + (s - s')^2; covariances with the same axes: the same, summed over the axes."""
    one = torch.tensor([[3.0]]).double()
    line = judge.frechet(one[0], one**2, one[0] - 2, (one - 2) ** 2)
    turn = torch.linalg.qr(matrices()[1]).Q
    a, b = torch.arange(1.0, 7.0).double(), torch.linspace(5, 0.5, 6).double()
    zero = torch.zeros(6, dtype=torch.float64)
    axes = judge.frechet(zero, turn @ torch.diag(a**2) @ turn.T, zero, turn @ torch.diag(b**2) @ turn.T)
    return max(abs(float(line) - 8.0), abs(float(axes - (a - b).square().sum())))


def frechet_symmetries() -> float:
    """Zero from itself, the same both ways, and unmoved by turning both Gaussians together."""
    mu, sigma, other, tau = matrices()
    turn = torch.linalg.qr(sigma + tau).Q
    there, back = judge.frechet(mu, sigma, other, tau), judge.frechet(other, tau, mu, sigma)
    turned = judge.frechet(turn @ mu, turn @ sigma @ turn.T, turn @ other, turn @ tau @ turn.T)
    itself = judge.frechet(mu, sigma, mu, sigma)
    return max(abs(float(value)) for value in (there - back, there - turned, itself)) / float(there)


def frechet_is_sqrtm() -> float:
    """The formula of the paper, with a general matrix root, gives the same."""
    from scipy.linalg import sqrtm

    mu, sigma, other, tau = matrices()
    root = torch.from_numpy(sqrtm((sigma @ tau).numpy()).real)
    wanted = (mu - other).square().sum() + (sigma + tau - 2 * root).trace()
    return _far(judge.frechet(mu, sigma, other, tau), wanted)


def bias_follows_the_law(size: int = 16, n: int = 2000, repeats: int = 60) -> float:
    """Two samples of n from one standard normal in 16 dimensions score 2 d / n + d (d + 1) / (2 n): relative error."""
    stream = torch.Generator().manual_seed(5)
    found = []
    for _ in range(repeats):
        x, y = torch.randn(2, n, size, generator=stream, dtype=torch.float64)
        found.append(float(judge.frechet(*judge.gaussian(x), *judge.gaussian(y))))
    law = 2 * size / n + size * (size + 1) / (2 * n)
    same = judge.expected_floor(torch.ones(size, dtype=torch.float64), n)
    return max(abs(sum(found) / repeats / law - 1), abs(same / law - 1))


@torch.no_grad()
def encoder_is_causal() -> float:
    """What the encoder knows after 20 hours does not change with the later ones, before its maximum."""
    torch.manual_seed(0)
    encoder, x = judge.Encoder().double(), torch.randn(4, 32, dtype=torch.float64)
    other = x.clone()
    other[:, 20:] += 3
    moved = (encoder.features(x) - encoder.features(other)).abs()
    return float(moved[:, :20].max()) if float(moved[:, 20:].max()) > 0.1 else math.inf


def score_of_corruption(encode: judge.Trained, x: Tensor, y: Tensor) -> dict[str, float]:
    """Context-FID of real windows x (n, l) against themselves, another real sample y, and corrupted copies."""
    stream = torch.Generator().manual_seed(6)
    found = {
        "the same windows": judge.context_fid(encode, x, x),
        "another real sample": judge.context_fid(encode, x, y),
    }
    return found | {name: judge.context_fid(encode, x, f(x, stream)) for name, f in judge.CORRUPTIONS.items()}


def score_grows_with_noise(encode: judge.Trained, x: Tensor) -> float:
    """0 on identical sets, and larger with every step of added noise: the largest step down, or what is not 0."""
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(6))
    scores = [judge.context_fid(encode, x, x + level * x.std() * noise) for level in (0, 0.2, 0.4, 0.8, 1.6)]
    down = max(a - b for a, b in pairwise(scores))
    return max(scores[0], down, 0.0)


def encoder_has_not_collapsed(encode: judge.Trained, x: Tensor, y: Tensor) -> float:
    """0 if the triplet loss is below 1.95 (3 ln 2 says that all is mapped to 0), and noise scores 100 times real."""
    found = score_of_corruption(encode, x, y)
    sound = encode.loss < judge.SOUND and found["white noise"] > 100 * found["another real sample"]
    return 0.0 if sound else math.inf


def _far(given: Tensor, wanted: Tensor) -> float:
    """The largest difference; infinite where a number is missing."""
    return float((given - wanted).detach().abs().nan_to_num(nan=torch.inf).max())
