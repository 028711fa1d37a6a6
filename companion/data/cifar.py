"""CIFAR-10 and CIFAR-100 in full, as published: pickled batches that the user brings. Loaders never download."""

import hashlib
import io
import pickle
import tarfile
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from companion.data.cache import brought
from companion.data.catalog import card
from companion.data.images import Split
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
