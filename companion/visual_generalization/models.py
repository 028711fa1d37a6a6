"""The approaches' networks: from images (B, C, S, S) to a prediction of every factor, (B, F), or to codes (B, D).

symbol            here                     shape
z, mu, log var    codes, mean, spread      (B, D)
beta              beta                     ()    weight of the KL term
gamma, lambda     gamma, rate              ()    SlowVAE: weight and rate of the Laplace prior
r(h, h')          PCL.pair_logit           (B,)  PCL's regression function
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

Layer = TypeVar("Layer", nn.Linear, nn.Conv2d, nn.ConvTranspose2d)


@dataclass(frozen=True)
class Shape:
    """Sizes of inputs, outputs and layers. The paper's CNN has widths (32, 32, 64, 64) and hidden 256, on 64 pixels."""

    channels: int = 1  # channels of an image
    side: int = 32  # pixels along an image's side
    factors: int = 5  # factors to predict
    widths: tuple[int, ...] = (8, 16, 32)  # channels of the convolutions
    hidden: int = 128  # units of a hidden layer
    readout: tuple[int, ...] = (128, 128)  # hidden units of the network that reads factors from frozen codes
    latents: int = 10  # dimensions of a learned representation

    @property
    def last_side(self) -> int:
        """The side of the image after all convolutions."""
        return self.side // 2 ** len(self.widths)


def kaiming(layer: Layer) -> Layer:
    """The layer with He's initial weights and no bias; with few epochs, smaller ones stay too small."""
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def halving(before: int, after: int) -> nn.Conv2d:
    """The benchmark's convolution: 4 x 4 with stride 2, which halves the image."""
    return kaiming(nn.Conv2d(before, after, kernel_size=4, stride=2, padding=1))


def perceptron(sizes: tuple[int, ...], last: float = 0.1) -> nn.Sequential:
    """Linear layers with a ReLU between any two; the last layer's initial weights are He's times `last`."""
    layers = [kaiming(nn.Linear(before, after)) for before, after in pairwise(sizes)]
    layers[-1].weight.data *= last
    return nn.Sequential(*[part for layer in layers[:-1] for part in (layer, nn.ReLU())], layers[-1])


def convolutions(channels: int, shape: Shape, out: int) -> nn.Sequential:
    """The benchmark's stack: 4 x 4 convolutions that halve the image, one hidden layer, a linear layer to `out`."""
    layers: list[nn.Module] = []
    for before, after in pairwise((channels, *shape.widths)):
        layers += [halving(before, after), nn.ReLU()]
    flat = shape.widths[-1] * shape.last_side**2
    return nn.Sequential(*layers, nn.Flatten(), perceptron((flat, shape.hidden, out)))


def mlp(shape: Shape) -> nn.Module:
    """A perceptron on the pixels."""
    sizes = (shape.channels * shape.side**2, 2 * shape.hidden, 2 * shape.hidden, shape.factors)
    return nn.Sequential(nn.Flatten(), perceptron(sizes))


def cnn(shape: Shape) -> nn.Module:
    """The benchmark's own network."""
    return convolutions(shape.channels, shape, shape.factors)


def coordinates(side: int, device: torch.device) -> Tensor:
    """Two images of the column and the row of each pixel, (2, S, S) in [-1, 1]."""
    line = (2 * torch.arange(side, device=device) + 1) / side - 1
    return torch.stack(torch.meshgrid(line, line, indexing="xy"))


class CoordConv(nn.Module):
    """The benchmark's network with two more input channels, the pixels' coordinates (Liu et al., 2018)."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.net = convolutions(shape.channels + 2, shape, shape.factors)

    def forward(self, images: Tensor) -> Tensor:
        """Factors (B, F) from images (B, C, S, S)."""
        position = coordinates(images.shape[-1], images.device).to(images.dtype)
        return self.net(torch.cat([images, position.expand(len(images), -1, -1, -1)], dim=1))


class CoordinateNetwork(nn.Module):
    """Coordinate-based: sines of the coordinates, weighted by brightness and summed (our interpretation, like SIREN).

    h = sum over pixels p of I(p) sin(W p + b), then a perceptron.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.waves = nn.Linear(2, shape.hidden)
        nn.init.uniform_(self.waves.weight, -12.0, 12.0)
        self.head = perceptron((shape.channels * shape.hidden, 2 * shape.hidden, 2 * shape.hidden, shape.factors))
        self.scale = shape.side

    def forward(self, images: Tensor) -> Tensor:
        """Factors (B, F) from images (B, C, S, S)."""
        position = coordinates(images.shape[-1], images.device).flatten(1).T
        features = images.flatten(2) @ torch.sin(self.waves(position.to(images.dtype))) / self.scale
        return self.head(features.flatten(1))


