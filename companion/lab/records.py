"""Records: what the long runs measured, and whether the code that measured it is still the code we have."""

from __future__ import annotations

import ast
import hashlib
import importlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from companion.errors import CompanionError
from companion.lab.evidence import Measurement
from companion.lab.lesson import PACKAGE, folder_of
from companion.lab.scales import SCALES, Plan


@dataclass(frozen=True)
class Run:
    """All measurements of one scale, and the stamp: configuration, source hash, versions, CPU seconds, date."""

    stamp: dict[str, Any]
    measurements: tuple[Measurement, ...]

    @property
    def seeds(self) -> list[int]:
        """The seeds that were measured, ascending."""
        return sorted({m.seed for m in self.measurements})

    def as_dict(self, digits: int = 6) -> dict[str, Any]:
        """One line per arm: metric, method, setting, values in the order of `seeds`; and a checksum of it all."""
        seeds = self.seeds
        arms: dict[tuple[str, str, str], dict[int, float]] = {}
        for m in self.measurements:
            arms.setdefault((m.metric, m.method, m.setting), {})[m.seed] = float(f"{m.value:.{digits}g}")
        series = [[*arm, [values.get(seed) for seed in seeds]] for arm, values in arms.items()]
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
    """A lesson's `record.json`: its runs by name, and the changes declared harmless, each with a reason."""

    runs: dict[str, Run]
    harmless: tuple[dict[str, str], ...] = ()
    reduced: Mapping[str, Run] = field(default_factory=dict)

    def fresh(self, run: str, source: str) -> bool:
        """True if the run was made by this source (see `source_hash`), or the change since was declared harmless."""
        made_by = self.runs[run].stamp["source"]
        return source == made_by or any(
            (h["scale"], h["from"], h["to"]) == (run, made_by, source) for h in self.harmless
        )

    def dumps(self) -> str:
        """JSON with one line per arm, so that a change reads well in a diff."""
        runs = {scale: run.as_dict() for scale, run in self.runs.items()}
        reduced = {name: run.as_dict(digits=12) for name, run in self.reduced.items()}
        raw = {"harmless": list(self.harmless), "runs": runs, "reduced": reduced}
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
        return Record(runs, tuple(raw["harmless"]), reduced)
    except (ValueError, KeyError, TypeError) as error:
        raise CompanionError(
            f"record.json of {name!r} is damaged ({error}); restore it from version control."
        ) from error


def plan_of(lesson: str, run: str) -> Plan:
    """What a recorded run does: the lesson's experiment at a scale, or one of its further plans."""
    folder_of(lesson)
    room = importlib.import_module(f"{PACKAGE}.{lesson}.experiment")
    if run in SCALES:
        return Plan(room.experiment, room.Config.at(run))
    further = further_runs(lesson)
    if run not in further:
        known = ", ".join((*SCALES, *further))
        raise CompanionError(f"{lesson} has no run {run!r} to record; choose one of {known}.")
    return further[run]


def further_runs(lesson: str) -> dict[str, Plan]:
    """The runs that a lesson records beside its scales."""
    return getattr(importlib.import_module(f"{PACKAGE}.{lesson}.experiment"), "FURTHER", {})


def reduced_studies(lesson: str) -> dict[str, Plan]:
    """The reduced version of every stored study: the same code at a size of seconds, on the study's first seed.

    A lesson's `REDUCED` names, for each stored run, the fields of its configuration that are cut. The scales "laptop"
    and "study" need an entry of their own only where they run code that "ci" does not.
    """
    cuts = importlib.import_module(f"{PACKAGE}.{lesson}.experiment").REDUCED
    plans = {run: plan_of(lesson, run) for run in cuts}
    return {
        run: replace(plan, config=replace(plan.config, seeds=1, **cuts[run])) for run, plan in plans.items()
    }


def source_hash(name: str, run: str) -> str:
    """Hash of what decides a run's numbers: its configuration, its experiment, and the code that this imports.

    `companion.lab`, errors and the faces of packages (`__init__.py`) are left out; the number of seeds, the sizes of
    other runs, comments, docstrings and layout do not count.
    """
    folder, plan = folder_of(name), plan_of(name, run)
    sizes = {key: value for key, value in plan.config.as_dict().items() if key != "seeds"}
    digest = hashlib.sha256(f"{plan.experiment.__name__} {json.dumps(sizes, default=str)}\n".encode())
    for path in sorted(_reached(folder / "experiment.py", folder.parent)):
        digest.update(f"{path.relative_to(folder.parent).as_posix()}\n{_bare(path)}\n".encode())
    return digest.hexdigest()[:16]


def _reached(start: Path, root: Path) -> set[Path]:
    todo, seen = [start], set()
    while todo:
        path = todo.pop()
        if path in seen or not path.is_file():
            continue
        seen.add(path)
        todo += [p for module in _imports(path) for p in _files(module, root)]
    return seen


def _imports(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    outside = (f"{PACKAGE}.lab", f"{PACKAGE}.errors")
    return {name for name in names if name.startswith(f"{PACKAGE}.") and not name.startswith(outside)}


def _files(module: str, root: Path) -> list[Path]:
    return [root.joinpath(*module.split(".")[1:]).with_suffix(".py")]


def _bare(path: Path) -> str:
    """The code of a file without docstrings, and without the sizes, which each run's configuration holds."""
    tree = ast.parse(path.read_text("utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
            node.body = [inner for inner in node.body[bool(ast.get_docstring(node)) :] if not _sizes(node, inner)]
    return ast.dump(tree)


def _sizes(node: ast.AST, inner: ast.stmt) -> bool:
    """True for the fields of `Config`, and for the plans in `FURTHER`."""
    if isinstance(node, ast.ClassDef) and node.name == "Config":
        return isinstance(inner, ast.Assign | ast.AnnAssign)
    named = inner.targets if isinstance(inner, ast.Assign) else [getattr(inner, "target", None)]
    return isinstance(node, ast.Module) and any(isinstance(n, ast.Name) and n.id == "FURTHER" for n in named)
