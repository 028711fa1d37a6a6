"""One seed's images: what pre-trains the search network, what is searched, what is matched, what is tested."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from companion.data.cifar import cifar
from companion.data.images import Split, cifar10_subset, mnist5k
from companion.errors import CompanionError

DIGITS, COLOUR = "mnist5k", "cifar10_jpeg"
COLOURED: dict[str, Callable[[], Split]] = {
    COLOUR: cifar10_subset,
    "cifar10": partial(cifar, "cifar10"),
    "cifar100": partial(cifar, "cifar100"),
}
HALVES = ("choices", "evidence")
HALVED_BY = 6  # the seed that halves the images, once and for all


@dataclass(frozen=True)
class Task:
    """Labelled images (n, C, S, S) in [0, 1] and classes (n,), in three parts by their first numbers; and test images.

    The search network is trained on the first `pretrain` images; then `search` images are augmented; the gradients of
    the others, the validation part, are what they shall match. Every arm at the end trains on all n.
    """

    images: Tensor
    labels: Tensor
    test_images: Tensor
    test_labels: Tensor
    pretrain: int
    search: int
    classes: int

    def part(self, name: str) -> tuple[Tensor, Tensor]:
        """Images and classes of "pretrain", "search" or "validation": no image is in two of them."""
        a, b = self.pretrain, self.pretrain + self.search
        rows = {"pretrain": slice(0, a), "search": slice(a, b), "validation": slice(b, None)}[name]
        return self.images[rows], self.labels[rows]

    def to(self, device: torch.device) -> Task:
        """The same task on a device."""
        names = ("images", "labels", "test_images", "test_labels")
        return replace(self, **{name: getattr(self, name).to(device) for name in names})


def halves(images: int, half: str) -> np.ndarray:
    """Numbers of the images of one half, in a random order that is always the same; the halves never meet.

    Raises CompanionError if half is neither "choices" nor "evidence".
    """
    if half not in HALVES:
        raise CompanionError(f"half = {half!r} is not known; use one of {', '.join(HALVES)}.")
    order = np.random.default_rng(HALVED_BY).permutation(images)
    return order[HALVES.index(half) :: 2]


def pooled(images: np.ndarray, pool: int) -> Tensor:
    """Images (n, h, w) or (n, h, w, 3) uint8 as (n, C, h / pool, w / pool) float32 in [0, 1], averaged in squares."""
    x = torch.from_numpy(images).float().div(255)
    x = x.unsqueeze(1) if x.ndim == 3 else x.permute(0, 3, 1, 2)
    return F.avg_pool2d(x, pool) if pool > 1 else x.contiguous()


def draw(data: str, half: str, sizes: tuple[int, int, int, int], pool: int, seed: int) -> Task:
    """The task of a seed: `sizes` counts images to pre-train, to search, to match, and to test.

    Digits come from one half alone. Colour images are labelled ones of the publisher's training part, and tested on
    the first so many of a random order of its test part.
    """
    rng = np.random.default_rng(seed)
    labelled, tested = sum(sizes[:3]), sizes[3]
    if data == DIGITS:
        images, labels = mnist5k()
        rows = rng.permutation(halves(len(images), half))
        split = Split(images, labels, images, labels)
        trained, held = rows[:labelled], rows[labelled : labelled + tested]
    elif data in COLOURED:
        split = COLOURED[data]()
        trained, held = rng.permutation(len(split.train_labels))[:labelled], rng.permutation(len(split.test_labels))
    else:
        raise CompanionError(f"data = {data!r} is not known; use one of {', '.join((DIGITS, *COLOURED))}.")
    held = held[:tested]
    if (len(trained), len(held)) != (labelled, tested):
        raise CompanionError(f"sizes = {sizes} ask for more images than there are: {len(trained)} and {len(held)}.")
    x, xt = pooled(split.train_images[trained], pool), pooled(split.test_images[held], pool)
    y, yt = torch.from_numpy(split.train_labels[trained]), torch.from_numpy(split.test_labels[held])
    return Task(x, y, xt, yt, *sizes[:2], int(split.train_labels.max()) + 1)
