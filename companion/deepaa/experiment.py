"""The experiment: pretrain, search, then train a network with every policy on the same images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch

from companion.deepaa.data import DIGITS
from companion.deepaa.evaluation import SECOND, policy_statistics, search_progress
from companion.deepaa.method import SearchConfig
from companion.deepaa.training import DEEPAA, METHODS, policies, search_policies, train
from companion.lab.config import BaseConfig
from companion.lab.evidence import Measurement

TEST = "test"


@dataclass(frozen=True)
class Config(BaseConfig):
    """All sizes of the lesson. The learning rates were tuned on the half "choices" (see `studies.tune`)."""

    seeds: int = 5  # how many seeds are run
    data: str = DIGITS  # "mnist5k", "cifar10_jpeg", "cifar10" or "cifar100"
    half: str = "evidence"  # which half of the digits: "evidence", or "choices" for tuning and pilot run
    pretrain_images: int = 300  # labeled images that train the search network
    search_images: int = 250  # labeled images that are augmented in the search
    validation_images: int = 250  # labeled images whose gradients are matched
    test_images: int = 1700  # test images
    pool: int = 2  # images are averaged over pool x pool pixels
    levels: int = 5  # magnitudes per operation, the neutral one included
    extra_flips: bool = True  # add a vertical flip, a 90 and a 180 degree rotation, which destroy a digit's label
    search_width: int = 8  # channels of the search network's first convolution
    search_depth: int = 2  # convolutions of the search network
    width: int = 16  # channels of the trained networks' first convolution
    depth: int = 2  # convolutions of the trained networks
    pretrain_epochs: int = 40  # epochs of the search network
    pretrain_lr: float = 0.1  # learning rate of the search network
    search: SearchConfig = SearchConfig()  # the search of a policy
    epochs: int = 20  # epochs with each policy
    batch_size: int = 50  # images per step
    lr: dict[str, float] = field(default_factory=lambda: dict.fromkeys(METHODS, 0.2), hash=False)  # learning rates
    amp: bool = False  # bfloat16 autocast in the search network's forward passes
    checkpoint: str = ""  # folder for the layers of an interrupted search

    SIZES: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "ci": {
            "seeds": 1, "pretrain_images": 150, "search_images": 100, "validation_images": 100, "test_images": 400,
            "epochs": 8,
            "search.steps": 12, "search.later_steps": 6, "search.lr": 0.8, "search.later_lr": 1.5,
        },
        "study": {"seeds": 12},
        "paper": {
            "seeds": 3, "data": "cifar10", "pretrain_images": 5000, "search_images": 35_000,
            "validation_images": 10_000, "test_images": 10_000, "pool": 1, "levels": 13, "extra_flips": False,
            "search_width": 32, "search_depth": 4, "width": 64, "depth": 4, "pretrain_epochs": 45, "epochs": 200,
            "batch_size": 128, "amp": True, "checkpoint": "build",
            "search.steps": 1024, "search.later_steps": 1024, "search.lr": 0.025, "search.later_lr": 0.025,
            "search.draws": 16, "search.prefixes": 16, "search.batch_size": 64, "search.layers": 6,
        },
    }  # fmt: skip


def experiment(config: Config, seed: int, device: torch.device) -> list[Measurement]:
    """Search, measure what was chosen, train with every policy. A seed has its own images and initialization."""
    result = search_policies(config, seed, device)
    measurements = policy_statistics(result.bank, policies(result), DEEPAA, seed)
    measurements += search_progress(result.layers, seed)
    measurements.append(Measurement("identity mass", "stop rule", SECOND, seed, 100 * config.search.stop))
    with torch.no_grad():
        scores = result.network(result.network.weights, result.data.test_images)
    correct = 100 * float((scores.argmax(1) == result.data.test_labels).double().mean())
    measurements.append(Measurement("accuracy", "search network", TEST, seed, correct))
    accuracies = train(result, policies(result), config.lr, config, seed)
    return measurements + [Measurement("accuracy", name, TEST, seed, value) for name, value in accuracies.items()]
