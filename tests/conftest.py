"""What every test runs under: no network, one thread, no model hub; the same for every process that a test starts."""

import os
import sys
from pathlib import Path

OFFLINE = Path(__file__).parent / "offline"

os.environ["PYTHONPATH"] = os.pathsep.join([str(OFFLINE), *filter(None, [os.environ.get("PYTHONPATH")])])
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["OMP_NUM_THREADS"] = "1"

sys.path.insert(0, str(OFFLINE))
import network_denied  # noqa: E402, F401
