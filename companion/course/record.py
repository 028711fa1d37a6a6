"""Stored results: long runs, one new process a seed, resumed where they were interrupted; and their reduced runs.

`python -m companion.course.record seed LESSON RUN SEED DEVICE` measures one seed, and `... reduced LESSON [RUN ...]`
the reduced runs of a lesson; both print one line of JSON.
"""

from __future__ import annotations

import datetime
import importlib.metadata
import json
import os
import platform
import sys
import time
from collections.abc import Sequence
from concurrent.futures import as_completed
from dataclasses import astuple, replace
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from companion.course.lessons import build_folder, write_whole
from companion.course.processes import last_line, used, workers
from companion.errors import CompanionError, DataMissing
from companion.lab.config import BaseConfig
from companion.lab.evidence import Measurement
from companion.lab.lesson import folder_of
from companion.lab.records import Record, Run, load_record, reduced_studies, study_of
from companion.lab.runtime import resolve_device, set_seed, set_threads, use_deterministic_algorithms

FEWEST_SEEDS = 10
EVALUATED = ("laptop", "study")


def record(lesson: str, run: str = "study", seeds: int | None = None, jobs: int = 1, device: str = "cpu") -> Run:
    """Run a lesson's study over its seeds and store the results in the lesson's `record.json`.

    Seeds that an earlier, interrupted run of the same configuration finished are taken from `build/record/`.
    """
    study = study_of(lesson, run)
    if run == "laptop" and (stored := _same_as_study(lesson, study.config)):
        stamp = {**stored.stamp, "config": study.config.as_dict(), "same_as": "study"}
        return _store(lesson, run, replace(stored, stamp=stamp))
    count = seeds or (max(FEWEST_SEEDS, study.config.seeds) if run in EVALUATED else study.config.seeds)
    done = _all_seeds(lesson, run, range(study.first_seed, study.first_seed + count), study.config, device, jobs)
    measurements = tuple(Measurement(*row) for part in done for row in part["measurements"])
    stamp = {
        "config": study.config.as_dict(), "versions": versions(), "device": device, "threads": done[0]["threads"],
        "cpu_seconds": round(sum(part["cpu_seconds"] for part in done)),
        "peak_mb": max(part["peak_mb"] for part in done), "date": _today(),
    }  # fmt: skip
    return _store(lesson, run, Run(stamp, measurements))


def record_reduced(lesson: str, only: tuple[str, ...] = ()) -> dict[str, Run]:
    """Make the reduced runs of a lesson (or those named in `only`) and store them beside the results."""
    fresh = run_reduced(lesson, only)
    missing = set(only or reduced_studies(lesson)) - fresh.keys()
    if missing:
        raise CompanionError(f"{lesson}: the data of {', '.join(sorted(missing))} is not here; nothing was stored.")
    old = load_record(lesson)
    merged = {**old.reduced, **fresh}
    _write(lesson, replace(old, reduced={name: merged[name] for name in reduced_studies(lesson) if name in merged}))
    return fresh


def run_reduced(lesson: str, only: tuple[str, ...] = ()) -> dict[str, Run]:
    """The reduced runs of a lesson, made now in a process of their own; those whose data is not here are absent."""
    with workers(1) as submit:
        finished = submit(["companion.course.record", "reduced", lesson, *only]).result()
    if finished.returncode:
        raise CompanionError(f"{lesson}: a reduced run failed: {last_line(finished.stderr)}")
    return {
        name: Run(
            {"config": part["config"], "versions": versions(), "cpu_seconds": part["cpu_seconds"], "date": _today()},
            tuple(Measurement(*row) for row in part["measurements"]),
        )
        for name, part in json.loads(last_line(finished.stdout)).items()
    }


def record_cost(lesson: str, scale: str, cpu_seconds: float, peak_mb: int) -> None:
    """Store what the lesson's notebook was measured to cost at a scale."""
    cost = {"cpu_seconds": round(cpu_seconds), "peak_mb": peak_mb, "date": _today()}
    old = load_record(lesson)
    _write(lesson, replace(old, cost={**old.cost, scale: cost}))


def versions() -> dict[str, str]:
    """What decides the last digits of a number: Python, the numerical libraries, and the processor."""
    names = ("torch", "numpy", "scipy", "scikit-learn")
    libraries = {name: importlib.metadata.version(name) for name in names}
    return {"python": platform.python_version(), **libraries, "processor": processor()}


def processor() -> str:
    """The processor's name, the vector instructions that PyTorch uses on it, and OpenBLAS's kernels if they are set."""
    import torch

    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").split("\n\n")[0].splitlines()
    except OSError:
        lines = []
    facts = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    model = " ".join(facts[key] for key in ("model name", "cpu family", "model") if key in facts)
    kernels = torch.backends.cpu.get_cpu_capability(), os.environ.get("OPENBLAS_CORETYPE")
    return " ".join(part for part in (model or platform.processor(), *kernels) if part)


