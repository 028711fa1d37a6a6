"""Fetching: from a card's sources, in order, to the compact array in the cache, or to one clear sentence.

Everything happens in a workshop, a temporary folder inside the cache, which goes whatever comes: so nothing is left
half-written, and the last step is a rename.
"""

import errno
import importlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING

from companion.data import cache
from companion.data.catalog import Address, DataCard, Distribution, Source, card
from companion.errors import CompanionError

if TYPE_CHECKING:
    import numpy as np

Progress = Callable[[str], None]


class SourceError(CompanionError):
    """One source could not give the set; the next may."""


def fetch(name: str, progress: Progress | None = None) -> Path:
    """Puts a set into the cache, unless it is there whole and current, and returns its file.

    progress: is told each step in a few words.
    Raises CompanionError: one sentence that names the set, what each source said, and what to do.
    """
    chosen = card(name)
    if not chosen.sources:
        raise CompanionError(cache.how_to_bring(chosen))
    if cache.status(name) == "cached":
        return cache.path(name)
    try:
        return _fetch(chosen, progress or (lambda message: None))
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"Fetching {chosen.title} was interrupted; nothing is left half-written.") from None
    except OSError as error:
        raise CompanionError(_storage_trouble(chosen, error)) from error


def _fetch(chosen: DataCard, say: Progress) -> Path:
    cache.cache_dir().mkdir(parents=True, exist_ok=True)
    _sweep()
    answers = []
    for source in chosen.sources:
        with tempfile.TemporaryDirectory(prefix=".fetch-", dir=cache.cache_dir()) as folder:
            try:
                files = obtain(source, Path(folder), lambda message: say(f"{chosen.title}: {message}"))
            except SourceError as error:
                answers.append(f"{source.label} said: {error}")
                continue
            say(f"{chosen.title}: reducing")
            return cache.store(chosen, _reduce(chosen, files), Path(folder))
    raise CompanionError(
        f"{chosen.title} could not be fetched ({'; '.join(answers)}); check the network and the package index's "
        f"settings, then run `python -m companion data fetch {chosen.name}` again."
    )


def _sweep() -> None:
    """Clears workshops older than a day: a process that was killed outright could not do it itself."""
    for workshop in cache.cache_dir().glob(".fetch-*"):
        if time.time() - workshop.stat().st_mtime > 86_400:
            shutil.rmtree(workshop, ignore_errors=True)


def obtain(source: Distribution | Address, workshop: Path, say: Progress) -> dict[str, Path]:
    """Downloads a source, checks it, and returns its members by their last name, checked; the archive goes."""
    say(f"downloading {source.label}")
    archive = download(source, workshop)
    say("checking")
    found = cache.sha256(archive)
    if found != source.sha256:
        raise SourceError(f"the file came cut short or changed (sha256 {found[:12]}…, expected {source.sha256[:12]}…)")
    files = extract(source, archive, workshop)
    archive.unlink()
    return files


def download(source: Distribution | Address, workshop: Path) -> Path:
    """The archive of a source, in the workshop; the one function of this module that talks to the network."""
    return _pip_download(source, workshop) if isinstance(source, Distribution) else _pooch_download(source, workshop)


def _pip_download(source: Distribution, workshop: Path) -> Path:
    """Through pip, so that the user's index settings hold; the hash in the requirement is checked before pip looks in.

    pip reads an sdist's metadata, which runs the archive's own set-up file: hence the hash first.
    """
    requirement, into = workshop / "requirement.txt", workshop / "download"
    requirement.write_text(f"{source.distribution}=={source.version} --hash=sha256:{source.sha256}\n")
    binary = "--no-binary" if source.form == "sdist" else "--only-binary"
    options = ["--no-deps", "--no-input", "--no-cache-dir", "--progress-bar=off", "--disable-pip-version-check"]
    command = [sys.executable, "-m", "pip", "download", *options, binary, source.distribution]
    done = subprocess.run(
        [*command, "--dest", str(into), "--requirement", str(requirement)],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, env=os.environ | {"TMPDIR": str(workshop)},
    )  # fmt: skip
    if done.returncode:
        raise _pip_trouble(source, done.stderr)
    return next(into.iterdir())


