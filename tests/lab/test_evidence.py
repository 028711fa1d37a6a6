"""Verdicts: what the interval says, and nothing else."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from companion.errors import CompanionError
from companion.lab.evidence import (
    DIVERGED,
    FAILS,
    HOLDS,
    NOT_DECIDED,
    NOT_MEASURED,
    OPEN,
    Claim,
    Condition,
    Measurement,
    evaluate,
    interval,
    prediction_interval,
)


def claim(**changes):
    fields = {
        "id": "C1", "kind": "paired", "statement": "a beats b", "paper": "Table 1", "metric": "accuracy",
        "unit": "points", "direction": "higher", "why": "because", "expected": {}, "tolerance": 1.0, "setting": "all",
        "method": "a", "against": {"b": 2.0},
    }  # fmt: skip
    return Claim(**(fields | changes))


def runs(method, values, setting="all"):
    return [Measurement("accuracy", method, setting, seed, value) for seed, value in enumerate(values)]


@pytest.mark.parametrize(
    ("a", "verdict"),
    [([15, 15.5, 14.8], HOLDS), ([11, 11.2, 10.9], FAILS), ([10, 14, 13], OPEN), ([9, 8.5, 8.8], FAILS)],
)
def test_verdict_follows_the_interval(a, verdict):
    result = evaluate(claim(), runs("a", a) + runs("b", [10, 10, 10]), "laptop")
    assert result.verdict == verdict


def test_the_difference_is_taken_seed_by_seed():
    # both methods swing by 20 points together; only the pairing shows the steady 3
    swing = [10, 30, 50]
    result = evaluate(
        claim(), runs("a", [v + 3 + e for v, e in zip(swing, (0, 0.1, -0.1), strict=True)]) + runs("b", swing), "study"
    )
    assert result.verdict == HOLDS
    assert result.findings[0].mean == pytest.approx(3)


def test_ci_is_never_decided_and_one_seed_is_open():
    rows = runs("a", [20, 20]) + runs("b", [10, 10])
    assert evaluate(claim(), rows, "ci").verdict == NOT_DECIDED
    assert evaluate(claim(), runs("a", [20]) + runs("b", [10]), "laptop").verdict == OPEN


def test_a_diverged_run_is_neither_success_nor_failure():
    assert evaluate(claim(), runs("a", [20, float("nan")]) + runs("b", [10, 10]), "laptop").verdict == DIVERGED


def test_paper_scale_runs_part_of_the_course_and_says_so():
    assert evaluate(claim(), runs("a", [20, 21]), "paper").verdict == NOT_MEASURED


def test_one_seed_is_plain_json():
    single = evaluate(claim(), runs("a", [20]) + runs("b", [10]), "laptop").as_dict()
    assert json.loads(json.dumps(single, allow_nan=False)) == single
    assert (single["findings"][0]["low"], single["findings"][0]["high"]) == (None, None)


def test_direction_lower_turns_the_difference():
    rows = runs("a", [5, 5.1, 4.9]) + runs("b", [10, 10, 10])
    assert evaluate(claim(direction="lower"), rows, "laptop").verdict == HOLDS


def test_the_weakest_comparison_decides():
    rows = runs("a", [20, 20.1, 20]) + runs("b", [10, 10, 10]) + runs("c", [19, 19.1, 19])
    assert evaluate(claim(against={"b": 2.0, "c": 2.0}), rows, "laptop").verdict == FAILS


def test_trend_needs_every_step():
    steps = [runs("a", values, s) for s, values in (("0", [9, 9.1, 9]), ("1", [7, 7.2, 7.1]), ("2", [6, 6.1, 5.9]))]
    falling = claim(kind="trend", direction="lower", against=None, method="", along=["a @ 0", "a @ 1", "a @ 2"])
    assert evaluate(falling, [row for step in steps for row in step], "laptop").verdict == HOLDS
    back = claim(kind="trend", direction="lower", against=None, method="", along=["a @ 0", "a @ 2", "a @ 1"])
    assert evaluate(back, [row for step in steps for row in step], "laptop").verdict == FAILS


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        (runs("a", [1, 2]), "no measurement"),
        (runs("a", [1, 2]) + runs("b", [1, 2, 3]), "pairs seeds"),
        (runs("a", [1, 2]) + runs("b", [1, 2]) + runs("b", [1]), "two values"),
    ],
)
def test_gaps_and_doubles_are_named(rows, says):
    with pytest.raises(CompanionError, match=says):
        evaluate(claim(), rows, "laptop")


@pytest.mark.parametrize(
    "changes",
    [{"kind": "guess"}, {"source": "rumor"}, {"direction": "up"}, {"against": {}}, {"kind": "trend", "along": ["a"]}],
)
def test_a_claim_that_cannot_be_decided_is_refused(changes):
    with pytest.raises(CompanionError, match="C1"):
        claim(**changes)


def test_a_condition_reads_a_setting_of_its_own():
    assert Condition.parse("gcn @ tail", "isolation") == Condition("gcn", "tail")
    assert Condition.parse("gcn", "isolation") == Condition("gcn", "isolation")


@given(st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=12), st.floats(-100, 100))
def test_interval_holds_the_mean_and_moves_with_the_data(values, shift):
    array = np.array(values)
    low, high = interval(array)
    assert low <= array.mean() <= high
    moved = interval(array + shift)
    assert moved == pytest.approx((low + shift, high + shift), abs=1e-6)


def test_the_t_interval_covers_the_truth_as_often_as_it_says():
    draws = np.random.default_rng(0).normal(1.0, 2.0, size=(2000, 5))
    covered = np.mean([low < 1.0 < high for low, high in map(interval, draws)])
    assert 0.935 < covered < 0.965


def test_the_prediction_interval_holds_new_means():
    generator = np.random.default_rng(1)
    hits = [
        low <= generator.normal(size=3).mean() <= high
        for low, high in (prediction_interval(generator.normal(size=10), 3) for _ in range(2000))
    ]
    assert 0.93 < np.mean(hits) < 0.97
