"""What every test runs under: no network, one thread, no model hub; the same for every process that a test starts."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

OFFLINE, SHARED = (Path(__file__).parent / folder for folder in ("offline", "shared"))

os.environ["PYTHONPATH"] = os.pathsep.join([str(OFFLINE), *filter(None, [os.environ.get("PYTHONPATH")])])
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["OMP_NUM_THREADS"] = "1"

sys.path.insert(0, str(OFFLINE))
sys.path.insert(0, str(SHARED))
import network_denied  # noqa: E402, F401


@pytest.fixture(autouse=True)
def no_figure_is_left_open() -> Iterator[None]:
    """Pyplot keeps every open figure, and warns, in some later test, when they are many."""
    yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")
