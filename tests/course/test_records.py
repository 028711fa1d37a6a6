"""Every lesson's stored results: complete, of today's configuration, with the expected verdicts.

That today's code still gives their numbers is asked by test_reduced_runs.py.
"""

from __future__ import annotations

import json

import pytest

from companion.course import lessons
from companion.lab import Lesson, evaluate, load_record
from companion.lab.records import studies_of, study_of

FEWEST_SEEDS = 10
LONG_SEED_SECONDS = 600
LESSONS = lessons.lessons(hidden=True)

every_lesson = pytest.mark.parametrize("lesson", LESSONS, ids=[lesson.name for lesson in LESSONS])


@every_lesson
def test_the_scales_are_stored_and_nothing_else_but_studies(lesson: Lesson) -> None:
    stored = set(load_record(lesson.name).runs)
    assert stored >= {"ci", "laptop", "study"}
    assert stored <= {"ci", "laptop", "study", "paper", *studies_of(lesson.name)}


@every_lesson
def test_the_stored_results_are_of_todays_configuration(lesson: Lesson) -> None:
    for name, run in load_record(lesson.name).runs.items():
        today = study_of(lesson.name, name).config.as_dict()
        now, then = (json.loads(json.dumps({**c, "seeds": 0}, default=str)) for c in (today, run.stamp["config"]))
        differ = sorted(key for key in now.keys() | then.keys() if now.get(key) != then.get(key))
        assert not differ, f"{lesson.name}, {name}: {', '.join(differ)} changed; record it again"


@every_lesson
def test_enough_seeds_and_every_condition_of_a_claim(lesson: Lesson) -> None:
    for scale in ("laptop", "study"):
        run = load_record(lesson.name).runs[scale]
        long = run.stamp["cpu_seconds"] > LONG_SEED_SECONDS * len(run.seeds)
        assert long or len(run.seeds) >= FEWEST_SEEDS
        for claim in lesson.claims:
            evaluate(claim, run.measurements, scale)


@every_lesson
def test_the_stored_verdicts_are_the_expected_ones(lesson: Lesson) -> None:
    for scale in ("laptop", "study"):
        run = load_record(lesson.name).runs[scale]
        verdicts = {claim.id: evaluate(claim, run.measurements, scale).verdict for claim in lesson.claims}
        assert verdicts == {claim.id: claim.expected[scale] for claim in lesson.claims}, scale
