"""Runtime: device, threads and seeds, which make a number repeatable; time, memory, and how both grow with size."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from companion.errors import CompanionError
from companion.lab.evidence import Measurement

if TYPE_CHECKING:
    import torch

DEVICES = ("auto", "cpu", "cuda", "mps")
THREADS = "COMPANION_THREADS"


def resolve_device(device: str) -> torch.device:
    """The device that a name stands for; "auto" takes CUDA if it is there, else the CPU."""
    import torch

    kind = str(device).partition(":")[0]
    if kind not in DEVICES:
        raise CompanionError(f"device = {device!r} is not known; use one of {', '.join(DEVICES)}.")
    if kind == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    absent = (kind == "cuda" and not torch.cuda.is_available()) or (
        kind == "mps" and not torch.backends.mps.is_available()
    )
    if absent:
        raise CompanionError(
            f'device = {device!r} was asked for, but PyTorch finds none on this machine; use "cpu" or "auto".'
        )
    index = torch.device(device).index
    if kind == "cuda" and index is not None and index >= torch.cuda.device_count():
        raise CompanionError(
            f"device = {device!r}, but this machine has {torch.cuda.device_count()} CUDA device(s), counted from 0."
        )
    return torch.device(device)


def check_seed(seed: object) -> int:
    """The seed itself if it is a whole number of at least 0."""
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
        raise CompanionError(f"seed = {seed!r} is not a seed; use a whole number, 0 or larger.")
    return int(seed)


def set_seed(seed: int) -> None:
    """Seed Python's, NumPy's and PyTorch's generators, on every device."""
    import torch

    random.seed(check_seed(seed))
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def set_threads(scale: str) -> int:
    """One thread below paper scale (tiny models lose time with more, and digits move), else all granted cores.

    COMPANION_THREADS, where it is set, wins: the benchmark asks whether verdicts stand with two.
    """
    import joblib
    import torch

    threads = asked_threads() or (joblib.cpu_count() if scale == "paper" else 1)
    os.environ["OMP_NUM_THREADS"] = str(threads)
    torch.set_num_threads(threads)
    return threads


def asked_threads() -> int:
    """The number in COMPANION_THREADS; 0 if it is not set."""
    asked = os.environ.get(THREADS, "0")
    if not asked.isdecimal():
        raise CompanionError(f"{THREADS} = {asked!r} is no number of threads; set it to 1 or more, or unset it.")
    return int(asked)


def use_deterministic_algorithms() -> None:
    """Ask PyTorch for deterministic kernels; where one is missing, go on (the digits then move on a GPU)."""
    import torch

    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=True)


def cpu_seconds(work: Callable[[], object]) -> float:
    """CPU seconds of this process for one call."""
    start = time.process_time()
    work()
    return max(time.process_time() - start, 1e-6)


def call_seconds(work: Callable[[], object], device: torch.device) -> float:
    """Seconds of one call: CPU seconds of this process, or on a GPU those of the clock until the GPU is done."""
    if device.type != "cuda":
        return cpu_seconds(work)
    import torch

    torch.cuda.synchronize(device)
    start = time.perf_counter()
    work()
    torch.cuda.synchronize(device)
    return max(time.perf_counter() - start, 1e-6)


def peak_megabytes(children: bool = False) -> float:
    """The most memory that this process, or its largest finished child, has held; Windows cannot tell (ImportError)."""
    import resource

    who = resource.RUSAGE_CHILDREN if children else resource.RUSAGE_SELF
    return resource.getrusage(who).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def memory_limit_mb() -> int:
    """The memory that this process may use: the least of the machine's, the container's and the hub's (MEM_LIMIT)."""
    import psutil

    limits = [psutil.virtual_memory().total, *cgroup_limits()]
    if os.environ.get("MEM_LIMIT", "").isdecimal():
        limits.append(int(os.environ["MEM_LIMIT"]))
    return min(limit for limit in limits if limit > 0) // 2**20


def cgroup_limits(root: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> list[int]:
    """The container's memory limits in bytes, of cgroup v2 and v1, the process's own group first."""
    try:
        groups = [line.split(":", 2) for line in own.read_text("utf-8").splitlines()]
    except OSError:
        groups = []
    files = []
    for _, controllers, group in (parts for parts in groups if len(parts) == 3):
        inside = Path(group.lstrip("/"))
        if controllers == "":
            files += [root / above / "memory.max" for above in (inside, *inside.parents)]
        if "memory" in controllers.split(","):
            files += [root / "memory" / above / "memory.limit_in_bytes" for above in (inside, *inside.parents)]
    files += [root / "memory.max", root / "memory" / "memory.limit_in_bytes"]
    found = []
    for file in dict.fromkeys(files):
        try:
            text = file.read_text("utf-8").strip()
        except OSError:
            continue
        if text.isdecimal() and int(text) < 2**60:  # v1 writes a huge number, v2 "max", where there is no limit
            found.append(int(text))
    return found


def free_memory_mb() -> int:
    """What this process may still take, in MB: its limit less what it holds."""
    import psutil

    return memory_limit_mb() - psutil.Process().memory_info().rss // 2**20


def runtime_by_size(
    measure: Callable[..., dict[str, float]], sizes: Mapping[str, tuple[int, ...]], seed: int
) -> list[Measurement]:
    """What `measure(*size)` says of each setting's size, each in a fresh process of one thread: so peaks are its own.

    What has "memory" in its name is in megabytes, all else in CPU seconds.
    """
    rows = []
    for setting, size in sizes.items():
        call = f"print(json.dumps({measure.__name__}(*{size})))"
        code = (
            f"import json, torch; torch.set_num_threads(1); from {measure.__module__} import {measure.__name__}; {call}"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        found = json.loads(done.stdout.splitlines()[-1])
        rows += [Measurement("megabytes" if "memory" in name else "CPU seconds", name, setting, seed, value)
                 for name, value in found.items()]  # fmt: skip
    return rows
