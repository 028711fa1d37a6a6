"""Exercises that check themselves: "not attempted", "not yet: because ...", or "right"."""

from __future__ import annotations

import functools
import inspect
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

NOT_ATTEMPTED, NOT_YET, RIGHT = "not attempted", "not yet", "right"


class NotYet(Exception):
    """Raised by a check; its message says what is wrong with the answer, never what the answer is."""


class _NotAttempted(Exception):
    """The answer is still the stub."""


@dataclass(frozen=True)
class Exercise:
    """One exercise.

    `check(answer)` returns if the answer is right and raises NotYet if not; `solution` is a reference answer. The
    statement stands in the notebook, and plausible wrong answers in the tests.
    """

    id: str
    title: str
    stars: int
    minutes: int
    check: Callable[[Any], None]
    hints: tuple[str, ...]
    solution: Any
    function: bool = True

    @property
    def heading(self) -> str:
        """The line that stands above the statement in the notebook."""
        return f"{self.id} · {self.title} · {'★' * self.stars} · {self.minutes} minutes"


@dataclass(frozen=True)
class Outcome:
    """The state of an answer, and why."""

    state: str
    reason: str = ""

    def __str__(self) -> str:
        return f"{self.state}: {self.reason}" if self.reason else self.state


def examine(exercise: Exercise, answer: Any) -> Outcome:
    """Check an answer; never raises, whatever the answer does (an interrupt from the keyboard excepted)."""
    if answer is ... or answer is None:
        return Outcome(NOT_ATTEMPTED)
    if exercise.function and not callable(answer):
        return Outcome(NOT_YET, f"the answer must be a function, and this is {_describe(answer)}.")
    if not exercise.function and callable(answer):
        return Outcome(NOT_YET, "the answer must be a value, and this is a function: call it and pass what it returns.")
    try:
        exercise.check(_watched(answer) if exercise.function else answer)
    except _NotAttempted:
        return Outcome(NOT_ATTEMPTED)
    except NotYet as reason:
        return Outcome(NOT_YET, str(reason))
    except (Exception, SystemExit) as error:
        return Outcome(NOT_YET, f"checking it raised {type(error).__name__}: {error}")
    return Outcome(RIGHT)


def _watched(answer: Callable[..., Any]) -> Callable[..., Any]:
    """The same function; returning `...` or nothing means that it is still the stub."""

    @functools.wraps(answer)
    def call(*args: Any, **kwargs: Any) -> Any:
        value = answer(*args, **kwargs)
        if value is ... or value is None:
            raise _NotAttempted
        return value

    return call


def _describe(value: Any) -> str:
    article = "an" if type(value).__name__[0].lower() in "aeiou" else "a"
    return f"{article} {type(value).__name__}"


def require_close(given: Any, wanted: Any, tolerance: float, what: str) -> None:
    """Raise NotYet unless `given` has the shape of `wanted` and equals it within `tolerance`."""
    import numpy as np

    given = given.detach().cpu() if hasattr(given, "detach") else given
    try:
        given_array = np.asarray(given, dtype=float)
    except (TypeError, ValueError, RuntimeError) as error:
        raise NotYet(f"{what} must be numbers, and this is {_describe(given)}.") from error
    wanted_array = np.asarray(wanted, dtype=float)
    if given_array.shape != wanted_array.shape:
        raise NotYet(f"{what} must have shape {wanted_array.shape}, and this has {given_array.shape}.")
    if not np.allclose(given_array, wanted_array, rtol=0, atol=tolerance):
        worst = np.abs(given_array - wanted_array).max()
        raise NotYet(f"{what} (off by up to {worst:.2g}, where {tolerance:g} is allowed).")


def solution_text(exercise: Exercise) -> str:
    """The reference solution as source, or as its value."""
    if callable(exercise.solution):
        return textwrap.dedent(inspect.getsource(exercise.solution))
    return repr(exercise.solution)


class ExerciseHandle:
    """What a learner does with one exercise."""

    def __init__(self, exercise: Exercise) -> None:
        self._exercise = exercise
        self._hints = iter(exercise.hints)

    def check(self, answer: Any) -> None:
        """Print "not attempted", "not yet: because ...", or "right"."""
        outcome: Outcome = examine(self._exercise, answer)
        print(f"{self._exercise.id}  {outcome}")

    def hint(self) -> None:
        """Print the next hint."""
        print(next(self._hints, "That was the last hint; `.solution()` shows a solution."))

    def solution(self) -> None:
        """Print the reference solution."""
        print(solution_text(self._exercise))
