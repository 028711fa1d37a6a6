"""Running notebooks: papermill, a fresh process each, several at a time; one that fails does not stop the others.

`python -m companion.course.run NOTEBOOK OUTPUT PARAMETERS SECONDS` runs one notebook in its own process and prints one
line of JSON: error, wall and CPU seconds, peak memory of the kernel.
"""

from __future__ import annotations

import datetime
import json
import logging
import platform
import sys
import time
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, wait
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from companion.course import lessons, record, scoreboard
from companion.course.processes import Finished, last_line, used, workers
from companion.errors import CompanionError
from companion.lab import SCALES
from companion.lab.runtime import check_seed, resolve_device

CELL_SECONDS = {"ci": 600, "laptop": 1800, "study": 6 * 3600, "paper": 7 * 24 * 3600}
SECONDS_TO_START = 120
PASSED, FAILED, STOPPED = "passed", "failed", "stopped"
BENCHMARK = [("ci", 1), ("laptop", 1), ("laptop", 2), ("laptop", 1)]  # scale and threads of each run


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


def select_notebooks(names: Sequence[str], folder: Path) -> list[Path]:
    """The notebooks of these lessons; all notebooks of the folder if none is named."""
    there = sorted(folder.glob("[0-9][0-9]_*.ipynb"))
    if not names:
        return there
    plain = {key: path for path in there for key in (path.name, path.stem)}
    plain |= dict.fromkeys(("0", "00"), folder / lessons.FIRST)  # the template has number 0 too, and goes by its name
    paths = [plain.get(Path(name).name) or folder / lessons.select_lessons([name])[0].notebook for name in names]
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
    folder = lessons.build_folder() / "executed" / scale
    folder.mkdir(parents=True, exist_ok=True)
    todo = [_Job(path, folder / path.name, _code_cells(path)) for path in notebooks]
    with suppress(KeyboardInterrupt):
        _run_all(todo, given, jobs, threads)
    outcomes = [job.outcome or Outcome(job.source.name) for job in todo]
    report = {**given, "jobs": jobs, "threads": threads, "notebooks": [asdict(outcome) for outcome in outcomes]}
    lessons.write_whole(folder / "run.json", json.dumps(report, indent=1, ensure_ascii=False) + "\n")
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
            path = lessons.build_folder() / "executed" / scale / row.notebook
            console.print(
                f"{row.notebook} failed: {row.error}. It is stored, with its traceback: {path}", soft_wrap=True
            )


def exit_code(outcomes: Sequence[Outcome]) -> int:
    """130 if a run was stopped, 1 if one failed, else 0."""
    statuses = {outcome.status for outcome in outcomes}
    return 130 if STOPPED in statuses else int(FAILED in statuses)


def store_costs(outcomes: Sequence[Outcome], scale: str) -> None:
    """Write what each notebook cost into its lesson's `record.json`."""
    for outcome in outcomes:
        lesson = lessons.lesson_of(Path(outcome.notebook))
        if lesson and outcome.status == PASSED:
            record.record_cost(lesson.name, scale, outcome.cpu_s, outcome.peak_mb)


# -------------------------------------------------------------------- the benchmark


def benchmark(notebooks: Sequence[Path], jobs: int, page: Path) -> list[Outcome]:
    """Run notebooks at ci and laptop scale, and write what they cost and whether verdicts repeat; a page, not a test.

    The page is written after every whole run, so an interruption loses one run. Returns the last run's outcomes.
    """
    software = f"Python {platform.python_version()}, torch {version('torch')}"
    text = (
        "# What a notebook costs\n\n"
        f"Made by `python -m companion run --bench --jobs {jobs}` on {datetime.date.today().isoformat()}.\n"
        f"Machine: {record.processor()}, {software}.\n"
        "CPU seconds are the number to compare: wall seconds depend on what else the machine does. Both, and the peak\n"
        "memory, are those of the notebook's kernel, start and imports included.\n"
    )
    outcomes: list[Outcome] = []
    for scale, threads in BENCHMARK:
        outcomes = run(notebooks, scale, jobs=jobs, threads=threads)
        if exit_code(outcomes):
            return outcomes
        text += f"\n## {scale.capitalize()} scale, {threads} thread{'s' * (threads > 1)}\n\n{_cost_table(outcomes)}\n"
        if scale == "laptop":
            text += f"\n{_differences(notebooks) or 'All verdicts and numbers are those of the committed notebooks.'}\n"
        lessons.write_whole(page, text)
    return outcomes


def _cost_table(outcomes: Sequence[Outcome]) -> str:
    rows = [f"| {o.notebook} | {o.cpu_s:.0f} | {o.wall_s:.0f} | {o.peak_mb} |" for o in outcomes]
    cpu, wall = sum(o.cpu_s for o in outcomes), sum(o.wall_s for o in outcomes)
    rows.append(f"| all | {cpu:.0f} | {wall:.0f} | {max(o.peak_mb for o in outcomes)} |")
    return "\n".join(["| notebook | CPU s | wall s | peak MB |", "|---|---:|---:|---:|", *rows])


