"""Child processes: what they inherit, how several run side by side, and what they used."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

import companion
from companion.lab.runtime import THREADS, peak_megabytes

try:
    import resource
except ImportError:  # Windows has no such module: the peak is then not known
    resource = None  # type: ignore[assignment]

Finished = subprocess.CompletedProcess[str]
SECONDS_TO_DIE = 5


def environment(threads: int = 0) -> dict[str, str]:
    """What a child process runs with: fixed hashes, no model hub, and the same `companion` as here.

    threads: how many a lesson takes; 0 leaves it to the scale.
    """
    own = [str(Path(companion.__path__[0]).parent), os.environ.get("PYTHONPATH", "")]
    fixed = {"OMP_NUM_THREADS": str(threads or 1), "PYTHONHASHSEED": "0", "HF_HUB_OFFLINE": "1"}
    fixed |= {THREADS: str(threads)} if threads else {}
    return {**os.environ, **fixed, "PYTHONPATH": os.pathsep.join(filter(None, own))}


@contextmanager
def workers(jobs: int, threads: int = 0) -> Iterator[Callable[[Sequence[str]], Future[Finished]]]:
    """A function that runs a Python module with arguments, `jobs` at a time, each in a session of its own.

    Ctrl-C therefore reaches this process alone; when the block is left by an error, all that still runs is stopped.
    """
    running: set[subprocess.Popen[str]] = set()
    stopped = threading.Event()

    def run(arguments: Sequence[str]) -> Finished:
        if stopped.is_set():
            return Finished(arguments, -1, "", "stopped before it began")
        command = [sys.executable, "-m", *arguments]
        pipe = subprocess.PIPE
        process = subprocess.Popen(
            command, env=environment(threads), stdout=pipe, stderr=pipe, text=True, start_new_session=True
        )
        running.add(process)
        out, err = process.communicate()
        running.discard(process)
        return Finished(arguments, process.returncode, out, err)

    with ThreadPoolExecutor(jobs) as pool:
        try:
            yield lambda arguments: pool.submit(run, arguments)
        except BaseException:
            stopped.set()
            stop([process.pid for process in list(running)])
            raise


def stop(pids: Sequence[int]) -> None:
    """End these processes and all that they started."""
    tree = [process for pid in pids if psutil.pid_exists(pid) for process in _family(pid)]
    for process in tree:
        _quietly(process.terminate)
    for process in psutil.wait_procs(tree, timeout=SECONDS_TO_DIE)[1]:
        _quietly(process.kill)


def used(children: bool = False) -> tuple[float, int]:
    """CPU seconds and peak memory in MB of this process, or of its largest finished child."""
    if resource is None:
        times = psutil.Process().cpu_times()
        return round(times.children_user if children else times.user, 1), 0
    usage = resource.getrusage(resource.RUSAGE_CHILDREN if children else resource.RUSAGE_SELF)
    return round(usage.ru_utime + usage.ru_stime, 2), int(peak_megabytes(children))


def last_line(text: str) -> str:
    """The last line of a process's output that says something."""
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "no message")


def _family(pid: int) -> list[psutil.Process]:
    try:
        parent = psutil.Process(pid)
        return [*parent.children(recursive=True), parent]
    except psutil.NoSuchProcess:
        return []


def _quietly(action: Callable[[], None]) -> None:
    with suppress(psutil.NoSuchProcess):
        action()
