"""The experiment: detect and remove wrong labels, reweight and extend a training set, with DIVA and the baselines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch

from companion.diva import baselines, method, training
from companion.diva.data import (
    DIGITS,
    ExperimentData,
    FeatureSet,
    digit_features,
    draw,
    photograph_features,
    with_label_noise,
    with_seed_set,
)
from companion.diva.evaluation import accuracy, auc, f1, log10_seconds, wrong_share
from companion.diva.training import DIVA, LOO_ERROR, NO_RESIDUAL, RANDOM, SHUFFLED, SIGN_FLIPPED, WHOLE_POOL
from companion.lab.config import BaseConfig, TrainConfig
from companion.lab.evidence import Measurement

CLEAN_POOL, NOISY_POOL = "clean pool", "noisy pool"
EXTENDING = (DIVA, LOO_ERROR, RANDOM)
TIMED_LAMBDA = 1.0  # lambda of all timed fits; it does not change their cost


@dataclass(frozen=True)
class Config(BaseConfig):
    """All sizes of the lesson."""

    seeds: int = 6  # how many seeds are run
    data: str = DIGITS  # "mnist5k", "flowers102" or "cifar10_jpeg"
    half: str = "evidence"  # which half of the digits: "evidence", or "choices" for the pilot run
    backbone: str = "lite0"  # features of the digits: "lite0", "digits-cnn" or "pixels"
    digits_cnn: TrainConfig = TrainConfig(lr=2e-3, batch_size=64, epochs=15)  # training of the backbone "digits-cnn"
    num_features: int = 129  # m: principal axes of the features, and a constant
    train_size: int = 700  # training images
    clean_size: int = 100  # clean validation images, for the derivative on clean data alone
    test_size: int = 1700  # test images
    noise_levels: tuple[float, ...] = (0.2, 0.4)  # shares of wrong labels in the training set
    reject_rounds: int = 5  # rounds in which examples are removed
    step_size: float = 0.3  # step of Reweight, in units of the mean absolute derivative
    seed_set_size: int = 150  # trusted images that Extend starts from
    pool_size: int = 650  # candidate images of Extend
    pool_noise: float = 0.5  # share of wrong labels in the noisy candidate pool
    batch_size: int = 50  # candidates that Extend adds per round
    extend_rounds: int = 8  # rounds of Extend
    timed_examples: int = 500  # examples for which the closed form and refits are timed
    linearization_images: int = 300  # training images, and test images, of the whole-network study
    runtime_examples: tuple[int, ...] = (1000, 2000, 4000, 8000)  # numbers of examples that are timed
    runtime_features: tuple[int, ...] = (128, 256, 512, 1024, 2048)  # numbers of features that are timed
    large_examples: int = 100_000  # examples of the one large problem that is timed
    large_features: int = 512  # features of the one large problem that is timed
    lambdas: tuple[float, ...] = tuple(float(f"{10**e:.3g}") for e in np.linspace(-3, 2, 16))  # candidate lambdas

    SIZES: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "ci": {
            "seeds": 2, "num_features": 33, "train_size": 200, "clean_size": 50, "test_size": 300,
            "seed_set_size": 60, "pool_size": 440, "timed_examples": 30, "linearization_images": 40,
            "runtime_examples": (200, 400, 800), "runtime_features": (16, 32, 64),
            "large_examples": 2000, "large_features": 64,
        },
        "study": {"seeds": 10},
        "paper": {
            "data": "flowers102", "num_features": 513, "train_size": 1840, "clean_size": 200, "test_size": 6149,
            "seed_set_size": 500, "pool_size": 1300, "batch_size": 100,
        },
    }  # fmt: skip

    @property
    def added(self) -> tuple[int, ...]:
        """How many candidates have been added before the first round of Extend and after each."""
        return tuple(self.batch_size * i for i in range(self.extend_rounds + 1))

    @property
    def fixed_sizes(self) -> tuple[int, int]:
        """N while the timed m grows, and m while the timed N grows: the middle of each list."""
        examples, features = self.runtime_examples, self.runtime_features
        return examples[len(examples) // 2], features[len(features) // 2]


def experiment(config: Config, seed: int, device: torch.device) -> list[Measurement]:
    """All methods on the same images and the same wrong labels: detection, Reject, Reweight, Extend, and runtime."""
    clean = noisy_data(config, 0.0, seed, device)
    measurements = reweighting(clean, config, seed, "clean")
    measurements += loo_runtime(clean, config, seed)
    for noise in config.noise_levels:
        data = with_label_noise(clean, noise, np.random.default_rng([seed, round(100 * noise)]))
        setting = f"{noise:.0%} noise"
        measurements += detection(data, config, seed, setting)
        measurements += rejecting(data, config, seed, setting)
        measurements += reweighting(data, config, seed, setting)
    pool = pool_data(config, seed, device)
    measurements += extending(pool, config, seed, CLEAN_POOL, EXTENDING)
    noisy = with_label_noise(pool, config.pool_noise, np.random.default_rng([seed, 1]))
    ablations = (SIGN_FLIPPED, SHUFFLED, NO_RESIDUAL)
    return measurements + extending(noisy, config, seed, NOISY_POOL, EXTENDING + ablations)


def features(config: Config, device: torch.device) -> FeatureSet:
    """The features of the configuration's images."""
    if config.data == DIGITS:
        return digit_features(config.backbone, config.half, config.digits_cnn)
    return photograph_features(config.data, device)


