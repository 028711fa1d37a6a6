"""Who may import whom: rooms stand on lab and data, course on everything, and no room knows another."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
COMMON = {"errors", "__init__"}  # companion/errors.py and companion/__init__.py: anybody's
FLOOR = {"method": 0, "baselines": 1, "experiment": 3, "exercises": 4, "figures": 4, "__init__": 5}
BETWEEN = 2  # what a room has besides (arms, checks) carries the experiment and stands on the method


def imports(path: Path, root: Path) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Every import in a file, at any depth, as (line, parts of the dotted name); root is where `companion` lies."""
    package = path.relative_to(root).parts[:-1]
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, tuple(alias.name.split("."))) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            base += tuple(node.module.split(".")) if node.module else ()
            # `from companion.lab import evidence` may name a module or something inside the package
            yield from ((node.lineno, (*base, alias.name)) for alias in node.names)


def place(parts: tuple[str, ...], root: Path) -> tuple[str, str] | None:
    """Where a dotted name leads inside `companion`: (part of the house, file in it), or None for a library."""
    if parts[0] != "companion":
        return None
    inside = [part for part in parts[1:] if part != "*"]
    if not inside or not (root / "companion" / inside[0]).is_dir():
        return "companion", inside[0] if inside and (root / f"companion/{inside[0]}.py").is_file() else "__init__"
    folder = root / "companion" / inside[0]
    named = len(inside) > 1 and ((folder / f"{inside[1]}.py").is_file() or (folder / inside[1]).is_dir())
    return inside[0], inside[1] if named else "__init__"


def objection(importer: tuple[str, str], imported: tuple[str, str]) -> str | None:
    """Say why one place of the house may not import another, or None where it may."""
    (house, file), (other, target) = importer, imported
    anybodys = other == "companion" and target in COMMON
    if house == "course" or anybodys or (house, file, other) == ("companion", "__main__", "course"):
        return None
    if house == "companion":
        return "importing companion must cost nothing"
    if house in {"lab", "data"}:
        return None if other == house else f"{house} imports neither rooms, nor course, nor its sibling"
    return objection_in_a_room(house, file, other, target)


def objection_in_a_room(room: str, file: str, other: str, target: str) -> str | None:
    """Say why a room's file may not import another place, or None where it may."""
    if other == room:
        mine, its = FLOOR.get(file, BETWEEN), FLOOR.get(target, BETWEEN)
        downwards = its < mine or its == mine == BETWEEN
        return None if downwards else f"inside a room imports go downwards, and {target} is no lower"
    if other not in {"lab", "data"}:
        return "a room stands on lab and data alone"
    return "method stands on libraries and lab alone" if (file, other) == ("method", "data") else None


def violations(root: Path) -> list[str]:
    """Everything in root/companion that breaks the rules, one sentence each: file, line, what it imports, why not."""
    found = []
    for path in sorted(root.glob("companion/**/*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        importer = place(parts, root) or ("companion", "__init__")
        for line, name in imports(path, root):
            imported = place(name, root)
            why = imported and objection(importer, imported)
            if why:
                found.append(f"{path.relative_to(root)}:{line} imports {'.'.join(name)}: {why}")
    return found


def test_the_house_keeps_its_rules() -> None:
    found = violations(ROOT)
    assert not found, "\n".join(["imports that break the rules of the house:", *found])


PLANTED = {
    "companion/lab/scales.py": "from companion.cold_brew import Config",
    "companion/lab/device.py": "import companion.data.graphs",
    "companion/data/graphs.py": "def load():\n    from companion.course import runner",
    "companion/cold_brew/method.py": "from companion import data",
    "companion/cold_brew/baselines.py": "from .experiment import experiment",
    "companion/cold_brew/experiment.py": "from companion.course.runner import run",
    "companion/cold_brew/figures.py": "from companion.giant.method import tree",
    "companion/cold_brew/exercises.py": "from . import figures",
    "companion/cold_brew/checks.py": "from companion.cold_brew.experiment import experiment",
    "companion/giant/method.py": "from . import tree",
    "companion/__init__.py": "from companion.lab import Lab"
}
ALLOWED = {
    "companion/__main__.py": "from companion.course.cli import main",
    "companion/errors.py": "",
    "companion/course/runner.py": "from companion.cold_brew import experiment\nimport companion.lab.config",
    "companion/course/__init__.py": "",
    "companion/cold_brew/__init__.py": "from companion.cold_brew.figures import curve\nfrom .method import teacher",
    "companion/cold_brew/experiment.py": "from companion.data import graphs\nfrom . import baselines, method",
    "companion/cold_brew/method.py": "import torch\nfrom companion.errors import Bad\nfrom companion.lab import blocks"
    "companion/cold_brew/baselines.py": "from .method import teacher",
    "companion/cold_brew/figures.py": "",
    "companion/cold_brew/checks.py": "from . import baselines, arms",
    "companion/cold_brew/arms.py": "from .method import teacher",
    "companion/giant/method.py": "",
    "companion/giant/tree.py": "",
    "companion/lab/scales.py": "from companion.lab.errors import x\nfrom .device import y",
    "companion/lab/device.py": "from companion import __version__",
    "companion/lab/blocks.py": "",
    "companion/data/graphs.py": "",
}


def build(root: Path, files: dict[str, str]) -> Path:
    """Write a house of these files."""
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_the_rules_let_the_house_stand(tmp_path: Path) -> None:
    assert violations(build(tmp_path, ALLOWED)) == []


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_violation_is_found_where_it_is(tmp_path: Path, name: str) -> None:
    (found,) = violations(build(tmp_path, ALLOWED | {name: PLANTED[name]}))
    assert re.match(rf"{re.escape(name)}:\d+ imports ", found)


def test_every_library_is_declared() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    names = {canonicalize_name(Requirement(line).name) for line in declared}
    homes = packages_distributions()
    missing = {
        f"{path.relative_to(ROOT)}:{line} imports {name[0]}"
        for path in ROOT.glob("companion/**/*.py")
        for line, name in imports(path, ROOT)
        if name[0] not in sys.stdlib_module_names | {"companion"}
        and not names & {canonicalize_name(home) for home in homes.get(name[0], [])}
    }
    assert not missing, "imported, and not among the dependencies in pyproject.toml: " + "; ".join(sorted(missing))
