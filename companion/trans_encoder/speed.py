"""What all pairs of n sentences cost: n passes and a product in the bi form, n (n - 1) / 2 passes in the cross."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

from companion.lab.runtime import cpu_seconds
from companion.lab.evidence import Measurement
from companion.trans_encoder import training
from companion.trans_encoder.method import BiEncoder, CrossEncoder, Model, Pairs, Rows

BI, CROSS = "bi", "cross"
SECONDS, PASSES = "seconds", "passes"
SIZES = (8, 16, 32, 64, 128)


def bi_passes(n: int) -> int:
    """Texts that the bi form reads for all pairs of n sentences."""
    return n


def cross_passes(n: int) -> int:
    """Texts (of two sentences each) that the cross form reads for them, each pair in one order."""
    return n * (n - 1) // 2


def every_pair(n: int) -> Tensor:
    """All pairs i < j of n sentences, (2, n (n - 1) / 2) int64."""
    return torch.triu_indices(n, n, 1)


def all_by_bi(bi: BiEncoder, sentences: Rows, batch: int = 128) -> Tensor:
    """The cosines of all pairs i < j, (n (n - 1) / 2,): each sentence is read once, and then comes one product."""
    order = torch.tensor([len(row) for row in sentences]).argsort()
    with torch.inference_mode():
        read = torch.cat([bi.vectors([sentences[i] for i in rows]) for rows in order.split(batch)])
        vectors = functional.normalize(read[order.argsort()].float())
        first, second = every_pair(len(sentences))
        return (vectors @ vectors.T)[first, second]


def all_by_cross(cross: CrossEncoder, sentences: Rows, batch: int = 128) -> Tensor:
    """The logits of all pairs i < j, (n (n - 1) / 2,): each pair is read."""
    first, second = every_pair(len(sentences)).tolist()
    return training.score(cross, Pairs([sentences[i] for i in first], [sentences[j] for j in second]), batch=batch)


@contextmanager
def counted(form: Model) -> Iterator[list[int]]:
    """A list that gets the number of texts of each call of the form's encoder, while the context lasts."""
    seen: list[int] = []
    hook = form.encoder.register_forward_pre_hook(lambda module, given: seen.append(len(given[0])))
    try:
        yield seen
    finally:
        hook.remove()


def cost(
    bi: BiEncoder, cross: CrossEncoder, sentences: Rows, seed: int, sizes: Sequence[int] = SIZES
) -> list[Measurement]:
    """CPU seconds and passes of all pairs of the first n sentences, for each size and both forms."""
    rows = []
    calls: dict[str, tuple[Model, Callable[[Rows], Tensor]]] = {
        BI: (bi, lambda some: all_by_bi(bi, some)),
        CROSS: (cross, lambda some: all_by_cross(cross, some)),
    }
    for arm, (form, score) in calls.items():
        score(sentences[:2])  # the first call pays for what every later one finds ready
        for n in sizes:
            with counted(form) as passes:
                seconds = cpu_seconds(partial(score, sentences[:n]))
            place = f"n = {n}"
            rows += [
                Measurement(SECONDS, arm, place, seed, seconds),
                Measurement(PASSES, arm, place, seed, float(sum(passes))),
            ]
    return rows


def rates(rows: Sequence[Measurement]) -> dict[str, float]:
    """Texts that each form read in a CPU second, over all sizes: sentences in the bi form, pairs in the cross."""
    total = {
        arm: [
            sum(row.value for row in rows if (row.metric, row.method) == (metric, arm)) for metric in (PASSES, SECONDS)
        ]
        for arm in (BI, CROSS)
    }
    return {arm: passes / max(seconds, 1e-9) for arm, (passes, seconds) in total.items()}
