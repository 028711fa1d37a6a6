"""The experiment: every approach on every split, factor by factor, beside oracles; single factors; a leak."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from companion.lab.config import BaseConfig, TrainConfig
from companion.lab.evidence import Measurement
from companion.visual_generalization import baselines, data, method, training
from companion.visual_generalization.baselines import CLAMP, GRID_MEAN, NEAREST, SHORTCUT, TRAIN_MEAN
from companion.visual_generalization.data import FactorDataset, TestImages, TrainingImages
from companion.visual_generalization.evaluation import factor_scores, only, over_approaches, single_factor_scores
from companion.visual_generalization.method import COMPOSITION, EXTRAPOLATION, INTERPOLATION, SCATTERED, SPLITS, Grid
from companion.visual_generalization.models import Shape
from companion.visual_generalization.training import APPROACHES

CNN, MLP = "CNN", "MLP"
EVERYTHING, LEAKED = "everything", "CNN, leaked"
TUNED = {
    "PCA": 0.02, "beta-VAE": 0.02, "Ada-GVAE": 0.02, "SlowVAE": 0.01, "PCL": 0.003, "MLP": 0.01, "CNN": 0.02,
    "CoordConv": 0.02, "coordinate-based": 0.01, "rotation-equivariant": 0.02, "spatial transformer": 0.02,
}  # fmt: skip


@dataclass(frozen=True)
class Config(BaseConfig):
    """All sizes of the lesson. The learning rates were tuned on other seeds (see `studies.tune`)."""

    seeds: int = 5  # how many seeds are run
    dataset: str = "sprites"  # "sprites", "room" or "dsprites"
    approaches: tuple[str, ...] = ("PCA", "PCL", MLP, CNN, "CoordConv", "coordinate-based")  # approaches compared
    scattered: tuple[str, ...] = (MLP, CNN)  # approaches on the scattered composition split
    images: int = 2500  # training images of a split
    test: int = 1500  # test images of a split
    single: int = 500  # test images with one factor out of range
    pool: int = 2  # images are averaged over pool x pool pixels
    shape: Shape = Shape()  # sizes of the networks
    epochs: int = 4  # passes over the training images
    steps: int = 0  # optimizer steps, in place of epochs if given
    batch_size: int = 64  # images per step
    amp: bool = False  # bfloat16 autocast
    checkpoints: str = ""  # folder for checkpoints, where training is long
    lr: dict[str, float] = field(default_factory=lambda: dict(TUNED), hash=False)  # largest learning rate

    SIZES: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "ci": {"seeds": 2, "images": 300, "test": 200, "single": 60, "epochs": 1},
        "study": {"seeds": 10},
        "paper": {
            "approaches": tuple(each.name for each in APPROACHES), "scattered": (CNN, "ResNet-50"),
            "images": 60_000, "test": 120_000, "single": 10_000, "pool": 1,
            "shape": Shape(side=64, widths=(32, 32, 64, 64), hidden=256, readout=(256,) * 5),
            "steps": 500_000, "amp": True, "checkpoints": "checkpoints",
            "lr": {each.name: 1e-4 for each in APPROACHES},
        },
    }  # fmt: skip

    def train_config(self, name: str) -> TrainConfig:
        """How an approach is trained."""
        return TrainConfig(
            self.lr[name], batch_size=self.batch_size, epochs=self.epochs, steps=self.steps, amp=self.amp
        )


def seed_of(config: Config, split: str, seed: int, purpose: int) -> int:
    """A seed of its own for each split and purpose."""
    return 1000 * seed + 10 * [*SPLITS, SCATTERED, EVERYTHING].index(split) + purpose


def dataset_of(config: Config) -> FactorDataset:
    """The dataset of a configuration."""
    return data.load_dataset(config.dataset)


def mask_of(config: Config, split: str) -> Tensor:
    """True for training images, bool of the grid's shape; in "everything", the leak, nothing is held out."""
    grid = dataset_of(config).grid
    return torch.ones(grid.sizes, dtype=torch.bool) if split == EVERYTHING else method.train_mask(grid, split)


@lru_cache(maxsize=2)
def training_set(config: Config, split: str, seed: int, device: torch.device) -> TrainingImages:
    """The training images of a split and seed."""
    draw_seed = seed_of(config, split, seed, 0)
    mask = mask_of(config, split)
    return data.draw_training_images(dataset_of(config), mask, config.images, config.pool, draw_seed, device)


