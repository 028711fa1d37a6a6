"""Images: the digits of MNIST-5k, and sets of images that the user brings. Loaders never download."""

import hashlib
import io
import pickle
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import numpy as np

from companion.data.cache import brought, path
from companion.data.catalog import card
from companion.errors import CompanionError

MD5 = {"cifar10": "c58f30108f718f92721af3b95e74349a", "cifar100": "eb9058c3a382ffc7106e4002c42a8d85"}
ARCHIVES = {"cifar10": "cifar-10-python.tar.gz", "cifar100": "cifar-100-python.tar.gz"}
LABELS = {"cifar10": b"labels", "cifar100": b"fine_labels"}
BATCHES = {
    "cifar10": (tuple(f"data_batch_{i}" for i in range(1, 6)), ("test_batch",)),
    "cifar100": (("train",), ("test",)),
}
SAFE = {
    ("numpy", "ndarray"), ("numpy", "dtype"), ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"), ("_codecs", "encode"),
}  # fmt: skip
SPRITES = "dsprites_ndarray_co1sh3sc6or40x32y32_64x64.npz"
SIZES = (3, 6, 40, 32, 32)  # shape, scale, orientation, x, y


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


# ---------------------------------------------------------------- CIFAR-10 and CIFAR-100 in full, as published


class _Plain(pickle.Unpickler):
    """Reads arrays, lists, texts and numbers; whatever else a pickle asks for is refused."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in SAFE:
            raise CompanionError(f"A batch of CIFAR asks for {module}.{name}, which no published batch holds; refused.")
        return super().find_class(module, name)


def cifar(name: str) -> Split:
    """All of "cifar10" or "cifar100": 50,000 training and 10,000 test images, uint8 [n, 32, 32, 3], in published order.

    Raises CompanionError if the archive is not there, is not the published one, or holds more than arrays.
    """
    if name not in ARCHIVES:
        raise CompanionError(f"name = {name!r} is not known; use one of {', '.join(ARCHIVES)}.")
    file = brought(name, ARCHIVES[name])
    with file.open("rb") as stream:
        found = hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    if found != MD5[name]:
        raise CompanionError(f"{file.name} is not the published file (its md5 is wrong); get {card(name).title} again.")
    return read_batches(file, name)


def read_batches(file: Path, name: str) -> Split:
    """The batches of an archive in the published layout."""
    found: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    with tarfile.open(file) as archive:
        for entry in archive:
            stem = PurePosixPath(entry.name).name
            if entry.isfile() and any(stem in names for names in BATCHES[name]):
                content = archive.extractfile(entry).read()  # type: ignore[union-attr]
                batch = _Plain(io.BytesIO(content), encoding="bytes").load()
                images = np.asarray(batch[b"data"], dtype=np.uint8).reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
                found[stem] = images, np.asarray(batch[LABELS[name]], dtype=np.int64)
    missing = [batch for names in BATCHES[name] for batch in names if batch not in found]
    if missing:
        raise CompanionError(f"{file.name} lacks {', '.join(missing)}; get {card(name).title} again.")
    parts = [[np.concatenate(arrays) for arrays in zip(*map(found.get, names), strict=True)] for names in BATCHES[name]]
    return Split(*parts[0], *parts[1])


# ---------------------------------------------------------------- images with known factors of variation


def dsprites(orientations: int = 40) -> np.ndarray:
    """The user's own dSprites, its first `orientations` of 40: uint8, 0 or 1, [3, 6, orientations, 32, 32, 64, 64]."""
    with np.load(brought("dsprites", SPRITES)) as arrays:
        images, classes = arrays["imgs"], arrays["latents_classes"][:, 1:]
    some = classes[:, 2] < orientations
    grid = np.empty((*SIZES[:2], orientations, *SIZES[3:], *images.shape[1:]), dtype=np.uint8)
    grid[tuple(classes[some].T)] = images[some]
    return grid


def released_split(
    name: Literal["dsprites", "shapes3d", "mpi3d"], split: str, part: Literal["train", "test"]
) -> tuple[np.ndarray, np.ndarray]:
    """One split of the benchmark, as released: images uint8 [n, channels, 64, 64] and factors int64 [n, F]."""
    found = []
    for kind in ("images", "labels"):
        with np.load(brought("visual_splits", f"{name}_{split}_{part}_{kind}.npz")) as arrays:
            found.append(arrays["arr_0"])
    return found[0], found[1].astype(np.int64)
