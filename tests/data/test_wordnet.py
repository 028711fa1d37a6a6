"""The WordNet graph: a tiny one by hand, the contraction against brute force, and the real one's known facts."""

from pathlib import Path

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from companion.data import card, fetch, status, wordnet
from companion.data.graphs import tfidf_features
from companion.data.graphs import wordnet as load
from companion.errors import CompanionError

# From the hand-made files in conftest.py. At t = 3 "pet" is not kept, so "dog" climbs over it to "idea", two steps up;
# "entity" is three steps up on the other side, hence not its nearest. At t = 5 it is.
EDGES = {
    5: {("dog", "entity")},
    3: {("entity", "idea"), ("Rex", "idea"), ("Rex", "dog"), ("dog", "idea")},
    1: {("entity", "idea"), ("Rex", "idea"), ("Rex", "dog"), ("dog", "pet"), ("idea", "pet"), ("Rex", "pet")},
}


@pytest.fixture
def tiny(shop, monkeypatch) -> None:
    """The tiny WordNet, fetched in the place of the real one, with classes of any size."""
    fetch("tiny")
    monkeypatch.setattr("companion.data.graphs.path", lambda name: shop.folder / "tiny.npz")
    monkeypatch.setattr("companion.data.graphs.SMALLEST_CLASS", 1)


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize("min_count", EDGES)
def test_edges_of_the_tiny_wordnet_are_those_found_by_hand(min_count) -> None:
    graph = load(min_count)
    pairs = {tuple(sorted(graph.names[node] for node in edge)) for edge in graph.edges.T}
    assert pairs == EDGES[min_count]
    assert graph.edges.shape == (2, len(pairs))


@pytest.mark.usefixtures("tiny")
def test_texts_names_and_labels_of_the_tiny_wordnet() -> None:
    graph = load(1)
    assert graph.names == ["entity", "idea", "dog", "pet", "Rex"]
    assert graph.texts[:3] == ["entity: what is", "idea: a thing thought", "dog, hound: a beast"]
    assert [graph.classes[label] for label in graph.labels] == ["Tops", "Tops", "animal", "animal", "group"]


@pytest.mark.usefixtures("tiny")
def test_small_classes_stay_as_nodes_without_a_label(monkeypatch) -> None:
    monkeypatch.setattr("companion.data.graphs.SMALLEST_CLASS", 2)
    graph = load(1)
    assert graph.classes == ["Tops", "animal"]
    assert graph.labels.tolist() == [0, 0, 1, 1, -1]
    assert graph.edges.shape[1] == len(EDGES[1])


def test_the_line_ends_of_a_carrier_do_not_matter(tiny_files, windows_lines, tmp_path) -> None:
    reduced = []
    plain = {name.split("/")[1]: content for name, content in tiny_files.items()}
    for i, contents in enumerate([plain, windows_lines]):
        (tmp_path / str(i)).mkdir()
        files = {name: tmp_path / str(i) / name for name in contents}
        for name, file in files.items():
            file.write_bytes(contents[name])
        reduced.append(wordnet.reduce_wordnet(files))
    for key, array in reduced[0].items():
        np.testing.assert_array_equal(array, reduced[1][key])


def test_a_threshold_below_one_is_refused() -> None:
    with pytest.raises(CompanionError, match="min_count is 0; it must be at least 1"):
        load(0)


@pytest.mark.parametrize(
    ("gloss", "definition"),
    [
        ('a beast; "it barked"; "it bit"', "a beast"),
        ("a beast; or not", "a beast; or not"),
        ('the act: "he acted"', "the act"),
        ('strides (as in "make strides"); "big strides"', 'strides (as in "make strides")'),
    ],
)
def test_examples_leave_the_gloss(gloss, definition) -> None:
    assert wordnet.without_examples(gloss + "  \n") == definition


