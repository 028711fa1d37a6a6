"""Graphs: WordNet's nouns with their texts, and the papers' citation graphs."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from companion.data.cache import path
from companion.data.wordnet import CLASSES, contract
from companion.errors import CompanionError

SMALLEST_CLASS = 30


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
