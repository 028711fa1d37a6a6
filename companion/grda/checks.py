"""Correctness checks: properties that hold whatever the data; each returns an error that should be near zero."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional

from companion.data.us_states import us48
from companion.grda import method, theory
from companion.grda.data import DGDomains, make_dg
from companion.grda.method import AdversarialConfig, AdversarialModel
from companion.grda.theory import chain, clique, ring, star
from companion.grda.training import DANN, GRDA_INDEPENDENT, GRDA_SHUFFLED, GRDA_SYNCHRONIZED, SOURCE, build, train

TINY = AdversarialConfig(1e-3, batch_size=20, epochs=4, hidden_dim=8, embed_steps=20)
STEPS = 20
FREEDOM = {
    "clique of 5": (clique(5), 0), "chain of 3": (chain(3), 1), "chain of 6": (chain(6), 1),
    "chain of 15": (chain(15), 7), "star with 4 leaves": (star(4), 3), "ring of 6": (ring(6), 2),
    "ring of 12": (ring(12), 6),
}  # fmt: skip


# ---------------------------------------------------------------- the loss and the gradients


def pair_loss_equals_loop() -> float:
    """L_d equals a loop over pairs of samples: both kinds of pairs, with and without those of one domain."""
    q = torch.randn(4, 5, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    errors = []
    for aligned, same, balanced in itertools.product((True, False), repeat=3):
        weights = method.pair_weights(chain(4), same, balanced)
        errors.append(float((method.pair_loss(q, weights, aligned) - pair_loss_by_loop(q, weights, aligned)).abs()))
    return max(errors)


def pair_loss_by_loop(q: Tensor, weights: tuple[Tensor, Tensor], aligned: bool) -> Tensor:
    """The pair loss by a loop over samples, without the method's code; q (V, b, d), weights two (V, V)."""
    (num_domains, size, _), total = q.shape, q.new_zeros(())
    for i, j in itertools.product(range(num_domains), repeat=2):
        pairs = [(b, b if i != j else (b + 1) % size) for b in range(size)]
        if not aligned:
            pairs = [(b, c) for b, c in itertools.product(range(size), repeat=2) if (i, b) != (j, c)]
        logits = torch.stack([q[i, b] @ q[j, c] for b, c in pairs])
        total = total - weights[0][i, j] * functional.logsigmoid(logits).mean()
        total = total - weights[1][i, j] * functional.logsigmoid(-logits).mean()
    return total


def small_model(name: str, lam: float) -> tuple[AdversarialModel, Tensor, Tensor]:
    """A model in float64 on a draw of DG-15, and one batch: x (15, 10, 2) float64, y (15, 10) int64."""
    domains = make_dg("DG-15", 100)
    domains = replace(domains, x=domains.x.double(), adjacency=domains.adjacency.double())
    model = build(domains, name, replace(TINY, lam=lam), seed=3)
    for network in (model.encoder, model.predictor, model.discriminator):
        if network:
            network.double()
    return model, domains.x[:, ::10], domains.y[:, ::10]


def gradients_equal_gradient_reversal() -> float:
    """Each network's gradient equals that of one backward pass with gradient reversal between E and D."""
    errors = []
    for name in (GRDA_SYNCHRONIZED, GRDA_INDEPENDENT, DANN):
        model, x, y = small_model(name, lam=0.7)
        assert model.discriminator is not None
        e = model.encoder(x, model.z)
        scores = model.predictor(e)
        reversed_e = e.detach() + 0.7 * (e.detach() - e)  # the value of e; the gradient times -0.7
        loss = model.loss(scores[model.sources], y[model.sources]) + model.discriminator(reversed_e, scores)
        expected = torch.autograd.grad(loss, (*model.encoder_predictor_parameters(), *model.discriminator.parameters()))
        computed = itertools.chain(*model.gradients(x, y))
        errors += [_difference(a, b) / float(b.abs().max()) for a, b in zip(computed, expected, strict=True)]
    return max(errors)


def shared_graph_scales_discriminator_gradient() -> float:
    """Two backward passes without clearing leave D with (1 - lambda) times its gradient: nothing at all at 1."""
    errors = []
    for lam in (1.0, 0.5, 0.1):
        model, x, y = small_model(GRDA_SYNCHRONIZED, lam)
        own, shared = model.gradients(x, y)[1], method.shared_graph_gradients(model, x, y)
        errors += [_difference(b, (1 - lam) * a) / float(a.abs().max()) for a, b in zip(own, shared, strict=True)]
    return max(errors)


def zero_lambda_equals_source_only() -> float:
    """With lambda = 0 training ends, bitwise, with the parameters of training on the sources alone."""
    domains = make_dg("DG-15", 100)
    models = [train(domains, name, TINY, seed=3) for name in (SOURCE, GRDA_SHUFFLED, GRDA_INDEPENDENT)]
    expected, *others = [model.encoder_predictor_parameters() for model in models]
    return max(_difference(a, b) for other in others for a, b in zip(expected, other, strict=True))


# ---------------------------------------------------------------- leakage of labels through the pairs


def objective_ignores_order() -> float:
    """All pairs: L_d does not change when the samples of each domain are shuffled, so it contains no label."""
    return change_by_shuffling(aligned=False)


def change_by_shuffling(aligned: bool) -> float:
    """Change of L_d when the samples of each domain are put into another order."""
    generator = torch.Generator().manual_seed(5)
    q = torch.randn(6, 40, 2, generator=generator, dtype=torch.float64)
    order = torch.rand(6, 40, generator=generator).argsort(1)
    weights = method.pair_weights(chain(6), same_domain=not aligned)
    reordered = q[torch.arange(6).unsqueeze(1), order]
    return _difference(method.pair_loss(q, weights, aligned), method.pair_loss(reordered, weights, aligned))


