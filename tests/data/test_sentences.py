"""Pairs of definitions: the similarity by hand and by brute force, and sets that share no definition."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest

from companion.data import card, status
from companion.data.sentences import LONGEST, SHORTEST, gloss_pairs, glosses, hierarchy, similarity
from companion.errors import CompanionError

needs_glosses = pytest.mark.skipif(status("wordnet_glosses") != "cached", reason="the glosses are not here: make data")
#        0
#      1   2
#    3  4   5     and 4 lies below 2 as well
STEPS = np.array([[1, 0], [2, 0], [3, 1], [4, 1], [5, 2], [4, 2]]).T


@pytest.mark.parametrize(
    ("a", "b", "by_hand"),
    [(3, 3, 1.0), (3, 4, 2 * 2 / (4 + 2)), (4, 5, 2 * 2 / (4 + 2)), (3, 5, 2 / (2 + 4)), (1, 3, 4 / (4 + 1))],
)
def test_the_similarity_is_that_by_hand(a: int, b: int, by_hand: float) -> None:
    tree = hierarchy(STEPS, 6)
    assert tree.depth.tolist() == [1, 2, 2, 3, 3, 3]
    assert similarity(tree, a, b) == similarity(tree, b, a) == pytest.approx(by_hand)


def test_two_hierarchies_share_nothing() -> None:
    assert similarity(hierarchy(np.array([[1], [0]]), 3), 1, 2) == 0


def test_the_similarity_is_that_of_brute_force() -> None:
    rng = np.random.default_rng(0)
    steps = np.array([[child, int(rng.integers(0, child))] for child in range(1, 40) for _ in range(2)]).T
    steps = np.unique(steps, axis=1)
    tree, up = hierarchy(steps, 40), nx.DiGraph(steps.T.tolist())
    depth = nx.single_source_shortest_path_length(up.reverse(), 0)
    for a, b in rng.integers(0, 40, (50, 2)).tolist():
        la, lb = (nx.single_source_shortest_path_length(up, node) for node in (a, b))
        deepest = max(depth[node] for node in la.keys() & lb.keys())
        nearest = min(la[node] + lb[node] for node in la.keys() & lb.keys() if depth[node] == deepest)
        twice = 2 * (deepest + 1)
        assert similarity(tree, a, b) == pytest.approx(twice / (twice + nearest))


@needs_glosses
def test_the_definitions_are_as_their_card_says() -> None:
    texts = glosses()
    assert len(texts) == card("wordnet_glosses").facts["nouns"]
    assert not any('"' in text and ";" in text.split('"')[0][-3:] for text in texts)


@needs_glosses
def test_the_sets_share_no_definition_and_the_draw_is_the_seeds() -> None:
    train, held = gloss_pairs([400, 200], 3)
    assert [len(pairs.first) for pairs in (train, held)] == [400, 200]
    assert not {*train.first, *train.second} & {*held.first, *held.second}
    assert len({frozenset(pair) for pair in zip(train.first, train.second, strict=True)}) == 400
    words = [len(text.split()) for text in train.first + train.second]
    assert min(words) >= SHORTEST
    assert max(words) <= LONGEST
    assert gloss_pairs([400, 200], 3)[1].second == held.second
    assert gloss_pairs([400, 200], 4)[1].second != held.second


@needs_glosses
def test_most_pairs_are_related_and_some_are_not() -> None:
    (pairs,) = gloss_pairs([1500], 0)
    assert pairs.similarity.min() > 0
    assert pairs.similarity.max() <= 1
    assert 0.35 < np.median(pairs.similarity) < 0.55
    assert np.quantile(pairs.similarity, 0.9) > 0.75 > 0.25 > np.quantile(pairs.similarity, 0.15)


@needs_glosses
@pytest.mark.parametrize(
    ("sizes", "said"), [([0], "at least 1 pair"), ([], "at least 1 pair"), ([30_000, 40_000], "at most")]
)
def test_a_set_that_cannot_be_had_is_refused(sizes: list[int], said: str) -> None:
    with pytest.raises(CompanionError, match=said):
        gloss_pairs(sizes, 0)
