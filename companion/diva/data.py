"""The data of the lesson: features of images from a frozen network, splits, label noise. A seed decides all of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from companion.data.efficientnet_lite0 import embed, lite0_features, lite0_weights
from companion.data.images import cifar10_subset, flowers102, mnist5k
from companion.lab.config import TrainConfig
from companion.lab.training import train

LITE0, DIGITS_CNN, PIXELS = "lite0", "digits-cnn", "pixels"
BACKBONES = (LITE0, DIGITS_CNN, PIXELS)
HALVES = ("evidence", "choices")
DIGITS = "mnist5k"
PHOTOGRAPHS = {"flowers102": (flowers102, 224), "cifar10_jpeg": (cifar10_subset, 64)}  # loader, pixels per side

# ---------------------------------------------------------------- backbones


class SmallCNN(nn.Module):
    """Two convolutions, a hidden layer, a linear head; leaky ReLU, as in LQF (Achille et al., 2021)."""

    def __init__(self, num_classes: int = 10, channels: int = 16, hidden_dim: int = 128) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, channels, 5, stride=2, padding=2), nn.LeakyReLU(0.1),
            nn.Conv2d(channels, 2 * channels, 3, stride=2, padding=1), nn.LeakyReLU(0.1), nn.Flatten(),
            nn.Linear(2 * channels * 49, hidden_dim), nn.LeakyReLU(0.1),
        )  # fmt: skip
        self.head = nn.Linear(hidden_dim, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (n, num_classes) of images (n, 1, 28, 28) float32."""
        return self.head(self.body(images))


def sklearn_digits() -> tuple[Tensor, Tensor]:
    """scikit-learn's 8 x 8 digits, enlarged to 20 and padded to (1797, 1, 28, 28) float32, and their classes."""
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    images = torch.from_numpy(pixels).float().reshape(-1, 1, 8, 8) / 16
    large = F.interpolate(images, (20, 20), mode="bilinear", align_corners=False)
    return F.pad(large, (4, 4, 4, 4)), torch.from_numpy(labels).long()


@cache
def digits_cnn(config: TrainConfig) -> SmallCNN:
    """The fallback backbone: the small network trained on scikit-learn's digits with a fixed seed, then frozen."""
    images, labels = sklearn_digits()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = SmallCNN()
        train(
            net,
            lambda: [(images[rows], labels[rows]) for rows in torch.randperm(len(images)).split(config.batch_size)],
            lambda model, batch: F.cross_entropy(model(batch[0]), batch[1]),
            config,
        )
    return net.requires_grad_(False)


# ---------------------------------------------------------------- features of a whole data set


@dataclass(frozen=True)
class FeatureSet:
    """Features (n, d) float32 and classes (n,) of all images, and the row numbers for training and for testing."""

    features: np.ndarray
    labels: np.ndarray
    train_rows: np.ndarray
    test_rows: np.ndarray

    @property
    def num_classes(self) -> int:
        """The number of classes."""
        return int(self.labels.max()) + 1


def digit_images() -> tuple[Tensor, np.ndarray]:
    """MNIST-5k, (5000, 1, 28, 28) float32 between 0 and 1, and the classes, (5000,) int64."""
    pixels, labels = mnist5k()
    return torch.from_numpy(pixels).float().unsqueeze(1) / 255, labels


@cache
def digit_features(backbone: str, half: str, cnn: TrainConfig) -> FeatureSet:
    """Features of MNIST-5k by a backbone. Of every two images one belongs to "choices", one to "evidence".

    `cnn` says how the backbone "digits-cnn" is trained. Raises ValueError for an unknown backbone or half.
    """
    if backbone not in BACKBONES or half not in HALVES:
        raise ValueError(
            f"backbone = {backbone!r} and half = {half!r}; use one of {', '.join(BACKBONES)}, and one of {HALVES}."
        )
    images, labels = digit_images()
    rows = np.arange(len(labels))[HALVES.index(half) :: 2]
    if backbone == LITE0:
        features = lite0_features()
    elif backbone == PIXELS:
        features = images.flatten(1).numpy()
    else:
        body = digits_cnn(cnn).body
        features = torch.cat([body(part) for part in images.split(500)]).numpy()
    return FeatureSet(features, labels, rows, rows)


@cache
def photograph_features(data: str, device: torch.device) -> FeatureSet:
    """EfficientNet-Lite0 features of photographs that the user provides, with the data set's own test images."""
    if data not in PHOTOGRAPHS:
        raise ValueError(f"data = {data!r}; use one of {', '.join((DIGITS, *PHOTOGRAPHS))}.")
    load, side = PHOTOGRAPHS[data]
    split = load()
    pictures = np.concatenate([split.train_images, split.test_images])
    features = embed(pictures, lite0_weights(), device, side)
    labels = np.concatenate([split.train_labels, split.test_labels])
    rows, num_train = np.arange(len(pictures)), len(split.train_images)
    return FeatureSet(features, labels, rows[:num_train], rows[num_train:])


