"""Judging made series: Context-FID with an encoder of our own, spectra, and the nearest real neighbour.

symbol             here              shape
E(a)               Encoder           (b, l) -> (b, e)
a, b, n_k          triplets          a window, a piece of it, pieces of windows of other series
mu, Sigma          gaussian          (e,), (e, e)
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from companion.psa_gan.panel import Windows, windows

SHORTEST = 16  # hours of the shortest piece
COLLAPSED = 2.079  # 3 ln 2, the loss of an encoder that maps everything to 0
SOUND = 1.95


class Encoder(nn.Module):
    """Causal dilated convolutions with residuals, the maximum over the hours, a linear layer."""

    def __init__(self, levels: int = 5, channels: int = 16, reduced: int = 32, size: int = 16) -> None:
        super().__init__()
        widths = [1, *[channels] * (levels - 1), reduced]
        self.layers = nn.ModuleList(nn.Linear(3 * widths[i], widths[i + 1]) for i in range(levels))
        self.out = nn.Linear(reduced, size)

    def features(self, x: Tensor) -> Tensor:
        """What is known after each hour from it and earlier ones: (b, l, reduced) of standardised x (b, l)."""
        h = x.unsqueeze(2)
        for i, layer in enumerate(self.layers):
            step = 2**i
            late = functional.pad(h, (0, 0, 2 * step, 0))
            new = layer(torch.cat([late[:, : h.shape[1]], late[:, step : step + h.shape[1]], h], dim=2))
            new = functional.leaky_relu(new, 0.1)
            h = new + h if new.shape == h.shape else new
        return h

    def forward(self, x: Tensor) -> Tensor:
        """E(x) (b, size) of standardised x (b, l)."""
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


class Trained(NamedTuple):
    """An encoder with the mean and spread that standardise its input, and the loss over its last fifty steps."""

    encoder: Encoder
    mean: float
    spread: float
    loss: float

    def __call__(self, x: Tensor) -> Tensor:
        """Embeddings (n, e) float64 of windows (n, l)."""
        with torch.no_grad():
            return self.encoder((x - self.mean) / self.spread).double()


def pieces(x: Tensor, stream: torch.Generator) -> tuple[Tensor, Tensor]:
    """A random stretch of the windows (b, l), and a random stretch of that: (b, l'), (b, l'')."""
    for_both = []
    for _ in range(2):
        size = int(torch.randint(min(SHORTEST, x.shape[1]), x.shape[1] + 1, (), generator=stream))
        first = int(torch.randint(x.shape[1] - size + 1, (), generator=stream))
        x = x[:, first : first + size]
        for_both.append(x)
    return for_both[0], for_both[1]


def training_losses(encoder: Encoder, data: Windows, part: str, steps: int, batch: int, seed: int) -> Iterator[float]:
    """Train the encoder without labels on a part of the panel; yields the loss of every step."""
    stream = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(encoder.parameters(), 2e-3, fused=True)
    mean, spread = standards(data, part)
    for _ in range(steps):
        drawn = data.draw(part, batch, stream)
        a, b = pieces((drawn.x - mean) / spread, stream)
        loss = triplet_loss(encoder(a), encoder(b), drawn.series.unsqueeze(1) != drawn.series)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(encoder.parameters(), 1.0)
        optimizer.step()
        yield loss.item()


def standards(data: Windows, part: str) -> tuple[float, float]:
    """Mean and spread of a part of the panel, two numbers that standardise the encoder's input."""
    seen = data.at(data.starts[part][:: data.length]).x
    return float(seen.mean()), float(seen.std())


@cache
def trained_encoder(data: str, length: int, part: str, steps: int, batch: int, seed: int) -> Trained:
    """One encoder for all arms of a set, on a part that is never judged; made once, with a seed of its own."""
    panel = windows(data, length)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        encoder = Encoder()
        losses = list(training_losses(encoder, panel, part, steps, batch, seed))
    return Trained(encoder.eval(), *standards(panel, part), sum(losses[-50:]) / len(losses[-50:]))


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


def context_fid(encode: Trained, real: Tensor, made: Tensor) -> float:
    """The Frechet distance between the Gaussians of embedded windows (n, l) and (m, l)."""
    return max(float(frechet(*gaussian(encode(real)), *gaussian(encode(made)))), 0.0)


def expected_floor(eigenvalues: Tensor, n: int) -> float:
    """First-order bias of the distance between two samples of n from one Gaussian with these eigenvalues (e,).

    For the identity in d dimensions: 2 d / n + d (d + 1) / (2 n).
    """
    pairs = eigenvalues.unsqueeze(1) * eigenvalues / (eigenvalues.unsqueeze(1) + eigenvalues).clamp(min=1e-12)
    return float((2 * eigenvalues.sum() + pairs.sum() + pairs.diagonal().sum()) / n)


# ---------------------------------------------------------------- what Context-FID does not see


def log_spectral_distance(real: Tensor, made: Tensor) -> float:
    """Root mean square, over frequencies but 0, of the difference of the logarithms of mean power; (n, l), (m, l)."""
    powers = [torch.fft.rfft(x - x.mean(1, keepdim=True)).abs().square().mean(0)[1:].log() for x in (real, made)]
    return float((powers[0] - powers[1]).square().mean().sqrt())


def nearest(made: Tensor, real: Tensor, chunk: int = 100) -> Tensor:
    """Distance of each made window (n, l) to the nearest real one (m, l): (n,)."""
    return torch.cat([torch.cdist(part, real).amin(1) for part in made.split(chunk)])


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
