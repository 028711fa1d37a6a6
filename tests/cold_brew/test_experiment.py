"""The experiment: seeds, budgets, the paper's configuration on a small graph, real graphs where they are."""

import importlib
from dataclasses import replace

import pytest
import rooms
import torch

from companion import data
from companion.cold_brew import arms
from companion.cold_brew.experiment import Config, build_world, experiment, rewire

room = importlib.import_module("companion.cold_brew.experiment")  # the room's face has a function of this name
CPU = torch.device("cpu")
CI = Config.at("ci")
pytestmark = pytest.mark.skipif(data.status("wordnet") != "cached", reason="WordNet is not in the cache: make data")


@pytest.fixture(scope="module")
def measured():
    return experiment(CI, 0, CPU)


def test_every_arm_is_measured_on_every_group(measured):
    methods = {"lp", "gcn", "sage", "teacher", "mlp", "distilled", "student", "no neighbours", "plain logits"}
    for group in ("head", "tail", "isolation", "overall", "degree 0", "degree 8+"):
        assert {m.method for m in measured if m.setting == group} == methods
    assert all(0 <= m.value <= 100 for m in measured)


def test_the_same_seed_repeats_and_another_differs(measured):
    rooms.repeats(lambda seed: experiment(CI, seed, CPU), measured)


def test_every_claim_finds_its_arms(measured):
    rooms.finds_its_arms("cold_brew", measured)


def test_the_student_reads_no_edge(measured):
    values = {m.value for m in measured if m.method == "student" and "rewired" in m.setting}
    assert len(values) == 1
    assert values == {m.value for m in measured if (m.method, m.setting) == ("student", "tail")}


def test_an_arm_does_not_depend_on_which_ran_before(measured):
    world = build_world(CI, 0, CPU)
    alone = room.accuracy(arms.train_mlp(world, CI.mlp), world.y, world.split.test_groups(world.y >= 0)["isolation"])
    assert alone in [m.value for m in measured if (m.method, m.setting) == ("mlp", "isolation")]


def test_rehearsal_and_choice_look_at_no_test_node(monkeypatch):
    def forbidden(*_):
        raise AssertionError("test nodes were asked for")

    monkeypatch.setattr(room.ColdStart, "test_groups", forbidden)
    one = {"gcn": [arms.Recipe()], "student": [arms.StudentRecipe()]}
    monkeypatch.setattr(room, "candidates", lambda: one)
    assert {m.setting for m in room.rehearse(CI, 0, CPU)} >= {"isolation", "tail"}
    assert len(room.choose(CI, 0, CPU)) == 2


def test_every_trained_arm_has_the_same_number_of_candidates():
    assert {len(recipes) for recipes in room.candidates().values()} == {16}


def test_the_distilled_mlp_gets_the_students_budget(monkeypatch):
    steps = {}
    monkeypatch.setattr(arms, "fit", lambda net, loss, score, n, *_: steps.setdefault(id(net), n))
    world = build_world(CI, 0, CPU)
    teacher = arms.train_teacher(world, CI.teacher)
    steps.clear()
    arms.train_student(world, teacher, CI.student)
    student = sum(steps.values())
    steps.clear()
    arms.train_mlp(world, CI.distilled, torch.full((len(world.y), world.classes), 1 / world.classes))
    assert sum(steps.values()) == student


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_rewiring_leaves_edges_outside_the_tail_alone(share):
    world = build_world(CI, 0, CPU)
    before = {tuple(e) for e in world.split.edge_index.T.tolist()}
    after = {tuple(e) for e in rewire(world.split.edge_index, world.split.tail, share, seed=0).T.tolist()}
    tail = set(torch.nonzero(world.split.tail).flatten().tolist())
    outside = {e for e in before if not tail & set(e)}
    assert outside <= after
    assert {(b, a) for a, b in after} == after
    kept = len({e for e in before - outside if e in after}) / len(before - outside)
    assert kept == pytest.approx(1 - share, abs=0.12)


def test_the_paper_configuration_runs_on_a_small_graph():
    """Neighbour sampling, chunked retrieval and two-hop pieces as at paper scale, on a graph of 3,910 nodes."""
    paper = Config.at("paper")
    small = replace(paper, data="wordnet", min_count=5, features=64, hidden=16, steps=6, per_class=20, validation=200,
                    batch=64, fanout=(3, 2))  # fmt: skip
    rows = experiment(small, 0, CPU)
    student = [m.value for m in rows if (m.method, m.setting) == ("student", "isolation")]
    assert len(student) == 1
    assert paper.fanout
    assert paper.data == "ogbn-arxiv"


def test_sampled_training_learns_what_whole_graph_training_learns():
    whole = replace(CI, steps=60)
    sampled = replace(whole, fanout=(20, 20), batch=10**6)
    worlds = [build_world(config, 0, CPU) for config in (whole, sampled)]
    scores = []
    for world in worlds:
        teacher = arms.train_teacher(world, CI.teacher)
        out = teacher(world.x, world.adjacency).detach()
        scores.append(room.accuracy(out, world.y, world.split.val))
    assert scores[1] == pytest.approx(scores[0], abs=8)
    assert scores[0] > 40


@pytest.mark.real
@pytest.mark.parametrize("name", ["Cora", "CiteSeer"])
def test_real_graphs(name):
    if data.real_dir() is None:
        pytest.skip("COMPANION_REAL names no folder with the planetoid graphs")
    plan = room.FURTHER[name]
    rows = experiment(replace(plan.config, steps=20, hidden=16, rewired=(0.0, 1.0)), 0, CPU)
    value = {(m.method, m.setting): m.value for m in rows}
    assert value["gcn", "head"] > value["lp", "isolation"]
    assert value["mlp", "isolation"] > 25
