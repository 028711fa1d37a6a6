"""Records: what the long runs measured, and whether the code that measured it is still the code we have."""

from __future__ import annotations

import ast
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from companion.errors import CompanionError
from companion.lab.evidence import Measurement
from companion.lab.lesson import PACKAGE, folder_of


@dataclass(frozen=True)
class Run:
    """All measurements of one scale, and the stamp: configuration, source hash, versions, CPU seconds, date."""

    stamp: dict[str, Any]
    measurements: tuple[Measurement, ...]

    @property
    def seeds(self) -> list[int]:
        return sorted({m.seed for m in self.measurements})

    def as_dict(self) -> dict[str, Any]:
        """One line per arm: metric, method, setting, values in the order of `seeds`."""
        seeds = self.seeds
        arms: dict[tuple[str, str, str], dict[int, float]] = {}
        for m in self.measurements:
            arms.setdefault((m.metric, m.method, m.setting), {})[m.seed] = float(f"{m.value:.6g}")
        series = [[*arm, [values.get(seed) for seed in seeds]] for arm, values in arms.items()]
        return {"stamp": self.stamp, "seeds": seeds, "series": series}

    @classmethod
    def from_dict(cls, raw: dict[str, Any]) -> Run:
        rows = [
            Measurement(metric, method, setting, seed, value)
            for metric, method, setting, values in raw["series"]
            for seed, value in zip(raw["seeds"], values, strict=True)
            if value is not None
        ]
        return cls(raw["stamp"], tuple(rows))


@dataclass(frozen=True)
class Record:
    """A lesson's `record.json`: one run per scale, and the source changes declared harmless, each with a reason."""

    runs: dict[str, Run]
    harmless: tuple[dict[str, str], ...] = ()

    def fresh(self, scale: str, source: str) -> bool:
        """True if the run was made by this source, or the change since was declared harmless."""
        made_by = self.runs[scale].stamp["source"]
        return source == made_by or any(h["from"] == made_by and h["to"] == source for h in self.harmless)

    def dumps(self) -> str:
        """JSON with one line per arm, so that a change reads well in a diff."""
        runs = {scale: run.as_dict() for scale, run in self.runs.items()}
        return json.dumps({"harmless": list(self.harmless), "runs": runs}, ensure_ascii=False, cls=_RowPerLine) + "\n"


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
        return Record({scale: Run.from_dict(run) for scale, run in raw["runs"].items()}, tuple(raw["harmless"]))
    except (ValueError, KeyError, TypeError) as error:
        raise CompanionError(
            f"record.json of {name!r} is damaged ({error}); restore it from version control."
        ) from error


def source_hash(name: str) -> str:
    """Hash of the code that decides a lesson's numbers: its experiment, and what that imports from the package.

    `companion.lab` and the faces of packages (`__init__.py`) are left out; comments, docstrings, layout do not count.
    """
    folder = folder_of(name)
    digest = hashlib.sha256()
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
    return {name for name in names if name.startswith(PACKAGE + ".") and not name.startswith(PACKAGE + ".lab")}


def _files(module: str, root: Path) -> list[Path]:
    return [root.joinpath(*module.split(".")[1:]).with_suffix(".py")]


def _bare(path: Path) -> str:
    tree = ast.parse(path.read_text("utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef) and ast.get_docstring(
            node
        ):
            node.body = node.body[1:]
    return ast.dump(tree)
