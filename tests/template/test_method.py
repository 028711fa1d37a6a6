"""Stein's paradox: what must hold of the estimators, and the correctness checks that must notice when it does not."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from companion._template import baselines, checks, method
from companion.errors import CompanionError
from companion.lab import load_lesson

CHECKS = {
    "X1": checks.risk_is_the_closed_form,
    "X2": checks.risk_at_zero_is_two,
    "X3": checks.sure_by_derivatives_is_its_formula,
    "X4": checks.sure_is_unbiased,
    "X5": checks.two_means_are_not_changed,
    "X6": checks.rotation_equivariance,
}
TOLERANCE = {check.id: check.tolerance for check in load_lesson("_template").checks}


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def observations(n: int = 50, d: int = 6) -> torch.Tensor:
    return torch.randn(n, d, dtype=torch.float64)


def test_every_correctness_check_of_the_lesson_is_tried_here() -> None:
    assert TOLERANCE.keys() == CHECKS.keys()


@pytest.mark.parametrize("id", CHECKS)
def test_the_correctness_checks_pass(id: str) -> None:
    assert CHECKS[id]() < TOLERANCE[id]


def too_strong(d: int) -> float:
    return float(d)


def one_length_for_all(x: torch.Tensor, strength: float) -> torch.Tensor:
    return 1 - strength / x.square().sum() * torch.ones(len(x), 1)


def each_for_itself(x: torch.Tensor, strength: float) -> torch.Tensor:
    return 1 - strength / x.square().clamp(min=1e-6)


def other_sign(x: torch.Tensor, strength: float) -> torch.Tensor:
    return 1 + strength / x.square().sum(1, keepdim=True)


def forgetful_sure(estimator: method.Estimator, x: torch.Tensor) -> torch.Tensor:
    """Leaves out the divergence."""
    return x.shape[1] + (estimator(x) - x).square().sum(1)


# What is broken, and which correctness checks must notice.
BREAKS = {
    "d for d - 2": (method, "best_strength", too_strong, ("X1", "X2", "X3", "X5")),
    "one length for all rows": (method, "shrinkage_factor", one_length_for_all, ("X1", "X2", "X3")),
    "a factor for each coordinate": (method, "shrinkage_factor", each_for_itself, ("X1", "X2", "X3", "X6")),
    "a push for a pull": (method, "shrinkage_factor", other_sign, ("X1", "X2", "X3")),
    "no divergence": (checks, "sure", forgetful_sure, ("X3", "X4")),
    "a closed form that is off": (checks, "exact_risk", lambda d, s, a: method.exact_risk(d, s, a) + 1e-6, ("X1",)),
}


@pytest.mark.parametrize("name", BREAKS)
def test_the_correctness_checks_fail_when_the_code_is_broken(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module, what, broken, noticed_by = BREAKS[name]
    monkeypatch.setattr(module, what, broken)
    for id in noticed_by:
        assert not CHECKS[id]() < TOLERANCE[id], f"{id} does not notice"


def test_by_hand() -> None:
    seen = torch.tensor([[2.0, 0.0, -1.0]])
    assert torch.allclose(method.james_stein(seen), torch.tensor([[1.6, 0.0, -0.8]]))


@given(st.integers(1, 12), st.integers(0, 10_000))
def test_the_positive_part_turns_no_sign_and_lengthens_nothing(d: int, seed: int) -> None:
    x = torch.randn(20, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    estimate = method.positive_part(x)
    assert (estimate * x >= 0).all()
    assert (estimate.norm(dim=1) <= x.norm(dim=1)).all()


def test_the_positive_part_is_james_stein_where_the_factor_is_positive() -> None:
    x = observations()
    positive = method.shrinkage_factor(x, 4).flatten() > 0
    assert 0 < positive.sum() < len(x)
    assert torch.equal(method.positive_part(x)[positive], method.james_stein(x)[positive])
    assert not method.positive_part(x)[~positive].any()


def test_the_closed_form_for_every_strength() -> None:
    for times in (0.5, 1.0, 2.0, 3.0):
        integrated = checks.integrated_risk(lambda x, times=times: baselines.with_strength(x, times), 10, 9.0)
        assert integrated == pytest.approx(method.exact_risk(10, 9.0, 8 * times), abs=1e-9)
    assert method.exact_risk(10, 9.0, 16) == pytest.approx(10, abs=1e-9)


def test_the_quadrature_integrates_the_squared_length() -> None:
    x, weight, theta = checks.grid(10, 9.0)
    assert float(weight @ x.square().sum(1)) == pytest.approx(10 + 9, abs=1e-9)
    assert torch.allclose(weight @ x, torch.cat([theta[:1], x.new_tensor([float(weight @ x[:, 1])]), theta[2:]]))


def test_the_oracle_is_the_best_multiple() -> None:
    theta = torch.tensor([3.0, 0.0, 0.0, 0.0])
    x = torch.ones(1, 4)
    assert torch.allclose(baselines.oracle(x, theta), 9 / 13 * x)


def test_groups_cover_all_means() -> None:
    x = observations(d=7)
    assert torch.equal(baselines.in_groups(x, 7), method.james_stein(x))
    assert torch.equal(baselines.in_groups(x, 2), x)
    assert torch.equal(baselines.in_groups(x, 5)[:, 5:], x[:, 5:])
    assert torch.equal(baselines.in_groups(x, 5)[:, :5], method.james_stein(x[:, :5]))


def test_what_cannot_be_is_refused_in_a_sentence() -> None:
    with pytest.raises(CompanionError, match=r"x has shape \(3,\), and must have \(any, any\)"):
        method.james_stein(torch.ones(3))
    with pytest.raises(CompanionError, match=r"x holds 1 values that are NaN or infinite, the first at \(0, 1\)"):
        method.james_stein(torch.tensor([[1.0, float("nan"), 2.0]]))
    with pytest.raises(CompanionError, match="x is empty"):
        method.positive_part(torch.ones(0, 3))
    with pytest.raises(ValueError, match="use d >= 3"):
        method.exact_risk(2, 1.0, 0.5)