# -------------------------------------------------------------------- in a process of its own


def measure_seed(lesson: str, run: str, seed: int, device: str) -> dict[str, Any]:
    """Run a lesson's study once, exactly as a notebook does, and say what it cost."""
    import torch

    study = study_of(lesson, run)
    _prepare(study.config, seed)
    rows = study.experiment(study.config, seed, resolve_device(device))
    cpu_seconds, peak_mb = used()
    cost = {"cpu_seconds": cpu_seconds, "peak_mb": peak_mb, "threads": torch.get_num_threads()}
    return {"measurements": [astuple(row) for row in rows], **cost}


def measure_reduced(lesson: str, only: Sequence[str] = ()) -> dict[str, dict[str, Any]]:
    """Make every reduced run of a lesson (or those named in `only`), one after the other."""
    done = {}
    for name, study in reduced_studies(lesson).items():
        if only and name not in only:
            continue
        _prepare(study.config, study.first_seed)
        begun = time.process_time()
        try:
            rows = study.experiment(study.config, study.first_seed, resolve_device("cpu"))
        except DataMissing as why:
            print(f"{lesson}, {name}: {why}", file=sys.stderr)
            continue
        seconds = round(time.process_time() - begun, 1)
        values = [astuple(row) for row in rows]
        done[name] = {"measurements": values, "cpu_seconds": seconds, "config": study.config.as_dict()}
    return done


def _prepare(config: BaseConfig, seed: int) -> None:
    set_threads(config.scale)
    use_deterministic_algorithms()
    set_seed(seed)


# -------------------------------------------------------------------- all seeds, and record.json


def _all_seeds(
    lesson: str, run: str, seeds: Sequence[int], config: BaseConfig, device: str, jobs: int
) -> list[dict[str, Any]]:
    folder = build_folder() / "record" / lesson / run
    settings = json.dumps(config.as_dict(), default=str, sort_keys=True)
    files = {seed: folder / f"{seed}.json" for seed in seeds}
    todo = [seed for seed in seeds if _finished(files[seed], settings) is None]
    bar = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("seeds"),
        TimeElapsedColumn(),
    )
    with Progress(*bar) as progress, workers(jobs) as submit:
        task = progress.add_task(f"{lesson}, {run}", total=len(seeds), completed=len(seeds) - len(todo))
        running = {submit(["companion.course.record", "seed", lesson, run, str(seed), device]): seed for seed in todo}
        for future in as_completed(running):
            seed, finished = running[future], future.result()
            if finished.returncode:
                why = f"{lesson}, {run}, seed {seed}, failed: {last_line(finished.stderr)}"
                raise CompanionError(f"{why} (finished seeds are kept; run it again to go on)")
            part = {**json.loads(last_line(finished.stdout)), "settings": settings}
            write_whole(files[seed], json.dumps(part) + "\n")
            progress.advance(task)
    return [json.loads(files[seed].read_text("utf-8")) for seed in seeds]


def _finished(file: Path, settings: str) -> dict[str, Any] | None:
    """What an earlier run left of a seed, if it had the same configuration."""
    part = json.loads(file.read_text("utf-8")) if file.is_file() else {}
    return part if part.get("settings") == settings else None


def _same_as_study(lesson: str, laptop: BaseConfig) -> Run | None:
    """The stored study, if the laptop scale differs from it in nothing but the number of seeds."""
    stored = load_record(lesson).runs.get("study")
    sizes = {**study_of(lesson, "study").config.as_dict(), "scale": laptop.scale, "seeds": laptop.seeds}
    return stored if stored and sizes == laptop.as_dict() else None


def _store(lesson: str, run: str, made: Run) -> Run:
    old = load_record(lesson)
    runs = {**old.runs, run: made}
    order = [*filter(runs.__contains__, ("ci", "laptop", "study", "paper"))]
    order += sorted(runs.keys() - set(order))
    _write(lesson, replace(old, runs={name: runs[name] for name in order}))
    return load_record(lesson).runs[run]


def _write(lesson: str, stored: Record) -> None:
    write_whole(folder_of(lesson) / "record.json", stored.dumps())


def _today() -> str:
    return datetime.date.today().isoformat()


if __name__ == "__main__":
    try:
        what, name, *rest = sys.argv[1:]
        reduced = what == "reduced"
        result = measure_reduced(name, rest) if reduced else measure_seed(name, rest[0], int(rest[1]), rest[2])
        print(json.dumps(result, default=float))
    except CompanionError as error:
        sys.exit(str(error))
