"""Records: the long runs that settle what a minute cannot, one fresh process a seed, resumed where they were cut."""

from __future__ import annotations

import datetime
import importlib.metadata
import json
import os
import platform
from collections.abc import Iterator
from concurrent.futures import as_completed
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

import companion
from companion.course.places import build_folder, write_whole
from companion.course.processes import last_line, workers
from companion.errors import CompanionError
from companion.lab import SCALES, Config, Measurement, Record, load_record, source_hash
from companion.lab.lesson import folder_of
from companion.lab.records import Run, plan_of, reduced_studies

FEWEST_SEEDS = 10
RECORDED = ("ci", "laptop", "study")


def record(lesson: str, scale: str = "study", seeds: int | None = None, jobs: int = 1, device: str = "cpu") -> Run:
    """Run a lesson's experiment over its seeds and write the run into the lesson's `record.json`.

    Seeds that an earlier, cut run of the same source finished are taken from `build/record/`.
    """
    plan = plan_of(lesson, scale)
    config = plan.config
    if scale == "laptop" and (study := _twin(lesson, config)):
        stamp = {**study.stamp, "config": config.as_dict(), "same_as": "study", "source": source_hash(lesson, scale)}
        return _store(lesson, scale, Run(stamp, study.measurements))
    source, count = source_hash(lesson, scale), seeds or (seeds_of(config) if scale in RECORDED else config.seeds)
    numbers = list(range(plan.first_seed, plan.first_seed + count))
    done = _all_seeds(lesson, scale, numbers, source, device, jobs)
    rows = tuple(Measurement(*row) for part in done for row in part["measurements"])
    return _store(lesson, scale, Run(_stamp(config, source, device, done), rows))


def seeds_of(config: Config) -> int:
    """How many seeds a record holds: at least ten where verdicts are judged."""
    return max(FEWEST_SEEDS, config.seeds) if config.scale in ("study", "laptop") else config.seeds


def declare_harmless(lesson: str, reason: str) -> list[str]:
    """Note in `record.json` that the change of source since each stale run moves no number; returns those runs.

    A run has one note: what was said of earlier changes goes before the new reason.
    """
    if not reason.strip():
        raise CompanionError("--harmless needs a reason: one sentence that says why no number can have moved.")
    old = load_record(lesson)
    now = {run: source_hash(lesson, run) for run in old.runs}
    stale = [run for run in old.runs if not old.fresh(run, now[run])]
    before = {note["scale"]: note for note in old.harmless if note["scale"] in stale}
    notes = [
        {
            "scale": run,
            "from": old.runs[run].stamp["source"],
            "to": now[run],
            "reason": " | ".join([*([before[run]["reason"]] if run in before else []), reason.strip()]),
            "date": _today(),
        }
        for run in stale
    ]
    if notes:
        kept = [note for note in old.harmless if note["scale"] not in stale]
        _write(lesson, Record(old.runs, (*kept, *notes), old.reduced))
    return stale


def record_reduced(lesson: str, only: tuple[str, ...] = ()) -> dict[str, Run]:
    """Run every reduced study of a lesson (or those named in `only`) and store its numbers beside the full runs."""
    fresh = run_reduced(lesson, only)
    old = load_record(lesson)
    missing = set(only or reduced_studies(lesson)) - fresh.keys()
    if missing:
        raise CompanionError(f"{lesson}: the data of {', '.join(sorted(missing))} is not here; nothing was stored.")
    merged = {name: {**old.reduced, **fresh}[name] for name in reduced_studies(lesson) if name in {**old.reduced, **fresh}}
    _write(lesson, Record(old.runs, old.harmless, merged))
    return fresh


def run_reduced(lesson: str, only: tuple[str, ...] = ()) -> dict[str, Run]:
    """The reduced studies of a lesson, run now in a process of their own; those whose data is not here are absent."""
    with workers(1) as submit:
        finished = submit(["companion.course.measure", "--reduced", lesson, *only]).result()
    if finished.returncode:
        raise CompanionError(f"{lesson}: a reduced run failed: {last_line(finished.stderr)}")
    runs = {}
    for name, part in json.loads(last_line(finished.stdout)).items():
        stamp = {"config": part["config"], "versions": versions(), "cpu_seconds": round(part["cpu_seconds"], 1), "date": _today()}
        runs[name] = Run(stamp, tuple(Measurement(*row) for row in part["measurements"]))
    return runs


