"""The benchmark: what every notebook costs at ci and laptop scale, and whether its verdicts come back. Never a test."""

from __future__ import annotations

import datetime
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import joblib

from companion.course import results, runner, lessons as syllabus
from companion.course.lessons import build_folder
from companion.course.runner import Outcome

TARGETS = "15 CPU seconds at ci, 60 at laptop (120 for the three lessons that train longest), and below 1,500 MB"


@dataclass(frozen=True)
class Run:
    """One run of the course: its scale and threads, what each notebook cost, what differs from the committed ones."""

    scale: str
    threads: int
    outcomes: Sequence[Outcome]
    differences: Sequence[str] = ()


def measure(notebooks: Sequence[Path], scale: str, threads: int, jobs: int) -> Run:
    """Run notebooks; at laptop scale, compare verdicts and means with the committed ones."""
    outcomes = runner.run(notebooks, scale, jobs=jobs, threads=threads)
    kept = build_folder() / "executed" / scale
    found = [line for path in notebooks for line in _differences(path, kept)] if scale == "laptop" else []
    return Run(scale, threads, outcomes, found)


def _differences(path: Path, kept: Path) -> list[str]:
    lesson = syllabus.lesson_of(path)
    if lesson is None or not (kept / path.name).is_file():
        return []
    committed, fresh = (results.judgements(results.read(each)) for each in (path, kept / path.name))
    return [f"lesson {lesson.number}, {line}" for line in results.compare(committed, fresh, lesson)]


def markdown(runs: Sequence[Run], jobs: int) -> str:
    """The page `docs/benchmark.md`."""
    software = f"Python {platform.python_version()}, torch {version('torch')}"
    machine = f"{platform.machine()}, {joblib.cpu_count()} cores, {software}, {jobs} at a time"
    lines = [
        "# What a notebook costs",
        "",
        f"Made by `python -m companion bench` on {datetime.date.today().isoformat()} ({machine}).",
        "CPU seconds are the number to compare; wall seconds depend on what else the machine does. Seconds and memory",
        "are those of the notebook's kernel, start-up and imports included. *Stated* is what a lesson says.",
        f"Targets: {TARGETS} (memory is a test).",
    ]
    for number, run in enumerate(runs, 1):
        lines += ["", f"## Run {number}: {run.scale} scale, {_threads(run)}", "", *_verdicts(run), *_table(run)]
    return "\n".join(lines) + "\n"


def _threads(run: Run) -> str:
    return "one thread" if run.threads == 1 else f"{run.threads} threads"


def _verdicts(run: Run) -> list[str]:
    if run.scale != "laptop":
        return []
    said = "Every verdict is that of the committed notebooks, every mean within its claim's tolerance."
    return [*([f"- {line}" for line in run.differences] or [said]), ""]


def _table(run: Run) -> list[str]:
    stated = {lesson.notebook: getattr(lesson.budget, f"{run.scale}_cpu_s") for lesson in syllabus.lessons()}
    rows = [
        f"| {row.notebook} | {row.cpu_s:.0f} | {stated.get(row.notebook, '')} | {row.wall_s:.0f} | {row.peak_mb} | "
        f"{row.status} |"
        for row in run.outcomes
    ]
    cpu, wall = sum(row.cpu_s for row in run.outcomes), sum(row.wall_s for row in run.outcomes)
    peak = max(row.peak_mb for row in run.outcomes)
    head = ["| notebook | CPU s | stated | wall s | peak MB | status |", "|---|---:|---:|---:|---:|---|"]
    return [*head, *rows, f"| all | {cpu:.0f} | | {wall:.0f} | {peak} | |"]
