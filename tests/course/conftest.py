"""A course of one tiny lesson: links to the real package, and the room `tiny` beside the real ones."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import companion

TINY = Path(__file__).parent / "tiny"


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
