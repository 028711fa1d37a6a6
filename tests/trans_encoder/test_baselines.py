"""Controls, and language models: words in common, own scores, shuffling, a narrow view; carried weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from companion.data import status
from companion.data.glosses import SentencePairs
from companion.errors import CompanionError
from companion.trans_encoder import baselines, checks, method, pretrain, starts, training
from companion.trans_encoder.method import BiEncoder, Pairs
from companion.trans_encoder.training import Recipe

needs_minilm = pytest.mark.skipif(status("minilm") != "cached", reason="MiniLM is not in the cache: make data")
RECIPE = Recipe(epochs=3, batch=8, lr=1e-2, decay=0.0)


def fit(model: method.Model, pairs: Pairs, labels: Tensor, loss: training.Loss) -> None:
    training.fit(model, pairs, labels, loss, RECIPE, 0)


def sentences() -> list[Tensor]:
    pairs = checks.some_pairs(20)
    return [*pairs.first, *pairs.second]


# ---------------------------------------------------------------- controls


def test_words_in_common_are_counted_and_nothing_else() -> None:
    pairs = SentencePairs(
        ["a red dog", "a red dog", "a red dog"], ["a red dog", "the red cat", "two ants"], np.zeros(3)
    )
    same, some, none = baselines.common_words(pairs, pairs).tolist()
    assert same == pytest.approx(1)
    assert 0.1 < some < 0.9
    assert none == 0


def test_rare_words_count_for_more() -> None:
    often = SentencePairs(["dog fish"] * 8 + ["dog newt"], ["dog fish"] * 8 + ["dog toad"], np.zeros(9))
    asked = SentencePairs(["dog newt", "dog newt"], ["dog toad", "fish newt"], np.zeros(2))
    by_common, by_rare = baselines.common_words(often, asked).tolist()
    assert by_rare > by_common


def test_on_its_own_scores_a_student_without_dropout_stays_where_it_is() -> None:
    start, pairs = BiEncoder(checks.small_encoder()), checks.some_pairs()
    student = baselines.own_scores(start, pairs, fit, training.score)
    assert student is not start
    assert torch.allclose(training.score(student, pairs), training.score(start, pairs), atol=0.02)


def test_shuffled_labels_keep_both_orders_together_and_leave_bi_stages_alone() -> None:
    seen = []
    shuffled = baselines.shuffling(lambda *given: seen.append(given[2]), 0)
    labels, pairs = torch.arange(6.0), checks.some_pairs(6)
    shuffled(checks.small_cross(), pairs.both_orders(), labels.repeat(2), method.soft_label_loss)
    shuffled(BiEncoder(checks.small_encoder()), pairs, labels, method.cosine_loss)
    assert torch.equal(seen[0][:6], seen[0][6:])
    assert not torch.equal(seen[0][:6], labels)
    assert torch.equal(seen[0][:6].sort().values, labels)
    assert torch.equal(seen[1], labels)


# ---------------------------------------------------------------- a narrow view


def test_a_view_in_all_directions_changes_no_score() -> None:
    bi, pairs = BiEncoder(checks.small_encoder()), checks.some_pairs()
    turned = baselines.Narrow(bi.encoder, torch.zeros(16), baselines.random_directions(16, 16, 0))
    assert torch.allclose(training.score(BiEncoder(turned), pairs), training.score(bi, pairs), atol=1e-5)


def test_only_the_directions_of_a_narrow_view_are_trained() -> None:
    encoder = checks.small_encoder()
    narrow = BiEncoder(baselines.Narrow(encoder, torch.zeros(16), baselines.random_directions(16, 3, 0)))
    assert narrow.vectors(sentences()[:4]).shape == (4, 3)
    before = narrow.encoder.directions.detach().clone()
    fit(narrow, checks.some_pairs(), torch.rand(12, generator=torch.Generator().manual_seed(0)), method.cosine_loss)
    assert [name for name, value in narrow.named_parameters() if value.requires_grad] == ["encoder.directions"]
    assert not torch.equal(narrow.encoder.directions, before)
    narrow.train()
    assert not narrow.encoder.encoder.training


def test_directions_are_at_right_angles_and_principal_ones_hold_the_most_variance() -> None:
    found = baselines.vectors(BiEncoder(checks.small_encoder()), sentences(), batch=7)
    drawn, best = baselines.random_directions(16, 4, 0), baselines.principal_directions(found, 4)
    for view in (drawn, best):
        assert torch.allclose(view.T @ view, torch.eye(4), atol=1e-5)
    centred = found - found.mean(0)
    assert float((centred @ best).var(0).sum()) > 1.3 * float((centred @ drawn).var(0).sum())
    assert torch.equal(drawn, baselines.random_directions(16, 4, 0))
    assert not torch.equal(drawn, baselines.random_directions(16, 4, 1))


def test_vectors_come_back_in_order() -> None:
    bi, rows = BiEncoder(checks.small_encoder()), sentences()
    with torch.no_grad():
        assert torch.allclose(baselines.vectors(bi, rows, batch=6), bi.vectors(rows), atol=1e-5)


# ---------------------------------------------------------------- language models


@needs_minilm
def test_the_carried_models_are_two_and_read_definitions() -> None:
    first, second = (starts.language_model(f"glosses-{seed}") for seed in (0, 1))
    texts = ["a small dog", "any of various grasses"]
    assert first.width == 128
    assert [int(row[0]) for row in first.read(texts)] == [2, 2]
    assert [int(row[-1]) for row in first.read(texts)] == [3, 3]
    assert [row.tolist() for row in first.read(texts)] == [row.tolist() for row in second.read(texts)]
    one, other = (
        torch.cat([value.detach().flatten() for value in start.encoder.parameters()]) for start in (first, second)
    )
    assert float((one - other).abs().mean()) > 0.01
    assert not first.encoder.training


@needs_minilm
def test_a_carried_model_knows_a_sentence_again_without_one_of_its_words() -> None:
    start = starts.language_model("glosses-0")
    texts = [
        "a large wild cat of Africa",
        "a tool used to cut wood",
        "the science of plants",
        "a city in southern France",
    ]
    cut = ["a large cat of Africa", "a tool to cut wood", "science of plants", "a city in France"]
    vectors = BiEncoder(start.encoder).vectors(start.read(texts + cut)).detach()
    vectors = torch.nn.functional.normalize(vectors - vectors.mean(0))
    assert (vectors[:4] @ vectors[4:].T).argmax(1).tolist() == [0, 1, 2, 3]


@needs_minilm
def test_a_long_text_is_cut_and_an_unknown_word_is_unknown() -> None:
    start = starts.language_model("glosses-0", longest=8)
    assert len(start.read(["a word and a word and a word and a word"])[0]) == 8
    assert pretrain.UNKNOWN in start.read(["\u4e2d"])[0].tolist()


@needs_minilm
def test_the_first_layers_of_minilm_are_its_own() -> None:
    from companion.data.minilm import minilm

    start = starts.language_model("minilm-2")
    tokenizer, whole = minilm()
    given = tokenizer(["a small dog"], return_tensors="pt")
    with torch.no_grad():
        wanted = whole(**given, output_hidden_states=True).hidden_states[2]
        found = start.encoder(start.read(["a small dog"])[0].unsqueeze(0)).last_hidden_state
    assert torch.allclose(found, wanted, atol=1e-5)


def test_a_model_that_nobody_has_is_named(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    with pytest.raises(CompanionError, match="nowhere/nothing is neither"):
        starts.language_model("nowhere/nothing")
    with pytest.raises(CompanionError, match="pretrain"):
        starts.language_model("glosses-77")
