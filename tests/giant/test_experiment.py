"""GIANT's experiment: seeds, arms, no label in a feature, the paper's configuration on tiny data, record, figures."""

from __future__ import annotations

import importlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rooms
import torch

from companion.data import real_dir, status
from companion.data.graphs import TextGraph
from companion.errors import CompanionError
from companion.giant import arms, figures, method, scaling, story
from companion.giant.arms import FLAT, FROZEN, GIANT, LINK, PLAIN, RANDOM, Budget, Clusters, Links
from companion.giant.downstream import Downstream
from companion.giant.experiment import Config, experiment
from companion.lab import load_record, values
from companion.lab.plots import png

room = importlib.import_module("companion.giant.experiment")  # the face of the room has a function of that name
CPU = torch.device("cpu")
CI = Config.at("ci")
QUICK = Downstream(epochs=10)
SMALL = replace(
    CI, data="tiny", budget=Budget(passes=2, batch=32, adapter=8, rank=8), giant=Clusters((1, 3), 3e-3), splits=2,
    flat=Clusters((2,), 3e-3), per_class=5, validation=20, watched=0.2, mlp=QUICK, gcn=QUICK,
)  # fmt: skip
needs_wordnet = pytest.mark.skipif(status("wordnet") != "cached", reason="WordNet is not in the cache: make data")


def tiny_graph() -> TextGraph:
    """Ninety nodes in three classes of their own words, mostly linked inside a class."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(3), 30)
    words = [[f"{'abc'[label]}{rng.integers(8)}{'xyz'[label]}" for _ in range(5)] for label in labels]
    pairs = [(i, int(rng.choice(np.flatnonzero(labels == labels[i])))) for i in range(90) for _ in range(2)]
    pairs += [(int(a), int(b)) for a, b in rng.integers(0, 90, (12, 2))]
    edges = np.unique(np.sort([pair for pair in pairs if pair[0] != pair[1]], axis=1), axis=0).T
    texts = [" ".join(line) for line in words]
    return TextGraph(texts, [f"node {i}" for i in range(90)], labels, ["a", "b", "c"], edges)


@pytest.fixture(autouse=True)
def tiny(monkeypatch) -> None:
    """Everything but real data runs on ninety nodes."""
    monkeypatch.setitem(arms.LOADERS, "tiny", lambda min_count: tiny_graph())
    arms.world.cache_clear()


@pytest.fixture(scope="module")
def rows():
    if status("wordnet") != "cached":
        pytest.skip("WordNet is not in the cache: make data")
    return experiment(CI, 0, CPU)


def test_a_seed_repeats_and_another_differs() -> None:
    rooms.repeats(lambda seed: experiment(SMALL, seed, CPU))


def test_every_claim_finds_its_arms(rows) -> None:
    rooms.finds_its_arms("giant", rows)


def test_no_label_reaches_a_feature(monkeypatch) -> None:
    """With the labels permuted, every feature of every arm is the same to the last bit."""

    def every() -> list[torch.Tensor]:
        arms.world.cache_clear()
        world = SMALL.world()
        chosen = arms.instances(world.links, 0.2, 1000, 0)[0]
        tuned = [arms.tune(world, arm, SMALL.choice(arm), SMALL.budget, chosen, 0) for arm in SMALL.tuned]
        return [world.tfidf, world.vectors, *(arms.features(each.encoder, 90) for each in tuned)]

    graph = tiny_graph()
    before = every()
    mixed = replace(graph, labels=np.random.default_rng(1).permutation(graph.labels))
    monkeypatch.setitem(arms.LOADERS, "tiny", lambda min_count: mixed)
    assert all(torch.equal(a, b) for a, b in zip(before, every(), strict=True))


def test_watched_nodes_are_no_instances_and_lonely_ones_neither() -> None:
    links = method.adjacency(np.array([[0, 1, 2, 3], [1, 2, 3, 4]]), 7)
    trained, watched = arms.instances(links, 0.4, 2, 0)
    assert sorted(trained.tolist() + watched.tolist()) == [0, 4]
    trained, watched = arms.instances(links, 0.4, 1000, 0)
    assert (len(trained), len(watched)) == (3, 2)
    assert not {5, 6} & {*trained.tolist(), *watched.tolist()}


def test_every_arm_has_the_same_steps() -> None:
    world, budget = SMALL.world(), Budget(passes=4, batch=32, adapter=8, rank=8)
    chosen = arms.instances(world.links, 0.2, 1000, 0)[0]
    wanted = 4 * -(-len(chosen) // 32)
    for arm in (GIANT, RANDOM, FLAT, PLAIN):
        tuned = arms.tune(world, arm, SMALL.choice(arm), budget, chosen, 0)
        assert sum(len(level.losses) for level in tuned.levels) == wanted, arm
    assert budget.recipe(1e-3, 1).epochs == (4,)


def test_every_arm_has_as_many_candidates_and_choices_are_among_them() -> None:
    tried = {name: {str(each) for each in found} for name, found in room.GRID.items()}
    tried |= {f"{FROZEN}, {kind}": {room.described(each) for each in room.CLASSIFIERS} for kind in ("MLP", "GCN")}
    assert {len(found) for found in tried.values()} == {8}
    chosen = room.chosen(Config.at("laptop"))
    assert chosen.keys() == tried.keys()
    assert all(chosen[name] in found for name, found in tried.items())


def test_sabotage_and_ablation_happen_in_the_setting_of_the_method() -> None:
    config = Config.at("laptop")
    assert config.choice(RANDOM) == config.choice(PLAIN) == config.choice(FROZEN) == config.choice(GIANT)
    assert isinstance(config.choice(LINK), Links)


def test_the_choice_runs_on_tiny_data(monkeypatch) -> None:
    monkeypatch.setattr(room, "GRID", {GIANT: [Clusters((1, 2), 1e-3)], LINK: [Links(3.0, 1e-3)]})
    monkeypatch.setattr(room, "CLASSIFIERS", [QUICK])
    found = room.choose(SMALL, 100, CPU)
    assert {row.method for row in found} == {GIANT, LINK, "frozen, MLP", "frozen, GCN"}


def test_an_unknown_graph_is_told_the_known_ones() -> None:
    with pytest.raises(CompanionError, match="data = 'products' is not known; use one of wordnet, cora_text"):
        arms.load("products", 3)


@pytest.mark.parametrize("amp", [False, True])
@pytest.mark.parametrize("layers", [1, arms.ALL])
def test_the_paper_configuration_runs_on_tiny_data(tmp_path: Path, layers: int, amp: bool) -> None:
    paper = Config.at("paper")
    assert (paper.data, paper.pieces, paper.budget.layers, paper.budget.amp) == ("ogbn_arxiv_text", 128, -1, True)
    assert paper.giant.depths == (5, 7, 9, 11)
    bert(tmp_path)
    small = replace(
        SMALL, encoder=str(tmp_path), pieces=12, tuned=(GIANT, PLAIN, LINK), with_gcn=(GIANT,),
        budget=paper.budget._replace(passes=2, rank=8, layers=layers, amp=amp),
    )  # fmt: skip
    found = room.layers(small, 1, CPU)
    assert {row.seed for row in found} == {2, 3}
    assert all(np.isfinite(row.value) for row in found)


def bert(folder: Path) -> None:
    """A random BERT of two layers that reads single characters' words, in a folder."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    vocabulary = ["[PAD]", "[UNK]", *(f"{a}{i}{b}" for a, b in zip("abc", "xyz", strict=True) for i in range(8))]
    core = Tokenizer(models.WordLevel({word: i for i, word in enumerate(vocabulary)}, unk_token="[UNK]"))
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    named = {"pad_token": "[PAD]", "unk_token": "[UNK]"}
    PreTrainedTokenizerFast(tokenizer_object=core, model_max_length=12, **named).save_pretrained(folder)
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
    torch.manual_seed(0)
    BertModel(BertConfig(vocab_size=len(vocabulary), max_position_embeddings=16, **sizes)).save_pretrained(folder)