def leak(domains: DGDomains, one_order: bool, epochs: int = 40) -> float:
    """Mutual information, in nats, of the labels of two target domains at the same position of the batches."""
    generator, targets = torch.Generator().manual_seed(1), torch.nonzero(~domains.sources).flatten()
    counts = torch.zeros(2, 2, dtype=torch.float64)
    rows = torch.arange(len(domains.y)).unsqueeze(1)
    for _ in range(epochs):
        for columns in method.batches(len(domains.y), domains.y.shape[1], 20, one_order, generator):
            y = functional.one_hot(domains.y[rows, columns][targets], 2).double()  # (targets, b, 2)
            pairs = torch.einsum("ibk,jbl->ijkl", y, y)
            counts += pairs.sum((0, 1)) - pairs.diagonal().sum(-1)
    joint = counts / counts.sum()
    independent = joint.sum(1, keepdim=True) * joint.sum(0, keepdim=True)
    return float(torch.xlogy(joint, joint / independent).sum())


def shared_order_leaks_labels() -> float:
    """One order for all domains: labels of paired target samples share ln 2 nats, that is, they are equal."""
    return abs(leak(make_dg("DG-15", 100), one_order=True) - math.log(2))


def separate_orders_leak_nothing() -> float:
    """One order per domain: the mutual information of paired target labels is zero, up to sampling error."""
    return leak(make_dg("DG-15", 100), one_order=False)


# ---------------------------------------------------------------- equilibria


def closed_form_is_the_minimum() -> float:
    """L_d(D*) in closed form equals the minimum over all discriminators, found by optimizing a table of logits."""
    errors = []
    for same, balanced in itertools.product((True, False), repeat=2):
        weights = method.pair_weights(chain(4), same, balanced)
        table = torch.rand(4, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
        connected, unconnected = theory.masses(table / table.sum(1, keepdim=True), weights)
        logits = torch.zeros(3, 3, dtype=torch.float64, requires_grad=True)
        optimizer = torch.optim.LBFGS([logits], max_iter=200, tolerance_grad=1e-12, line_search_fn="strong_wolfe")

        def loss(plus: Tensor = connected, minus: Tensor = unconnected, at: Tensor = logits) -> Tensor:
            value = (plus * functional.softplus(-at) + minus * functional.softplus(at)).sum()
            (at.grad,) = torch.autograd.grad(value, at)
            return value

        optimizer.step(loss)
        value = theory.table_loss(table / table.sum(1, keepdim=True), weights)
        errors.append(_difference(loss(), value))
    return max(errors)


def equilibria(adjacency: Tensor, same_domain: bool = True, symbols: int = 3, starts: int = 2) -> list[Tensor]:
    """Tables of encodings (V, symbols) that maximize L_d(D*), from random starts."""
    return [
        theory.maximize_loss(adjacency, symbols, same_domain, start, balanced=True, steps=STEPS)[-1]
        for start in range(starts)
    ]


def clique_makes_domains_equal() -> float:
    """Clique: all p(e | u) become equal, uniform alignment."""
    return max(_spread(table) for nodes in (2, 3, 4) for table in equilibria(clique(nodes)))


def chain_middle_is_mean_of_ends() -> float:
    """Chain of three: the middle domain becomes the mean of the ends; infinite if the ends become equal."""
    tables = equilibria(chain(3))
    return max(_difference(t[1], (t[0] + t[2]) / 2) if _difference(t[0], t[2]) > 0.1 else math.inf for t in tables)


def star_center_is_mean_of_leaves() -> float:
    """Star: the center becomes the mean of the leaves; infinite if all become equal."""
    tables = [table for leaves in (3, 4) for table in equilibria(star(leaves))]
    return max(_difference(t[0], t[1:].mean(0)) if _spread(t) > 0.1 else math.inf for t in tables)


def without_same_domain_pairs_all_equal() -> float:
    """Without pairs within a domain, as in the released code, the chain and the star become uniform as well."""
    return max(
        _spread(table) for adjacency in (chain(3), star(3)) for table in equilibria(adjacency, same_domain=False)
    )


def freedom_equals_derivation() -> float:
    """Number of graphs (seven by hand, and the 48 states) whose number of free directions is wrong."""
    known = [*FREEDOM.values(), (torch.from_numpy(us48()), 19)]
    return float(sum(theory.freedom(adjacency) != expected for adjacency, expected in known))


def equilibria_are_isotropic(graphs: int = 4) -> float:
    """Random graphs of five nodes: at the maximum delta' A delta is zero, with at most `freedom` directions."""
    generator = torch.Generator().manual_seed(0)
    errors = []
    for _ in range(graphs):
        upper = torch.triu((torch.rand(5, 5, generator=generator) < 0.5).double(), 1)
        adjacency = upper + upper.T
        for table in equilibria(adjacency, symbols=4, starts=1):
            delta = theory.departures(table)
            rank = int((torch.linalg.svdvals(delta) > 0.05).sum())
            within = rank <= theory.freedom(adjacency)
            errors.append(float((delta.T @ adjacency @ delta).abs().max()) if within else math.inf)
    return max(errors)


def _spread(table: Tensor) -> float:
    return _difference(table, table.mean(0).expand_as(table))


def _difference(computed: Tensor, expected: Tensor) -> float:
    """The largest difference; infinite for NaN."""
    return float((computed - expected).detach().abs().nan_to_num(nan=torch.inf).max())
