"""CIFAR in the published layout, in small: pickled batches in an archive, and nothing but arrays is unpickled."""

from __future__ import annotations

import hashlib
import io
import pickle
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from companion.data import images
from companion.errors import CompanionError

FOLDERS = {"cifar10": "cifar-10-batches-py", "cifar100": "cifar-100-python"}


def archive(file: Path, batches: dict[str, Any]) -> Path:
    with tarfile.open(file, "w:gz") as tarred:
        for name, batch in batches.items():
            content = pickle.dumps(batch, protocol=2)
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tarred.addfile(entry, io.BytesIO(content))
    return file


def batch(number: int, labels: bytes, images: int = 4) -> dict[bytes, Any]:
    pixels = np.random.default_rng(number).integers(0, 256, (images, 3072), dtype=np.uint8)
    return {b"data": pixels, labels: [(number + i) % 10 for i in range(images)], b"filenames": [b"a.png"] * images}


def published(name: str) -> dict[str, Any]:
    names = [n for part in images.BATCHES[name] for n in part]
    found = {f"{FOLDERS[name]}/{n}": batch(i, images.LABELS[name]) for i, n in enumerate(names)}
    return found | {f"{FOLDERS[name]}/readme.html": {}}


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_the_published_layout_is_read(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / name).mkdir()
    file = archive(tmp_path / name / images.ARCHIVES[name], batches := published(name))
    monkeypatch.setenv("COMPANION_REAL", str(tmp_path))
    with pytest.raises(CompanionError, match="its md5 is wrong"):
        images.cifar(name)
    monkeypatch.setitem(images.MD5, name, hashlib.md5(file.read_bytes()).hexdigest())
    split = images.cifar(name)
    first = batches[f"{FOLDERS[name]}/{images.BATCHES[name][0][0]}"]
    assert len(split.train_labels) == 4 * len(images.BATCHES[name][0])
    assert split.test_images.shape == (4, 32, 32, 3)
    assert split.train_images[0, 5, 7].tolist() == first[b"data"][0].reshape(3, 32, 32)[:, 5, 7].tolist()
    assert split.train_labels[:4].tolist() == first[images.LABELS[name]]


class Harm:
    def __reduce__(self) -> tuple[Any, ...]:
        return exec, ("raise SystemExit",)


def test_what_is_no_array_is_refused_unread(tmp_path: Path) -> None:
    file = archive(tmp_path / "x.tar.gz", {"cifar-100-python/train": Harm()})
    with pytest.raises(CompanionError, match=r"asks for .*exec, which no published batch holds"):
        images.read_batches(file, "cifar100")


def test_a_missing_batch_and_an_unknown_set_are_named(tmp_path: Path) -> None:
    batches = published("cifar10")
    del batches["cifar-10-batches-py/data_batch_3"]
    with pytest.raises(CompanionError, match="lacks data_batch_3"):
        images.read_batches(archive(tmp_path / "x.tar.gz", batches), "cifar10")
    with pytest.raises(CompanionError, match="use one of cifar10, cifar100"):
        images.cifar("cifar")


def test_how_to_bring_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COMPANION_REAL", raising=False)
    with pytest.raises(CompanionError, match="set COMPANION_REAL to a folder that holds cifar10/"):
        images.cifar("cifar10")
