"""The experiment: self-distillation from two starts, its controls and ablations, on training and held-out pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import torch

from companion.lab.config import BaseConfig
from companion.lab.evidence import Measurement
from companion.trans_encoder import baselines, evaluation, training
from companion.trans_encoder.data import TRAINING, ExperimentData, load_data
from companion.trans_encoder.evaluation import CPU_SECONDS, SPEARMAN, agreement, scores, spearman
from companion.trans_encoder.method import BI, CROSS, BiEncoder, StageConfig
from companion.trans_encoder.training import Variant, untrained_bi_encoder, untrained_cross_encoder

RUNTIME_RATIO = "ratio of CPU seconds"


@dataclass(frozen=True)
class Config(BaseConfig):
    """All settings of the lesson. Those of training were selected on pairs of other seeds (see `studies.tune`)."""

    seeds: int = 5  # how many seeds are run
    data: str = "glosses"  # "glosses" (definitions of WordNet's nouns) or "stsb" (STS Benchmark)
    training_pairs: int = 160  # pairs without gold labels to learn from
    held_out_pairs: int = 320  # pairs for evaluation alone
    max_length: int = 32  # tokens of a sentence; longer ones are truncated
    language_models: tuple[str, ...] = ("glosses-0", "glosses-1")  # names for `data.language_model`
    start_models: tuple[str, ...] = ()  # starts that others trained, one per language model; none: train SimCSE here
    cycles: int = 1  # distillation cycles
    bottleneck_dim: int = 8  # dimensions of the bottleneck
    head: str = "cosine"  # head of the cross-encoders: "cosine" (ours) or "cls" (the paper's)
    temperature: float = 0.2  # of SimCSE
    train: dict[str, StageConfig] = field(
        default_factory=lambda: {
            training.SIMCSE: StageConfig(epochs=1, batch_size=64, lr=3e-4),
            CROSS: StageConfig(epochs=3, batch_size=32, lr=3e-4),
            BI: StageConfig(epochs=3, batch_size=64, lr=3e-4),
            training.BOTTLENECK: StageConfig(epochs=3, batch_size=64, lr=3e-2, weight_decay=0.0),
        }
    )  # how each kind of model is trained
    variants: tuple[str, ...] = (
        "self-distillation",
        "bottleneck",
        "bottleneck, no cross-attention",
        "bottleneck, shuffled labels",
    )  # which variants of the distillation are run, names in `training.VARIANTS`
    runtime_sizes: tuple[int, ...] = (16, 64)  # sentences whose pairs are all scored and timed; none: not timed
    checkpoint: str = ""  # folder for the finished stages of an interrupted run

    SIZES: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "ci": {
            "seeds": 1, "training_pairs": 32, "held_out_pairs": 16,
            "train.cross-encoder.epochs": 1, "train.bi-encoder.epochs": 1, "train.bottleneck.epochs": 1,
        },
        "paper": {
            "data": "stsb", "training_pairs": 5749, "held_out_pairs": 1500, "cycles": 3, "runtime_sizes": (),
            "language_models": ("bert-base-uncased", "roberta-base"),
            "start_models": ("princeton-nlp/unsup-simcse-bert-base-uncased", "princeton-nlp/unsup-simcse-roberta-base"),
            "head": "cls", "temperature": 0.05, "train.SimCSE.lr": 3e-5,
            "train.cross-encoder.epochs": 1, "train.cross-encoder.lr": 2e-5,
            "train.bi-encoder.epochs": 10, "train.bi-encoder.batch_size": 128, "train.bi-encoder.lr": 5e-5,
            "train.bi-encoder.warmup": 0.0,
            "variants": ("self-distillation", "own scores", "mutual distillation"), "checkpoint": "build/trans_encoder",
        },
    }  # fmt: skip
    SMALL: ClassVar[Mapping[str, Any]] = {
        "training_pairs": 24, "held_out_pairs": 12, "max_length": 16, "train.SimCSE.batch_size": 16,
        "train.cross-encoder.batch_size": 16, "train.bi-encoder.batch_size": 8, "train.bottleneck.batch_size": 8,
        "train.cross-encoder.epochs": 1, "train.bi-encoder.epochs": 1, "train.bottleneck.epochs": 1,
    }  # fmt: skip
    REDUCED: ClassVar[Mapping[str, Mapping[str, Any]]] = {"ci": SMALL}


def experiment(config: Config, seed: int, device: torch.device) -> list[Measurement]:
    """Every method; a seed draws the pairs, the initializations, the batches and the dropout."""
    data = load_data(config, seed, device)
    ks = range(len(data.language_models))
    starts = [training.simcse_start(data, config, k) for k in ks]
    # without distillation: common words, mean pooling, SimCSE, an untrained cross-encoder
    measurements = tfidf(data)
    measurements += spearman(data, training.MEAN_POOLING, [untrained_bi_encoder(data, k) for k in ks])
    measurements += spearman(data, training.SIMCSE_START, starts)
    measurements += spearman(data, training.UNTRAINED_CROSS, [untrained_cross_encoder(data, config, k) for k in ks])
    measurements += runtime_ratio(data, config)
    # the bottleneck start, and PCA to as many dimensions
    variants = [training.VARIANTS[name] for name in config.variants]
    bottlenecks: Sequence[BiEncoder] = ()
    if any(variant.bottleneck for variant in variants):
        bottlenecks, pca = zip(*[training.bottleneck_starts(data, config, k) for k in ks], strict=True)
        measurements += spearman(data, training.BOTTLENECK_START, bottlenecks) + spearman(data, training.PCA, pca)
    # every variant of the distillation
    for variant in variants:
        measurements += run_variant(data, config, variant, bottlenecks if variant.bottleneck else starts)
    return measurements


def run_variant(
    data: ExperimentData, config: Config, variant: Variant, starts: Sequence[BiEncoder]
) -> list[Measurement]:
    """Train one variant from these starts and measure its students."""
    if variant.kind == "self":
        return self_distillation(data, config, variant, starts)
    measurements = []
    if variant.kind == "mutual":
        for stage in training.mutual_distillation(data, config, variant, starts):
            if stage.cycle:
                measurements += spearman(data, variant.stage_name(stage.encoder_type, stage.cycle), stage.models)
    elif variant.kind == "own scores":
        students = training.own_scores_students(data, config, variant, starts)
        measurements += spearman(data, variant.stage_name(BI), students)
    else:
        for encoder_type, masked in ((BI, False), (CROSS, False), (CROSS, True)):
            models = training.supervised_upper_bound(data, config, starts, encoder_type, not masked)
            name = replace(variant, cross_attention=not masked).stage_name(encoder_type)
            measurements += spearman(data, name, models)
    return measurements


def self_distillation(
    data: ExperimentData, config: Config, variant: Variant, starts: Sequence[BiEncoder]
) -> list[Measurement]:
    """Spearman of every stage, and the agreement of each student with its teacher on the training pairs.

    Beside it, unless this is an ablation, the agreement of an untrained cross-encoder with the start.
    """
    measurements, teachers = [], None
    if not variant.ablation:
        untrained = [untrained_cross_encoder(data, config, k) for k in range(len(starts))]
        labels = scores(data, untrained, TRAINING), scores(data, starts, TRAINING)
        measurements.append(agreement(data, variant.untrained_name, *labels))
    for stages in training.self_distillation(data, config, variant, starts):
        if teachers is not None:
            name = variant.stage_name(stages[0].encoder_type, stages[0].cycle)
            measurements += spearman(data, name, [stage.models[0] for stage in stages])
            labels = [stage.labels for stage in stages], [stage.labels for stage in teachers]
            measurements.append(agreement(data, name, *labels))
        teachers = stages
    return measurements


def tfidf(data: ExperimentData) -> list[Measurement]:
    """Spearman x 100 of the TF-IDF cosine in both settings."""
    measurements = []
    for setting, texts in data.texts.items():
        cosines = baselines.tfidf_cosine(data.texts[TRAINING], texts)
        value = evaluation.correlation(cosines, texts.similarity)
        measurements.append(Measurement(SPEARMAN, training.TFIDF, setting, data.seed, value))
    return measurements


def runtime_ratio(data: ExperimentData, config: Config) -> list[Measurement]:
    """CPU seconds of the untrained cross-encoder over those of the bi-encoder, for all pairs of n sentences."""
    bi, cross = untrained_bi_encoder(data, 0), untrained_cross_encoder(data, config, 0)
    sentences = data.training_pairs(0).first
    rows = evaluation.runtime(bi, cross, sentences, data.seed, config.runtime_sizes)
    seconds = {(row.method, row.setting): row.value for row in rows if row.metric == CPU_SECONDS}
    return [
        Measurement(RUNTIME_RATIO, CROSS, setting, data.seed, seconds[CROSS, setting] / seconds[BI, setting])
        for setting in (f"n = {n}" for n in config.runtime_sizes)
    ]
