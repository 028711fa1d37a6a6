"""What the searched policy is measured against: policies as well, so that one sampler and one trainer serve all.

A policy is (K, M) float64, a row of probabilities a layer; the identity stands first in every bank.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from companion.deepaa.method import CROP, CUTOUT, FLIP, IDENTITY, Bank

DEFAULT = (CROP, FLIP, CUTOUT)
TURNING = (FLIP, "VerticalFlip", "Rotate90", "Rotate180")


def always(bank: Bank, operations: Sequence[str]) -> Tensor:
    """A layer an operation, each applied to every image, (K, M); an operation's magnitudes share its layer evenly.

    Raises ValueError if the bank lacks one of them.
    """
    lacking = set(operations) - set(bank.operations)
    if lacking:
        raise ValueError(f"operations hold {', '.join(sorted(lacking))}, which the bank has not.")
    policy = torch.zeros(len(operations), len(bank), dtype=torch.float64)
    for layer, name in enumerate(operations):
        policy[layer, bank.rows(name)] = 1 / len(bank.rows(name))
    return policy


def none(bank: Bank) -> Tensor:
    """Images as they are, (1, M)."""
    return always(bank, [IDENTITY])


def hand_picked(bank: Bank) -> Tensor:
    """CIFAR's default, (3, M): crop, then flip, then cutout."""
    return always(bank, DEFAULT)


def uniform(bank: Bank, layers: int) -> Tensor:
    """All candidates alike, (layers, M): one layer is TrivialAugment's rule, several are RandAugment's."""
    return torch.full((layers, len(bank)), 1 / len(bank), dtype=torch.float64)


# ---------------------------------------------------------------- what a layer chose, in per cent


def mass(bank: Bank, layer: Tensor, operations: Sequence[str]) -> float:
    """Per cent of a layer (M,) that goes to the operations; 0 where the bank has none of them."""
    return 100 * float(layer[[i for name in operations for i in bank.rows(name)]].sum())


def inverting(bank: Bank, layer: Tensor) -> float:
    """Per cent of a layer (M,) that turns black to white: Invert, and Solarize from 0, which is the same."""
    rows = bank.rows("Invert") + [i for i in bank.rows("Solarize") if bank.candidates[i].magnitude == 0]
    return 100 * float(layer[rows].sum())
