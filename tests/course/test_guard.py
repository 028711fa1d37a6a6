"""The reduced runs see a planted change: in a lesson's method, in the order of training batches, in a data loader.

Each change is made in a copy of the package, and the reduced run is made from that copy in a process of its own.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from reduced import differences

import companion
from companion.course.record import run_reduced
from companion.lab import load_record

PACKAGE = Path(companion.__path__[0])


def plant(folder: Path, name: str, old: str, new: str) -> Path:
    """A copy of the package, made of links, in which one file holds `new` in place of `old`; its root."""
    file = PACKAGE / name
    text = file.read_text("utf-8")
    assert text.count(old) == 1, f"{name} no longer holds {old!r} once"
    copy = folder / "companion"
    (copy / name).parent.mkdir(parents=True)
    for level, place in ((PACKAGE, copy), (file.parent, (copy / name).parent)):
        for part in level.iterdir():
            if part not in (file, file.parent):
                (place / part.name).symlink_to(part)
    (copy / name).write_text(text.replace(old, new), "utf-8")
    return folder


@pytest.mark.parametrize(
    ("name", "old", "new", "lesson", "run"),
    [
        ("_template/method.py", "max(d - 2, 0)", "max(d - 1.99, 0)", "_template", "ci"),
        ("lab/training.py", "epoch_batches = batches()", "epoch_batches = list(batches())[::-1]", "diva", "fallback"),
        ("data/images.py", 'return arrays["images"], ', 'return np.roll(arrays["images"], 1, 1), ', "diva", "fallback"),
    ],
    ids=["a constant of a method", "the order of batches", "a data loader"],
)
def test_a_planted_change_moves_a_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, old: str, new: str, lesson: str, run: str
) -> None:
    unchanged = run_reduced(lesson, (run,))  # made here, so that the comparison is as strict as it can be
    assert differences(load_record(lesson).reduced, unchanged) == []
    root = plant(tmp_path, name, old, new)
    monkeypatch.setattr(companion, "__path__", [str(root / "companion")])
    monkeypatch.chdir(root)
    assert differences(unchanged, run_reduced(lesson, (run,)))
