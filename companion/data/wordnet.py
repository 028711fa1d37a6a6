"""WordNet's two files read, reduced to what any threshold needs, and contracted to a graph.

A synset is a set of words with one meaning; a pointer leads to a related synset; a hypernym pointer leads to the more
general one; the tag count says how often a sense was met in tagged text.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

HYPERNYM = ("@", "@i")
CLASSES = [
    "Tops",
    "act",
    "animal",
    "artifact",
    "attribute",
    "body",
    "cognition",
    "communication",
    "event",
    "feeling",
    "food",
    "group",
    "location",
    "motive",
    "object",
    "person",
    "phenomenon",
    "plant",
    "possession",
    "process",
    "quantity",
    "relation",
    "shape",
    "state",
    "substance",
    "time",
]
FIRST_CLASS = 3  # lexicographer file 03 is noun.Tops


@dataclass(frozen=True)
class Synset:
    """One line of `data.noun`: the lexicographer file, the words, the pointers to nouns, and the definition."""

    label: int
    lemmas: list[str]
    pointers: list[tuple[str, str]]
    gloss: str


def read_synsets(data_noun: Path) -> dict[str, Synset]:
    """The noun synsets by their offset, which is their name."""
    with data_noun.open(encoding="utf-8") as lines:
        return dict(_synset(line) for line in lines if not line.startswith(" "))


def _synset(line: str) -> tuple[str, Synset]:
    """offset lex_filenum ss_type w_cnt word lex_id … p_cnt symbol offset pos source/target … | gloss"""
    head, gloss = line.split(" | ", 1)
    offset, label, _, words, *rest = head.split(" ")
    after_words = 2 * int(words, 16)
    fields = rest[after_words + 1 :]
    pointers = [(fields[i], fields[i + 1]) for i in range(0, 4 * int(rest[after_words]), 4) if fields[i + 2] == "n"]
    lemmas = [lemma.replace("_", " ") for lemma in rest[0:after_words:2]]
    return offset, Synset(int(label) - FIRST_CLASS, lemmas, pointers, without_examples(gloss))


def without_examples(gloss: str) -> str:
    """A gloss without the quoted examples that follow the definition."""
    return re.split(r'[;:]\s*"', gloss.strip(), maxsplit=1)[0].strip(" ;:")


def read_counts(index_sense: Path) -> Counter[str]:
    """Noun offset → its tag count, summed over its words."""
    counts: Counter[str] = Counter()
    with index_sense.open(encoding="utf-8") as lines:
        for line in lines:
            key, offset, _, count = line.split()
            if key.split("%")[1].startswith("1:"):
                counts[offset] += int(count)
    return counts


def reduce_wordnet(files: Mapping[str, Path]) -> dict[str, np.ndarray]:
    """What the graph of every threshold t ≥ 1 needs: the nouns ever counted, and all that lies above them.

    Returns counts [n], labels [n] (index into CLASSES), hypernyms [2, h] (below, above), pointers [2, p] between
    counted nouns, and words and glosses as UTF-8 bytes with a line a noun, empty for those never counted.
    """
    synsets, counts = read_synsets(files["data.noun"]), read_counts(files["index.sense"])
    kept = _with_ancestors(synsets, [offset for offset in synsets if counts[offset] >= 1])
    counted = [offset if counts[offset] else None for offset in kept]
    index = {offset: i for i, offset in enumerate(kept)}
    return {
        "counts": np.array([counts[offset] for offset in kept], dtype=np.int32),
        "labels": np.array([synsets[offset].label for offset in kept], dtype=np.int8),
        "hypernyms": _pairs((index[a], index[b]) for a in kept for b in _above(synsets[a])),
        "pointers": _pairs((index[a], index[b]) for a in counted if a for _, b in synsets[a].pointers if counts[b]),
        "words": _lines("\t".join(synsets[offset].lemmas) if offset else "" for offset in counted),
        "glosses": _lines(synsets[offset].gloss if offset else "" for offset in counted),
    }


def _above(synset: Synset) -> list[str]:
    return [target for symbol, target in synset.pointers if symbol in HYPERNYM]


def _with_ancestors(synsets: Mapping[str, Synset], start: list[str]) -> list[str]:
    found, front = set(start), start
    while front:
        front = list({above for offset in front for above in _above(synsets[offset])} - found)
        found.update(front)
    return sorted(found)


def _pairs(pairs: Iterable[tuple[int, int]]) -> np.ndarray:
    return np.array(list(pairs), dtype=np.int32).reshape(-1, 2).T


def _lines(texts: Iterable[str]) -> np.ndarray:
    return np.frombuffer("\n".join(texts).encode(), dtype=np.uint8)


def contract(chosen: np.ndarray, hypernyms: np.ndarray, pointers: np.ndarray) -> np.ndarray:
    """The edges between chosen nouns: every pointer, and from each noun to its nearest chosen ancestors.

    chosen: [n] bool. hypernyms: [2, h] (below, above). pointers: [2, p]. Nearest means the fewest steps up; the steps
    may lead through nouns that are not chosen, so that the graph stays connected.
    Returns [2, e] int64, each undirected edge once as (smaller, larger) in the numbering of `chosen`, without loops.
    """
    above: dict[int, list[int]] = {}
    for below, over in hypernyms.T.tolist():
        above.setdefault(below, []).append(over)
    is_chosen = chosen.tolist()
    direct = pointers[:, chosen[pointers].all(0)].T
    climbed = [(node, end) for node in np.flatnonzero(chosen).tolist() for end in _nearest(node, is_chosen, above)]
    edges = np.sort(np.concatenate([direct, _pairs(climbed).T]), axis=1)
    return np.unique(edges[edges[:, 0] < edges[:, 1]], axis=0).T.astype(np.int64)


def _nearest(node: int, is_chosen: list[bool], above: Mapping[int, list[int]]) -> set[int]:
    front = set(above.get(node, ()))
    while front:
        if found := {other for other in front if is_chosen[other]}:
            return found
        front = {over for other in front for over in above.get(other, ())}
    return set()
