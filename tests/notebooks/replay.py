"""Replay: run a committed notebook again, at laptop scale, and say what differs. Needs the extra `dev` (nbval).

nbval compares the text of the checked cells; the measured numbers, which move with the processor, are compared with the
committed ones under each claim's own tolerance, and the verdicts with those that the lesson expects.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from companion.course import lessons, scoreboard
from companion.course.processes import environment
from companion.lab import Lesson
from companion.lab.notebook import RESULTS_FOLDER

CELL_SECONDS = 600
COLOR = re.compile(r"\x1b\[\d*m")
SANITIZE = Path(__file__).with_name("sanitize.cfg")
NBVAL = [
    "--nbval-lax",
    "--nbval-current-env",
    "--nbval-cell-timeout",
    str(CELL_SECONDS),
    "--nbval-sanitize-with",
    str(SANITIZE),
    "-p",
    "no:cacheprovider",
]
# Linux hands a process's peak memory on to what it starts, so a small process stands between a large one and the run.
MEASURED = """\
import subprocess, sys
from companion.course.processes import used
code = subprocess.call(sys.argv[2:])
open(sys.argv[1], "w").write(str(used(children=True)[1]))
sys.exit(code)
"""
ALONE = ["-q", "-p", "no:xdist", "-o", "addopts=", "-o", f"timeout={2 * CELL_SECONDS}"]


@dataclass(frozen=True)
class Replay:
    """What differed, and the peak memory of the run, its kernel included."""

    problems: tuple[str, ...]
    peak_mb: int


def replay(path: Path, lesson: Lesson | None) -> Replay:
    """Run a notebook as it is and compare it with what is committed."""
    with tempfile.TemporaryDirectory() as folder:
        code, said, peak_mb = _nbval(path, Path(folder))
        problems = [f"nbval: {said}"] if code else []
        if lesson:
            problems += _differences(path, Path(folder) / f"{lesson.name}.jsonl", lesson)
    return Replay(tuple(problems), peak_mb)


def _differences(path: Path, published: Path, lesson: Lesson) -> list[str]:
    lines = published.read_text("utf-8").splitlines() if published.is_file() else []
    fresh = [json.loads(line) for line in lines]
    exact = {check.id for check in lesson.checks}
    failed = [
        f"{row['claim']}: the correctness check fails"
        for row in fresh
        if row["claim"] in exact and row["verdict"] != "holds"
    ]
    missing = [f"{id}: the correctness check was not made" for id in sorted(exact - {row["claim"] for row in fresh})]
    verdicts = {row["claim"]: row["verdict"] for row in fresh}
    committed = scoreboard.judgments(lessons.read_notebook(path))
    return [
        *failed,
        *missing,
        *scoreboard.compare_runs(committed, fresh, lesson),
        *scoreboard.unexpected(verdicts, lesson, "laptop"),
    ]


def _nbval(path: Path, folder: Path) -> tuple[int, str, int]:
    peak = folder / "peak_mb.txt"
    command = [sys.executable, "-m", "pytest", *ALONE, *NBVAL, str(path)]
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, str(peak), *command], cwd=path.parent,
        env={**environment(), RESULTS_FOLDER: str(folder)}, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    return done.returncode, COLOR.sub("", done.stdout), int(peak.read_text("utf-8"))
