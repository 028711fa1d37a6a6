"""What drawing costs: images a second of each world, at several sizes of a batch, on one device."""

from __future__ import annotations

from functools import partial

import torch

from companion.lab.runtime import cpu_seconds
from companion.lab.evidence import Measurement
from companion.visual_generalization import worlds

BATCHES = {"sprites": (200, 2000), "room": (200, 1000)}


def renderer(seed: int, device: torch.device, repeats: int = 3) -> list[Measurement]:
    """Images a CPU second, the best of three, drawn at 64 x 64 and averaged to 32 x 32."""
    rows, generator = [], torch.Generator().manual_seed(seed)
    for name, sizes in BATCHES.items():
        for count in sizes:
            flat = torch.randint(worlds.WORLDS[name].grid.count, (count,), generator=generator).to(device)
            work = partial(worlds.WORLDS[name].images, flat, 2)
            best = min(cpu_seconds(work) for _ in range(repeats))
            rows.append(Measurement("images a second", name, f"{count} at once", seed, count / best))
    return rows