@dataclass(frozen=True)
class Projection:
    """Center, project on the first principal axes, scale to rows of mean squared length 1, add a constant 1."""

    mean: np.ndarray
    axes: np.ndarray
    length: float

    @classmethod
    def of(cls, features: np.ndarray, num_features: int) -> Projection:
        """Learn it from training features (N, d) without labels; num_features counts the constant."""
        mean = features.mean(0)
        u, s, axes = np.linalg.svd(features - mean, full_matrices=False)
        scores = u[:, : num_features - 1] * s[: num_features - 1]
        return cls(mean, axes[: num_features - 1], float(np.sqrt((scores**2).sum(1).mean())))

    def __call__(self, features: np.ndarray) -> Tensor:
        """z (n, num_features) float64 of features (n, d)."""
        scores = (features - self.mean) @ self.axes.T / self.length
        z = torch.from_numpy(scores.astype(np.float64))
        return torch.cat([z, torch.ones(len(z), 1, dtype=z.dtype)], dim=1)


# ---------------------------------------------------------------- one seed's data


@dataclass(frozen=True)
class ExperimentData:
    """A training set, test images and clean validation images; z (N, m) float64, labels (N,) int64.

    `labels` may be wrong, `true_labels` are not. `trusted` (N,) float64 is 1 where the leave-one-out loss is evaluated
    (the seed set, or all examples). `rows` (N,) are the training examples' row numbers in the whole data set.
    """

    z: Tensor
    labels: np.ndarray
    true_labels: np.ndarray
    trusted: Tensor
    rows: np.ndarray
    z_test: Tensor
    test_labels: np.ndarray
    z_clean: Tensor
    clean_labels: np.ndarray
    num_classes: int

    @property
    def y(self) -> Tensor:
        """The training labels as one-hot rows, (N, num_classes)."""
        return one_hot(self.labels, self.num_classes).to(self.z.device)

    @property
    def y_clean(self) -> Tensor:
        """The labels of the clean validation images as one-hot rows."""
        return one_hot(self.clean_labels, self.num_classes).to(self.z.device)

    @property
    def wrong(self) -> np.ndarray:
        """Where the label is not the true one, (N,) bool."""
        return self.labels != self.true_labels

    def to(self, device: torch.device) -> ExperimentData:
        """The same data with its tensors on a device."""
        moved = {name: getattr(self, name).to(device) for name in ("z", "trusted", "z_test", "z_clean")}
        return replace(self, **moved)


def one_hot(labels: Sequence[int] | np.ndarray, num_classes: int) -> Tensor:
    """Classes (n,) as rows (n, num_classes) of 0 and 1, float64."""
    return F.one_hot(torch.as_tensor(labels).long(), num_classes).double()


def draw(
    source: FeatureSet, train_size: int, clean_size: int, test_size: int, num_features: int, rng: np.random.Generator
) -> ExperimentData:
    """Disjoint training, clean and test images with correct labels; the projection is learned from training images."""
    rows, clean = np.split(rng.permutation(source.train_rows)[: train_size + clean_size], [train_size])
    unused = np.setdiff1d(source.test_rows, np.concatenate([rows, clean]))
    test = rng.permutation(unused)[:test_size]
    project = Projection.of(source.features[rows], num_features)
    z, z_clean, z_test = (project(source.features[part]) for part in (rows, clean, test))
    labels, trusted = source.labels[rows], torch.ones(len(rows), dtype=torch.float64)
    return ExperimentData(
        z, labels, labels, trusted, rows, z_test, source.labels[test], z_clean, source.labels[clean], source.num_classes
    )


def corrupt_labels(labels: np.ndarray, share: float, num_classes: int, rng: np.random.Generator) -> np.ndarray:
    """Labels (n,) of which exactly `share`, rounded, are replaced by another class, drawn uniformly."""
    corrupted = labels.copy()
    changed = rng.choice(len(labels), round(share * len(labels)), replace=False)
    corrupted[changed] = (labels[changed] + rng.integers(1, num_classes, len(changed))) % num_classes
    return corrupted


def with_label_noise(data: ExperimentData, share: float, rng: np.random.Generator) -> ExperimentData:
    """The same data with a `share` of wrong labels among those outside the seed set (or all, if all are trusted)."""
    trusted = data.trusted.cpu().numpy() > 0
    noisy = np.ones_like(trusted) if trusted.all() else ~trusted
    labels = data.true_labels.copy()
    labels[noisy] = corrupt_labels(data.true_labels[noisy], share, data.num_classes, rng)
    return replace(data, labels=labels)


def with_seed_set(data: ExperimentData, size: int) -> ExperimentData:
    """The same data; the first `size` examples are the trusted seed set, the others the candidate pool."""
    trusted = torch.zeros_like(data.trusted)
    trusted[:size] = 1.0
    return replace(data, trusted=trusted)
