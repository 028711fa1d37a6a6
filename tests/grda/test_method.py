"""GRDA's method: correctness checks hold, and fail when the code is broken; networks, batches, self-training, data."""

from __future__ import annotations

import math
from dataclasses import replace

import networkx as nx
import numpy as np
import pytest
import torch

from companion.data import real_dir, status
from companion.errors import CompanionError
from companion.grda import baselines, checks, data, method, theory, training
from companion.grda.method import AdversarialConfig
from companion.grda.training import (
    ADDA,
    CDANN,
    DANN,
    GRDA_INDEPENDENT,
    GRDA_SHUFFLED,
    GRDA_SYNCHRONIZED,
    SOURCE,
    SOURCE_NO_Z,
)
from companion.lab import load_lesson

TINY = AdversarialConfig(1e-3, lam=1.0, batch_size=20, epochs=2, hidden_dim=8, embed_steps=20)
GRDAS = (GRDA_SYNCHRONIZED, GRDA_SHUFFLED, GRDA_INDEPENDENT)
EXACT = {
    "X1": checks.pair_loss_equals_loop,
    "X2": checks.gradients_equal_gradient_reversal,
    "X3": checks.shared_graph_scales_discriminator_gradient,
    "X4": checks.zero_lambda_equals_source_only,
    "X5": checks.objective_ignores_order,
    "X6": checks.shared_order_leaks_labels,
    "X7": checks.separate_orders_leak_nothing,
    "X8": checks.closed_form_is_the_minimum,
    "X9": checks.clique_makes_domains_equal,
    "X10": checks.chain_middle_is_mean_of_ends,
    "X11": checks.star_center_is_mean_of_leaves,
    "X12": checks.without_same_domain_pairs_all_equal,
    "X13": checks.freedom_equals_derivation,
    "X14": checks.equilibria_are_isotropic,
}


def tolerance(id: str) -> float:
    return load_lesson("grda").check(id).tolerance


class TestExactChecks:
    @pytest.mark.skipif(status("us48") != "cached", reason="US-48 is not in the cache: make data")
    @pytest.mark.parametrize("id", EXACT)
    def test_holds(self, id: str) -> None:
        assert EXACT[id]() < tolerance(id)

    def test_every_check_of_the_lesson_is_here(self) -> None:
        assert {check.id for check in load_lesson("grda").checks} == set(EXACT)

    def test_a_discriminator_that_sees_the_wrong_loss_is_found(self, monkeypatch) -> None:
        def both(model, x, y):
            prediction_loss, discriminator_loss = model.losses(x, y)
            mine = tuple(model.discriminator.parameters())
            of_d = torch.autograd.grad(prediction_loss - model.lam * discriminator_loss, mine, retain_graph=True)
            return torch.autograd.grad(
                prediction_loss - model.lam * discriminator_loss, model.encoder_predictor_parameters()
            ), of_d

        monkeypatch.setattr(method.AdversarialModel, "gradients", both)
        assert checks.gradients_equal_gradient_reversal() > tolerance("X2")

    def test_an_encoder_that_helps_the_discriminator_is_found(self, monkeypatch) -> None:
        def same_sign(model, x, y):
            prediction_loss, discriminator_loss = model.losses(x, y)
            of_d = torch.autograd.grad(discriminator_loss, tuple(model.discriminator.parameters()), retain_graph=True)
            return torch.autograd.grad(
                prediction_loss + model.lam * discriminator_loss, model.encoder_predictor_parameters()
            ), of_d

        monkeypatch.setattr(method.AdversarialModel, "gradients", same_sign)
        assert checks.gradients_equal_gradient_reversal() > tolerance("X2")

    def test_a_sample_paired_with_itself_is_found(self, monkeypatch) -> None:
        def with_itself(q, weights, aligned):
            logits = method.pair_logits(q, aligned)
            losses = [w * torch.nn.functional.softplus(s * logits).mean((1, 3)) for w, s in zip(weights, (-1, 1))]  # noqa: B905
            return sum(losses).sum()

        monkeypatch.setattr(method, "pair_loss", with_itself)
        assert checks.pair_loss_equals_loop() > tolerance("X1")

    def test_aligned_pairs_do_depend_on_the_order(self) -> None:
        assert checks.change_by_shuffling(aligned=True) > 1e4 * tolerance("X5")

    def test_the_leak_check_distinguishes_the_two_loaders(self) -> None:
        domains = data.make_dg("DG-15", 100)
        assert checks.leak(domains, one_order=False) < tolerance("X7") < checks.leak(domains, one_order=True)
        assert checks.leak(domains, one_order=True) == pytest.approx(math.log(2))

    def test_equilibria_without_same_domain_pairs_are_no_chain(self, monkeypatch) -> None:
        right = checks.equilibria
        monkeypatch.setattr(checks, "equilibria", lambda graph, same_domain=False, **more: right(graph, False, **more))
        assert checks.chain_middle_is_mean_of_ends() == math.inf
        assert checks.star_center_is_mean_of_leaves() == math.inf

    @pytest.mark.skipif(status("us48") != "cached", reason="US-48 is not in the cache: make data")
    def test_a_wrong_freedom_is_found(self, monkeypatch) -> None:
        monkeypatch.setattr(theory, "constraints", lambda graph: torch.eye(len(graph), dtype=torch.float64))
        assert checks.freedom_equals_derivation() > tolerance("X13")


