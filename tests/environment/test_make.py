"""make's set-up: a half-made environment is never taken as done, and each failure says what to do.

A stand-in for Python plays venv and pip, so that this takes no installation.
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PIP = "echo pip >> ../../calls\n[ ! -f ../../pip-fails ]\n"
VENV = f"""#!/bin/sh
if [ "$1" = -c ]; then exit 0; fi
echo venv >> calls
rm -rf .venv
mkdir -p .venv/bin
printf '#!/bin/sh\\ncd .venv/bin\\n%s' '{PIP}' > .venv/bin/python
chmod +x .venv/bin/python
"""


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A folder with the Makefile and what it depends on, and a stand-in for Python that writes down its calls."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy2(ROOT / name, tmp_path)
    script(tmp_path / "standin", VENV)
    return tmp_path


def script(path: Path, text: str) -> None:
    """Write an executable file."""
    path.write_text(text)
    path.chmod(0o755)


def make(house: Path, *args: str) -> tuple[int, list[str], str]:
    """Run make; return its exit status, what it called since the last time, and what it said."""
    done = subprocess.run(
        ["make", "PYTHON=./standin", *args], cwd=house, env={"PATH": os.environ["PATH"]}, capture_output=True, text=True
    )
    calls = house / "calls"
    called = list(dict.fromkeys(calls.read_text().split())) if calls.exists() else []
    calls.unlink(missing_ok=True)
    return done.returncode, called, done.stdout + done.stderr


def test_set_up_once_then_nothing_to_do(house: Path) -> None:
    assert make(house, "setup")[:2] == (0, ["venv", "pip"])
    assert make(house, "setup")[:2] == (0, [])


def test_a_half_made_environment_is_made_anew(house: Path) -> None:
    (house / "pip-fails").touch()
    assert make(house, "setup")[:2] == (2, ["venv", "pip"])
    (house / "pip-fails").unlink()
    assert make(house, "setup")[:2] == (0, ["venv", "pip"])


@pytest.mark.parametrize("changed", ["pyproject.toml", "constraints.txt"])
def test_a_changed_requirement_is_an_update_and_a_failed_update_is_half_made(house: Path, changed: str) -> None:
    make(house, "setup")
    later = (house / ".venv/.ready-cpu").stat().st_mtime + 10
    os.utime(house / changed, (later, later))
    (house / "pip-fails").touch()
    assert make(house, "setup")[:2] == (2, ["pip"])
    assert make(house, "setup")[:2] == (2, ["venv", "pip"])


def test_a_choice_of_cuda_makes_the_environment_anew_and_is_kept(house: Path) -> None:
    make(house, "setup")
    assert make(house, "setup", "TORCH=cuda")[:2] == (0, ["venv", "pip"])
    assert make(house, "setup")[:2] == (0, [])


def test_an_old_python_is_told_so_in_one_sentence(house: Path) -> None:
    old = 'exec python3 -c "import sys; sys.version_info = (3, 9, 2); exec(sys.argv[1])" "$2"'
    script(house / "standin", f"#!/bin/sh\n{old}\n")
    status, _, said = make(house, "setup")
    assert status != 0
    assert "companion needs Python 3.11 or newer, and ./standin is 3.9" in said
    assert not (house / ".venv").exists()


def test_text_without_a_notebook_says_how_to_name_one(house: Path) -> None:
    status, _, said = make(house, "text")
    assert status != 0
    assert "name a notebook, as in make text NB=notebooks/00_start_here.ipynb" in said


def test_the_binder_link_is_that_of_the_clone(house: Path) -> None:
    subprocess.run(["git", "init", "-q"], cwd=house, check=True)
    subprocess.run(["git", "remote", "add", "origin", "https://forge.invalid/who/what.git"], cwd=house, check=True)
    link = make(house, "-s", "binder")[2]
    assert link.startswith("https://mybinder.org/v2/git/https%3A%2F%2Fforge.invalid%2Fwho%2Fwhat.git/HEAD?urlpath=lab/")
