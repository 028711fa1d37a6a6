"""Planetoid from the user's folder, and ogbn-arxiv from a tiny archive in the published layout."""

import gzip
import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from companion.data import card, catalog, download, fetch, real_dir
from companion.data.graphs import ogbn_arxiv, planetoid
from companion.errors import CompanionError

TABLES = {
    "arxiv/raw/edge.csv.gz": "1,0\n2,0\n3,1\n",
    "arxiv/raw/node-feat.csv.gz": "0.5,-1\n0,2\n1,1\n0.25,0\n",
    "arxiv/raw/node-label.csv.gz": "4\n0\n4\n39\n",
    "arxiv/split/time/train.csv.gz": "0\n2\n",
    "arxiv/split/time/valid.csv.gz": "1\n",
    "arxiv/split/time/test.csv.gz": "3\n",
}


def zip_of(tables: dict[str, str]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, text in tables.items():
            archive.writestr(name, gzip.compress(text.encode(), mtime=0))
    return buffer.getvalue()


@pytest.fixture
def archive(tmp_path) -> Path:
    """A tiny arxiv.zip."""
    file = tmp_path / "arxiv.zip"
    file.write_bytes(zip_of(TABLES))
    return file


def test_ogbn_arxiv_reads_the_published_layout(archive) -> None:
    data = ogbn_arxiv(archive)
    assert data.edge_index.tolist() == [[1, 2, 3], [0, 0, 1]]
    np.testing.assert_array_equal(data.x, np.array([[0.5, -1], [0, 2], [1, 1], [0.25, 0]], dtype=np.float32))
    assert data.y.tolist() == [4, 0, 4, 39]
    masks = [data.train_mask.tolist(), data.val_mask.tolist(), data.test_mask.tolist()]
    assert masks == [[True, False, True, False], [False, True, False, False], [False, False, False, True]]
    assert data.validate()


def test_ogbn_arxiv_from_the_cache_equals_the_archive(archive, monkeypatch, tmp_path) -> None:
    from dataclasses import replace

    from companion.data import cache

    chosen = card("ogbn_arxiv")
    source = replace(chosen.sources[0], sha256=cache.sha256(archive))
    monkeypatch.setattr(catalog, "cards", lambda: {"ogbn_arxiv": replace(chosen, sources=(source,))})
    monkeypatch.setenv("COMPANION_DATA", str(tmp_path / "cache"))
    monkeypatch.setattr(download, "download", lambda source, workshop: archive.rename(workshop / "arxiv.zip"))
    fetch("ogbn_arxiv")
    data = ogbn_arxiv()
    assert data.edge_index.shape == (2, 3)
    assert data.y.tolist() == [4, 0, 4, 39]


def test_an_archive_that_is_absent_or_lacks_a_table_is_said(tmp_path) -> None:
    with pytest.raises(CompanionError, match=r"no file .*nowhere.zip; archive must be the published arxiv.zip"):
        ogbn_arxiv(tmp_path / "nowhere.zip")
    tables = {name: text for name, text in TABLES.items() if "label" not in name}
    (tmp_path / "arxiv.zip").write_bytes(zip_of(tables))
    with pytest.raises(CompanionError, match=r"arxiv.zip has no arxiv/raw/node-label.csv.gz"):
        ogbn_arxiv(tmp_path / "arxiv.zip")


def test_an_unknown_planetoid_graph_is_told_the_known_ones(tmp_path) -> None:
    with pytest.raises(CompanionError, match="no Planetoid graph 'cora'; there are Cora, CiteSeer, PubMed"):
        planetoid("cora", tmp_path)


def test_missing_planetoid_files_are_named_and_not_downloaded(tmp_path) -> None:
    (tmp_path / "Cora" / "raw").mkdir(parents=True)
    for part in ("x", "tx", "allx", "y", "ty", "ally", "graph"):
        (tmp_path / "Cora" / "raw" / f"ind.cora.{part}").write_bytes(b"")
    with pytest.raises(CompanionError, match=r"but ind\.cora\.test\.index is not there; get them from https://"):
        planetoid("Cora", tmp_path)


def test_planetoid_without_a_folder_says_how_to_bring_it(monkeypatch) -> None:
    monkeypatch.delenv("COMPANION_REAL", raising=False)
    with pytest.raises(CompanionError, match="set COMPANION_REAL to a folder that holds planetoid/"):
        planetoid("Cora")


@pytest.mark.real
@pytest.mark.parametrize("name", ["Cora", "CiteSeer"])
def test_planetoid_graphs_are_as_their_card_says(name, capsys) -> None:
    folder = real_dir()
    if folder is None or not (folder / "planetoid" / name).is_dir():
        pytest.skip("COMPANION_REAL names no folder with planetoid/")
    data, facts = planetoid(name), card("planetoid").facts
    assert data.num_nodes == facts[f"{name} nodes"]
    assert data.num_edges == 2 * facts[f"{name} undirected edges"]
    assert data.num_features == facts[f"{name} words"]
    assert int(data.y.max()) + 1 == facts[f"{name} classes"]
    assert capsys.readouterr() == ("", "")
