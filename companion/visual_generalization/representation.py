"""Representations that are learnt without labels, or from pairs, and frozen before a read-out sees a label.

symbol            here                     shape
z, mu, log var    codes, mean, spread      (B, D)
beta              beta                     ()    weight of the KL term
gamma, lambda     gamma, rate              ()    SlowVAE: weight and rate of the Laplace prior
r(h, h')          PCL.agreement            (B,)  PCL's regression function
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from companion.visual_generalization.models import Shape, convolutions, kaiming, perceptron


def kl_to_normal(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(q || N(0, 1)) of each image, (B,), from (B, D)."""
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(1)


def kl_between(mean: Tensor, log_variance: Tensor, other: Tensor, other_log: Tensor) -> Tensor:
    """KL(q || q') of each latent, (B, D)."""
    ratio = (log_variance - other_log).exp()
    return 0.5 * (ratio + (mean - other).square() / other_log.exp() - 1 - log_variance + other_log)


def laplace_cross_entropy(gap: Tensor, spread: Tensor, rate: float) -> Tensor:
    """-E log Laplace(x; 0, 1 / rate) for x ~ N(gap, spread^2), in closed form: SlowVAE's prior on a code's change."""
    ratio = gap / spread
    normal = torch.exp(-0.5 * ratio.square()) * math.sqrt(2 / math.pi)
    distance = spread * normal + gap * torch.erf(ratio / math.sqrt(2))  # E |x|
    return -math.log(rate / 2) + rate * distance


class Representation(nn.Module):
    """Images (B, C, S, S) to codes (B, D), learnt from batches of images and, where `pairs` says so, their partners."""

    pairs = False

    def codes(self, images: Tensor) -> Tensor:
        """What the read-out sees, (B, D)."""
        raise NotImplementedError

    def loss(self, images: Tensor, others: Tensor) -> Tensor:
        """What training lowers, for images and partners (B, C, S, S); where `pairs` is False both are the same."""
        raise NotImplementedError


