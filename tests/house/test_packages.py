"""The lesson packages: the same modules in each, named by nobody else, and short; only configurations know a scale."""

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from companion.course import lessons
from companion.lab import SCALES

ROOT = Path(__file__).parents[2]
LESSONS = lessons.lessons(hidden=True)
PACKAGES = [pytest.param(ROOT / "companion" / lesson.name, id=lesson.name) for lesson in LESSONS]
MODULES = {
    "method", "baselines", "data", "training", "evaluation", "experiment", "studies", "checks", "figures", "exercises",
}  # fmt: skip
NEEDED = {"method", "experiment", "studies", "checks", "figures", "exercises"}
FILES = ("__init__.py", "lesson.toml", "record.json")
NAMELESS = ("companion/lab", "companion/data", "companion/course", "Makefile", ".ci", "binder", "pyproject.toml")
# Guides for a reader's sake: a module is read in one sitting, a lesson package in half an hour.
FILE_LINES, LESSON_MODULES, LESSON_LINES = 400, 11, 1700
# Lessons that are longer, and what makes them so. The second edition of a lesson lowers its number or keeps the reason.
LONGER = {
    "giant": (1830, "hierarchies of clusters, a bootstrap, encoders, four classifiers on top"),
    "rim": (1850, "models of relevance and of activity, and the matching with its dual"),
    "trajectory_attribution": (1800, "three data sets: the simulation, football and pedestrians"),
    "deepaa": (1830, "its own augmentation operations, and three data sets"),
    "psa_gan": (2120, "a growing GAN and its rivals, Context-FID's encoder, forecasters"),
    "trans_encoder": (2140, "variants of distillation, the models they start from, a simulation"),
    "visual_generalization": (2200, "eleven approaches to learning a representation, four sets of images"),
    "grda": (2230, "fourteen toy domains, DG-15, DG-60, temperatures, and a theory to compare with"),
}
PACKAGE_LINES = 25_700
OWN_WEIGHTS = {"companion/trans_encoder/glosses-0.npz", "companion/trans_encoder/glosses-1.npz"}  # trained by a script
WRITTEN = {".py", ".toml", ".md", ".ipynb", ".json", ".txt", ".yml", ".cff", ".cfg", ".j2", ""}


def line_count(path: Path) -> int:
    """Lines of a file."""
    return len(path.read_text("utf-8").splitlines())


@pytest.mark.parametrize("package", PACKAGES)
def test_a_lesson_has_the_same_modules_as_every_other_and_at_most_one_of_its_own(package: Path) -> None:
    found = {path.stem for path in package.glob("*.py")} - {"__init__"}
    assert NEEDED - found == set()
    assert {name for name in FILES if not (package / name).is_file()} == set()
    assert len(found - MODULES) <= 1, sorted(found - MODULES)
    assert len(found) <= LESSON_MODULES
    assert list((ROOT / "tests" / package.name.removeprefix("_")).glob("test_*.py"))


@pytest.mark.parametrize("package", PACKAGES)
def test_a_lesson_is_short(package: Path) -> None:
    lines = {path.name: line_count(path) for path in package.glob("*.py")}
    assert sum(lines.values()) <= LONGER.get(package.name, (LESSON_LINES,))[0], lines


def test_no_file_is_long() -> None:
    lines = {str(path.relative_to(ROOT)): line_count(path) for path in (ROOT / "companion").rglob("*.py")}
    assert {name: count for name, count in lines.items() if count > FILE_LINES} == {}


def test_the_whole_package_is_short() -> None:
    lines = {folder.name: sum(map(line_count, folder.rglob("*.py"))) for folder in (ROOT / "companion").glob("[!.]*/")}
    assert sum(lines.values()) <= PACKAGE_LINES, lines


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


@pytest.mark.parametrize("package", PACKAGES)
def test_only_configurations_know_a_scale(package: Path) -> None:
    assert {path.name: lines for path in package.glob("*.py") if (lines := list(scale_names(path)))} == {}


@pytest.mark.parametrize("source", ['if config.scale == "ci": pass', 'x = "study" in name', "lab.config.scale"])
def test_a_scale_that_is_asked_for_is_found(source: str, tmp_path: Path) -> None:
    (tmp_path / "experiment.py").write_text(source)
    assert list(scale_names(tmp_path / "experiment.py"))


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
