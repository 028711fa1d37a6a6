"""The experiment: the mean of shifted noise against that of plain noise."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from companion.errors import CompanionError
from companion.lab import BaseConfig, Measurement


@dataclass(frozen=True)
class Config(BaseConfig):
    """How many numbers are averaged."""

    size: int = 100  # numbers that are averaged
    SIZES: ClassVar[Mapping[str, Mapping[str, Any]]] = {"ci": {"seeds": 1, "size": 10}, "study": {"seeds": 10}}


def experiment(config: Config, seed: int, device: torch.device) -> list[Measurement]:
    """Mean of the noise with and without the shift."""
    if os.environ.get("TINY_FAILS_ON") == str(seed):
        raise CompanionError(f"seed {seed} was told to fail.")
    noise = torch.randn(config.size, device=device)
    means = {"shifted": (noise + 5).mean(), "plain": noise.mean()}
    return [Measurement("mean", method, "all", seed, float(value)) for method, value in means.items()]
