"""Exercises of the lesson: what is asked, how an answer is checked, hints, a reference answer, wrong answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from companion.cold_brew.checks import TABLE_11
from companion.cold_brew.method import attend
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
    raise NotYet(
        "label propagation beats the GNN in (60, 40, 70): the ratio is undefined there, so raise a ValueError."
    )


def solve_fcr(z_gnn: float, z_mlp: float, z_lp: float) -> float:
    """Eq. 5."""
    delta_mlp, delta_lp = z_gnn - z_mlp, z_gnn - z_lp
    if delta_lp < 0:
        raise ValueError("label propagation beats the GNN: FCR is undefined")
    if delta_mlp >= 0:
        return 100 * delta_lp / (delta_mlp + delta_lp)
    return 100 * (1 + abs(delta_mlp) / (abs(delta_mlp) + delta_lp))


def wrong_fcr_one_branch(z_gnn: float, z_mlp: float, z_lp: float) -> float:
    """Forgets the branch in which the MLP is better than the GNN."""
    return 100 * (z_gnn - z_lp) / (2 * z_gnn - z_mlp - z_lp)


def wrong_fcr_silent(z_gnn: float, z_mlp: float, z_lp: float) -> float:
    """Right in Table 11, but never refuses."""
    delta_mlp, delta_lp = abs(z_gnn - z_mlp), z_gnn - z_lp
    ratio = 100 * (delta_lp if z_mlp <= z_gnn else delta_mlp) / (delta_mlp + delta_lp)
    return ratio if z_mlp <= z_gnn else 100 + ratio


# ---------------------------------------------------------------- E2: virtual neighbours


def check_attention(answer: Callable[[Tensor, Tensor, int], Tensor]) -> None:
    """Against a dense computation, for K = 1, 4 and N."""
    torch.manual_seed(8)
    queries, memory = torch.randn(20, 4), torch.randn(12, 4)
    for k in (1, 4, 12):
        scores = queries @ memory.T
        kept = scores.masked_fill(scores < scores.topk(k).values[:, -1:], -torch.inf)
        require_close(answer(queries, memory, k), kept.softmax(-1) @ memory, 1e-5, f"the neighbourhood for K = {k}")


def solve_attention(queries: Tensor, memory: Tensor, k: int) -> Tensor:
    """Eq. 4."""
    scores, index = (queries @ memory.T).topk(k)
    return (scores.softmax(-1).unsqueeze(-1) * memory[index]).sum(1)


def wrong_attention_zero(queries: Tensor, memory: Tensor, k: int) -> Tensor:
    """Theta_K sets the others to zero instead of minus infinity."""
    scores = queries @ memory.T
    return (scores * (scores >= scores.topk(k).values[:, -1:])).softmax(-1) @ memory


def wrong_attention_late(queries: Tensor, memory: Tensor, k: int) -> Tensor:
    """Takes the softmax over all scores first, so that the K weights no longer sum to one."""
    weights, index = (queries @ memory.T).softmax(-1).topk(k)
    return (weights.unsqueeze(-1) * memory[index]).sum(1)


# ---------------------------------------------------------------- E3: purity of virtual neighbourhoods


def check_purity(answer: Callable[[Tensor, Tensor, Tensor], Any]) -> None:
    """Against a slow count; unlabelled keys (-1) never agree with anybody."""
    torch.manual_seed(9)
    index, keys, queries = torch.randint(30, (50, 5)), torch.randint(-1, 3, (30,)), torch.randint(-1, 3, (50,))
    pairs = [
        float(keys[j] == label) for row, label in zip(index, queries.tolist(), strict=True) if label >= 0 for j in row
    ]
    require_close(answer(index, keys, queries), 100 * sum(pairs) / len(pairs), 1e-3, "the purity")


def solve_purity(index: Tensor, key_labels: Tensor, query_labels: Tensor) -> float:
    """Share of retrieved keys with the label of the node that asked, per cent, over labelled queries."""
    labelled = query_labels >= 0
    return float((key_labels[index[labelled]] == query_labels[labelled].unsqueeze(1)).double().mean() * 100)


def wrong_purity_unlabelled(index: Tensor, key_labels: Tensor, query_labels: Tensor) -> float:
    """Counts unlabelled queries, and calls -1 equal to -1."""
    return float((key_labels[index] == query_labels.unsqueeze(1)).double().mean() * 100)


def wrong_purity_fraction(index: Tensor, key_labels: Tensor, query_labels: Tensor) -> float:
    """A fraction where per cent was asked."""
    return solve_purity(index, key_labels, query_labels) / 100


# ---------------------------------------------------------------- E4: the degree gate


def check_gate(answer: Callable[[Tensor, Tensor, Tensor, int], Tensor]) -> None:
    """Row by row: the teacher where the degree is at least m, the student elsewhere."""
    torch.manual_seed(10)
    teacher, student, degrees = torch.randn(8, 3), torch.randn(8, 3), torch.tensor([0, 1, 2, 3, 0, 2, 9, 1])
    for m in (0, 1, 2, 10):
        wanted = torch.stack([t if d >= m else s for t, s, d in zip(teacher, student, degrees.tolist(), strict=True)])
        require_close(answer(teacher, student, degrees, m), wanted, 1e-6, f"the gate with m = {m}")


def solve_gate(teacher: Tensor, student: Tensor, degrees: Tensor, m: int) -> Tensor:
    """The switch that the paper leaves to future work."""
    return torch.where((degrees >= m).unsqueeze(1), teacher, student)


def wrong_gate_strict(teacher: Tensor, student: Tensor, degrees: Tensor, m: int) -> Tensor:
    """Sends nodes of degree exactly m to the student."""
    return torch.where((degrees > m).unsqueeze(1), teacher, student)


def wrong_gate_swapped(teacher: Tensor, student: Tensor, degrees: Tensor, m: int) -> Tensor:
    """The student serves the well-connected nodes."""
    return torch.where((degrees >= m).unsqueeze(1), student, teacher)


# ---------------------------------------------------------------- E5: the leak of self-retrieval


def check_masked(answer: Callable[[Tensor, Tensor, int, Tensor], Tensor]) -> None:
    """No query may find its own row, and the rest must be what Eq. 4 finds without that row."""
    torch.manual_seed(11)
    memory = torch.randn(15, 4)
    own = torch.arange(15)
    wanted = torch.stack([_without_row(memory, row, 10) for row in range(len(memory))])
    require_close(answer(memory, memory, 10, own), wanted, 1e-5, "the neighbourhood without one's own row")


def _without_row(memory: Tensor, row: int, k: int) -> Tensor:
    others = torch.cat([memory[:row], memory[row + 1 :]])
    index, weights = attend(memory[row : row + 1], others, k)
    return (weights[0].unsqueeze(1) * others[index[0]]).sum(0)


def solve_masked(queries: Tensor, memory: Tensor, k: int, own: Tensor) -> Tensor:
    """Eq. 4 with each query's own key at minus infinity."""
    scores = queries @ memory.T
    scores = scores.scatter(1, own.unsqueeze(1), -torch.inf)
    best, index = scores.topk(k)
    return (best.softmax(-1).unsqueeze(-1) * memory[index]).sum(1)


