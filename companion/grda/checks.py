"""Exact checks: what must be true of this code whatever the data; each returns an error that should be near zero."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional

from companion.data.us_states import us48
from companion.grda import equilibrium, method
from companion.grda.arms import DANN, GRDA, SOURCE, Recipe, Sizes, start, train
from companion.grda.equilibrium import chain, clique, ring, star
from companion.grda.method import INDEPENDENT, SHUFFLED, SYNCHRONISED, Game
from companion.grda.worlds import DG, make_dg

TINY = Sizes(width=8, embed_steps=20, epochs=4)
STEPS = 20
FREEDOM = {
    "clique of 5": (clique(5), 0), "chain of 3": (chain(3), 1), "chain of 6": (chain(6), 1),
    "chain of 15": (chain(15), 7), "star with 4 leaves": (star(4), 3), "ring of 6": (ring(6), 2),
    "ring of 12": (ring(12), 6),
}  # fmt: skip


# ---------------------------------------------------------------- the loss and the game


def pair_loss_is_a_loop() -> float:
    """L_d equals a loop over pairs of samples: both kinds of pairs, with and without those of one domain."""
    q = torch.randn(4, 5, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    errors = []
    for aligned, same, balanced in itertools.product((True, False), repeat=3):
        weights = method.pair_weights(chain(4), same, balanced)
        errors.append(float((method.pair_loss(q, weights, aligned) - looped(q, weights, aligned)).abs()))
    return max(errors)


def looped(q: Tensor, weights: tuple[Tensor, Tensor], aligned: bool) -> Tensor:
    """The pair loss by a loop over samples, and no code of the method in it; q (V, b, d)."""
    (domains, size, _), total = q.shape, q.new_zeros(())
    for i, j in itertools.product(range(domains), repeat=2):
        pairs = [(b, b if i != j else (b + 1) % size) for b in range(size)]
        if not aligned:
            pairs = [(b, c) for b, c in itertools.product(range(size), repeat=2) if (i, b) != (j, c)]
        logits = torch.stack([q[i, b] @ q[j, c] for b, c in pairs])
        total = total - weights[0][i, j] * functional.logsigmoid(logits).mean()
        total = total - weights[1][i, j] * functional.logsigmoid(-logits).mean()
    return total


def small_game(arm: str, lam: float) -> tuple[Game, Tensor, Tensor]:
    """A game in float64 on a drawn DG-15, and one batch: x (15, 10, 2), y (15, 10)."""
    world = make_dg("DG-15", 100)
    world = replace(world, x=world.x.double(), adjacency=world.adjacency.double())
    game = start(world, arm, Recipe(1e-3, lam), TINY, seed=3)
    for player in (game.encoder, game.predictor, game.critic):
        if player:
            player.double()
    return game, world.x[:, ::10], world.y[:, ::10]


def gradients_are_reversal() -> float:
    """Each player's gradient is that of one backward pass with a gradient reversal between E and D, for three games."""
    errors = []
    for arm in (GRDA[SYNCHRONISED], GRDA[INDEPENDENT], DANN):
        game, x, y = small_game(arm, lam=0.7)
        assert game.critic is not None
        e = game.encoder(x, game.z)
        scores = game.predictor(e)
        reversed_e = e.detach() + 0.7 * (e.detach() - e)  # the value of e; the slope -0.7
        loss = game.loss(scores[game.sources], y[game.sources]) + game.critic(reversed_e, scores)
        wanted = torch.autograd.grad(loss, (*game.learners(), *game.critic.parameters()))
        found = itertools.chain(*game.gradients(x, y))
        errors += [_far(a, b) / float(b.abs().max()) for a, b in zip(found, wanted, strict=True)]
    return max(errors)


def shared_graph_loses_the_discriminator() -> float:
    """Two backward passes without clearing leave D with (1 - lambda) times its gradient: nothing at all at 1."""
    errors = []
    for lam in (1.0, 0.5, 0.1):
        game, x, y = small_game(GRDA[SYNCHRONISED], lam)
        mine, theirs = game.gradients(x, y)[1], method.shared_graph_gradients(game, x, y)
        errors += [_far(b, (1 - lam) * a) / float(a.abs().max()) for a, b in zip(mine, theirs, strict=True)]
    return max(errors)


def no_weight_is_source_only() -> float:
    """With lambda = 0 the game ends, to the last bit, where training on the sources alone ends."""
    world = make_dg("DG-15", 100)
    ends = [train(world, arm, Recipe(1e-3, 0.0), TINY, seed=3) for arm in (SOURCE, GRDA[SHUFFLED], GRDA[INDEPENDENT])]
    return max(_far(a, b) for end in ends[1:] for a, b in zip(ends[0].learners(), end.learners(), strict=True))


# ---------------------------------------------------------------- what the pairs give away


def objective_sees_no_order() -> float:
    """All pairs: L_d does not change when the samples of each domain are shuffled, so no label can be read off it."""
    return change_by_shuffling(aligned=False)


def change_by_shuffling(aligned: bool) -> float:
    """How much L_d moves when the samples of each domain are put into another order."""
    generator = torch.Generator().manual_seed(5)
    q = torch.randn(6, 40, 2, generator=generator, dtype=torch.float64)
    order = torch.rand(6, 40, generator=generator).argsort(1)
    weights = method.pair_weights(chain(6), same_domain=not aligned)
    shuffled = q[torch.arange(6).unsqueeze(1), order]
    return _far(method.pair_loss(q, weights, aligned), method.pair_loss(shuffled, weights, aligned))


