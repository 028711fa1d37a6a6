"""Images: the digits of MNIST-5k, and sets of images that the user brings. Loaders never download."""

import io
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from companion.data.cache import brought, path


def reduce_mnist5k(files: Mapping[str, Path]) -> dict[str, np.ndarray]:
    """The published table, a digit a line and its class last: images [5000, 28, 28] uint8 and labels [5000] int8."""
    table = np.loadtxt(files["mnist_5k.csv.gz"], delimiter=",")
    return {"images": table[:, :-1].reshape(-1, 28, 28).astype(np.uint8), "labels": table[:, -1].astype(np.int8)}


def mnist5k() -> tuple[np.ndarray, np.ndarray]:
    """The digits, [5000, 28, 28] uint8, and their classes, [5000] int64; sorted by class, as published."""
    with np.load(path("mnist5k")) as arrays:
        return arrays["images"], arrays["labels"].astype(np.int64)


@dataclass(frozen=True)
class Split:
    """Training and test images, uint8 [n, h, w, 3], and their classes, [n] int64."""

    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray


def cifar10_subset() -> Split:
    """The user's own CIFAR-10 subset, images of 32 x 32 pixels."""
    with np.load(brought("cifar10_jpeg", "cifar10_jpeg.npz")) as arrays:
        labels = [arrays[f"{part}_labels"].astype(np.int64) for part in ("train", "test")]
        return Split(arrays["train_images"], labels[0], arrays["test_images"], labels[1])


def flowers102(side: int = 224) -> Split:
    """The user's own Oxford Flowers-102, the middle of each photograph, side x side; validation also trains."""
    from scipy.io import loadmat

    labels = loadmat(brought("flowers102", "imagelabels.mat"))["labels"].ravel().astype(np.int64) - 1
    sets = loadmat(brought("flowers102", "setid.mat"))
    train, test = np.concatenate([sets["trnid"].ravel(), sets["valid"].ravel()]), sets["tstid"].ravel()
    with tarfile.open(brought("flowers102", "102flowers.tgz")) as archive:
        photos = {int(PurePosixPath(e.name).stem[-5:]): _photo(archive, e, side) for e in archive if e.isfile()}
    images = [np.stack([photos[number] for number in part.tolist()]) for part in (train, test)]
    return Split(images[0], labels[train - 1], images[1], labels[test - 1])


def _photo(archive: tarfile.TarFile, entry: tarfile.TarInfo, side: int) -> np.ndarray:
    from PIL import Image, ImageOps

    with Image.open(io.BytesIO(archive.extractfile(entry).read())) as photo:  # type: ignore[union-attr]
        return np.asarray(ImageOps.fit(photo.convert("RGB"), (side, side)))
