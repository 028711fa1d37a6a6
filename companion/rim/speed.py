"""What the blocked scorer costs: CPU seconds and peak memory against users x films, each size in a fresh process."""

from __future__ import annotations

from functools import partial

import torch

from companion.lab import runtime
from companion.lab.evidence import Measurement
from companion.rim import blocks, matching
from companion.rim.matching import Exposure

SIZES = ((1_000, 1_000), (10_000, 1_000), (10_000, 10_000), (100_000, 10_000))
MEMORY, WIDTH, DUAL_STEPS = 512 * 2**20, 48, 8


def example(n: int, m: int, memory: int = MEMORY) -> blocks.Scorer:
    """Random states, films and activities in single precision."""
    generator = torch.Generator().manual_seed(0)
    hidden, films = (torch.randn(size, WIDTH, generator=generator) for size in (n, m))
    return blocks.Scorer(hidden, films / WIDTH**0.5, torch.zeros(m), torch.randn(n, generator=generator), memory)


def measure(n: int, m: int, memory: int = MEMORY) -> dict[str, float]:
    """CPU seconds of reading rows and columns, and of one update of the dual; megabytes at the peak of this process.

    k and c are one per cent; the dual promises each film half of its even share.
    """
    scorer, k, zero = example(n, m, memory), m // 100, torch.zeros(m)
    promised = Exposure(least=n * k / m / 2)
    read = runtime.cpu_seconds(partial(blocks.best_rows_and_columns, scorer, k, n // 100))
    update = partial(matching.dual, scorer.blocks(), zero, zero, k, promised, 1e-3, DUAL_STEPS)
    return {
        "top rows and columns": read,
        "one dual update": runtime.cpu_seconds(update),
        "peak memory": runtime.peak_megabytes(),
    }


def growth(seed: int) -> list[Measurement]:
    """Each size in a process of its own, smallest first."""
    return runtime.runtime_by_size(measure, {f"{n:,} x {m:,}": (n, m) for n, m in SIZES}, seed)
