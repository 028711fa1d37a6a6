"""What rewards cost: one Jacobian-vector product against the gradient of every candidate by itself."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.func import grad, vmap

from companion.deepaa import method
from companion.lab.runtime import cpu_seconds
from companion.lab.evidence import Measurement

REPEATS = 5


def by_each_gradient(network: method.Network, images: Tensor, labels: Tensor, v: Tensor, g: Tensor) -> Tensor:
    """The rewards of a draw, (B,), the long way: images (B, C, H, W), labels (B,), v and g (P,).

    Every candidate's gradient is made and kept, (B, P), and multiplied by u afterwards.
    """

    def one(w: Tensor, x: Tensor, y: Tensor) -> Tensor:
        return network.losses(x[None], y[None])(w)[0]

    each = vmap(grad(one), in_dims=(None, 0, 0))(network.weights, images, labels)
    return each @ method.across(v, g) / (v.norm() * g.norm())


def rewards_a_second(network: method.Network, bank: method.Bank, source: method.Source, seed: int) -> list[Measurement]:
    """CPU seconds for the rewards of one draw (best of five), thousands of rewards a second, and numbers kept."""
    generator = torch.Generator().manual_seed(seed)
    begun, labels, (v, g) = method.draw_batch(network, source, method.Recipe(draws=2), generator)
    images = method.all_candidates(bank, begun[:1], method.empty_policy(bank), 1, generator)[0]
    labels = labels[:1].expand(len(bank))
    ways = {
        "one JVP": lambda: method.candidate_rewards(network.losses(images, labels), network.weights, v, g),
        "each gradient": lambda: by_each_gradient(network, images, labels, v, g),
    }
    kept = {"one JVP": network.weights.numel(), "each gradient": len(bank) * network.weights.numel()}
    rows = []
    for name, way in ways.items():
        way()
        seconds = min(cpu_seconds(way) for _ in range(REPEATS))
        rows.append(Measurement("thousand rewards a second", name, "one draw", seed, len(bank) / seconds / 1000))
        rows.append(Measurement("numbers kept", name, "one draw", seed, float(kept[name])))
    return rows
