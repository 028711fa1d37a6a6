"""Baselines and controls: common words, own scores, shuffled labels, a bottleneck; pretrained encoders."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from companion.data import status
from companion.data.sentences import SentencePairs
from companion.errors import CompanionError
from companion.trans_encoder import baselines, data, method
from companion.trans_encoder.data import random_encoder, random_pairs
from companion.trans_encoder.method import BiEncoder, Pairs, StageConfig

needs_minilm = pytest.mark.skipif(status("minilm") != "cached", reason="MiniLM is not in the cache: make data")
CONFIG = StageConfig(epochs=3, batch_size=8, lr=1e-2, weight_decay=0.0, amp=False)


def train_student(model: method.Model, pairs: Pairs, labels: Tensor, loss: method.Loss) -> None:
    method.train_on_labels(model, pairs, labels, loss, CONFIG, 0)


def sentences() -> list[Tensor]:
    pairs = random_pairs(20)
    return [*pairs.first, *pairs.second]


# ---------------------------------------------------------------- controls


def test_common_words_are_counted_and_nothing_else() -> None:
    pairs = SentencePairs(
        ["a red dog", "a red dog", "a red dog"], ["a red dog", "the red cat", "two ants"], np.zeros(3)
    )
    same, some, none = baselines.tfidf_cosine(pairs, pairs).tolist()
    assert same == pytest.approx(1)
    assert 0.1 < some < 0.9
    assert none == 0


def test_rare_words_count_for_more() -> None:
    often = SentencePairs(["dog fish"] * 8 + ["dog newt"], ["dog fish"] * 8 + ["dog toad"], np.zeros(9))
    asked = SentencePairs(["dog newt", "dog newt"], ["dog toad", "fish newt"], np.zeros(2))
    by_common, by_rare = baselines.tfidf_cosine(often, asked).tolist()
    assert by_rare > by_common


def test_on_its_own_scores_a_student_without_dropout_stays_where_it_is() -> None:
    start, pairs = BiEncoder(random_encoder()), random_pairs()
    student = baselines.distill_own_scores(start, pairs, train_student)
    assert student is not start
    assert torch.allclose(method.score(student, pairs), method.score(start, pairs), atol=0.02)


def test_shuffled_labels_are_the_same_labels_and_both_orders_of_a_pair_agree() -> None:
    labels = torch.arange(6.0)
    shuffled = baselines.shuffle_labels(labels.repeat(2), 0)
    assert torch.equal(shuffled[:6], shuffled[6:])
    assert not torch.equal(shuffled[:6], labels)
    assert torch.equal(shuffled[:6].sort().values, labels)


# ---------------------------------------------------------------- the bottleneck


def test_a_bottleneck_of_full_width_changes_no_score() -> None:
    bi, pairs = BiEncoder(random_encoder()), random_pairs()
    rotated = baselines.Bottleneck(bi.encoder, torch.zeros(16), baselines.random_projection(16, 16, 0))
    assert torch.allclose(method.score(BiEncoder(rotated), pairs), method.score(bi, pairs), atol=1e-5)


def test_only_the_projection_of_a_bottleneck_is_trained() -> None:
    encoder = random_encoder()
    bottleneck = BiEncoder(baselines.Bottleneck(encoder, torch.zeros(16), baselines.random_projection(16, 3, 0)))
    assert bottleneck.embed(sentences()[:4]).shape == (4, 3)
    before = bottleneck.encoder.projection.detach().clone()
    train_student(
        bottleneck, random_pairs(), torch.rand(12, generator=torch.Generator().manual_seed(0)), method.cosine_loss
    )
    assert [name for name, value in bottleneck.named_parameters() if value.requires_grad] == ["encoder.projection"]
    assert not torch.equal(bottleneck.encoder.projection, before)
    bottleneck.train()
    assert not bottleneck.encoder.encoder.training


def test_projections_are_orthonormal_and_pca_has_the_most_variance() -> None:
    found = method.embed_sentences(BiEncoder(random_encoder()), sentences(), batch_size=7)
    drawn, best = baselines.random_projection(16, 4, 0), baselines.pca_projection(found, 4)
    for projection in (drawn, best):
        assert torch.allclose(projection.T @ projection, torch.eye(4), atol=1e-5)
    centered = found - found.mean(0)
    assert float((centered @ best).var(0).sum()) > 1.3 * float((centered @ drawn).var(0).sum())
    assert torch.equal(drawn, baselines.random_projection(16, 4, 0))
    assert not torch.equal(drawn, baselines.random_projection(16, 4, 1))


def test_embeddings_come_back_in_order() -> None:
    bi, rows = BiEncoder(random_encoder()), sentences()
    with torch.no_grad():
        assert torch.allclose(method.embed_sentences(bi, rows, batch_size=6), bi.embed(rows), atol=1e-5)


# ---------------------------------------------------------------- pretrained encoders


@needs_minilm
def test_the_shipped_models_are_two_and_tokenize_definitions() -> None:
    first, second = (data.language_model(f"glosses-{seed}") for seed in (0, 1))
    texts = ["a small dog", "any of various grasses"]
    assert first.hidden_dim == 128
    assert [int(row[0]) for row in first.tokenize(texts)] == [2, 2]
    assert [int(row[-1]) for row in first.tokenize(texts)] == [3, 3]
    assert [row.tolist() for row in first.tokenize(texts)] == [row.tolist() for row in second.tokenize(texts)]
    one, other = (
        torch.cat([value.detach().flatten() for value in start.encoder.parameters()]) for start in (first, second)
    )
    assert float((one - other).abs().mean()) > 0.01
    assert not first.encoder.training


@needs_minilm
def test_a_shipped_model_recognizes_a_sentence_without_one_of_its_words() -> None:
    start = data.language_model("glosses-0")
    texts = [
        "a large wild cat of Africa",
        "a tool used to cut wood",
        "the science of plants",
        "a city in southern France",
    ]
    cut = ["a large cat of Africa", "a tool to cut wood", "science of plants", "a city in France"]
    vectors = BiEncoder(start.encoder).embed(start.tokenize(texts + cut)).detach()
    vectors = torch.nn.functional.normalize(vectors - vectors.mean(0))
    assert (vectors[:4] @ vectors[4:].T).argmax(1).tolist() == [0, 1, 2, 3]


@needs_minilm
def test_a_long_text_is_truncated_and_an_unknown_word_is_unknown() -> None:
    start = data.language_model("glosses-0", max_length=8)
    assert len(start.tokenize(["a word and a word and a word and a word"])[0]) == 8
    assert data.UNKNOWN in start.tokenize(["\u4e2d"])[0].tolist()


@needs_minilm
def test_the_first_layers_of_minilm_are_its_own() -> None:
    from companion.data.minilm import minilm

    start = data.language_model("minilm-2")
    tokenizer, whole = minilm()
    given = tokenizer(["a small dog"], return_tensors="pt")
    with torch.no_grad():
        wanted = whole(**given, output_hidden_states=True).hidden_states[2]
        found = start.encoder(start.tokenize(["a small dog"])[0].unsqueeze(0)).last_hidden_state
    assert torch.allclose(found, wanted, atol=1e-5)


def test_a_model_that_does_not_exist_is_named(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    with pytest.raises(CompanionError, match="nowhere/nothing is neither"):
        data.language_model("nowhere/nothing")
    with pytest.raises(CompanionError, match="pretrain"):
        data.language_model("glosses-77")
