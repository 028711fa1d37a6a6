"""What every lesson owes: exercises that tell right from wrong, an ablation test, margins with reasons."""

import importlib
import random
import re

import pytest

from companion.course import lessons as syllabus
from companion.lab import evaluate, load_record
from companion.lab.evidence import FAILS, HOLDS, OPEN, Condition, differences
from companion.lab.exercises import NOT_ATTEMPTED, NOT_YET, RIGHT, examine
from companion.lab.tuning import best

LESSONS = [pytest.param(lesson, id=lesson.name) for lesson in syllabus.lessons(hidden=True)]
EXERCISES = [
    pytest.param(exercise, id=f"{lesson.name}-{exercise.id}")
    for lesson in syllabus.lessons(hidden=True)
    for exercise in importlib.import_module(f"companion.{lesson.name}.exercises").EXERCISES
]


@pytest.mark.parametrize("exercise", EXERCISES)
class TestExercise:
    def test_solution_is_right(self, exercise):
        assert examine(exercise, exercise.solution).state == RIGHT

    def test_stub_is_not_attempted(self, exercise):
        stub = (lambda *_: ...) if exercise.function else ...
        assert examine(exercise, stub).state == NOT_ATTEMPTED

    def test_wrong_types_and_shapes_are_refused_kindly(self, exercise):
        for answer in (3, "three", [1, 2], lambda *_: "text", lambda *_: [[1.0]], lambda: 1):
            outcome = examine(exercise, answer)
            assert outcome.state == NOT_YET, answer
            assert outcome.reason.endswith((".", "!", ")", "'")) or ":" in outcome.reason

    def test_it_is_posed(self, exercise):
        assert 1 <= exercise.stars <= 4
        assert exercise.minutes >= 5
        assert exercise.hints