def test_set(config: Config, mask: Tensor, count: int, seed: int, device: torch.device) -> TestImages:
    """`count` images that a mask allows."""
    return data.draw_test_images(dataset_of(config), mask, count, config.pool, seed, device)


@lru_cache(maxsize=256)
def trained(config: Config, name: str, split: str, seed: int, device: torch.device) -> nn.Module:
    """An approach trained on a split; the same network when it is asked for again."""
    init_seed, images = seed_of(config, split, seed, 1), training_set(config, split, seed, device)
    folder = Path(config.checkpoints, f"{name}, {split}, {init_seed}") if config.checkpoints else None
    return training.train(name, images, config.shape, config.train_config(name), init_seed, folder)


# ---------------------------------------------------------------- what is measured


def untrained_predictions(config: Config, images: TrainingImages, test: TestImages, split: str) -> dict[str, Tensor]:
    """Predictions (B, F) without training: constants, the nearest image in pixels, and the split's oracle."""
    grid = dataset_of(config).grid
    predictions = {
        TRAIN_MEAN: baselines.constant(images.targets, len(test.factors)),
        GRID_MEAN: baselines.grid_mean(grid, len(test.factors)).to(images.targets),
        NEAREST: baselines.nearest(test.images, images.images, images.targets),
    }
    if split in (INTERPOLATION, EXTRAPOLATION):
        predictions[CLAMP] = baselines.clamp(test.factors, grid, split)
    if split == COMPOSITION:
        predictions[SHORTCUT] = baselines.shortcut(test.factors, grid, tied_factor(grid))
    return predictions


def tied_factor(grid: Grid) -> str:
    """The factor that composition ties most strongly to the others: the last of V with a single low value."""
    return [grid.names[j] for j, count in method.low_counts(grid).items() if count == 1][-1]


def on_split(config: Config, split: str, names: tuple[str, ...], seed: int, device: torch.device) -> list[Measurement]:
    """Scores of approaches, baselines and oracles on the held-out images of a split."""
    grid, images = dataset_of(config).grid, training_set(config, split, seed, device)
    test = test_set(config, ~mask_of(config, split), config.test, seed_of(config, split, seed, 2), device)
    predictions = {name: training.predict(trained(config, name, split, seed, device), test.images) for name in names}
    predictions |= untrained_predictions(config, images, test, split)
    return [
        m for name, prediction in predictions.items() for m in factor_scores(prediction, test, grid, name, split, seed)
    ]


def one_factor_out(config: Config, split: str, seed: int, device: torch.device) -> list[Measurement]:
    """Modularity: scores of every approach on images with exactly one factor out of range."""
    grid, measurements = dataset_of(config).grid, []
    for j in grid.varied:
        setting, mask = only(grid.names[j], split), method.only_one_out(grid, split, grid.names[j])
        test = test_set(config, mask, config.single, seed_of(config, split, seed, 3 + j), device)
        clamped = baselines.clamp(test.factors, grid, split)
        for name in config.approaches:
            prediction = training.predict(trained(config, name, split, seed, device), test.images)
            measurements += single_factor_scores(prediction, clamped, test, grid, j, name, setting, seed)
        measurements += single_factor_scores(clamped, clamped, test, grid, j, CLAMP, setting, seed)
    return measurements


def leaked(config: Config, seed: int, device: torch.device) -> list[Measurement]:
    """The ablation test: a CNN that also trains on what is held out, on the same test images as the others."""
    grid, measurements = dataset_of(config).grid, []
    net = trained(config, CNN, EVERYTHING, seed, device)
    for split in (EXTRAPOLATION, COMPOSITION):
        test = test_set(config, ~mask_of(config, split), config.test, seed_of(config, split, seed, 2), device)
        measurements += factor_scores(training.predict(net, test.images), test, grid, LEAKED, split, seed)
    return measurements


def experiment(config: Config, seed: int, device: torch.device) -> list[Measurement]:
    """All splits, the scattered one, single factors out of range, the leak, and the extremes over approaches."""
    measurements = []
    for split in SPLITS:
        measurements += on_split(config, split, config.approaches, seed, device)
        if split in (INTERPOLATION, EXTRAPOLATION):
            measurements += one_factor_out(config, split, seed, device)
    measurements += on_split(config, SCATTERED, config.scattered, seed, device)
    extremes = over_approaches(measurements, config.approaches, dataset_of(config).grid.names, seed)
    return measurements + leaked(config, seed, device) + extremes
