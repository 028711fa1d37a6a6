"""Child processes: what they inherit, and what they used."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import psutil

import companion

try:
    import resource
except ImportError:  # Windows has no such module: the peak is then not known
    resource = None  # type: ignore[assignment]


def environment() -> dict[str, str]:
    """What a child process runs with: one thread, fixed hashes, no model hub, and the same `companion` as here."""
    own = [str(Path(companion.__path__[0]).parent), os.environ.get("PYTHONPATH", "")]
    fixed = {"OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0", "HF_HUB_OFFLINE": "1"}
    return {**os.environ, **fixed, "PYTHONPATH": os.pathsep.join(filter(None, own))}


def used(children: bool = False) -> tuple[float, int]:
    """CPU seconds and peak memory in MB of this process, or of its largest finished child."""
    if resource is None:
        times = psutil.Process().cpu_times()
        return round(times.children_user if children else times.user, 1), 0
    usage = resource.getrusage(resource.RUSAGE_CHILDREN if children else resource.RUSAGE_SELF)
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return round(usage.ru_utime + usage.ru_stime, 2), usage.ru_maxrss // unit
