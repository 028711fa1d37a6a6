"""One seed of one experiment in a process of its own.

`python -m companion.course.measure LESSON SCALE SEED DEVICE SOURCE` prints one line of JSON:
the measurements, CPU seconds, peak memory and threads.
"""

from __future__ import annotations

import json
import sys
from dataclasses import astuple
from typing import Any

import torch

from companion.course.processes import used
from companion.errors import CompanionError
from companion.lab import Measurement, source_hash
from companion.lab.device import repeatable, resolve_device, set_seed, set_threads
from companion.lab.records import plan_of


def measure(lesson: str, scale: str, seed: int, device: str) -> list[Measurement]:
    """Run a lesson's experiment once, exactly as a notebook does."""
    plan = plan_of(lesson, scale)
    set_threads(plan.config.scale)
    repeatable()
    set_seed(seed)
    return plan.experiment(plan.config, seed, resolve_device(device))


def main(lesson: str, scale: str, seed: str, device: str, source: str) -> dict[str, Any]:
    """Measure, and say what it cost; refuses if the lesson's source is no longer the one that was asked for."""
    if source_hash(lesson, scale) != source:
        raise CompanionError(f"The source of {lesson!r} changed while it was being recorded; record it again.")
    rows = measure(lesson, scale, int(seed), device)
    cpu_seconds, peak_mb = used()
    cost = {"cpu_seconds": cpu_seconds, "peak_mb": peak_mb, "threads": torch.get_num_threads()}
    return {"measurements": [astuple(row) for row in rows], **cost}


if __name__ == "__main__":
    try:
        print(json.dumps(main(*sys.argv[1:]), default=float))
    except CompanionError as error:
        sys.exit(str(error))