def versions() -> dict[str, str]:
    """What decides the last digits of a number: Python, the numerical libraries, and the processor."""
    names = ("torch", "numpy", "scipy", "scikit-learn")
    found = {"python": platform.python_version(), **{name: importlib.metadata.version(name) for name in names}}
    return {**found, "processor": processor()}


def processor() -> str:
    """The processor's name and the vector instructions that PyTorch uses on it."""
    import torch

    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        lines = []
    facts = dict(line.split(":", 1) for line in reversed(lines) if ":" in line)
    named = {key.strip(): value.strip() for key, value in facts.items()}
    model = " ".join(named[key] for key in ("model name", "cpu family", "model") if key in named)
    blas = os.environ.get("OPENBLAS_CORETYPE", "")
    return " ".join(filter(None, [model or platform.processor(), torch.backends.cpu.get_cpu_capability(), blas]))


# -------------------------------------------------------------------- seeds


def _all_seeds(lesson: str, scale: str, seeds: list[int], source: str, device: str, jobs: int) -> list[dict[str, Any]]:
    folder = build_folder() / "record" / lesson / scale / source
    files = {seed: folder / f"{seed}.json" for seed in seeds}
    todo = [seed for seed in seeds if not files[seed].is_file()]
    with _bar(f"{lesson} at {scale}", len(seeds), len(seeds) - len(todo)) as step, workers(jobs) as submit:
        module = ["companion.course.measure", lesson, scale]
        running = {submit([*module, str(seed), device, source]): seed for seed in todo}
        for future in as_completed(running):
            seed, finished = running[future], future.result()
            if finished.returncode:
                why = f"{lesson} at {scale}, seed {seed}, failed: {last_line(finished.stderr)}"
                raise CompanionError(f"{why} (finished seeds are kept; run it again to go on)")
            write_whole(files[seed], last_line(finished.stdout) + "\n")
            step()
    return [json.loads(files[seed].read_text("utf-8")) for seed in seeds]


@contextmanager
def _bar(label: str, total: int, done: int) -> Iterator[Any]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("seeds"),
        TimeElapsedColumn(),
    )
    with Progress(*columns) as progress:
        task = progress.add_task(label, total=total, completed=done)
        yield lambda: progress.advance(task)


# -------------------------------------------------------------------- record.json


def _stamp(config: Config, source: str, device: str, done: list[dict[str, Any]]) -> dict[str, Any]:
    versions = {"python": platform.python_version(), "companion": companion.__version__}
    versions |= {name: importlib.metadata.version(name) for name in ("torch", "numpy")}
    return {
        "config": config.as_dict(),
        "source": source,
        "versions": versions,
        "cpu_seconds": round(sum(part["cpu_seconds"] for part in done)),
        "peak_mb": max(part["peak_mb"] for part in done),
        "date": _today(),
        "device": device,
        "threads": done[0]["threads"],
    }


def _twin(lesson: str, laptop: Config) -> Run | None:
    """The study run, if it is fresh and the laptop scale differs from it in nothing but the number of seeds."""
    kept = load_record(lesson)
    sizes = {**plan_of(lesson, "study").config.as_dict(), "scale": laptop.scale, "seeds": laptop.seeds}
    same = sizes == laptop.as_dict()
    fresh = "study" in kept.runs and kept.fresh("study", source_hash(lesson, "study"))
    return kept.runs["study"] if same and fresh else None


def _store(lesson: str, scale: str, run: Run) -> Run:
    old = load_record(lesson)
    runs = {**old.runs, scale: run}
    kept = tuple(note for note in old.harmless if note["scale"] != scale)
    order = [*filter(runs.__contains__, SCALES), *sorted(runs.keys() - set(SCALES))]
    _write(lesson, Record({name: runs[name] for name in order}, kept, old.reduced))
    return load_record(lesson).runs[scale]


def _write(lesson: str, record: Record) -> None:
    write_whole(folder_of(lesson) / "record.json", record.dumps())


def _today() -> str:
    return datetime.date.today().isoformat()
