"""DIVA's closed forms: the exact checks pass, and each notices when the code it speaks of is broken."""

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

from companion.diva import baselines, checks, linearise, method
from companion.diva.backbones import SmallCNN, one_hot
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
PENALTIES = [0.1, 1.0, 10.0]


def test_every_exact_check_of_the_lesson_is_tried_here() -> None:
    assert TOLERANCE.keys() == CHECKS.keys()


@pytest.mark.parametrize("id", CHECKS)
def test_the_exact_checks_pass(id: str) -> None:
    assert CHECKS[id]() < TOLERANCE[id]


WHOLE = {
    name: getattr(method, name)
    for name in (
        "derivative", "derivative_gram", "gram_fit", "loo_residuals", "penalty_derivative", "validation_derivative",
    )
}  # fmt: skip


def unstretched(ridge: method.Ridge) -> torch.Tensor:
    return ridge.residuals


def leverage_without_weight(ridge: method.Ridge) -> torch.Tensor:
    return ridge.residuals / (1 - ridge.diagonal).unsqueeze(1)


def off(name: str) -> object:
    """The whole function with its result a ten-thousandth too large."""
    return lambda *given: WHOLE[name](*given) * (1 + 1e-4)


def missing_own_term(ridge: method.Ridge, judges: torch.Tensor) -> torch.Tensor:
    squared = WHOLE["loo_residuals"](ridge).square().sum(1)
    return WHOLE["derivative"](ridge, judges) - 2 * judges * squared * ridge.diagonal / (1 - ridge.leverage)


def finite_at_zero(z: torch.Tensor, y: torch.Tensor, alpha: torch.Tensor, lam: float) -> torch.Tensor:
    return method.loo_predictions(method.fit(z, y, alpha, lam))


def first_penalty(*given: object) -> float:
    return 0.01


def a_kernel_with_more(net: SmallCNN, images: torch.Tensor) -> torch.Tensor:
    return linearise.last_layer_gram(net.body, images) + 1e-6


# What is broken, and which exact checks must notice.
BREAKS = {
    "no stretching": ("loo_residuals", unstretched, ("X1", "X3", "X4", "X9")),
    "leverage without alpha": ("loo_residuals", leverage_without_weight, ("X1", "X3", "X4")),
    "no own term": ("derivative", missing_own_term, ("X3", "X4", "X5", "X8")),
    "a printed form that is whole": ("printed_loo_predictions", finite_at_zero, ("X2",)),
    "a model derivative of the label": (
        "model_derivative",
        lambda ridge, j: torch.outer(ridge.zc[j], ridge.y[j]),
        ("X6",),
    ),
    "a validation derivative that is off": ("validation_derivative", off("validation_derivative"), ("X7",)),
    "a derivative by lambda that is off": ("penalty_derivative", off("penalty_derivative"), ("X8",)),
    "a Gram form that is off": ("derivative_gram", off("derivative_gram"), ("X5",)),
    "a penalty that is not chosen": ("tune", first_penalty, ("X9",)),
}


@pytest.mark.parametrize("name", [name for name, (_, _, noticed) in BREAKS.items() if noticed])
def test_the_exact_checks_fail_when_the_code_is_broken(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    what, broken, noticed_by = BREAKS[name]
    monkeypatch.setattr(method, what, broken)
    for id in noticed_by:
        assert not CHECKS[id]() < TOLERANCE[id], f"{id} does not notice"


def test_the_limit_of_the_whole_network_notices_a_kernel_that_is_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linearise, "tangent_gram", a_kernel_with_more)
    assert not CHECKS["X10"]() < TOLERANCE["X10"]


def test_every_exact_check_is_broken_once() -> None:
    assert {id for _, _, noticed in BREAKS.values() for id in noticed} | {"X10"} == CHECKS.keys()


def test_the_sabotaged_derivatives_are_not_the_derivative() -> None:
    z, y, alpha, judges = checks.example()
    ridge = method.fit(z, y, alpha, checks.LAM)
    whole = method.derivative(ridge, judges)
    assert torch.equal(baselines.flipped(ridge, judges), -whole)
    shuffled = baselines.shuffled(torch.Generator().manual_seed(0))(ridge, judges)
    assert not torch.equal(shuffled, whole)
    assert torch.equal(shuffled.sort().values, whole.sort().values)
    assert (baselines.without_residuals(ridge, judges) - whole).abs().max() > 0.1


