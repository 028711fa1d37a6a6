"""What the searched policy is compared with: other policies, so that one sampler and one training loop serve all.

A policy is (K, M) float64, one row of probabilities per layer; the identity is the first candidate of every bank.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from companion.deepaa.method import CROP, CUTOUT, FLIP, IDENTITY, Bank

DEFAULT = (CROP, FLIP, CUTOUT)


def always(bank: Bank, operations: Sequence[str]) -> Tensor:
    """One layer per operation, each applied to every image, (K, M); the operation's magnitudes are equally likely.

    Raises ValueError if the bank lacks one of them.
    """
    missing = set(operations) - set(bank.operations)
    if missing:
        raise ValueError(f"operations hold {', '.join(sorted(missing))}, which the bank does not have.")
    policy = torch.zeros(len(operations), len(bank), dtype=torch.float64)
    for layer, name in enumerate(operations):
        policy[layer, bank.rows(name)] = 1 / len(bank.rows(name))
    return policy


def none(bank: Bank) -> Tensor:
    """No augmentation, (1, M)."""
    return always(bank, [IDENTITY])


def hand_picked(bank: Bank) -> Tensor:
    """The default for CIFAR, (3, M): crop, then flip, then cutout."""
    return always(bank, DEFAULT)


def uniform(bank: Bank, layers: int) -> Tensor:
    """All candidates equally likely in every layer, (layers, M).

    One layer resembles TrivialAugment and several resemble RandAugment, but neither is implemented as published: those
    draw an operation first and then a magnitude, and RandAugment shares one tuned magnitude.
    """
    return torch.full((layers, len(bank)), 1 / len(bank), dtype=torch.float64)
