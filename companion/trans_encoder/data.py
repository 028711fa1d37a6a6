"""Sentence pairs: WordNet definitions or the STS Benchmark, random ones for checks, and simulated noisy labels.

The simulation is a small model of distillation in which its gain can be calculated:

    t (n,)    the true similarities, centered, variance 1; the student can express them
    e (n,)    what a teacher adds: noise of variance `shared` (the same in all teachers) plus `own` (independent)
    P (n, n)  the projection onto what the student can express: r directions of n, t among them
    K         the number of teachers that are averaged

A student that fits noisy labels y = t + e by least squares ends at P y = t + P e: the noise that it cannot express is
removed, the rest stays. A bias that the student can express is therefore not corrected.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from companion.data.glosses import SentencePairs, gloss_pairs
from companion.data.stsb import stsb
from companion.errors import CompanionError
from companion.trans_encoder.method import CROSS, Pairs
from companion.trans_encoder.pretrained import (
    RANDOM_VOCABULARY,
    AttentionMap,
    PretrainedEncoder,
    attention_maps,
    language_model,
)

TRAINING, HELD_OUT = "training pairs", "held-out pairs"


@dataclass(frozen=True)
class ExperimentData:
    """What all methods of a seed share.

    texts: setting -> pairs with gold similarity, which is for evaluation alone. tokens[k]: the same pairs as token ids
    of the k-th language model. start_models: sentence encoders that others trained, one per language model, or none.
    amp: bfloat16 autocast where models score pairs.
    """

    texts: dict[str, SentencePairs]
    tokens: tuple[dict[str, Pairs], ...]
    language_models: tuple[PretrainedEncoder, ...]
    start_models: tuple[PretrainedEncoder, ...]
    seed: int
    device: torch.device
    amp: bool

    def training_pairs(self, k: int) -> Pairs:
        """The pairs to learn from, as token ids of the k-th language model."""
        return self.tokens[k][TRAINING]

    def training_sentences(self, k: int) -> list[Tensor]:
        """The 2N sentences of these pairs, first ones first."""
        pairs = self.training_pairs(k)
        return [*pairs.first, *pairs.second]


def load_data(config: Any, seed: int, device: torch.device) -> ExperimentData:
    """The pairs of a seed, tokenized for every language model; `config` is the lesson's `experiment.Config`."""
    texts = load_pairs(config.data, config.training_pairs, config.held_out_pairs, seed)
    models = tuple(language_model(name, config.max_length) for name in config.language_models)
    tokens = tuple({setting: model.pairs(found).to(device) for setting, found in texts.items()} for model in models)
    starts = tuple(language_model(name, config.max_length) for name in config.start_models)
    return ExperimentData(texts, tokens, models, starts, seed, device, config.train[CROSS].amp)


def load_pairs(data: str, training_pairs: int, held_out_pairs: int, seed: int) -> dict[str, SentencePairs]:
    """Setting -> pairs drawn by seed: "glosses", no definition in both; "stsb", from its training and its dev set."""
    if data == "glosses":
        parts = gloss_pairs([training_pairs, held_out_pairs], seed)
    elif data == "stsb":
        parts = [sample_pairs(stsb("train"), training_pairs, seed), sample_pairs(stsb("dev"), held_out_pairs, seed)]
    else:
        raise CompanionError(f"data = {data!r} is not known; use glosses or stsb.")
    return dict(zip((TRAINING, HELD_OUT), parts, strict=True))


def sample_pairs(pairs: SentencePairs, size: int, seed: int) -> SentencePairs:
    """`size` of the pairs, drawn by seed, or all of them if there are fewer."""
    rows = torch.randperm(len(pairs.first), generator=torch.Generator().manual_seed(seed))[:size].tolist()
    return SentencePairs([pairs.first[i] for i in rows], [pairs.second[i] for i in rows], pairs.similarity[rows])


def random_pairs(n: int = 12, seed: int = 7) -> Pairs:
    """n pairs of random sentences of three to nine tokens, for `pretrained.random_encoder`."""
    generator = torch.Generator().manual_seed(seed)

    def sentence() -> Tensor:
        length = int(torch.randint(3, 10, (1,), generator=generator))
        return torch.randint(5, RANDOM_VOCABULARY, (length,), generator=generator)

    return Pairs([sentence() for _ in range(n)], [sentence() for _ in range(n)])


def shortest_pair_attention(data: ExperimentData) -> tuple[AttentionMap, AttentionMap]:
    """The first language model's attention in the shortest training pair: encoded separately, and jointly."""
    texts, pairs = data.texts[TRAINING], data.training_pairs(0)
    i = int(pairs.lengths.argmin())
    encoder = cast("Any", data.language_models[0].encoder)
    return attention_maps(encoder, (texts.first[i], texts.second[i]), (pairs.first[i], pairs.second[i]))


# ---------------------------------------------------------------- simulated noisy labels


def projection(directions: np.ndarray) -> np.ndarray:
    """P (n, n), onto the span of the columns of `directions` (n, r)."""
    basis, _ = np.linalg.qr(directions)
    return basis @ basis.T


def least_squares_student(labels: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """The student's output for labels (n,) or (n, draws): the nearest that `directions` (n, r) can express."""
    return projection(directions) @ labels


def expected_correlation(own: float, shared: float = 0.0, teachers: int = 1, expressed: float = 1.0) -> float:
    """Correlation with the truth of the mean of K teachers' labels, or of a student of that mean.

    own, shared: variances of the independent and of the shared noise. expressed: the share of the noise that the
    student can express, r / n for noise of equal variance in all directions; 1 is the labels themselves.
    """
    return float(1 / np.sqrt(1 + expressed * (shared + own / teachers)))


def simulated_correlation(
    own: float, shared: float, teachers: int, expressed: int, pairs: int, draws: int, rng: np.random.Generator
) -> tuple[float, float]:
    """The same by simulation, (of the labels, of the student), over `draws` sets of n = `pairs` and r = `expressed`.

    Correlations of all draws together, about zero, since truth and noise have mean zero.
    """
    truth = np.zeros((pairs, 1))
    truth[0] = np.sqrt(pairs)
    noise = np.sqrt(shared) * rng.standard_normal((pairs, draws))
    for _ in range(teachers):
        noise = noise + np.sqrt(own) / teachers * rng.standard_normal((pairs, draws))
    labels = truth + noise
    outputs = least_squares_student(labels, np.eye(pairs)[:, :expressed])
    of_labels, of_student = (
        float((each * truth).sum() / np.sqrt((each**2).sum() * (truth**2).sum() * draws)) for each in (labels, outputs)
    )
    return of_labels, of_student


# Five pairs, by hand: true similarities, and the bias of a teacher, which is orthogonal to every straight line.
TOY_TRUTH = np.array([-2.0, -1.0, 0.0, 1.0, 2.0])
TOY_BIAS = np.array([1.0, -2.0, 0.0, 2.0, -1.0])


def toy_directions() -> tuple[np.ndarray, np.ndarray]:
    """What two students can express: a straight line over the pairs (5, 2); a line and the teacher's bias (5, 3)."""
    line = np.stack([np.ones(5), TOY_TRUTH], 1)
    return line, np.column_stack([line, TOY_BIAS])
