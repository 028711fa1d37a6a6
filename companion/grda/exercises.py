"""Exercises of the lesson: what is asked, how an answer is checked, hints, a reference answer, wrong answers."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from companion.grda import checks, method
from companion.grda.arms import GRDA
from companion.lab.exercises import Exercise, NotYet, require_close

# ---------------------------------------------------------------- E1: a loss that says nothing


def check_ceiling(answer: Callable[[int], float]) -> None:
    """Against the released code's number for an idle discriminator."""
    for domains in (15, 60):
        require_close(answer(domains), domains * math.log(2), 1e-6, f"the loss for {domains} domains")


def solve_ceiling(domains: int) -> float:
    """Half of the weight at -log sigmoid(0), half at -log(1 - sigmoid(0)): ln 2, times N."""
    return domains * math.log(2)


def wrong_ceiling_mean(domains: int) -> float:
    """Forgets that the released code multiplies by N."""
    return math.log(2)


def wrong_ceiling_classes(domains: int) -> float:
    """The ceiling of a classifier of domains, which is DANN's."""
    return math.log(domains)


# ---------------------------------------------------------------- E2: rings

RINGS = [0, 2, 2, 2, 2, 4, 4, 4, 4, 6]


def check_rings(answer: Any) -> None:
    """Against `freedom` of each ring."""
    require_close(answer, RINGS, 1e-6, "the list")


# ---------------------------------------------------------------- E3: find the leak


def loaders() -> list[tuple[Tensor, list[Tensor], bool]]:
    """Labels (6, 40), some epochs of batches of sample numbers (6, 10), and whether they leak."""
    generator = torch.Generator().manual_seed(0)
    ordered = torch.arange(2).repeat_interleave(20).expand(6, -1)
    mixed = torch.stack([ordered[0][torch.randperm(40, generator=generator)] for _ in range(6)])
    one = [rows for _ in range(20) for rows in method.batches(6, 40, 10, True, generator)]
    own = [rows for _ in range(20) for rows in method.batches(6, 40, 10, False, generator)]
    by_class = [_within_classes(rows, generator) for rows in one]
    return [(ordered, one, True), (ordered, own, False), (mixed, one, False), (ordered, by_class, True)]


def _within_classes(rows: Tensor, generator: torch.Generator) -> Tensor:
    """Other samples of the same class in every domain: no two domains share a number, and all share the class."""
    return rows // 20 * 20 + torch.randint(20, rows.shape, generator=generator)


def check_leak(answer: Callable[[Tensor, list[Tensor]], bool]) -> None:
    """Four loaders: two leak, and not those that share an order."""
    for number, (labels, batches, leaks) in enumerate(loaders(), start=1):
        said = answer(labels, batches)
        if not isinstance(said, bool):
            raise NotYet("the answer must be True or False.")
        if said != leaks:
            raise NotYet(
                f"loader {number} of 4 is {'passed though it leaks' if leaks else 'flagged though it is safe'}."
            )


def solve_leak(labels: Tensor, batches: list[Tensor]) -> bool:
    """Do the labels that stand side by side agree more often than chance lets them?"""
    domains = torch.arange(len(labels)).unsqueeze(1)
    beside = torch.cat([labels[domains, rows] for rows in batches], dim=1)
    agree = (beside[:1] == beside[1:]).double().mean()
    return bool(agree > 0.6)


def wrong_leak_order(labels: Tensor, batches: list[Tensor]) -> bool:
    """Flags a shared order, which alone is harmless, and misses shared classes."""
    return all(bool((rows == rows[:1]).all()) for rows in batches)


def wrong_leak_balance(labels: Tensor, batches: list[Tensor]) -> bool:
    """Flags batches whose classes are not balanced, which is chance."""
    domains = torch.arange(len(labels)).unsqueeze(1)
    return any(bool((labels[domains, rows].double().mean(1) != 0.5).any()) for rows in batches)


# ---------------------------------------------------------------- E4: a gradient for each player

Parameters = Sequence[nn.Parameter]
Gradients = tuple[Sequence[Tensor], Sequence[Tensor]]


def check_players(answer: Callable[[Tensor, Tensor, float, Parameters, Parameters], Gradients]) -> None:
    """Both players, at three weights, 1 among them."""
    for lam in (1.0, 0.5, 0.1):
        game, x, y = checks.small_game(next(iter(GRDA.values())), lam)
        assert game.critic is not None
        prediction_loss, critic_loss = game.losses(x, y)
        assert critic_loss is not None
        given = answer(prediction_loss, critic_loss, lam, game.learners(), tuple(game.critic.parameters()))
        if not isinstance(given, tuple) or len(given) != 2:
            raise NotYet("the answer must be two lists of gradients: of E and F, and of D.")
        for found, wanted, who in zip(given, game.gradients(x, y), ("E and F", "D"), strict=True):
            if len(found) != len(wanted):
                raise NotYet(f"{who} have {len(wanted)} parameters, and the answer has {len(found)} gradients.")
            for a, b in zip(found, wanted, strict=True):
                scale = float(b.abs().max())
                require_close(a.detach() / scale, b / scale, 1e-6, f"a gradient of {who} at lambda = {lam:g}")


def solve_players(
    prediction_loss: Tensor, critic_loss: Tensor, lam: float, learners: Parameters, critic: Parameters
) -> Gradients:
    """One call a player, and nothing is added up in between."""
    against = torch.autograd.grad(critic_loss, critic, retain_graph=True)
    return torch.autograd.grad(prediction_loss - lam * critic_loss, learners), against


