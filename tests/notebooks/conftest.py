"""The fixtures of the tiny course, and the modules of this folder by their names."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from tiny_course import executed_notebook, executed_once, tiny_course, tiny_notebook

__all__ = ["executed_notebook", "executed_once", "tiny_course", "tiny_notebook"]