@st.composite
def hierarchies(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Kept nodes, hypernym pairs from each node to some of smaller number (no cycles), and any other pointers."""
    n = draw(st.integers(2, 9))
    kept = np.array(draw(st.lists(st.booleans(), min_size=n, max_size=n)))
    above = [(i, j) for i in range(1, n) for j in draw(st.sets(st.integers(0, i - 1), min_size=1, max_size=3))]
    node = st.integers(0, n - 1)
    pointers = draw(st.lists(st.tuples(node, node), max_size=6))
    return kept, np.array(above).T, np.array(pointers, dtype=int).reshape(-1, 2).T


def expected_edges(kept: np.ndarray, hypernyms: np.ndarray, pointers: np.ndarray) -> set[tuple[int, int]]:
    """By shortest paths: from each kept node, the kept nodes at the least distance along hypernym pairs."""
    upwards = nx.DiGraph(hypernyms.T.tolist())
    pairs = [(a, b) for a, b in pointers.T.tolist() if kept[a] and kept[b]]
    for node in np.flatnonzero(kept).tolist():
        steps = nx.single_source_shortest_path_length(upwards, node) if node in upwards else {}
        steps = {other: d for other, d in steps.items() if kept[other] and other != node}
        pairs += [(node, other) for other, d in steps.items() if d == min(steps.values())]
    return {(min(pair), max(pair)) for pair in pairs if pair[0] != pair[1]}


@given(hierarchies())
@settings(deadline=None)
def test_contraction_gives_the_simple_graph_of_nearest_kept_ancestors(hierarchy) -> None:
    edges = wordnet.contract(*hierarchy)
    found = [tuple(edge) for edge in edges.T.tolist()]
    assert edges.dtype == np.int64
    assert len(set(found)) == len(found)
    assert set(found) == expected_edges(*hierarchy)


@given(hierarchies())
@settings(deadline=None)
def test_contraction_keeps_what_hangs_from_one_kept_root_connected(hierarchy) -> None:
    kept, hypernyms, pointers = hierarchy
    kept[0] = True
    graph = nx.Graph(wordnet.contract(kept, hypernyms, pointers).T.tolist())
    graph.add_nodes_from(np.flatnonzero(kept).tolist())
    assert nx.is_connected(graph)


def test_features_are_rows_of_one_length_and_repeat() -> None:
    texts = [f"{a} {b} {c}" for a in ["red", "blue", "green"] for b in ["old", "new"] for c in ["cat", "dog"]]
    texts += ["zzz"]
    features = tfidf_features(texts, dim=4)
    assert features.shape == (13, 4)
    assert features.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(features[:-1], axis=1), 2.0, rtol=1e-5)
    assert not features[-1].any()
    np.testing.assert_array_equal(features, tfidf_features(texts, dim=4))


def test_more_features_than_words_are_refused() -> None:
    with pytest.raises(CompanionError, match="dim is 9; these texts allow at most 2"):
        tfidf_features(["red cat"] * 20, dim=9)


@pytest.fixture
def real() -> None:
    """Skips where the real WordNet has not been fetched."""
    if status("wordnet") != "cached":
        pytest.skip("WordNet is not in the cache: run `python -m companion data fetch wordnet`")


@pytest.mark.usefixtures("real")
@pytest.mark.parametrize(
    ("min_count", "nodes", "edges", "unlabeled", "classes"),
    [(5, 3910, 4663, 106, 21), (3, 5974, 7192, 37, 24), (1, 13739, 16475, 14, 25)],
)
def test_counts_of_the_real_graph(min_count, nodes, edges, unlabeled, classes) -> None:
    graph = load(min_count)
    assert len(graph.texts) == len(graph.names) == len(graph.labels) == nodes
    assert graph.edges.shape == (2, edges)
    assert (graph.labels == -1).sum() == unlabeled
    assert len(graph.classes) == classes
    assert nx.is_connected(nx.Graph(graph.edges.T.tolist()))
    facts = {k: v for k, v in card("wordnet").facts.items() if k.endswith(f"t = {min_count}")}
    ours = {"nodes": nodes, "edges": edges, "unlabeled": unlabeled, "classes": classes}
    assert facts == {f"{key} at t = {min_count}": ours[key] for key in (fact.split()[0] for fact in facts)}


@pytest.mark.usefixtures("real")
def test_shape_of_the_real_graph_at_three() -> None:
    graph = load(3)
    degree = np.bincount(graph.edges.ravel(), minlength=len(graph.texts))
    assert degree.mean() == pytest.approx(2.41, abs=0.005)
    assert (degree.min(), degree.max()) == (1, 156)
    assert (degree == 1).mean() == pytest.approx(0.56, abs=0.005)
    sizes = np.bincount(graph.labels[graph.labels >= 0])
    assert (sizes.min(), sizes.max()) == (34, 785)
    labels = graph.labels[graph.edges]
    both = (labels >= 0).all(axis=0)
    assert (labels[0] == labels[1])[both].mean() == pytest.approx(0.89, abs=0.005)


@pytest.mark.usefixtures("real")
def test_texts_of_the_real_graph_read_well() -> None:
    graph = load(3)
    assert graph.texts[0].startswith("entity: that which is perceived")
    assert all(": " in text and "_" not in text.split(": ")[0] for text in graph.texts)
    assert all(text.startswith(name) for text, name in zip(graph.texts, graph.names, strict=True))
    assert {"act", "animal", "person"} <= set(graph.classes)


@pytest.mark.usefixtures("real")
def test_the_compact_array_is_small_and_needs_no_pickle() -> None:
    from companion.data import path

    file: Path = path("wordnet")
    assert file.stat().st_size < 1_000_000
    with np.load(file, allow_pickle=False) as arrays:
        assert all(array.dtype != object for array in arrays.values())
