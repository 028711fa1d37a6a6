"""Trans-Encoder (Liu et al., ICLR 2022): two forms of one encoder label pairs of sentences for each other, no gold.

symbol        identifier            shape
(a_i, b_i)    Pairs                 N pairs of sentences, as word pieces
f_theta       BiEncoder.vectors     (n, d): each sentence read alone
c_theta       BiEncoder.forward     (n,) in [-1, 1], the cosine of the two vectors
g_phi         CrossEncoder.forward  (n,) logits: both sentences read together
y_i           labels                (N,) in [0, 1], written by bi-encoders for cross-encoders
z_i           labels                (N,) in [0, 1], written by cross-encoders for bi-encoders
K             len(starts)           1: self-distillation; more: mutual distillation
T             cycles                how often the relay goes round
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence

Rows = Sequence[Tensor]

# ---------------------------------------------------------------- pairs of sentences


@dataclass(frozen=True)
class Pairs:
    """N pairs of sentences: first, second hold the word pieces of each, (length,) int64, from [CLS] to [SEP]."""

    first: Rows
    second: Rows

    def __len__(self) -> int:
        return len(self.first)

    def __getitem__(self, rows: Tensor) -> Pairs:
        return Pairs([self.first[i] for i in rows], [self.second[i] for i in rows])

    def to(self, device: torch.device) -> Pairs:
        """The same pairs on a device."""
        return Pairs([row.to(device) for row in self.first], [row.to(device) for row in self.second])

    def turned(self) -> Pairs:
        """Each pair turned round."""
        return Pairs(self.second, self.first)

    def both_orders(self) -> Pairs:
        """Each pair, then each pair turned round: 2N pairs."""
        return Pairs([*self.first, *self.second], [*self.second, *self.first])

    @property
    def lengths(self) -> Tensor:
        """Word pieces of each pair, (N,) int64."""
        return torch.tensor([len(a) + len(b) for a, b in zip(self.first, self.second, strict=True)])


def padded(rows: Rows) -> tuple[Tensor, Tensor]:
    """Word pieces of n texts side by side, (n, longest) int64, and where they are, of the same shape, 1 or 0."""
    ids = pad_sequence(list(rows), batch_first=True)
    there = pad_sequence([torch.ones_like(row) for row in rows], batch_first=True)
    return ids, there


def mean_of_pieces(states: Tensor, there: Tensor) -> Tensor:
    """The mean (n, d) of states (n, pieces, d) over the word pieces that are there, (n, pieces) of 1 and 0."""
    weight = there.unsqueeze(2).to(states.dtype)
    return (states * weight).sum(1) / weight.sum(1)


# ---------------------------------------------------------------- the two forms


class BiEncoder(nn.Module):
    """Reads each sentence alone: n sentences cost n passes, and serve all n^2 pairs."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def vectors(self, sentences: Rows) -> Tensor:
        """f(x), the mean over word pieces of the last layer, (n, d)."""
        ids, there = padded(sentences)
        return mean_of_pieces(self.encoder(ids, there).last_hidden_state, there)

    def forward(self, pairs: Pairs) -> Tensor:
        """c(a, b), the cosine of the two vectors, (n,)."""
        first, second = self.vectors([*pairs.first, *pairs.second]).float().chunk(2)
        return functional.cosine_similarity(first, second)


class CrossEncoder(nn.Module):
    """Reads both sentences together, [CLS] a [SEP] b [SEP]: n sentences cost a pass for each of their n^2 pairs.

    head: "cls" is the paper's, a new linear layer on [CLS]; "cosine" is ours, for small budgets: a scaled cosine of the
    two sentences' mean states, two new numbers instead of d + 1. blind: no word piece sees the other sentence, which
    denies the cross-encoder what it is named for.
    """

    def __init__(self, encoder: nn.Module, width: int, head: str = "cls", blind: bool = False) -> None:
        super().__init__()
        self.encoder, self.head, self.blind = encoder, head, blind
        if head == "cls":
            self.out = nn.Linear(width, 1)
        else:
            self.scale, self.shift = nn.Parameter(torch.tensor(6.0)), nn.Parameter(torch.tensor(-3.0))

    def forward(self, pairs: Pairs) -> Tensor:
        """g([a; b]), (n,) logits; the score is their sigmoid."""
        states, there, side = self.states(pairs)
        if self.head == "cls":
            return self.out(states[:, 0]).squeeze(1)
        first, second = (mean_of_pieces(states, there * own).float() for own in (1 - side, side))
        return self.scale * functional.cosine_similarity(first, second) + self.shift

    def states(self, pairs: Pairs) -> tuple[Tensor, Tensor, Tensor]:
        """The last layer (n, pieces, d), where there are pieces (n, pieces), and which belong to b (n, pieces)."""
        joined = [torch.cat([a, b[1:]]) for a, b in zip(pairs.first, pairs.second, strict=True)]
        sides = [
            torch.arange(len(row), device=row.device).ge(len(a)).long()
            for row, a in zip(joined, pairs.first, strict=True)
        ]
        (ids, there), (side, _) = padded(joined), padded(sides)
        return self.encoder(ids, self._seen(there, side), side).last_hidden_state, there, side

    def _seen(self, there: Tensor, side: Tensor) -> Tensor:
        if not self.blind:
            return there
        same = (side.unsqueeze(2) == side.unsqueeze(1)) & there.bool().unsqueeze(1)
        return (
            torch.zeros(same.shape, device=same.device).masked_fill(~same, torch.finfo(torch.float32).min).unsqueeze(1)
        )