@pytest.mark.parametrize("lesson", LESSONS)
class TestLesson:
    def test_claims_say_what_is_expected_and_why(self, lesson):
        for claim in lesson.claims:
            assert set(claim.expected) == {"laptop", "study"}, claim.id
            assert set(claim.expected.values()) <= {HOLDS, FAILS, OPEN}, claim.id
            assert len(claim.why) > 20, f"{claim.id}: say why this margin"
            assert claim.paper, f"{claim.id}: say what the paper has"

    def test_what_the_article_says_is_answered(self, lesson):
        assert lesson.article, "say under [[article]] what the Amazon Science article says, and which claims answer it"
        for said in lesson.article:
            assert said.claims, said.says  # that they exist is checked where the file is read
            assert len(said.says) > 30
            assert not set(said.claims) & set(said.against), said.says
            named = [claim for claim in lesson.claims if claim.id in (*said.claims, *said.against)]
            assert not any(claim.ablates for claim in named), "an ablation test supports its claim, not the article"

    def test_an_ablation_test_refutes_a_claim(self, lesson):
        broken = [claim for claim in lesson.claims if claim.ablates]
        assert broken
        for claim in broken:
            whole = lesson.claim(claim.ablates)
            assert claim.removed, f"{claim.id}: say what is removed"
            assert whole.expected["study"] == HOLDS
            assert set(claim.expected.values()) == {FAILS}, claim.id
            margins = {c.baseline: c.margin for c in whole.comparisons()}
            assert all(c.margin == margins[c.baseline] for c in claim.comparisons())

    def test_it_has_exact_checks_deviations_and_exercises(self, lesson):
        exercises = importlib.import_module(f"companion.{lesson.name}.exercises").EXERCISES
        assert lesson.checks
        assert lesson.deviations
        assert len(exercises) >= 5

    def test_the_configuration_is_the_best_of_the_stored_tuning_run(self, lesson):
        runs, studies = load_record(lesson.name).runs, importlib.import_module(f"companion.{lesson.name}.studies")
        if "tuning" not in runs:
            assert not hasattr(studies, "selected"), "the tuning run is not stored"
            return
        tuning = runs["tuning"].measurements
        evidence = {seed for name in ("laptop", "study") for seed in runs[name].seeds}
        assert not evidence & set(runs["tuning"].seeds), (
            "hyperparameters must be chosen on other seeds than the evidence"
        )
        tried = {m.method: {t.setting for t in tuning if t.method == m.method} for m in tuning}
        assert len({len(candidates) for candidates in tried.values()}) == 1, "every method must try as many candidates"
        for method, candidate in studies.selected(config_of(lesson, "laptop")).items():
            metric = next(m.metric for m in tuning if m.method == method)
            assert candidate == best(tuning, metric, method), method

    def test_the_margins_stand_off_what_the_pilot_run_saw(self, lesson):
        """Three seed deviations from the mean of other seeds; an ablation test has its claim's, "open" none."""
        runs = load_record(lesson.name).runs
        assert "pilot" in runs, "store a pilot run, on seeds of its own, before the margins are fixed"
        assert not set(runs["pilot"].seeds) & {seed for scale in ("laptop", "study") for seed in runs[scale].seeds}
        assert len(runs["pilot"].seeds) >= 10
        for claim in lesson.claims:
            for comparison in claim.comparisons() if not claim.ablates else []:
                seen = differences(claim, comparison, runs["pilot"].measurements)
                distance = {HOLDS: 1, FAILS: -1, OPEN: 0}[claim.expected["study"]] * (seen.mean() - comparison.margin)
                assert distance >= 3 * seen.std(ddof=1) or claim.expected["study"] == OPEN, (claim.id, seen.mean())

    def test_a_margin_quotes_the_pilot_run_as_it_is_stored(self, lesson):
        pilot = load_record(lesson.name).runs["pilot"].measurements
        for claim in lesson.claims:
            for comparison in claim.comparisons() if "ilot run" in claim.why and not claim.ablates else []:
                seen = differences(claim, comparison, pilot)
                assert quoted(seen.mean(), claim.why), (claim.id, seen.mean(), claim.why)
                assert quoted(seen.std(ddof=1), claim.why), (claim.id, seen.std(ddof=1), claim.why)

    def test_no_verdict_hangs_on_which_seeds(self, lesson):
        """Nineteen in twenty learners who begin with another seed see the expected verdict; no study seed decides."""
        runs, live = load_record(lesson.name).runs, config_of(lesson, "laptop").seeds
        for claim in lesson.claims:
            laptop, study = (concerned(claim, runs[scale].measurements) for scale in ("laptop", "study"))
            draws = [random.Random(i).sample(runs["laptop"].seeds, live) for i in range(100)]
            met = [evaluate(claim, [m for m in laptop if m.seed in draw], "laptop").verdict for draw in draws]
            assert met.count(claim.expected["laptop"]) >= 95, claim.id
            for seed in runs["study"].seeds:
                others = [m for m in study if m.seed != seed]
                assert evaluate(claim, others, "study").verdict == claim.expected["study"], (claim.id, seed)

    def test_the_learner_sees_at_least_three_seeds_and_the_stored_runs_have_ten(self, lesson):
        assert config_of(lesson, "laptop").seeds >= 3
        assert min(len(load_record(lesson.name).runs[scale].seeds) for scale in ("laptop", "study")) >= 10


def quoted(value, text):
    """True if some number in the text is this one, to the digits that it has there."""
    numbers = [(float(number), len(number.partition(".")[2])) for number in re.findall(r"\d+(?:\.\d+)?", text)]
    return any(abs(number - abs(value)) <= 0.5 * 10**-digits + 1e-9 for number, digits in numbers)


def test_a_number_is_quoted_to_the_digits_it_has():
    assert quoted(-1.26, "pilot run -1.3, standard deviation 0.2")
    assert not quoted(1.26, "pilot run +1.2 of 3")


def config_of(lesson, scale):
    return importlib.import_module(f"companion.{lesson.name}.experiment").Config.at(scale)


def concerned(claim, measurements):
    sides = {side for comparison in claim.comparisons() for side in (comparison.method, comparison.baseline)}
    return [m for m in measurements if m.metric == claim.metric and Condition(m.method, m.setting) in sides]
