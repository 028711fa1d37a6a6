"""Metrics of generated series: Context-FID with an encoder of our own, spectra, nearest neighbors, usefulness.

symbol             here              shape
E(a)               Encoder           (b, l) -> (b, e)
a, b, n_k          triplets          a window, a piece of it, pieces of windows of other series
mu, Sigma          gaussian          (e,), (e, e)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from sklearn.linear_model import RidgeCV
from torch import Tensor, nn
from torch.nn import functional

from companion.lab.evidence import Measurement
from companion.psa_gan.data import Windows, windows
from companion.psa_gan.method import Batch, Generator, level_of, pool, upsample

SHORTEST = 16  # hours of the shortest piece
COLLAPSED = 2.079  # 3 ln 2, the loss of an encoder that maps everything to 0
LARGEST_LOSS = 1.95  # of an encoder that has not collapsed


class Encoder(nn.Module):
    """Causal dilated convolutions with residuals, the maximum over the hours, a linear layer."""

    def __init__(self, levels: int = 5, channels: int = 16, reduced: int = 32, size: int = 16) -> None:
        super().__init__()
        widths = [1, *[channels] * (levels - 1), reduced]
        self.layers = nn.ModuleList(nn.Linear(3 * widths[i], widths[i + 1]) for i in range(levels))
        self.out = nn.Linear(reduced, size)

    def features(self, x: Tensor) -> Tensor:
        """What is known after each hour from it and earlier ones: (b, l, reduced) of standardized x (b, l)."""
        h = x.unsqueeze(2)
        for i, layer in enumerate(self.layers):
            step = 2**i
            late = functional.pad(h, (0, 0, 2 * step, 0))
            new = layer(torch.cat([late[:, : h.shape[1]], late[:, step : step + h.shape[1]], h], dim=2))
            new = functional.leaky_relu(new, 0.1)
            h = new + h if new.shape == h.shape else new
        return h

    def forward(self, x: Tensor) -> Tensor:
        """E(x) (b, size) of standardized x (b, l)."""
        return self.out(self.features(x).amax(1))


def triplet_loss(a: Tensor, b: Tensor, other: Tensor) -> Tensor:
    """Pieces near their window, windows of other series far; a, b (n, e), other (n, n) bool says which are negatives.

    The mean over pairs with negatives of -log s(a b) - mean log s(-a n) - mean log s(-b n), s the logistic function;
    the third term is that of the released code.
    """
    near = -functional.logsigmoid((a * b).sum(1))
    share = other / other.sum(1, keepdim=True).clamp(min=1)
    far = -(functional.logsigmoid(-a @ b.T) + functional.logsigmoid(-b @ b.T))
    return (near + (share * far).sum(1)).mean()


class TrainedEncoder(NamedTuple):
    """An encoder with the mean and spread that standardize its input, and the loss over its last fifty steps."""

    encoder: Encoder
    mean: float
    spread: float
    loss: float

    def __call__(self, x: Tensor) -> Tensor:
        """Embeddings (n, e) float64 of windows (n, l)."""
        with torch.no_grad():
            return self.encoder((x - self.mean) / self.spread).double()


def random_pieces(x: Tensor, stream: torch.Generator) -> tuple[Tensor, Tensor]:
    """A random stretch of the windows (b, l), and a random stretch of that: (b, l'), (b, l'')."""
    for_both = []
    for _ in range(2):
        size = int(torch.randint(min(SHORTEST, x.shape[1]), x.shape[1] + 1, (), generator=stream))
        first = int(torch.randint(x.shape[1] - size + 1, (), generator=stream))
        x = x[:, first : first + size]
        for_both.append(x)
    return for_both[0], for_both[1]


def training_losses(
    encoder: Encoder, data: Windows, part: str, steps: int, batch_size: int, seed: int
) -> Iterator[float]:
    """Train the encoder without labels on a part of the panel; yields the loss of every step."""
    stream = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(encoder.parameters(), 2e-3, fused=True)
    mean, spread = mean_and_spread(data, part)
    for _ in range(steps):
        windows_batch = data.draw(part, batch_size, stream)
        a, b = random_pieces((windows_batch.x - mean) / spread, stream)
        loss = triplet_loss(encoder(a), encoder(b), windows_batch.series.unsqueeze(1) != windows_batch.series)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(encoder.parameters(), 1.0)
        optimizer.step()
        yield loss.item()


def mean_and_spread(data: Windows, part: str) -> tuple[float, float]:
    """Mean and spread of a part of the panel, two numbers that standardize the encoder's input."""
    values = data.at(data.starts[part][:: data.length]).x
    return float(values.mean()), float(values.std())


@cache
def trained_encoder(data: str, length: int, part: str, steps: int, batch_size: int, seed: int) -> TrainedEncoder:
    """One encoder for all methods of a data set, on a part that is not evaluated; trained once, with its own seed."""
    panel = windows(data, length)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        encoder = Encoder()
        losses = list(training_losses(encoder, panel, part, steps, batch_size, seed))
    return TrainedEncoder(encoder.eval(), *mean_and_spread(panel, part), sum(losses[-50:]) / len(losses[-50:]))


# ---------------------------------------------------------------- Context-FID


def gaussian(embedded: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (e,) and covariance (e, e) of embeddings (n, e)."""
    return embedded.mean(0), torch.cov(embedded.T).reshape(embedded.shape[1], -1)


def root(matrix: Tensor) -> Tensor:
    """The symmetric root of a positive matrix (e, e)."""
    values, vectors = torch.linalg.eigh(matrix)
    return vectors * values.clamp(min=0).sqrt() @ vectors.T


def frechet(mu: Tensor, sigma: Tensor, other_mu: Tensor, other_sigma: Tensor) -> Tensor:
    """|mu - mu'|^2 + tr(S + S' - 2 (S^(1/2) S' S^(1/2))^(1/2)), (), by symmetric roots alone."""
    half = root(sigma)
    shared = torch.linalg.eigvalsh(half @ other_sigma @ half).clamp(min=0).sqrt().sum()
    return (mu - other_mu).square().sum() + sigma.trace() + other_sigma.trace() - 2 * shared


def context_fid(encode: TrainedEncoder, real: Tensor, generated: Tensor) -> float:
    """The Frechet distance between the Gaussians of embedded windows (n, l) and (m, l)."""
    return max(float(frechet(*gaussian(encode(real)), *gaussian(encode(generated)))), 0.0)


def expected_floor(eigenvalues: Tensor, n: int) -> float:
    """First-order bias of the distance between two samples of n from one Gaussian with these eigenvalues (e,).

    For the identity in d dimensions: 2 d / n + d (d + 1) / (2 n).
    """
    pairs = eigenvalues.unsqueeze(1) * eigenvalues / (eigenvalues.unsqueeze(1) + eigenvalues).clamp(min=1e-12)
    return float((2 * eigenvalues.sum() + pairs.sum() + pairs.diagonal().sum()) / n)


# ---------------------------------------------------------------- what Context-FID does not measure


def log_spectral_distance(real: Tensor, generated: Tensor) -> float:
    """Root mean square, over frequencies but 0, of the difference of the logarithms of mean power; (n, l), (m, l)."""
    powers = [torch.fft.rfft(x - x.mean(1, keepdim=True)).abs().square().mean(0)[1:].log() for x in (real, generated)]
    return float((powers[0] - powers[1]).square().mean().sqrt())


def nearest_distance(generated: Tensor, real: Tensor, chunk: int = 100) -> Tensor:
    """Distance of each generated window (n, l) to the nearest real one (m, l): (n,)."""
    return torch.cat([torch.cdist(part, real).amin(1) for part in generated.split(chunk)])


CORRUPTIONS = {
    "shift by 3 h": lambda x, s: x.roll(3, dims=1),
    "smooth over 2 h": lambda x, s: (x + x.roll(1, dims=1)) / 2,
    "smooth over 4 h": lambda x, s: sum(x.roll(k, dims=1) for k in range(4)) / 4,
    "hours shuffled": lambda x, s: x[:, torch.randperm(x.shape[1], generator=s)],
    "level +20 %": lambda x, s: 1.2 * x,
    "half noise": lambda x, s: (x + x.mean() + x.std() * torch.randn(x.shape, generator=s)) / 2,
    "only the mean": lambda x, s: x.mean(1, keepdim=True).expand_as(x),
    "white noise": lambda x, s: x.mean() + x.std() * torch.randn(x.shape, generator=s),
}


# ---------------------------------------------------------------- usefulness: a forecaster trained on generated windows

DAY = 24
RIDGE_LAMBDAS = tuple(np.logspace(-3, 2, 11).tolist())


def past_and_future(x: Tensor, horizon: int) -> tuple[np.ndarray, np.ndarray]:
    """Known hours (n, l - horizon) and hours to predict (n, horizon) of windows (n, l)."""
    known, future = x.double().cpu().numpy()[:, :-horizon], x.double().cpu().numpy()[:, -horizon:]
    return known, future


def ridge_error(training: Tensor, test: Tensor, horizon: int) -> float:
    """Error of a ridge regression trained and tested on windows (n, l), (m, l); its strength by leave-one-out."""
    model = RidgeCV(RIDGE_LAMBDAS).fit(*past_and_future(training, horizon))
    known, future = past_and_future(test, horizon)
    return nrmse(model.predict(known), future)


def seasonal_naive_error(test: Tensor, horizon: int) -> float:
    """Error of the seasonal naive forecast: the value 24 hours before."""
    known, future = past_and_future(test, horizon)
    if known.shape[1] < DAY or horizon > DAY:
        raise ValueError(f"horizon = {horizon} leaves {known.shape[1]} known hours; a day must be known.")
    return nrmse(known[:, -DAY:][:, :horizon], future)


def nrmse(predicted: np.ndarray, true: np.ndarray) -> float:
    """NRMSE in percent: root mean square error over the mean of the true values."""
    return float(100 * np.sqrt(((predicted - true) ** 2).mean()) / true.mean())


def augmented_errors(
    few: Sequence[Tensor], generated: Mapping[str, Tensor], test: Tensor, horizon: int
) -> dict[str, float]:
    """Mean error over the draws in `few` of training on those windows alone, and on them with each of `generated`."""
    errors = {"alone": [ridge_error(real, test, horizon) for real in few]}
    for name, extra in generated.items():
        errors[name] = [ridge_error(torch.cat([real, extra]), test, horizon) for real in few]
    return {name: float(np.mean(found)) for name, found in errors.items()}


# ---------------------------------------------------------------- how the output changes when a level is added

FADED, AT_ONCE, RANDOM_SKIP = "faded in", "at once", "faded in, random skip"


def with_random_skip(generator: Generator, level: int, seed: int) -> Generator:
    """A copy whose skip layer to this level is randomly initialized, as in the released code."""
    copy = deepcopy(generator)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        channels = next(copy.skips[level - 1].parameters()).shape[1]
        copy.skips[level - 1] = nn.Linear(channels, channels, dtype=next(generator.parameters()).dtype)
    return copy


@torch.no_grad()
def before_and_after(generator: Generator, batch: Batch, seed: int) -> dict[str, tuple[Tensor, Tensor]]:
    """Windows (b, l) before the level of these hours is added, and after, for three ways to add it."""
    level = level_of(batch.x.shape[1])
    z = generator.noise(len(batch.x), 0, torch.Generator().manual_seed(seed)).to(batch.x.device)
    random = with_random_skip(generator, level, seed)
    ways = {FADED: (generator, 0.0), AT_ONCE: (generator, 1.0), RANDOM_SKIP: (random, 0.0)}
    for net, _ in ways.values():
        net.eval()
    old = upsample(generator(pool(batch.phi), batch.series, z))
    outputs = {name: (old, net(batch.phi, batch.series, z, alpha)) for name, (net, alpha) in ways.items()}
    generator.train()
    return outputs


def fade_in_change(generator: Generator, batch: Batch, seed: int) -> list[Measurement]:
    """Root mean square change of the output, in standard deviations of the output before, for each way."""
    measurements = []
    for name, (old, new) in before_and_after(generator, batch, seed).items():
        change = float((new - old).square().mean().sqrt() / old.std())
        measurements.append(Measurement("fade-in change", name, "last level", seed, change))
    return measurements
