"""Device, threads, seeds: bad input gets one sentence, and the same seed repeats."""

import importlib
import os

import numpy as np
import pytest
import torch

from companion.errors import CompanionError
from companion.lab.runtime import (
    call_seconds,
    cgroup_limits,
    check_seed,
    memory_limit_mb,
    peak_megabytes,
    resolve_device,
    runtime_by_size,
    set_seed,
    set_threads,
)


@pytest.mark.parametrize("device", ["gpu", "", "tpu:0"])
def test_unknown_device(device):
    with pytest.raises(CompanionError, match="use one of auto, cpu, cuda, mps"):
        resolve_device(device)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
def test_absent_device():
    with pytest.raises(CompanionError, match='use "cpu" or "auto"'):
        resolve_device("cuda")
    assert resolve_device("auto") == torch.device("cpu")


@pytest.mark.parametrize("seed", [1.5, "0", None, -1, True, float("nan")])
def test_what_is_no_seed(seed):
    with pytest.raises(CompanionError, match="whole number"):
        check_seed(seed)


def draw(seed):
    set_seed(seed)
    return torch.rand(3).tolist() + np.random.rand(3).tolist()


def test_same_seed_repeats_and_another_differs():
    assert draw(3) == draw(3)
    assert draw(3) != draw(4)


def test_one_thread_below_paper_scale(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # so that what the test writes there is gone after it
    monkeypatch.delenv("COMPANION_THREADS", raising=False)
    before = torch.get_num_threads()
    try:
        assert {set_threads(scale) for scale in ("ci", "laptop", "study")} == {1}
        assert set_threads("paper") >= 1
        monkeypatch.setenv("COMPANION_THREADS", "2")
        assert set_threads("ci") == torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_each_size_is_measured_in_a_process_of_its_own(tmp_path, monkeypatch):
    (tmp_path / "planted.py").write_text(
        "import os\ndef cost(n, m):\n    return {'one call': float(n * m), 'peak memory': float(os.getpid())}\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    rows = runtime_by_size(importlib.import_module("planted").cost, {"2 x 3": (2, 3), "4 x 5": (4, 5)}, seed=7)
    assert [(row.metric, row.method, row.setting, row.seed) for row in rows] == [
        (metric, method, setting, 7)
        for setting in ("2 x 3", "4 x 5")
        for metric, method in (("CPU seconds", "one call"), ("megabytes", "peak memory"))
    ]
    assert [row.value for row in rows[::2]] == [6.0, 20.0]
    assert len({os.getpid(), *(row.value for row in rows[1::2])}) == 3


def test_a_call_costs_and_what_was_held_stays_the_peak():
    before = peak_megabytes()
    assert 0 < call_seconds(lambda: torch.ones(10**7), torch.device("cpu")) < 5
    assert before <= peak_megabytes() < 20_000


def test_a_number_of_threads_that_is_none_is_refused(monkeypatch):
    monkeypatch.setenv("COMPANION_THREADS", "two")
    with pytest.raises(CompanionError, match="COMPANION_THREADS = 'two' is no number of threads; set it to 1 or more"):
        set_threads("ci")


def write(root, path, text):
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")


def test_the_limit_of_a_container_is_read_in_both_versions(tmp_path):
    v2, v1, own = tmp_path / "v2", tmp_path / "v1", tmp_path / "own"
    write(v2, "pod/memory.max", "2147483648\n")
    write(v2, "memory.max", "max\n")
    own.write_text("0::/pod/box\n", encoding="utf-8")
    assert cgroup_limits(v2, own) == [2147483648]
    write(v1, "memory/docker/memory.limit_in_bytes", "1073741824\n")
    write(v1, "memory/memory.limit_in_bytes", "9223372036854771712\n")  # how version 1 writes "no limit"
    own.write_text("5:cpu,cpuacct:/docker\n4:memory:/docker\n", encoding="utf-8")
    assert cgroup_limits(v1, own) == [1073741824]
    assert cgroup_limits(tmp_path / "none", tmp_path / "absent") == []


def test_the_least_limit_counts(monkeypatch):
    monkeypatch.setattr("companion.lab.runtime.cgroup_limits", lambda: [512 * 2**20])
    assert memory_limit_mb() == 512
    monkeypatch.setenv("MEM_LIMIT", str(256 * 2**20))
    assert memory_limit_mb() == 256
