"""The doctor: quick, with a remedy for each problem, and aware of a container's memory limit."""

from __future__ import annotations

import time
from importlib import metadata
from pathlib import Path

import pytest

from companion.course import cli, doctor
from companion.lab import runtime


def call(*arguments: str, code: int = 0) -> None:
    """Run a command and check its exit code."""
    with pytest.raises(SystemExit) as ended:
        cli.main(list(arguments))
    assert ended.value.code == code


def test_the_doctor_is_quick_and_names_a_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setenv("COMPANION_DATA", str(tmp_path))
    began = time.process_time()
    call("doctor", code=1)
    assert time.process_time() - began < 5
    printed = capsys.readouterr().out
    assert "PROBLEM data wordnet: missing -> run `python -m companion data fetch wordnet`" in printed
    call("doctor", "--json", code=1)
    assert '"remedy"' in capsys.readouterr().out


@pytest.mark.parametrize(
    ("own", "files", "limit_mb"),
    [
        ("0::/box\n", {"box/memory.max": "max", "memory.max": "629145600"}, 600),  # version 2: the group above limits
        ("0::/\n", {"memory.max": "734003200"}, 700),  # version 2 inside a container: the group is the root
        ("5:cpu,memory:/box\n", {"memory/box/memory.limit_in_bytes": "524288000"}, 500),  # version 1
        ("5:memory:/box\n", {"memory/box/memory.limit_in_bytes": "9223372036854771712"}, None),  # version 1, no limit
        ("0::/box\n", {"box/memory.max": "max"}, None),
        ("", {}, None),
    ],
)
def test_the_limit_of_a_container_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own: str, files: dict[str, str], limit_mb: int | None
) -> None:
    root, group = tmp_path / "cgroup", tmp_path / "own"
    group.write_text(own)
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text + "\n")
    limits = runtime.cgroup_limits(root, group)
    assert (min(limits) // 2**20 if limits else None) == limit_mb
    monkeypatch.setattr(runtime, "cgroup_limits", lambda: limits)
    monkeypatch.delenv("MEM_LIMIT", raising=False)
    (memory,) = doctor._memory()
    if limit_mb:
        assert f"of {limit_mb} MB allowed" in memory.state
        assert memory.remedy == "close other programs and shut down other kernels"


def test_the_limit_of_a_hub_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEM_LIMIT", str(450 * 2**20))
    (memory,) = doctor._memory()
    assert "of 450 MB allowed" in memory.state
    assert memory.remedy


def test_a_missing_package_has_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    there = [d for d in metadata.distributions() if d.metadata["Name"] != "papermill"]
    monkeypatch.setattr(doctor.metadata, "distributions", lambda: there)
    problems = [finding for finding in doctor._packages() if finding.remedy]
    assert len(problems) == 1
    assert problems[0].state.startswith("papermill missing, needed: papermill")
    assert '-m pip install "papermill' in problems[0].remedy
