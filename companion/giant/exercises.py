"""Exercises of the lesson: what is asked, how an answer is checked, hints, a reference answer, wrong answers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from companion.giant import method, theory
from companion.giant.checks import example, example_tree, objective, reference
from companion.lab.exercises import Exercise, NotYet, require_close

# ---------------------------------------------------------------- E1: PIFA


def check_pifa(answer: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> None:
    """What libpecos computed for the same small graph."""
    links, features = (matrix.toarray().astype(float) for matrix in example())
    require_close(answer(links, features), reference()["pifa"], 2e-6, "the vectors of the labels")


def solve_pifa(links: np.ndarray, features: np.ndarray) -> np.ndarray:
    """Rows of the links to length 1, a product, rows to length 1; a zero row stays."""

    def rownorm(matrix: np.ndarray) -> np.ndarray:
        length = np.linalg.norm(matrix, axis=1, keepdims=True)
        return matrix / np.where(length > 0, length, 1)

    return rownorm(rownorm(links).T @ features)


def wrong_pifa_plain_sum(links: np.ndarray, features: np.ndarray) -> np.ndarray:
    """Forgets that an instance with many labels counts less for each."""
    total = links.T @ features
    length = np.linalg.norm(total, axis=1, keepdims=True)
    return total / np.where(length > 0, length, 1)


def wrong_pifa_own_text(links: np.ndarray, features: np.ndarray) -> np.ndarray:
    """Lets a node's own text in."""
    return solve_pifa(links + np.eye(len(links)), features)


# ---------------------------------------------------------------- E2: from fine targets to coarse ones


def check_coarse(answer: Callable[[Tensor, int], Tensor]) -> None:
    """Against the targets computed from the links, up to the root."""
    links, tree = example()[0], example_tree()
    fine = torch.from_numpy(method.level_targets(links, tree, 3).toarray())
    for level in (2, 1, 0):
        children = tree.clusters(3) // tree.clusters(level)
        wanted = method.level_targets(links, tree, level).toarray() > 0
        require_close(torch.as_tensor(answer(fine, children)).float(), wanted, 0, "the coarse targets, as 0 and 1")


def solve_coarse(counts: Tensor, children: int) -> Tensor:
    """A parent is positive if any of its children is: children have consecutive numbers."""
    return (counts.view(len(counts), -1, children) > 0).any(2).float()


def wrong_coarse_all(counts: Tensor, children: int) -> Tensor:
    """Asks for all children."""
    return (counts.view(len(counts), -1, children) > 0).all(2).float()


def wrong_coarse_counts(counts: Tensor, children: int) -> Tensor:
    """Gives the counts, which are the weights, and not the targets."""
    return counts.view(len(counts), -1, children).sum(2)


# ---------------------------------------------------------------- E3: one balanced split


def check_split(answer: Callable[[Tensor], Tensor]) -> None:
    """Balanced, and at least 97 per cent of the package's objective; on an odd number of rows, too."""
    vectors = torch.from_numpy(method.pifa(*example()).toarray()).float()[:57]
    best = max(
        objective(vectors, method.split(vectors, torch.zeros(57, dtype=torch.int64), torch.Generator().manual_seed(i)))
        for i in range(8)
    )
    side = torch.as_tensor(answer(vectors.clone()))
    if side.shape != (57,) or not set(side.unique().tolist()) <= {0, 1}:
        raise NotYet("the answer must hold a 0 or a 1 for each of the 57 rows, shape (57,).")
    if abs(int(side.sum()) - 28.5) > 1:
        raise NotYet(f"the halves hold {int(side.sum())} and {57 - int(side.sum())} rows; they may differ by one.")
    if objective(vectors, side.long()) < 0.97 * best:
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
    return max(tries, key=lambda side: objective(vectors, side))


def wrong_split_unbalanced(vectors: Tensor) -> Tensor:
    """Plain 2-means: each row goes to the nearer of two rows."""
    return (vectors @ vectors[0] < vectors @ vectors[1]).long()


def wrong_split_by_number(vectors: Tensor) -> Tensor:
    """Balanced, and blind."""
    return (torch.arange(len(vectors)) % 2).long()


# ---------------------------------------------------------------- E4: an inductive variant


def hidden_example() -> tuple[np.ndarray, int, np.ndarray]:
    """Pairs (2, E), the number of nodes, and twelve nodes that are hidden."""
    return np.array(reference()["pairs"]), reference()["nodes"], np.arange(0, 60, 5)


def check_inductive(answer: Callable[[np.ndarray, int, np.ndarray], tuple[np.ndarray, np.ndarray]]) -> None:
    """No hidden node in any target or batch, and nothing else lost."""
    pairs, nodes, hidden = hidden_example()
    kept, rows = answer(pairs, nodes, hidden)
    kept, rows = np.asarray(kept), np.asarray(rows)
    if kept.ndim != 2 or len(kept) != 2:
        raise NotYet(f"the pairs must have shape (2, E), and these have {kept.shape}.")
    if np.isin(kept, hidden).any():
        raise NotYet("a hidden node is still somebody's neighbour: it would be in a target and in PIFA.")
    if np.isin(rows, hidden).any():
        raise NotYet("a hidden node is still an instance: its text would be trained on.")
    wanted = pairs[:, ~np.isin(pairs, hidden).any(0)]
    require_close(np.unique(kept, axis=1), np.unique(wanted, axis=1), 0, "the pairs that are left")
    require_close(np.unique(rows), np.unique(wanted), 0, "the instances, which need a neighbour that is left,")


