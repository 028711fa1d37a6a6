"""What the blocked scorer costs: CPU seconds and peak memory against users x films, each size in a fresh process."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time

import torch

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
    scorer, k, c = example(n, m, memory), m // 100, n // 100
    start = time.process_time()
    blocks.best_rows_and_columns(scorer, k, c)
    read = time.process_time()
    zero = torch.zeros(m)
    matching.dual(scorer.blocks(), zero, zero, k, Exposure(least=n * k / m / 2), 1e-3, DUAL_STEPS)
    done = time.process_time()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
    return {"top rows and columns": read - start, "one dual update": done - read, "peak memory": peak}


def growth(seed: int) -> list[Measurement]:
    """Each size in a process of its own, smallest first."""
    rows = []
    for n, m in SIZES:
        call = f"print(json.dumps(speed.measure({n}, {m})))"
        code = f"import json, torch; torch.set_num_threads(1); from companion.rim import speed; {call}"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        found = json.loads(done.stdout.splitlines()[-1])
        rows += [Measurement("megabytes" if "memory" in name else "CPU seconds", name, f"{n:,} x {m:,}", seed, value)
                 for name, value in found.items()]  # fmt: skip
    return rows
