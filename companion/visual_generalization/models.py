"""The networks: what they share is that images (B, C, S, S) go in and a guess of every factor, (B, F), comes out."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

Layer = TypeVar("Layer", nn.Linear, nn.Conv2d, nn.ConvTranspose2d)


@dataclass(frozen=True)
class Shape:
    """What a builder must know: channels and side of an image, factors, and the widths of the layers.

    The paper's CNN is widths (32, 32, 64, 64), hidden 256, on 64 pixels.
    """

    channels: int = 1
    side: int = 32
    factors: int = 5
    widths: tuple[int, ...] = (8, 16, 32)
    hidden: int = 128
    readout: tuple[int, ...] = (128, 128)
    latents: int = 10

    @property
    def last_side(self) -> int:
        """The side of the image after all convolutions."""
        return self.side // 2 ** len(self.widths)


def kaiming(layer: Layer) -> Layer:
    """The layer with He's initial weights and no bias: five epochs are too few to recover from smaller ones."""
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def halving(before: int, after: int) -> nn.Conv2d:
    """The benchmark's convolution: 4 x 4, and the image comes out half as wide."""
    return kaiming(nn.Conv2d(before, after, kernel_size=4, stride=2, padding=1))


def perceptron(sizes: tuple[int, ...], last: float = 0.1) -> nn.Sequential:
    """Linear layers with a ReLU between any two; the last one's weights start `last` times as large as He's."""
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
    """The same network, told where each pixel is by two more channels (Liu et al., 2018)."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.net = convolutions(shape.channels + 2, shape, shape.factors)

    def forward(self, images: Tensor) -> Tensor:
        """Factors (B, F) from images (B, C, S, S)."""
        where = coordinates(images.shape[-1], images.device).to(images.dtype)
        return self.net(torch.cat([images, where.expand(len(images), -1, -1, -1)], dim=1))


class Points(nn.Module):
    """Coordinate-based: waves of the coordinates, weighted by brightness and summed (our reading, SIREN-like).

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
        where = coordinates(images.shape[-1], images.device).flatten(1).T
        seen = images.flatten(2) @ torch.sin(self.waves(where.to(images.dtype))) / self.scale
        return self.head(seen.flatten(1))


class Transformed(nn.Module):
    """A spatial transformer: a small network moves, turns and scales the image before the CNN sees it.

    It starts with the identity (Jaderberg et al., 2015).
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.where = convolutions(shape.channels, shape, 6)
        self.what = convolutions(shape.channels, shape, shape.factors)
        self.back = nn.Linear(6, shape.factors)
        weight, bias = list(self.where.parameters())[-2:]
        weight.data.zero_()
        bias.data = torch.tensor([1.0, 0, 0, 0, 1, 0])

    def forward(self, images: Tensor) -> Tensor:
        """Factors (B, F) from images (B, C, S, S); what was moved away is told to the output."""
        move = self.where(images)
        grid = functional.affine_grid(move.unflatten(1, (2, 3)), list(images.shape), align_corners=False)
        return self.what(functional.grid_sample(images, grid, align_corners=False)) + self.back(move)


# ---------------------------------------------------------------- quarter turns


class Lifting(nn.Module):
    """Convolution of an image with each filter in its four quarter turns: (B, C, S, S) to (B, 4 K, S / 2, S / 2)."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.weight, self.bias = halving(before, after).weight, nn.Parameter(torch.zeros(after))

    def forward(self, images: Tensor) -> Tensor:
        """Turning the image turns the maps and moves them on by one within each group of four."""
        turned = torch.stack([torch.rot90(self.weight, r, (-2, -1)) for r in range(4)], dim=1).flatten(0, 1)
        return functional.conv2d(images, turned, self.bias.repeat_interleave(4), stride=2, padding=1)


class Quarter(nn.Module):
    """Convolution of maps that come in groups of four turns: (B, 4 J, S, S) to (B, 4 K, S / 2, S / 2)."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.weight, self.bias = halving(4 * before, after).weight, nn.Parameter(torch.zeros(after))

    def forward(self, maps: Tensor) -> Tensor:
        """The filter for turn r is the filter for turn 0, turned, its four inputs moved on by r."""
        weight = self.weight.unflatten(1, (-1, 4))  # (K, J, 4 turns, 4, 4)
        turned = [torch.rot90(weight.roll(r, dims=2), r, (-2, -1)).flatten(1, 2) for r in range(4)]
        filters = torch.stack(turned, dim=1).flatten(0, 1)
        return functional.conv2d(maps, filters, self.bias.repeat_interleave(4), stride=2, padding=1)


class Turning(nn.Module):
    """A CNN whose maps turn with the image by quarter turns (Cohen and Welling, 2016); its head is ordinary.

    Each layer has a quarter of the CNN's filters, in four turns: as many maps, a quarter of the weights.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        groups = [max(width // 4, 1) for width in shape.widths]
        layers: list[nn.Module] = [Lifting(shape.channels, groups[0]), nn.ReLU()]
        for before, after in pairwise(groups):
            layers += [Quarter(before, after), nn.ReLU()]
        self.maps = nn.Sequential(*layers)
        self.head = perceptron((4 * groups[-1] * shape.last_side**2, shape.hidden, shape.factors))

    def forward(self, images: Tensor) -> Tensor:
        """Factors (B, F) from images (B, C, S, S)."""
        return self.head(self.maps(images).flatten(1))