def test_without_residuals_the_label_of_a_pool_example_is_not_seen() -> None:
    z, y, _, _ = checks.example()
    core = (torch.arange(len(z)) < 40).double()
    other = y.clone()
    other[40:] = y[40:].roll(1, dims=1)
    blind, seeing = (
        [score(method.fit(z, labels, core, 1.0), core)[40:] for labels in (y, other)]
        for score in (baselines.without_residuals, method.derivative)
    )
    assert torch.allclose(*blind)
    assert not torch.allclose(*seeing)


class TestByHand:
    def test_one_number(self) -> None:
        z, y = torch.ones(2, 1, dtype=torch.float64), torch.tensor([[0.0], [3.0]], dtype=torch.float64)
        ridge = method.fit(z, y, torch.ones(2, dtype=torch.float64), 1.0)
        assert method.weights(ridge).item() == pytest.approx(1.0)  # 3 / (2 + 1)
        assert ridge.leverage.tolist() == pytest.approx([1 / 3, 1 / 3])
        assert method.loo_predictions(ridge).flatten().tolist() == pytest.approx([1.5, 0.0])  # 3 / 2, and 0 / 2
        assert float(method.loo_loss(ridge, torch.ones(2, dtype=torch.float64))) == pytest.approx(1.5**2 + 9)

    def test_more_of_a_good_example_helps_and_more_of_a_bad_one_harms(self) -> None:
        z = torch.ones(6, 1, dtype=torch.float64)
        y = torch.tensor([1.0, 1, 1, 1, 1, -4], dtype=torch.float64).unsqueeze(1)
        ones = torch.ones(6, dtype=torch.float64)
        judges = (torch.arange(6) < 5).double()
        gradient = method.derivative(method.fit(z, y, ones, 0.1), judges)
        assert (gradient[:5] < 0).all()
        assert gradient[5] > 0


