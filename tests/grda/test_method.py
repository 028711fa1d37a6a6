"""GRDA's method: every exact check holds and fails when the code is broken; the loop; shapes; the walk; the worlds."""

from __future__ import annotations

import math

import networkx as nx
import numpy as np
import pytest
import torch

from companion.data import real_dir, status
from companion.errors import CompanionError
from companion.grda import arms, baselines, checks, equilibrium, method, worlds
from companion.grda.arms import ADDA, CDANN, DANN, GRDA, SOURCE, SOURCE_NO_Z, Recipe, Sizes
from companion.grda.method import INDEPENDENT, SYNCHRONISED
from companion.lab import load_lesson

SLOPES = {"DG-15": 1.8 / np.pi, "DG-15, free angles": 1.8 / np.pi, "DG-60": 6 / (2 * np.pi)}  # radius a radian
TINY = Sizes(width=8, embed_steps=20, epochs=2)
EXACT = {
    "X1": checks.pair_loss_is_a_loop,
    "X2": checks.gradients_are_reversal,
    "X3": checks.shared_graph_loses_the_discriminator,
    "X4": checks.no_weight_is_source_only,
    "X5": checks.objective_sees_no_order,
    "X6": checks.one_order_leaks_every_label,
    "X7": checks.own_orders_leak_nothing,
    "X8": checks.closed_form_is_the_best,
    "X9": checks.clique_makes_all_equal,
    "X10": checks.chain_puts_the_middle_between,
    "X11": checks.star_puts_the_centre_between,
    "X12": checks.without_same_domain_pairs_all_is_equal,
    "X13": checks.freedom_is_as_derived,
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
        def both(game, x, y):
            found, critic = game.losses(x, y)
            mine = tuple(game.critic.parameters())
            against = torch.autograd.grad(found - game.lam * critic, mine, retain_graph=True)
            return torch.autograd.grad(found - game.lam * critic, game.learners()), against

        monkeypatch.setattr(method.Game, "gradients", both)
        assert checks.gradients_are_reversal() > tolerance("X2")

    def test_an_encoder_that_helps_the_discriminator_is_found(self, monkeypatch) -> None:
        def friends(game, x, y):
            found, critic = game.losses(x, y)
            against = torch.autograd.grad(critic, tuple(game.critic.parameters()), retain_graph=True)
            return torch.autograd.grad(found + game.lam * critic, game.learners()), against

        monkeypatch.setattr(method.Game, "gradients", friends)
        assert checks.gradients_are_reversal() > tolerance("X2")

    def test_a_sample_paired_with_itself_is_found(self, monkeypatch) -> None:
        def careless(q, weights, aligned):
            logits = method.pair_logits(q, aligned)
            losses = [w * torch.nn.functional.softplus(s * logits).mean((1, 3)) for w, s in zip(weights, (-1, 1))]  # noqa: B905
            return sum(losses).sum()

        monkeypatch.setattr(method, "pair_loss", careless)
        assert checks.pair_loss_is_a_loop() > tolerance("X1")

    def test_pairs_side_by_side_do_depend_on_the_order(self) -> None:
        assert checks.change_by_shuffling(aligned=True) > 1e4 * tolerance("X5")

    def test_the_leak_check_tells_the_two_loaders_apart(self) -> None:
        world = worlds.make_dg("DG-15", 100)
        assert checks.leak(world, one_order=False) < tolerance("X7") < checks.leak(world, one_order=True)
        assert checks.leak(world, one_order=True) == pytest.approx(math.log(2))

    def test_equilibria_without_same_domain_pairs_are_no_chain(self, monkeypatch) -> None:
        ends = checks.ends
        monkeypatch.setattr(checks, "ends", lambda graph, same_domain=False, **more: ends(graph, False, **more))
        assert checks.chain_puts_the_middle_between() == math.inf
        assert checks.star_puts_the_centre_between() == math.inf

    @pytest.mark.skipif(status("us48") != "cached", reason="US-48 is not in the cache: make data")
    def test_a_wrong_freedom_is_found(self, monkeypatch) -> None:
        monkeypatch.setattr(equilibrium, "constraints", lambda graph: torch.eye(len(graph), dtype=torch.float64))
        assert checks.freedom_is_as_derived() > tolerance("X13")


class TestFreedom:
    def test_rings_and_chains(self) -> None:
        assert [equilibrium.freedom(equilibrium.ring(n)) for n in range(3, 13)] == [0, 2, 2, 2, 2, 4, 4, 4, 4, 6]
        assert [equilibrium.freedom(equilibrium.chain(n)) for n in range(2, 10)] == [0, 1, 1, 1, 1, 3, 3, 3]

    def test_it_does_not_depend_on_the_names_of_the_nodes(self) -> None:
        graph = torch.from_numpy(nx.to_numpy_array(nx.gnp_random_graph(12, 0.4, seed=3)))
        order = torch.randperm(12, generator=torch.Generator().manual_seed(0))
        assert equilibrium.freedom(graph) == equilibrium.freedom(graph[order][:, order])

    def test_the_best_discriminator_of_iid_pairs_is_the_papers(self) -> None:
        table = torch.rand(4, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
        table = table / table.sum(1, keepdim=True)
        graph = equilibrium.chain(4)
        found = equilibrium.best_discriminator(table, method.pair_weights(graph, same_domain=True, balanced=False))
        alpha = equilibrium.posterior(table)
        assert torch.allclose(found, alpha.T @ graph @ alpha)


class TestNetworks:
    def test_an_encoder_without_z_does_not_look_at_it(self) -> None:
        encoder = method.Encoder(2, 0, 8)
        x = torch.randn(3, 4, 2)
        assert torch.equal(encoder(x, torch.zeros(3, 2)), encoder(x, torch.ones(3, 2)))

    def test_z_is_standardised_and_frozen(self) -> None:
        z = method.embed_graph(equilibrium.ring(6).float(), 2, 30, torch.Generator().manual_seed(0))
        assert torch.allclose(z.mean(0), torch.zeros(2), atol=1e-6)
        assert torch.allclose(z.std(0), torch.ones(2))
        assert not z.requires_grad

    def test_an_embedding_learns_the_graph(self) -> None:
        graph = equilibrium.ring(6).float()
        start = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
        assert method.graph_loss(3 * start, graph) > 1  # a bad embedding costs much
        z = method.embed_graph(graph, 4, 500, torch.Generator().manual_seed(0))
        near = (z @ z.T)[graph > 0].mean()
        assert near > (z @ z.T)[(graph == 0) & ~torch.eye(6, dtype=torch.bool)].mean()

    @pytest.mark.parametrize("arm", [SOURCE, SOURCE_NO_Z, DANN, CDANN, ADDA, *GRDA.values()])
    def test_every_arm_trains_and_repeats(self, arm: str) -> None:
        world = worlds.make_dg("DG-15", 100)
        first, again = (arms.train(world, arm, Recipe(1e-3, 1.0), TINY, seed=1).predict(world.x) for _ in range(2))
        assert first.shape == (15, 100, 2)
        assert torch.equal(first, again)

    @pytest.mark.parametrize("amp", [False, True])
    def test_lower_precision_stays_near(self, amp: bool) -> None:
        world, sizes = worlds.make_dg("DG-15", 100), Sizes(width=8, embed_steps=20, epochs=2, amp=amp)
        scores = arms.train(world, GRDA[INDEPENDENT], Recipe(1e-3, 1.0), sizes, seed=1).predict(world.x)
        whole = arms.train(world, GRDA[INDEPENDENT], Recipe(1e-3, 1.0), TINY, seed=1).predict(world.x)
        assert torch.allclose(scores, whole, atol=0 if not amp else 0.1)

    def test_dann_sees_no_pairs(self) -> None:
        critic = baselines.DomainCritic(method.mlp(3, 4))
        e = torch.randn(4, 5, 3)
        shuffled = e[:, torch.randperm(5)]
        assert torch.allclose(critic(e, e), critic(shuffled, e))


class TestBatches:
    @pytest.mark.parametrize("one_order", [True, False])
    def test_an_epoch_shows_every_sample_once(self, one_order: bool) -> None:
        rows = torch.cat(list(method.batches(4, 30, 10, one_order, torch.Generator().manual_seed(0))), dim=1)
        assert torch.equal(rows.sort(1).values, torch.arange(30).expand(4, -1))
        assert bool((rows == rows[0]).all()) is one_order

    @pytest.mark.parametrize("arm", [SOURCE, DANN, *GRDA.values()])
    def test_only_the_synchronised_arm_is_shown_one_order(self, arm: str, monkeypatch) -> None:
        seen = []
        monkeypatch.setattr(arms, "fit", lambda *given: seen.append(given[4]) or [])
        arms.train(worlds.make_dg("DG-15", 100), arm, Recipe(1e-3, 1.0), TINY, seed=1)
        assert seen == [arm == GRDA[SYNCHRONISED]]


class TestWalk:
    def test_it_goes_outwards_and_never_reads_a_targets_label(self) -> None:
        world = worlds.make_dg("DG-15", 101)
        x, y, graph, sources = (part.numpy() for part in (world.x, world.y, world.adjacency, world.sources))
        found, walk = baselines.self_training(x, y, graph, sources, rounds=3)
        lies = np.where(sources[:, None], y, 1 - y)
        again, _ = baselines.self_training(x, lies, graph, sources, rounds=3)
        assert np.array_equal(found, again)
        assert sorted(walk) == np.flatnonzero(~sources).tolist()
        known = sources.copy()
        for domain in walk:
            assert graph[domain, known].sum() > 0
            known[domain] = True

    def test_with_a_permuted_graph_it_is_lost(self) -> None:
        world = worlds.make_dg("DG-15", 102)
        right, wrong = (
            baselines.self_training(w.x.numpy(), w.y.numpy(), w.adjacency.numpy(), w.sources.numpy(), rounds=3)[0]
            for w in (world, worlds.permuted(world, 102))
        )
        assert (right == world.y.numpy()).mean() > 0.99
        assert (wrong == world.y.numpy()).mean() < 0.9


class TestWorlds:
    @pytest.mark.parametrize(
        ("name", "slope"), [("DG-15", 1.8 / np.pi), ("DG-15, free angles", 1.8 / np.pi), ("DG-60", 6 / (2 * np.pi))]
    )
    @pytest.mark.parametrize("seed", [0, 1])
    def test_a_draw_obeys_its_rule(self, name: str, slope: float, seed: int) -> None:
        world, rule = worlds.make_dg(name, seed), worlds.RULES[name]
        cosine = np.cos(world.angle[:, None] - world.angle[None])
        graph = world.adjacency.numpy()
        assert np.array_equal(graph, graph.T)
        assert not graph.diagonal().any()
        assert (cosine[graph > 0] >= rule.threshold).all()
        direction = np.stack([np.cos(world.angle), np.sin(world.angle)], 1)
        halves = world.points.reshape(rule.domains, 2, 50, 2)
        radius = (direction * (halves[:, 0].mean(1) - halves[:, 1].mean(1)) / 2).sum(1)
        assert np.polyfit(world.angle, radius, 1)[0] == pytest.approx(slope, abs=0.08)
        centre = (1 + slope * world.angle)[:, None] * direction
        off = np.linalg.norm(halves - np.stack([centre, -centre], 1)[:, :, None], axis=-1)
        assert off.max() <= 1 + 1e-5
        assert (world.hops >= 0).all()
        assert int(world.sources.sum()) == 6
        assert world.angle[world.sources.numpy()].max() < world.angle[~world.sources.numpy()].min()

    def test_even_angles_fill_every_slice(self) -> None:
        slices = (np.sort(worlds.make_dg("DG-15", 4).angle) * 15 / np.pi).astype(int)
        assert slices.tolist() == list(range(15))

    def test_seeds_differ_and_repeat(self) -> None:
        first, again, other = (worlds.make_dg("DG-15", seed) for seed in (0, 0, 1))
        assert torch.equal(first.x, again.x)
        assert not torch.equal(first.x, other.x)

    def test_an_unknown_set_is_named(self) -> None:
        with pytest.raises(CompanionError, match="use one of DG-15, DG-15, free angles, DG-60"):
            worlds.make_dg("DG-16", 0)

    def test_a_permuted_graph_is_the_same_graph_on_other_domains(self) -> None:
        world = worlds.make_dg("DG-15", 0)
        other = worlds.permuted(world, 0)
        assert torch.equal(other.adjacency.sum(0).sort().values, world.adjacency.sum(0).sort().values)
        assert not torch.equal(other.adjacency, world.adjacency)
        assert torch.equal(other.x, world.x)

    @pytest.mark.real
    def test_the_published_file(self) -> None:
        if real_dir() is None or not (real_dir() / "grda_dg15").is_dir():
            pytest.skip("COMPANION_REAL holds no grda_dg15")
        world = worlds.published()
        assert int(world.adjacency.sum()) == 2 * 56
        assert equilibrium.freedom(world.adjacency) == 4
        assert set(np.flatnonzero(world.sources.numpy())) == {0, 3, 4, 8, 12, 14}
        assert set(np.argsort(world.angle)[:6]) == {0, 3, 4, 8, 12, 14}
        assert (world.y[:, :50] == 0).all()
        assert (world.y[:, 50:] == 1).all()
