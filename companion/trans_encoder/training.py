"""Builds and trains every compared method: the starts, the bottleneck, and each variant of the distillation.

`config` is the lesson's `experiment.Config`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from companion.trans_encoder import baselines, method
from companion.trans_encoder.baselines import Bottleneck
from companion.trans_encoder.data import TRAINING, ExperimentData
from companion.trans_encoder.method import BI, CROSS, BiEncoder, CrossEncoder, Loss, Model, Pairs, Stage, TrainStudent

SIMCSE, BOTTLENECK = "SimCSE", "bottleneck"  # with BI and CROSS the keys of `Config.train`
TFIDF, MEAN_POOLING, PCA = "TF-IDF", "mean pooling", "PCA"
HEAD_SEED = 1000  # a seed's cross-encoder heads are initialized from HEAD_SEED + seed


@dataclass(frozen=True)
class Variant:
    """One way to train students: from which teacher, by which labels, and what an ablation removes.

    kind: "self", "mutual" (the language models average their labels), "own scores" (a bi-encoder's own scores are its
    labels) or "gold" (trained on gold labels). bottleneck: the teacher is the bottleneck start, not the SimCSE start.
    """

    name: str
    kind: str = "self"
    bottleneck: bool = False
    cross_attention: bool = True
    shuffle_labels: bool = False

    @property
    def ablation(self) -> bool:
        """True if the cross-encoder lacks a component; such a variant ends with its first cross-encoder."""
        return self.shuffle_labels or not self.cross_attention

    @property
    def start_name(self) -> str:
        """The display name of the bi-encoder that it starts from."""
        return "bottleneck start" if self.bottleneck else "SimCSE start"

    @property
    def untrained_name(self) -> str:
        """The display name of the untrained cross-encoder, compared with this start."""
        return f"{'bottleneck ' if self.bottleneck else ''}untrained {CROSS}"

    def stage_name(self, encoder_type: str, cycle: int = 0) -> str:
        """The display name of a student, such as "bottleneck cross-encoder 1 (shuffled labels)" of cycle 1."""
        notes = [
            "gold labels" if self.kind == "gold" else "",
            "own scores" if self.kind == "own scores" else "",
            "" if self.cross_attention else "no cross-attention",
            "shuffled labels" if self.shuffle_labels else "",
        ]
        words = ["bottleneck" if self.bottleneck else "", "mutual" if self.kind == "mutual" else "", encoder_type]
        words += [str(cycle) if cycle else "", f"({', '.join(filter(None, notes))})" if any(notes) else ""]
        return " ".join(filter(None, words))


SELF, MUTUAL = Variant("self-distillation"), Variant("mutual distillation", kind="mutual")
BOTTLENECK_SELF = Variant("bottleneck", bottleneck=True)
VARIANTS = {
    variant.name: variant
    for variant in (
        SELF,
        MUTUAL,
        BOTTLENECK_SELF,
        Variant("no cross-attention", cross_attention=False),
        Variant("own scores", kind="own scores"),
        Variant("gold labels", kind="gold"),
        Variant("bottleneck, mutual distillation", kind="mutual", bottleneck=True),
        Variant("bottleneck, no cross-attention", bottleneck=True, cross_attention=False),
        Variant("bottleneck, shuffled labels", bottleneck=True, shuffle_labels=True),
        Variant("bottleneck, own scores", kind="own scores", bottleneck=True),
    )
}
SIMCSE_START, BOTTLENECK_START, UNTRAINED_CROSS = SELF.start_name, BOTTLENECK_SELF.start_name, SELF.untrained_name

# ---------------------------------------------------------------- models before distillation


def untrained_bi_encoder(data: ExperimentData, k: int) -> BiEncoder:
    """The k-th language model as a bi-encoder: mean pooling, no training."""
    return BiEncoder(copy.deepcopy(data.language_models[k].encoder)).to(data.device)


def untrained_cross_encoder(data: ExperimentData, config: Any, k: int, cross_attention: bool = True) -> CrossEncoder:
    """The k-th language model as a cross-encoder with a new head, no training."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(HEAD_SEED + data.seed)
        model = data.language_models[k]
        cross = CrossEncoder(copy.deepcopy(model.encoder), model.hidden_dim, config.head, cross_attention)
    return cross.to(data.device)


def simcse_start(data: ExperimentData, config: Any, k: int) -> BiEncoder:
    """The k-th start: a start model that others trained, or SimCSE on the sentences of the training pairs."""
    if data.start_models:
        return BiEncoder(copy.deepcopy(data.start_models[k].encoder)).to(data.device)
    bi = untrained_bi_encoder(data, k)
    sentences, settings = data.training_sentences(k), config.train[SIMCSE]
    load_or_train(
        bi, checkpoint_file(data, config, f"start-{k}"),
        lambda: method.train_simcse(bi, sentences, settings, config.temperature, data.seed),
    )  # fmt: skip
    return bi


