"""Exercises of the lesson: checks, hints and reference answers. The statements stand in the notebook."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from companion.giant import data, method
from companion.giant.data import libpecos_reference, reference_graph, reference_tree
from companion.giant.evaluation import tree_objective
from companion.lab.exercises import Exercise, NotYet, require_close


def check_pifa(answer: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> None:
    """E1: against the output of libpecos for the same small graph."""
    links, features = (matrix.toarray().astype(float) for matrix in reference_graph())
    require_close(answer(links, features), libpecos_reference()["pifa"], 2e-6, "the vectors of the labels")


def solve_pifa(links: np.ndarray, features: np.ndarray) -> np.ndarray:
    """Rows of the links to length 1, a product, rows to length 1; a zero row stays."""

    def rownorm(matrix: np.ndarray) -> np.ndarray:
        length = np.linalg.norm(matrix, axis=1, keepdims=True)
        return matrix / np.where(length > 0, length, 1)

    return rownorm(rownorm(links).T @ features)


def check_coarse(answer: Callable[[Tensor, int], Tensor]) -> None:
    """E2: against the targets computed from the links, up to the root."""
    links, tree = reference_graph()[0], reference_tree()
    fine = torch.from_numpy(method.level_targets(links, tree, 3).toarray())
    for level in (2, 1, 0):
        children = tree.num_clusters(3) // tree.num_clusters(level)
        expected = method.level_targets(links, tree, level).toarray() > 0
        require_close(torch.as_tensor(answer(fine, children)).float(), expected, 0, "the coarse targets, as 0 and 1")


def solve_coarse(counts: Tensor, children: int) -> Tensor:
    """A parent is positive if any of its children is: children have consecutive numbers."""
    return (counts.view(len(counts), -1, children) > 0).any(2).float()


def check_split(answer: Callable[[Tensor], Tensor]) -> None:
    """E3: balanced, and at least 97 percent of the package's objective; on an odd number of rows, too."""
    vectors = torch.from_numpy(method.pifa(*reference_graph()).toarray()).float()[:57]
    root, generators = torch.zeros(57, dtype=torch.int64), [torch.Generator().manual_seed(i) for i in range(8)]
    best = max(tree_objective(vectors, method.balanced_split(vectors, root, generator)) for generator in generators)
    side = torch.as_tensor(answer(vectors.clone()))
    if side.shape != (57,) or not set(side.unique().tolist()) <= {0, 1}:
        raise NotYet("the answer must hold a 0 or a 1 for each of the 57 rows, shape (57,).")
    if abs(int(side.sum()) - 28.5) > 1:
        raise NotYet(f"the halves hold {int(side.sum())} and {57 - int(side.sum())} rows; they may differ by one.")
    if tree_objective(vectors, side.long()) < 0.97 * best:
        raise NotYet("the halves are balanced, but rows of one half are not alike: the objective is too low.")


def solve_split(vectors: Tensor) -> Tensor:
    """Sort along the difference of the centroids, cut in the middle, repeat."""
    tries = []
    for seed in range(8):
        first = torch.randperm(len(vectors), generator=torch.Generator().manual_seed(seed))[:2]
        left, right = vectors[first]
        for _ in range(20):
            order = (vectors @ (right - left)).argsort()
            side = torch.zeros(len(vectors), dtype=torch.int64)
            side[order[len(order) // 2 :]] = 1
            left, right = (torch.nn.functional.normalize(vectors[side == k].sum(0), dim=0) for k in (0, 1))
        tries.append(side)
    return max(tries, key=lambda side: tree_objective(vectors, side))


def check_inductive(answer: Callable[[np.ndarray, int, np.ndarray], tuple[np.ndarray, np.ndarray]]) -> None:
    """E4: no hidden node in any target or batch, and nothing else lost; every fifth node is hidden."""
    pairs, nodes, hidden = np.array(libpecos_reference()["pairs"]), libpecos_reference()["nodes"], np.arange(0, 60, 5)
    used_pairs, instances = (np.asarray(each) for each in answer(pairs, nodes, hidden))
    if used_pairs.ndim != 2 or len(used_pairs) != 2:
        raise NotYet(f"the pairs must have shape (2, E), and these have {used_pairs.shape}.")
    if np.isin(used_pairs, hidden).any():
        raise NotYet("a hidden node is still a neighbor of another node: it would be in a target and in PIFA.")
    if np.isin(instances, hidden).any():
        raise NotYet("a hidden node is still an instance: its text would be trained on.")
    expected = pairs[:, ~np.isin(pairs, hidden).any(0)]
    require_close(np.unique(used_pairs, axis=1), np.unique(expected, axis=1), 0, "the pairs that are left")
    require_close(np.unique(instances), np.unique(expected), 0, "the instances, which need a neighbor that is left,")


def solve_inductive(pairs: np.ndarray, nodes: int, hidden: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Drop every pair with a hidden end; instances are the ends of what is left."""
    used_pairs = pairs[:, ~np.isin(pairs, hidden).any(axis=0)]
    return used_pairs, np.unique(used_pairs)


def check_crossover(answer: Callable[[float, float, float], int]) -> None:
    """E5: the smallest whole number at which the closed form is below the error of a node's own feature."""
    settings = [(0.5, 1.0, 0.9), (0.5, 1.0, 0.5), (1.0, 1.0, 0.3), (2.0, 1.0, 0.3), (1.0, 0.5, 0.7)]
    expected = []
    for signal, noise, homophily in settings:
        raw, d = data.raw_error(signal, noise), 1
        while data.neighbor_error(signal, noise, homophily, d) >= raw:
            d += 1
        expected.append(d)
    require_close([answer(*each) for each in settings], expected, 0, "the numbers of neighbors in five settings")


def solve_crossover(signal: float, noise: float, homophily: float) -> int:
    """m |mu| / sqrt((sigma^2 + (1 - m^2) |mu|^2) / d) > |mu| / sigma, solved for d."""
    needed = (1 + (1 - homophily**2) * (signal / noise) ** 2) / homophily**2
    return int(np.floor(needed)) + 1


EXERCISES = (
    Exercise(
        id="E1", title="The vector of a node as a label", stars=1, minutes=10,
        check=check_pifa, solution=solve_pifa,
        hints=("A node with four neighbors gives half of its text to each: 1 / sqrt(4).", "Divide by 1 where 0 is."),
    ),
    Exercise(
        id="E2", title="From the leaves to the root", stars=1, minutes=10,
        check=check_coarse, solution=solve_coarse,
        hints=("`view(n, -1, children)` puts siblings side by side.", "One positive child is enough."),
    ),
    Exercise(
        id="E3", title="One balanced split", stars=2, minutes=20,
        check=check_split, solution=solve_split,
        hints=("Score each row by its product with the difference of two centroids, and cut at the median.",
               "The result depends on the two rows that you begin with: try several."),
    ),
    Exercise(
        id="E4", title="Nodes that were never seen", stars=3, minutes=25,
        check=check_inductive, solution=solve_inductive,
        hints=("A hidden node must not be a label of another node either.",
               "`np.isin` on the pairs, then `any` over the two ends."),
    ),
    Exercise(
        id="E5", title="How many neighbors does it take?", stars=3, minutes=25,
        check=check_crossover, solution=solve_crossover,
        hints=("Phi rises, so compare its arguments.", "Solve for d, and take the next whole number."),
    ),
)  # fmt: skip
