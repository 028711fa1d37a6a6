"""The cache: one compact array a set, and beside it a stamp that tells whether it is whole and current."""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import platformdirs

from companion.data.catalog import DataCard, card
from companion.errors import CompanionError, DataMissing

if TYPE_CHECKING:
    import numpy as np

Status = Literal["cached", "missing", "corrupt", "outdated"]

_TROUBLE = {
    "missing": "is not in the cache",
    "corrupt": "is damaged in the cache (its hash is wrong)",
    "outdated": "is in the cache as an older version made it",
}


def cache_dir() -> Path:
    """The folder of the compact arrays: `COMPANION_DATA`, or the user's cache folder."""
    return Path(os.environ.get("COMPANION_DATA") or platformdirs.user_cache_dir("companion", appauthor=False))


def real_dir() -> Path | None:
    """The folder with the user's own copies of the papers' data (`COMPANION_REAL`), or None where there is none."""
    folder = os.environ.get("COMPANION_REAL")
    return Path(folder) if folder and Path(folder).is_dir() else None


def sha256(file: Path) -> str:
    """The sha256 of a file, in hexadecimal."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def status(name: str) -> Status:
    """Whether a set is cached, missing, corrupt (bytes changed) or outdated (its card changed).

    A set that is not fetched but brought by the user is "cached" when its folder stands under `COMPANION_REAL`.
    """
    chosen = card(name)
    return _judge_fetched(chosen) if chosen.sources else _judge_brought(chosen)


def _judge_brought(chosen: DataCard) -> Status:
    folder = real_dir()
    if folder is None or not (folder / chosen.name).is_dir():
        return "missing"
    known = {folder / chosen.name / file: expected for file, expected in chosen.files.items()}
    changed = any(file.is_file() and sha256(file) != expected for file, expected in known.items())
    return "corrupt" if changed else "cached"


def _judge_fetched(chosen: DataCard) -> Status:
    file = cache_dir() / chosen.cache_file
    if not file.is_file():
        return "missing"
    try:
        stamp = json.loads(_stamp_of(file).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return "corrupt"
    if stamp.get("card") != chosen.fingerprint:
        return "outdated"
    return "cached" if stamp.get("sha256") == sha256(file) else "corrupt"


def verify(name: str) -> None:
    """Raises one sentence that says what to do unless the set is cached, whole and current."""
    state, chosen = status(name), card(name)
    if state == "cached":
        return
    if not chosen.sources:
        changed = f"{chosen.title} has files that are not the published ones. " if state == "corrupt" else ""
        raise (DataMissing if state == "missing" else CompanionError)(changed + how_to_bring(chosen))
    raise CompanionError(f"{chosen.title} {_TROUBLE[state]}; run `python -m companion data fetch {name}`.")


def how_to_bring(chosen: DataCard) -> str:
    """The sentence for a set that stays with its publisher."""
    return (
        f"{chosen.title} is not fetched but brought by you: set COMPANION_REAL to a folder that holds "
        f"{chosen.name}/ (see {chosen.homepage})."
    )


def path(name: str) -> Path:
    """The compact array of a set (or the folder of a set that the user brings), verified."""
    verify(name)
    chosen, folder = card(name), real_dir()
    if not chosen.sources and folder:
        return folder / name
    return cache_dir() / chosen.cache_file


def brought(name: str, file: str) -> Path:
    """One file of a set that is a folder, as those are that the user brings; an error says where to get it."""
    found = path(name) / file
    if not found.is_file():
        raise DataMissing(f"{card(name).title} lacks the file {file}; get it from {card(name).homepage}.")
    return found


def store(chosen: DataCard, arrays: Mapping[str, "np.ndarray"], workshop: Path) -> Path:
    """Writes the compact array and its stamp: whole in the workshop (a folder of the cache), then moved in one step."""
    import numpy as np

    target, fresh = cache_dir() / chosen.cache_file, workshop / chosen.cache_file
    np.savez_compressed(fresh, allow_pickle=False, **arrays)
    stamp = {"card": chosen.fingerprint, "sha256": sha256(fresh), "bytes": fresh.stat().st_size}
    _stamp_of(fresh).write_text(json.dumps(stamp, indent=1), encoding="utf-8")
    _stamp_of(fresh).replace(_stamp_of(target))
    return fresh.replace(target)


def _stamp_of(file: Path) -> Path:
    return file.with_suffix(".json")
