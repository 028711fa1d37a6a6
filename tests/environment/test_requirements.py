"""pyproject.toml, the lock and the environment that runs this test agree with one another."""

import re
import tomllib
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
BASE = [Requirement(line) for line in PROJECT["dependencies"]]
DEV = [Requirement(line) for line in PROJECT["optional-dependencies"]["dev"]]
PINS = {
    canonicalize_name(name): pin
    for name, pin in re.findall(r"^([\w.-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
}


def public_version(name: str) -> str | None:
    """The installed version of a distribution without its build ("+cpu"), or None."""
    try:
        return Version(version(name)).public
    except PackageNotFoundError:
        return None


def needed_here(requirement: Requirement) -> bool:
    """Say whether a requirement applies to this platform, extras left out."""
    return requirement.marker is None or requirement.marker.evaluate({"extra": ""})


def closure(roots: list[Requirement]) -> set[str]:
    """The names of everything that an installation of the roots brings along here."""
    todo, seen = [canonicalize_name(root.name) for root in roots], set[str]()
    while todo:
        name = todo.pop()
        if name not in seen and public_version(name):
            seen.add(name)
            below = (Requirement(line) for line in requires(name) or [])
            todo += [canonicalize_name(one.name) for one in below if needed_here(one)]
    return seen


@pytest.mark.parametrize("requirement", BASE + DEV, ids=lambda one: one.name)
def test_a_requirement_is_installed_pinned_and_in_range(requirement: Requirement) -> None:
    pin = PINS.get(canonicalize_name(requirement.name))
    assert pin is not None, f"{requirement.name} stands in pyproject.toml and not in constraints.txt: run make lock"
    assert public_version(requirement.name) == pin, "this environment is not the locked one: run make setup"
    assert requirement.specifier.contains(pin), f"constraints.txt pins {pin}, pyproject.toml wants {requirement}"


def test_the_lock_agrees_with_what_is_installed() -> None:
    installed = {name: public_version(name) for name in PINS}
    wrong = [f"{name}: {got}, locked {PINS[name]}" for name, got in installed.items() if got not in (None, PINS[name])]
    assert not wrong, "this environment is not the locked one (run make setup): " + "; ".join(wrong)


def test_the_lock_leaves_nothing_open() -> None:
    open_ends = closure(BASE + DEV) - PINS.keys() - {"pip", "setuptools", "wheel"}
    assert not open_ends, f"constraints.txt does not pin {sorted(open_ends)}: run make lock"


def test_the_lock_takes_either_build_of_torch() -> None:
    assert "+" not in "".join(PINS.values()), "a pin with a build tag can only be installed where that build is served"


def test_the_citation_names_this_version() -> None:
    import companion

    assert f"version: {companion.__version__}\n" in (ROOT / "CITATION.cff").read_text()
