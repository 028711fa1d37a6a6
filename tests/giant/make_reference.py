"""Writes companion/giant/reference.toml: what libpecos makes of a small random graph.

Needs an environment of its own (libpecos works with nothing newer):
    python3.11 -m venv pecos && pecos/bin/pip install numpy==1.26.4 scipy==1.13.1 scikit-learn==1.5.2 tqdm
    pecos/bin/pip install --no-deps libpecos==1.2.8
    pecos/bin/python tests/giant/make_reference.py > companion/giant/reference.toml
"""

import json

import numpy as np
from scipy import sparse

NODES, WORDS, PAIRS, LEAF, SEEDS = 60, 8, 90, 8, 12


def graph() -> tuple[np.ndarray, np.ndarray]:
    """Undirected pairs (2, E), each once, which leave three nodes alone; and features (N, V) with many zeros."""
    rng = np.random.default_rng(20220425)
    features = (rng.random((NODES, WORDS)) * (rng.random((NODES, WORDS)) < 0.4)).round(3)
    pairs = np.sort(rng.integers(0, NODES - 3, (PAIRS, 2)), axis=1)
    return np.unique(pairs[pairs[:, 0] < pairs[:, 1]], axis=0).T, features


def objective(vectors: np.ndarray, leaf: np.ndarray) -> float:
    """Mean cosine of a row with the centroid of its leaf."""
    return sum(float(np.linalg.norm(vectors[leaf == k].sum(0))) for k in range(leaf.max() + 1)) / len(vectors)


def main() -> None:
    """PIFA, and the leaves of twelve trees by their sizes and their objective."""
    from pecos.xmc import Indexer, LabelEmbeddingFactory

    (a, b), features = graph()
    ones = np.ones(2 * len(a), dtype=np.float32)
    adjacency = sparse.csr_matrix((ones, (np.r_[a, b], np.r_[b, a])), (NODES, NODES))
    found = LabelEmbeddingFactory.pifa(adjacency, sparse.csr_matrix(features.astype(np.float32))).astype(np.float32)
    vectors = np.asarray(found.todense())
    print(f"# Made by tests/giant/make_reference.py with libpecos 1.2.8.\nnodes = {NODES}")
    print(f"pairs = {json.dumps(np.stack([a, b]).tolist())}")
    print(f"features = {json.dumps(features.tolist())}")
    print(f"pifa = {json.dumps([[round(float(v), 6) for v in row] for row in vectors])}")
    sizes, objectives = set(), []
    for seed in range(SEEDS):
        chain = Indexer.gen(found, indexer_type="hierarchicalkmeans", max_leaf_size=LEAF, nr_splits=2, min_codes=2,
                            seed=seed, spherical=True)  # fmt: skip
        leaf = np.asarray(chain[-1].argmax(1)).ravel()
        sizes |= set(np.bincount(leaf).tolist())
        objectives.append(round(objective(vectors, leaf), 5))
    print(f"leaf_sizes = {sorted(sizes)}\nobjectives = {objectives}")


if __name__ == "__main__":
    main()
