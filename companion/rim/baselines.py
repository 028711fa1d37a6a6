"""What RIM is compared with: simpler activities, item popularity, matrix factorization, a transformer, greedy."""

from __future__ import annotations

import numpy as np
import torch
from scipy.optimize import linprog
from scipy.sparse import eye_array, kron, vstack
from torch import Tensor, nn

from companion.rim.method import Exposure, NextItemModel

# ---------------------------------------------------------------- activity


def user_popularity(times: Tensor, at: float) -> Tensor:
    """0.01 + the number of events before `at`, however old: times (U, L) -> (U,)."""
    return 0.01 + (times < at).sum(1).double()


def decayed_count(times: Tensor, at: float, scale: float) -> Tensor:
    """EMA in the paper's code: the exponentially decayed count, sum of exp(-age / scale) over the events before `at`.

    times (U, L) -> (U,).
    """
    return torch.exp(-torch.where(times < at, at - times, torch.inf) / scale).sum(1)


# ---------------------------------------------------------------- relevance


def item_popularity(counts: Tensor, states: int) -> Tensor:
    """log of every item's share of the training events, the same for each state: counts (m,) -> (states, m)."""
    return (counts + 0.01).div((counts + 0.01).sum()).log().expand(states, -1)


def als(
    seen: Tensor, factors: int, weight: float, generator: torch.Generator, iterations: int = 8, ridge: float = 1.0
) -> Tensor:
    """Scores (U, m) float64 of a matrix factorization of seen (U, m) bool, by alternating least squares.

    Minimizes sum of confidence (seen - p_u' q_y)^2 + ridge |.|^2, where a seen pair has confidence 1 + weight
    (Hu, Koren and Volinsky, 2008). The order and the times of the events are ignored.
    """
    table = seen.float()
    item_factors = 0.1 * torch.randn(seen.shape[1], factors, generator=generator).to(seen.device)
    for _ in range(iterations):
        user_factors = _solve(table, item_factors, weight, ridge)
        item_factors = _solve(table.T, user_factors, weight, ridge)
    return (user_factors @ item_factors.T).double()


def _solve(table: Tensor, others: Tensor, weight: float, ridge: float) -> Tensor:
    """The best factors of one side, (rows, f), given those of the other, (columns, f)."""
    f = others.shape[1]
    squares = (others.unsqueeze(2) * others.unsqueeze(1)).flatten(1)
    normal = (weight * table @ squares + squares.sum(0)).view(-1, f, f) + ridge * torch.eye(f, device=table.device)
    return torch.linalg.solve(normal, (1 + weight) * table @ others)


class TransformerModel(NextItemModel):
    """A second relevance model: causal self-attention in place of recurrence."""

    def __init__(
        self, num_items: int, hidden_dim: int, max_length: int, dropout: float, num_heads: int = 2, num_layers: int = 2
    ) -> None:
        super().__init__(num_items, hidden_dim, dropout)
        self.position = nn.Parameter(0.02 * torch.randn(max_length + 1, hidden_dim))
        layer = nn.TransformerEncoderLayer(
            hidden_dim, num_heads, 4 * hidden_dim, dropout, batch_first=True, norm_first=True
        )
        self.blocks = nn.TransformerEncoder(layer, num_layers, nn.LayerNorm(hidden_dim), enable_nested_tensor=False)

    def encode(self, embedded: Tensor) -> Tensor:
        """(b, L, d) -> (b, L, d)."""
        length = embedded.shape[1]
        mask = nn.Transformer.generate_square_subsequent_mask(length, embedded.device)
        return self.blocks(embedded + self.position[:length], mask=mask, is_causal=True)


# ---------------------------------------------------------------- matching


def greedy(scores: Tensor, k: int, exposure: Exposure) -> Tensor:
    """Offline greedy matching: all pairs in descending order, while both budgets last; the least exposure first.

    scores (n, m), -inf where a pair is forbidden -> (n, m) bool. It needs all states before it serves the first.
    """
    n, m = scores.shape
    order = scores.flatten().argsort(descending=True)
    pairs = order[scores.flatten()[order] > -torch.inf].tolist()
    chosen, row_budget, shown = np.zeros((n, m), dtype=bool), [k] * n, [0] * m
    for limit in (exposure.least, exposure.most):
        for pair in pairs if limit else ():
            row, column = divmod(pair, m)
            if row_budget[row] and shown[column] < limit and not chosen[row, column]:
                chosen[row, column] = True
                row_budget[row] -= 1
                shown[column] += 1
    return torch.from_numpy(chosen).to(scores.device)


def linear_program(scores: Tensor, k: int, exposure: Exposure) -> tuple[float, Tensor]:
    """The optimal value E[S pi] and solution pi (n, m) at eps = 0, by SciPy's HiGHS; scores (n, m) float64."""
    n, m = scores.shape
    rows, columns = kron(eye_array(n), np.ones((1, m))), kron(np.ones((1, n)), eye_array(m))
    limits = [np.full(n, float(k)), np.full(m, -float(exposure.least)), np.full(m, float(min(exposure.most, n)))]
    bounded = vstack([rows, -columns, columns]).tocsr()
    result = linprog(-scores.numpy().ravel(), A_ub=bounded, b_ub=np.concatenate(limits), bounds=(0, 1))
    return -result.fun / (n * m), torch.from_numpy(result.x).view(n, m)
