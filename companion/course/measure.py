"""One seed of one experiment in a process of its own.

`python -m companion.course.measure LESSON SCALE SEED DEVICE SOURCE` prints one line of JSON:
the measurements, CPU seconds, peak memory and threads.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import astuple
from typing import Any

import torch

from companion.course.processes import used
from companion.errors import CompanionError, DataMissing
from companion.lab import Measurement, source_hash
from companion.lab.device import repeatable, resolve_device, set_seed, set_threads
from companion.lab.records import plan_of, reduced_studies


def measure(lesson: str, scale: str, seed: int, device: str) -> list[Measurement]:
    """Run a lesson's experiment once, exactly as a notebook does."""
    plan = plan_of(lesson, scale)
    set_threads(plan.config.scale)
    repeatable()
    set_seed(seed)
    return plan.experiment(plan.config, seed, resolve_device(device))


def measure_reduced(lesson: str, only: Sequence[str] = ()) -> dict[str, dict[str, Any]]:
    """Run every reduced study of a lesson (or those named in `only`), one after the other in this process."""
    done = {}
    for run, plan in reduced_studies(lesson).items():
        if only and run not in only:
            continue
        set_threads(plan.config.scale)
        repeatable()
        set_seed(plan.first_seed)
        begun = time.process_time()
        try:
            rows = plan.experiment(plan.config, plan.first_seed, resolve_device("cpu"))
        except DataMissing as why:
            print(f"{lesson}, {run}: {why}", file=sys.stderr)
            continue
        done[run] = {"measurements": [astuple(row) for row in rows], "cpu_seconds": time.process_time() - begun,
                     "config": plan.config.as_dict()}  # fmt: skip
    return done


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
        reduced = len(sys.argv) > 1 and sys.argv[1] == "--reduced"
        work = (lambda: measure_reduced(sys.argv[2], sys.argv[3:])) if reduced else (lambda: main(*sys.argv[1:]))
        print(json.dumps(work(), default=float))
    except CompanionError as error:
        sys.exit(str(error))