class TestFreedom:
    def test_rings_and_chains(self) -> None:
        assert [theory.freedom(theory.ring(n)) for n in range(3, 13)] == [0, 2, 2, 2, 2, 4, 4, 4, 4, 6]
        assert [theory.freedom(theory.chain(n)) for n in range(2, 10)] == [0, 1, 1, 1, 1, 3, 3, 3]

    def test_it_does_not_depend_on_the_names_of_the_nodes(self) -> None:
        graph = torch.from_numpy(nx.to_numpy_array(nx.gnp_random_graph(12, 0.4, seed=3)))
        order = torch.randperm(12, generator=torch.Generator().manual_seed(0))
        assert theory.freedom(graph) == theory.freedom(graph[order][:, order])

    def test_the_best_discriminator_of_iid_pairs_is_the_papers(self) -> None:
        table = torch.rand(4, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
        table = table / table.sum(1, keepdim=True)
        graph = theory.chain(4)
        found = theory.best_discriminator(table, method.pair_weights(graph, same_domain=True, balanced=False))
        alpha = theory.posterior(table)
        assert torch.allclose(found, alpha.T @ graph @ alpha)


class TestNetworks:
    def test_an_encoder_without_z_does_not_look_at_it(self) -> None:
        encoder = method.Encoder(2, 0, 8)
        x = torch.randn(3, 4, 2)
        assert torch.equal(encoder(x, torch.zeros(3, 2)), encoder(x, torch.ones(3, 2)))

    def test_z_is_standardized_and_frozen(self) -> None:
        z = method.embed_graph(theory.ring(6).float(), 2, 30, torch.Generator().manual_seed(0))
        assert torch.allclose(z.mean(0), torch.zeros(2), atol=1e-6)
        assert torch.allclose(z.std(0), torch.ones(2))
        assert not z.requires_grad

    def test_an_embedding_learns_the_graph(self) -> None:
        graph = theory.ring(6).float()
        start = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
        assert method.graph_loss(3 * start, graph) > 1  # a bad embedding costs much
        z = method.embed_graph(graph, 4, 500, torch.Generator().manual_seed(0))
        near = (z @ z.T)[graph > 0].mean()
        assert near > (z @ z.T)[(graph == 0) & ~torch.eye(6, dtype=torch.bool)].mean()

    @pytest.mark.parametrize("name", [SOURCE, SOURCE_NO_Z, DANN, CDANN, ADDA, *GRDAS])
    def test_every_method_trains_and_repeats(self, name: str) -> None:
        domains = data.make_dg("DG-15", 100)
        first, again = (training.train(domains, name, TINY, seed=1).predict(domains.x) for _ in range(2))
        assert first.shape == (15, 100, 2)
        assert torch.equal(first, again)

    @pytest.mark.parametrize("amp", [False, True])
    def test_lower_precision_stays_near(self, amp: bool) -> None:
        domains = data.make_dg("DG-15", 100)
        scores = training.train(domains, GRDA_INDEPENDENT, replace(TINY, amp=amp), seed=1).predict(domains.x)
        whole = training.train(domains, GRDA_INDEPENDENT, TINY, seed=1).predict(domains.x)
        assert torch.allclose(scores, whole, atol=0 if not amp else 0.1)

    def test_dann_sees_no_pairs(self) -> None:
        discriminator = baselines.DomainDiscriminator(method.mlp(3, 4))
        e = torch.randn(4, 5, 3)
        shuffled = e[:, torch.randperm(5)]
        assert torch.allclose(discriminator(e, e), discriminator(shuffled, e))


class TestBatches:
    @pytest.mark.parametrize("one_order", [True, False])
    def test_an_epoch_shows_every_sample_once(self, one_order: bool) -> None:
        rows = torch.cat(list(method.batches(4, 30, 10, one_order, torch.Generator().manual_seed(0))), dim=1)
        assert torch.equal(rows.sort(1).values, torch.arange(30).expand(4, -1))
        assert bool((rows == rows[0]).all()) is one_order

    @pytest.mark.parametrize("name", [SOURCE, DANN, *GRDAS])
    def test_only_the_synchronized_method_has_one_order(self, name: str, monkeypatch) -> None:
        seen = []
        monkeypatch.setattr(training, "fit", lambda *given: seen.append(given[4]) or [])
        training.train(data.make_dg("DG-15", 100), name, TINY, seed=1)
        assert seen == [name == GRDA_SYNCHRONIZED]


class TestSelfTraining:
    def test_it_goes_outwards_and_never_reads_a_targets_label(self) -> None:
        domains = data.make_dg("DG-15", 101)
        x, y, graph, sources = (part.numpy() for part in (domains.x, domains.y, domains.adjacency, domains.sources))
        found, order = baselines.graph_self_training(x, y, graph, sources, rounds=3)
        flipped = np.where(sources[:, None], y, 1 - y)
        again, _ = baselines.graph_self_training(x, flipped, graph, sources, rounds=3)
        assert np.array_equal(found, again)
        assert sorted(order) == np.flatnonzero(~sources).tolist()
        known = sources.copy()
        for domain in order:
            assert graph[domain, known].sum() > 0
            known[domain] = True

    def test_with_a_permuted_graph_it_fails(self) -> None:
        domains = data.make_dg("DG-15", 102)
        right, wrong = (
            baselines.graph_self_training(w.x.numpy(), w.y.numpy(), w.adjacency.numpy(), w.sources.numpy(), rounds=3)[0]
            for w in (domains, data.permute_graph(domains, 102))
        )
        assert (right == domains.y.numpy()).mean() > 0.99
        assert (wrong == domains.y.numpy()).mean() < 0.9


class TestDomains:
    @pytest.mark.parametrize(
        ("name", "slope"), [("DG-15", 1.8 / np.pi), ("DG-15, free angles", 1.8 / np.pi), ("DG-60", 6 / (2 * np.pi))]
    )
    @pytest.mark.parametrize("seed", [0, 1])
    def test_a_draw_obeys_its_rule(self, name: str, slope: float, seed: int) -> None:
        domains, rule = data.make_dg(name, seed), data.RULES[name]
        cosine = np.cos(domains.angle[:, None] - domains.angle[None])
        graph = domains.adjacency.numpy()
        assert np.array_equal(graph, graph.T)
        assert not graph.diagonal().any()
        assert (cosine[graph > 0] >= rule.threshold).all()
        direction = np.stack([np.cos(domains.angle), np.sin(domains.angle)], 1)
        halves = domains.points.reshape(rule.num_domains, 2, 50, 2)
        radius = (direction * (halves[:, 0].mean(1) - halves[:, 1].mean(1)) / 2).sum(1)
        assert np.polyfit(domains.angle, radius, 1)[0] == pytest.approx(slope, abs=0.08)
        center = (1 + slope * domains.angle)[:, None] * direction
        off = np.linalg.norm(halves - np.stack([center, -center], 1)[:, :, None], axis=-1)
        assert off.max() <= 1 + 1e-5
        assert (domains.hops >= 0).all()
        assert int(domains.sources.sum()) == 6
        assert domains.angle[domains.sources.numpy()].max() < domains.angle[~domains.sources.numpy()].min()

    def test_even_angles_fill_every_slice(self) -> None:
        slices = (np.sort(data.make_dg("DG-15", 4).angle) * 15 / np.pi).astype(int)
        assert slices.tolist() == list(range(15))

    def test_seeds_differ_and_repeat(self) -> None:
        first, again, other = (data.make_dg("DG-15", seed) for seed in (0, 0, 1))
        assert torch.equal(first.x, again.x)
        assert not torch.equal(first.x, other.x)

    def test_an_unknown_set_is_named(self) -> None:
        with pytest.raises(CompanionError, match="use one of DG-15, DG-15, free angles, DG-60"):
            data.make_dg("DG-16", 0)

    def test_a_permuted_graph_is_the_same_graph_on_other_domains(self) -> None:
        domains = data.make_dg("DG-15", 0)
        other = data.permute_graph(domains, 0)
        assert torch.equal(other.adjacency.sum(0).sort().values, domains.adjacency.sum(0).sort().values)
        assert not torch.equal(other.adjacency, domains.adjacency)
        assert torch.equal(other.x, domains.x)

    @pytest.mark.real
    def test_the_published_file(self) -> None:
        if real_dir() is None or not (real_dir() / "grda_dg15").is_dir():
            pytest.skip("COMPANION_REAL holds no grda_dg15")
        domains = data.load_published_dg15()
        assert int(domains.adjacency.sum()) == 2 * 56
        assert theory.freedom(domains.adjacency) == 4
        assert set(np.flatnonzero(domains.sources.numpy())) == {0, 3, 4, 8, 12, 14}
        assert set(np.argsort(domains.angle)[:6]) == {0, 3, 4, 8, 12, 14}
        assert (domains.y[:, :50] == 0).all()
        assert (domains.y[:, 50:] == 1).all()
