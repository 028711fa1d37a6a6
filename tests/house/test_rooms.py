"""The rooms: furnished alike, named by nobody else, blind to the names of scales, and short."""

import ast
import re
import statistics
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from companion.course import lessons as syllabus
from companion.lab import SCALES

ROOT = Path(__file__).parents[2]
LESSONS = syllabus.lessons(hidden=True)
ROOMS = [pytest.param(ROOT / "companion" / lesson.name, id=lesson.name) for lesson in LESSONS]
FURNITURE = ("__init__.py", "method.py", "baselines.py", "experiment.py", "figures.py", "exercises.py", "checks.py",
             "lesson.toml", "record.json")  # fmt: skip
NAMELESS = ("companion/lab", "companion/data", "companion/course", "Makefile", ".ci", "binder", "pyproject.toml")
MEDIAN_LINES, MOST_LINES, LONG_SHARE, FILE_LINES = 12, 30, 0.1, 250
OWN_WEIGHTS = {"companion/trans_encoder/glosses-0.npz", "companion/trans_encoder/glosses-1.npz"}  # by pretrain.py
WRITTEN = {".py", ".toml", ".md", ".ipynb", ".json", ".txt", ".yml", ".cff", ".svg", ""}


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_is_furnished_like_every_other(room: Path) -> None:
    tests = ROOT / "tests" / room.name.removeprefix("_")
    assert {name for name in FURNITURE if not (room / name).is_file()} == set()
    assert list(tests.glob("test_*.py"))


def test_nothing_else_names_a_lesson() -> None:
    names = "|".join(lesson.name for lesson in LESSONS if lesson.number)
    files = [path for place in NAMELESS for path in [ROOT / place, *(ROOT / place).rglob("*")] if path.is_file()]
    texts = {
        path: path.read_text("utf-8") for path in files if path.suffix in WRITTEN - {".toml"} or path.parent == ROOT
    }
    assert len(texts) > 30
    assert not [str(path.relative_to(ROOT)) for path, text in texts.items() if re.search(rf"\b({names})\b", text)]


def scale_names(path: Path) -> Iterator[int]:
    """Lines that ask for the name of a scale: a comparison with one, or the field of a configuration."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        sides = [node.left, *node.comparators] if isinstance(node, ast.Compare) else []
        if any(isinstance(side, ast.Constant) and side.value in SCALES for side in sides):
            yield node.lineno
        if isinstance(node, ast.Attribute) and node.attr == "scale" and "config" in ast.unparse(node.value).lower():
            yield node.lineno


@pytest.mark.parametrize("room", ROOMS)
def test_only_configurations_know_a_scale(room: Path) -> None:
    assert {path.name: lines for path in room.glob("*.py") if (lines := list(scale_names(path)))} == {}


@pytest.mark.parametrize("source", ['if config.scale == "ci": pass', 'x = "study" in name', "lab.config.scale"])
def test_a_scale_that_is_asked_for_is_found(source: str, tmp_path: Path) -> None:
    (tmp_path / "experiment.py").write_text(source)
    assert list(scale_names(tmp_path / "experiment.py"))


def lengths(path: Path) -> list[int]:
    """Lines of each function of a file, without its signature and docstring."""
    bodies = [node.body for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.FunctionDef)]
    bodies = [body[1:] if isinstance(body[0], ast.Expr) else body for body in bodies]
    return [body[-1].end_lineno - body[0].lineno + 1 for body in bodies if body]  # type: ignore[operator]


def test_functions_and_files_are_short() -> None:
    files = sorted((ROOT / "companion").rglob("*.py"))
    code = {path: sum(bool(line.strip()) for line in path.read_text("utf-8").splitlines()) for path in files}
    assert {str(path): count for path, count in code.items() if count > FILE_LINES} == {}
    for package in {path.parent for path in files}:
        found = [length for path in package.glob("*.py") for length in lengths(path)]
        if found:
            assert statistics.median(found) <= MEDIAN_LINES, package
            assert sum(length > MOST_LINES for length in found) <= LONG_SHARE * len(found), package


def test_no_data_of_others_lies_in_the_repository() -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git clone: nothing says which files belong to the repository")
    files = [ROOT / name for name in listed.stdout.split("\0") if name and name not in OWN_WEIGHTS]
    assert len(files) > 50
    assert [path.name for path in files if path.suffix not in WRITTEN] == []
    assert [path.name for path in files if path.is_file() and path.stat().st_size > 1_000_000] == []
    assert [path for path in files if path.suffix == ".json" and path.name != "record.json"] == []
    assert sum((ROOT / name).stat().st_size for name in OWN_WEIGHTS) < 10_000_000
