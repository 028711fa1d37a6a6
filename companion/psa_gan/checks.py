"""Correctness checks: what is true of a right implementation for all data; each returns an error near zero."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn

from companion.psa_gan import evaluation
from companion.psa_gan.evaluation import with_random_skip
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


def make_networks(attention: int = 4) -> tuple[Generator, Discriminator]:
    """Generator and discriminator of depth 3 in float64 with attention switched on, in evaluation mode."""
    torch.manual_seed(0)
    sizes = (SERIES, DEPTH, CHANNELS, attention)
    pair = Generator(*sizes).double(), Discriminator(*sizes).double()
    for network in pair:
        for part in network.modules():
            if isinstance(part, Attention):
                nn.init.constant_(part.gamma, 0.7)
        network.eval()
    return pair


def conditions(hours: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """x (5, hours), phi (5, hours, 8), series (5,), z (5, 8, 1), float64."""
    stream = torch.Generator().manual_seed(1)
    x = torch.rand(5, hours, generator=stream, dtype=torch.float64)
    phi = torch.rand(5, hours, CALENDAR, generator=stream, dtype=torch.float64) - 0.5
    return x, phi, torch.arange(5) % SERIES, torch.randn(5, 8, 1, generator=stream, dtype=torch.float64)


# ---------------------------------------------------------------- growing


@torch.no_grad()
def discriminator_is_unchanged_at_alpha_0() -> float:
    """At alpha = 0 the score of a window is that of the pooled window at the level before, at every level."""
    _, discriminator = make_networks()
    errors = []
    for level in range(1, DEPTH + 1):
        x, phi, series, _ = conditions(8 << level)
        errors.append(largest_difference(discriminator(x, phi, series, 0.0), discriminator(pool(x), pool(phi), series)))
    return max(errors)


@torch.no_grad()
def generator_is_unchanged_at_alpha_0() -> float:
    """At alpha = 0 the generator's output is that of the level before, upsampled, at every level."""
    generator, _ = make_networks()
    errors = []
    for level in range(1, DEPTH + 1):
        _, phi, series, z = conditions(8 << level)
        errors.append(largest_difference(generator(phi, series, z, 0.0), upsample(generator(pool(phi), series, z))))
    return max(errors)


@torch.no_grad()
def change_with_a_random_skip() -> float:
    """The same difference with a randomly initialized skip layer: far from zero. A number to show, not a check."""
    generator, _ = make_networks()
    _, phi, series, z = conditions(8 << DEPTH)
    random = with_random_skip(generator, DEPTH, seed=3).eval()
    return largest_difference(random(phi, series, z, 0.0), upsample(generator(pool(phi), series, z)))


@torch.no_grad()
def fading_is_linear() -> float:
    """At alpha = 0.5 the generator's output is the mean of those at 0 and 1."""
    generator, _ = make_networks()
    _, phi, series, z = conditions(16)
    ends = (generator(phi, series, z, 0.0) + generator(phi, series, z, 1.0)) / 2
    return largest_difference(generator(phi, series, z, 0.5), ends)


# ---------------------------------------------------------------- the blocks


def largest_singular_values_are_one() -> float:
    """After power iterations every normalized weight of both networks has the largest singular value 1."""
    generator, discriminator = (network.train() for network in make_networks())
    x, phi, series, z = conditions(64)
    with torch.no_grad():
        for _ in range(300):
            generator(phi, series, z)
            discriminator(x, phi, series)
    generator.eval()
    discriminator.eval()
    weights = [
        part.weight for network in (generator, discriminator) for part in network.modules()
        if isinstance(part, nn.Linear) and nn.utils.parametrize.is_parametrized(part)
    ]  # fmt: skip
    return max(float((torch.linalg.matrix_norm(weight.detach(), 2) - 1).abs()) for weight in weights)


def attention_equals_the_formula() -> float:
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
    return largest_difference(layer(h), found)


def only_attention_connects_distant_hours() -> float:
    """The gradient of a block's hour 0 with respect to hour 20 is 0 for gamma = 0, and not 0 for gamma = 0.7."""
    gradients = []
    for gamma in (0.0, 0.7):
        torch.manual_seed(0)
        block = Block(CHANNELS, CHANNELS, 4).double()
        nn.init.constant_(next(part for part in block.modules() if isinstance(part, Attention)).gamma, gamma)
        h = torch.randn(1, 32, CHANNELS, dtype=torch.float64, requires_grad=True)
        (gradient,) = torch.autograd.grad(block(h)[0, 0].sum(), h)
        gradients.append(float(gradient[0, 20].abs().max()))
    return gradients[0] if gradients[1] > 1e-6 else math.inf


def moment_loss_equals_by_hand() -> float:
    """Two windows of four hours: the means differ by 1 and 0, the standard deviations by 0 and 1; one half each."""
    real = torch.tensor([[0.0, 2.0, 0.0, 2.0], [0.0, 2.0, 0.0, 2.0]], dtype=torch.float64)
    fake = torch.tensor([[1.0, 3.0, 1.0, 3.0], [-1.0, 3.0, -1.0, 3.0]], dtype=torch.float64)
    shuffled = fake[:, [2, 1, 0, 3]]
    return max(abs(float(moment_loss(fake, real)) - 1.0), abs(float(moment_loss(shuffled, real)) - 1.0))


