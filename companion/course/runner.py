"""Running notebooks: papermill, a fresh process each, several at a time; one that fails does not stop the others."""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, wait
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from companion.course import results, lessons as syllabus
from companion.course.lessons import FIRST, build_folder, write_whole
from companion.course.processes import Finished, last_line, workers
from companion.errors import CompanionError
from companion.lab import SCALES
from companion.lab.runtime import check_seed, resolve_device

CELL_SECONDS = {"ci": 600, "laptop": 1800, "study": 6 * 3600, "paper": 7 * 24 * 3600}
PASSED, FAILED, STOPPED = "passed", "failed", "stopped"


@dataclass(frozen=True)
class Outcome:
    """How one notebook's run ended, and what it cost."""

    notebook: str
    status: str = STOPPED
    wall_s: float = 0.0
    cpu_s: float = 0.0
    peak_mb: int = 0
    verdicts: str = ""
    error: str = ""


@dataclass
class _Job:
    source: Path
    target: Path
    cells: int
    outcome: Outcome | None = None


def pick(names: Sequence[str], folder: Path) -> list[Path]:
    """The notebooks of these lessons; all notebooks of the folder if none is named."""
    there = sorted(folder.glob("[0-9][0-9]_*.ipynb"))
    if not names:
        return there
    plain = {key: path for path in there for key in (path.name, path.stem)}
    plain |= dict.fromkeys(("0", "00"), folder / FIRST)  # the template has the number 0 too, and goes by its name
    paths = [plain.get(Path(name).name) or folder / syllabus.select_lessons([name])[0].notebook for name in names]
    absent = [path for path in paths if not path.is_file()]
    if absent:
        raise CompanionError(f"{folder} holds no {absent[0].name}; name another folder with --notebooks.")
    return sorted(set(paths))


def run(
    notebooks: Sequence[Path], scale: str, device: str = "auto", seed: int = 0, jobs: int = 1, threads: int = 0
) -> list[Outcome]:
    """Execute notebooks into `build/executed/<scale>/`; after Ctrl-C, what had not finished reads "stopped".

    threads: how many each takes; 0 leaves it to the scale.
    """
    if scale not in SCALES:
        raise CompanionError(f"scale = {scale!r} is not a scale of this course; use one of {', '.join(SCALES)}.")
    resolve_device(device)
    given = {"scale": scale, "device": device, "seed": check_seed(seed)}
    folder = build_folder() / "executed" / scale
    folder.mkdir(parents=True, exist_ok=True)
    todo = [_Job(path, folder / path.name, _code_cells(path)) for path in notebooks]
    with suppress(KeyboardInterrupt):
        _run_all(todo, given, jobs, threads)
    outcomes = [job.outcome or Outcome(job.source.name) for job in todo]
    report = {**given, "jobs": jobs, "threads": threads, "notebooks": [asdict(outcome) for outcome in outcomes]}
    write_whole(folder / "run.json", json.dumps(report, indent=1, ensure_ascii=False) + "\n")
    return outcomes


def show(outcomes: Sequence[Outcome], scale: str) -> None:
    """Print the table of a run, and where failed notebooks are kept."""
    table = Table("notebook", "status", "wall s", "CPU s", "peak MB", "verdicts", title=f"Run at {scale} scale")
    for row in outcomes:
        cost = [f"{row.wall_s:.0f}", f"{row.cpu_s:.0f}", f"{row.peak_mb:.0f}"]
        table.add_row(row.notebook, row.status, *cost, row.verdicts or row.error)
    console = Console(markup=False, highlight=False)  # errors hold brackets
    console.print(table)
    for row in outcomes:
        if row.status == FAILED:
            kept = build_folder() / "executed" / scale / row.notebook
            console.print(f"{row.notebook} failed: {row.error}. It is kept, with its traceback: {kept}", soft_wrap=True)


# -------------------------------------------------------------------- inside


def _run_all(todo: Sequence[_Job], given: dict[str, Any], jobs: int, threads: int) -> None:
    columns = TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"), TimeElapsedColumn()
    with Progress(*columns) as progress, workers(jobs, threads) as submit:
        bar = progress.add_task("", total=sum(job.cells for job in todo))
        waiting = {submit(_command(job, given)): job for job in todo}
        while waiting:
            for future in wait(waiting, timeout=1, return_when=FIRST_COMPLETED).done:
                job = waiting.pop(future)
                job.outcome = _outcome(job, future.result(), given["scale"])
            done = sum(job.cells if job.outcome else _cells_done(job) for job in todo)
            label = f"{len(todo) - len(waiting)} of {len(todo)} notebooks at {given['scale']}"
            progress.update(bar, completed=done, description=label)


def _command(job: _Job, given: dict[str, Any]) -> list[str]:
    job.target.unlink(missing_ok=True)
    parameters = given if syllabus.lesson_of(job.source) else {}
    seconds = CELL_SECONDS[given["scale"]]
    return ["companion.course.execute", str(job.source), str(job.target), json.dumps(parameters), str(seconds)]


def _outcome(job: _Job, finished: Finished, scale: str) -> Outcome:
    outcome = Outcome(job.source.name, FAILED)
    if finished.returncode:
        return replace(outcome, error=last_line(finished.stderr))
    said = json.loads(last_line(finished.stdout))
    outcome = replace(outcome, **said)
    if outcome.error:
        return outcome
    found = results.verdicts(results.read(job.target))
    return replace(outcome, status=PASSED, verdicts=results.summary(found, syllabus.lesson_of(job.source), scale))


def _code_cells(path: Path) -> int:
    return sum(cell["cell_type"] == "code" for cell in results.read(path)["cells"])


def _cells_done(job: _Job) -> int:
    try:
        cells = json.loads(job.target.read_text("utf-8"))["cells"]
    except (OSError, ValueError):  # not there yet, or being written
        return 0
    return sum(cell.get("metadata", {}).get("papermill", {}).get("status") == "completed" for cell in cells)