def leak(world: DG, one_order: bool, epochs: int = 40) -> float:
    """Mutual information, in nats, of the target labels that stand side by side in the batches."""
    generator, targets = torch.Generator().manual_seed(1), torch.nonzero(~world.sources).flatten()
    counts = torch.zeros(2, 2, dtype=torch.float64)
    domains = torch.arange(len(world.y)).unsqueeze(1)
    for _ in range(epochs):
        for rows in method.batches(len(world.y), world.y.shape[1], 20, one_order, generator):
            y = functional.one_hot(world.y[domains, rows][targets], 2).double()  # (targets, b, 2)
            beside = torch.einsum("ibk,jbl->ijkl", y, y)
            counts += beside.sum((0, 1)) - beside.diagonal().sum(-1)
    joint = counts / counts.sum()
    apart = joint.sum(1, keepdim=True) * joint.sum(0, keepdim=True)
    return float(torch.xlogy(joint, joint / apart).sum())


def one_order_leaks_every_label() -> float:
    """One order for all domains: the label of a neighbour's sample tells a target's label, ln 2 nats of it."""
    return abs(leak(make_dg("DG-15", 100), one_order=True) - math.log(2))


def own_orders_leak_nothing() -> float:
    """An order for each domain: the mutual information of paired target labels is zero, to sampling error."""
    return leak(make_dg("DG-15", 100), one_order=False)


# ---------------------------------------------------------------- equilibria


def closed_form_is_the_best() -> float:
    """L_d(D*) in closed form equals the minimum over all discriminators, found by descent on a free table of logits."""
    errors = []
    for same, balanced in itertools.product((True, False), repeat=2):
        weights = method.pair_weights(chain(4), same, balanced)
        table = torch.rand(4, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
        connected, apart = equilibrium.masses(table / table.sum(1, keepdim=True), weights)
        logits = torch.zeros(3, 3, dtype=torch.float64, requires_grad=True)
        optimiser = torch.optim.LBFGS([logits], max_iter=200, tolerance_grad=1e-12, line_search_fn="strong_wolfe")

        def loss(plus: Tensor = connected, minus: Tensor = apart, at: Tensor = logits) -> Tensor:
            value = (plus * functional.softplus(-at) + minus * functional.softplus(at)).sum()
            (at.grad,) = torch.autograd.grad(value, at)
            return value

        optimiser.step(loss)
        value = equilibrium.table_loss(table / table.sum(1, keepdim=True), weights)
        errors.append(_far(loss(), value))
    return max(errors)


def ends(adjacency: Tensor, same_domain: bool = True, symbols: int = 3, starts: int = 2) -> list[Tensor]:
    """Where the encodings come to rest, (V, symbols) each, from random starts."""
    return [
        equilibrium.climb(adjacency, symbols, same_domain, start, balanced=True, steps=STEPS)[-1]
        for start in range(starts)
    ]


def clique_makes_all_equal() -> float:
    """Clique: all p(e | u) become equal, the classic alignment."""
    return max(_spread(table) for nodes in (2, 3, 4) for table in ends(clique(nodes)))


def chain_puts_the_middle_between() -> float:
    """Chain of three: the middle domain becomes the mean of the ends; that the ends stay different is required too."""
    found = ends(chain(3))
    return max(_far(t[1], (t[0] + t[2]) / 2) if _far(t[0], t[2]) > 0.1 else math.inf for t in found)


def star_puts_the_centre_between() -> float:
    """Star: the centre becomes the mean of the leaves, which stay different."""
    found = [table for leaves in (3, 4) for table in ends(star(leaves))]
    return max(_far(t[0], t[1:].mean(0)) if _spread(t) > 0.1 else math.inf for t in found)


def without_same_domain_pairs_all_is_equal() -> float:
    """Without pairs within a domain, as in the released code, the chain and the star become uniform, too."""
    return max(_spread(table) for adjacency in (chain(3), star(3)) for table in ends(adjacency, same_domain=False))


def freedom_is_as_derived() -> float:
    """How many graphs (seven by hand, and the 48 states) get another number of free directions than they should."""
    known = [*FREEDOM.values(), (torch.from_numpy(us48()), 19)]
    return float(sum(equilibrium.freedom(adjacency) != wanted for adjacency, wanted in known))


def equilibria_are_isotropic(graphs: int = 4) -> float:
    """Random graphs of five: at the top delta' A delta' is zero, and delta has no more directions than `freedom`."""
    generator = torch.Generator().manual_seed(0)
    errors = []
    for _ in range(graphs):
        upper = torch.triu((torch.rand(5, 5, generator=generator) < 0.5).double(), 1)
        adjacency = upper + upper.T
        for table in ends(adjacency, symbols=4, starts=1):
            delta = equilibrium.departures(table)
            rank = int((torch.linalg.svdvals(delta) > 0.05).sum())
            within = rank <= equilibrium.freedom(adjacency)
            errors.append(float((delta.T @ adjacency @ delta).abs().max()) if within else math.inf)
    return max(errors)


def _spread(table: Tensor) -> float:
    return _far(table, table.mean(0).expand_as(table))


def _far(given: Tensor, wanted: Tensor) -> float:
    """The largest difference; infinite where a number is missing."""
    return float((given - wanted).detach().abs().nan_to_num(nan=torch.inf).max())
