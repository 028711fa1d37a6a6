"""Running notebooks: outcomes, costs, a failure beside a success, Ctrl-C."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import psutil
import pytest

from companion.course import processes, run, scoreboard
from companion.errors import CompanionError
from companion.lab import load_lesson, load_record


def with_cell(notebook: Path, target: str, source: str) -> Path:
    """A copy of a notebook whose cell `facts` holds other code."""
    changed = nbformat.read(notebook, as_version=4)
    next(cell for cell in changed.cells if cell.id == "facts").source = source
    path = notebook.with_name(target)
    path.write_text(nbformat.writes(changed), "utf-8")
    return path


def test_a_notebook_that_fails_is_stored_and_named_and_the_others_run(tiny_notebook: Path, capsys) -> None:
    with_cell(tiny_notebook, "98_broken.ipynb", "raise ValueError('planted')")
    outcomes = run.run(run.select_notebooks((), tiny_notebook.parent), "ci", seed=7, jobs=2)
    assert [(o.notebook, o.status) for o in outcomes] == [("98_broken.ipynb", "failed"), ("99_tiny.ipynb", "passed")]
    broken, tiny = outcomes
    assert broken.error == "cell facts: ValueError: planted"
    assert tiny.verdicts == "2 not decided at this scale"
    assert 0 < tiny.cpu_s < 60
    assert 100 < tiny.peak_mb < 1500
    kept = tiny_notebook.parents[1] / "build/executed/ci"
    assert "ValueError" in (kept / "98_broken.ipynb").read_text("utf-8")
    executed = (kept / "99_tiny.ipynb").read_text("utf-8")
    assert "seed = 7" in executed
    assert 'scale = \\"ci\\"' in executed
    report = json.loads((kept / "run.json").read_text("utf-8"))
    assert report["scale"] == "ci"
    assert report["notebooks"][1]["peak_mb"] == tiny.peak_mb
    run.show(outcomes, "ci")
    assert (
        "98_broken.ipynb failed: cell facts: ValueError: planted. It is stored, with its traceback:"
        in capsys.readouterr().out
    )


def test_a_notebook_without_the_parameters_fails_at_once(tiny_notebook: Path) -> None:
    changed = tiny_notebook.read_text("utf-8").replace("seed = 0", "sead = 0")
    tiny_notebook.write_text(changed, "utf-8")
    (outcome,) = run.run([tiny_notebook], "ci")
    assert (outcome.status, outcome.error) == ("failed", "its parameters cell does not set seed")


def test_a_kernel_that_dies_is_reported(tiny_notebook: Path) -> None:
    path = with_cell(tiny_notebook, "98_dies.ipynb", "import os\nos.kill(os.getpid(), 9)")
    (outcome,) = run.run([path], "ci")
    assert (outcome.status, outcome.error) == ("failed", "the kernel died: out of memory?")


def test_an_unexpected_verdict_is_named(tiny_course: Path) -> None:
    lesson = load_lesson("tiny")
    assert scoreboard.summarize_verdicts({"C1": "holds", "C2": "fails"}, lesson, "laptop") == "1 holds, 1 fails"
    assert (
        scoreboard.summarize_verdicts({"C1": "open"}, lesson, "laptop")
        == "1 open; C2 was not evaluated; C1 open, expected holds"
    )


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_ctrl_c_ends_kindly_and_leaves_no_kernel_behind(tiny_notebook: Path) -> None:
    with_cell(tiny_notebook, "98_sleeps.ipynb", "import time\ntime.sleep(600)")
    course = tiny_notebook.parents[1]
    command = [sys.executable, "-m", "companion", "run", "--all", "--scale", "ci", "--jobs", "2"]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    # a job in the background of a shell ignores the signal, and so would its children
    listens = lambda: signal.signal(signal.SIGINT, signal.default_int_handler)  # noqa: E731
    process = subprocess.Popen(command, cwd=course, env=processes.environment(), preexec_fn=listens, **streams)
    wait_for(lambda: finished(course, "99_tiny.ipynb") and len(descendants(process)) > 1)
    family = descendants(process)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in out + err
    assert "99_tiny.ipynb" in out
    assert "stopped" in out
    assert psutil.wait_procs(family, timeout=10)[1] == []


def finished(course: Path, name: str) -> bool:
    path = course / "build/executed/ci" / name
    return path.is_file() and '"completed"' in path.read_text("utf-8").rsplit('"id": "scoreboard"')[-1]


def descendants(process: subprocess.Popen) -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)


def wait_for(condition, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.5)


def test_notebooks_are_selected_by_lesson_number_and_file(tiny_notebook: Path) -> None:
    folder = tiny_notebook.parent
    shutil.copy(tiny_notebook, folder / "00_start_here.ipynb")
    for name in ("tiny", "99", "99_tiny", "notebooks/99_tiny.ipynb"):
        assert run.select_notebooks([name], folder) == [tiny_notebook]
    for name in ("0", "00", "00_start_here", "00_start_here.ipynb"):
        assert run.select_notebooks([name], folder) == [folder / "00_start_here.ipynb"]
    with pytest.raises(CompanionError, match="There is no lesson 'huge'; there is tiny"):
        run.select_notebooks(["huge"], folder)
    tiny_notebook.unlink()
    with pytest.raises(CompanionError, match=r"holds no 99_tiny\.ipynb"):
        run.select_notebooks(["tiny"], folder)


def test_children_run_with_one_thread_and_fixed_hashes() -> None:
    assert processes.environment().items() >= {"OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0"}.items()
    assert os.environ.items() <= {**processes.environment(), "PYTHONPATH": os.environ.get("PYTHONPATH", "")}.items()


def test_costs_are_stored_on_request(tiny_notebook: Path) -> None:
    outcomes = [run.Outcome("99_tiny.ipynb", run.PASSED, 9.0, 7.2, 512), run.Outcome("00_start_here.ipynb", run.PASSED)]
    run.store_costs(outcomes, "ci")
    assert load_record("tiny").cost["ci"].items() >= {"cpu_seconds": 7, "peak_mb": 512}.items()
    run.store_costs([run.Outcome("99_tiny.ipynb", run.FAILED, 9.0, 99.0, 512)], "ci")
    assert load_record("tiny").cost["ci"]["cpu_seconds"] == 7


def test_the_benchmark_is_written_and_compared_and_a_failed_run_leaves_the_page(
    executed_notebook: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "BENCHMARK", [("ci", 1), ("laptop", 2)])
    page = executed_notebook.parents[1] / "benchmark.md"
    (outcome,) = run.benchmark([executed_notebook], 1, page)
    text = page.read_text("utf-8")
    assert [line[3:] for line in text.splitlines() if line.startswith("## ")] == [
        "Ci scale, 1 thread",
        "Laptop scale, 2 threads",
    ]
    assert f"| 99_tiny.ipynb | {outcome.cpu_s:.0f} |" in text
    assert text.endswith("All verdicts and numbers are those of the committed notebooks.\n")
    executed_notebook.write_text(
        executed_notebook.read_text("utf-8").replace('"verdict": "holds"', '"verdict": "open"')
    )
    assert "- Tiny, C1: committed verdict 'open', fresh verdict 'holds'" in run._differences([executed_notebook])
    executed_notebook.write_text(executed_notebook.read_text("utf-8").replace("print(", "prnt("))
    assert run.exit_code(run.benchmark([executed_notebook], 1, page)) == 1
    assert page.read_text("utf-8") == text
