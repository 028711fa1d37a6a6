"""The tasks of the lesson: which images train, which labels lie, what is tested on. A seed decides all of it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from companion.diva.backbones import Images, Projection, one_hot


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
    classes: int

    @property
    def y(self) -> Tensor:
        """The given labels as one-hot rows, (N, classes)."""
        return one_hot(self.given, self.classes).to(self.z.device)

    @property
    def y_clean(self) -> Tensor:
        """The clean validation labels as one-hot rows."""
        return one_hot(self.clean, self.classes).to(self.z.device)

    @property
    def wrong(self) -> np.ndarray:
        """Where the given label is not the true one, (N,) bool."""
        return self.given != self.true


def lie(labels: np.ndarray, share: float, classes: int, rng: np.random.Generator) -> np.ndarray:
    """Labels (n,) of which exactly `share`, rounded, are replaced by another class, drawn uniformly."""
    given = labels.copy()
    liars = rng.choice(len(labels), round(share * len(labels)), replace=False)
    given[liars] = (labels[liars] + rng.integers(1, classes, len(liars))) % classes
    return given


def draw(images: Images, train: int, clean: int, test: int, m: int, rng: np.random.Generator) -> Task:
    """A clean task of so many images; the projection to m features is learned from the training images alone."""
    rows, held = np.split(rng.permutation(images.train)[: train + clean], [train])
    free = np.setdiff1d(images.test, np.concatenate([rows, held]))
    tested = rng.permutation(free)[:test]
    project = Projection.of(images.features[rows], m)
    z, z_clean, z_test = (project(images.features[part]) for part in (rows, held, tested))
    true, core = images.labels[rows], torch.ones(len(rows), dtype=torch.float64)
    return Task(z, true, true, core, rows, z_test, images.labels[tested], z_clean, images.labels[held], images.classes)


def with_lies(task: Task, share: float, rng: np.random.Generator) -> Task:
    """The same task; of the labels outside a trusted core (all of them if everything is core) `share` are wrong."""
    trusted = task.core.cpu().numpy() > 0
    loose = np.ones_like(trusted) if trusted.all() else ~trusted
    given = task.true.copy()
    given[loose] = lie(task.true[loose], share, task.classes, rng)
    return replace(task, given=given)


def with_core(task: Task, size: int) -> Task:
    """The same task; the first `size` examples are the core, the others are the pool."""
    core = torch.zeros_like(task.core)
    core[:size] = 1.0
    return replace(task, core=core)


def to(task: Task, device: torch.device) -> Task:
    """The task with its tensors on a device."""
    moved = {name: getattr(task, name).to(device) for name in ("z", "core", "z_test", "z_clean")}
    return replace(task, **moved)
