"""The score matrix at scale: never held whole. Rows are made in blocks that fit a given memory, read, and dropped.

symbol         identifier     shape
h_x, w_y, b_y  hidden, films, bias   (n, d), (m, d), (m,)
log lambda(x)  activity       (n,)
S              a block        (r, m), r rows at a time
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from companion.errors import CompanionError

COPIES = 6  # tensors of a block's size that are alive at once while it is read


@dataclass(frozen=True)
class Scorer:
    """Scores on demand: log lambda(x, y) = log lambda(x) + log softmax_y(w_y' h_x + b_y); see the legend.

    memory: bytes that the work on a block may take; a bound that holds no row at all is refused.
    """

    hidden: Tensor
    films: Tensor
    bias: Tensor
    activity: Tensor
    memory: int

    @property
    def rows(self) -> int:
        """How many rows a block has."""
        row = COPIES * len(self.films) * self.hidden.element_size()
        if row > self.memory:
            raise CompanionError(f"memory = {self.memory} bytes holds no row of {len(self.films)} films; use {row}.")
        return self.memory // row

    def log_blocks(self) -> Iterator[Tensor]:
        """Blocks of log-scores, (r, m), in the order of the rows."""
        for hidden, activity in zip(self.hidden.split(self.rows), self.activity.split(self.rows), strict=True):
            logits = torch.addmm(self.bias, hidden, self.films.T)
            yield logits.sub_(logits.logsumexp(1, keepdim=True) - activity.unsqueeze(1))

    def blocks(self) -> Iterator[Tensor]:
        """The same as scores."""
        for block in self.log_blocks():
            yield block.exp_()


def best_rows_and_columns(scorer: Scorer, k: int, c: int) -> tuple[Tensor, Tensor]:
    """Both readings in one pass: the k best films of each state, (n, k), and the c best states of each film, (m, c).

    Of the columns only the c best so far are kept, and the next block is merged into them.
    """
    rows, start = [], 0
    best = torch.empty(len(scorer.films), 0, dtype=scorer.hidden.dtype, device=scorer.hidden.device)
    who = torch.empty(len(scorer.films), 0, dtype=torch.int32, device=best.device)
    for block in scorer.log_blocks():
        rows.append(block.topk(k, dim=1).indices)
        fresh = block.T.contiguous().topk(min(c, len(block)), dim=1)
        best, place = torch.cat([best, fresh.values], 1).topk(min(c, start + len(block)), dim=1)
        who = torch.cat([who, (fresh.indices + start).int()], 1).gather(1, place)
        start += len(block)
    return torch.cat(rows), who
