"""What every lesson owes: exercises that tell right from wrong, a sabotage, expectations and bounds written down."""

import importlib
import random
import re

import pytest

from companion.course import lessons as syllabus
from companion.lab import evaluate, load_record
from companion.lab.evidence import FAILS, HOLDS, OPEN, Arm, by_seed, differences
from companion.lab.exercises import NOT_ATTEMPTED, NOT_YET, RIGHT, examine

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

    def test_wrong_answers_are_refused_with_a_reason(self, exercise):
        assert len(exercise.wrong) >= 2
        for wrong in exercise.wrong:
            outcome = examine(exercise, wrong)
            assert outcome.state == NOT_YET, wrong
            assert outcome.reason
            assert "raised" not in outcome.reason, outcome.reason  # a plausible answer runs; it is wrong, not broken

    def test_wrong_types_and_shapes_are_refused_kindly(self, exercise):
        for answer in (3, "three", [1, 2], lambda *_: "text", lambda *_: [[1.0]], lambda: 1):
            outcome = examine(exercise, answer)
            assert outcome.state == NOT_YET, answer
            assert outcome.reason.endswith((".", "!", ")", "'")) or ":" in outcome.reason

    def test_it_is_posed(self, exercise):
        assert 1 <= exercise.stars <= 4
        assert exercise.minutes >= 5
        assert exercise.hints
        assert len(exercise.statement) > 60


@pytest.mark.parametrize("lesson", LESSONS)
class TestLesson:
    def test_claims_say_what_is_expected_and_why(self, lesson):
        for claim in lesson.claims:
            assert set(claim.expected) == {"laptop", "study"}, claim.id
            assert set(claim.expected.values()) <= {HOLDS, FAILS, OPEN}, claim.id
            assert len(claim.why) > 20, f"{claim.id}: say why this bound"
            assert claim.paper, f"{claim.id}: say what the paper has"

    def test_what_was_promised_is_answered(self, lesson):
        assert lesson.promises, "say under [[promises]] what the announcement promises, and which claims answer it"
        for promise in lesson.promises:
            assert promise.claims, promise.says  # that they exist is checked where the file is read
            assert len(promise.says) > 30
            assert not set(promise.claims) & set(promise.against), promise.says
            named = [claim for claim in lesson.claims if claim.id in (*promise.claims, *promise.against)]
            assert not any(claim.ablates for claim in named), "a sabotage answers its claim, not a promise"

    def test_a_sabotage_kills_a_claim(self, lesson):
        broken = [claim for claim in lesson.claims if claim.ablates]
        assert broken
        for claim in broken:
            whole = lesson.claim(claim.ablates)
            assert whole.expected["study"] == HOLDS
            assert set(claim.expected.values()) == {FAILS}, claim.id
            bounds = {c.baseline: c.margin for c in whole.comparisons()}
            assert all(c.margin == bounds[c.baseline] for c in claim.comparisons())

    def test_it_has_exact_checks_deviations_and_exercises(self, lesson):
        room = importlib.import_module(f"companion.{lesson.name}.exercises")
        assert lesson.checks
        assert lesson.deviations
        assert len(room.EXERCISES) >= 5

    def test_the_recipes_are_the_recorded_choice(self, lesson):
        runs = load_record(lesson.name).runs
        room = importlib.import_module(f"companion.{lesson.name}.experiment")
        if "choice" not in runs:
            assert not hasattr(room, "choose"), "the choice is not recorded"
            return
        evidence = {seed for name in ("laptop", "study") for seed in runs[name].seeds}
        assert not evidence & set(runs["choice"].seeds), "choices must be made on other seeds than the evidence"
        tries = {m.method: {t.setting for t in runs["choice"].measurements if t.method == m.method}
                 for m in runs["choice"].measurements}  # fmt: skip
        assert len({len(settings) for settings in tries.values()}) == 1, "every arm must try as many candidates"
        for arm, chosen in room.chosen(room.Config.at("laptop")).items():
            rows = [m for m in runs["choice"].measurements if m.method == arm]
            means = {s: _mean(by_seed(rows, rows[0].metric, Arm(arm, s))) for s in {m.setting for m in rows}}
            assert chosen == max(sorted(means), key=means.__getitem__), arm

    def test_the_bounds_stand_off_what_the_rehearsal_saw(self, lesson):
        """Three seed deviations from the mean of other seeds; a sabotage inherits its bound, and "open" has none."""
        runs = load_record(lesson.name).runs
        assert "rehearsal" in runs, "record FURTHER['rehearsal'], on seeds of its own, before the bounds are fixed"
        assert not set(runs["rehearsal"].seeds) & {seed for scale in ("laptop", "study") for seed in runs[scale].seeds}
        assert len(runs["rehearsal"].seeds) >= 10
        for claim in lesson.claims:
            for comparison in claim.comparisons() if not claim.ablates else []:
                seen = differences(claim, comparison, runs["rehearsal"].measurements)
                room = {HOLDS: 1, FAILS: -1, OPEN: 0}[claim.expected["study"]] * (seen.mean() - comparison.margin)
                assert room >= 3 * seen.std(ddof=1) or claim.expected["study"] == OPEN, (claim.id, seen.mean())

    def test_a_bound_quotes_the_rehearsal_as_it_is_recorded(self, lesson):
        rehearsal = load_record(lesson.name).runs["rehearsal"].measurements
        for claim in lesson.claims:
            for comparison in claim.comparisons() if "ehearsal" in claim.why and not claim.ablates else []:
                seen = differences(claim, comparison, rehearsal)
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

    def test_the_learner_sees_at_least_three_seeds_and_the_record_ten(self, lesson):
        assert config_of(lesson, "laptop").seeds >= 3
        assert min(len(load_record(lesson.name).runs[scale].seeds) for scale in ("laptop", "study")) >= 10


def quoted(value, text):
    """True if some number in the text is this one, to the digits that it has there."""
    numbers = [(float(number), len(number.partition(".")[2])) for number in re.findall(r"\d+(?:\.\d+)?", text)]
    return any(abs(number - abs(value)) <= 0.5 * 10**-digits + 1e-9 for number, digits in numbers)


def test_a_number_is_quoted_to_the_digits_it_has():
    assert quoted(-1.26, "rehearsal -1.3, standard deviation 0.2")
    assert not quoted(1.26, "rehearsal +1.2 of 3")


def config_of(lesson, scale):
    return importlib.import_module(f"companion.{lesson.name}.experiment").Config.at(scale)


def concerned(claim, measurements):
    arms = {arm for comparison in claim.comparisons() for arm in (comparison.method, comparison.baseline)}
    return [m for m in measurements if m.metric == claim.metric and Arm(m.method, m.setting) in arms]


def _mean(values):
    return sum(values.values()) / len(values)
