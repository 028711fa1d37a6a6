"""The recorder itself, on the tiny lesson."""

from __future__ import annotations

import json
import shutil
import sys
import time
from pathlib import Path

import pytest

from companion.course import record as records
from companion.errors import CompanionError
from companion.lab import load_record


@pytest.fixture(scope="session")
def recorded_once() -> dict[str, str]:
    """Holds the record of the tiny lesson once it has been made."""
    return {}


@pytest.fixture
def ci_record(tiny_course: Path, recorded_once: dict[str, str]) -> records.Run:
    path = tiny_course / "companion/tiny/record.json"
    if not recorded_once:
        records.record("tiny", "ci")
        recorded_once["text"] = path.read_text("utf-8")
        shutil.rmtree(tiny_course / "build")
    path.write_text(recorded_once["text"], "utf-8")
    return load_record("tiny").runs["ci"]


def test_a_record_holds_every_seed_and_its_stamp(ci_record: records.Run) -> None:
    stored = load_record("tiny").runs["ci"]
    assert stored.seeds == [0]
    assert stored.stamp == ci_record.stamp
    assert stored.stamp.keys() >= {
        "config",
        "source",
        "versions",
        "cpu_seconds",
        "peak_mb",
        "date",
        "device",
        "threads",
    }
    assert stored.stamp["threads"] == 1
    assert stored.stamp["config"]["size"] == 10


def test_a_cut_recording_goes_on_where_it_was_cut(tiny_course: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINY_FAILS_ON", "1")
    with pytest.raises(CompanionError, match="seed 1, failed: seed 1 was told to fail"):
        records.record("tiny", "ci", seeds=2)
    assert not (tiny_course / "companion/tiny/record.json").exists()
    done = {path: path.stat().st_mtime_ns for path in (tiny_course / "build/record").rglob("*.json")}
    assert {path.stem for path in done} == {"0"}
    monkeypatch.delenv("TINY_FAILS_ON")
    assert records.record("tiny", "ci", seeds=2).seeds == [0, 1]
    assert all(path.stat().st_mtime_ns == then for path, then in done.items())


def test_two_at_a_time_give_the_numbers_of_one_at_a_time(ci_record: records.Run, tiny_course: Path) -> None:
    again = records.record("tiny", "ci", seeds=2, jobs=2)
    assert set(again.measurements) > set(ci_record.measurements)


def test_a_further_run_stands_beside_the_scales(ci_record: records.Run) -> None:
    assert records.record("tiny", "rehearsal").seeds == [100]
    assert list(load_record("tiny").runs) == ["ci", "rehearsal"]


def test_a_changed_source_makes_the_record_stale_until_declared_harmless(
    ci_record: records.Run, tiny_course: Path
) -> None:
    source = tiny_course / "companion/tiny/experiment.py"
    source.write_text(source.read_text().replace("noise + 5", "5 + noise"))
    assert not load_record("tiny").fresh("ci", source_hash("tiny", "ci"))
    assert records.declare_harmless("tiny", "addition commutes") == ["ci"]
    assert load_record("tiny").fresh("ci", source_hash("tiny", "ci"))
    assert load_record("tiny").runs["ci"].measurements == ci_record.measurements
    assert records.declare_harmless("tiny", "again") == []
    source.write_text(source.read_text().replace("5 + noise", "5.0 + noise"))
    assert records.declare_harmless("tiny", "five is five") == ["ci"]
    (note,) = load_record("tiny").harmless
    assert note["reason"] == "addition commutes | five is five"
    source.write_text(source.read_text().replace("5.0 + noise", "6 + noise"))
    assert not load_record("tiny").fresh("ci", source_hash("tiny", "ci"))


def test_a_changed_size_makes_that_run_stale_alone_and_a_changed_seed_count_none(
    ci_record: records.Run, tiny_course: Path
) -> None:
    records.record("tiny", "rehearsal")
    source = tiny_course / "companion/tiny/experiment.py"
    edits = [
        ("seeds=1), first_seed", "seeds=2), first_seed", set()),
        ("size: int = 100", "size: int = 101", set()),
        ('"size": 10}', '"size": 11}', {"ci", "rehearsal"}),
    ]
    for old, new, stale in edits:
        source.write_text(source.read_text().replace(old, new))
        forget_the_room()
        record = load_record("tiny")
        assert {run for run in record.runs if not record.fresh(run, source_hash("tiny", run))} == stale
    with pytest.raises(CompanionError, match="choose one of ci, laptop, study, paper, rehearsal"):
        source_hash("tiny", "nowhere")


def test_a_number_changed_by_hand_is_found(ci_record: records.Run, tiny_course: Path) -> None:
    path = tiny_course / "companion/tiny/record.json"
    value = f"{ci_record.measurements[0].value:.6g}"
    path.write_text(path.read_text("utf-8").replace(value, value[:-1] + ("1" if value[-1] != "1" else "2")), "utf-8")
    with pytest.raises(CompanionError, match=r"record\.json of 'tiny' is damaged .*changed by hand"):
        load_record("tiny")


def forget_the_room() -> None:
    for name in [name for name in sys.modules if name.startswith("companion.tiny")]:
        del sys.modules[name]


def test_harmless_needs_a_reason(tiny_course: Path) -> None:
    with pytest.raises(CompanionError, match="needs a reason"):
        records.declare_harmless("tiny", " ")


def test_a_laptop_scale_equal_to_study_is_not_run_twice(tiny_course: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = records.record("tiny", "study", seeds=1)
    began = time.perf_counter()
    laptop = records.record("tiny", "laptop")
    assert time.perf_counter() - began < 1
    assert laptop.measurements == study.measurements
    assert laptop.stamp["same_as"] == "study"
    assert laptop.stamp["config"]["scale"] == "laptop"


def test_the_file_has_a_line_an_arm(ci_record: records.Run, tiny_course: Path) -> None:
    text = (tiny_course / "companion/tiny/record.json").read_text()
    assert sum('["mean"' in line for line in text.splitlines()) == 2
    assert json.loads(text)["runs"]["ci"]["seeds"] == [0]
