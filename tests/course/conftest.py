"""The fixtures of the tiny course."""

from tiny_course import executed_notebook, executed_once, tiny_course, tiny_notebook

__all__ = ["executed_notebook", "executed_once", "tiny_course", "tiny_notebook"]
