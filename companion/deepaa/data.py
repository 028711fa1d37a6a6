"""The images of one seed, in four disjoint parts: pretraining, search, validation and test."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from companion.data.images import Split, cifar, cifar10_subset, mnist5k
from companion.errors import CompanionError

DIGITS, COLOR = "mnist5k", "cifar10_jpeg"
COLOR_SETS: dict[str, Callable[[], Split]] = {
    COLOR: cifar10_subset,
    "cifar10": partial(cifar, "cifar10"),
    "cifar100": partial(cifar, "cifar100"),
}
HALVES = ("choices", "evidence")
HALVES_SEED = 6  # splits the digits into two halves, the same ones for every seed


@dataclass(frozen=True)
class ExperimentData:
    """Labeled images (n, C, S, S) in [0, 1] and classes (n,); test images and their classes.

    Of the labeled images the first `pretrain` train the search network, the next `search` are augmented in the search,
    and the others are the validation images, whose gradients are to be matched. Every compared method trains on all n.
    """

    images: Tensor
    labels: Tensor
    test_images: Tensor
    test_labels: Tensor
    pretrain: int
    search: int
    num_classes: int

    def part(self, name: str) -> tuple[Tensor, Tensor]:
        """Images and classes of "pretrain", "search" or "validation"; no image is in two of them."""
        a, b = self.pretrain, self.pretrain + self.search
        rows = {"pretrain": slice(0, a), "search": slice(a, b), "validation": slice(b, None)}[name]
        return self.images[rows], self.labels[rows]

    def to(self, device: torch.device) -> ExperimentData:
        """The same data on a device."""
        names = ("images", "labels", "test_images", "test_labels")
        return replace(self, **{name: getattr(self, name).to(device) for name in names})


def halves(images: int, half: str) -> np.ndarray:
    """Indices of the images of one half, in a fixed random order; the halves are disjoint.

    Raises CompanionError if half is neither "choices" nor "evidence".
    """
    if half not in HALVES:
        raise CompanionError(f"half = {half!r} is not known; use one of {', '.join(HALVES)}.")
    order = np.random.default_rng(HALVES_SEED).permutation(images)
    return order[HALVES.index(half) :: 2]


def average_pool(images: np.ndarray, pool: int) -> Tensor:
    """Images (n, h, w) or (n, h, w, 3) uint8 as (n, C, h / pool, w / pool) float32, averaged over squares."""
    x = torch.from_numpy(images).float().div(255)
    x = x.unsqueeze(1) if x.ndim == 3 else x.permute(0, 3, 1, 2)
    return F.avg_pool2d(x, pool) if pool > 1 else x.contiguous()


def load_data(
    name: str, half: str, pretrain: int, search: int, validation: int, test: int, pool: int, seed: int
) -> ExperimentData:
    """The data of a seed: how many images pretrain the search network, are searched, are matched, and are test images.

    All digits come from one half. Color images are drawn from the published training part; the test images are the
    first of a random order of the published test part.
    """
    rng = np.random.default_rng(seed)
    labeled = pretrain + search + validation
    if name == DIGITS:
        images, labels = mnist5k()
        rows = rng.permutation(halves(len(images), half))
        split = Split(images, labels, images, labels)
        train_rows, test_rows = rows[:labeled], rows[labeled : labeled + test]
    elif name in COLOR_SETS:
        split = COLOR_SETS[name]()
        train_rows = rng.permutation(len(split.train_labels))[:labeled]
        test_rows = rng.permutation(len(split.test_labels))[:test]
    else:
        raise CompanionError(f"data = {name!r} is not known; use one of {', '.join((DIGITS, *COLOR_SETS))}.")
    if (len(train_rows), len(test_rows)) != (labeled, test):
        raise CompanionError(
            f"{labeled} labeled and {test} test images are more images than there are: "
            f"{len(train_rows)} and {len(test_rows)}."
        )
    x, x_test = average_pool(split.train_images[train_rows], pool), average_pool(split.test_images[test_rows], pool)
    y, y_test = torch.from_numpy(split.train_labels[train_rows]), torch.from_numpy(split.test_labels[test_rows])
    return ExperimentData(x, y, x_test, y_test, pretrain, search, int(split.train_labels.max()) + 1)
