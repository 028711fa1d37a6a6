"""What the tree costs: CPU seconds and memory of PIFA, tree and targets, each number of nodes in a fresh process."""

from __future__ import annotations

import time

import numpy as np
import torch
from scipy import sparse
from sklearn.random_projection import SparseRandomProjection

from companion.giant import method
from companion.lab import runtime
from companion.lab.evidence import Measurement

SIZES = (1_000, 10_000, 100_000, 1_000_000)
DEGREE, WORDS, VOCABULARY, COLUMNS, LEAF = 8, 12, 5_000, 32, 100
PIFA, TREE, TARGETS, PEAK = "PIFA", "tree", "targets", "peak memory"


def example(nodes: int) -> tuple[sparse.csr_matrix, sparse.csr_matrix]:
    """A random graph of 8 links a node, and 12 random words a text of 5,000: both sparse."""
    rng = np.random.default_rng(0)
    ends = rng.integers(0, nodes, (2, nodes * DEGREE // 2))
    ends = np.unique(np.sort(ends[:, ends[0] != ends[1]], axis=0), axis=1)
    cells = np.repeat(np.arange(nodes), WORDS), rng.integers(0, VOCABULARY, nodes * WORDS)
    texts = sparse.csr_matrix((np.ones(len(cells[0]), dtype=np.float32), cells), (nodes, VOCABULARY))
    return method.adjacency(ends, nodes), texts


def depth(nodes: int) -> int:
    """How deep a tree must be for leaves of at most 100 nodes."""
    return int(np.ceil(np.log2(nodes / LEAF)))


def projected(vectors: sparse.csr_matrix) -> torch.Tensor:
    """Sparse rows (N, V) on 32 random directions, (N, 32) float32: angles are kept on average, and nothing is N x V."""
    projection = SparseRandomProjection(COLUMNS, random_state=0, dense_output=True)
    return torch.nn.functional.normalize(torch.from_numpy(projection.fit_transform(vectors).astype(np.float32)))


def measure(nodes: int) -> dict[str, float]:
    """CPU seconds of each part, and megabytes at the peak of this process."""
    links, texts = example(nodes)
    clock = [time.process_time()]
    vectors = method.pifa(links, texts)
    clock.append(time.process_time())
    tree = method.balanced_tree(projected(vectors), (depth(nodes),), torch.Generator().manual_seed(0))
    clock.append(time.process_time())
    method.level_targets(links, tree, 1)
    clock.append(time.process_time())
    seconds = dict(zip((PIFA, TREE, TARGETS), np.diff(clock).tolist(), strict=True))
    return seconds | {PEAK: runtime.peak_megabytes()}


def growth(seed: int) -> list[Measurement]:
    """Each size in a process of its own, smallest first."""
    return runtime.runtime_by_size(measure, {f"{nodes:,} nodes": (nodes,) for nodes in SIZES}, seed)