class TestProcedures:
    @settings(deadline=None, max_examples=20)
    @given(st.integers(0, 100), st.floats(0.01, 5))
    def test_reweighing_never_goes_below_zero_and_follows_the_sign(self, seed: int, step: float) -> None:
        gradient = torch.randn(30, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        alpha = method.reweigh(torch.ones(30, dtype=torch.float64), gradient, step)
        assert (alpha >= 0).all()
        assert ((alpha < 1) == (gradient > 0)).all()

    def test_a_small_step_lowers_the_loo_loss(self) -> None:
        z, y, _, _ = checks.example()
        ones = torch.ones(len(z), dtype=torch.float64)
        ridge = method.fit(z, y, ones, checks.LAM)
        after = method.fit(z, y, method.reweigh(ones, method.derivative(ridge, ones), 0.01), checks.LAM)
        assert method.loo_loss(after, ones) < method.loo_loss(ridge, ones)

    def test_rejecting_keeps_what_helps(self) -> None:
        assert method.reject(torch.tensor([-1.0, 0.0, 2.0])).tolist() == [False, True, True]
        assert method.reject(torch.tensor([-1.0, 0.0, 2.0]), 1.0).tolist() == [False, False, True]

    @pytest.mark.parametrize("rounds", [1, 3, 7])
    def test_rounds_throw_out_exactly_as_many_as_were_asked(self, rounds: int) -> None:
        z, y, _, _ = checks.example()
        alpha = method.reject_rounds(z, y, method.derivative, 20, rounds, PENALTIES)
        assert sorted(set(alpha.tolist())) == [0.0, 1.0]
        assert int((alpha == 0).sum()) == 20

    def test_one_round_throws_out_the_most_harmful(self) -> None:
        z, y, _, _ = checks.example()
        ones = torch.ones(len(z), dtype=torch.float64)
        harm = method.derivative(method.fit(z, y, ones, method.tune(z, y, ones, ones, PENALTIES)), ones)
        alpha = method.reject_rounds(z, y, method.derivative, 5, 1, PENALTIES)
        assert set(torch.nonzero(alpha == 0).flatten().tolist()) == set(harm.topk(5).indices.tolist())

    def test_extending_adds_a_batch_a_round_and_never_touches_the_core(self) -> None:
        z, y, _, _ = checks.example()
        core = (torch.arange(len(z)) < 20).double()
        sets = method.extend(z, y, core, method.derivative, 5, 4, PENALTIES)
        assert [int(alpha.sum()) for alpha in sets] == [20, 25, 30, 35, 40]
        for before, after in pairwise(sets):
            assert (after >= before).all()

    def test_extending_prefers_right_labels(self) -> None:
        generator = torch.Generator().manual_seed(1)
        true = torch.arange(120) % 3
        z = torch.randn(3, 8, generator=generator, dtype=torch.float64)[true] + 0.2 * torch.randn(
            120, 8, generator=generator, dtype=torch.float64
        )
        given = torch.where(torch.arange(120) % 2 == 1, (true + 1) % 3, true)
        given[:30] = true[:30]
        core = (torch.arange(120) < 30).double()
        y = one_hot(given.numpy(), 3)
        picked = method.extend(z, y, core, method.derivative, 10, 2, PENALTIES)[-1] > core
        assert float((given != true)[picked].double().mean()) < 0.2

    def test_shares_sum_to_one(self) -> None:
        given = method.shares(torch.tensor([1.0, 0.0, 3.0]), torch.tensor([0, 1, 1]), 3)
        assert given.tolist() == [0.25, 0.75, 0.0]

    def test_what_cannot_be_is_refused_in_a_sentence(self) -> None:
        z, y, alpha, _ = checks.example()
        for weights, lam in ((alpha, 0.0), (alpha - 1, 1.0)):
            with pytest.raises(ValueError, match="use lam > 0 and alpha >= 0"):
                method.fit(z, y, weights, lam)


class TestWholeNetwork:
    def test_the_features_are_the_slopes_of_the_mean_score(self) -> None:
        torch.manual_seed(0)
        net, image = SmallCNN(width=2, features=4), torch.rand(1, 1, 28, 28)
        (net(image).sum() / 10**0.5).backward()
        wanted = torch.cat([p.grad.flatten() for p in net.parameters()])
        assert torch.allclose(linearise.tangent_features(net, image)[0], wanted, atol=1e-5)

    def test_chunks_do_not_matter(self) -> None:
        torch.manual_seed(0)
        net, images = SmallCNN(width=2, features=4), torch.rand(7, 1, 28, 28)
        whole, parts = linearise.tangent_gram(net, images), linearise.tangent_gram(net, images, chunk=3)
        assert torch.allclose(whole, parts, rtol=1e-5)

    def test_with_a_head_the_layers_below_do_matter(self) -> None:
        torch.manual_seed(0)
        net, images = SmallCNN(width=2, features=4), torch.rand(7, 1, 28, 28)
        assert (linearise.tangent_gram(net, images) - linearise.last_layer_gram(net.body, images)).abs().max() > 0.1

    def test_the_head_alone_is_the_last_layer_whatever_its_weights(self) -> None:
        torch.manual_seed(0)
        net, images = SmallCNN(width=2, features=4).double(), torch.rand(7, 1, 28, 28).double()
        head = linearise.tangent_features(net, images)[:, -(4 * 10 + 10) :]
        assert torch.allclose(head @ head.T, linearise.last_layer_gram(net.body, images), atol=1e-10)


MEMORY = """
import torch
torch.set_num_threads(1)
from companion.diva.speed import derivative_seconds
from companion.lab.runtime import peak_megabytes
derivative_seconds(10, 8)
before = peak_megabytes()
derivative_seconds({n}, {m})
print(peak_megabytes() - before)
"""


def test_memory_grows_with_n_times_m_and_no_matrix_of_n_by_n_is_made() -> None:
    n, m = 20_000, 64
    done = subprocess.run(
        [sys.executable, "-c", MEMORY.format(n=n, m=m)], capture_output=True, text=True, check=True, env=os.environ
    )
    used, features, forbidden = float(done.stdout), n * m * 8 / 2**20, n * n * 8 / 2**20
    assert used < 12 * features + 100
    assert used < 0.1 * forbidden


def test_the_exponent_of_a_power_law() -> None:
    from companion.diva.speed import exponent

    sizes = [10, 20, 50]
    assert exponent(sizes, [3 * size**1.7 for size in sizes]) == pytest.approx(1.7)


def test_refits_of_the_benchmark_are_the_closed_form() -> None:
    from companion.diva.speed import derivative_by_steps, refit_each

    z, y, alpha, _ = checks.example()
    ridge = method.fit(z, y, alpha, checks.LAM)
    assert np.allclose(refit_each(z, y, alpha, checks.LAM), method.loo_predictions(ridge), atol=1e-10)
    stepped = derivative_by_steps(z, y, alpha, checks.LAM)
    assert np.allclose(stepped, method.derivative(ridge, torch.ones_like(alpha)), atol=1e-2, rtol=1e-3)
