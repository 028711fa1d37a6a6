"""Texts that the user brings: Cora, ogbn-arxiv with titles, published vectors; tiny files of the same shape."""

import gzip
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from companion.data import card, catalog, real_dir
from companion.data.graphs import arxiv_texts, cora_text, published_vectors
from companion.errors import CompanionError

NAMES = ("cora_text", "ogbn_arxiv_text", "xrt_vectors")


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """COMPANION_REAL with empty folders, and cards that expect no published hash."""
    monkeypatch.setenv("COMPANION_REAL", str(tmp_path))
    cards = {name: replace(card(name), files={}) for name in NAMES}
    monkeypatch.setattr(catalog, "cards", lambda: cards)
    for name in NAMES:
        (tmp_path / name).mkdir()
    return tmp_path


def test_cora_reads_labels_line_by_line(folder) -> None:
    (folder / "cora_text" / "data.txt").write_text("one two\nthree four\nfive\nsix seven\n")
    (folder / "cora_text" / "group.txt").write_text("1\n\n0\n1")
    (folder / "cora_text" / "graph.txt").write_text("0\t1\n1\t0\n2\t2\n3\t1\n")
    graph = cora_text()
    assert graph.labels.tolist() == [1, -1, 0, 1]
    assert graph.edges.T.tolist() == [[0, 1], [1, 3]]
    assert graph.names[0] == "one two"


def packed(file: Path, text: str) -> None:
    file.write_bytes(gzip.compress(text.encode(), mtime=0))


def test_arxiv_texts_stand_in_the_order_of_the_nodes(folder) -> None:
    packed(folder / "ogbn_arxiv_text" / "nodeidx2paperid.csv.gz", "node idx,paper id\n0,77\n1,12\n")
    packed(folder / "ogbn_arxiv_text" / "titleabs.tsv.gz", "12\tB\tabout b\n77\tA\tabout a\nnoise\n")
    assert arxiv_texts() == ["A: about a", "B: about b"]


def test_a_paper_without_text_is_said(folder) -> None:
    packed(folder / "ogbn_arxiv_text" / "nodeidx2paperid.csv.gz", "node idx,paper id\n0,77\n1,12\n")
    packed(folder / "ogbn_arxiv_text" / "titleabs.tsv.gz", "12\tB\tabout b\n")
    with pytest.raises(CompanionError, match="no text for 1 of 2 papers, the first of them 77"):
        arxiv_texts()


def test_published_vectors_need_a_row_a_node(folder) -> None:
    place = folder / "xrt_vectors" / "ogbn-arxiv"
    place.mkdir()
    np.save(place / "X.all.xrt-emb.npy", np.ones((5, 3), np.float32))
    assert published_vectors("ogbn-arxiv", 5).shape == (5, 3)
    with pytest.raises(CompanionError, match="has shape \\(5, 3\\); it needs 6 rows"):
        published_vectors("ogbn-arxiv", 6)


def test_without_a_folder_it_says_how_to_bring_it(monkeypatch) -> None:
    monkeypatch.delenv("COMPANION_REAL", raising=False)
    with pytest.raises(CompanionError, match="set COMPANION_REAL to a folder that holds cora_text/"):
        cora_text()


@pytest.mark.real
def test_cora_is_as_its_card_says() -> None:
    if real_dir() is None or not (real_dir() / "cora_text").is_dir():
        pytest.skip("COMPANION_REAL holds no cora_text")
    graph, facts = cora_text(), card("cora_text").facts
    assert len(graph.texts) == facts["papers"]
    assert graph.edges.shape[1] == facts["citations between different papers"]
    assert int((graph.labels >= 0).sum()) == facts["papers with a subject"]
    assert len(graph.classes) == facts["classes"]