# ---------------------------------------------------------------- Context-FID


def matrices(size: int = 6) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Two means (6,) and two covariances (6, 6), float64, that do not commute."""
    stream = torch.Generator().manual_seed(4)
    roots = torch.randn(2, size, size, generator=stream, dtype=torch.float64)
    means = torch.randn(2, size, generator=stream, dtype=torch.float64)
    return means[0], roots[0] @ roots[0].T, means[1], roots[1] @ roots[1].T


def frechet_closed_forms() -> float:
    """One dimension: (m - m')^2 + (s - s')^2; covariances with the same axes: the same, summed over the axes."""
    one = torch.tensor([[3.0]]).double()
    line = evaluation.frechet(one[0], one**2, one[0] - 2, (one - 2) ** 2)
    rotation = torch.linalg.qr(matrices()[1]).Q
    a, b = torch.arange(1.0, 7.0).double(), torch.linspace(5, 0.5, 6).double()
    zero = torch.zeros(6, dtype=torch.float64)
    axes = evaluation.frechet(
        zero, rotation @ torch.diag(a**2) @ rotation.T, zero, rotation @ torch.diag(b**2) @ rotation.T
    )
    return max(abs(float(line) - 8.0), abs(float(axes - (a - b).square().sum())))


def frechet_symmetries() -> float:
    """Zero from itself, symmetric, and invariant to rotating both Gaussians together."""
    mu, sigma, other, tau = matrices()
    rotation = torch.linalg.qr(sigma + tau).Q
    forward, backward = evaluation.frechet(mu, sigma, other, tau), evaluation.frechet(other, tau, mu, sigma)
    rotated = evaluation.frechet(
        rotation @ mu, rotation @ sigma @ rotation.T, rotation @ other, rotation @ tau @ rotation.T
    )
    itself = evaluation.frechet(mu, sigma, mu, sigma)
    return max(abs(float(value)) for value in (forward - backward, forward - rotated, itself)) / float(forward)


def frechet_equals_sqrtm() -> float:
    """The formula of the paper, with a general matrix root, gives the same."""
    from scipy.linalg import sqrtm

    mu, sigma, other, tau = matrices()
    root = torch.from_numpy(sqrtm((sigma @ tau).numpy()).real)
    expected = (mu - other).square().sum() + (sigma + tau - 2 * root).trace()
    return largest_difference(evaluation.frechet(mu, sigma, other, tau), expected)


def bias_equals_theory(size: int = 16, n: int = 2000, repeats: int = 60) -> float:
    """Two samples of n from one standard normal in 16 dimensions score 2 d / n + d (d + 1) / (2 n): relative error."""
    stream = torch.Generator().manual_seed(5)
    found = []
    for _ in range(repeats):
        x, y = torch.randn(2, n, size, generator=stream, dtype=torch.float64)
        found.append(float(evaluation.frechet(*evaluation.gaussian(x), *evaluation.gaussian(y))))
    theory = 2 * size / n + size * (size + 1) / (2 * n)
    same = evaluation.expected_floor(torch.ones(size, dtype=torch.float64), n)
    return max(abs(sum(found) / repeats / theory - 1), abs(same / theory - 1))


@torch.no_grad()
def encoder_is_causal() -> float:
    """The encoder's features of the first 20 hours do not depend on later hours."""
    torch.manual_seed(0)
    encoder, x = evaluation.Encoder().double(), torch.randn(4, 32, dtype=torch.float64)
    other = x.clone()
    other[:, 20:] += 3
    moved = (encoder.features(x) - encoder.features(other)).abs()
    return float(moved[:, :20].max()) if float(moved[:, 20:].max()) > 0.1 else math.inf


def score_of_corruption(encode: evaluation.TrainedEncoder, x: Tensor, y: Tensor) -> dict[str, float]:
    """Context-FID of real windows x (n, l) against themselves, another real sample y, and corrupted copies."""
    stream = torch.Generator().manual_seed(6)
    found = {
        "the same windows": evaluation.context_fid(encode, x, x),
        "another real sample": evaluation.context_fid(encode, x, y),
    }
    return found | {name: evaluation.context_fid(encode, x, f(x, stream)) for name, f in evaluation.CORRUPTIONS.items()}


def score_grows_with_noise(encode: evaluation.TrainedEncoder, x: Tensor) -> float:
    """0 for identical sets, and increasing with added noise: the largest decrease, or the score that is not 0."""
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(6))
    scores = [evaluation.context_fid(encode, x, x + level * x.std() * noise) for level in (0, 0.2, 0.4, 0.8, 1.6)]
    decrease = max(a - b for a, b in pairwise(scores))
    return max(scores[0], decrease, 0.0)


def encoder_has_not_collapsed(encode: evaluation.TrainedEncoder, x: Tensor, y: Tensor) -> float:
    """0 if the triplet loss is below 1.95 (3 ln 2: collapsed) and noise scores 100 times another real sample."""
    found = score_of_corruption(encode, x, y)
    trained = encode.loss < evaluation.LARGEST_LOSS and found["white noise"] > 100 * found["another real sample"]
    return 0.0 if trained else math.inf


def largest_difference(computed: Tensor, expected: Tensor) -> float:
    """The largest difference; infinite where a number is NaN."""
    return float((computed - expected).detach().abs().nan_to_num(nan=torch.inf).max())
