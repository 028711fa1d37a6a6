"""DIVA's closed forms: the correctness checks pass, and each fails when the code that it checks is wrong."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from companion.diva import baselines, checks, method
from companion.diva.data import SmallCNN, one_hot
from companion.diva.evaluation import exponent
from companion.lab import load_lesson

CHECKS = {
    "X1": checks.loo_is_refitting,
    "X2": checks.printed_form_fails_at_zero,
    "X3": checks.derivative_is_autograd,
    "X4": checks.derivative_is_finite_differences,
    "X5": checks.gram_form_agrees,
    "X6": checks.model_derivative_is_autograd,
    "X7": checks.validation_derivative_is_autograd,
    "X8": checks.euler_identity,
    "X9": checks.tuning_is_ridge_cv,
    "X10": checks.tangent_of_the_head_is_the_last_layer,
}
TOLERANCE = {check.id: check.tolerance for check in load_lesson("diva").checks}
LAMBDAS = [0.1, 1.0, 10.0]


def test_every_correctness_check_of_the_lesson_is_tried_here() -> None:
    assert TOLERANCE.keys() == CHECKS.keys()


@pytest.mark.parametrize("id", CHECKS)
def test_the_correctness_checks_pass(id: str) -> None:
    assert CHECKS[id]() < TOLERANCE[id]


ORIGINAL = {
    name: getattr(method, name)
    for name in (
        "dataset_derivative", "dataset_derivative_gram", "gram_fit", "lambda_derivative", "loo_residuals",
        "validation_derivative",
    )
}  # fmt: skip


def unscaled(ridge: method.Ridge) -> torch.Tensor:
    return ridge.residuals


def leverage_without_weight(ridge: method.Ridge) -> torch.Tensor:
    return ridge.residuals / (1 - ridge.h_diagonal).unsqueeze(1)


def off(name: str) -> object:
    """The original function with its result a ten-thousandth too large."""
    return lambda *args: ORIGINAL[name](*args) * (1 + 1e-4)


def missing_own_term(ridge: method.Ridge, validation_weights: torch.Tensor) -> torch.Tensor:
    squared = ORIGINAL["loo_residuals"](ridge).square().sum(1)
    return ORIGINAL["dataset_derivative"](
        ridge, validation_weights
    ) - 2 * validation_weights * squared * ridge.h_diagonal / (1 - ridge.leverage)


def finite_at_zero(z: torch.Tensor, y: torch.Tensor, alpha: torch.Tensor, lam: float) -> torch.Tensor:
    return method.loo_predictions(method.fit(z, y, alpha, lam))


def first_lambda(*args: object) -> float:
    return 0.01


def a_kernel_with_more(net: SmallCNN, images: torch.Tensor) -> torch.Tensor:
    return method.last_layer_gram(net.body, images) + 1e-6


# The fault that is planted, and the correctness checks that must fail.
FAULTS = {
    "no scaling by 1 / (1 - h)": ("loo_residuals", unscaled, ("X1", "X3", "X4", "X9")),
    "leverage without alpha": ("loo_residuals", leverage_without_weight, ("X1", "X3", "X4")),
    "no own term": ("dataset_derivative", missing_own_term, ("X3", "X4", "X5", "X8")),
    "a printed form without 0/0": ("printed_loo_predictions", finite_at_zero, ("X2",)),
    "a model derivative of the label": (
        "model_derivative",
        lambda ridge, j: torch.outer(ridge.zc[j], ridge.y[j]),
        ("X6",),
    ),
    "a validation derivative that is off": ("validation_derivative", off("validation_derivative"), ("X7",)),
    "a lambda derivative that is off": ("lambda_derivative", off("lambda_derivative"), ("X8",)),
    "a Gram form that is off": ("dataset_derivative_gram", off("dataset_derivative_gram"), ("X5",)),
    "a lambda that is not selected": ("select_lambda", first_lambda, ("X9",)),
}


@pytest.mark.parametrize("name", FAULTS)
def test_the_correctness_checks_fail_when_the_code_is_wrong(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    target, faulty, noticed_by = FAULTS[name]
    monkeypatch.setattr(method, target, faulty)
    for id in noticed_by:
        assert not CHECKS[id]() < TOLERANCE[id], f"{id} does not notice"


def test_the_check_of_the_whole_network_fails_with_a_wrong_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(method, "tangent_gram", a_kernel_with_more)
    assert not CHECKS["X10"]() < TOLERANCE["X10"]


def test_every_correctness_check_fails_once() -> None:
    assert {id for _, _, noticed in FAULTS.values() for id in noticed} | {"X10"} == CHECKS.keys()


def test_the_ablated_derivatives_are_not_the_derivative() -> None:
    z, y, alpha, validation_weights = checks.example()
    ridge = method.fit(z, y, alpha, checks.LAM)
    whole = method.dataset_derivative(ridge, validation_weights)
    assert torch.equal(baselines.sign_flipped(ridge, validation_weights), -whole)
    shuffled = baselines.shuffled(torch.Generator().manual_seed(0))(ridge, validation_weights)
    assert not torch.equal(shuffled, whole)
    assert torch.equal(shuffled.sort().values, whole.sort().values)
    assert (baselines.without_residual(ridge, validation_weights) - whole).abs().max() > 0.1


def test_without_the_residual_a_candidates_label_does_not_matter() -> None:
    z, y, _, _ = checks.example()
    seed_set = (torch.arange(len(z)) < 40).double()
    other = y.clone()
    other[40:] = y[40:].roll(1, dims=1)
    without, original = (
        [score(method.fit(z, labels, seed_set, 1.0), seed_set)[40:] for labels in (y, other)]
        for score in (baselines.without_residual, method.dataset_derivative)
    )
    assert torch.allclose(*without)
    assert not torch.allclose(*original)


class TestByHand:
    def test_one_number(self) -> None:
        z, y = torch.ones(2, 1, dtype=torch.float64), torch.tensor([[0.0], [3.0]], dtype=torch.float64)
        ridge = method.fit(z, y, torch.ones(2, dtype=torch.float64), 1.0)
        assert method.model_weights(ridge).item() == pytest.approx(1.0)  # 3 / (2 + 1)
        assert ridge.leverage.tolist() == pytest.approx([1 / 3, 1 / 3])
        assert method.loo_predictions(ridge).flatten().tolist() == pytest.approx([1.5, 0.0])  # 3 / 2, and 0 / 2
        assert float(method.loo_loss(ridge, torch.ones(2, dtype=torch.float64))) == pytest.approx(1.5**2 + 9)

    def test_more_of_a_good_example_helps_and_more_of_a_bad_one_harms(self) -> None:
        z = torch.ones(6, 1, dtype=torch.float64)
        y = torch.tensor([1.0, 1, 1, 1, 1, -4], dtype=torch.float64).unsqueeze(1)
        ones = torch.ones(6, dtype=torch.float64)
        validation_weights = (torch.arange(6) < 5).double()
        gradient = method.dataset_derivative(method.fit(z, y, ones, 0.1), validation_weights)
        assert (gradient[:5] < 0).all()
        assert gradient[5] > 0


class TestProcedures:
    @settings(deadline=None, max_examples=20)
    @given(st.integers(0, 100), st.floats(0.01, 5))
    def test_reweighting_never_goes_below_zero_and_follows_the_sign(self, seed: int, step: float) -> None:
        gradient = torch.randn(30, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        alpha = method.reweight(torch.ones(30, dtype=torch.float64), gradient, step)
        assert (alpha >= 0).all()
        assert ((alpha < 1) == (gradient > 0)).all()

    def test_a_small_step_lowers_the_loo_loss(self) -> None:
        z, y, _, _ = checks.example()
        ones = torch.ones(len(z), dtype=torch.float64)
        ridge = method.fit(z, y, ones, checks.LAM)
        after = method.fit(z, y, method.reweight(ones, method.dataset_derivative(ridge, ones), 0.01), checks.LAM)
        assert method.loo_loss(after, ones) < method.loo_loss(ridge, ones)

    def test_rejecting_removes_positive_derivatives(self) -> None:
        assert method.reject(torch.tensor([-1.0, 0.0, 2.0])).tolist() == [False, True, True]
        assert method.reject(torch.tensor([-1.0, 0.0, 2.0]), 1.0).tolist() == [False, False, True]

    @pytest.mark.parametrize("rounds", [1, 3, 7])
    def test_rounds_remove_exactly_as_many_as_requested(self, rounds: int) -> None:
        z, y, _, _ = checks.example()
        alpha = method.reject_in_rounds(z, y, method.dataset_derivative, 20, rounds, LAMBDAS)
        assert sorted(set(alpha.tolist())) == [0.0, 1.0]
        assert int((alpha == 0).sum()) == 20

    def test_one_round_removes_the_most_harmful(self) -> None:
        z, y, _, _ = checks.example()
        ones = torch.ones(len(z), dtype=torch.float64)
        harm = method.dataset_derivative(method.fit(z, y, ones, method.select_lambda(z, y, ones, ones, LAMBDAS)), ones)
        alpha = method.reject_in_rounds(z, y, method.dataset_derivative, 5, 1, LAMBDAS)
        assert set(torch.nonzero(alpha == 0).flatten().tolist()) == set(harm.topk(5).indices.tolist())

    def test_extending_adds_a_batch_per_round_and_never_removes_from_the_seed_set(self) -> None:
        z, y, _, _ = checks.example()
        seed_set = (torch.arange(len(z)) < 20).double()
        sets = method.extend(z, y, seed_set, method.dataset_derivative, 5, 4, LAMBDAS)
        assert [int(alpha.sum()) for alpha in sets] == [20, 25, 30, 35, 40]
        for before, after in pairwise(sets):
            assert (after >= before).all()

    def test_extending_prefers_correct_labels(self) -> None:
        generator = torch.Generator().manual_seed(1)
        true = torch.arange(120) % 3
        z = torch.randn(3, 8, generator=generator, dtype=torch.float64)[true] + 0.2 * torch.randn(
            120, 8, generator=generator, dtype=torch.float64
        )
        given = torch.where(torch.arange(120) % 2 == 1, (true + 1) % 3, true)
        given[:30] = true[:30]
        seed_set = (torch.arange(120) < 30).double()
        y = one_hot(given.numpy(), 3)
        added = method.extend(z, y, seed_set, method.dataset_derivative, 10, 2, LAMBDAS)[-1] > seed_set
        assert float((given != true)[added].double().mean()) < 0.2

    def test_shares_sum_to_one(self) -> None:
        shares = method.group_shares(torch.tensor([1.0, 0.0, 3.0]), torch.tensor([0, 1, 1]), 3)
        assert shares.tolist() == [0.25, 0.75, 0.0]

    def test_invalid_arguments_are_refused_with_an_explanation(self) -> None:
        z, y, alpha, _ = checks.example()
        for weights, lam in ((alpha, 0.0), (alpha - 1, 1.0)):
            with pytest.raises(ValueError, match="use lam > 0 and alpha >= 0"):
                method.fit(z, y, weights, lam)


class TestWholeNetwork:
    def test_the_features_are_the_gradients_of_the_mean_output(self) -> None:
        torch.manual_seed(0)
        net, image = SmallCNN(channels=2, hidden_dim=4), torch.rand(1, 1, 28, 28)
        (net(image).sum() / 10**0.5).backward()
        expected = torch.cat([p.grad.flatten() for p in net.parameters()])
        assert torch.allclose(method.tangent_features(net, image)[0], expected, atol=1e-5)

    def test_chunks_do_not_matter(self) -> None:
        torch.manual_seed(0)
        net, images = SmallCNN(channels=2, hidden_dim=4), torch.rand(7, 1, 28, 28)
        whole, parts = method.tangent_gram(net, images), method.tangent_gram(net, images, chunk_size=3)
        assert torch.allclose(whole, parts, rtol=1e-5)

    def test_with_a_head_the_layers_below_do_matter(self) -> None:
        torch.manual_seed(0)
        net, images = SmallCNN(channels=2, hidden_dim=4), torch.rand(7, 1, 28, 28)
        assert (method.tangent_gram(net, images) - method.last_layer_gram(net.body, images)).abs().max() > 0.1

    def test_the_head_alone_is_the_last_layer_whatever_its_weights(self) -> None:
        torch.manual_seed(0)
        net, images = SmallCNN(channels=2, hidden_dim=4).double(), torch.rand(7, 1, 28, 28).double()
        head = method.tangent_features(net, images)[:, -(4 * 10 + 10) :]
        assert torch.allclose(head @ head.T, method.last_layer_gram(net.body, images), atol=1e-10)


MEMORY = """
import torch
torch.set_num_threads(1)
from companion.diva.studies import derivative_seconds
from companion.lab.runtime import peak_megabytes
derivative_seconds(10, 8)
before = peak_megabytes()
derivative_seconds({n}, {m})
print(peak_megabytes() - before)
"""


def test_memory_grows_with_n_times_m_and_no_matrix_of_n_by_n_is_formed() -> None:
    n, m = 20_000, 64
    done = subprocess.run(
        [sys.executable, "-c", MEMORY.format(n=n, m=m)], capture_output=True, text=True, check=True, env=os.environ
    )
    used, features, forbidden = float(done.stdout), n * m * 8 / 2**20, n * n * 8 / 2**20
    assert used < 12 * features + 100
    assert used < 0.1 * forbidden


def test_the_exponent_of_a_power_law() -> None:
    sizes = [10, 20, 50]
    assert exponent(sizes, [3 * size**1.7 for size in sizes]) == pytest.approx(1.7)


def test_brute_force_agrees_with_the_closed_forms() -> None:
    z, y, alpha, _ = checks.example()
    ridge = method.fit(z, y, alpha, checks.LAM)
    assert np.allclose(baselines.loo_by_refitting(z, y, alpha, checks.LAM), method.loo_predictions(ridge), atol=1e-10)
    stepped = baselines.derivative_by_finite_differences(z, y, alpha, checks.LAM)
    assert np.allclose(stepped, method.dataset_derivative(ridge, torch.ones_like(alpha)), atol=1e-2, rtol=1e-3)
