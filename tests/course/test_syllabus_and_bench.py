"""Which lessons there are, and the benchmark's page."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from companion.course import bench, syllabus
from companion.course.runner import Outcome
from companion.errors import CompanionError


def test_a_folder_with_a_lesson_toml_is_a_lesson(tiny_course: Path) -> None:
    package = tiny_course / "companion"
    shutil.copytree(package / "tiny", package / "small")
    shutil.copytree(package / "tiny", package / "_hidden")
    toml = package / "small" / "lesson.toml"
    toml.write_text(toml.read_text().replace("number = 99", "number = 3"))
    assert [lesson.name for lesson in syllabus.lessons()] == ["small", "tiny"]
    assert [lesson.name for lesson in syllabus.lessons(hidden=True)] == ["small", "_hidden", "tiny"]
    assert [lesson.name for lesson in syllabus.choose(["99_tiny.ipynb", "3", "03", "small"])] == ["small", "tiny"]
    assert [lesson.name for lesson in syllabus.choose(["_hidden"])] == ["_hidden"]


def test_an_unknown_lesson_is_told_which_there_are(tiny_course: Path) -> None:
    with pytest.raises(CompanionError, match="There is no lesson 'tinny'; there is tiny"):
        syllabus.choose(["tinny"])


def test_the_benchmark_is_a_table_of_every_notebook_and_scale() -> None:
    rows = [Outcome("01_x.ipynb", "passed", 12.3, 9.8, 512)]
    page = bench.markdown({"ci": rows, "laptop": rows}, jobs=2)
    assert "| 01_x.ipynb | ci | 10 | 12 | 512 | passed |" in page
    assert "| 01_x.ipynb | laptop |" in page
