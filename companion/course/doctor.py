"""The doctor: is this machine ready for the course, and if not, what to do about it."""

from __future__ import annotations

import os
import shutil
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from companion import data
from companion.course import lessons
from companion.errors import CompanionError
from companion.lab.runtime import free_memory_mb, memory_limit_mb

PYTHON = (3, 11)
FREE_DISK_MB = 1000
NEEDED_MB = 1500


@dataclass(frozen=True)
class Finding:
    """One thing examined. With a remedy it is a problem, without one a fact."""

    subject: str
    state: str
    remedy: str = ""


def examine() -> list[Finding]:
    """Examine everything; a few seconds."""
    checks = (_python, _packages, _kernel, _cores, _memory, _disk, _device, _data)
    return [finding for check in checks for finding in check()]


def _python() -> Iterator[Finding]:
    remedy = "" if sys.version_info >= PYTHON else "install Python 3.11 or newer and create the environment again"
    yield Finding("python", sys.version.split()[0], remedy)


def _packages() -> Iterator[Finding]:
    there = {canonicalize_name(d.metadata["Name"]): d.version for d in metadata.distributions() if d.metadata["Name"]}
    project = lessons.repository() / "pyproject.toml"
    texts = metadata.requires("companion") or [] if not project.is_file() else (
        tomllib.loads(project.read_text("utf-8"))["project"]["dependencies"]
    )  # fmt: skip
    for need in map(Requirement, texts):
        version = there.get(canonicalize_name(need.name))
        wanted = not need.marker or need.marker.evaluate({"extra": ""})
        if wanted and (version is None or not need.specifier.contains(version, prereleases=True)):
            yield Finding("packages", f"{need.name} {version or 'missing'}, needed: {need}", _pip(f'"{need}"'))
    lock = lessons.repository() / "constraints.txt"
    if lock.is_file():
        pairs = [line.split("#")[0].strip().partition("==") for line in lock.read_text("utf-8").splitlines()]
        locked = {canonicalize_name(name): version for name, _, version in pairs if version}
        differ = [
            f"{name} {there[name]} (lock: {version})"
            for name, version in locked.items()
            if name in there and there[name].partition("+")[0] != version
        ]
        found = f"{len(differ)} packages differ from constraints.txt: {', '.join(differ)}"
        yield Finding("lock", found if differ else "as tested")


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
    yield Finding("cores", f"{joblib.cpu_count()} available; OMP_NUM_THREADS {threads}")


def _memory() -> Iterator[Finding]:
    import psutil

    needed = max((lesson.budget.memory_mb for lesson in lessons.lessons()), default=NEEDED_MB)
    free, limit = min(free_memory_mb(), psutil.virtual_memory().available // 2**20), memory_limit_mb()
    remedy = "" if free >= needed else "close other programs and shut down other kernels"
    yield Finding("memory", f"{free} MB free of {limit} MB allowed, {needed} MB needed by the largest lesson", remedy)


def _disk() -> Iterator[Finding]:
    cache = data.cache_dir()
    place = next(folder for folder in (cache, *cache.absolute().parents) if folder.is_dir())
    free = shutil.disk_usage(place).free // 2**20
    remedy = "" if free >= FREE_DISK_MB else "free some space, or move the cache with COMPANION_DATA"
    yield Finding("disk", f"{free} MB free where the data go ({cache})", remedy)


def _device() -> Iterator[Finding]:
    try:
        import torch
    except (ImportError, OSError) as error:
        yield Finding("torch", f"cannot be imported: {error}", _pip("--force-reinstall torch"))
        return
    state = f"torch {torch.__version__}, no CUDA device; every lesson runs on the CPU"
    if torch.cuda.is_available():
        free, total = (size // 2**20 for size in torch.cuda.mem_get_info())
        state = f"torch {torch.__version__}, {torch.cuda.get_device_name()}, {free} of {total} MB free"
    yield Finding("device", state)


def _data() -> Iterator[Finding]:
    for name, card in data.cards().items():
        needed, state, remedy = card.tier == "base", "unreadable", "move the cache with COMPANION_DATA"
        try:
            state = data.status(name)
            bad = state in ("corrupt", "outdated") or (state == "missing" and needed)
            remedy = f"run `python -m companion data fetch {name}`" if bad else ""
        except (CompanionError, OSError) as error:
            state = f"unreadable: {error}"
        yield Finding(f"data {name}", state + ("" if needed else f" (optional: {card.tier})"), remedy)


def _pip(what: str) -> str:
    return f"run `{sys.executable} -m pip install {what}`"
