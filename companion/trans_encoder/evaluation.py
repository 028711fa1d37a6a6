"""Metrics: Spearman's rank correlation, area under the ROC curve, agreement, rank changes, and runtime.

ROC is the receiver operating characteristic: the share of positives found against the share of false alarms.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy.stats import rankdata, spearmanr
from sklearn.metrics import roc_auc_score
from torch import Tensor

from companion.data.sentences import SentencePairs
from companion.errors import CompanionError
from companion.lab.evidence import Measurement
from companion.lab.runtime import cpu_seconds
from companion.trans_encoder import method
from companion.trans_encoder.data import TRAINING, ExperimentData
from companion.trans_encoder.method import BI, CROSS, BiEncoder, CrossEncoder, Model, TokenLists

SPEARMAN, AGREEMENT = "Spearman", "agreement with teacher"
CPU_SECONDS, PASSES = "CPU seconds", "forward passes"
Numbers = Tensor | np.ndarray


def correlation(scores: Numbers, gold: Numbers) -> float:
    """Spearman's rank correlation of scores (n,) with gold (n,), times 100: the paper's Table 1.

    Raises CompanionError if the lengths differ, there are fewer than two pairs, or one of the two is constant.
    """
    x, y = _checked(scores, gold)
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        raise CompanionError("scores or gold are the same for every pair; the ranks of a constant are not defined.")
    return 100 * float(spearmanr(x, y).statistic)


def auc(scores: Numbers, same: Numbers) -> float:
    """How often a pair that is the same (1) is scored above one that is not (0), ties by half, times 100: Table 2.

    scores and same: (n,). Raises CompanionError if lengths differ, or `same` lacks one of its two values.
    """
    x, y = _checked(scores, same)
    if set(y.tolist()) != {0, 1}:
        raise CompanionError(f"same holds {sorted(set(y.tolist()))[:4]}; it needs both 0 and 1, and nothing else.")
    return 100 * float(roc_auc_score(y, x))


def _checked(scores: Numbers, gold: Numbers) -> tuple[np.ndarray, np.ndarray]:
    x, y = np.asarray(scores, np.float64), np.asarray(gold, np.float64)
    if x.ndim != 1 or x.shape != y.shape or len(x) < 2:
        raise CompanionError(f"scores have shape {x.shape} and gold {y.shape}; both must be (n,), two pairs or more.")
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise CompanionError("scores or gold hold values that are not finite; look where training went wrong.")
    return x, y


def ensemble(name: str) -> str:
    """The display name of the mean score of all language models."""
    return f"{name}, ensemble"


def scores(data: ExperimentData, models: Sequence[Model], setting: str) -> list[Tensor]:
    """The scores of a setting's pairs by models[k], which is built on the k-th language model: cosines or sigmoids."""
    outputs = [method.score(model, own[setting], data.amp) for model, own in zip(models, data.tokens, strict=False)]
    return [
        method.logit_to_label(output) if isinstance(model, CrossEncoder) else output
        for model, output in zip(models, outputs, strict=True)
    ]


def spearman(data: ExperimentData, name: str, models: Sequence[Model]) -> list[Measurement]:
    """Spearman x 100 in both settings: the mean over models, and that of their mean score if there are several."""
    measurements = []
    for setting, texts in data.texts.items():
        found = scores(data, models, setting)
        mean = sum(correlation(each, texts.similarity) for each in found) / len(found)
        measurements.append(Measurement(SPEARMAN, name, setting, data.seed, mean))
        if len(found) > 1:
            together = correlation(method.mean_labels(found), texts.similarity)
            measurements.append(Measurement(SPEARMAN, ensemble(name), setting, data.seed, together))
    return measurements


def agreement(
    data: ExperimentData, name: str, labels: Sequence[Tensor], teacher_labels: Sequence[Tensor]
) -> Measurement:
    """Spearman x 100 of students' and teachers' labels (N,), the mean over language models; it needs no gold."""
    each = [correlation(own, teacher) for own, teacher in zip(labels, teacher_labels, strict=True)]
    return Measurement(AGREEMENT, name, TRAINING, data.seed, sum(each) / len(each))


# ---------------------------------------------------------------- single pairs


@dataclass(frozen=True)
class RankChange:
    """A pair and its rank in percent of all pairs (100: the most similar): by gold, before and after."""

    first: str
    second: str
    gold: float
    before: float
    after: float

    @property
    def closer(self) -> bool:
        """True if the rank afterward is closer to the rank by gold."""
        return abs(self.after - self.gold) < abs(self.before - self.gold)


def rank_percent(scores: Numbers) -> np.ndarray:
    """The rank of each of n scores, (n,), in percent: 100 is the highest score."""
    return 100 * rankdata(np.asarray(scores)) / len(scores)


def rank_changes(pairs: SentencePairs, before: Numbers, after: Numbers, count: int = 10) -> list[RankChange]:
    """The `count` pairs whose rank differs most between two scores (n,), the greatest rise first."""
    gold, old, new = (rank_percent(each) for each in (pairs.similarity, before, after))
    largest = np.argsort(-np.abs(new - old), kind="stable")[:count]
    changes = [RankChange(pairs.first[i], pairs.second[i], gold[i], old[i], new[i]) for i in largest]
    return sorted(changes, key=lambda change: change.before - change.after)


# ---------------------------------------------------------------- runtime


def passes(encoder_type: str, n: int) -> int:
    """Forward passes for all pairs of n sentences: n with a bi-encoder, n (n - 1) / 2 with a cross-encoder."""
    return n if encoder_type == BI else n * (n - 1) // 2


@contextmanager
def counted_passes(model: Model) -> Iterator[list[int]]:
    """While the context lasts, the list gets the number of texts in each call of the model's encoder."""
    texts: list[int] = []
    hook = model.encoder.register_forward_pre_hook(lambda module, inputs: texts.append(len(inputs[0])))
    try:
        yield texts
    finally:
        hook.remove()


def runtime(
    bi: BiEncoder, cross: CrossEncoder, sentences: TokenLists, seed: int, sizes: Sequence[int]
) -> list[Measurement]:
    """CPU seconds and counted forward passes for all pairs of the first n sentences, for each size n."""
    measurements = []
    for name, model in ((BI, bi), (CROSS, cross)):
        method.score_all_pairs(model, sentences[:2])  # warm-up
        for n in sizes:
            with counted_passes(model) as texts:
                seconds = cpu_seconds(partial(method.score_all_pairs, model, sentences[:n]))
            measurements.append(Measurement(CPU_SECONDS, name, f"n = {n}", seed, seconds))
            measurements.append(Measurement(PASSES, name, f"n = {n}", seed, float(sum(texts))))
    return measurements
