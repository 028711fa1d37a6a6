"""What the layers chose and how they went, as measurements."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from companion.deepaa import baselines
from companion.deepaa.method import IDENTITY, Bank, Trace
from companion.lab.evidence import Measurement

FIRST, SECOND = "layer 1", "layer 2"


def shares_of(bank: Bank, policies: Mapping[str, Tensor], whole: str, seed: int) -> list[Measurement]:
    """Per cent of each arm's layers that goes to identity, inversion and turns; of the arm `whole`, every operation's.

    policies: arm -> (K, M); only the first two layers are looked at.
    """
    rows = []
    layers = {arm: list(zip((FIRST, SECOND), policy, strict=False)) for arm, policy in policies.items()}
    for arm, (name, layer) in ((arm, pair) for arm, pairs in layers.items() for pair in pairs):
        kinds = {
            "identity mass": baselines.mass(bank, layer, [IDENTITY]),
            "inverting mass": baselines.inverting(bank, layer),
            "turning mass": baselines.mass(bank, layer, baselines.TURNING),
        }
        rows += [Measurement(kind, arm, name, seed, value) for kind, value in kinds.items()]
    for name, layer in layers[whole]:
        shares = {operation: baselines.mass(bank, layer, [operation]) for operation in bank.operations}
        rows += [Measurement("mass", operation, name, seed, share) for operation, share in shares.items()]
    return rows


def progress_of(layers: Mapping[str, Sequence[Trace]], seed: int) -> list[Measurement]:
    """How each searched layer went: 100 x cos(v, g) over its first and its last quarter, and its last entropy."""
    rows = []
    for arm, traces in layers.items():
        for name, trace in zip((FIRST, SECOND), traces, strict=False):
            quarter = max(1, len(trace.cosines) // 4)
            for when, part in (("begin", trace.cosines[:quarter]), ("end", trace.cosines[-quarter:])):
                rows.append(Measurement("cosine", f"{arm}, {when}", name, seed, 100 * sum(part) / quarter))
            rows.append(Measurement("entropy", arm, name, seed, trace.entropies[-1]))
    return rows
