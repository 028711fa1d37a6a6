"""Graphs: WordNet's nouns with their texts, and the papers' citation graphs."""

import contextlib
import csv
import gzip
import io
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from companion.data.cache import brought, path
from companion.data.catalog import card
from companion.data.download import extract
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
    unlabeled. edges: [2, E] int64, each undirected edge once, no loops.
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


# ---------------------------------------------------------------- graphs of texts that the user brings


def cora_text() -> TextGraph:
    """2277 papers on machine learning with title and abstract, their citations and seven subjects; -1: no subject.

    Names are the first six words of a text. Loops and repeated citations are dropped.
    """
    texts = brought("cora_text", "data.txt").read_text("utf-8").splitlines()
    groups = brought("cora_text", "group.txt").read_text("utf-8").split("\n")[: len(texts)]
    pairs = np.loadtxt(brought("cora_text", "graph.txt"), dtype=np.int64, ndmin=2)
    classes = sorted(set(groups) - {""})
    labels = np.array([classes.index(group) if group else -1 for group in groups])
    edges = np.sort(pairs[pairs[:, 0] != pairs[:, 1]], axis=1)
    names = [" ".join(text.split()[:6]) for text in texts]
    return TextGraph(texts, names, labels, [f"subject {name}" for name in classes], np.unique(edges, axis=0).T)


def arxiv_texts() -> list[str]:
    """Title and abstract of every node of ogbn-arxiv, in its order; raises CompanionError where a paper has no text."""
    with gzip.open(brought("ogbn_arxiv_text", "nodeidx2paperid.csv.gz"), "rt", encoding="utf-8") as lines:
        rows = csv.reader(lines)
        next(rows)
        papers = [paper for _, paper in rows]
    with gzip.open(brought("ogbn_arxiv_text", "titleabs.tsv.gz"), "rt", encoding="utf-8") as lines:
        found = {row[0]: f"{row[1]}: {row[2]}" for row in (line.rstrip("\n").split("\t") for line in lines) if row[2:]}
    missing = [paper for paper in papers if paper not in found]
    if missing:
        raise CompanionError(
            f"titleabs.tsv.gz has no text for {len(missing)} of {len(papers)} papers, the first of them {missing[0]}; "
            "get the file from the publisher again."
        )
    return [found[paper] for paper in papers]


def arxiv_with_texts() -> TextGraph:
    """ogbn-arxiv as a graph of texts, its citations undirected; a node's name is the beginning of its title."""
    data, texts = ogbn_arxiv(), arxiv_texts()
    pairs = np.sort(data.edge_index.numpy(), axis=0)
    edges = np.unique(pairs[:, pairs[0] != pairs[1]], axis=1)
    classes = [f"subject {i}" for i in range(int(data.y.max()) + 1)]
    return TextGraph(texts, [text[:40] for text in texts], data.y.flatten().numpy(), classes, edges)


def published_vectors(name: str, nodes: int) -> np.ndarray:
    """The authors' own vectors of a graph's nodes, [nodes, h], read from the disk as they are asked for.

    name: "ogbn-arxiv", "ogbn-products" or "ogbn-papers100M". Raises CompanionError unless there is one row per node.
    """
    file = brought("xrt_vectors", str(Path(name) / "X.all.xrt-emb.npy"))
    vectors = np.load(file, mmap_mode="r")
    if vectors.ndim != 2 or len(vectors) != nodes:
        raise CompanionError(f"{file.name} of {name} has shape {vectors.shape}; it needs {nodes} rows, one per node.")
    return vectors
