"""The small worlds: what their graphs allow, what the critics would say of them, and that no target label is read."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from companion.grda import foresight, settings
from companion.grda.equilibrium import ceiling, climb, departures, graph, table_loss
from companion.grda.method import pair_weights
from companion.grda.settings import NAMES, PAW, PLAYERS, SETTINGS, Matrices, Recipe, Search, Setting, Turn
from companion.lab import load_record, values

CI = Search.at("ci")
ALL = [pytest.param(setting, id=setting.name) for setting in SETTINGS]


def shares_of(setting: Setting) -> torch.Tensor:
    """The true shares of the classes, (V, K) float64."""
    return torch.tensor(setting.shares, dtype=torch.float64)


@pytest.mark.parametrize("setting", ALL)
def test_the_truth_is_an_equilibrium_but_where_it_is_said_not_to_be(setting: Setting) -> None:
    shares = shares_of(setting)
    assert torch.allclose(shares.sum(1), torch.ones(len(shares)).double())
    weights = pair_weights(graph(len(shares), list(setting.edges)), same_domain=True)
    at_the_top = table_loss(shares, weights) > ceiling(weights) - 1e-9
    assert bool(at_the_top) == (setting.name != "paw, false condition")
    assert departures(shares).abs().max() > 0.05, "an equilibrium with equal domains would be DANN's"


@pytest.mark.parametrize("start", range(4))
def test_a_paw_s_hub_is_like_its_tail_and_the_others_are_alike(start: int) -> None:
    adjacency = graph(4, list(PAW))
    tail, hub, third, fourth = climb(adjacency, 3, True, start, True, 30)[-1]
    assert (hub - tail).abs().max() < 3e-3
    assert (third - fourth).abs().max() < 3e-3
    assert (hub - third).abs().max() > 0.02


@pytest.mark.parametrize("setting", ALL)
def test_a_gram_matrix_finds_no_more_than_any_discriminator(setting: Setting) -> None:
    shares, weights = shares_of(setting), pair_weights(setting.graph(), same_domain=True)
    found = foresight.gram_loss(shares, setting.graph())
    assert float(table_loss(shares, weights)) - 1e-9 <= found <= math.log(2) + 1e-9


def test_a_gram_matrix_is_blind_where_connected_domains_differ() -> None:
    shares = torch.tensor([[0.9, 0.1], [0.1, 0.9]]).double()
    adjacency = graph(2, [(0, 1)])
    assert foresight.gram_loss(shares, adjacency) == pytest.approx(math.log(2), abs=1e-6)
    assert table_loss(shares, pair_weights(adjacency, same_domain=True)) < math.log(2) - 0.1


def test_the_uniform_loss_is_what_the_domain_s_number_has_left() -> None:
    assert foresight.uniform_loss(torch.full((5, 3), 1 / 3).double()) == pytest.approx(math.log(5))
    assert foresight.uniform_loss(torch.eye(4).double()) == pytest.approx(0)


@pytest.mark.parametrize(
    ("name", "graph_says", "uniform_says"),
    [("paw", 100, 0), ("paw, wrong graph", 0, 0), ("paw, false condition", 0, 100), ("chain of 3, middle", 100, 100)],
)
def test_what_the_critics_would_have_is_known_before_training(name: str, graph_says: int, uniform_says: int) -> None:
    assert foresight.forecast(NAMES[name]) == {"GRDA": graph_says, "DANN": uniform_says}


@pytest.mark.parametrize("setting", ALL)
def test_a_draw_has_its_shares_and_only_targets_are_turned(setting: Setting) -> None:
    data, straight = settings.draw(setting, 200, 0), settings.draw(replace(setting, turn=0.0), 200, 0)
    counts = [np.bincount(row, minlength=len(setting.shares[0])) / 200 for row in data.y.numpy()]
    np.testing.assert_allclose(counts, setting.shares, atol=0.003)
    torch.testing.assert_close(data.x[data.sources], straight.x[data.sources])
    torch.testing.assert_close(data.x.norm(dim=-1), straight.x.norm(dim=-1))
    assert not torch.allclose(data.x[~data.sources], straight.x[~data.sources], atol=0.01)
    torch.testing.assert_close(data.x, settings.draw(setting, 200, 0).x)
    assert not torch.equal(data.x, settings.draw(setting, 200, 1).x)


def test_a_turn_keeps_lengths_and_starts_as_its_matrix() -> None:
    angles, x, z = np.array([0.0, 1.0, -2.5]), torch.randn(3, 5, 2), torch.eye(3)
    turned = Turn(angles)(x, z)
    torch.testing.assert_close(turned, Matrices(angles)(x, z))
    torch.testing.assert_close(turned.norm(dim=-1), x.norm(dim=-1))
    torch.testing.assert_close(turned[0], x[0])
    quarter = Turn(np.array([math.pi / 2]))(torch.tensor([[[1.0, 0.0]]]), torch.eye(1))
    torch.testing.assert_close(quarter, torch.tensor([[[0.0, 1.0]]]), atol=1e-6, rtol=0)


@pytest.mark.parametrize("player", PLAYERS)
@pytest.mark.parametrize("name", ["paw", "paw, paper's encoder"])
def test_no_arm_reads_a_target_s_label(player: str, name: str) -> None:
    setting, recipe = NAMES[name], Recipe(1.0, 0.03)
    data = settings.draw(setting, CI.samples, 0)
    blind = data._replace(y=torch.where(data.sources[:, None], data.y, 1 - data.y))
    seen = settings.play(setting, data, player, recipe, CI, 0)
    unseen = settings.play(setting, blind, player, recipe, CI, 0)
    for (right, by), (wrong, same) in zip(seen, unseen, strict=True):
        assert right + wrong == pytest.approx(100)
        assert by == same


def test_self_training_reads_no_target_s_label_either() -> None:
    data = settings.draw(NAMES["paw"], CI.samples, 0)
    blind = data._replace(y=torch.where(data.sources[:, None], data.y, 1 - data.y))
    seen, unseen = (np.array(settings.walk(NAMES["paw"], part, 2)) for part in (data, blind))
    np.testing.assert_allclose(seen[:, 0] + unseen[:, 0], 100)
    np.testing.assert_array_equal(seen[:, 1], unseen[:, 1])


def test_kept_is_what_the_arm_goes_by_whatever_its_accuracy() -> None:
    rows = settings.rows_of("GRDA", "paw", 7, [(90.0, 0.5), (10.0, 0.69), (95.0, 0.6)])
    found = {row.method: row.value for row in rows}
    assert found == {"GRDA, mean": pytest.approx(65), "GRDA, kept": 10.0}


def test_the_search_measures_every_arm_of_every_setting() -> None:
    rows = settings.search(replace(CI, names=("paw", "star, one leaf")), 0, torch.device("cpu"))
    arms = {f"{arm}, {which}" for arm in (*PLAYERS, "self-training") for which in ("mean", "kept")}
    for name in ("paw", "star, one leaf"):
        assert {row.method for row in rows if row.setting == name} == arms
    assert set(settings.CHOSEN) == set(NAMES)
    assert all(recipe in settings.GRID for chosen in settings.CHOSEN.values() for recipe in chosen.values())
    choices = settings.choose(replace(CI, names=("paw",)), 0, torch.device("cpu"))
    assert len({row.setting for row in choices}) == len(settings.GRID)


@pytest.mark.parametrize("setting", ALL)
def test_the_recipes_are_the_best_of_the_recorded_choice(setting: Setting) -> None:
    rows = load_record("grda").runs["choice settings"].measurements
    for player in PLAYERS:
        found = {
            recipe: values(rows, "accuracy", f"{player}, kept", f"{setting.name}: {recipe}").mean()
            for recipe in settings.GRID
        }
        assert found[settings.CHOSEN[setting.name][player]] == max(found.values()), player
