"""Graphs: WordNet's nouns with their texts, and the papers' citation graphs."""

import contextlib
import io
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from companion.data.cache import path
from companion.data.download import extract
from companion.data.catalog import card
from companion.data.wordnet import CLASSES, contract
from companion.errors import CompanionError

if TYPE_CHECKING:
    from torch_geometric.data import Data

SMALLEST_CLASS = 30
PLANETOID = ("Cora", "CiteSeer", "PubMed")
PLANETOID_PARTS = ("x", "tx", "allx", "y", "ty", "ally", "graph", "test.index")
SPLITS = {"train": "train_mask", "valid": "val_mask", "test": "test_mask"}


@dataclass(frozen=True)
class TextGraph:
    """An undirected graph whose nodes carry texts and labels.

    texts: [N] a sentence a node. names: [N] a readable word a node. labels: [N] int64, index into classes, -1 for
    unlabelled. edges: [2, E] int64, each undirected edge once, no loops.
    """

    texts: list[str]
    names: list[str]
    labels: np.ndarray
    classes: list[str]
    edges: np.ndarray


def wordnet(min_count: int = 3) -> TextGraph:
    """The WordNet graph of the nouns whose senses were tagged at least min_count times.

    Classes of fewer than 30 nouns lose their label and stay as connectors. Raises CompanionError for min_count < 1.
    """
    if min_count < 1:
        raise CompanionError(f"min_count is {min_count}; it must be at least 1, for nouns never counted are not kept.")
    with np.load(path("wordnet")) as arrays:
        kept = arrays["counts"] >= min_count
        renumber = np.cumsum(kept) - 1
        labels, classes = _large_classes(arrays["labels"][kept])
        words, glosses = _chosen_lines(arrays["words"], kept), _chosen_lines(arrays["glosses"], kept)
        edges = renumber[contract(kept, arrays["hypernyms"], arrays["pointers"])]
    lemmas = [line.split("\t") for line in words]
    texts = [f"{', '.join(group)}: {gloss}" for group, gloss in zip(lemmas, glosses, strict=True)]
    return TextGraph(texts, [group[0] for group in lemmas], labels, classes, edges)


def _large_classes(labels: np.ndarray) -> tuple[np.ndarray, list[str]]:
    large = np.flatnonzero(np.bincount(labels, minlength=len(CLASSES)) >= SMALLEST_CLASS)
    renumber = np.full(len(CLASSES), -1, dtype=np.int64)
    renumber[large] = np.arange(len(large))
    return renumber[labels], [CLASSES[label] for label in large]


def _chosen_lines(content: np.ndarray, kept: np.ndarray) -> list[str]:
    lines = content.tobytes().decode().split("\n")
    return [lines[i] for i in np.flatnonzero(kept)]


def tfidf_features(
    texts: Sequence[str], dim: int, seed: int = 0, *, vocabulary: int = 1500, min_df: int = 3
) -> np.ndarray:
    """Texts as vectors: TF-IDF of single words, truncated SVD, rows scaled to length sqrt(dim).

    vocabulary: the most frequent words kept. min_df: in how many texts a word must occur.
    Returns [N, dim] float32; a text without a known word is a row of zeros.
    """
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.preprocessing import normalize

    counts = TfidfVectorizer(min_df=min_df, max_features=vocabulary, dtype=np.float32).fit_transform(texts)
    if dim > min(counts.shape):
        raise CompanionError(f"dim is {dim}; these texts allow at most {min(counts.shape)} (texts or words in use).")
    reduced = TruncatedSVD(dim, random_state=seed).fit_transform(counts)
    return np.asarray(normalize(reduced) * np.sqrt(dim), dtype=np.float32)


def planetoid(name: str, root: Path | None = None) -> "Data":
    """A citation graph of the Planetoid collection, with its public split, as torch_geometric gives it.

    root: the folder that holds NAME/raw; by default planetoid/ under `COMPANION_REAL`. It may be read-only.
    Raises CompanionError for an unknown name and for missing files, which are not downloaded.
    """
    from torch_geometric.datasets import Planetoid

    raw = _planetoid_raw(name, root or path("planetoid"))
    with tempfile.TemporaryDirectory() as scratch, contextlib.redirect_stderr(io.StringIO()):
        shutil.copytree(raw, Path(scratch) / name / "raw")
        return Planetoid(scratch, name)[0]


def _planetoid_raw(name: str, root: Path) -> Path:
    if name not in PLANETOID:
        raise CompanionError(f"There is no Planetoid graph {name!r}; there are {', '.join(PLANETOID)}.")
    wanted = [f"ind.{name.lower()}.{part}" for part in PLANETOID_PARTS]
    missing = [file for file in wanted if not (root / name / "raw" / file).is_file()]
    if missing:
        raise CompanionError(
            f"{name} needs the files ind.{name.lower()}.* in {root / name / 'raw'}, but {', '.join(missing)} "
            f"{'is' if len(missing) == 1 else 'are'} not there; get them from {card('planetoid').homepage}."
        )
    return root / name / "raw"


def reduce_ogbn_arxiv(files: Mapping[str, Path]) -> dict[str, np.ndarray]:
    """The published tables of ogbn-arxiv as arrays.

    Returns edges [2, E] int32 (citing, cited), x [N, 128] float32, y [N] int16, and split [N] int8 (index into SPLITS).
    """
    edges = np.loadtxt(files["edge.csv.gz"], delimiter=",", dtype=np.int32, ndmin=2)
    labels = np.loadtxt(files["node-label.csv.gz"], delimiter=",", dtype=np.int16, ndmin=1)
    split = np.full(len(labels), -1, dtype=np.int8)
    for i, part in enumerate(SPLITS):
        split[np.loadtxt(files[f"{part}.csv.gz"], dtype=np.int64, ndmin=1)] = i
    features = np.loadtxt(files["node-feat.csv.gz"], delimiter=",", dtype=np.float32, ndmin=2)
    return {"edges": edges.T, "x": features, "y": labels, "split": split}


def ogbn_arxiv(archive: Path | None = None) -> "Data":
    """ogbn-arxiv with its split by time as train_mask, val_mask, test_mask; edges directed, from citing to cited paper.

    archive: the published arxiv.zip, for those who have it; by default the set comes from the cache.
    """
    if archive is None:
        with np.load(path("ogbn_arxiv")) as arrays:
            return _as_data(dict(arrays))
    if not archive.is_file():
        raise CompanionError(f"There is no file {archive}; archive must be the published arxiv.zip, or None.")
    with tempfile.TemporaryDirectory() as scratch:
        return _as_data(reduce_ogbn_arxiv(extract(card("ogbn_arxiv").sources[0], archive, Path(scratch))))


def _as_data(arrays: Mapping[str, np.ndarray]) -> "Data":
    import torch
    from torch_geometric.data import Data

    masks = {mask: torch.from_numpy(arrays["split"] == i) for i, mask in enumerate(SPLITS.values())}
    x, y = torch.from_numpy(arrays["x"]), torch.from_numpy(arrays["y"]).long()
    return Data(x=x, y=y, edge_index=torch.from_numpy(arrays["edges"]).long(), **masks)
