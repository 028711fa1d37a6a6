"""GIANT's experiment: seeds, methods, no label in a feature, the paper's configuration on tiny data, figures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rooms
import torch

from companion.data import real_dir, status
from companion.data.graphs import TextGraph
from companion.errors import CompanionError
from companion.giant import Config, data, evaluation, experiment, figures, method, studies
from companion.giant.evaluation import ClassifierConfig
from companion.giant.training import (
    FLAT,
    FROZEN,
    GIANT,
    LINK,
    NO_BOOTSTRAP,
    RANDOM,
    WHOLE_ENCODER,
    build_tree,
    tune,
)  # fmt: skip
from companion.lab import load_record, values
from companion.lab.display import png
from companion.lab.tuning import best

CPU = torch.device("cpu")
CI = Config.at("ci")
SMALL = CI.override(
    data="tiny", adapter_dim=8, pifa_dim=8, num_splits=2, train_per_class=5, num_validation=20, held_out=0.2,
    train={name: replace(each, batch_size=32) for name, each in CI.train.items()},
    **{"train.GIANT.depths": (1, 3), "train.flat.depths": (2,)},
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
    monkeypatch.setitem(data.LOADERS, "tiny", lambda min_count: tiny_graph())
    data.load_data.cache_clear()


@pytest.fixture(scope="module")
def rows():
    if status("wordnet") != "cached":
        pytest.skip("WordNet is not in the cache: make data")
    return experiment(CI, 0, CPU)


def test_a_seed_repeats_and_another_differs() -> None:
    rooms.repeats(lambda seed: experiment(SMALL, seed, CPU))


def test_every_claim_finds_its_methods(rows) -> None:
    rooms.finds_its_arms("giant", rows)


def test_no_label_reaches_a_feature(monkeypatch) -> None:
    """With the labels permuted, every feature of every method is the same to the last bit."""

    def every() -> list[torch.Tensor]:
        data.load_data.cache_clear()
        loaded = SMALL.load_data()
        instances = data.split_instances(loaded.adjacency, 0.2, 1000, 0)[0]
        tuned = [tune(loaded, name, SMALL, instances, 0) for name in SMALL.methods]
        return [loaded.tfidf, loaded.vectors, *(method.encode(each.encoder, torch.arange(90)) for each in tuned)]

    graph = tiny_graph()
    before = every()
    mixed = replace(graph, labels=np.random.default_rng(1).permutation(graph.labels))
    monkeypatch.setitem(data.LOADERS, "tiny", lambda min_count: mixed)
    assert all(torch.equal(a, b) for a, b in zip(before, every(), strict=True))


def test_held_out_and_isolated_nodes_are_not_instances() -> None:
    adjacency = method.adjacency_matrix(np.array([[0, 1, 2, 3], [1, 2, 3, 4]]), 7)
    trained, held_out = data.split_instances(adjacency, 0.4, 2, 0)
    assert sorted(trained.tolist() + held_out.tolist()) == [0, 4]
    trained, held_out = data.split_instances(adjacency, 0.4, 1000, 0)
    assert (len(trained), len(held_out)) == (3, 2)
    assert not {5, 6} & {*trained.tolist(), *held_out.tolist()}


def test_every_method_has_the_same_steps() -> None:
    config = SMALL.override(train={name: replace(each, epochs=4) for name, each in SMALL.train.items()})
    loaded = config.load_data()
    instances = data.split_instances(loaded.adjacency, 0.2, 1000, 0)[0]
    expected = 4 * -(-len(instances) // 32)
    for name in (GIANT, RANDOM, FLAT, NO_BOOTSTRAP):
        levels = tune(loaded, name, config, instances, 0).levels
        assert sum(len(level.losses) for level in levels) == expected, name


@pytest.mark.parametrize("scale", ["ci", "laptop", "study", "paper"])
def test_tuned_methods_share_all_but_what_was_tuned(scale: str) -> None:
    train = Config.at(scale).train.values()
    assert len({replace(each, lr=0.1, depths=(), sharpness=1.0) for each in train}) == 1


def test_every_method_has_as_many_candidates_and_the_best_are_used() -> None:
    config, stored = Config.at("laptop"), load_record("giant").runs["tuning"].measurements
    space, selected = studies.search_space(config), studies.selected(config)
    assert {len(candidates) for candidates in space.values()} == {8}
    assert selected.keys() == space.keys()
    assert selected == {name: best(stored, "accuracy", name) for name in space}
    assert {m.setting for m in stored if m.method == GIANT} == space[GIANT].keys()


def test_ablations_use_the_settings_of_the_method() -> None:
    config = Config.at("laptop")
    assert config.settings(RANDOM) == config.settings(NO_BOOTSTRAP) == config.settings(FROZEN) == config.train[GIANT]
    assert config.settings(LINK) == config.train[LINK]


def test_tuning_runs_on_tiny_data(monkeypatch) -> None:
    some = {
        GIANT: {"a": replace(SMALL.train[GIANT], depths=(1, 2))}, LINK: {"b": SMALL.train[LINK]},
        "MLP": {"c": ClassifierConfig(epochs=10)}, "GCN": {"d": ClassifierConfig(epochs=10)},
    }  # fmt: skip
    monkeypatch.setattr(studies, "search_space", lambda config: some)
    found = studies.tune_all(SMALL, 100, CPU)
    assert [(row.method, row.setting) for row in found] == [(GIANT, "a"), (LINK, "b"), ("MLP", "c"), ("GCN", "d")]


def test_an_unknown_graph_is_refused_and_the_known_ones_are_named() -> None:
    with pytest.raises(CompanionError, match="data = 'products' is not known; use one of wordnet, cora_text"):
        data.load_graph("products", 3)


@pytest.mark.parametrize("amp", [False, True])
@pytest.mark.parametrize("layers", [1, WHOLE_ENCODER])
def test_the_paper_configuration_runs_on_tiny_data(tmp_path: Path, layers: int, amp: bool) -> None:
    paper = Config.at("paper")
    assert (paper.data, paper.max_length, paper.tuned_layers) == ("ogbn_arxiv_text", 128, WHOLE_ENCODER)
    assert (paper.train[GIANT].depths, paper.train[GIANT].amp) == ((5, 7, 9, 11), True)
    bert(tmp_path)
    small = SMALL.override(
        encoder=str(tmp_path), max_length=12, tuned_layers=layers, methods=(GIANT, NO_BOOTSTRAP, LINK),
        gcn_methods=(GIANT,), **{"train.GIANT.amp": amp, "train.link prediction.amp": amp},
    )  # fmt: skip
    found = studies.tune_layers(small, 1, CPU)
    assert {row.seed for row in found} == {2, 3}
    assert all(np.isfinite(row.value) for row in found)


def bert(folder: Path) -> None:
    """A random BERT of two layers whose vocabulary is that of the tiny graph, in a folder."""
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
    def test_the_runtime_grows_no_faster_than_the_nodes_times_their_logarithm(self) -> None:
        found = load_record("giant").runs["runtime"].measurements
        small, large = (values(found, "CPU seconds", "tree", f"{n:,} nodes")[0] for n in (10_000, 1_000_000))
        assert large / small < 100 * 20


class TestFigures:
    def test_results_hold_a_dot_per_seed(self, rows) -> None:
        figure = figures.results(rows, {"MLP": (FROZEN, GIANT), "GCN": (FROZEN,)})
        dots = [line for line in figure.axes[0].lines if line.get_marker() == "o"]
        assert [float(dot.get_xdata()[0]) for dot in dots] == pytest.approx(
            [float(values(rows, "accuracy", name, "MLP")[0]) for name in (GIANT, FROZEN)]
        )

    def test_the_toy_is_what_the_text_says(self) -> None:
        _, label_vectors, tree = data.toy_graph()
        assert label_vectors[4].tolist() == [0.0, 0.0, 1.0]
        assert tree.leaves.tolist() in ([0, 0, 0, 1, 1, 1], [1, 1, 1, 0, 0, 0])
        assert png(figures.toy())

    def test_shares_sum_to_one_and_linked_pairs_have_larger_cosines(self) -> None:
        loaded = SMALL.load_data()
        tree = build_tree(loaded, GIANT, (1, 3), 0)
        table = evaluation.class_shares(tree, 2, loaded.labels, loaded.num_classes)
        assert table.shape == (8, 3)
        assert table.sum(1) == pytest.approx(np.ones(8))
        assert png(figures.trees({"a": table, "b": table}))
        linked, random = evaluation.pair_cosines(loaded.vectors, loaded.graph.edges)
        assert float(linked.mean()) > float(random.mean())
        assert png(figures.cosines({"a": (linked, random), "b": (linked, random)}))

    def test_predicted_clusters_mark_those_of_neighbors(self) -> None:
        loaded = SMALL.load_data()
        frozen, tuned = (tune(loaded, name, SMALL, torch.arange(60), 0) for name in (FROZEN, GIANT))
        encoders = {"frozen": frozen.levels, "tuned": tuned.levels}
        figure = figures.predicted_clusters(loaded, tuned.tree, encoders, "node 3", 2)
        holds_neighbor = set(tuned.tree.assignment(2)[loaded.adjacency[3].indices].tolist())
        for ax, levels in zip(figure.axes, encoders.values(), strict=True):
            marked = [text.get_text().startswith("*") for text in ax.texts]
            assert marked == [cluster in holds_neighbor for cluster in levels[1].beam[3].tolist()]
        assert any(text.get_text().startswith("*") for ax in figure.axes for text in ax.texts)
        assert png(figure)

    def test_losses_block_model_and_runtime_draw(self) -> None:
        figure = figures.losses({"a": [[3.0, 2.0, 1.0], [2.0, 1.0]], "b": [[3.0, 3.0, 3.0], [1.0, 1.0]]})
        assert png(figure)
        assert png(figures.block_model((0.8, 0.4), draws=200))
        assert png(figures.runtime(load_record("giant").runs["runtime"].measurements, Config().runtime_sizes))
