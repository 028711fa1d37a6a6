"""Five exercises with one answer."""

from __future__ import annotations

from companion.lab import Exercise, require_close


def check(answer: object) -> None:
    """The answer is two."""
    require_close(answer, 2, 0, "the sum")


EXERCISES = tuple(
    Exercise(
        id=f"E{i}",
        title="One and one",
        stars=1,
        minutes=1,
        check=check,
        hints=("Count.",),
        solution=2,
        function=False,
    )
    for i in range(1, 6)
)
