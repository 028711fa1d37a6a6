"""A course of one tiny lesson: links to the real `lab`, `data` and `course`, and the lesson `tiny` beside them."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

import companion
from companion.course.refresh import KERNEL, refresh

TINY = Path(__file__).parent / "tiny_lesson"
TITLE = "# Tiny\n\n- **Time:** not measured\n- prerequisites: none"


@pytest.fixture
def tiny_course(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of a course with the lesson `tiny` alone; this process and those it starts see that course."""
    root = tmp_path / "course"
    package = root / "companion"
    package.mkdir(parents=True)
    for part in Path(companion.__path__[0]).iterdir():
        if part.name in ("lab", "data", "course") or part.is_file():
            (package / part.name).symlink_to(part)
    shutil.copytree(TINY, package / "tiny", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(companion, "__path__", [str(package)])
    monkeypatch.chdir(root)
    yield root
    for name in [name for name in sys.modules if name.startswith("companion.tiny")]:
        del sys.modules[name]


def code(id: str, source: str, *tags: str) -> nbformat.NotebookNode:
    """A code cell."""
    return new_code_cell(source, id=id, metadata={"tags": list(tags)} if tags else {})


TINY_CELLS = [
    new_markdown_cell(TITLE, id="title"),
    code("parameters", 'scale = "laptop"\ndevice = "auto"\nseed = 0', "parameters"),
    code(
        "setup",
        "import matplotlib.pyplot as plt\n\n"
        "from companion.lab import Lab\nfrom companion.tiny.experiment import experiment\n\n"
        'lab = Lab("tiny", scale=scale, device=device, seed=seed)',
    ),
    code("run", "measurements = lab.run_seeds(experiment)"),
    code("facts", 'print("the course has one lesson")', "nbval-check-output"),
    code("check", 'lab.check("X1", 0.0)', "nbval-check-output"),
    code(
        "figure",
        "fig, ax = plt.subplots()\nax.plot([1, 2])\n"
        'lab.show(fig, alt="One line that rises from one to two.", caption="A line. It rises, as lines may do.")',
    ),
    code(
        "explore",
        "def draw(height):\n    fig, ax = plt.subplots(figsize=(2, 2))\n    ax.plot([0, height])\n    return fig\n\n\n"
        'lab.interactive(draw, alt="A line that rises to the height that the slider says.", height=(1, 5, 1, 2))',
    ),
    code("c1", 'lab.claim("C1", measurements)'),
    code("c2", 'lab.claim("C2", measurements)'),
    code("scoreboard", "lab.scoreboard()"),
]


@pytest.fixture
def tiny_notebook(tiny_course: Path) -> Path:
    """The notebook of the tiny lesson, not yet executed, in the course's folder of notebooks."""
    path = tiny_course / "notebooks" / "99_tiny.ipynb"
    path.parent.mkdir()
    notebook = new_notebook(cells=TINY_CELLS, metadata={"kernelspec": KERNEL})
    path.write_text(nbformat.writes(notebook), "utf-8")
    return path


@pytest.fixture(scope="session")
def executed_once(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Holds the texts of the tiny notebook and of its record.json once it has been executed."""
    return {}


@pytest.fixture
def executed_notebook(tiny_notebook: Path, executed_once: dict[str, str]) -> Path:
    """The same notebook as `refresh` leaves it."""
    record = tiny_notebook.parents[1] / "companion/tiny/record.json"
    if not executed_once:
        refresh(tiny_notebook)
        executed_once.update({str(path): path.read_text("utf-8") for path in (tiny_notebook, record)})
    for path, text in zip((tiny_notebook, record), executed_once.values(), strict=True):
        path.write_text(text, "utf-8")
    return tiny_notebook
