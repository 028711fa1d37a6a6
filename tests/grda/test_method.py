"""GRDA's method: the pair loss against a double loop, gradients a player, batches that leak and batches that do not."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch.nn import functional

from companion.grda import method


def looped(q, weights, aligned):
    """The pair loss by a loop over samples."""
    connected, apart = weights
    total, (domains, size, _) = 0.0, q.shape
    for i, j in itertools.product(range(domains), repeat=2):
        pairs = [(b, b if i != j else (b - 1) % size) for b in range(size)]
        if not aligned:
            pairs = [(b, c) for b, c in itertools.product(range(size), repeat=2) if i != j or b != c]
        logits = torch.stack([q[i, b] @ q[j, c] for b, c in pairs])
        total = total - connected[i, j] * functional.logsigmoid(logits).mean()
        total = total - apart[i, j] * functional.logsigmoid(-logits).mean()
    return total


@pytest.mark.parametrize("aligned", [True, False])
@pytest.mark.parametrize("same_domain", [True, False])
@pytest.mark.parametrize("balanced", [True, False])
def test_the_pair_loss_is_a_double_loop(aligned, same_domain, balanced) -> None:
    generator = torch.Generator().manual_seed(0)
    q = torch.randn(4, 5, 3, generator=generator, dtype=torch.float64)
    adjacency = torch.tensor([[0, 1, 0, 0], [1, 0, 1, 0], [0, 1, 0, 1], [0, 0, 1, 0]], dtype=torch.float64)
    weights = method.pair_weights(adjacency, same_domain, balanced)
    assert float(weights[0].sum() + weights[1].sum()) == pytest.approx(1)
    found, wanted = method.pair_loss(q, weights, aligned), looped(q, weights, aligned)
    assert float(found) == pytest.approx(float(wanted), abs=1e-12)