def _pip_trouble(source: Distribution, stderr: str) -> Exception:
    if "No space left on device" in stderr:
        return OSError(errno.ENOSPC, "No space left on device")
    if "No module named pip" in stderr:
        return SourceError("this Python has no pip (python -m ensurepip brings it)")
    if "DO NOT MATCH THE HASHES" in stderr:
        return SourceError("the file came cut short or changed (its sha256 is not the expected one)")
    if "No matching distribution" in stderr:
        return SourceError(f"pip finds no {source.distribution} {source.version} (no network, or not on the index)")
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    errors = [line for line in lines if line.lower().startswith("error")] or lines[-1:] or ["pip gave no reason"]
    return SourceError(errors[0].removeprefix("ERROR: "))


def _pooch_download(source: Address, workshop: Path) -> Path:
    """The canonical address, then its mirrors."""
    import pooch

    pooch.get_logger().setLevel("ERROR")
    for url in source.urls:
        name = PurePosixPath(url).name
        try:
            return Path(pooch.retrieve(url, f"sha256:{source.sha256}", fname=name, path=workshop / "download"))
        except ValueError:
            trouble = "the file came cut short or changed (its sha256 is not the expected one)"
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS):
                raise
            trouble = f"it could not be reached ({type(error).__name__})"
    raise SourceError(trouble)


def extract(source: Source, archive: Path, workshop: Path) -> dict[str, Path]:
    """The members of a source's archive by their last name, checked, in the workshop."""
    files = {}
    for member, expected in source.members.items():
        file = _extract_member(archive, member, workshop)
        if expected and cache.sha256(file) != expected:
            raise SourceError(f"{member} in {archive.name} is not the expected file (its sha256 is wrong)")
        files[file.name] = file
    return files


def _extract_member(archive: Path, member: str, workshop: Path) -> Path:
    target = workshop / PurePosixPath(member).name
    try:
        with _open_member(archive, member) as content, target.open("wb") as out:
            shutil.copyfileobj(content, out)
    except KeyError:
        raise SourceError(f"{archive.name} has no {member}") from None
    except (tarfile.TarError, zipfile.BadZipFile, EOFError):
        raise SourceError(f"{archive.name} is no whole zip or tar archive") from None
    return target


@contextmanager
def _open_member(archive: Path, member: str) -> Iterator[IO[bytes]]:
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as zipped, zipped.open(member) as content:
            yield content
    else:
        with tarfile.open(archive) as tarred:
            entry = tarred.extractfile(member)
            if entry is None:
                raise KeyError(member)
            yield entry


def _reduce(chosen: DataCard, files: Mapping[str, Path]) -> "Mapping[str, np.ndarray]":
    """The set's builder at work; a builder that stumbles over checked files is a defect of ours, and said so."""
    module, function = chosen.builder.split(":")
    builder = getattr(importlib.import_module(f"companion.data.{module}"), function)
    try:
        return builder(files)
    except Exception as error:
        raise CompanionError(
            f"{chosen.title} was downloaded but could not be reduced ({type(error).__name__}: {error}); "
            "this is a defect of companion: please report it."
        ) from error


def _storage_trouble(chosen: DataCard, error: OSError) -> str:
    folder = cache.cache_dir()
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"{chosen.title} could not be stored, the disk of {folder} is full; free some space and fetch it again."
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return (
            f"{chosen.title} could not be stored, {folder} cannot be written; make it writable, or set COMPANION_DATA "
            "to a folder that is."
        )
    return f"{chosen.title} could not be stored in {folder} ({error}); set COMPANION_DATA to another folder."
