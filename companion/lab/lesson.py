"""A lesson as data: what `lesson.toml` says, read once and checked for what is missing."""

from __future__ import annotations

import importlib.util
import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any

import companion
from companion.errors import CompanionError
from companion.lab.evidence import Claim

PACKAGE = "companion"


@dataclass(frozen=True)
class Check:
    """A correctness check: the largest error that may be seen."""

    id: str
    statement: str
    tolerance: float


@dataclass(frozen=True)
class Budget:
    """What a lesson may cost: peak memory and CPU seconds. What it does cost is measured and stored in record.json."""

    memory_mb: int
    laptop_cpu_s: int
    ci_cpu_s: int


@dataclass(frozen=True)
class ArticleClaim:
    """What the Amazon Science article says of the paper, in our words, and what answers it.

    Where they hold, `claims` speak for it and those in `against` speak against it; `untested` says what none tests.
    """

    says: str
    claims: tuple[str, ...]
    against: tuple[str, ...] = ()
    untested: str = ""


@dataclass(frozen=True)
class Lesson:
    """Everything about a lesson that is neither code nor prose.

    `edition` says which format its notebook has; `reproduction` is the lesson's line in the ledger: "reproduced",
    "reproduced under condition X", "not reproduced" and why, or "not tested". `ideas` are those that other lessons
    share; `routes` the ways through the course that pass by.
    """

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
    edition: int = 1
    reproduction: str = ""
    article: tuple[ArticleClaim, ...] = ()
    ideas: tuple[str, ...] = ()
    routes: tuple[str, ...] = ()

    @property
    def notebook(self) -> str:
        """File name of the notebook."""
        return f"{self.number:02d}_{self.name}.ipynb" if self.number else f"{self.name}.ipynb"

    def claim(self, id: str) -> Claim:
        """The claim with this id."""
        return _pick(self.claims, id, "claim", self.name)

    def check(self, id: str) -> Check:
        """The correctness check with this id."""
        return _pick(self.checks, id, "correctness check", self.name)


def _pick(items: tuple[Any, ...], id: str, what: str, lesson: str) -> Any:
    found = [item for item in items if item.id == id]
    if not found:
        raise CompanionError(f"{lesson} has no {what} {id!r}; it has {', '.join(item.id for item in items) or 'none'}.")
    return found[0]


def folder_of(name: str) -> Path:
    """The folder of a lesson's package, found without importing it."""
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
        "article": tuple(ArticleClaim(**_frozen(p)) for p in raw.pop("article", [])),
    }
    known = {f.name: f.default is MISSING for f in fields(Lesson) if f.name not in {"name", "folder", *parts}}
    wrong = (raw.keys() - known) | {key for key, needed in known.items() if needed and key not in raw}
    if wrong:
        raise CompanionError(f"lesson.toml of {name!r} must hold {sorted(known)}; it differs in {sorted(wrong)}.")
    lesson = Lesson(name=name, folder=folder, **_frozen(raw), **parts)
    missing = {"title", "authors", "venue", "year"} - lesson.paper.keys()
    if missing:
        raise CompanionError(f"lesson.toml of {name!r}: [paper] lacks {', '.join(sorted(missing))}.")
    ids = [claim.id for claim in lesson.claims] + [check.id for check in lesson.checks]
    if len(set(ids)) < len(ids):
        raise CompanionError(f"lesson.toml of {name!r} uses an id twice among {ids}.")
    strange = [id for said in lesson.article for id in (*said.claims, *said.against) if id not in ids]
    if strange:
        raise CompanionError(f"lesson.toml of {name!r}: [[article]] names {strange[0]}; there are {', '.join(ids)}.")
    return lesson


def _frozen(raw: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in raw.items()}
