"""Which lessons there are, and where their notebooks are."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from companion.course import lessons
from companion.errors import CompanionError


def test_a_folder_with_a_lesson_toml_is_a_lesson(tiny_course: Path) -> None:
    package = tiny_course / "companion"
    shutil.copytree(package / "tiny", package / "small")
    shutil.copytree(package / "tiny", package / "_hidden")
    toml = package / "small" / "lesson.toml"
    toml.write_text(toml.read_text().replace("number = 99", "number = 3"))
    assert [lesson.name for lesson in lessons.lessons()] == ["small", "tiny"]
    assert [lesson.name for lesson in lessons.lessons(hidden=True)] == ["small", "_hidden", "tiny"]
    assert [lesson.name for lesson in lessons.select_lessons(["99_tiny.ipynb", "3", "03", "small"])] == [
        "small",
        "tiny",
    ]
    assert [lesson.name for lesson in lessons.select_lessons(["_hidden"])] == ["_hidden"]


def test_an_unknown_lesson_is_told_which_there_are(tiny_course: Path) -> None:
    with pytest.raises(CompanionError, match="There is no lesson 'tinny'; there is tiny"):
        lessons.select_lessons(["tinny"])


def test_a_notebook_that_is_none_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "x.ipynb").write_text("{")
    with pytest.raises(CompanionError, match=r"is not a notebook .*restore it from version control"):
        lessons.read_notebook(tmp_path / "x.ipynb")
    with pytest.raises(CompanionError, match="There is no notebook"):
        lessons.read_notebook(tmp_path / "y.ipynb")


def test_a_lesson_of_a_notebook_is_found_and_the_first_page_has_none(tiny_course: Path) -> None:
    found = lessons.lesson_of(Path("somewhere/99_tiny.ipynb"))
    assert found is not None
    assert found.name == "tiny"
    assert lessons.lesson_of(Path(lessons.FIRST)) is None


def test_a_file_is_written_whole(tmp_path: Path) -> None:
    lessons.write_whole(tmp_path / "new/file.txt", "one\ntwo\n")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["file.txt"]
