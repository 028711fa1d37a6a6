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
        "versions",
        "cpu_seconds",
        "peak_mb",
        "date",
        "device",
        "threads",
    }
    assert stored.stamp["threads"] == 1
    assert stored.stamp["config"]["size"] == 10


def test_an_interrupted_run_goes_on_where_it_stopped(tiny_course: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_a_study_stands_beside_the_scales(ci_record: records.Run) -> None:
    assert records.record("tiny", "pilot").seeds == [100]
    assert list(load_record("tiny").runs) == ["ci", "pilot"]
    with pytest.raises(CompanionError, match="choose one of ci, laptop, study, paper, pilot"):
        records.record("tiny", "nowhere")


def test_a_seed_of_another_configuration_is_measured_again(ci_record: records.Run, tiny_course: Path) -> None:
    first = records.record("tiny", "ci").measurements
    source = tiny_course / "companion/tiny/experiment.py"
    source.write_text(source.read_text().replace('"size": 10}', '"size": 11}'))
    for name in [name for name in sys.modules if name.startswith("companion.tiny")]:
        del sys.modules[name]
    assert records.record("tiny", "ci").measurements != first


def test_reduced_runs_stand_beside_the_results_and_repeat(ci_record: records.Run) -> None:
    fresh = records.record_reduced("tiny")
    assert list(fresh) == ["ci", "pilot"]
    stored = load_record("tiny")
    assert stored.runs["ci"].measurements == ci_record.measurements
    assert stored.reduced["pilot"].stamp["config"]["size"] == 5
    assert records.run_reduced("tiny", ("pilot",))["pilot"].measurements == fresh["pilot"].measurements


def test_a_cost_is_stored_per_scale_and_leaves_the_results(ci_record: records.Run) -> None:
    records.record_cost("tiny", "laptop", 12.4, 512)
    records.record_cost("tiny", "ci", 3.0, 400)
    stored = load_record("tiny")
    assert {scale: cost["cpu_seconds"] for scale, cost in stored.cost.items()} == {"laptop": 12, "ci": 3}
    assert stored.runs["ci"].measurements == ci_record.measurements


def test_a_number_changed_by_hand_is_found(ci_record: records.Run, tiny_course: Path) -> None:
    path = tiny_course / "companion/tiny/record.json"
    value = f"{ci_record.measurements[0].value:.6g}"
    path.write_text(path.read_text("utf-8").replace(value, value[:-1] + ("1" if value[-1] != "1" else "2")), "utf-8")
    with pytest.raises(CompanionError, match=r"record\.json of 'tiny' is damaged .*changed by hand"):
        load_record("tiny")


def test_a_laptop_scale_equal_to_study_is_not_run_twice(tiny_course: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = records.record("tiny", "study", seeds=1)
    began = time.perf_counter()
    laptop = records.record("tiny", "laptop")
    assert time.perf_counter() - began < 1
    assert laptop.measurements == study.measurements
    assert laptop.stamp["same_as"] == "study"
    assert laptop.stamp["config"]["scale"] == "laptop"


def test_the_file_has_a_line_a_condition(ci_record: records.Run, tiny_course: Path) -> None:
    text = (tiny_course / "companion/tiny/record.json").read_text()
    assert sum('["mean"' in line for line in text.splitlines()) == 2
    assert json.loads(text)["runs"]["ci"]["seeds"] == [0]