def wrong_masked_late(queries: Tensor, memory: Tensor, k: int, own: Tensor) -> Tensor:
    """Drops the own row after the K best were chosen, so that only K - 1 neighbours are left."""
    best, index = (queries @ memory.T).topk(k)
    best = best.masked_fill(index == own.unsqueeze(1), -torch.inf)
    return (best.softmax(-1).unsqueeze(-1) * memory[index]).sum(1)


def wrong_masked_zero(queries: Tensor, memory: Tensor, k: int, own: Tensor) -> Tensor:
    """Sets the own score to zero, which is still a score."""
    best, index = (queries @ memory.T).scatter(1, own.unsqueeze(1), 0.0).topk(k)
    return (best.softmax(-1).unsqueeze(-1) * memory[index]).sum(1)


EXERCISES = (
    Exercise(
        id="E1",
        title="The feature contribution ratio",
        stars=1,
        minutes=10,
        statement="Write `fcr(z_gnn, z_mlp, z_lp)` (Eq. 5, in per cent). It must reproduce the ten values of Table 11 "
        "and raise a `ValueError` where label propagation beats the GNN.",
        check=check_fcr,
        hints=(
            "Begin with the two differences of Eq. 5a.",
            "There are two branches: which one is taken depends on whether the MLP beats the GNN.",
        ),
        solution=solve_fcr,
        wrong=(wrong_fcr_one_branch, wrong_fcr_silent),
    ),
    Exercise(
        id="E2",
        title="Virtual neighbours",
        stars=2,
        minutes=15,
        statement="Write `neighbourhood(queries, memory, k)`, Eq. 4 without chunks: queries (n, d), memory (N, d), "
        "result (n, d). Only the K largest scores take part in the softmax.",
        check=check_attention,
        hints=(
            "`topk` gives the scores and where they stand.",
            "The softmax comes after the cut, so the weights sum to one.",
        ),
        solution=solve_attention,
        wrong=(wrong_attention_zero, wrong_attention_late),
    ),
    Exercise(
        id="E3",
        title="How pure are virtual neighbourhoods",
        stars=2,
        minutes=15,
        statement="Write `purity(index, key_labels, query_labels)`: of all neighbours found by labelled queries, the "
        "per cent that carry the label of the node that asked. index is (n, K), a label of -1 means "
        "unlabelled; an unlabelled neighbour never agrees.",
        check=check_purity,
        hints=("Leave out unlabelled queries first.", "`key_labels[index]` has the shape of `index`."),
        solution=solve_purity,
        wrong=(wrong_purity_unlabelled, wrong_purity_fraction),
    ),
    Exercise(
        id="E4",
        title="A gate on the degree",
        stars=3,
        minutes=20,
        statement="Write `gate(teacher, student, degrees, m)`: scores (N, classes) that are the teacher's for nodes "
        "with at least m neighbours and the student's for the others. Then use it on the live models: which m"
        " serves all nodes best? The paper leaves this to future work.",
        check=check_gate,
        hints=("`torch.where` chooses row by row if the condition has shape (N, 1).",),
        solution=solve_gate,
        wrong=(wrong_gate_strict, wrong_gate_swapped),
    ),
    Exercise(
        id="E5",
        title="Research: does the student cheat in training?",
        stars=4,
        minutes=60,
        statement="A training node finds its own row in the memory, and that row has seen its label; a test node has no"
        " such row. Write `masked(queries, memory, k, own)`: Eq. 4, but query i may not use key `own[i]`. "
        "Then retrain the student with it: does accuracy on isolated validation nodes rise?",
        check=check_masked,
        hints=("Remove the own key before choosing the K best, not after.", "`scatter` writes one score per row."),
        solution=solve_masked,
        wrong=(wrong_masked_late, wrong_masked_zero),
    ),
)
