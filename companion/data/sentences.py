"""Pairs of sentences with a similarity: definitions of WordNet's nouns, and STS Benchmark, which the user brings.

The similarity of two definitions is Wu and Palmer's, 2 dep(l) / (2 dep(l) + len(a, l) + len(b, l)): l is the deepest
common ancestor of the synsets a and b, dep its number of steps from the root plus one, len the steps up to it.
"""

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from companion.data.cache import brought, path
from companion.data.wordnet import HYPERNYM, read_synsets
from companion.errors import CompanionError

PARTS = ("train", "dev")  # of STS Benchmark
SHORTEST, LONGEST = 4, 14  # words of a definition that may enter a pair
MOST_STEPS = 7  # up to a shared ancestor, and about as many down again
RELATED = 0.8  # of the pairs share an ancestor by construction; in the others both are drawn at random


@dataclass(frozen=True)
class SentencePairs:
    """n pairs of sentences. first, second: n texts each. similarity: [n] float64, larger is more alike."""

    first: list[str]
    second: list[str]
    similarity: np.ndarray


@dataclass(frozen=True)
class Hierarchy:
    """A hierarchy of meanings: above and below list each node's direct neighbors, depth counts the root as 1."""

    above: list[list[int]]
    below: list[list[int]]
    depth: np.ndarray


def reduce_glosses(files: Mapping[str, Path]) -> dict[str, np.ndarray]:
    """All nouns: "glosses" as UTF-8 bytes with a line a noun, and "hypernyms" [2, h] int32 (below, above)."""
    synsets = read_synsets(files["data.noun"])
    index = {offset: i for i, offset in enumerate(synsets)}
    steps = [
        (index[offset], index[target])
        for offset, synset in synsets.items()
        for symbol, target in synset.pointers
        if symbol in HYPERNYM
    ]
    lines = "\n".join(synset.gloss for synset in synsets.values())
    return {
        "glosses": np.frombuffer(lines.encode(), np.uint8),
        "hypernyms": np.array(steps, np.int32).reshape(-1, 2).T,
    }


def glosses() -> list[str]:
    """The definitions of all nouns, without their quoted examples."""
    with np.load(path("wordnet_glosses")) as arrays:
        return arrays["glosses"].tobytes().decode().split("\n")


def hierarchy(hypernyms: np.ndarray, nodes: int) -> Hierarchy:
    """The hierarchy over hypernyms [2, h]; a node with several ways up has the depth of the shortest."""
    above: list[list[int]] = [[] for _ in range(nodes)]
    below: list[list[int]] = [[] for _ in range(nodes)]
    for child, parent in hypernyms.T.tolist():
        above[child].append(parent)
        below[parent].append(child)
    depth = np.zeros(nodes, np.int64)
    front, steps = [node for node in range(nodes) if not above[node]], 1
    while front:
        depth[front] = steps
        steps, front = steps + 1, sorted({c for node in front for c in below[node] if not depth[c]})
    return Hierarchy(above, below, depth)


def similarity(tree: Hierarchy, a: int, b: int) -> float:
    """Wu and Palmer's similarity of two nodes; 0 if nothing is above both."""
    up, other = _steps_up(tree, a), _steps_up(tree, b)
    common = up.keys() & other.keys()
    if not common:
        return 0.0
    ancestor = max(common, key=lambda node: (tree.depth[node], -up[node] - other[node]))
    twice = 2 * int(tree.depth[ancestor])
    return twice / (twice + up[ancestor] + other[ancestor])


def _steps_up(tree: Hierarchy, node: int) -> dict[int, int]:
    found, front, steps = {node: 0}, [node], 0
    while front:
        steps += 1
        front = list({parent for below in front for parent in tree.above[below]} - found.keys())
        found.update(dict.fromkeys(front, steps))
    return found


def gloss_pairs(sizes: Sequence[int], seed: int) -> list[SentencePairs]:
    """One set of pairs for each size, drawn by seed; no definition occurs in two sets, and no pair twice in one.

    Raises CompanionError if a size is less than 1, or there are more pairs than definitions.
    """
    if min(sizes, default=0) < 1:
        raise CompanionError(f"sizes are {list(sizes)}; each set needs at least 1 pair.")
    with np.load(path("wordnet_glosses")) as arrays:
        texts = arrays["glosses"].tobytes().decode().split("\n")
        tree = hierarchy(arrays["hypernyms"], len(texts))
    rng = np.random.default_rng(seed)
    first = {text: i for i, text in reversed(list(enumerate(texts)))}
    usable = np.array([_usable(text) and bool(tree.above[i]) and first[text] == i for i, text in enumerate(texts)])
    if sum(sizes) > usable.sum():
        raise CompanionError(f"sizes are {list(sizes)}; {usable.sum()} definitions give at most as many pairs.")
    owner = rng.choice(len(sizes), len(texts), p=np.array(sizes) / sum(sizes))
    return [_drawn(texts, tree, usable & (owner == k), size, rng) for k, size in enumerate(sizes)]


def _usable(text: str) -> bool:
    return SHORTEST <= len(text.split()) <= LONGEST and not re.search(r"[()\[\]]", text)


def _drawn(
    texts: list[str], tree: Hierarchy, allowed: np.ndarray, size: int, rng: np.random.Generator
) -> SentencePairs:
    nodes, found = np.flatnonzero(allowed), dict[tuple[int, int], float]()
    while len(found) < size:
        a = int(rng.choice(nodes))
        b = _relative(tree, a, allowed, rng) if rng.random() < RELATED else int(rng.choice(nodes))
        if b is not None and a != b and texts[a] != texts[b]:
            found.setdefault((min(a, b), max(a, b)), similarity(tree, a, b))
    return SentencePairs([texts[a] for a, _ in found], [texts[b] for _, b in found], np.array(list(found.values())))


def _relative(tree: Hierarchy, node: int, allowed: np.ndarray, rng: np.random.Generator) -> int | None:
    """Some steps up, about as many down again: a noun that shares an ancestor, or None if the walk ends elsewhere."""
    steps = int(rng.integers(1, MOST_STEPS + 1))
    for _ in range(steps):
        node = int(rng.choice(tree.above[node])) if tree.above[node] else node
    for _ in range(steps + int(rng.integers(-1, 2))):
        node = int(rng.choice(tree.below[node])) if tree.below[node] else node
    return node if allowed[node] else None


def stsb(part: str) -> SentencePairs:
    """The pairs of one part, "train" or "dev", in the file's order; similarity from 0 to 5."""
    if part not in PARTS:
        raise CompanionError(f"part = {part!r} is not one of {', '.join(PARTS)}.")
    with brought("stsb", f"{part}.csv").open(encoding="utf-8", newline="") as file:
        first, second, scores = zip(*csv.reader(file), strict=True)
    return SentencePairs(list(first), list(second), np.array(scores, np.float64))
