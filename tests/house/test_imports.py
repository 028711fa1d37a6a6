"""Who may import whom: lessons stand on lab and data, course on everything, and no lesson knows another.

Inside a lesson, imports go downwards only, and every module has its place:
figures, exercises, studies -> experiment -> training -> evaluation -> baselines -> data -> method, and checks above all
but the experiment. The one module with a name of its own stands just above what it imports.
"""

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
COMMON = {"errors", "__init__"}  # companion/errors.py and companion/__init__.py: everybody's
LEVEL = {
    "method": 0.0, "data": 1.0, "baselines": 2.0, "evaluation": 3.0, "training": 4.0, "experiment": 5.0, "checks": 5.0,
    "figures": 6.0, "exercises": 6.0, "studies": 6.0, "__init__": 7.0,
}  # fmt: skip


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
    """Where a dotted name leads inside `companion`: (part of the package, file in it), or None for a library."""
    if parts[0] != "companion":
        return None
    inside = [part for part in parts[1:] if part != "*"]
    if not inside or not (root / "companion" / inside[0]).is_dir():
        return "companion", inside[0] if inside and (root / f"companion/{inside[0]}.py").is_file() else "__init__"
    folder = root / "companion" / inside[0]
    named = len(inside) > 1 and ((folder / f"{inside[1]}.py").is_file() or (folder / inside[1]).is_dir())
    return inside[0], inside[1] if named else "__init__"


def level(file: str, folder: Path) -> float:
    """How high a module of a lesson stands; one with a name of its own, half a step above all that it imports."""
    if file in LEVEL:
        return LEVEL[file]
    root, here = folder.parents[1], folder.name
    found = [place(name, root) for _, name in imports(folder / f"{file}.py", root)]
    return (
        max([LEVEL[where[1]] for where in found if where and where[0] == here and where[1] in LEVEL], default=-1.0)
        + 0.5
    )


def objection(importer: tuple[str, str], imported: tuple[str, str], root: Path) -> str | None:
    """Say why one part of the package may not import another, or None where it may."""
    (part, file), (other, target) = importer, imported
    everybodys = other == "companion" and target in COMMON
    if part == "course" or everybodys or (part, file, other) == ("companion", "__main__", "course"):
        return None
    if part == "companion":
        return "importing companion must cost nothing"
    if part in {"lab", "data"}:
        return None if other == part else f"{part} imports neither lessons, nor course, nor its sibling"
    if other == part:
        folder = root / "companion" / part
        lower = level(target, folder) < level(file, folder)
        return None if lower else f"inside a lesson imports go downwards, and {target} is no lower"
    if other not in {"lab", "data"}:
        return "a lesson stands on lab and data alone"
    return "method stands on libraries and lab alone" if (file, other) == ("method", "data") else None


def violations(root: Path) -> list[str]:
    """Everything in root/companion that breaks the rules, one sentence each: file, line, what it imports, why not."""
    found = []
    for path in sorted(root.glob("companion/**/*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        importer = place(parts, root) or ("companion", "__init__")
        for line, name in imports(path, root):
            imported = place(name, root)
            why = imported and objection(importer, imported, root)
            if why:
                found.append(f"{path.relative_to(root)}:{line} imports {'.'.join(name)}: {why}")
    return found


def test_imports_keep_the_rules() -> None:
    found = violations(ROOT)
    assert not found, "\n".join(["imports that break the rules:", *found])


PLANTED = {
    "companion/lab/config.py": "from companion.cold_brew import Config",
    "companion/lab/runtime.py": "import companion.data.graphs",
    "companion/data/graphs.py": "def load():\n    from companion.course import run",
    "companion/cold_brew/method.py": "from companion import data",
    "companion/cold_brew/data.py": "from companion.cold_brew import training",
    "companion/cold_brew/baselines.py": "from .experiment import experiment",
    "companion/cold_brew/evaluation.py": "from .training import fit",
    "companion/cold_brew/training.py": "from . import studies",
    "companion/cold_brew/experiment.py": "from companion.course.run import run",
    "companion/cold_brew/studies.py": "from companion.cold_brew import figures",
    "companion/cold_brew/figures.py": "from companion.giant.method import tree",
    "companion/cold_brew/exercises.py": "from . import figures",
    "companion/cold_brew/checks.py": "from companion.cold_brew.experiment import experiment",
    "companion/giant/method.py": "from . import trees",
    "companion/__init__.py": "from companion.lab import Lab",
}
ALLOWED = {
    "companion/__main__.py": "from companion.course.cli import main",
    "companion/errors.py": "",
    "companion/course/run.py": "from companion.cold_brew import experiment\nimport companion.lab.config",
    "companion/course/__init__.py": "",
    "companion/cold_brew/__init__.py": "from companion.cold_brew.figures import curve\nfrom .method import teacher",
    "companion/cold_brew/method.py": "import torch\nfrom companion.errors import Bad\nfrom companion.lab import blocks"
    "\nfrom . import layers",
    "companion/cold_brew/layers.py": "from companion.lab import blocks",
    "companion/cold_brew/data.py": "from companion.data import graphs\nfrom . import method",
    "companion/cold_brew/baselines.py": "from .method import teacher\nfrom .data import load",
    "companion/cold_brew/evaluation.py": "from . import data, method",
    "companion/cold_brew/training.py": "from . import baselines, data, evaluation, method",
    "companion/cold_brew/experiment.py": "from . import evaluation, method, training",
    "companion/cold_brew/studies.py": "from . import experiment, training",
    "companion/cold_brew/figures.py": "from .experiment import Config",
    "companion/cold_brew/exercises.py": "from . import method",
    "companion/cold_brew/checks.py": "from . import baselines, evaluation, training",
    "companion/giant/method.py": "",
    "companion/giant/trees.py": "from . import method",
    "companion/giant/training.py": "from . import trees",
    "companion/lab/config.py": "from companion.lab.errors import x\nfrom .runtime import y",
    "companion/lab/runtime.py": "from companion import __version__",
    "companion/lab/blocks.py": "",
    "companion/data/graphs.py": "",
}


def build(root: Path, files: dict[str, str]) -> Path:
    """Write a package of these files."""
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_the_rules_allow_what_they_should(tmp_path: Path) -> None:
    assert violations(build(tmp_path, ALLOWED)) == []


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_violation_is_found_where_it_is(tmp_path: Path, name: str) -> None:
    found = violations(build(tmp_path, ALLOWED | {name: PLANTED[name]}))
    assert any(re.match(rf"{re.escape(name)}:\d+ imports ", sentence) for sentence in found)


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
