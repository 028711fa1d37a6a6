"""What the notebook tells of single pairs: who sees whom, what each stage wrote, which it moves; and of longer runs."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from scipy.stats import rankdata
from torch import Tensor

from companion.data.glosses import SentencePairs
from companion.data.minilm import minilm_tokenizer
from companion.lab.evidence import values
from companion.lab.records import Run
from companion.trans_encoder import arms, method
from companion.trans_encoder.arms import AGREEMENT, HELD, NARROW, SELF, SPEARMAN, START, TRAINED, World
from companion.trans_encoder.evaluate import Numbers
from companion.trans_encoder.method import BiEncoder

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass(frozen=True)
class Sight:
    """One way of reading: the word pieces, and how much each (row) looks at each (column), (pieces, pieces)."""

    pieces: list[str]
    attention: Tensor


@dataclass(frozen=True)
class Move:
    """A pair and where it stands, in per cent of all pairs, 100 the most alike: by gold, before and after."""

    first: str
    second: str
    gold: float
    before: float
    after: float


def shortest(of: World) -> tuple[Sight, Sight]:
    """How the first model reads the shortest of the pairs to learn from: apart, and together."""
    texts, read = of.texts[TRAINED], of.trained(0)
    i = int(read.lengths.argmin())
    encoder = cast("PreTrainedModel", of.models[0].encoder)
    return sights(encoder, (texts.first[i], texts.second[i]), (read.first[i], read.second[i]))


def sights(encoder: PreTrainedModel, texts: tuple[str, str], read: tuple[Tensor, Tensor]) -> tuple[Sight, Sight]:
    """The attention of a language model, mean over layers and heads: each text alone, then both together.

    read: the word pieces of the two texts, as the model numbers them.
    """
    first, second = (spoken(text, len(row)) for text, row in zip(texts, read, strict=True))
    encoder = copy.deepcopy(encoder).eval()
    encoder.set_attn_implementation("eager")
    joined = torch.cat([read[0], read[1][1:]])
    alone = torch.block_diag(*(looks(encoder, row, torch.zeros_like(row)) for row in read))
    joint = looks(encoder, joined, (torch.arange(len(joined)) >= len(read[0])).long())
    return Sight(first + second, alone), Sight(first + second[1:], joint)


def spoken(text: str, length: int) -> list[str]:
    """The word pieces of a text as they are written, the first `length` of them."""
    tokenizer = minilm_tokenizer()
    read = tokenizer(text, truncation=True, max_length=length)["input_ids"]
    return [str(tokenizer.convert_ids_to_tokens(piece)) for piece in read]


def looks(encoder: PreTrainedModel, ids: Tensor, side: Tensor) -> Tensor:
    """The attention in one text of word pieces ids (m,) and their sides (m,): (m, m), mean over layers and heads."""
    there = torch.ones_like(ids)
    with torch.no_grad():
        found = encoder(*(each.unsqueeze(0) for each in (ids, there, side)), output_attentions=True).attentions
    return torch.cat(found).mean((0, 1))


def watched(of: World, start: BiEncoder, cycles: int = 1) -> dict[str, Tensor]:
    """Stage -> the labels (N,) that it wrote for the pairs to learn from, in a relay of the first model by itself."""
    fit = arms.fitting(of, "watched-")
    stages = method.relay([start], [of.raw(0)], [of.trained(0)], cycles, fit, of.score)
    return {f"{stage.form} {stage.cycle}" if stage.cycle else START: stage.labels for stage in stages}


def places(scores: Numbers) -> np.ndarray:
    """Where each of n pairs stands, (n,), in per cent: 100 has the highest score."""
    return 100 * rankdata(np.asarray(scores)) / len(scores)


def moved(pairs: SentencePairs, before: Numbers, after: Numbers, count: int = 10) -> list[Move]:
    """The `count` pairs whose place differs most between two scores (n,), the greatest rise first."""
    gold, old, new = (places(each) for each in (pairs.similarity, before, after))
    most = np.argsort(-np.abs(new - old), kind="stable")[:count]
    rows = [Move(pairs.first[i], pairs.second[i], gold[i], old[i], new[i]) for i in most]
    return sorted(rows, key=lambda move: move.before - move.after)


def helped(moves: list[Move]) -> int:
    """How many of them stand nearer to their place by gold than before."""
    return sum(abs(move.after - move.gold) < abs(move.before - move.gold) for move in moves)


def longer(runs: Mapping[str, Run], arms: Sequence[str]) -> tuple[list[str], list[list[str]]]:
    """Head and rows of a table: Spearman of each arm on both kinds of pairs in each run, mean and deviation over seeds.

    runs: recorded runs by name; an arm that a run does not have is left blank.
    """
    columns = [(run, setting) for run in runs for setting in (TRAINED, HELD)]
    head = ["", *(f"{run} ({len(runs[run].seeds)} seeds), {setting}" for run, setting in columns)]
    return head, [[arm, *(_cell(runs[run], arm, setting) for run, setting in columns)] for arm in arms]


def by_agreement(run: Run, cycles: int) -> tuple[list[str], list[list[str]]]:
    """Head and rows of a table: what it would be worth to choose the cycle by agreement, which needs no gold.

    For each seed and form the cycle is taken in which student and teacher agree most on the pairs to learn from; beside
    it Spearman on held-out pairs of the first and the last cycle, and of that which gold would choose.
    """
    head = ["", "chosen cycles", "first cycle", "last cycle", "chosen by agreement", "chosen by gold"]
    rows = []
    for form in (f"{prefix}{form}" for prefix in (SELF, NARROW) for form in ("cross", "bi")):
        stages = [f"{form} {cycle}" for cycle in range(1, cycles + 1)]
        gold, agreed = (
            np.array([values(run.measurements, metric, stage, setting) for stage in stages])
            for metric, setting in ((SPEARMAN, HELD), (AGREEMENT, TRAINED))
        )
        chosen, seeds = agreed.argmax(0), np.arange(gold.shape[1])
        found = (gold[0], gold[-1], gold[chosen, seeds], gold.max(0))
        rows.append([form, ", ".join(str(k + 1) for k in chosen), *(f"{each.mean():.1f}" for each in found)])
    return head, rows


def _cell(run: Run, arm: str, setting: str) -> str:
    known = {row.method for row in run.measurements if (row.metric, row.setting) == (SPEARMAN, setting)}
    if arm not in known:
        return ""
    found = values(run.measurements, SPEARMAN, arm, setting)
    return f"{found.mean():.1f} ± {found.std(ddof=1):.1f}" if len(found) > 1 else f"{found[0]:.1f}"