class SpatialTransformer(nn.Module):
    """A spatial transformer: a small network predicts an affine map of the image, which the CNN then sees.

    It starts with the identity (Jaderberg et al., 2015).
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.localization = convolutions(shape.channels, shape, 6)
        self.classifier = convolutions(shape.channels, shape, shape.factors)
        self.skip = nn.Linear(6, shape.factors)
        weight, bias = list(self.localization.parameters())[-2:]
        weight.data.zero_()
        bias.data = torch.tensor([1.0, 0, 0, 0, 1, 0])

    def forward(self, images: Tensor) -> Tensor:
        """Factors (B, F) from images (B, C, S, S); the affine parameters are also an input of the output layer."""
        affine = self.localization(images)
        grid = functional.affine_grid(affine.unflatten(1, (2, 3)), list(images.shape), align_corners=False)
        return self.classifier(functional.grid_sample(images, grid, align_corners=False)) + self.skip(affine)


# ---------------------------------------------------------------- equivariance to rotations by 90 degrees (group p4)


class P4LiftingConv(nn.Module):
    """Convolution of an image with each filter in four rotations: (B, C, S, S) to (B, 4 K, S / 2, S / 2)."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.weight, self.bias = halving(before, after).weight, nn.Parameter(torch.zeros(after))

    def forward(self, images: Tensor) -> Tensor:
        """Rotating the image by 90 degrees rotates the maps and shifts them cyclically within each group of four."""
        rotated = torch.stack([torch.rot90(self.weight, r, (-2, -1)) for r in range(4)], dim=1).flatten(0, 1)
        return functional.conv2d(images, rotated, self.bias.repeat_interleave(4), stride=2, padding=1)


class P4Conv(nn.Module):
    """Convolution of maps in groups of four rotations: (B, 4 J, S, S) to (B, 4 K, S / 2, S / 2)."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.weight, self.bias = halving(4 * before, after).weight, nn.Parameter(torch.zeros(after))

    def forward(self, maps: Tensor) -> Tensor:
        """The filter for rotation r is that for rotation 0, rotated, with its four inputs shifted cyclically by r."""
        weight = self.weight.unflatten(1, (-1, 4))  # (K, J, 4 rotations, 4, 4)
        rotated = [torch.rot90(weight.roll(r, dims=2), r, (-2, -1)).flatten(1, 2) for r in range(4)]
        filters = torch.stack(rotated, dim=1).flatten(0, 1)
        return functional.conv2d(maps, filters, self.bias.repeat_interleave(4), stride=2, padding=1)


class P4GroupCNN(nn.Module):
    """A CNN whose maps are equivariant to rotations by 90 degrees (Cohen and Welling, 2016); its head is not.

    Each layer has a quarter of the CNN's filters, in four rotations: as many maps, a quarter of the weights.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        groups = [max(width // 4, 1) for width in shape.widths]
        layers: list[nn.Module] = [P4LiftingConv(shape.channels, groups[0]), nn.ReLU()]
        for before, after in pairwise(groups):
            layers += [P4Conv(before, after), nn.ReLU()]
        self.maps = nn.Sequential(*layers)
        self.head = perceptron((4 * groups[-1] * shape.last_side**2, shape.hidden, shape.factors))

    def forward(self, images: Tensor) -> Tensor:
        """Factors (B, F) from images (B, C, S, S)."""
        return self.head(self.maps(images).flatten(1))


