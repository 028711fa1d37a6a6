"""The benchmark: what every notebook costs at ci and laptop scale, as a table. Never a test: machines differ."""

from __future__ import annotations

import datetime
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version

import joblib

from companion.course.runner import Outcome

SCALES = ("ci", "laptop")
TARGETS = "Targets: 15 CPU seconds at ci, 60 at laptop, and below 1,500 MB (the last is a test)."


def markdown(runs: Mapping[str, Sequence[Outcome]], jobs: int) -> str:
    """The page `docs/benchmark.md`."""
    software = f"Python {platform.python_version()}, torch {version('torch')}"
    machine = f"{platform.machine()}, {joblib.cpu_count()} cores, {software}, {jobs} at a time, one thread each"
    lines = [
        "# What a notebook costs",
        "",
        f"Made by `python -m companion bench` on {datetime.date.today().isoformat()} ({machine}).",
        "CPU seconds are the number to compare; wall seconds depend on what else the machine does. Seconds and memory",
        f"are those of the notebook's kernel, start-up and imports included. {TARGETS}",
        "",
        "| notebook | scale | CPU s | wall s | peak MB | status |",
        "|---|---|---:|---:|---:|---|",
    ]
    for scale, outcomes in runs.items():
        for row in outcomes:
            cost = f"{row.cpu_s:.0f} | {row.wall_s:.0f} | {row.peak_mb}"
            lines.append(f"| {row.notebook} | {scale} | {cost} | {row.status} |")
    return "\n".join(lines) + "\n"
