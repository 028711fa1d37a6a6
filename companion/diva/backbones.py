"""Where features come from: a frozen network, then a projection learned from the training images alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from companion.data.images import cifar10_subset, flowers102, mnist5k
from companion.data.efficientnet_lite0 import embed, lite0_features, lite0_weights

BACKBONES = ("lite0", "digits-cnn", "pixels")
HALVES = ("evidence", "choices")


class SmallCNN(nn.Module):
    """Two convolutions, a hidden layer of 128, a linear head; leaky ReLU, as linearised networks like it (LQF)."""

    def __init__(self, classes: int = 10, width: int = 16, features: int = 128) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, width, 5, stride=2, padding=2), nn.LeakyReLU(0.1),
            nn.Conv2d(width, 2 * width, 3, stride=2, padding=1), nn.LeakyReLU(0.1), nn.Flatten(),
            nn.Linear(2 * width * 49, features), nn.LeakyReLU(0.1),
        )  # fmt: skip
        self.head = nn.Linear(features, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Class scores (n, classes) of images (n, 1, 28, 28)."""
        return self.head(self.body(images))


def small_digits() -> tuple[Tensor, Tensor]:
    """scikit-learn's 1797 digits of 8 x 8 pixels, blown up to 20 and framed to (1797, 1, 28, 28), and their classes."""
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    images = torch.from_numpy(pixels).float().reshape(-1, 1, 8, 8) / 16
    large = functional.interpolate(images, (20, 20), mode="bilinear", align_corners=False)
    return functional.pad(large, (4, 4, 4, 4)), torch.from_numpy(labels).long()


@cache
def digits_cnn(epochs: int = 15, batch: int = 64, lr: float = 2e-3) -> SmallCNN:
    """The fallback backbone: the small network trained, with a seed of its own, on scikit-learn's digits."""
    images, labels = small_digits()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = SmallCNN()
        optimizer = torch.optim.Adam(net.parameters(), lr=lr)
        for _ in range(epochs):
            for rows in torch.randperm(len(images)).split(batch):
                optimizer.zero_grad()
                functional.cross_entropy(net(images[rows]), labels[rows]).backward()
                optimizer.step()
    return net.eval().requires_grad_(False)


@dataclass(frozen=True)
class Images:
    """Features (n, d) float32 and classes (n,) of a whole set, and which rows may train and which may test."""

    features: np.ndarray
    labels: np.ndarray
    train: np.ndarray
    test: np.ndarray

    @property
    def classes(self) -> int:
        """How many classes there are."""
        return int(self.labels.max()) + 1


@cache
def digits(backbone: str, half: str) -> Images:
    """MNIST-5k seen by a backbone. Of every two images one is for "choices", one for "evidence"."""
    if backbone not in BACKBONES or half not in HALVES:
        raise ValueError(
            f"backbone = {backbone!r} and half = {half!r}; use one of {', '.join(BACKBONES)}, and one of {HALVES}."
        )
    images, labels = mnist5k()
    rows = np.arange(len(labels))[HALVES.index(half) :: 2]
    if backbone == "lite0":
        return Images(lite0_features(), labels, rows, rows)
    pixels = torch.from_numpy(images).float().unsqueeze(1) / 255
    if backbone == "pixels":
        return Images(pixels.flatten(1).numpy(), labels, rows, rows)
    seen = torch.cat([digits_cnn().body(part) for part in pixels.split(500)]).numpy()
    return Images(seen, labels, rows, rows)


@cache
def photographs(data: str, device: torch.device) -> Images:
    """A set of photographs that the user brought, seen by EfficientNet-Lite0; with the set's own test images."""
    split, side = (flowers102(), 224) if data == "flowers102" else (cifar10_subset(), 64)
    pictures = np.concatenate([split.train_images, split.test_images])
    seen = embed(pictures, lite0_weights(), device, side)
    rows = np.arange(len(pictures))
    labels, first = np.concatenate([split.train_labels, split.test_labels]), len(split.train_images)
    return Images(seen, labels, rows[:first], rows[first:])


@dataclass(frozen=True)
class Projection:
    """Centre, turn to the first principal axes, scale to rows of length one on average, add a constant 1."""

    mean: np.ndarray
    axes: np.ndarray
    length: float

    @classmethod
    def of(cls, features: np.ndarray, m: int) -> Projection:
        """Learn it from training features (N, d); no label takes part. m counts the constant."""
        mean = features.mean(0)
        u, s, axes = np.linalg.svd(features - mean, full_matrices=False)
        scores = u[:, : m - 1] * s[: m - 1]
        return cls(mean, axes[: m - 1], float(np.sqrt((scores**2).sum(1).mean())))

    def __call__(self, features: np.ndarray) -> Tensor:
        """z (n, m) float64 of features (n, d)."""
        turned = (features - self.mean) @ self.axes.T / self.length
        z = torch.from_numpy(turned.astype(np.float64))
        return torch.cat([z, torch.ones(len(z), 1, dtype=z.dtype)], dim=1)


def one_hot(labels: Sequence[int] | np.ndarray, classes: int) -> Tensor:
    """Classes (n,) as rows (n, classes) of 0 and 1, float64."""
    return functional.one_hot(torch.as_tensor(labels).long(), classes).double()
