"""One notebook in a process of its own: `python -m companion.course.execute NOTEBOOK OUTPUT PARAMETERS SECONDS`.

Prints one line of JSON: error, wall and CPU seconds, peak memory. The output is written after every cell, so that a
failed run leaves a notebook that shows where it failed.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from pathlib import Path
from typing import Any

import papermill
import psutil
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from papermill.exceptions import PapermillExecutionError

from companion.course.processes import used

SECONDS_TO_START = 120


def execute(notebook: Path, output: Path, parameters: dict[str, Any], seconds: int) -> str:
    """Run a notebook with papermill; returns why it failed, or nothing."""
    declared = papermill.inspect_notebook(notebook)
    absent = [name for name in parameters if name not in declared]
    if absent:
        return f"its parameters cell does not set {', '.join(absent)}"
    folder = str(notebook.parent)
    limits = {"execution_timeout": seconds, "start_timeout": SECONDS_TO_START}
    try:
        papermill.execute_notebook(
            notebook, output, parameters, kernel_name="python3", cwd=folder, progress_bar=False, **limits
        )
    except PapermillExecutionError as error:
        return f"cell {_failed_cell(output)}: {error.ename}: {error.evalue}".splitlines()[0]
    except CellTimeoutError:
        return f"a cell took longer than {seconds} s"
    except DeadKernelError:
        return "the kernel died: out of memory?"
    return ""


def _failed_cell(output: Path) -> str:
    cells = json.loads(output.read_text("utf-8"))["cells"]
    failed = [c["id"] for c in cells if any(o["output_type"] == "error" for o in c.get("outputs", []))]
    return failed[0] if failed else "unknown"


if __name__ == "__main__":
    logging.getLogger("papermill").setLevel(logging.ERROR)
    source, target, values, limit = sys.argv[1:]
    failure = execute(Path(source), Path(target), json.loads(values), int(limit))
    wall = round(time.time() - psutil.Process().create_time(), 1)
    cpu, peak = used(children=True)
    print(json.dumps({"error": failure, "wall_s": wall, "cpu_s": cpu, "peak_mb": peak}))