def noisy_data(config: Config, noise: float, seed: int, device: torch.device) -> ExperimentData:
    """A training set with a share `noise` of wrong labels; the images are the same for every noise."""
    rng = np.random.default_rng(seed)
    sizes = (config.train_size, config.clean_size, config.test_size, config.num_features)
    return with_label_noise(draw(features(config, device), *sizes, rng), noise, rng).to(device)


def pool_data(config: Config, seed: int, device: torch.device) -> ExperimentData:
    """A seed set and a candidate pool, all labels correct."""
    rng = np.random.default_rng(seed)
    sizes = (config.seed_set_size + config.pool_size, 1, config.test_size, config.num_features)
    return with_seed_set(draw(features(config, device), *sizes, rng), config.seed_set_size).to(device)


def loo_runtime(data: ExperimentData, config: Config, seed: int) -> list[Measurement]:
    """All leave-one-out predictions in closed form, and by one fit per example."""
    z, y = data.z[: config.timed_examples], data.y[: config.timed_examples]
    ones = torch.ones_like(z[:, 0])
    return log10_seconds(
        "leave-one-out", seed,
        lambda: method.loo_predictions(method.fit(z, y, ones, TIMED_LAMBDA)),
        lambda: baselines.loo_by_refitting(z, y, ones, TIMED_LAMBDA),
    )  # fmt: skip


def detection(data: ExperimentData, config: Config, seed: int, setting: str) -> list[Measurement]:
    """How well each score detects wrong labels (AUC), and what Eq. 15 flags."""
    ridge = training.fit(data, data.trusted, data.trusted, config.lambdas)
    measurements = [
        Measurement("AUC", name, setting, seed, auc(data.wrong, score(ridge, data.trusted)))
        for name, score in training.scores(data, seed).items()
    ]
    flagged = method.reject(method.dataset_derivative(ridge, data.trusted))
    share = 100 * flagged.cpu().numpy().mean()
    return [
        *measurements,
        Measurement("F1", DIVA, setting, seed, f1(data.wrong, flagged)),
        Measurement("share flagged", DIVA, setting, seed, share),
    ]


def rejecting(data: ExperimentData, config: Config, seed: int, setting: str) -> list[Measurement]:
    """Test accuracy after each method has removed examples."""
    measurements = []
    for name, alpha in training.rejected(data, config.reject_rounds, config.lambdas, seed).items():
        ridge = training.fit(data, alpha, alpha, config.lambdas)
        value = accuracy(ridge, data.z_test, data.test_labels)
        measurements.append(Measurement("accuracy", name, f"Reject, {setting}", seed, value))
    return measurements


def reweighting(data: ExperimentData, config: Config, seed: int, setting: str) -> list[Measurement]:
    """Test accuracy and the mean leave-one-out loss after one step of each method."""
    measurements = []
    for name, alpha in training.reweighted(data, config.step_size, config.lambdas, seed).items():
        ridge = training.fit(data, alpha, data.trusted, config.lambdas)
        value = accuracy(ridge, data.z_test, data.test_labels)
        loss = float(method.loo_loss(ridge, data.trusted)) / len(data.trusted)
        measurements.append(Measurement("accuracy", name, f"Reweight, {setting}", seed, value))
        measurements.append(Measurement("leave-one-out loss", name, f"Reweight, {setting}", seed, loss))
    return measurements


def extending(
    data: ExperimentData, config: Config, seed: int, setting: str, methods: Sequence[str]
) -> list[Measurement]:
    """Test accuracy and the share of wrong labels among the additions, after each round of each method."""
    sizes = (config.batch_size, config.extend_rounds)
    measurements = []
    for name, sets in training.extended(data, methods, *sizes, config.lambdas, seed).items():
        for added, alpha in zip(config.added, sets, strict=True):
            after = f"{setting}, {added} added"
            ridge = training.fit(data, alpha, data.trusted, config.lambdas)
            value = accuracy(ridge, data.z_test, data.test_labels)
            measurements.append(Measurement("accuracy", name, after, seed, value))
            if added:
                share = wrong_share(data.wrong, alpha > data.trusted)
                measurements.append(Measurement("wrong labels added", name, after, seed, share))
    everything = training.fit(data, torch.ones_like(data.trusted), data.trusted, config.lambdas)
    value = accuracy(everything, data.z_test, data.test_labels)
    return [*measurements, Measurement("accuracy", WHOLE_POOL, setting, seed, value)]
