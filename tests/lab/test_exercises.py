"""The exercise machinery: every answer ends in one of three states, never in a traceback."""

import sys

import numpy as np
import pytest
import torch

from companion.lab.exercises import (
    NOT_ATTEMPTED,
    NOT_YET,
    RIGHT,
    Exercise,
    ExerciseHandle,
    NotYet,
    examine,
    require_close,
    solution_text,
)


def check_double(answer):
    require_close(answer(3), 6, 1e-9, "twice three")


def double(x):
    """Twice x."""
    return 2 * x


DOUBLE = Exercise("E1", "Double", 1, 5, check=check_double, hints=("Add.", "x + x."), solution=double)
VALUE = Exercise(
    "E2", "A value", 1, 5, check=lambda a: require_close(a, 4, 0, "it"), hints=("2 + 2",), solution=4, function=False
)


@pytest.mark.parametrize(
    ("exercise", "answer", "state"),
    [
        (DOUBLE, ..., NOT_ATTEMPTED),
        (DOUBLE, None, NOT_ATTEMPTED),
        (DOUBLE, lambda x: ..., NOT_ATTEMPTED),
        (DOUBLE, lambda x: None, NOT_ATTEMPTED),
        (DOUBLE, double, RIGHT),
        (DOUBLE, lambda x: x, NOT_YET),
        (DOUBLE, lambda x: 1 / 0, NOT_YET),
        (DOUBLE, lambda: 6, NOT_YET),
        (DOUBLE, lambda x: "six", NOT_YET),
        (DOUBLE, lambda x: [6, 6], NOT_YET),
        (DOUBLE, lambda x: float("nan"), NOT_YET),
        (DOUBLE, 6, NOT_YET),
        (VALUE, 4, RIGHT),
        (VALUE, double, NOT_YET),
        (VALUE, "four", NOT_YET),
    ],
)
def test_outcome(exercise, answer, state):
    outcome = examine(exercise, answer)
    assert outcome.state == state
    assert bool(outcome.reason) == (state == NOT_YET)


def test_an_interrupt_is_not_swallowed():
    def stuck(x):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        examine(DOUBLE, stuck)


def test_require_close_names_shapes():
    with pytest.raises(NotYet, match=r"shape \(2,\), and this has \(3,\)"):
        require_close(np.zeros(3), np.zeros(2), 1, "it")


def test_the_handle_prints_state_hints_and_solution(capsys):
    handle = ExerciseHandle(DOUBLE)
    handle.check(lambda x: ...)
    handle.check(lambda x: x)
    handle.check(double)
    for _ in range(3):
        handle.hint()
    handle.solution()
    out = capsys.readouterr().out
    assert out.splitlines()[:3] == [
        "E1  not attempted",
        "E1  not yet: twice three (off by up to 3, where 1e-09 is allowed).",
        "E1  right",
    ]
    assert "x + x." in out
    assert "last hint" in out
    assert "return 2 * x" in out
    assert solution_text(VALUE) == "4"


@pytest.mark.parametrize("answer", [lambda x: x, lambda x: x * x, lambda x: 2.0])
def test_plausible_wrong_answers_are_refused(answer):
    assert examine(DOUBLE, answer).state == NOT_YET


def test_a_tensor_with_a_gradient_is_an_answer_and_an_exit_is_none():
    require_close(torch.ones(2, requires_grad=True), [1, 1], 1e-6, "it")
    assert examine(DOUBLE, lambda x: sys.exit(3)).state == NOT_YET
