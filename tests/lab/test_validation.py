"""A user's own data: what fits comes back as tensors, what does not is one sentence that says what to change."""

import numpy as np
import pytest
import torch

from companion.errors import CompanionError
from companion.lab import validation


def test_features_take_arrays_and_lists():
    wanted = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    for given in (wanted, wanted.numpy(), wanted.double(), [[1, 2], [3, 4]]):
        assert torch.equal(validation.features(given), wanted)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ([1.0, 2.0], r"features has shape \(2,\), and must have \(any, any\)"),
        (torch.zeros(0, 3), r"features is empty: its shape is \(0, 3\)"),
        ([[1.0, float("nan")]], r"1 values that are NaN or infinite, the first at \(0, 1\); remove or impute"),
        ([["a", "b"]], "features holds <U1 values; give numbers"),
        (np.array([[1e300, 1.0]]), "1 values that are NaN or infinite"),
        ([[None, 1.0]], "features holds object values; give numbers"),
    ],
)
def test_features_that_do_not_fit(given, says):
    with pytest.raises(CompanionError, match=says):
        validation.features(given)


def test_labels_take_columns_floats_and_missing_ones():
    wanted = torch.tensor([0, 1, 2, 1])
    for given in (wanted, wanted[:, None], wanted.float(), np.array([0, 1, 2, 1], dtype=np.uint8), [0, 1, 2, 1]):
        assert torch.equal(validation.labels(given, rows=4), wanted)
    assert validation.labels([0, -1, 1], missing=True).tolist() == [0, -1, 1]


@pytest.mark.parametrize(
    ("given", "options", "says"),
    [
        ([[0, 1], [1, 0]], {}, r"labels has shape \(2, 2\), and must have \(any,\)"),
        ([0, 1, 1], {"rows": 4}, r"labels has shape \(3,\), and must have \(4,\)"),
        ([0.5, 1.0], {}, "labels holds fractions"),
        ([0.0, float("nan")], {}, "NaN or infinite"),
        (["cat", "dog"], {}, "give numbers"),
        ([1, 2], {}, r"labels has gaps: 2 different numbers up to 2; renumber it with `torch.unique"),
        ([0, 2], {}, "has gaps"),
        ([-1, 0], {}, "runs from -1 to 0, and must run from 0 on"),
        ([-2, 0, 1], {"missing": True}, "runs from -2 to 1"),
        ([-1, -1], {"missing": True}, "holds no labeled example"),
        ([], {}, "holds no labeled example"),
    ],
)
def test_labels_that_do_not_fit(given, options, says):
    with pytest.raises(CompanionError, match=says):
        validation.labels(given, **options)


def test_identifiers_are_whole_numbers_below_the_count():
    assert validation.identifiers([2, 0], "users", count=3).tolist() == [2, 0]
    for given, says in (([3], "must run from 0 to 2"), ([0.0], "holds float64 values"), ([True], "holds bool values")):
        with pytest.raises(CompanionError, match=says):
            validation.identifiers(given, "users", count=3)


def test_accuracy_of_nan_or_of_nothing_is_an_error():
    scores = torch.tensor([[2.0, 1.0], [0.0, 3.0], [5.0, 0.0], [1.0, 0.0]])
    assert validation.accuracy(scores, torch.tensor([0, 1, 0, 1])) == 75
    with pytest.raises(CompanionError, match="scores holds 1 values that are NaN"):
        validation.accuracy(scores.where(scores < 5, torch.nan), torch.tensor([0, 1, 0, 1]))
    with pytest.raises(CompanionError, match="no examples"):
        validation.accuracy(torch.zeros(0, 2), torch.zeros(0, dtype=torch.long))
    with pytest.raises(CompanionError, match=r"targets has shape \(3, 1\), and must have \(3,\)"):
        validation.accuracy(torch.eye(3), torch.tensor([[0], [1], [2]]))