def _differences(notebooks: Sequence[Path]) -> str:
    """What differs between the run in `build/executed/laptop/` and the committed notebooks, as a list in Markdown."""
    lines = []
    for path in notebooks:
        if lesson := lessons.lesson_of(path):
            executed = lessons.build_folder() / "executed/laptop" / path.name
            then, now = (scoreboard.judgments(lessons.read_notebook(each)) for each in (path, executed))
            lines += [f"- {lesson.title}, {line}" for line in scoreboard.compare_runs(then, now, lesson)]
    return "\n".join(lines)


# -------------------------------------------------------------------- several notebooks at a time


def _run_all(todo: Sequence[_Job], given: dict[str, Any], jobs: int, threads: int) -> None:
    columns = TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"), TimeElapsedColumn()
    with Progress(*columns) as progress, workers(jobs, threads) as submit:
        bar = progress.add_task("", total=sum(job.cells for job in todo))
        waiting = {}
        for job in todo:
            parameters = given if lessons.lesson_of(job.source) else {}  # the first page has none
            waiting[submit(_command(job.source, job.target, parameters, CELL_SECONDS[given["scale"]]))] = job
        while waiting:
            for future in wait(waiting, timeout=1, return_when=FIRST_COMPLETED).done:
                job = waiting.pop(future)
                job.outcome = _outcome(job, future.result(), given["scale"])
            done = sum(job.cells if job.outcome else _cells_done(job) for job in todo)
            label = f"{len(todo) - len(waiting)} of {len(todo)} notebooks at {given['scale']}"
            progress.update(bar, completed=done, description=label)


def run_as_committed(source: Path, target: Path) -> dict[str, Any]:
    """Run one notebook with its own parameters in a process of its own: error, wall_s, cpu_s, peak_mb."""
    with workers(1) as submit:
        finished = submit(_command(source, target, {}, CELL_SECONDS["laptop"])).result()
    if finished.returncode:
        raise CompanionError(f"{source.name} could not be run: {last_line(finished.stderr)}")
    return json.loads(last_line(finished.stdout))


def _command(source: Path, target: Path, parameters: dict[str, Any], seconds: int) -> list[str]:
    target.unlink(missing_ok=True)
    return ["companion.course.run", str(source), str(target), json.dumps(parameters), str(seconds)]


def _outcome(job: _Job, finished: Finished, scale: str) -> Outcome:
    outcome = Outcome(job.source.name, FAILED)
    if finished.returncode:
        return replace(outcome, error=last_line(finished.stderr))
    outcome = replace(outcome, **json.loads(last_line(finished.stdout)))
    if outcome.error:
        return outcome
    found = scoreboard.verdicts(lessons.read_notebook(job.target))
    summary = scoreboard.summarize_verdicts(found, lessons.lesson_of(job.source), scale)
    return replace(outcome, status=PASSED, verdicts=summary)


def _code_cells(path: Path) -> int:
    return sum(cell["cell_type"] == "code" for cell in lessons.read_notebook(path)["cells"])


def _cells_done(job: _Job) -> int:
    try:
        cells = json.loads(job.target.read_text("utf-8"))["cells"]
    except (OSError, ValueError):  # not there yet, or being written
        return 0
    return sum(cell.get("metadata", {}).get("papermill", {}).get("status") == "completed" for cell in cells)


# -------------------------------------------------------------------- one notebook, in a process of its own


def execute(notebook: Path, output: Path, parameters: dict[str, Any], seconds: int) -> str:
    """Run a notebook with papermill, which writes the output after every cell; returns why it failed, or nothing."""
    import papermill
    from nbclient.exceptions import CellTimeoutError, DeadKernelError
    from papermill.exceptions import PapermillExecutionError

    absent = [name for name in parameters if name not in papermill.inspect_notebook(notebook)]
    if absent:
        return f"its parameters cell does not set {', '.join(absent)}"
    try:
        papermill.execute_notebook(
            notebook, output, parameters, kernel_name="python3", cwd=str(notebook.parent), progress_bar=False,
            execution_timeout=seconds, start_timeout=SECONDS_TO_START,
        )  # fmt: skip
    except PapermillExecutionError as error:
        return f"cell {_failed_cell(output)}: {error.ename}: {error.evalue}".splitlines()[0]
    except CellTimeoutError:
        return f"a cell took longer than {seconds} s"
    except DeadKernelError:
        return "the kernel died: out of memory?"
    return ""


def _failed_cell(output: Path) -> str:
    cells = json.loads(output.read_text("utf-8"))["cells"]
    failed = [c["id"] for c in cells if any(o["output_type"] == "error" for o in c.get("outputs", []))]
    return failed[0] if failed else "unknown"


def main(source: str, target: str, parameters: str, seconds: str) -> None:
    """Run one notebook and print what it cost."""
    import psutil

    logging.getLogger("papermill").setLevel(logging.ERROR)
    failure = execute(Path(source), Path(target), json.loads(parameters), int(seconds))
    wall = round(time.time() - psutil.Process().create_time(), 1)
    cpu, peak = used(children=True)
    print(json.dumps({"error": failure, "wall_s": wall, "cpu_s": cpu, "peak_mb": peak}))


if __name__ == "__main__":
    main(*sys.argv[1:])