def wrong_players_shared(
    prediction_loss: Tensor, critic_loss: Tensor, lam: float, learners: Parameters, critic: Parameters
) -> Gradients:
    """The released update: the second pass adds -lambda times D's gradient to D's."""
    against = torch.autograd.grad(critic_loss, critic, retain_graph=True)
    both = torch.autograd.grad(prediction_loss - lam * critic_loss, [*learners, *critic])
    return both[: len(learners)], [a + b for a, b in zip(against, both[len(learners) :], strict=True)]


def wrong_players_friends(
    prediction_loss: Tensor, critic_loss: Tensor, lam: float, learners: Parameters, critic: Parameters
) -> Gradients:
    """E helps D: the sign is missing."""
    against = torch.autograd.grad(critic_loss, critic, retain_graph=True)
    return torch.autograd.grad(prediction_loss + lam * critic_loss, learners), against


# ---------------------------------------------------------------- E5: synchronise without labels


def check_synchronise(answer: Callable[[Tensor], Tensor]) -> None:
    """Every sample once in every domain, and equal guesses side by side."""
    generator = torch.Generator().manual_seed(1)
    guesses = torch.stack([(torch.arange(30) % 3)[torch.randperm(30, generator=generator)] for _ in range(5)])
    order = torch.as_tensor(answer(guesses))
    if order.shape != guesses.shape or order.dtype != torch.int64:
        raise NotYet(f"the orders must be whole numbers of shape {tuple(guesses.shape)}.")
    if not torch.equal(order.sort(1).values, torch.arange(30).expand(5, -1)):
        raise NotYet("in some domain a sample is missing, or stands twice.")
    beside = guesses.gather(1, order)
    if not bool((beside == beside[:1]).all()):
        raise NotYet("at some place two domains show different guesses.")


def solve_synchronise(guesses: Tensor) -> Tensor:
    """Sort by guess, ties at random; then one order for all domains."""
    by_class = (guesses + torch.rand(guesses.shape)).argsort(1)
    return by_class[:, torch.randperm(guesses.shape[1])]


def wrong_synchronise_order(guesses: Tensor) -> Tensor:
    """One order for all domains, as the released loader has it: enough only where storage is sorted."""
    return torch.randperm(guesses.shape[1]).expand(len(guesses), -1)


def wrong_synchronise_pick(guesses: Tensor) -> Tensor:
    """Picks samples of the right class, some of them twice."""
    wanted = guesses[0]
    return torch.stack([(row.unsqueeze(0) == wanted.unsqueeze(1)).int().argmax(1) for row in guesses])


EXERCISES = (
    Exercise(
        id="E1",
        title="The loss of a discriminator that does nothing",
        stars=1,
        minutes=10,
        statement="The released code balances connected and unconnected pairs (half of the weight each) and multiplies "
        "the mean by the number of domains. Write `idle(domains)`: the loss it prints when all logits are zero. "
        "An issue in its repository shows 10.397211 for 15 domains.",
        check=check_ceiling,
        hints=("sigmoid(0) is one half.", "-log(1/2), whatever the pair."),
        solution=solve_ceiling,
        wrong=(wrong_ceiling_mean, wrong_ceiling_classes),
    ),
    Exercise(
        id="E2",
        title="Rings",
        stars=1,
        minutes=15,
        statement="Guess, then compute with `grda.freedom(grda.ring(n))`: in how many directions may the domains of a "
        "ring of n stay different? Give the list for n = 3 to 12. Why does it jump from 3 to 4?",
        check=check_rings,
        hints=("A ring of three is a clique.", "In a ring all degrees are equal: the second constraint is free."),
        solution=RINGS,
        wrong=([0, 1, 1, 1, 1, 3, 3, 3, 3, 5], list(range(10))),
        function=False,
    ),
    Exercise(
        id="E3",
        title="A test that would have found it",
        stars=2,
        minutes=25,
        statement="Write `leaks(labels, batches)`: True if samples that stand side by side in the batches share their "
        "class. labels is (V, n); batches is a list of sample numbers (V, b). Four loaders are tried: a shared "
        "order alone is no leak, and domains without a shared order may leak.",
        check=check_leak,
        hints=("Gather the labels first.", "Compare with what two independent draws of two classes give."),
        solution=solve_leak,
        wrong=(wrong_leak_order, wrong_leak_balance),
    ),
    Exercise(
        id="E4",
        title="A gradient for each player",
        stars=3,
        minutes=25,
        statement="Write `players(prediction_loss, critic_loss, lam, learners, critic)`: two lists, the gradients of E "
        "and F, and those of D. One graph holds both losses; D must see its own loss alone, at lambda = 1, too.",
        check=check_players,
        hints=("`torch.autograd.grad` adds nothing up.", "The first call must keep the graph."),
        solution=solve_players,
        wrong=(wrong_players_shared, wrong_players_friends),
    ),
    Exercise(
        id="E5",
        title="Research: synchronise without labels",
        stars=4,
        minutes=90,
        statement="The leak works so well that one wants it without the labels. Write `synchronise(guesses)`: orders "
        "(V, n) of the samples of each domain, such that equal guesses stand side by side; guesses (V, n) are "
        "equally frequent classes. Then release guesses hop by hop and play the game on such batches: on new "
        "draws, do you beat independent pairs by 15 points, and what does the game add to the guesses?",
        check=check_synchronise,
        hints=("Sort every domain by its guesses.", "Then one random order for all domains keeps them together."),
        solution=solve_synchronise,
        wrong=(wrong_synchronise_order, wrong_synchronise_pick),
    ),
)
