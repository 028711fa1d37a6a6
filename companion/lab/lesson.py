"""A lesson as data: what `lesson.toml` says, read once and checked for what is missing."""

from __future__ import annotations

import importlib.util
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import companion
from companion.errors import CompanionError
from companion.lab.evidence import Claim

PACKAGE = "companion"


@dataclass(frozen=True)
class Check:
    """An exact check: the largest error that may be seen."""

    id: str
    statement: str
    tolerance: float


@dataclass(frozen=True)
class Budget:
    """What a lesson costs: reading minutes, CPU seconds per scale, and peak memory at laptop scale."""

    minutes: int
    memory_mb: int
    laptop_cpu_s: int
    ci_cpu_s: int
    study_cpu_s: int


@dataclass(frozen=True)
class Lesson:
    """Everything about a lesson that is neither code nor prose."""

    name: str
    number: int
    title: str
    summary: str
    area: str
    paper: Mapping[str, Any]
    objectives: tuple[str, ...]
    prerequisites: tuple[str, ...]
    deviations: tuple[str, ...]
    data: tuple[str, ...]
    budget: Budget
    claims: tuple[Claim, ...]
    checks: tuple[Check, ...]
    folder: Path

    @property
    def notebook(self) -> str:
        """File name of the notebook."""
        return f"{self.number:02d}_{self.name}.ipynb" if self.number else f"{self.name}.ipynb"

    def claim(self, id: str) -> Claim:
        """The claim with this id."""
        return _pick(self.claims, id, "claim", self.name)

    def check(self, id: str) -> Check:
        """The exact check with this id."""
        return _pick(self.checks, id, "exact check", self.name)


def _pick(items: tuple[Any, ...], id: str, what: str, lesson: str) -> Any:
    found = [item for item in items if item.id == id]
    if not found:
        raise CompanionError(f"{lesson} has no {what} {id!r}; it has {', '.join(item.id for item in items) or 'none'}.")
    return found[0]


def folder_of(name: str) -> Path:
    """The folder of a lesson's room, found without importing it."""
    spec = importlib.util.find_spec(f"{PACKAGE}.{name}") if name.isidentifier() else None
    places = list(spec.submodule_search_locations or ()) if spec else []
    if not places or not (Path(places[0]) / "lesson.toml").is_file():
        known = sorted(path.parent.name for path in Path(companion.__path__[0]).glob("[!_]*/lesson.toml"))
        raise CompanionError(f"There is no lesson {name!r}; choose one of {', '.join(known)}.")
    return Path(places[0])


def load_lesson(name: str) -> Lesson:
    """Read and check a lesson's `lesson.toml`."""
    folder = folder_of(name)
    try:
        raw = tomllib.loads((folder / "lesson.toml").read_text("utf-8"))
        return _lesson(name, folder, raw)
    except (tomllib.TOMLDecodeError, TypeError, KeyError) as error:
        raise CompanionError(f"lesson.toml of {name!r} cannot be read: {error}.") from error


def _lesson(name: str, folder: Path, raw: dict[str, Any]) -> Lesson:
    parts: dict[str, Any] = {
        "budget": Budget(**raw.pop("budget")),
        "claims": tuple(Claim(**claim) for claim in raw.pop("claims")),
        "checks": tuple(Check(**check) for check in raw.pop("checks")),
    }
    known = {field.name for field in fields(Lesson)} - {"name", "folder"} - parts.keys()
    if raw.keys() != known:
        raise CompanionError(
            f"lesson.toml of {name!r} must hold exactly {sorted(known)}; it differs in {sorted(raw.keys() ^ known)}."
        )
    plain: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in raw.items()}
    lesson = Lesson(name=name, folder=folder, **plain, **parts)
    missing = {"title", "authors", "venue", "year"} - lesson.paper.keys()
    if missing:
        raise CompanionError(f"lesson.toml of {name!r}: [paper] lacks {', '.join(sorted(missing))}.")
    ids = [claim.id for claim in lesson.claims] + [check.id for check in lesson.checks]
    if len(set(ids)) < len(ids):
        raise CompanionError(f"lesson.toml of {name!r} uses an id twice among {ids}.")
    return lesson
