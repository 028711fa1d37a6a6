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
        statement="How much is one and one?\nAssign the number.",
        check=check,
        hints=("Count.",),
        solution=2,
        wrong=(1, 3),
        function=False,
    )
    for i in range(1, 6)
)
