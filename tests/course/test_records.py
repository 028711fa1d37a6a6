"""Every lesson's record: made by the code that is there, complete, with the expected verdicts, and repeatable."""

from __future__ import annotations

import json
import random

import pytest

from companion.course import processes, syllabus
from companion.lab import Lesson, Measurement, judge, load_record, source_hash

FEWEST_SEEDS = 10
LONG_SEED_SECONDS = 600
# Rounding differs between processors, and training carries it on: an accuracy's third digit moves. A run of other code,
# data or size differs by more than this part of the metric's size, or it could not have been told apart anyway.
PART = 0.05
TIMED = "seconds"  # in the name of a metric that another process on the machine moves
LESSONS = syllabus.lessons(hidden=True)

every_lesson = pytest.mark.parametrize("lesson", LESSONS, ids=[lesson.name for lesson in LESSONS])


@every_lesson
def test_the_record_was_made_by_this_code(lesson: Lesson) -> None:
    record = load_record(lesson.name)
    stale = [scale for scale in record.runs if not record.fresh(scale, source_hash(lesson.name, scale))]
    what_to_do = f"run `python -m companion record {lesson.name}`, or --harmless REASON if no number can have moved"
    assert not stale, f"{lesson.name}: stale at {', '.join(stale)}; {what_to_do}"
    assert record.runs.keys() >= {"ci", "laptop", "study"}, f"{lesson.name}: incomplete; {what_to_do}"


@every_lesson
def test_the_record_holds_enough_seeds_and_all_arms(lesson: Lesson) -> None:
    for scale in ("laptop", "study"):
        run = load_record(lesson.name).runs[scale]
        long = run.stamp["cpu_seconds"] > LONG_SEED_SECONDS * len(run.seeds)
        assert long or len(run.seeds) >= FEWEST_SEEDS
        for claim in lesson.claims:
            judge(claim, run.measurements, scale)


@every_lesson
def test_the_recorded_verdicts_are_the_expected_ones(lesson: Lesson) -> None:
    for scale in ("laptop", "study"):
        run = load_record(lesson.name).runs[scale]
        verdicts = {claim.id: judge(claim, run.measurements, scale).verdict for claim in lesson.claims}
        assert verdicts == {claim.id: claim.expected[scale] for claim in lesson.claims}, scale


@every_lesson
def test_a_random_seed_and_arm_repeat_at_reduced_size(lesson: Lesson) -> None:
    run = load_record(lesson.name).runs["ci"]
    seed = random.SystemRandom().choice(run.seeds)
    then = random.SystemRandom().choice([m for m in run.measurements if m.seed == seed and TIMED not in m.metric])
    command = ["companion.course.measure", lesson.name, "ci", str(seed), "cpu", source_hash(lesson.name, "ci")]
    with processes.workers(1) as submit:
        finished = submit(command).result()
    assert finished.returncode == 0, finished.stderr
    rows = [Measurement(*row) for row in json.loads(processes.last_line(finished.stdout))["measurements"]]
    (now,) = [m for m in rows if (m.metric, m.method, m.setting) == (then.metric, then.method, then.setting)]
    size = max(abs(m.value) for m in run.measurements if m.metric == then.metric)
    assert now.value == pytest.approx(then.value, rel=0, abs=PART * size), f"chosen: {then}; now {now.value}"
