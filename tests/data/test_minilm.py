"""all-MiniLM-L6-v2: the weights as carried, read as the encoder was trained to be read."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from companion.data import card, status
from companion.data.graphs import wordnet
from companion.data.minilm import embed, mean_pool, minilm, minilm_nouns

needs_minilm = pytest.mark.skipif(status("minilm") != "cached", reason="MiniLM is not in the cache: make data")


def test_padding_is_left_out_of_the_mean() -> None:
    states = torch.tensor([[[1.0, 2.0], [3.0, 6.0], [99.0, 99.0]], [[5.0, 5.0], [99.0, 99.0], [99.0, 99.0]]])
    mask = torch.tensor([[1, 1, 0], [1, 0, 0]])
    assert mean_pool(states, mask).tolist() == [[2, 4], [5, 5]]


@needs_minilm
def test_the_encoder_is_as_its_card_says() -> None:
    facts, (_, encoder) = card("minilm").facts, minilm()
    assert sum(value.numel() for value in encoder.parameters()) == facts["numbers in the weights"]
    assert minilm_nouns().shape == (facts["nouns"], facts["width"])
    assert not encoder.training


@needs_minilm
def test_the_stored_vectors_are_those_of_the_encoder_whatever_shares_the_batch() -> None:
    rows, texts = [0, 777, 5973], wordnet().texts
    assert np.allclose(embed([texts[i] for i in rows], *minilm(), batch=2), minilm_nouns()[rows], atol=1e-4)


@needs_minilm
def test_a_paraphrase_is_nearer_than_another_sentence_and_case_means_nothing() -> None:
    texts = ["A man is playing a guitar.", "Someone plays the guitar.", "Shares fell.", "a MAN is playing a guitar."]
    vectors = embed(texts, *minilm())
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    near, far, same = unit[1:] @ unit[0]
    assert near > 0.75 > 0.25 > far
    assert same == pytest.approx(1, abs=1e-5)


@needs_minilm
def test_a_text_too_long_is_cut_and_not_refused() -> None:
    tokenizer, encoder = minilm()
    assert embed(["word " * 1000, "word " * 2000], tokenizer, encoder).std(0).max() < 1e-5
