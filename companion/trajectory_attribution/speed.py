"""What attribution costs: targets a second and rows through the head, exactly and by sampling, against plain passes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import torch

from companion.lab.runtime import cpu_seconds
from companion.lab.evidence import Measurement
from companion.trajectory_attribution import estimators, method
from companion.trajectory_attribution.method import Batch, Predictor
from companion.trajectory_attribution.world import everyone, simulate

EXACT, SAMPLED = (3, 5, 7, 9, 12), (12, 24)
DRAWS = 50


def plain_table(model: Predictor, batch: Batch) -> torch.Tensor:
    """The table by one whole forward pass a coalition: what caching the encoders saves."""
    columns = []
    for members in method.coalitions(batch.players):
        past = batch.past if members[0] else torch.zeros_like(batch.past)
        left = replace(batch, past=past, mask=batch.mask & members[1:].to(batch.mask.device))
        with torch.no_grad():
            mean, spread = model(left)
            columns.append(-method.ade(mean, spread, batch.future))
    return torch.stack(columns, dim=1)


def speed(targets: int, seed: int, device: torch.device) -> list[Measurement]:
    """Targets a second and coalitions a target, exact, plain and sampled, and the sampled standard error in metres."""
    rows, torch_stream = [], torch.Generator().manual_seed(seed)
    for players in sorted({*EXACT, *SAMPLED}):
        batch = everyone(simulate(max(targets // players, 4), 1.0, seed, walkers=players))[0].to(device)
        model = Predictor(8, 12, 1).to(device)
        ways: dict[str, Callable[[], Any]] = {
            "exact, cached": partial(method.value_table, model, batch),
            "exact, plain": partial(plain_table, model, batch),
        }
        ways = ways if players in EXACT else {}
        if players in SAMPLED:
            ways["50 orders"] = partial(sample, model, batch, torch_stream)
            error = float(sample(model, batch, torch_stream)[1].mean())
            rows.append(Measurement("standard error", "50 orders", f"{players} players", seed, error))
        for name, work in ways.items():
            calls = DRAWS * (players + 1) if "orders" in name else 2**players
            seconds = cpu_seconds(work)
            setting = f"{players} players"
            rows += [
                Measurement("targets a second", name, setting, seed, len(batch) / seconds),
                Measurement("coalitions a target", name, setting, seed, float(calls)),
            ]
    return rows


@torch.no_grad()
def sample(model: Predictor, batch: Batch, stream: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Attributions and their standard errors, (N, P) each, from 50 orders of arrival."""
    encoded = method.encode(model, batch)
    return estimators.permutations(encoded.values, batch.players, DRAWS, stream)
