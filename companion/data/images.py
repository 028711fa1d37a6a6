"""Images: the digits of MNIST-5k, and sets of images that the user brings. Loaders never download."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from companion.data.cache import path, real_dir
from companion.errors import CompanionError

CIFAR_FILE = "cifar10_jpeg/cifar10_jpeg.npz"


def reduce_mnist5k(files: Mapping[str, Path]) -> dict[str, np.ndarray]:
    """The published table, a digit a line and its class last: images [5000, 28, 28] uint8 and labels [5000] int8."""
    table = np.loadtxt(files["mnist_5k.csv.gz"], delimiter=",")
    return {"images": table[:, :-1].reshape(-1, 28, 28).astype(np.uint8), "labels": table[:, -1].astype(np.int8)}


def mnist5k() -> tuple[np.ndarray, np.ndarray]:
    """The digits, [5000, 28, 28] uint8, and their classes, [5000] int64; sorted by class, as published."""
    with np.load(path("mnist5k")) as arrays:
        return arrays["images"], arrays["labels"].astype(np.int64)


def cifar10_subset() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The user's own CIFAR-10 subset: training images [n, 32, 32, 3] uint8 and labels [n] int64, then the test's."""
    root = real_dir()
    file = root / CIFAR_FILE if root else None
    if file is None or not file.is_file():
        raise CompanionError(
            f"There is no CIFAR-10 subset; COMPANION_REAL must name a folder that holds {CIFAR_FILE} "
            "(train_images, train_labels, test_images, test_labels)."
        )
    with np.load(file) as arrays:
        train, test = arrays["train_labels"].astype(np.int64), arrays["test_labels"].astype(np.int64)
        return arrays["train_images"], train, arrays["test_images"], test