def solve_inductive(pairs: np.ndarray, nodes: int, hidden: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Drop every pair with a hidden end; instances are the ends of what is left."""
    kept = pairs[:, ~np.isin(pairs, hidden).any(axis=0)]
    return kept, np.unique(kept)


def wrong_inductive_targets(pairs: np.ndarray, nodes: int, hidden: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Hides the instances and leaves their links in the targets."""
    return pairs, np.setdiff1d(np.unique(pairs), hidden)


def wrong_inductive_lonely(pairs: np.ndarray, nodes: int, hidden: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Keeps instances that have no neighbour left: negatives alone would push them away from everything."""
    return pairs[:, ~np.isin(pairs, hidden).any(axis=0)], np.setdiff1d(np.arange(nodes), hidden)


# ---------------------------------------------------------------- E5: when do neighbours help?


def check_crossover(answer: Callable[[float, float, float], int]) -> None:
    """The smallest whole number at which the closed form is below the error of a node's own feature."""
    worlds = [(0.5, 1.0, 0.9), (0.5, 1.0, 0.5), (1.0, 1.0, 0.3), (2.0, 1.0, 0.3), (1.0, 0.5, 0.7)]
    wanted = []
    for signal, noise, homophily in worlds:
        raw, d = theory.raw_error(signal, noise), 1
        while theory.neighbour_error(signal, noise, homophily, d) >= raw:
            d += 1
        wanted.append(d)
    require_close([answer(*world) for world in worlds], wanted, 0, "the numbers of neighbours in five worlds")


def solve_crossover(signal: float, noise: float, homophily: float) -> int:
    """m |mu| / sqrt((sigma^2 + (1 - m^2) |mu|^2) / d) > |mu| / sigma, solved for d."""
    needed = (1 + (1 - homophily**2) * (signal / noise) ** 2) / homophily**2
    return int(np.floor(needed)) + 1


def wrong_crossover_no_mixing(signal: float, noise: float, homophily: float) -> int:
    """Forgets that neighbours of the other class spread the mean as well."""
    return int(np.floor(1 / homophily**2)) + 1


def wrong_crossover_first_power(signal: float, noise: float, homophily: float) -> int:
    """m instead of its square."""
    return int(np.floor((1 + (1 - homophily) * (signal / noise) ** 2) / homophily)) + 1


# ---------------------------------------------------------------- the list

EXERCISES = (
    Exercise(
        id="E1",
        title="What stands for a node as a label",
        stars=1,
        minutes=10,
        statement="Write PIFA for dense arrays: `links` is (N, N) of 0 and 1, `features` is (N, V). Bring each row of "
        "the links to length 1, multiply, and bring the rows of the product to length 1. A row of zeros stays one. "
        "The check compares with what the authors' library computed.",
        check=check_pifa,
        hints=("A node with four neighbours gives half of its text to each: 1 / sqrt(4).", "Divide by 1 where 0 is."),
        solution=solve_pifa,
        wrong=(wrong_pifa_plain_sum, wrong_pifa_own_text),
    ),
    Exercise(
        id="E2",
        title="From the leaves to the root",
        stars=1,
        minutes=10,
        statement="`counts` (n, K) says how many neighbours of each instance lie in each of K clusters; `children` "
        "clusters with consecutive numbers share a parent. Return the targets of the parents as 0 and 1, "
        "(n, K / children). At the root every node with a neighbour must be positive.",
        check=check_coarse,
        hints=("`view(n, -1, children)` puts siblings side by side.", "One positive child is enough."),
        solution=solve_coarse,
        wrong=(wrong_coarse_all, wrong_coarse_counts),
    ),
    Exercise(
        id="E3",
        title="One balanced split",
        stars=2,
        minutes=20,
        statement="Split the rows of `vectors` (n, d), which have length 1 or 0, in two halves whose sizes differ by "
        "at most one, so that rows of a half are alike: return (n,) of 0 and 1. The objective is the mean cosine of a "
        "row with the centroid of its half; 97 per cent of what the package reaches is enough.",
        check=check_split,
        hints=("Score each row by its product with the difference of two centroids, and cut at the median.",
               "The result depends on the two rows that you begin with: try several."),
        solution=solve_split,
        wrong=(wrong_split_unbalanced, wrong_split_by_number),
    ),
    Exercise(
        id="E4",
        title="Nodes that nobody has seen",
        stars=3,
        minutes=25,
        statement="GIANT is transductive: it reads the texts and links of test nodes. Make it inductive: from `pairs` "
        "(2, E), the number of `nodes` and the numbers of the `hidden` ones return the pairs that may be used, and the "
        "instances that may be trained on. Instances without a neighbour that is left are skipped, as in the paper.",
        check=check_inductive,
        hints=("A hidden node must not be anybody's label either.", "np.isin on the pairs, then any over the ends."),
        solution=solve_inductive,
        wrong=(wrong_inductive_targets, wrong_inductive_lonely),
    ),
    Exercise(
        id="E5",
        title="From how many neighbours on?",
        stars=3,
        minutes=25,
        statement="In the block model a node's own feature errs with Phi(-|mu| / sigma), and the mean of d neighbours "
        "with Phi(-m |mu| / s), where s^2 = (sigma^2 + (1 - m^2) |mu|^2) / d. Return the smallest whole d at which "
        "neighbours are better, as a function of `signal`, `noise` and `homophily`. Then ask, as research: does link "
        "prediction beat the tree on graphs denser than that?",
        check=check_crossover,
        hints=("Phi rises, so compare what stands inside.", "Solve for d, and take the next whole number."),
        solution=solve_crossover,
        wrong=(wrong_crossover_no_mixing, wrong_crossover_first_power),
    ),
)  # fmt: skip