def bottleneck_starts(data: ExperimentData, config: Any, k: int) -> tuple[BiEncoder, BiEncoder]:
    """The k-th language model behind a random projection, and behind its principal directions (PCA); no training.

    The mean and the principal directions are those of the training pairs' sentences.
    """
    bi = untrained_bi_encoder(data, k)
    embeddings = method.embed_sentences(bi, data.training_sentences(k))
    mean, dim = embeddings.mean(0), config.bottleneck_dim
    random = baselines.random_projection(data.language_models[k].hidden_dim, dim, data.seed).to(data.device)
    principal = baselines.pca_projection(embeddings.cpu(), dim).to(data.device)
    return BiEncoder(Bottleneck(bi.encoder, mean, random)), BiEncoder(Bottleneck(bi.encoder, mean, principal))


# ---------------------------------------------------------------- students


def student_trainer(data: ExperimentData, config: Any, name: str, shuffle_labels: bool = False) -> TrainStudent:
    """How the students of a method are trained; `name` distinguishes their checkpoints from those of other methods."""
    stages = count()

    def train(student: Model, pairs: Pairs, labels: Tensor, loss: Loss) -> None:
        if shuffle_labels and isinstance(student, CrossEncoder):
            labels = baselines.shuffle_labels(labels, data.seed)
        settings = config.train[settings_name(student)]
        load_or_train(
            student, checkpoint_file(data, config, f"{name}-{next(stages)}"),
            lambda: method.train_on_labels(student, pairs, labels, loss, settings, data.seed),
        )  # fmt: skip

    return train


def settings_name(student: Model) -> str:
    """Which of `Config.train` is for this student."""
    if isinstance(student, CrossEncoder):
        return CROSS
    return BOTTLENECK if isinstance(student.encoder, Bottleneck) else BI


def self_distillation(
    data: ExperimentData, config: Any, variant: Variant, starts: Sequence[BiEncoder]
) -> Iterator[tuple[Stage, ...]]:
    """Each language model by itself (K = 1): yields the same stage of all of them, stage by stage."""
    runs = []
    for k, start in enumerate(starts):
        cross = untrained_cross_encoder(data, config, k, variant.cross_attention)
        trainer = student_trainer(data, config, f"{variant.name}-{k}", variant.shuffle_labels)
        stages = method.distill([start], [cross], [data.training_pairs(k)], config.cycles, trainer, data.amp)
        runs.append(islice(stages, 2) if variant.ablation else stages)
    return zip(*runs, strict=True)


def mutual_distillation(
    data: ExperimentData, config: Any, variant: Variant, starts: Sequence[BiEncoder]
) -> Iterator[Stage]:
    """All language models at once: they average their labels after each stage."""
    ks = range(len(starts))
    crosses, pairs = [untrained_cross_encoder(data, config, k) for k in ks], [data.training_pairs(k) for k in ks]
    return method.distill(starts, crosses, pairs, config.cycles, student_trainer(data, config, variant.name), data.amp)


def own_scores_students(
    data: ExperimentData, config: Any, variant: Variant, starts: Sequence[BiEncoder]
) -> list[BiEncoder]:
    """A bi-encoder per start, trained on the start's own scores."""
    return [
        baselines.distill_own_scores(
            start, data.training_pairs(k), student_trainer(data, config, f"{variant.name}-{k}"), data.amp
        )
        for k, start in enumerate(starts)
    ]


def supervised_upper_bound(
    data: ExperimentData, config: Any, starts: Sequence[BiEncoder], encoder_type: str, cross_attention: bool = True
) -> list[Model]:
    """Bi-encoders or cross-encoders trained on gold labels, scaled to at most 1: what labels of people would give."""
    gold = torch.from_numpy(data.texts[TRAINING].similarity).float()
    gold, models = gold / gold.max(), list[Model]()
    for k, start in enumerate(starts):
        trainer = student_trainer(data, config, f"gold-{encoder_type}-{cross_attention}-{k}")
        if encoder_type == BI:
            models.append(copy.deepcopy(start))
            trainer(models[k], data.training_pairs(k), gold, method.cosine_loss)
        else:
            models.append(untrained_cross_encoder(data, config, k, cross_attention))
            trainer(models[k], data.training_pairs(k).both_orders(), gold.repeat(2), method.soft_label_loss)
    return models


def pseudo_labels(data: ExperimentData, config: Any, variant: Variant, start: BiEncoder) -> dict[str, Tensor]:
    """Display name -> the labels (N,) that each stage of the first language model gives the training pairs."""
    stages = self_distillation(data, config, variant, [start])
    return {
        variant.stage_name(stage.encoder_type, stage.cycle) if stage.cycle else variant.start_name: stage.labels
        for (stage,) in stages
    }


# ---------------------------------------------------------------- checkpoints


def checkpoint_file(data: ExperimentData, config: Any, name: str) -> Path | None:
    """Where a trained model is stored, if the configuration names a folder."""
    if not config.checkpoint:
        return None
    return Path(config.checkpoint) / f"{name.replace(', ', '-').replace(' ', '-')}-seed-{data.seed}.pt"


def load_or_train(model: nn.Module, file: Path | None, train: Callable[[], None]) -> None:
    """Load a trained model's weights from a file, or train it and write them; without a file, just train it.

    An interrupted run so continues after its last finished stage.
    """
    if file is None:
        train()
    elif file.is_file():
        model.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))
    else:
        train()
        file.parent.mkdir(parents=True, exist_ok=True)
        partial = file.with_suffix(".part")
        torch.save(model.state_dict(), partial)
        partial.replace(file)
