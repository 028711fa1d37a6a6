"""Which lessons there are, and the benchmark's page."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from companion.course import bench, runner, lessons as syllabus
from companion.course.runner import Outcome
from companion.errors import CompanionError
from companion.lab import load_lesson


def test_a_folder_with_a_lesson_toml_is_a_lesson(tiny_course: Path) -> None:
    package = tiny_course / "companion"
    shutil.copytree(package / "tiny", package / "small")
    shutil.copytree(package / "tiny", package / "_hidden")
    toml = package / "small" / "lesson.toml"
    toml.write_text(toml.read_text().replace("number = 99", "number = 3"))
    assert [lesson.name for lesson in syllabus.lessons()] == ["small", "tiny"]
    assert [lesson.name for lesson in syllabus.lessons(hidden=True)] == ["small", "_hidden", "tiny"]
    assert [lesson.name for lesson in syllabus.select_lessons(["99_tiny.ipynb", "3", "03", "small"])] == ["small", "tiny"]
    assert [lesson.name for lesson in syllabus.select_lessons(["_hidden"])] == ["_hidden"]


def test_an_unknown_lesson_is_told_which_there_are(tiny_course: Path) -> None:
    with pytest.raises(CompanionError, match="There is no lesson 'tinny'; there is tiny"):
        syllabus.select_lessons(["tinny"])


def test_the_benchmark_tells_of_every_run_what_it_cost_and_what_differs(tiny_course: Path) -> None:
    rows = [Outcome("99_tiny.ipynb", "passed", 12.3, 9.8, 512), Outcome("00_x.ipynb", "passed", 2.3, 2.2, 600)]
    page = bench.markdown(
        [bench.Run("ci", 1, rows), bench.Run("laptop", 1, rows), bench.Run("laptop", 2, rows, ["lesson 99, C1: odd"])],
        jobs=2,
    )
    ci, one, two = page.split("\n## ")[1:]
    stated = load_lesson("tiny").budget
    assert f"| 99_tiny.ipynb | 10 | {stated.ci_cpu_s} | 12 | 512 | passed |" in ci
    assert f"| 99_tiny.ipynb | 10 | {stated.laptop_cpu_s} | 12 | 512 | passed |" in one
    assert "| all | 12 | | 15 | 600 | |" in one
    assert one.startswith("Run 2: laptop scale, one thread")
    assert two.startswith("Run 3: laptop scale, 2 threads")
    assert "Every verdict" not in ci
    assert "Every verdict" in one
    assert "- lesson 99, C1: odd" in two
    assert "Every verdict" not in two


def test_a_run_of_the_benchmark_is_compared_with_the_committed_notebooks(tiny_notebook: Path) -> None:
    runner.run([tiny_notebook], "laptop")
    executed = tiny_notebook.parents[1] / "build/executed/laptop" / tiny_notebook.name
    shutil.copy(executed, tiny_notebook)
    assert bench.measure([tiny_notebook], "laptop", 2, 1).differences == []
    assert re.search(r"threads +2\\n", executed.read_text())
    tiny_notebook.write_text(tiny_notebook.read_text().replace('"verdict": "holds"', '"verdict": "open"'))
    found = bench.measure([tiny_notebook], "laptop", 1, 1).differences
    assert found
    assert all(line.startswith("lesson 99, ") and "committed verdict 'open'" in line for line in found)