# ---------------------------------------------------------------- what each learns from the other


def soft_label_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Bi to cross, L_BCE: the mean over pairs of -y log s(g) - (1 - y) log(1 - s(g)); logits and labels (n,)."""
    return functional.binary_cross_entropy_with_logits(logits, labels)


def cosine_loss(cosines: Tensor, labels: Tensor) -> Tensor:
    """Cross to bi, L_MSE: the mean over pairs of (c - z)^2; cosines and labels (n,)."""
    return functional.mse_loss(cosines, labels)


def labels_of_bi(scores: Tensor) -> Tensor:
    """y = c, cut to [0, 1], since a target of cross-entropy cannot be negative (the released code does not cut)."""
    return scores.clamp(0, 1)


def labels_of_cross(scores: Tensor) -> Tensor:
    """z = s(g)."""
    return scores.sigmoid()


Model = BiEncoder | CrossEncoder
Fit = Callable[[Model, Pairs, Tensor, Callable[[Tensor, Tensor], Tensor]], None]
Score = Callable[[Model, Pairs], Tensor]


def both_ways(cross: CrossEncoder, pairs: Pairs, score: Score) -> Tensor:
    """The mean of a cross-encoder's logits for (a, b) and (b, a), (N,): one that does not know which came first."""
    return (score(cross, pairs) + score(cross, pairs.turned())) / 2


# ---------------------------------------------------------------- the relay


@dataclass(frozen=True)
class Stage:
    """One station of the relay: its form and cycle ("bi", 0 is the start), its K models, and the labels they wrote."""

    form: str
    cycle: int
    models: Sequence[Model]
    labels: Tensor


def relay(
    starts: Sequence[BiEncoder],
    raw: Sequence[CrossEncoder],
    pairs: Sequence[Pairs],
    cycles: int,
    fit: Fit,
    score: Score,
) -> Iterator[Stage]:
    """Bi, cross, bi, cross, ...: the stages in order. Only labels travel; every student begins anew ("refreshing").

    starts: K bi-encoders; raw: K cross-encoders, untrained; pairs: the same N pairs as each of the K reads them. The
    labels of K models are averaged: that is mutual distillation. fit(model, pairs, labels, loss) trains a student in
    place; score(model, pairs) gives its outputs, (N,).
    """
    yield (stage := Stage("bi", 0, starts, _bi_labels(starts, pairs, score)))
    for cycle in range(1, cycles + 1):
        crosses = copy.deepcopy(list(raw))
        for cross, own in zip(crosses, pairs, strict=True):
            fit(cross, own.both_orders(), stage.labels.repeat(2), soft_label_loss)
        written = [labels_of_cross(score(cross, own)) for cross, own in zip(crosses, pairs, strict=True)]
        yield (stage := Stage("cross", cycle, crosses, together(written)))
        bis = copy.deepcopy(list(starts))
        for bi, own in zip(bis, pairs, strict=True):
            fit(bi, own, stage.labels, cosine_loss)
        yield (stage := Stage("bi", cycle, bis, _bi_labels(bis, pairs, score)))


def _bi_labels(bis: Sequence[BiEncoder], pairs: Sequence[Pairs], score: Score) -> Tensor:
    return together([labels_of_bi(score(bi, own)) for bi, own in zip(bis, pairs, strict=True)])


def together(labels: Sequence[Tensor]) -> Tensor:
    """The mean of K models' labels, (N,)."""
    return torch.stack(list(labels)).mean(0)
