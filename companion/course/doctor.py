"""The doctor: is this machine ready for the course, and if not, what to do about it."""

from __future__ import annotations

import os
import shutil
import sys
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import psutil
from packaging.requirements import Requirement

from companion import data
from companion.course import lessons as syllabus
from companion.course.lessons import repository
from companion.errors import CompanionError

PYTHON = (3, 11)
FREE_DISK_MB = 1000
NEEDED_MB = 1500


@dataclass(frozen=True)
class Finding:
    """One thing looked at. A remedy makes it a problem; without one it is a fact."""

    subject: str
    state: str
    remedy: str = ""


def examine() -> list[Finding]:
    """Look at everything; a few seconds."""
    checks: list[Callable[[], Iterator[Finding]]] = [
        _python,
        _packages,
        _kernel,
        _cores,
        _memory,
        _disk,
        _device,
        _data,
    ]
    return [finding for check in checks for finding in check()]


def _python() -> Iterator[Finding]:
    remedy = "" if sys.version_info >= PYTHON else "install Python 3.11 or newer and make the environment anew"
    yield Finding("python", sys.version.split()[0], remedy)


def _packages() -> Iterator[Finding]:
    there = {_plain(d.metadata["Name"]): d.version for d in metadata.distributions() if d.metadata["Name"]}
    wanted = [r for r in _requirements() if not r.marker or r.marker.evaluate({"extra": ""})]
    for need in wanted:
        version = there.get(_plain(need.name))
        if version is None or not need.specifier.contains(version, prereleases=True):
            state = f"{need.name} {version or 'missing'}, needed: {need}"
            yield Finding("packages", state, _pip(f'"{need}"'))
    lock = repository() / "constraints.txt"
    if lock.is_file():
        differ = [f"{n} {there[n]} (lock: {v})" for n, v in _locked(lock) if n in there and _public(there[n]) != v]
        yield Finding(
            "lock",
            f"{len(differ)} packages differ from constraints.txt: {', '.join(differ)}" if differ else "as tested",
        )


def _requirements() -> list[Requirement]:
    project = repository() / "pyproject.toml"
    if project.is_file():
        texts = tomllib.loads(project.read_text("utf-8"))["project"]["dependencies"]
    else:
        texts = metadata.requires("companion") or []
    return [Requirement(text) for text in texts]


def _locked(lock: Path) -> list[tuple[str, str]]:
    lines = [line.split("#")[0].strip() for line in lock.read_text("utf-8").splitlines()]
    return [(_plain(name), version) for name, _, version in (line.partition("==") for line in lines) if version]


def _kernel() -> Iterator[Finding]:
    from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel

    remedy = f"run `{sys.executable} -m ipykernel install --sys-prefix`"
    try:
        program = KernelSpecManager().get_kernel_spec("python3").argv[0]
    except NoSuchKernel:
        yield Finding("kernel", "Jupyter knows no kernel python3", remedy)
        return
    ours = os.sep not in program or Path(program).parent.absolute() == Path(sys.executable).parent.absolute()
    state = "python3 is this Python" if ours else f"python3 is another Python: {program}"
    yield Finding("kernel", state, "" if ours else remedy)


def _cores() -> Iterator[Finding]:
    import joblib

    threads = os.environ.get("OMP_NUM_THREADS", "not set; lessons use 1")
    yield Finding("cores", f"{joblib.cpu_count()} granted; OMP_NUM_THREADS {threads}")


def _memory() -> Iterator[Finding]:
    needed = max((lesson.budget.memory_mb for lesson in syllabus.lessons()), default=NEEDED_MB)
    limit = int(os.environ.get("MEM_LIMIT") or 0)
    free = min(psutil.virtual_memory().available, limit or sys.maxsize) // 2**20
    remedy = "" if free >= needed else "close other programs and shut down other kernels"
    yield Finding("memory", f"{free} MB free, {needed} MB needed by the largest lesson", remedy)


def _disk() -> Iterator[Finding]:
    cache = data.cache_dir()
    place = next(folder for folder in (cache, *cache.absolute().parents) if folder.is_dir())
    free = shutil.disk_usage(place).free // 2**20
    remedy = "" if free >= FREE_DISK_MB else "make room, or move the cache with COMPANION_DATA"
    yield Finding("disk", f"{free} MB free where the data go ({cache})", remedy)


def _device() -> Iterator[Finding]:
    try:
        import torch
    except (ImportError, OSError) as error:
        yield Finding("torch", f"cannot be imported: {error}", _pip("--force-reinstall torch"))
        return
    kinds = f"torch {torch.__version__}"
    if torch.cuda.is_available():
        free, total = torch.cuda.mem_get_info()
        yield Finding("device", f"{kinds}, {torch.cuda.get_device_name()}, {free // 2**20} of {total // 2**20} MB free")
    else:
        yield Finding("device", f"{kinds}, no CUDA device: lessons run on the CPU, as they are made to")


def _data() -> Iterator[Finding]:
    for name, card in data.cards().items():
        try:
            state, remedy = data.status(name), ""
            if state in ("corrupt", "outdated") or (state == "missing" and card.tier == "base"):
                remedy = f"run `python -m companion data fetch {name}`"
        except (CompanionError, OSError) as error:
            state, remedy = f"unreadable: {error}", "move the cache with COMPANION_DATA"  # type: ignore[assignment]
        optional = "" if card.tier == "base" else f" (optional: {card.tier})"
        yield Finding(f"data {name}", state + optional, remedy)


def _pip(what: str) -> str:
    return f"run `{sys.executable} -m pip install {what}`"


def _plain(name: str) -> str:
    return name.lower().replace("_", "-").replace(".", "-")


def _public(version: str) -> str:
    return version.partition("+")[0]
