"""The tasks of the lesson: which images train, which labels lie, what is tested on. A seed decides all of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from companion.data.images import mnist5k
from companion.diva.backbones import Projection, one_hot, raw_features

CLASSES = 10


@dataclass(frozen=True)
class Task:
    """A training set with labels as given and as they are, and images to test on; rows of z are float64.

    `index` (N,) says which image of the set a training row is; `core` (N,) is 1 where the labels are trusted.
    """

    z: Tensor
    given: np.ndarray
    true: np.ndarray
    core: Tensor
    index: np.ndarray
    z_test: Tensor
    test: np.ndarray
    z_clean: Tensor
    clean: np.ndarray

    @property
    def y(self) -> Tensor:
        """The given labels as one-hot rows, (N, 10)."""
        return one_hot(self.given, CLASSES)

    @property
    def wrong(self) -> np.ndarray:
        """Where the given label is not the true one, (N,) bool."""
        return self.given != self.true


def halves(labels: np.ndarray) -> dict[str, np.ndarray]:
    """Every second image is for choices and rehearsals, the others are for evidence: no image serves both."""
    number = np.arange(len(labels))
    return {"evidence": number[::2], "choices": number[1::2]}


def lie(labels: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """Labels (n,) of which exactly `share`, rounded, are replaced by another class, drawn uniformly."""
    given = labels.copy()
    liars = rng.choice(len(labels), round(share * len(labels)), replace=False)
    given[liars] = (labels[liars] + rng.integers(1, CLASSES, len(liars))) % CLASSES
    return given


def draw(backbone: str, half: str, sizes: tuple[int, int, int], m: int, seed: int) -> tuple[Task, np.random.Generator]:
    """A clean task: sizes of training set, clean validation set and test set, drawn from one half of the images."""
    labels, rng = mnist5k()[1], np.random.default_rng(seed)
    mine = rng.permutation(halves(labels)[half])
    train, clean, test = np.split(mine[: sum(sizes)], np.cumsum(sizes)[:-1])
    features = raw_features(backbone)
    project = Projection.of(features[train], m)
    z, z_clean, z_test = (project(features[rows]) for rows in (train, clean, test))
    core = torch.ones(len(train), dtype=torch.float64)
    return Task(z, labels[train], labels[train], core, train, z_test, labels[test], z_clean, labels[clean]), rng