@pytest.mark.real
def test_cora_with_texts_takes_the_place_of_the_default() -> None:
    if real_dir() is None or not (real_dir() / "cora_text").is_dir():
        pytest.skip("COMPANION_REAL holds no cora_text")
    found = experiment(replace(CI, data="cora_text"), 0, CPU)
    assert values(found, "accuracy", GIANT, "MLP")[0] > 0


class TestRecord:
    def test_the_cost_grows_no_faster_than_the_nodes_times_their_logarithm(self) -> None:
        found = load_record("giant").runs["cost"].measurements
        small, large = (values(found, "CPU seconds", scaling.TREE, f"{n:,} nodes")[0] for n in (10_000, 1_000_000))
        assert large / small < 100 * 20


class TestFigures:
    def test_results_hold_a_dot_a_seed(self, rows) -> None:
        figure = figures.results(rows, {"MLP": (FROZEN, GIANT), "GCN": (FROZEN,)})
        dots = [line for line in figure.axes[0].lines if line.get_marker() == "o"]
        assert [float(dot.get_xdata()[0]) for dot in dots] == pytest.approx(
            [float(values(rows, "accuracy", arm, "MLP")[0]) for arm in (GIANT, FROZEN)]
        )

    def test_the_toy_is_what_the_text_says(self) -> None:
        toy = story.toy()
        assert toy.pifa[4].tolist() == [0.0, 0.0, 1.0]
        assert toy.tree.leaves.tolist() in ([0, 0, 0, 1, 1, 1], [1, 1, 1, 0, 0, 0])
        assert png(figures.toy(toy))

    def test_shares_sum_to_one_and_cosines_tell_links(self) -> None:
        world = SMALL.world()
        tree = arms.plant(world, GIANT, (1, 3), 0)
        table = story.shares(world, tree, 2)
        assert table.shape == (8, 3)
        assert table.sum(1) == pytest.approx(np.ones(8))
        assert png(figures.trees({"a": table, "b": table}))
        pairs = story.cosines(world.vectors, world.texts.edges)
        assert float(pairs.linked.mean()) > float(pairs.random.mean())
        assert png(figures.pair_cosines({"a": pairs, "b": pairs}))

    def test_reading_marks_the_clusters_of_neighbours(self) -> None:
        reader = story.Reader(SMALL.world(), SMALL.giant, SMALL.budget, torch.arange(60), 0)
        found = reader.read("node 3", 2)
        assert found.true == set(reader.tree.cluster(2)[SMALL.world().links[3].indices].tolist())
        assert len(found.clusters) == 2
        assert png(figures.reading(found))

    def test_losses_block_model_and_cost_draw(self) -> None:
        figure = figures.losses({"a": [[3.0, 2.0, 1.0], [2.0, 1.0]], "b": [[3.0, 3.0, 3.0], [1.0, 1.0]]})
        assert png(figure)
        assert png(figures.block_model((0.8, 0.4), draws=200))
        if "cost" in load_record("giant").runs:
            assert png(figures.cost(load_record("giant").runs["cost"].measurements))
