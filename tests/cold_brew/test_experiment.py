"""The experiment: seeds, training steps, the paper's configuration on a small graph, real graphs where they are."""

import pytest
import rooms
import torch

from companion import data
from companion.cold_brew import studies, training
from companion.cold_brew.data import ColdStart, rewire
from companion.cold_brew.evaluation import accuracy
from companion.cold_brew.experiment import Config, experiment, load_data, settings_of_all
from companion.cold_brew.training import DISTILLED, GCN, LP, METHODS, MLP, SAGE, STUDENT, TEACHER, TRAINED

CPU = torch.device("cpu")
CI = Config.at("ci")
pytestmark = pytest.mark.skipif(data.status("wordnet") != "cached", reason="WordNet is not in the cache: make data")


@pytest.fixture(scope="module")
def measured():
    return experiment(CI, 0, CPU)


def test_every_method_is_measured_on_every_group(measured):
    for group in ("head", "tail", "isolation", "overall", "degree 0", "degree 8+"):
        assert {m.method for m in measured if m.setting == group} == set(METHODS)
    assert all(0 <= m.value <= 100 for m in measured)


def test_the_same_seed_repeats_and_another_differs(measured):
    rooms.repeats(lambda seed: experiment(CI, seed, CPU), measured)


def test_every_claim_finds_its_methods(measured):
    rooms.finds_its_arms("cold_brew", measured)


def test_the_student_uses_no_edge(measured):
    values = {m.value for m in measured if m.method == STUDENT and "rewired" in m.setting}
    assert len(values) == 1
    assert values == {m.value for m in measured if (m.method, m.setting) == (STUDENT, "tail")}


def test_a_method_does_not_depend_on_which_were_trained_before(measured):
    data = load_data(CI, 0, CPU)
    isolated = data.split.test_groups(data.y >= 0)["isolation"]
    scores = training.train_mlp(data, CI.train[MLP], CI.hidden_dim)(data.x)
    alone = accuracy(scores[isolated], data.y[isolated])
    assert alone in [m.value for m in measured if (m.method, m.setting) == (MLP, "isolation")]


def test_pilot_and_tuning_use_no_test_node(monkeypatch):
    def forbidden(*_):
        raise AssertionError("test nodes were asked for")

    monkeypatch.setattr(ColdStart, "test_groups", forbidden)
    one = {name: {"as configured": CI.train[name]} for name in (GCN, STUDENT)}
    monkeypatch.setattr(studies, "search_space", lambda _: one)
    assert {m.setting for m in studies.pilot(CI, 0, CPU)} >= {"isolation", "tail"}
    assert len(studies.tune(CI, 0, CPU)) == 2


def test_every_trained_method_has_the_same_number_of_candidates():
    assert {name: len(tried) for name, tried in studies.search_space(CI).items()} == dict.fromkeys(TRAINED, 16)


def test_the_configured_settings_are_among_the_candidates():
    space = studies.search_space(CI)
    assert all(space[name][described] == CI.train[name] for name, described in studies.selected(CI).items())


@pytest.mark.parametrize("scale", ["ci", "laptop", "study", "paper"])
def test_the_distilled_mlp_gets_as_many_steps_as_both_networks_of_the_student(scale):
    train = Config.at(scale).train
    assert train[DISTILLED].steps == train[STUDENT].steps + train[STUDENT].embedding_steps
    assert train[DISTILLED].batch_size == train[STUDENT].batch_size
    assert len({train[name].steps for name in (GCN, SAGE, TEACHER, MLP, STUDENT)}) == 1


def test_every_network_is_trained_for_the_configured_steps(monkeypatch):
    steps = []
    monkeypatch.setattr(training, "train", lambda net, batches, loss_fn, config, validate: steps.append(config.steps))
    data = load_data(CI, 0, CPU)
    teacher = training.train_teacher(data, CI.train[TEACHER], CI.hidden_dim, CI.eta)
    training.train_student(data, teacher, CI.train[STUDENT], CI.hidden_dim)
    training.distill_mlp(data, CI.train[DISTILLED], CI.hidden_dim, teacher)
    assert steps == [20, 40, 20, 60]


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_rewiring_leaves_edges_outside_the_tail_alone(share):
    split = load_data(CI, 0, CPU).split
    before = {tuple(e) for e in split.edge_index.T.tolist()}
    after = {tuple(e) for e in rewire(split.edge_index, split.tail_mask, share, seed=0).T.tolist()}
    tail = set(torch.nonzero(split.tail_mask).flatten().tolist())
    outside = {e for e in before if not tail & set(e)}
    assert outside <= after
    assert {(b, a) for a, b in after} == after
    unchanged = len({e for e in before - outside if e in after}) / len(before - outside)
    assert unchanged == pytest.approx(1 - share, abs=0.12)


def test_the_paper_configuration_runs_on_a_small_graph():
    """Neighbor sampling, chunked retrieval and two-hop neighborhoods as at paper scale, on a graph of 3,910 nodes."""
    paper = Config.at("paper")
    small = paper.override(
        data="wordnet", min_count=5, num_features=64, hidden_dim=16, num_train_per_class=20, num_val=200, fanout=(3, 2),
        **settings_of_all(steps=6, batch_size=64),
    )  # fmt: skip
    measurements = experiment(small, 0, CPU)
    student = [m.value for m in measurements if (m.method, m.setting) == (STUDENT, "isolation")]
    assert len(student) == 1
    assert all(paper.train[name].batch_size == 4096 for name in TRAINED if name != MLP)
    assert paper.data == "ogbn-arxiv"


def test_sampled_training_learns_what_whole_graph_training_learns():
    whole = CI.override(fanout=(20, 20), **settings_of_all(steps=60))
    sampled = whole.override(**settings_of_all(steps=60, batch_size=10**6))
    accuracies = []
    for config in (whole, sampled):
        data = load_data(config, 0, CPU)
        teacher = training.train_teacher(data, config.train[TEACHER], config.hidden_dim, config.eta)
        scores, val = teacher(data.x, data.adjacency), data.split.val_mask
        accuracies.append(accuracy(scores[val], data.y[val]))
    assert accuracies[1] == pytest.approx(accuracies[0], abs=8)
    assert accuracies[0] > 40


@pytest.mark.real
@pytest.mark.parametrize("name", ["Cora", "CiteSeer"])
def test_real_graphs(name):
    if data.real_dir() is None:
        pytest.skip("COMPANION_REAL names no folder with the planetoid graphs")
    config = studies.STUDIES[name].config
    small = config.override(hidden_dim=16, rewired_shares=(0.0, 1.0), **settings_of_all(steps=20))
    value = {(m.method, m.setting): m.value for m in experiment(small, 0, CPU)}
    assert value[GCN, "head"] > value[LP, "isolation"]
    assert value[MLP, "isolation"] > 25
