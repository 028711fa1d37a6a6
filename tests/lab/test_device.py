"""Device, threads, seeds: bad input gets one sentence, and the same seed repeats."""

import numpy as np
import pytest
import torch

from companion.errors import CompanionError
from companion.lab.device import check_seed, resolve_device, set_seed, set_threads


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


def test_a_number_of_threads_that_is_none_is_refused(monkeypatch):
    monkeypatch.setenv("COMPANION_THREADS", "two")
    with pytest.raises(CompanionError, match="COMPANION_THREADS = 'two' is no number of threads; set it to 1 or more"):
        set_threads("ci")
