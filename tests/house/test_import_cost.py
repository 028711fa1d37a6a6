"""`import companion` costs next to nothing."""

import subprocess
import sys

CLOCK = """
import sys, time
before = time.process_time()
import companion
seconds = time.process_time() - before
print(seconds, "torch" in sys.modules, [name for name in sys.modules if name.startswith("companion")])
"""


def test_import_companion_is_light() -> None:
    def once() -> tuple[float, str]:
        seconds, rest = subprocess.check_output([sys.executable, "-c", CLOCK], text=True).strip().split(" ", 1)
        return float(seconds), rest

    runs = [once() for _ in range(3)]  # the best of three, in the processor's own time: machines are shared
    assert min(seconds for seconds, _ in runs) < 0.1
    assert {rest for _, rest in runs} == {"False ['companion']"}, (
        "import companion brought torch, or another of its modules"
    )
