"""The experiment in small: seeds, methods, no use of gold, interruption, other data, both heads, both precisions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import rooms
import torch

from companion.data import real_dir, status
from companion.data.sentences import SentencePairs
from companion.errors import CompanionError
from companion.lab import load_record, values
from companion.lab.tuning import best
from companion.trans_encoder import data, method, studies, training
from companion.trans_encoder.data import HELD_OUT, TRAINING, PretrainedEncoder
from companion.trans_encoder.evaluation import CPU_SECONDS, SPEARMAN
from companion.trans_encoder.experiment import RUNTIME_RATIO, Config, experiment
from companion.trans_encoder.method import BI, CROSS, StageConfig
from companion.trans_encoder.training import SIMCSE_START, VARIANTS

CPU = torch.device("cpu")
CI = Config.at("ci")
FAST = StageConfig(epochs=1, batch_size=8, lr=1e-3, amp=False)
SMALL = replace(
    CI, data="tiny", training_pairs=16, held_out_pairs=24, language_models=("tiny-0", "tiny-1"), bottleneck_dim=4,
    runtime_sizes=(), variants=tuple(name for name in VARIANTS if name != "gold labels"),
    train=dict.fromkeys(CI.train, FAST),
)  # fmt: skip
needs_data = pytest.mark.skipif(
    status("wordnet_glosses") != "cached" or status("minilm") != "cached", reason="glosses or MiniLM are not here"
)


def tiny_pairs(n: int, seed: int) -> SentencePairs:
    """Pairs of numbers as texts; the more they share, the more alike."""
    rng = np.random.default_rng(seed)
    first, second, gold = [], [], []
    for _ in range(n):
        words, shared = rng.permutation(np.arange(5, 40))[:12], int(rng.integers(0, 6))
        first.append(" ".join(map(str, words[:6])))
        second.append(" ".join(map(str, [*words[:shared], *words[6 : 12 - shared]])))
        gold.append(shared / 6 + 0.01 * rng.random())
    return SentencePairs(first, second, np.array(gold))


def tiny_model(name: str, max_length: int) -> PretrainedEncoder:
    def tokenize(texts: list[str]) -> list[torch.Tensor]:
        return [torch.tensor([2, *map(int, text.split()[: max_length - 2]), 3]) for text in texts]

    return PretrainedEncoder(data.random_encoder(int(name[-1])), data.RANDOM_DIM, tokenize)


@pytest.fixture(autouse=True)
def tiny(monkeypatch) -> None:
    """Everything but real data runs on random models of width 16 and texts of numbers."""
    load, model = data.load_pairs, data.language_model

    def pairs(name: str, training_pairs: int, held_out_pairs: int, seed: int) -> dict[str, SentencePairs]:
        if name != "tiny":
            return load(name, training_pairs, held_out_pairs, seed)
        return {TRAINING: tiny_pairs(training_pairs, 2 * seed), HELD_OUT: tiny_pairs(held_out_pairs, 2 * seed + 1)}

    monkeypatch.setattr(data, "load_pairs", pairs)
    monkeypatch.setattr(
        data, "language_model", lambda name, length=32: (tiny_model if "tiny" in name else model)(name, length)
    )


@pytest.fixture(scope="module")
def rows():
    if status("wordnet_glosses") != "cached" or status("minilm") != "cached":
        pytest.skip("glosses or MiniLM are not in the cache: make data")
    return experiment(CI, 0, CPU)


def test_a_seed_repeats_and_another_differs() -> None:
    rooms.repeats(lambda seed: experiment(SMALL, seed, CPU))


def test_every_claim_finds_its_methods(rows) -> None:
    rooms.finds_its_arms("trans_encoder", rows)


def test_every_method_is_measured_once_in_both_settings(rows) -> None:
    keys = [(row.metric, row.method, row.setting) for row in rows]
    assert len(keys) == len(set(keys))
    for name in {row.method for row in rows if row.metric == SPEARMAN}:
        assert [len(values(rows, SPEARMAN, name, setting)) for setting in (TRAINING, HELD_OUT)] == [1, 1], name
    assert all(-100 <= row.value <= 100 for row in rows if row.metric == SPEARMAN)


def test_the_cross_encoder_is_the_more_expensive_the_more_sentences_there_are(rows) -> None:
    few, many = (values(rows, RUNTIME_RATIO, CROSS, f"n = {n}")[0] for n in (16, 64))
    assert 1 < few < many


def test_no_method_uses_gold(monkeypatch) -> None:
    """With gold in another order nothing but the correlations changes: all labels for training are the same."""
    labels_used: list[list[float]] = []
    train = method.train_on_labels

    def watched(model, pairs, labels, *rest) -> None:
        labels_used[-1].extend(labels.tolist())
        train(model, pairs, labels, *rest)

    monkeypatch.setattr(method, "train_on_labels", watched)
    load, found = data.load_pairs, []
    for reversed_gold in (False, True):
        labels_used.append([])
        if reversed_gold:
            monkeypatch.setattr(data, "load_pairs", lambda *given: {
                name: replace(pairs, similarity=pairs.similarity[::-1].copy()) for name, pairs in load(*given).items()
            })  # fmt: skip
        found.append([row.value for row in experiment(SMALL, 0, CPU)])
    assert labels_used[0] == labels_used[1] != []
    assert found[0] != found[1]


def test_an_interrupted_run_goes_on_and_ends_the_same(tmp_path, monkeypatch) -> None:
    whole = experiment(SMALL, 0, CPU)
    stored = replace(SMALL, checkpoint=str(tmp_path))
    calls, train = [], method.train_on_labels

    def breaks(*given) -> None:
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        train(*given)

    monkeypatch.setattr(method, "train_on_labels", breaks)
    with pytest.raises(KeyboardInterrupt):
        experiment(stored, 0, CPU)
    before = len(list(tmp_path.iterdir()))
    assert before >= 3
    assert experiment(stored, 0, CPU) == whole
    files = {file.name for file in tmp_path.iterdir()}
    assert not any(name.endswith(".part") for name in files)
    trained = len(calls)
    assert experiment(stored, 0, CPU) == whole
    assert len(calls) == trained


def test_seeds_and_methods_share_no_file(tmp_path) -> None:
    stored = replace(SMALL, checkpoint=str(tmp_path))
    experiment(stored, 0, CPU)
    first = {file.name for file in tmp_path.iterdir()}
    experiment(stored, 1, CPU)
    both = {file.name for file in tmp_path.iterdir()}
    assert len(both) == 2 * len(first)


@pytest.mark.parametrize("head", ["cls", "cosine"])
@pytest.mark.parametrize("amp", [True, False])
def test_both_heads_run_in_both_precisions(head: str, amp: bool) -> None:
    train = dict.fromkeys(CI.train, replace(FAST, amp=amp))
    found = experiment(replace(SMALL, train=train, head=head, cycles=2), 0, CPU)
    assert np.isfinite([row.value for row in found]).all()
    assert {"cross-encoder 2", "bi-encoder 2"} <= {row.method for row in found}


def test_the_paper_s_configuration_runs_on_tiny_data(tmp_path) -> None:
    paper = Config.at("paper")
    assert (paper.head, paper.cycles, paper.train[CROSS].lr, paper.train[BI].epochs) == ("cls", 3, 2e-5, 10)
    names = ("tiny-0", "tiny-1")
    tiny = replace(
        paper,
        data="tiny",
        training_pairs=16,
        held_out_pairs=24,
        language_models=names,
        start_models=("tiny-2", "tiny-3"),
        checkpoint=str(tmp_path),
    )
    found = experiment(tiny, 0, CPU)
    assert {
        "cross-encoder 3", "bi-encoder 3", "mutual cross-encoder 3", "mutual bi-encoder 3", "bi-encoder (own scores)"
    } <= {row.method for row in found}  # fmt: skip
    files = {file.name for file in tmp_path.iterdir()}
    assert not any(name.startswith("start") for name in files), "the starts are those that others trained"
    assert experiment(tiny, 0, CPU) == found
    assert {file.name for file in tmp_path.iterdir()} == files


def test_gold_is_used_by_the_methods_that_say_so_alone() -> None:
    found = experiment(replace(SMALL, variants=("gold labels",)), 0, CPU)
    assert {
        "bi-encoder (gold labels)", "cross-encoder (gold labels)", "cross-encoder (gold labels, no cross-attention)"
    } <= {row.method for row in found}  # fmt: skip
    assert not any("gold labels" in row.method for row in experiment(SMALL, 0, CPU))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_a_gpu_runs_it_all() -> None:
    found = experiment(SMALL, 0, torch.device("cuda"))
    assert {row.method for row in found} == {row.method for row in experiment(SMALL, 0, CPU)}


def test_unknown_data_is_named() -> None:
    with pytest.raises(CompanionError, match="use glosses or stsb"):
        data.load_pairs("sick", 4, 4, 0)


def test_the_drawn_pairs_are_the_seeds() -> None:
    pairs = tiny_pairs(30, 0)
    first, again, other = (data.sample_pairs(pairs, 10, seed) for seed in (0, 0, 1))
    assert first.first == again.first != other.first
    rows = [pairs.first.index(text) for text in first.first]
    assert [pairs.second[i] for i in rows] == first.second
    assert first.similarity.tolist() == pairs.similarity[rows].tolist()
    assert len(data.sample_pairs(pairs, 99, 0).first) == 30


@pytest.mark.real
@needs_data
def test_stsb_takes_the_place_of_definitions() -> None:
    if real_dir() is None or not (real_dir() / "stsb").is_dir():
        pytest.skip("COMPANION_REAL holds no stsb")
    found = experiment(
        replace(
            SMALL,
            data="stsb",
            language_models=("minilm-3",),
            variants=("self-distillation",),
            training_pairs=32,
            held_out_pairs=100,
        ),
        0,
        CPU,
    )
    assert values(found, SPEARMAN, SIMCSE_START, HELD_OUT)[0] > 40


@needs_data
def test_the_shipped_models_are_small_and_named() -> None:
    for name in Config.at("study").language_models:
        assert data.language_model(name).hidden_dim > 0


class TestRecord:
    def test_tuning_pilot_and_evidence_share_no_seed(self) -> None:
        runs = load_record("trans_encoder").runs
        seeds = [set(runs[name].seeds) for name in ("tuning", "pilot", "study")]
        assert sum(map(len, seeds)) == len(set.union(*seeds))

    def test_seconds_follow_the_count(self) -> None:
        """Sixteen times the sentences cost a bi-encoder about sixteen times, a cross-encoder about 290 times."""
        rows = load_record("trans_encoder").runs["runtime"].measurements
        for name, least, most in ((BI, 5, 50), (CROSS, 100, 900)):
            few, many = (values(rows, CPU_SECONDS, name, f"n = {n}").mean() for n in (8, 128))
            assert least < many / few < most

    def test_the_settings_are_the_best_candidates(self) -> None:
        stored = load_record("trans_encoder").runs["tuning"].measurements
        assert studies.selected(Config()) == {name: best(stored, SPEARMAN, name) for name in studies.SEARCH_SPACE}


def test_names_of_students() -> None:
    assert {name: variant.stage_name(CROSS, 1) for name, variant in VARIANTS.items()} == {
        "self-distillation": "cross-encoder 1",
        "mutual distillation": "mutual cross-encoder 1",
        "bottleneck": "bottleneck cross-encoder 1",
        "no cross-attention": "cross-encoder 1 (no cross-attention)",
        "own scores": "cross-encoder 1 (own scores)",
        "gold labels": "cross-encoder 1 (gold labels)",
        "bottleneck, mutual distillation": "bottleneck mutual cross-encoder 1",
        "bottleneck, no cross-attention": "bottleneck cross-encoder 1 (no cross-attention)",
        "bottleneck, shuffled labels": "bottleneck cross-encoder 1 (shuffled labels)",
        "bottleneck, own scores": "bottleneck cross-encoder 1 (own scores)",
    }


def test_only_cross_encoders_get_shuffled_labels(monkeypatch) -> None:
    calls = []
    monkeypatch.setattr(method, "train_on_labels", lambda model, pairs, labels, *rest: calls.append(labels))
    shared = data.load_data(SMALL, 0, CPU)
    trainer = training.student_trainer(shared, SMALL, "test", shuffle_labels=True)
    labels, pairs = torch.arange(16.0), shared.training_pairs(0)
    cross = training.untrained_cross_encoder(shared, SMALL, 0)
    trainer(cross, pairs.both_orders(), labels.repeat(2), method.soft_label_loss)
    trainer(training.untrained_bi_encoder(shared, 0), pairs, labels, method.cosine_loss)
    assert not torch.equal(calls[0][:16], labels)
    assert torch.equal(calls[0][:16].sort().values, labels)
    assert torch.equal(calls[1], labels)
