"""environment.yml and binder/ do what conda and Binder need, as far as can be seen without those services."""

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
import yaml
from rattler import MatchSpec, VersionSpec
from rattler import Version as CondaVersion

ROOT = Path(__file__).parents[2]
BINDER = ROOT / "binder"
SCRIPTS = Path(sysconfig.get_path("scripts"))


def specs(path: Path) -> tuple[list[str], list[str]]:
    """The conda lines and the pip lines of an environment file."""
    lines = yaml.safe_load(path.read_text())["dependencies"]
    conda, (nested,) = (
        [line for line in lines if isinstance(line, str)],
        [one for one in lines if isinstance(one, dict)],
    )
    return conda, nested["pip"]


@pytest.fixture(scope="module")
def recipe() -> str:
    """What repo2docker would build this repository from."""
    command = [SCRIPTS / "jupyter-repo2docker", "--no-build", "--debug", ROOT]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout


def test_binder_builds_our_environment_and_runs_our_scripts(recipe: str) -> None:
    assert 'env update -p ${NB_PYTHON_PREFIX} --file "binder/environment.yml"' in recipe
    assert "environment-2epy-2d3-2e11-2dlinux-2d64-2elock" in recipe, "the base is not Python 3.11"
    assert "RUN ./binder/postBuild" in recipe
    assert 'ENV R2D_ENTRYPOINT="${REPO_DIR}/binder/start"' in recipe


def test_the_two_environment_files_are_twins() -> None:
    root, twin = (yaml.safe_load(path.read_text()) for path in (ROOT / "environment.yml", BINDER / "environment.yml"))
    at_root = {"-c ../constraints.txt": "-c constraints.txt", "-e ..": "-e ."}
    *_, pip = twin["dependencies"]
    pip["pip"] = [at_root.get(line, line) for line in pip["pip"]]
    assert twin == root


@pytest.mark.parametrize("path", [ROOT / "environment.yml", BINDER / "environment.yml"], ids=["conda", "binder"])
def test_conda_lines_match_what_the_tests_run_on(path: Path) -> None:
    running = {"python": ".".join(map(str, sys.version_info[:3])), "pip": None}
    for line in specs(path)[0]:
        spec = MatchSpec(line)
        tested = running[spec.name.normalized]
        if spec.version is not None and sys.version_info[:2] == (3, 11):
            assert VersionSpec(spec.version).matches(CondaVersion(tested)), f"{line} is not what runs here, {tested}"


@pytest.mark.parametrize("path", [ROOT / "environment.yml", BINDER / "environment.yml"], ids=["conda", "binder"])
def test_pip_lines_install_this_package_under_the_lock(path: Path) -> None:
    options = dict(line.split(" ", 1) for line in specs(path)[1])
    assert (path.parent / options["-c"]).resolve() == ROOT / "constraints.txt"
    assert (path.parent / options["-e"]).resolve() == ROOT
    assert options["--extra-index-url"].endswith("/cpu"), "without the CPU index the image would hold CUDA"


def run_script(name: str, *args: str, home: Path) -> subprocess.CompletedProcess[str]:
    """Run one of Binder's scripts from the repository's folder, with nothing of this user's but the cached data."""
    from companion.data import cache_dir

    keep = {"PYTHONPATH": os.environ["PYTHONPATH"], "COMPANION_DATA": str(cache_dir())}
    fresh = {"HOME": str(home), "NB_PYTHON_PREFIX": str(home / "prefix"), "PATH": f"{SCRIPTS}:/usr/bin:/bin"}
    return subprocess.run(
        [BINDER / name, *args], cwd=ROOT, env=keep | fresh, capture_output=True, text=True, timeout=240
    )


def test_post_build_runs_in_a_clean_environment(tmp_path: Path) -> None:
    done = run_script("postBuild", home=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    overrides = json.loads((tmp_path / "prefix/share/jupyter/lab/settings/overrides.json").read_text())
    assert overrides["@jupyterlab/apputils-extension:notification"]["fetchNews"] == "false"
    assert "Signing notebook: notebooks/00_start_here.ipynb" in done.stdout + done.stderr


def test_start_hands_on_the_command_with_one_thread(tmp_path: Path) -> None:
    done = run_script("start", "bash", "-c", 'echo "$OMP_NUM_THREADS $0 $1"', "a b", "c", home=tmp_path)
    assert done.stdout == "1 a b c\n"


@pytest.mark.parametrize("script", ["binder/postBuild", "binder/start", ".ci/run"])
def test_scripts_are_executable_and_sound(script: str) -> None:
    mode = subprocess.run(["git", "ls-files", "-s", script], cwd=ROOT, capture_output=True, text=True).stdout[:6]
    assert mode in ("", "100755"), f"git holds {script} as {mode}: git update-index --chmod=+x {script}"
    assert os.access(ROOT / script, os.X_OK)
    found = subprocess.run([SCRIPTS / "shellcheck", ROOT / script], capture_output=True, text=True)
    assert found.returncode == 0, found.stdout


def test_binder_has_a_page_to_land_on() -> None:
    assert (ROOT / "notebooks/00_start_here.ipynb").is_file()
