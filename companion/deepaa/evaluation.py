"""Metrics of a searched policy: the probability of kinds of operations, and how each layer's search went."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from companion.deepaa.method import FLIP, IDENTITY, Bank, LayerTrace
from companion.lab.evidence import Measurement

FIRST, SECOND = "layer 1", "layer 2"
FLIPS_AND_ROTATIONS = (FLIP, "VerticalFlip", "Rotate90", "Rotate180")


def probability(bank: Bank, layer: Tensor, operations: Sequence[str]) -> float:
    """Percent of a layer (M,) that goes to the operations; 0 where the bank has none of them."""
    return 100 * float(layer[[i for name in operations for i in bank.rows(name)]].sum())


def inversion_probability(bank: Bank, layer: Tensor) -> float:
    """Percent of a layer (M,) that turns black to white: Invert, and Solarize from 0, which is the same."""
    rows = bank.rows("Invert") + [i for i in bank.rows("Solarize") if bank.candidates[i].magnitude == 0]
    return 100 * float(layer[rows].sum())


def policy_statistics(bank: Bank, policies: Mapping[str, Tensor], method: str, seed: int) -> list[Measurement]:
    """Percent of the first two layers of each policy (K, M) for identity, for inversion, for flips and rotations.

    Of the policy of `method`, also the percentage of every operation ("mass").
    """
    measurements = []
    for name, policy in policies.items():
        for layer_name, layer in zip((FIRST, SECOND), policy, strict=False):
            kinds = {
                "identity mass": probability(bank, layer, [IDENTITY]),
                "inverting mass": inversion_probability(bank, layer),
                "turning mass": probability(bank, layer, FLIPS_AND_ROTATIONS),
            }
            measurements += [Measurement(kind, name, layer_name, seed, value) for kind, value in kinds.items()]
    for layer_name, layer in zip((FIRST, SECOND), policies[method], strict=False):
        for operation in bank.operations:
            value = probability(bank, layer, [operation])
            measurements.append(Measurement("mass", operation, layer_name, seed, value))
    return measurements


def search_progress(layers: Mapping[str, Sequence[LayerTrace]], seed: int) -> list[Measurement]:
    """Of each searched layer: 100 x cos(v, g) over the first and the last quarter of its steps; its last entropy."""
    measurements = []
    for name, traces in layers.items():
        for layer_name, trace in zip((FIRST, SECOND), traces, strict=False):
            quarter = max(1, len(trace.cosines) // 4)
            for when, part in (("begin", trace.cosines[:quarter]), ("end", trace.cosines[-quarter:])):
                value = 100 * sum(part) / quarter
                measurements.append(Measurement("cosine", f"{name}, {when}", layer_name, seed, value))
            measurements.append(Measurement("entropy", name, layer_name, seed, trace.entropies[-1]))
    return measurements
