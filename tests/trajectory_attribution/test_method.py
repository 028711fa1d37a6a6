"""The method: each check holds, and fails on broken code; estimators, random agents, windows, simulation."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from companion.data.trajectories import Tracks
from companion.errors import CompanionError
from companion.lab import load_lesson
from companion.trajectory_attribution import baselines, checks, data, evaluation, method, studies, training
from companion.trajectory_attribution.training import METHODS, RETRAINED, SUBSETS, PredictorConfig

EXACT = {
    "X1": checks.efficiency,
    "X2": checks.empty_slots,
    "X3": checks.symmetry,
    "X4": checks.linearity,
    "X5": checks.average_over_orders,
    "X6": checks.closed_form,
    "X7": checks.all_permutations_are_exact,
    "X8": checks.bernoulli_is_banzhaf,
    "X9": checks.cached_is_uncached,
    "X10": checks.simulation_is_a_loop,
    "X11": checks.no_interaction_no_effect,
}
TINY = PredictorConfig(lr=1e-3, hidden_dim=16, epochs=2, batch_size=64)


def tolerance(id: str) -> float:
    return load_lesson("trajectory_attribution").check(id).tolerance


@pytest.fixture(scope="module")
def batch():
    return data.all_targets(data.simulate(30, 1.0, seed=0))[0]


class TestChecks:
    @pytest.mark.parametrize("id", EXACT)
    def test_holds(self, id: str) -> None:
        assert EXACT[id]() < tolerance(id)

    def test_every_check_of_the_lesson_is_here(self) -> None:
        assert {check.id for check in load_lesson("trajectory_attribution").checks} == set(EXACT)

    def test_wrong_weights_are_found(self, monkeypatch) -> None:
        right = method.size_weights
        monkeypatch.setattr(
            method, "size_weights", lambda num_features, rule="Shapley": right(num_features, method.BANZHAF)
        )
        assert checks.efficiency() > 100 * tolerance("X1")
        assert checks.average_over_orders() > tolerance("X5")
        assert checks.closed_form() < tolerance("X6"), "that game cannot tell the two rules apart"

    def test_a_message_that_leaks_past_the_mask_is_found(self, monkeypatch) -> None:
        right = method.encode

        def leaky(model, batch):
            return replace(right(model, batch), messages=right(model, replace(batch, mask=batch.mask | True)).messages)

        monkeypatch.setattr(method, "encode", leaky)
        assert checks.empty_slots() > tolerance("X2")
        assert checks.cached_is_uncached() > tolerance("X9")

    def test_a_mean_in_place_of_the_sum_is_found(self, monkeypatch) -> None:
        right = method.Encoded.values

        def mean(self, members, loss):
            each = [
                right(replace(self, messages=self.messages / row[1:].sum().clamp_min(1)), row[None], loss)
                for row in members
            ]
            return torch.cat(each, dim=1)

        monkeypatch.setattr(method.Encoded, "values", mean)
        assert checks.cached_is_uncached() > tolerance("X9")

    def test_draws_that_weigh_by_size_are_found(self, monkeypatch) -> None:
        phi = method.attribute(checks.random_table(4))
        monkeypatch.setattr(method, "differences", lambda game, feature, others: phi[:, feature, None])
        assert checks.bernoulli_is_banzhaf() == math.inf

    def test_a_force_that_pulls_is_found(self, monkeypatch) -> None:
        right = data.forces
        monkeypatch.setattr(data, "forces", lambda *given: -right(*given))
        assert checks.simulation_is_a_loop() > tolerance("X10")

    def test_noise_that_changes_with_the_counterfactual_is_found(self, monkeypatch) -> None:
        right = data.simulate
        monkeypatch.setattr(
            data,
            "simulate",
            lambda s, k, seed, drop=None, **more: right(s, k, seed + (drop is not None), drop, **more),
        )
        assert checks.no_interaction_no_effect() > tolerance("X11")


class TestAttribution:
    def test_leave_one_out_is_the_last_difference(self) -> None:
        table = checks.random_table(4)
        phi = method.attribute(table, method.LEAVE_ONE_OUT)
        assert torch.allclose(phi[:, 2], table[:, 0b1111] - table[:, 0b1011])

    def test_too_many_features_are_an_error_that_names_sampling(self) -> None:
        with pytest.raises(CompanionError, match="num_features = 20, but a full table has 2\\^num_features columns"):
            method.coalitions(20)

    def test_an_unknown_rule_is_named(self) -> None:
        with pytest.raises(
            CompanionError, match="rule = 'owen' is not known; use one of Shapley, Banzhaf, leave-one-out"
        ):
            method.size_weights(3, "owen")

    def test_the_score_of_a_target_without_neighbors_is_zero(self) -> None:
        phi = torch.tensor([[1.0, 0.2, -0.4], [1.0, 0.0, 0.0], [1.0, -3.0, -0.1]])
        mask = torch.tensor([[True, True], [False, False], [True, True]])
        assert float(method.social_score(phi, mask)) == pytest.approx((0.2 + 0 - 0.1) / 3)
        assert float(evaluation.mean_neighbor_value(phi, mask)) == pytest.approx((0.2 - 0.4 - 3.0 - 0.1) / 4)

    @pytest.mark.parametrize("name", method.LOSSES)
    def test_chunks_do_not_matter(self, name: str, batch, monkeypatch) -> None:
        model = method.Predictor(8, 12, 1, hidden_dim=16)
        whole = method.value_table(model, batch, method.LOSSES[name])
        monkeypatch.setattr(method, "MAX_ROWS", 100)
        assert torch.allclose(method.value_table(model, batch, method.LOSSES[name]), whole, atol=1e-6)

    def test_the_best_of_twenty_is_no_worse_than_the_mean_path(self, batch) -> None:
        mean, spread = baselines.constant_velocity(batch), torch.full((len(batch), 12), -20.0)
        found = method.min_ade(mean, spread, batch.future)
        assert torch.allclose(found, method.ade(mean, spread, batch.future), atol=1e-6)
        assert (method.min_ade(mean, spread + 18, batch.future) < found).float().mean() > 0.6

    def test_the_likelihood_is_the_gaussian_one(self, batch) -> None:
        mean, spread = baselines.constant_velocity(batch), torch.full((len(batch), 12), 0.3)
        normal = torch.distributions.Normal(mean, math.exp(0.3))
        wanted = -normal.log_prob(batch.future).sum(-1).mean(-1)
        assert torch.allclose(method.nll(mean, spread, batch.future), wanted, atol=1e-5)


class TestEstimators:
    def test_permutations_find_shapley_within_their_error(self) -> None:
        table = checks.random_table(5)
        stream = torch.Generator().manual_seed(0)
        phi, error = method.permutation_sampling(method.game_of_table(table), 5, 2000, stream)
        off = (phi - method.attribute(table)).abs() / error
        assert float(off.max()) < 5
        assert float(off.mean()) == pytest.approx(0.8, abs=0.3)

    def test_the_released_estimator_finds_banzhaf_and_not_shapley(self) -> None:
        table = checks.random_table(5)
        found = method.bernoulli_sampling(method.game_of_table(table), 5, 40_000, torch.Generator().manual_seed(0))
        near, far = (method.attribute(table, rule) for rule in (method.BANZHAF, method.SHAPLEY))
        assert float((found - near).abs().max()) < 0.03
        assert float((found - far).abs().max()) > 0.2

    @torch.no_grad()
    def test_sampling_a_model_needs_no_table(self, batch) -> None:
        model = method.Predictor(8, 12, 1, hidden_dim=16)
        some = batch[:5]
        phi, error = method.permutation_sampling(
            method.encode(model, some).values, 5, 600, torch.Generator().manual_seed(0)
        )
        exact = method.attribute(method.value_table(model, some))
        assert float((phi - exact).abs().max()) < 6 * float(error.max()) + 1e-6

    def test_twenty_four_features_are_sampled(self) -> None:
        rows = studies.measure_runtime(studies.LAPTOP.override(test_scenes=24), 0, torch.device("cpu"))
        assert {r.setting for r in rows if r.metric == "standard error"} == {"12 features", "24 features"}
        calls = {(r.method, r.setting): r.value for r in rows if r.metric == "coalitions per target"}
        assert calls["exact, cached", "12 features"] == 4096
        assert calls["50 permutations", "24 features"] == 50 * 25

    def test_the_uncached_table_is_the_cached_one(self, batch) -> None:
        model = method.Predictor(8, 12, 1, hidden_dim=16)
        uncached = baselines.uncached_table(model, batch[:7])
        assert torch.allclose(uncached, method.value_table(model, batch[:7]), atol=1e-5)


class TestTraining:
    @pytest.mark.parametrize("name", METHODS)
    def test_every_method_trains_and_repeats(self, name: str, batch) -> None:
        first, again = (training.train(batch, name, TINY, seed=3) for _ in range(2))
        for a, b in zip(first.parameters(), again.parameters(), strict=True):
            assert torch.equal(a, b)

    def test_without_neighbors_none_is_seen(self, batch) -> None:
        other = replace(batch, neighbors=batch.neighbors + 5)
        first, again = (training.train(each, RETRAINED, TINY, seed=3) for each in (batch, other))
        assert torch.equal(first.head[-1].weight, again.head[-1].weight)

    def test_subset_training_drops_neighbors_and_pasts_and_nothing_else(self, batch) -> None:
        seen = method.random_coalitions(batch, 0.5, torch.Generator().manual_seed(0))
        still = (seen.past == 0).all(-1).all(-1)
        assert 0.3 < float(still.float().mean()) < 0.7
        assert 0.4 < float(seen.mask.float().mean()) < 0.75
        assert torch.equal(seen.future, batch.future)
        assert torch.equal(seen.neighbors, batch.neighbors)

    def test_a_mirror_keeps_distances(self, batch) -> None:
        seen = training.mirror(batch, torch.Generator().manual_seed(0))
        assert torch.allclose(seen.neighbors.norm(dim=-1), batch.neighbors.norm(dim=-1))
        assert 0.3 < float((seen.past[:, :, 1] == batch.past[:, :, 1]).all(1).float().mean()) < 0.7

    def test_lower_precision_stays_near(self, batch) -> None:
        whole, half = (training.train(batch, SUBSETS, replace(TINY, amp=amp), seed=3) for amp in (False, True))
        assert torch.allclose(whole.head[-1].weight, half.head[-1].weight, atol=0.02)
        assert all(p.dtype == torch.float32 for p in half.parameters())

    def test_random_agents_come_from_other_scenes(self, batch) -> None:
        donors = baselines.other_scenes(batch.scene, torch.Generator().manual_seed(0))
        assert not bool((batch.scene[donors] == batch.scene).any())
        slots = torch.arange(len(batch)) % 4
        replaced = baselines.random_agent(batch, slots, torch.Generator().manual_seed(0))
        rows = torch.arange(len(batch))
        assert torch.equal(replaced.neighbors[rows, slots], batch.neighbors[donors, slots])
        changed = (replaced.neighbors != batch.neighbors).any(-1).any(-1).sum(1)
        assert changed.tolist() == [1] * len(batch)

    def test_an_empty_slot_stays_empty(self, batch) -> None:
        mask = batch.mask.clone()
        mask[::2, 0] = False
        replaced = baselines.only_random_agents(replace(batch, mask=mask), torch.Generator().manual_seed(0))
        assert not bool(replaced.mask[::2, 0].any())
        assert 0 < int(replaced.mask[1::2, 0].sum()) < len(batch) // 2


class TestSimulation:
    def test_targets_face_east_from_the_origin(self, batch) -> None:
        assert torch.equal(batch.past[:, -1], torch.zeros(len(batch), 2))
        step = batch.past[:, -1] - batch.past[:, -2]
        assert (step[:, 0] > 0).all()
        assert float(step[:, 1].abs().max()) < 1e-5

    def test_the_heading_of_a_static_target_is_that_of_its_whole_past(self) -> None:
        past = torch.tensor([[[0.0, 0.0], [0.0, 1.0], [0.0, 1.001]], [[1.0, 1.0]] * 3])
        turned = past @ data.heading_rotation(past)
        assert torch.allclose(turned[0, -1] - turned[0, 0], torch.tensor([1.001, 0.0]), atol=1e-5)
        assert torch.isfinite(turned[1]).all()

    def test_neighbors_come_nearest_first(self, batch) -> None:
        distance = -baselines.nearness(batch)
        assert (distance.diff(dim=1) >= 0).all()

    def test_more_force_moves_more(self) -> None:
        weak, strong = (float(data.true_effects(40, kappa, 1).mean()) for kappa in (0.5, 2.0))
        assert 0 < weak < strong

    def test_the_observation_does_not_know_of_the_counterfactual(self) -> None:
        whole, without = data.simulate(20, 2.0, 1), data.simulate(20, 2.0, 1, drop=0)
        assert torch.equal(whole[:, :, :8], without[:, :, :8])
        assert not torch.equal(whole[:, :, 8:], without[:, :, 8:])

    def test_on_a_circle_all_cross_one_point(self) -> None:
        paths = data.simulate(10, 0.0, 1, circle=True)
        centre = paths[:, :, 0].mean(1)
        start = (paths[:, :, 0] - centre[:, None]).norm(dim=-1)
        assert float(start.std()) < 3
        ways = paths[:, :, 8] - paths[:, :, 0]
        assert (ways.norm(dim=-1) > 2).all()

    def test_the_drawn_scene_is_the_simulation_without_noise(self) -> None:
        whole = data.drawn_scene(2.0)
        assert whole.shape == (1, 4, 20, 2)
        moved = data.drawn_effects(2.0)
        assert moved.argmax() == 0
        assert torch.equal(data.drawn_effects(0.0), torch.zeros(3))
        assert float(data.drawn_effects(2.0, absent=(0,))[0]) == 0

    def test_closest_approach_looks_ahead(self) -> None:
        batch = data.drawn_target(data.drawn_scene(0.0))
        near = -baselines.closest_approach(batch)[0]
        assert near.argmin() == 0
        assert baselines.nearness(batch)[0].argmax() != 2


def tracks_of(rows: dict[int, tuple[int, list[tuple[float, float] | None]]], period=None) -> Tracks:
    """Tracks from {agent: (side, positions or None)}."""
    positions = [[(np.nan, np.nan) if p is None else p for p in path] for _, path in rows.values()]
    grid = np.array(positions, dtype=np.float32).transpose(1, 0, 2)
    sides = np.array([side for side, _ in rows.values()])
    period = np.ones(len(grid), dtype=np.int64) if period is None else np.array(period)
    return Tracks(grid, sides, np.array(list(rows)), period)


def going(x: float, y: float, frames: int = 24) -> list[tuple[float, float]]:
    return [(x + 0.5 * t, y) for t in range(frames)]


class TestWindows:
    def test_the_ball_comes_first_and_the_rest_by_distance(self) -> None:
        rows = {
            55: (0, going(20, 0)),
            1: (1, going(0, 0)),
            2: (1, going(0, 8)),
            3: (2, going(0, 3)),
            4: (2, going(0, 90)),
        }
        batch, seen, ego = data.windows(tracks_of(rows), 4, 25.0, 24)
        first = np.flatnonzero(ego == 1)[0]
        assert seen[first].tolist()[:3] == [0, 3, 2]
        assert batch.mask[first].tolist() == [True, True, True, False]
        assert batch.kind[first].argmax(-1).tolist()[:3] == [0, 1, 2]
        assert 0 not in ego
        assert torch.allclose(batch.future[first, -1], torch.tensor([6.0, 0.0]), atol=1e-5)

    def test_a_ball_out_of_sight_leaves_its_slot_empty(self) -> None:
        rows = {55: (0, [None, *going(20, 0, 23)]), 1: (1, going(0, 0)), 2: (1, going(0, 8))}
        batch, seen, _ = data.windows(tracks_of(rows), 2, 25.0, 24)
        assert batch.mask[0].tolist() == [False, True]
        assert seen[0].tolist() == [0, 2]

    def test_without_a_ball_the_nearest_comes_first(self) -> None:
        rows = {1: (1, going(0, 0)), 2: (1, going(0, 8)), 3: (1, going(0, 3))}
        batch, seen, ego = data.windows(tracks_of(rows), 2, 25.0, 24)
        assert seen[ego == 0].tolist() == [[2, 1]]
        assert batch.mask.all()

    def test_no_window_crosses_a_gap_a_half_or_a_minute(self) -> None:
        whole = {1: (1, going(0, 0, 60))}
        assert len(data.windows(tracks_of(whole), 1, 25.0, 1)[0]) == 41
        halves = tracks_of(whole, period=[1] * 30 + [2] * 30)
        assert len(data.windows(halves, 1, 25.0, 1)[0]) == 22
        gap = {1: (1, [*going(0, 0, 30), None, *going(0, 0, 29)])}
        assert len(data.windows(tracks_of(gap), 1, 25.0, 1)[0]) == 21
        inside = data.windows(tracks_of(whole), 1, 25.0, 1, minutes=(0.0, 30 * 0.4 / 60))[0]
        assert inside.scene.max() + 19 < 30


class TestPedestrians:
    def test_companions_are_found_by_their_numbers(self, monkeypatch) -> None:
        monkeypatch.setattr(data.trajectories, "walking_groups", lambda scene: [{1, 2, 3}, {8, 9}])
        found = data.companions("x", np.array([[2, 9, 3], [8, 1, 2]]), np.array([1, 9]))
        assert found.tolist() == [[True, False, True], [True, False, False]]

    def test_group_hits_count_only_mixed_targets(self, batch) -> None:
        model = method.Predictor(8, 12, 1, hidden_dim=16)
        companion = torch.zeros(len(batch), 4, dtype=torch.bool)
        companion[:10, 0] = True
        companion[10:12] = True  # no other neighbor: not counted
        rows = {m.method: m.value for m in studies.companion_hits(model, batch, companion, "x", 0)}
        assert rows["targets"] == 10
        assert rows["nearest"] == 100
        assert rows["chance"] == 25

    def test_scenes_are_joined_without_loss(self, batch) -> None:
        assert len(data.concatenate([batch, batch[:5]])) == len(batch) + 5


class TestEvaluation:
    def test_the_sensitivity_to_an_empty_slot_is_zero(self, batch) -> None:
        mask = batch.mask.clone()
        mask[:, 2] = False
        found = evaluation.sensitivities(method.Predictor(8, 12, 1, hidden_dim=16), replace(batch, mask=mask))
        assert (found[:, 2] == 0).all()
        assert (found[:, 0] > 0).all()

    def test_blocks_are_wider_than_independent_windows(self) -> None:
        start = torch.arange(0, 7500, 3)
        luck = torch.randn(10, generator=torch.Generator().manual_seed(0))[start // 750]
        naive = float(luck.std() / len(luck) ** 0.5)
        assert evaluation.block_standard_error(luck, start) > 5 * naive