# ---------------------------------------------------------------- representations learned without labels or from pairs


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
    """Images (B, C, S, S) to codes (B, D), learned without labels, from images or (`pairs`) from pairs of images."""

    pairs = False

    def codes(self, images: Tensor) -> Tensor:
        """The codes, (B, D), that the readout network gets."""
        raise NotImplementedError

    def loss(self, images: Tensor, others: Tensor) -> Tensor:
        """The training loss of images and their partners (B, C, S, S); without `pairs` both are the same."""
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
        """The means of the posterior, (B, D)."""
        return self.posterior(images)[0]

    def reconstruction(self, images: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
        """The negative log-likelihood of each image under a sampled code, (B,), in nats."""
        z = mean + torch.randn_like(mean) * (0.5 * log_variance).exp()
        decoded = self.decoder(z).float()
        return functional.binary_cross_entropy_with_logits(decoded, images, reduction="none").flatten(1).sum(1)

    def elbo(self, images: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
        """Reconstruction + beta KL, the mean over the batch."""
        return (self.reconstruction(images, mean, log_variance) + self.beta * kl_to_normal(mean, log_variance)).mean()

    def loss(self, images: Tensor, others: Tensor) -> Tensor:
        """The loss of a batch; a beta-VAE uses single images and ignores `others`."""
        return self.elbo(images, *self.posterior(images))


class AdaGVAE(VAE):
    """Ada-GVAE: latents that hardly differ within a pair are averaged (Locatello et al., 2020)."""

    pairs = True

    def loss(self, images: Tensor, others: Tensor) -> Tensor:
        """Shared are the latents whose KL is below the midpoint of the image's smallest and largest KL."""
        (mean, log_var), (other, other_log) = self.posterior(images), self.posterior(others)
        gap = kl_between(mean, log_var, other, other_log).detach()
        shared = gap < (gap.amin(1, keepdim=True) + gap.amax(1, keepdim=True)) / 2
        average, average_log = (mean + other) / 2, ((log_var.exp() + other_log.exp()) / 2).log()
        first = torch.where(shared, average, mean), torch.where(shared, average_log, log_var)
        second = torch.where(shared, average, other), torch.where(shared, average_log, other_log)
        return (self.elbo(images, *first) + self.elbo(others, *second)) / 2


class SlowVAE(VAE):
    """SlowVAE: few codes change from one image to the next, and by little (Klindt et al., 2021)."""

    pairs = True

    def __init__(self, shape: Shape, beta: float = 1.0, gamma: float = 10.0, rate: float = 6.0) -> None:
        super().__init__(shape, beta)
        self.gamma, self.rate = gamma, rate

    def loss(self, images: Tensor, others: Tensor) -> Tensor:
        """Both reconstructions, beta KL to N(0, 1), and gamma (cross-entropy to a Laplace - entropy), both ways."""
        (mean, log_var), (other, other_log) = self.posterior(images), self.posterior(others)
        elbo = self.elbo(images, mean, log_var) + self.elbo(others, other, other_log)
        change = self.change(mean, other, other_log) + self.change(other, mean, log_var)
        return (elbo + self.gamma * change) / 2

    def change(self, before: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
        """KL from the second posterior to a Laplace around the first one's mean: cross-entropy minus entropy."""
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

    def pair_logit(self, h: Tensor, other: Tensor) -> Tensor:
        """r(h, h') = m + sum of h_i^2 - |a_i h_i + b_i h'_i + c_i|, (B,): the logit of a true pair."""
        return self.m + (h.square() - (self.a * h + self.b * other + self.c).abs()).sum(1)

    def loss(self, images: Tensor, others: Tensor) -> Tensor:
        """Logistic loss of true pairs against shuffled pairs."""
        h, other = self.codes(images), self.codes(others)
        true, shuffled = self.pair_logit(h, other), self.pair_logit(h, other.roll(1, 0))
        return (functional.softplus(-true) + functional.softplus(shuffled)).mean()


class PCA(Representation):
    """The leading principal axes of the training images, fitted by a singular value decomposition."""

    mean: Tensor
    axes: Tensor

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        size = shape.channels * shape.side**2
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("axes", torch.zeros(size, 2 * shape.latents))

    def fit(self, images: Tensor) -> None:
        """Find mean and axes of training images (N, C, S, S); a randomized singular value decomposition."""
        flat = images.flatten(1)
        self.mean = flat.mean(0)
        self.axes = torch.pca_lowrank(flat, q=self.axes.shape[1], niter=3)[2]

    def codes(self, images: Tensor) -> Tensor:
        """Coordinates along the axes, (B, 2 D)."""
        return (images.flatten(1) - self.mean) @ self.axes
