"""Recurrent intensity modeling: one matrix of scores, read along its rows and along its columns.

symbol            identifier            shape
x = (u, T)        a state: user u at T  n of them, one a row
y                 a film                m of them, one a column
H_u(T)            items, lengths        (n, L) int64, (n,): the films before T, in order, padded
p(y | x)          log_p                 (n, m) float64, logarithm; each row sums to 1 (relevance)
lambda(x)         intensity             (n,) float64, events a horizon (activity); see `intensity`
lambda(x, y)      log_scores            (n, m) float64, logarithm of lambda(x) p(y | x)
h_x               hidden                (n, d): the last state of the recurrent network
Y                 targets               (n, m): events of y in [T, T + horizon)
M                 chosen                (n, m) bool: the recommendations
k, c              k, c                  so many films a row, so many states a column
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional


class Recipe(NamedTuple):
    """How a relevance model is trained: learning rate and passes over the histories."""

    lr: float
    epochs: int

    def __str__(self) -> str:
        return f"lr {self.lr:g}, {self.epochs} epochs"


class Training(NamedTuple):
    """What all relevance models share: width, layers, dropout, longest history, batch, mixed precision."""

    width: int = 48
    layers: int = 1
    dropout: float = 0.2
    longest: int = 64
    batch: int = 64
    amp: bool = False


# ---------------------------------------------------------------- relevance


class NextItem(nn.Module, ABC):
    """A language model whose words are films: embeddings are tied, and word m is the start of every history."""

    def __init__(self, films: int, training: Training) -> None:
        super().__init__()
        self.films = films
        self.embedding = nn.Embedding(films + 1, training.width)
        self.bias = nn.Parameter(torch.zeros(films))
        self.dropout = nn.Dropout(training.dropout)
        nn.init.normal_(self.embedding.weight, std=training.width**-0.5)

    @abstractmethod
    def encode(self, embedded: Tensor) -> Tensor:
        """Embedded histories (b, L, d) -> states (b, L, d); state i has read the words up to i, and no later one."""

    def forward(self, words: Tensor) -> Tensor:
        """words (b, L) int64 -> states (b, L, d)."""
        return self.dropout(self.encode(self.dropout(self.embedding(words))))

    def logits(self, hidden: Tensor) -> Tensor:
        """States (n, d) -> w_y' h_x + b_y for every film, (n, m)."""
        return functional.linear(hidden, self.embedding.weight[: self.films], self.bias)

    def started(self, items: Tensor) -> Tensor:
        """The start word, then the films: (b, L) -> (b, L + 1)."""
        return functional.pad(items, (1, 0), value=self.films)


class Recurrent(NextItem):
    """The paper's relevance model: a GRU reads the films one after the other."""

    def __init__(self, films: int, training: Training) -> None:
        super().__init__(films, training)
        self.gru = nn.GRU(training.width, training.width, training.layers, batch_first=True)

    def encode(self, embedded: Tensor) -> Tensor:
        """(b, L, d) -> (b, L, d)."""
        return self.gru(embedded)[0]


def last_events(items: Tensor, lengths: Tensor, longest: int) -> tuple[Tensor, Tensor]:
    """The last `longest` films of histories (n, L), moved to the left: (n, longest) and their numbers (n,)."""
    kept = lengths.clamp(max=longest)
    place = torch.arange(longest, device=items.device) + (lengths - kept).unsqueeze(1)
    return items.gather(1, place.clamp(max=items.shape[1] - 1)), kept


def next_item_loss(model: NextItem, items: Tensor, lengths: Tensor) -> Tensor:
    """Mean of -log p(film | films before it) over the events of histories (b, L), lengths (b,).

    The valid places are selected before the product with all films, which is what costs.
    """
    items = items[:, : int(lengths.max())]
    valid = torch.arange(items.shape[1], device=items.device) < lengths.unsqueeze(1)
    hidden = model(model.started(items)[:, :-1])
    return functional.cross_entropy(model.logits(hidden[valid]), items[valid])


def fit_relevance(
    model: NextItem, items: Tensor, lengths: Tensor, recipe: Recipe, training: Training, generator: torch.Generator
) -> NextItem:
    """Train on histories (n, L), lengths (n,): batches of like length, in a new order at every pass."""
    items, lengths = last_events(items, lengths, training.longest)
    kept = torch.nonzero(lengths).squeeze(1)
    batches = kept[lengths[kept].argsort()].split(training.batch)
    optimiser = torch.optim.Adam(model.parameters(), lr=recipe.lr, fused=True)
    model.train()
    for _ in range(recipe.epochs):
        for at in torch.randperm(len(batches), generator=generator).tolist():
            with torch.autocast(items.device.type, torch.bfloat16, enabled=training.amp):
                loss = next_item_loss(model, items[batches[at]], lengths[batches[at]])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    return model.eval()


@torch.no_grad()
def log_relevance(model: NextItem, items: Tensor, lengths: Tensor, longest: int, block: int = 512) -> Tensor:
    """log p(y | x) of every film after histories (n, L), lengths (n,): (n, m) float64."""
    items, lengths = last_events(items, lengths, longest)
    parts = []
    for words, ends in zip(model.started(items).split(block), lengths.split(block), strict=True):
        hidden = model(words[:, : int(ends.max()) + 1])[torch.arange(len(words), device=words.device), ends]
        parts.append(model.logits(hidden).double().log_softmax(1))
    return torch.cat(parts)


# ---------------------------------------------------------------- one matrix, two readings


def log_scores(log_p: Tensor, intensity: Tensor) -> Tensor:
    """log lambda(x, y) = log lambda(x) + log p(y | x): log_p (n, m), intensity (n,) -> (n, m)."""
    return log_p + intensity.clamp(min=torch.finfo(log_p.dtype).tiny).log().unsqueeze(1)


def top_rows(scores: Tensor, k: int, order: Tensor) -> Tensor:
    """ItemRec: the k best films of each state, (n, m) bool; among equals those that stand first in `order` (m,).

    scores (n, m); -inf marks what may not be chosen.
    """
    k = min(k, scores.shape[1])
    least = scores.topk(k, dim=1).values[:, -1:]
    above, equal = scores > least, scores == least
    place = equal[:, order].cumsum(1)[:, order.argsort()]
    return (above | (equal & (place <= k - above.sum(1, keepdim=True)))) & (scores > -torch.inf)


def top_columns(scores: Tensor, c: int, order: Tensor) -> Tensor:
    """UserRec: the c best states of each film, (n, m) bool; among equals those that stand first in `order` (n,)."""
    return top_rows(scores.T, c, order).T


def precision(targets: Tensor, chosen: Tensor) -> float:
    """Events per hundred recommendations: 100 sum(Y M) / sum(M); targets, chosen (n, m)."""
    return 100 * float(targets[chosen].sum()) / max(1, int(chosen.sum()))


def budget(count: int) -> int:
    """One per cent, rounded up."""
    return -(-count // 100)
