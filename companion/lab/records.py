"""Stored results: what the long runs measured, and the reduced run of each that a test recomputes."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from companion.errors import CompanionError
from companion.lab.config import SCALES, Study
from companion.lab.evidence import Measurement
from companion.lab.lesson import PACKAGE, folder_of


@dataclass(frozen=True)
class Run:
    """All measurements of one run, and the stamp: configuration, versions, CPU seconds, date."""

    stamp: dict[str, Any]
    measurements: tuple[Measurement, ...]

    @property
    def seeds(self) -> list[int]:
        """The seeds that were measured, ascending."""
        return sorted({m.seed for m in self.measurements})

    def as_dict(self, digits: int = 6) -> dict[str, Any]:
        """One line per condition: metric, method, setting, values in the order of `seeds`; and a checksum of it all."""
        seeds = self.seeds
        rows: dict[tuple[str, str, str], dict[int, float]] = {}
        for m in self.measurements:
            rows.setdefault((m.metric, m.method, m.setting), {})[m.seed] = float(f"{m.value:.{digits}g}")
        series = [[*row, [values.get(seed) for seed in seeds]] for row, values in rows.items()]
        raw = {"stamp": self.stamp, "seeds": seeds, "series": series}
        return {**raw, "checksum": _checksum(raw)}

    @classmethod
    def from_dict(cls, raw: dict[str, Any]) -> Run:
        """Read what `as_dict` wrote; an error if anything in it was changed since."""
        if raw["checksum"] != _checksum({key: raw[key] for key in ("stamp", "seeds", "series")}):
            raise ValueError("a number, a seed or a stamp was changed by hand")
        rows = [
            Measurement(metric, method, setting, seed, value)
            for metric, method, setting, values in raw["series"]
            for seed, value in zip(raw["seeds"], values, strict=True)
            if value is not None
        ]
        return cls(raw["stamp"], tuple(rows))


def _checksum(raw: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(raw, sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Record:
    """A lesson's `record.json`: its stored runs by name, their reduced runs, and what its notebook costs per scale.

    cost: scale -> {"cpu_seconds", "peak_mb", "date"}, measured by running the notebook.
    """

    runs: dict[str, Run]
    reduced: Mapping[str, Run] = field(default_factory=dict)
    cost: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def expected_seconds(self, scale: str, seeds: int) -> float | None:
        """CPU seconds of a notebook at a scale: as measured, or those of as many seeds of the stored run; or None."""
        if scale in self.cost:
            return float(self.cost[scale]["cpu_seconds"])
        run = self.runs.get(scale)
        return run.stamp["cpu_seconds"] * seeds / len(run.seeds) if run else None

    def dumps(self) -> str:
        """JSON with one line per condition, so that a change reads well in a diff."""
        runs = {scale: run.as_dict() for scale, run in self.runs.items()}
        reduced = {name: run.as_dict(digits=12) for name, run in self.reduced.items()}
        raw = {"cost": self.cost, "runs": runs, "reduced": reduced}
        return json.dumps(raw, ensure_ascii=False, cls=_RowPerLine) + "\n"


class _RowPerLine(json.JSONEncoder):
    """Objects open up, a line an entry; lists of lists a line a row; all else stays on its line."""

    def encode(self, o: Any, depth: int = 0) -> str:
        pad = "\n" + " " * (depth + 1)
        if isinstance(o, dict) and o:
            rows = [f"{json.dumps(key)}: {self.encode(value, depth + 1)}" for key, value in o.items()]
            return "{" + pad + ("," + pad).join(rows) + pad[:-1] + "}"
        if isinstance(o, list) and o and isinstance(o[0], list):
            return "[" + pad + ("," + pad).join(json.dumps(row, ensure_ascii=False) for row in o) + pad[:-1] + "]"
        return json.dumps(o, ensure_ascii=False)


def load_record(name: str) -> Record:
    """Read a lesson's `record.json`; an empty record if there is none yet."""
    path = folder_of(name) / "record.json"
    if not path.is_file():
        return Record({})
    try:
        raw = json.loads(path.read_text("utf-8"))
        runs, reduced = ({n: Run.from_dict(r) for n, r in raw.get(kind, {}).items()} for kind in ("runs", "reduced"))
        return Record(runs, reduced, raw.get("cost", {}))
    except (ValueError, KeyError, TypeError) as error:
        raise CompanionError(
            f"record.json of {name!r} is damaged ({error}); restore it from version control."
        ) from error


def study_of(lesson: str, run: str) -> Study:
    """What a stored run does: the lesson's experiment at a scale, or one of its further studies."""
    folder_of(lesson)
    package = importlib.import_module(f"{PACKAGE}.{lesson}.experiment")
    if run in SCALES:
        return Study(package.experiment, package.Config.at(run))
    further = studies_of(lesson)
    if run not in further:
        known = ", ".join((*SCALES, *further))
        raise CompanionError(f"{lesson} has no run {run!r} to record; choose one of {known}.")
    return further[run]


def studies_of(lesson: str) -> dict[str, Study]:
    """The studies whose results a lesson stores beside those of its scales: `STUDIES` in its `studies.py`."""
    return importlib.import_module(f"{PACKAGE}.{lesson}.studies").STUDIES


def reduced_studies(lesson: str) -> dict[str, Study]:
    """The reduced version of every stored study: the same code on one seed in seconds.

    Of the scales, those that `Config.REDUCED` names: always "ci", and another if it runs code that "ci" does not.
    """
    cuts = importlib.import_module(f"{PACKAGE}.{lesson}.experiment").Config.REDUCED
    scales = {
        scale: replace(study_of(lesson, scale), reduced=cuts[scale]).at_reduced_size()
        for scale in SCALES
        if scale in cuts
    }
    return scales | {run: study.at_reduced_size() for run, study in studies_of(lesson).items()}