class VAE(Representation):
    """A variational autoencoder with a Bernoulli decoder, and beta-VAE's loss (Higgins et al., 2017)."""

    def __init__(self, shape: Shape, beta: float = 1.0) -> None:
        super().__init__()
        self.beta, self.latents = beta, shape.latents
        self.encoder = convolutions(shape.channels, shape, 2 * shape.latents)
        side, widths = shape.last_side, (*shape.widths[::-1], shape.channels)
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [kaiming(nn.ConvTranspose2d(before, after, 4, 2, 1)), nn.ReLU()]
        grow = perceptron((shape.latents, shape.hidden, widths[0] * side**2), last=1.0)
        self.decoder = nn.Sequential(grow, nn.ReLU(), nn.Unflatten(1, (widths[0], side, side)), *layers[:-1])

    def posterior(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance of the codes, (B, D) each."""
        mean, log_variance = self.encoder(images).chunk(2, dim=1)
        return mean, log_variance.clamp(-12, 6)

    def codes(self, images: Tensor) -> Tensor:
        """What the read-out sees: the means, (B, D)."""
        return self.posterior(images)[0]

    def reconstruction(self, images: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
        """Nats lost by drawing an image from a sampled code, (B,)."""
        z = mean + torch.randn_like(mean) * (0.5 * log_variance).exp()
        drawn = self.decoder(z).float()
        return functional.binary_cross_entropy_with_logits(drawn, images, reduction="none").flatten(1).sum(1)

    def elbo(self, images: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
        """Reconstruction + beta KL, the mean over the batch."""
        return (self.reconstruction(images, mean, log_variance) + self.beta * kl_to_normal(mean, log_variance)).mean()

    def loss(self, images: Tensor, others: Tensor) -> Tensor:
        """The batch's loss; a beta-VAE looks at single images and not at `others`."""
        return self.elbo(images, *self.posterior(images))


class AdaGVAE(VAE):
    """Ada-GVAE: latents that hardly differ within a pair are averaged (Locatello et al., 2020)."""

    pairs = True

    def loss(self, images: Tensor, others: Tensor) -> Tensor:
        """Shared are the latents whose KL lies below the middle between the smallest and the largest of the image."""
        (mean, log_var), (other, other_log) = self.posterior(images), self.posterior(others)
        gap = kl_between(mean, log_var, other, other_log).detach()
        shared = gap < (gap.amin(1, keepdim=True) + gap.amax(1, keepdim=True)) / 2
        both, both_log = (mean + other) / 2, ((log_var.exp() + other_log.exp()) / 2).log()
        first = torch.where(shared, both, mean), torch.where(shared, both_log, log_var)
        second = torch.where(shared, both, other), torch.where(shared, both_log, other_log)
        return (self.elbo(images, *first) + self.elbo(others, *second)) / 2


class SlowVAE(VAE):
    """SlowVAE: codes change little from one image to the next, and few of them (Klindt et al., 2021)."""

    pairs = True

    def __init__(self, shape: Shape, beta: float = 1.0, gamma: float = 10.0, rate: float = 6.0) -> None:
        super().__init__(shape, beta)
        self.gamma, self.rate = gamma, rate

    def loss(self, images: Tensor, others: Tensor) -> Tensor:
        """Both reconstructions, beta KL to N(0, 1), and gamma (cross-entropy to a Laplace - entropy), both ways."""
        (mean, log_var), (other, other_log) = self.posterior(images), self.posterior(others)
        plain = self.elbo(images, mean, log_var) + self.elbo(others, other, other_log)
        change = self.change(mean, other, other_log) + self.change(other, mean, log_var)
        return (plain + self.gamma * change) / 2

    def change(self, before: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
        """KL from the second posterior to a Laplace around the first one's mean: cross-entropy less entropy."""
        spread = (0.5 * log_variance).exp()
        entropy = 0.5 * (log_variance + math.log(2 * math.pi * math.e))
        return (laplace_cross_entropy(mean - before, spread, self.rate) - entropy).sum(1).mean()


class PCL(Representation):
    """Permutation contrastive learning: tell a true pair from a shuffled one (Hyvarinen and Morioka, 2017)."""

    pairs = True

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.encoder = convolutions(shape.channels, shape, shape.latents)
        ones = torch.ones(shape.latents)
        self.a, self.b, self.c = nn.Parameter(ones.clone()), nn.Parameter(-ones), nn.Parameter(0 * ones)
        self.m = nn.Parameter(torch.zeros(()))

    def codes(self, images: Tensor) -> Tensor:
        """Codes (B, D)."""
        return self.encoder(images)

    def agreement(self, h: Tensor, other: Tensor) -> Tensor:
        """r(h, h') = m + sum of h_i^2 - |a_i h_i + b_i h'_i + c_i|, (B,): the logit of a true pair."""
        return self.m + (h.square() - (self.a * h + self.b * other + self.c).abs()).sum(1)

    def loss(self, images: Tensor, others: Tensor) -> Tensor:
        """Logistic loss of true pairs against the same images paired anew."""
        h, other = self.codes(images), self.codes(others)
        true, shuffled = self.agreement(h, other), self.agreement(h, other.roll(1, 0))
        return (functional.softplus(-true) + functional.softplus(shuffled)).mean()


class PCA(Representation):
    """The leading principal axes of the training images; fitted at once, never by gradient."""

    mean: Tensor
    axes: Tensor

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        size = shape.channels * shape.side**2
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("axes", torch.zeros(size, 2 * shape.latents))

    def fit(self, images: Tensor) -> None:
        """Find mean and axes of training images (N, C, S, S); a randomised singular value decomposition."""
        flat = images.flatten(1)
        self.mean = flat.mean(0)
        self.axes = torch.pca_lowrank(flat, q=self.axes.shape[1], niter=3)[2]

    def codes(self, images: Tensor) -> Tensor:
        """Coordinates along the axes, (B, 2 D)."""
        return (images.flatten(1) - self.mean) @ self.axes
