"""Refresh: the same file from every run, the measured cost and times in it, and nothing of this machine."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

from companion.course import lessons
from companion.course.processes import environment
from companion.course.record import record_cost
from companion.course.refresh import normalize, refresh, source_sha256
from companion.errors import CompanionError
from companion.lab import load_lesson, load_record


def test_two_refreshes_give_the_same_file(executed_notebook: Path) -> None:
    before = executed_notebook.read_bytes()
    refresh(executed_notebook)
    assert executed_notebook.read_bytes() == before


def test_the_cost_is_measured_stored_and_shown(executed_notebook: Path) -> None:
    cost = load_record("tiny").cost["laptop"]
    assert 0 < cost["cpu_seconds"] < 60
    assert 100 < cost["peak_mb"] < 900
    notebook = lessons.read_notebook(executed_notebook)
    title, setup = ("".join(notebook["cells"][at]["source"]) for at in (0, 2))
    times = lessons.times(load_lesson("tiny"), notebook)
    assert title == f"# Tiny\n\n{times.line()}\n- prerequisites: none"
    assert times.running == cost["cpu_seconds"]
    assert times.exercises == 5
    assert "Lab(" in setup
    shown = "".join(notebook["cells"][2]["outputs"][0]["data"]["text/plain"])
    assert f"about {cost['cpu_seconds']} CPU seconds" in shown


def test_a_cost_of_another_machine_is_replaced_and_a_close_one_stays(executed_notebook: Path) -> None:
    measured = load_record("tiny").cost["laptop"]
    record_cost("tiny", "laptop", measured["cpu_seconds"] + 1, measured["peak_mb"])
    refresh(executed_notebook)
    assert load_record("tiny").cost["laptop"]["cpu_seconds"] == measured["cpu_seconds"] + 1
    record_cost("tiny", "laptop", 400, measured["peak_mb"])
    refresh(executed_notebook)
    assert load_record("tiny").cost["laptop"]["cpu_seconds"] < 60
    assert "400 CPU seconds" not in executed_notebook.read_text("utf-8")


def test_the_times_count_words_figures_and_minutes(tiny_notebook: Path) -> None:
    notebook = lessons.read_notebook(tiny_notebook)
    words = "word " * 340 + "<!-- a comment that nobody reads -->\n\n- **Time:** five words that are not counted"
    notebook["cells"].append({"cell_type": "markdown", "source": words})
    picture = {"output_type": "display_data", "data": {"image/png": ""}}
    notebook["cells"].append({"cell_type": "code", "source": "", "outputs": [picture, picture]})
    times = lessons.times(load_lesson("tiny"), notebook)
    assert (times.reading, times.running, times.exercises, times.memory_mb) == (4, None, 5, 400)
    assert "not measured yet to run" in times.line()


def test_a_first_edition_s_line_of_times_is_replaced_and_a_missing_one_is_an_error(executed_notebook: Path) -> None:
    notebook = nbformat.read(executed_notebook, as_version=4)
    (line,) = [line for line in notebook.cells[0].source.splitlines() if line.startswith(lessons.TIME)]
    old = "- about 60 minutes to read and do, 75 CPU seconds to run, below 1,400 MB of memory"
    executed_notebook.write_text(executed_notebook.read_text("utf-8").replace(line, old), "utf-8")
    refresh(executed_notebook)
    assert nbformat.read(executed_notebook, as_version=4).cells[0].source == notebook.cells[0].source
    executed_notebook.write_text(executed_notebook.read_text("utf-8").replace(line, "- no line"), "utf-8")
    with pytest.raises(CompanionError, match=r"the title cell has no line that begins with '- \*\*Time:\*\*'"):
        refresh(executed_notebook)


def test_what_is_stored_is_lean(executed_notebook: Path) -> None:
    notebook = json.loads(executed_notebook.read_text("utf-8"))
    assert notebook["metadata"].keys() == {"kernelspec", "language_info", "companion"}
    counts = [cell["execution_count"] for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert counts == list(range(1, len(counts) + 1))
    assert [cell["metadata"] for cell in notebook["cells"] if "tags" not in cell["metadata"]] == [{}] * 8
    assert "widget" not in executed_notebook.read_text("utf-8")
    explore = next(cell for cell in notebook["cells"] if cell["id"] == "explore")
    assert explore["outputs"][0]["data"].keys() == {"image/png", "text/plain"}
    assert explore["outputs"][0]["metadata"]["image/png"]["alt"].startswith("A line that rises")


def test_no_number_that_json_lacks_is_in_the_file_whatever_the_seeds(executed_notebook: Path) -> None:
    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is no JSON")

    json.loads(executed_notebook.read_text("utf-8"), parse_constant=refuse)
    source = executed_notebook.parents[1] / "companion/tiny/experiment.py"
    source.write_text(source.read_text().replace('"ci": {', '"laptop": {"seeds": 1}, "ci": {'))
    refresh(executed_notebook)  # with one seed the interval is infinite; a warning would be refused
    json.loads(executed_notebook.read_text("utf-8"), parse_constant=refuse)
    assert "[one seed]" in executed_notebook.read_text("utf-8")


def test_a_notebook_exported_as_a_script_runs_to_its_end(executed_notebook: Path, tmp_path: Path) -> None:
    convert = [
        sys.executable,
        "-m",
        "nbconvert",
        "--to",
        "script",
        str(executed_notebook),
        "--output-dir",
        str(tmp_path),
    ]
    subprocess.run(convert, check=True, capture_output=True, env=environment())
    script = tmp_path / "99_tiny.py"
    assert script.is_file()
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, env=environment())
    assert done.returncode == 0, done.stderr
    assert "seeds done: 3 of 3" in done.stdout
    assert "C1" in done.stdout.splitlines()[-1] or "no paper claims this" in done.stdout
    assert "<table" not in done.stdout


def test_the_source_hash_sees_an_edit(executed_notebook: Path) -> None:
    notebook = nbformat.read(executed_notebook, as_version=4)
    assert notebook.metadata.companion.source_sha256 == source_sha256(notebook)
    notebook.cells[0].source += " edited"
    assert notebook.metadata.companion.source_sha256 != source_sha256(notebook)


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("import sys\nprint('a warning', file=sys.stderr)", "cell facts wrote to stderr: a warning"),
        ("1 / 0", "it failed: cell facts: ZeroDivisionError: division by zero"),
    ],
)
def test_a_notebook_that_warns_or_fails_is_left_as_it_was(tiny_notebook: Path, source: str, sentence: str) -> None:
    notebook = nbformat.read(tiny_notebook, as_version=4)
    notebook.cells = [cell for cell in notebook.cells if cell.id in ("title", "parameters", "facts")]
    notebook.cells[-1].source = source
    tiny_notebook.write_text(nbformat.writes(notebook), "utf-8")
    before = tiny_notebook.read_bytes()
    with pytest.raises(CompanionError, match=sentence):
        refresh(tiny_notebook)
    assert tiny_notebook.read_bytes() == before


def test_printed_lines_are_stored_in_one_piece() -> None:
    cut = [new_output("stream", name="stdout", text=text) for text in ("one\n", "two\n")]
    (printed,) = normalize(new_notebook(cells=[new_code_cell("print()", outputs=cut)])).cells[0].outputs
    assert printed.text == "one\ntwo\n"
