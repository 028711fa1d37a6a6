"""Exercises of the lesson: checks, hints and reference answers. The statements stand in the notebook."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from companion.grda import checks, method
from companion.grda.training import GRDA_SYNCHRONIZED
from companion.lab.exercises import Exercise, NotYet, require_close

# ---------------------------------------------------------------- E1: the loss without information


def check_idle(answer: Callable[[int], float]) -> None:
    """Against the released code's number for a discriminator whose logits are zero."""
    for domains in (15, 60):
        require_close(answer(domains), domains * math.log(2), 1e-6, f"the loss for {domains} domains")


def solve_idle(domains: int) -> float:
    """Half of the weight at -log sigmoid(0), half at -log(1 - sigmoid(0)): ln 2, times N."""
    return domains * math.log(2)


# ---------------------------------------------------------------- E2: rings

RINGS = [0, 2, 2, 2, 2, 4, 4, 4, 4, 6]


def check_rings(answer: Any) -> None:
    """Against `freedom` of each ring."""
    require_close(answer, RINGS, 1e-6, "the list")


# ---------------------------------------------------------------- E3: find the leak


def loaders() -> list[tuple[Tensor, list[Tensor], bool]]:
    """Labels (6, 40), epochs of batches of sample indices (6, 10), and whether they leak."""
    generator = torch.Generator().manual_seed(0)
    ordered = torch.arange(2).repeat_interleave(20).expand(6, -1)
    mixed = torch.stack([ordered[0][torch.randperm(40, generator=generator)] for _ in range(6)])
    one = [rows for _ in range(20) for rows in method.batches(6, 40, 10, True, generator)]
    separate = [rows for _ in range(20) for rows in method.batches(6, 40, 10, False, generator)]
    by_class = [_within_classes(rows, generator) for rows in one]
    return [(ordered, one, True), (ordered, separate, False), (mixed, one, False), (ordered, by_class, True)]


def _within_classes(rows: Tensor, generator: torch.Generator) -> Tensor:
    """Random samples of the same class in every domain: indices differ, classes are equal."""
    return rows // 20 * 20 + torch.randint(20, rows.shape, generator=generator)


def check_leak(answer: Callable[[Tensor, list[Tensor]], bool]) -> None:
    """Four loaders: two leak; a shared order is neither necessary nor sufficient."""
    for number, (labels, batches, leaks) in enumerate(loaders(), start=1):
        flagged = answer(labels, batches)
        if not isinstance(flagged, bool):
            raise NotYet("the answer must be True or False.")
        if flagged != leaks:
            raise NotYet(
                f"loader {number} of 4 {'leaks and is not flagged' if leaks else 'does not leak and is flagged'}."
            )


def solve_leak(labels: Tensor, batches: list[Tensor]) -> bool:
    """Are the labels at the same position equal more often than by chance?"""
    domains = torch.arange(len(labels)).unsqueeze(1)
    paired = torch.cat([labels[domains, rows] for rows in batches], dim=1)
    agree = (paired[:1] == paired[1:]).double().mean()
    return bool(agree > 0.6)


# ---------------------------------------------------------------- E4: a gradient for each network

Parameters = Sequence[nn.Parameter]
Gradients = tuple[Sequence[Tensor], Sequence[Tensor]]


def check_gradients(answer: Callable[[Tensor, Tensor, float, Parameters, Parameters], Gradients]) -> None:
    """Gradients of E and F, and of D, for three values of lambda, 1 included."""
    for lam in (1.0, 0.5, 0.1):
        model, x, y = checks.small_model(GRDA_SYNCHRONIZED, lam)
        assert model.discriminator is not None
        prediction_loss, discriminator_loss = model.losses(x, y)
        assert discriminator_loss is not None
        of_d = tuple(model.discriminator.parameters())
        computed = answer(prediction_loss, discriminator_loss, lam, model.encoder_predictor_parameters(), of_d)
        if not isinstance(computed, tuple) or len(computed) != 2:
            raise NotYet("the answer must be two lists of gradients: of E and F, and of D.")
        for found, expected, names in zip(computed, model.gradients(x, y), ("E and F", "D"), strict=True):
            if len(found) != len(expected):
                raise NotYet(f"the answer has {len(found)} gradients for the {len(expected)} parameters of {names}.")
            for a, b in zip(found, expected, strict=True):
                scale = float(b.abs().max())
                require_close(a.detach() / scale, b / scale, 1e-6, f"a gradient of {names} at lambda = {lam:g}")


def solve_gradients(
    prediction_loss: Tensor, discriminator_loss: Tensor, lam: float, of_ef: Parameters, of_d: Parameters
) -> Gradients:
    """One call for each objective; no gradient is accumulated in between."""
    gradients_d = torch.autograd.grad(discriminator_loss, of_d, retain_graph=True)
    return torch.autograd.grad(prediction_loss - lam * discriminator_loss, of_ef), gradients_d


# ---------------------------------------------------------------- E5: synchronize without labels


def check_synchronize(answer: Callable[[Tensor], Tensor]) -> None:
    """Every sample once in every domain, and equal predictions at every position."""
    generator = torch.Generator().manual_seed(1)
    predictions = torch.stack([(torch.arange(30) % 3)[torch.randperm(30, generator=generator)] for _ in range(5)])
    order = torch.as_tensor(answer(predictions))
    if order.shape != predictions.shape or order.dtype != torch.int64:
        raise NotYet(f"the orders must be integers of shape {tuple(predictions.shape)}.")
    if not torch.equal(order.sort(1).values, torch.arange(30).expand(5, -1)):
        raise NotYet("in some domain a sample is missing or repeated.")
    paired = predictions.gather(1, order)
    if not bool((paired == paired[:1]).all()):
        raise NotYet("at some position two domains have different predictions.")


def solve_synchronize(predictions: Tensor) -> Tensor:
    """Sort by prediction, ties at random; then one order for all domains."""
    by_class = (predictions + torch.rand(predictions.shape)).argsort(1)
    return by_class[:, torch.randperm(predictions.shape[1])]


EXERCISES = (
    Exercise(
        id="E1",
        title="The loss of an uninformative discriminator",
        stars=1,
        minutes=10,
        check=check_idle,
        hints=("sigmoid(0) is one half.", "-log(1/2) for every pair."),
        solution=solve_idle,
    ),
    Exercise(
        id="E2",
        title="Rings",
        stars=1,
        minutes=15,
        check=check_rings,
        hints=("A ring of three is a clique.", "In a ring all degrees are equal: the second constraint is redundant."),
        solution=RINGS,
        function=False,
    ),
    Exercise(
        id="E3",
        title="A test for the leak",
        stars=2,
        minutes=25,
        check=check_leak,
        hints=("Gather the labels first.", "Compare with two independent draws from two classes."),
        solution=solve_leak,
    ),
    Exercise(
        id="E4",
        title="A gradient for each network",
        stars=3,
        minutes=25,
        check=check_gradients,
        hints=("`torch.autograd.grad` does not accumulate gradients.", "The first call must keep the graph."),
        solution=solve_gradients,
    ),
    Exercise(
        id="E5",
        title="Research: synchronize without labels",
        stars=4,
        minutes=90,
        check=check_synchronize,
        hints=(
            "Sort every domain by its predictions.",
            "Then one random order for all domains keeps equal predictions aligned.",
        ),
        solution=solve_synchronize,
    ),
)
