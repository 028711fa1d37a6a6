"""The toy domains: what their graphs allow, what the discriminators predict, and that no target label is read."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from companion.grda import studies, theory, training
from companion.grda.data import TAIL, TOY, TOYS, ToyDomains, draw_toy
from companion.grda.evaluation import Outcome, over_starts
from companion.grda.experiment import Config, toy_experiment
from companion.grda.method import pair_weights
from companion.grda.theory import departures, graph, max_loss, maximize_loss, table_loss
from companion.grda.training import SELF_TRAINING, TOY_METHODS, DomainMatrices, DomainRotation
from companion.lab import load_record, values

CI = Config.at("ci")
CPU = torch.device("cpu")
ALL = [pytest.param(toy, id=toy.name) for toy in TOYS]


def shares_of(toy: ToyDomains) -> torch.Tensor:
    """The true shares of the classes, (V, K) float64."""
    return torch.tensor(toy.shares, dtype=torch.float64)


@pytest.mark.parametrize("toy", ALL)
def test_the_truth_is_an_equilibrium_but_where_it_is_said_not_to_be(toy: ToyDomains) -> None:
    shares = shares_of(toy)
    assert torch.allclose(shares.sum(1), torch.ones(len(shares)).double())
    weights = pair_weights(graph(len(shares), list(toy.edges)), same_domain=True)
    at_the_top = table_loss(shares, weights) > max_loss(weights) - 1e-9
    assert bool(at_the_top) == (toy.name != "triangle with tail, false condition")
    assert departures(shares).abs().max() > 0.05, "an equilibrium with equal domains would be DANN's"


@pytest.mark.parametrize("start", range(4))
def test_a_hub_becomes_equal_to_its_tail_and_the_others_to_each_other(start: int) -> None:
    adjacency = graph(4, list(TAIL))
    tail, hub, third, fourth = maximize_loss(adjacency, 3, True, start, True, 30)[-1]
    assert (hub - tail).abs().max() < 3e-3
    assert (third - fourth).abs().max() < 3e-3
    assert (hub - third).abs().max() > 0.02


@pytest.mark.parametrize("toy", ALL)
def test_a_gram_matrix_finds_no_more_than_any_discriminator(toy: ToyDomains) -> None:
    shares, weights = shares_of(toy), pair_weights(toy.given_graph(), same_domain=True)
    found = theory.gram_loss(shares, toy.given_graph())
    assert float(table_loss(shares, weights)) - 1e-9 <= found <= math.log(2) + 1e-9


def test_a_gram_matrix_is_uninformative_where_connected_domains_differ() -> None:
    shares = torch.tensor([[0.9, 0.1], [0.1, 0.9]]).double()
    adjacency = graph(2, [(0, 1)])
    assert theory.gram_loss(shares, adjacency) == pytest.approx(math.log(2), abs=1e-6)
    assert table_loss(shares, pair_weights(adjacency, same_domain=True)) < math.log(2) - 0.1


def test_the_uniform_loss_is_the_entropy_of_the_domain() -> None:
    assert theory.uniform_loss(torch.full((5, 3), 1 / 3).double()) == pytest.approx(math.log(5))
    assert theory.uniform_loss(torch.eye(4).double()) == pytest.approx(0)


@pytest.mark.parametrize(
    ("name", "graph_says", "uniform_says"),
    [
        ("triangle with tail", 100, 0),
        ("triangle with tail, wrong graph", 0, 0),
        ("triangle with tail, false condition", 0, 100),
        ("chain of 3, middle", 100, 100),
    ],
)
def test_what_the_discriminators_allow_is_known_before_training(name: str, graph_says: int, uniform_says: int) -> None:
    toy = TOY[name]
    assert theory.predicted_accuracy(shares_of(toy), toy.given_graph(), toy.targets()) == {
        "GRDA": graph_says,
        "DANN": uniform_says,
    }


@pytest.mark.parametrize("toy", ALL)
def test_a_draw_has_its_shares_and_only_targets_are_rotated(toy: ToyDomains) -> None:
    data, straight = draw_toy(toy, 200, 0), draw_toy(replace(toy, max_rotation=0.0), 200, 0)
    counts = [np.bincount(row, minlength=len(toy.shares[0])) / 200 for row in data.y.numpy()]
    np.testing.assert_allclose(counts, toy.shares, atol=0.003)
    torch.testing.assert_close(data.x[data.sources], straight.x[data.sources])
    torch.testing.assert_close(data.x.norm(dim=-1), straight.x.norm(dim=-1))
    assert not torch.allclose(data.x[~data.sources], straight.x[~data.sources], atol=0.01)
    torch.testing.assert_close(data.x, draw_toy(toy, 200, 0).x)
    assert not torch.equal(data.x, draw_toy(toy, 200, 1).x)


def test_a_rotation_keeps_lengths_and_equals_its_matrix() -> None:
    angles, x, z = np.array([0.0, 1.0, -2.5]), torch.randn(3, 5, 2), torch.eye(3)
    rotated = DomainRotation(angles)(x, z)
    torch.testing.assert_close(rotated, DomainMatrices(angles)(x, z))
    torch.testing.assert_close(rotated.norm(dim=-1), x.norm(dim=-1))
    torch.testing.assert_close(rotated[0], x[0])
    quarter = DomainRotation(np.array([math.pi / 2]))(torch.tensor([[[1.0, 0.0]]]), torch.eye(1))
    torch.testing.assert_close(quarter, torch.tensor([[[0.0, 1.0]]]), atol=1e-6, rtol=0)


@pytest.mark.parametrize("method", TOY_METHODS)
@pytest.mark.parametrize("name", ["triangle with tail", "triangle with tail, paper's encoder"])
def test_no_method_reads_a_target_s_label(method: str, name: str) -> None:
    toy, config = TOY[name], replace(CI.toy_config(name, method), lam=1.0, lr=0.03)
    data = draw_toy(toy, CI.toy_samples, 0)
    flipped = replace(data, y=torch.where(data.sources[:, None], data.y, 1 - data.y))
    seen = training.train_toy(toy, data, method, config, 0)
    unseen = training.train_toy(toy, flipped, method, config, 0)
    for (right, by), (wrong, same) in zip(seen, unseen, strict=True):
        assert right + wrong == pytest.approx(100)
        assert by == same


def test_self_training_reads_no_target_s_label_either() -> None:
    toy = TOY["triangle with tail"]
    data = draw_toy(toy, CI.toy_samples, 0)
    flipped = replace(data, y=torch.where(data.sources[:, None], data.y, 1 - data.y))
    seen, unseen = (np.array(training.self_train_toy(toy, part, 2)) for part in (data, flipped))
    np.testing.assert_allclose(seen[:, 0] + unseen[:, 0], 100)
    np.testing.assert_array_equal(seen[:, 1], unseen[:, 1])


def test_the_start_is_selected_by_its_criterion_whatever_its_accuracy() -> None:
    rows = over_starts("GRDA", "triangle with tail", 7, [Outcome(90.0, 0.5), Outcome(10.0, 0.69), Outcome(95.0, 0.6)])
    found = {row.method: row.value for row in rows}
    assert found == {"GRDA, mean": pytest.approx(65), "GRDA, selected": 10.0}


def test_every_method_is_measured_on_every_toy() -> None:
    names = ("triangle with tail", "star, one leaf")
    config = replace(CI, toy_methods=dict.fromkeys(names, TOY_METHODS))
    rows = toy_experiment(config, 0, CPU)
    methods = {f"{method}, {which}" for method in (*TOY_METHODS, SELF_TRAINING) for which in ("mean", "selected")}
    for name in names:
        assert {row.method for row in rows if row.setting == name} == methods
    assert set(training.TOY_TUNED) == set(TOY)
    assert all(tuned in studies.TOY_GRID for found in training.TOY_TUNED.values() for tuned in found.values())
    tuning = studies.tune_toys(replace(config, toy_methods={"triangle with tail": TOY_METHODS}), 0, CPU)
    assert len({row.setting for row in tuning}) == len(studies.TOY_GRID)


@pytest.mark.parametrize("toy", ALL)
def test_the_settings_are_the_best_of_the_stored_tuning(toy: ToyDomains) -> None:
    rows = load_record("grda").runs["tuning toy domains"].measurements
    for method in TOY_METHODS:
        found = {
            candidate: values(rows, "accuracy", f"{method}, selected", f"{toy.name}: {candidate}").mean()
            for candidate in studies.TOY_GRID
        }
        assert found[training.TOY_TUNED[toy.name][method]] == max(found.values()), method
