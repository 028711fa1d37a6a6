"""What the tests of every room ask of its experiment, said once: each room calls these with what is its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from companion.lab import BaseConfig, Measurement, evaluate, load_lesson, load_record
from companion.lab.evidence import differences


def repeats(
    run: Callable[[int], list[Measurement]], rows: Sequence[Measurement] = (), seeds: tuple[int, int] = (0, 1)
) -> None:
    """A seed gives the same again, to the last bit, and another differs; of `rows` a first run need not be made."""
    first, other = ([row for row in rows if row.seed == seed] or run(seed) for seed in seeds)
    assert run(seeds[0]) == first
    assert [row.value for row in first] != [row.value for row in other]


def finds_its_arms(lesson: str, rows: Sequence[Measurement]) -> None:
    """Every claim of a lesson finds the arms that it compares among the measurements."""
    for claim in load_lesson(lesson).claims:
        assert evaluate(claim, rows, "ci").findings, claim.id


def laptop_is_study(config: type[BaseConfig], *but: str) -> None:
    """The two scales differ in the number of seeds, in the fields named, and in nothing else."""
    laptop, study = (config.at(scale).as_dict() for scale in ("laptop", "study"))
    differ = {name for name, value in laptop.items() if study[name] != value}
    assert differ <= {"scale", "seeds", *but}
    assert differ >= {*but}


def sabotages_stand_off(lesson: str) -> None:
    """What every lesson owes for its claims' bounds (see tests/lab/test_lessons.py) holds for its sabotages as well."""
    runs = load_record(lesson).runs
    rehearsal = runs["pilot" if "pilot" in runs else "rehearsal"].measurements
    for claim in load_lesson(lesson).claims:
        for comparison in claim.comparisons() if claim.ablates else []:
            found = differences(claim, comparison, rehearsal)
            assert abs(found.mean() - comparison.margin) > 3 * found.std(ddof=1), claim.id
