"""Exercises of the lesson: how an answer is checked, hints, and a solution; the statements stand in the notebook."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from companion.cold_brew.checks import TABLE_11
from companion.cold_brew.method import virtual_neighbors
from companion.lab.exercises import Exercise, NotYet, require_close

# ---------------------------------------------------------------- E1: FCR


def check_fcr(answer: Callable[[float, float, float], float]) -> None:
    """The ten values of Table 11, and a refusal where the ratio is undefined."""
    for name, row in TABLE_11.items():
        require_close(answer(row.gnn, row.mlp, row.lp), row.fcr, 0.05, f"FCR of {name}")
    try:
        answer(60.0, 40.0, 70.0)
    except ValueError:
        return
    raise NotYet("label propagation beats the GNN in (60, 40, 70): the ratio is undefined, so raise a ValueError.")


def solve_fcr(z_gnn: float, z_mlp: float, z_lp: float) -> float:
    """Eq. 5."""
    delta_mlp, delta_lp = z_gnn - z_mlp, z_gnn - z_lp
    if delta_lp < 0:
        raise ValueError("label propagation beats the GNN: FCR is undefined")
    if delta_mlp >= 0:
        return 100 * delta_lp / (delta_mlp + delta_lp)
    return 100 * (1 + abs(delta_mlp) / (abs(delta_mlp) + delta_lp))


# ---------------------------------------------------------------- E2: virtual neighbors


def check_attention(answer: Callable[[Tensor, Tensor, int], Tensor]) -> None:
    """Against a dense computation, for K = 1, 4 and N."""
    torch.manual_seed(8)
    queries, memory = torch.randn(20, 4), torch.randn(12, 4)
    for k in (1, 4, 12):
        scores = queries @ memory.T
        top_scores = scores.masked_fill(scores < scores.topk(k).values[:, -1:], -torch.inf)
        expected = top_scores.softmax(-1) @ memory
        require_close(answer(queries, memory, k), expected, 1e-5, f"the neighborhood for K = {k}")


def solve_attention(queries: Tensor, memory: Tensor, k: int) -> Tensor:
    """Eq. 4."""
    scores, index = (queries @ memory.T).topk(k)
    return (scores.softmax(-1).unsqueeze(-1) * memory[index]).sum(1)


# ---------------------------------------------------------------- E3: purity of virtual neighborhoods


def check_purity(answer: Callable[[Tensor, Tensor, Tensor], Any]) -> None:
    """Against a slow count; an unlabeled key (-1) never agrees."""
    torch.manual_seed(9)
    index = torch.randint(30, (50, 5))
    key_labels, query_labels = torch.randint(-1, 3, (30,)), torch.randint(-1, 3, (50,))
    agreements = [
        float(key_labels[key] == label)
        for keys, label in zip(index, query_labels.tolist(), strict=True)
        if label >= 0
        for key in keys
    ]
    expected = 100 * sum(agreements) / len(agreements)
    require_close(answer(index, key_labels, query_labels), expected, 1e-3, "the purity")


def solve_purity(index: Tensor, key_labels: Tensor, query_labels: Tensor) -> float:
    """Percent of the keys retrieved by labeled queries that have the label of the query."""
    labeled = query_labels >= 0
    return float((key_labels[index[labeled]] == query_labels[labeled].unsqueeze(1)).double().mean() * 100)


# ---------------------------------------------------------------- E4: the degree gate


def check_gate(answer: Callable[[Tensor, Tensor, Tensor, int], Tensor]) -> None:
    """Row by row: the teacher where the degree is at least m, the student elsewhere."""
    torch.manual_seed(10)
    teacher, student, degrees = torch.randn(8, 3), torch.randn(8, 3), torch.tensor([0, 1, 2, 3, 0, 2, 9, 1])
    for m in (0, 1, 2, 10):
        expected = torch.stack([teacher[i] if degrees[i] >= m else student[i] for i in range(len(degrees))])
        require_close(answer(teacher, student, degrees, m), expected, 1e-6, f"the gate with m = {m}")


def solve_gate(teacher: Tensor, student: Tensor, degrees: Tensor, m: int) -> Tensor:
    """The gate that the paper leaves to future work."""
    return torch.where((degrees >= m).unsqueeze(1), teacher, student)


# ---------------------------------------------------------------- E5: nodes that retrieve themselves


def check_masked(answer: Callable[[Tensor, Tensor, int, Tensor], Tensor]) -> None:
    """No query may retrieve its own row, and the rest must be what Eq. 4 gives without that row."""
    torch.manual_seed(11)
    memory = torch.randn(15, 4)
    expected = []
    for row in range(len(memory)):
        others = torch.cat([memory[:row], memory[row + 1 :]])
        expected.append(virtual_neighbors(memory[row : row + 1], others, 10))
    given = answer(memory, memory, 10, torch.arange(len(memory)))
    require_close(given, torch.cat(expected), 1e-5, "the neighborhood without the query's own row")


def solve_masked(queries: Tensor, memory: Tensor, k: int, own: Tensor) -> Tensor:
    """Eq. 4 with each query's own key at minus infinity."""
    scores = queries @ memory.T
    scores = scores.scatter(1, own.unsqueeze(1), -torch.inf)
    best, index = scores.topk(k)
    return (best.softmax(-1).unsqueeze(-1) * memory[index]).sum(1)


EXERCISES = (
    Exercise(
        "E1", "The feature contribution ratio", stars=1, minutes=10, check=check_fcr, solution=solve_fcr,
        hints=(
            "Begin with the two differences of Eq. 5a.",
            "There are two branches: which one is taken depends on whether the MLP beats the GNN.",
        ),
    ),
    Exercise(
        "E2", "Virtual neighbors", stars=2, minutes=15, check=check_attention, solution=solve_attention,
        hints=(
            "`topk` returns the scores and their indices.",
            "The softmax comes after the selection, so the weights sum to one.",
        ),
    ),
    Exercise(
        "E3", "How pure are virtual neighborhoods", stars=2, minutes=15, check=check_purity, solution=solve_purity,
        hints=("Leave out unlabeled queries first.", "`key_labels[index]` has the shape of `index`."),
    ),
    Exercise(
        "E4", "A gate on the degree", stars=3, minutes=20, check=check_gate, solution=solve_gate,
        hints=("`torch.where` chooses row by row if the condition has shape (N, 1).",),
    ),
    Exercise(
        "E5", "Research: does the student cheat in training?", stars=4, minutes=60, check=check_masked,
        solution=solve_masked,
        hints=("Remove the own key before selecting the K best, not after.", "`scatter` writes one score per row."),
    ),
)  # fmt: skip
