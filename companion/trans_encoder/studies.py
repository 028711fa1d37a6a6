"""All that is stored beside the main run: tuning, pilot run, more pairs and cycles, STS-B, runtime; and tables."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from companion.lab.config import Study
from companion.lab.evidence import Measurement, values
from companion.lab.records import Run
from companion.lab.tuning import grid, grid_search
from companion.trans_encoder import evaluation, method, training
from companion.trans_encoder.data import HELD_OUT, TRAINING, ExperimentData, load_data
from companion.trans_encoder.evaluation import AGREEMENT, SPEARMAN, correlation, scores
from companion.trans_encoder.experiment import Config, experiment
from companion.trans_encoder.method import BI, CROSS, BiEncoder, CrossEncoder
from companion.trans_encoder.training import student_trainer, untrained_bi_encoder, untrained_cross_encoder

SEARCH_SPACE = {
    training.SIMCSE: grid(temperature=(0.05, 0.2), lr=(3e-5, 1e-4, 3e-4)),
    CROSS: grid(head=("cosine", "cls"), lr=(1e-4, 3e-4, 1e-3)),
    BI: grid(epochs=(1, 3), lr=(3e-5, 1e-4, 3e-4)),
    training.BOTTLENECK: grid(epochs=(3, 10), lr=(3e-3, 1e-2, 3e-2)),
}
RUNTIME_SIZES = (8, 16, 32, 64, 128)

# ---------------------------------------------------------------- tuning


def tune(config: Config, seed: int, device: torch.device) -> list[Measurement]:
    """Spearman of every candidate by the gold of held-out pairs, as the paper selects by its development set's gold.

    SimCSE by itself; a cross-encoder on the start's labels; a bi-encoder on the labels of that cross-encoder; and a
    bottleneck bi-encoder on the labels of its own cross-encoder.
    """
    data = load_data(config, seed, device)
    bottleneck, _ = training.bottleneck_starts(data, config, 0)
    teachers = {BI: training.simcse_start(data, config, 0), training.BOTTLENECK: bottleneck}
    crosses = {name: first_cross_encoder(data, config, teacher) for name, teacher in teachers.items()}
    labels = {name: scores(data, [cross], TRAINING)[0] for name, cross in crosses.items()}

    def score(name: str, candidate: Mapping[str, Any]) -> float:
        tried = with_candidate(config, name, candidate)
        model: method.Model
        if name == training.SIMCSE:
            model = training.simcse_start(data, tried, 0)
        elif name == CROSS:
            model = first_cross_encoder(data, tried, teachers[BI])
        else:
            model = copy.deepcopy(teachers[name])
            student_trainer(data, tried, name)(model, data.training_pairs(0), labels[name], method.cosine_loss)
        return correlation(scores(data, [model], HELD_OUT)[0], data.texts[HELD_OUT].similarity)

    candidates = {name: {describe(each): each for each in space} for name, space in SEARCH_SPACE.items()}
    return grid_search(candidates, score, SPEARMAN, seed)


def first_cross_encoder(data: ExperimentData, config: Config, teacher: BiEncoder) -> CrossEncoder:
    """The cross-encoder of cycle 1: step 2 of the distillation from this teacher."""
    cross, pairs = untrained_cross_encoder(data, config, 0), data.training_pairs(0)
    labels = method.cosine_to_label(method.score(teacher, pairs, data.amp))
    student_trainer(data, config, "tuning")(cross, pairs.both_orders(), labels.repeat(2), method.soft_label_loss)
    return cross


def with_candidate(config: Config, name: str, candidate: Mapping[str, Any]) -> Config:
    """The configuration with a candidate's values for one kind of model."""
    own = ("temperature", "head")
    return config.override(**{key if key in own else f"train.{name}.{key}": value for key, value in candidate.items()})


def describe(candidate: Mapping[str, Any]) -> str:
    """A candidate in words: "head cosine, lr 0.0003"."""
    return ", ".join(f"{key} {value if isinstance(value, str) else f'{value:g}'}" for key, value in candidate.items())


def selected(config: Config) -> dict[str, str]:
    """Kind of model -> the candidate that the configuration uses, as `tune` names it."""
    return {
        name: describe(candidate)
        for name, space in SEARCH_SPACE.items()
        for candidate in space
        if with_candidate(config, name, candidate) == config
    }


# ---------------------------------------------------------------- runtime


def runtime(config: Config, seed: int, device: torch.device) -> list[Measurement]:
    """CPU seconds and forward passes for all pairs of n sentences, with untrained models: training changes neither."""
    data = load_data(replace(config, training_pairs=max(RUNTIME_SIZES)), seed, device)
    bi, cross = untrained_bi_encoder(data, 0), untrained_cross_encoder(data, config, 0)
    return evaluation.runtime(bi, cross, data.training_pairs(0).first, seed, RUNTIME_SIZES)


# ---------------------------------------------------------------- tables of stored results


def spearman_table(runs: Mapping[str, Run], methods: Sequence[str]) -> tuple[list[str], list[list[str]]]:
    """Header and rows: Spearman of each method in both settings of each run, mean ± standard deviation over seeds.

    A method that a run does not have is left blank.
    """
    columns = [(run, setting) for run in runs for setting in (TRAINING, HELD_OUT)]
    header = ["", *(f"{run} ({len(runs[run].seeds)} seeds), {setting}" for run, setting in columns)]
    return header, [[name, *(_cell(runs[run], name, setting) for run, setting in columns)] for name in methods]


def _cell(run: Run, name: str, setting: str) -> str:
    known = {m.method for m in run.measurements if (m.metric, m.setting) == (SPEARMAN, setting)}
    if name not in known:
        return ""
    seeds = values(run.measurements, SPEARMAN, name, setting)
    return f"{seeds.mean():.1f} ± {seeds.std(ddof=1):.1f}" if len(seeds) > 1 else f"{seeds[0]:.1f}"


def cycle_selection_table(run: Run, cycles: int) -> tuple[list[str], list[list[str]]]:
    """Header and rows: Spearman on held-out pairs if the cycle is selected by agreement, which needs no gold.

    For each seed the cycle is taken in which student and teacher agree most on the training pairs; beside it the first
    and the last cycle, and the one that gold would select.
    """
    header = ["", "selected cycles", "first cycle", "last cycle", "selected by agreement", "selected by gold"]
    rows = []
    for variant, encoder_type in ((v, e) for v in (training.SELF, training.BOTTLENECK_SELF) for e in (CROSS, BI)):
        stages = [variant.stage_name(encoder_type, cycle) for cycle in range(1, cycles + 1)]
        gold = np.array([values(run.measurements, SPEARMAN, stage, HELD_OUT) for stage in stages])
        agreement = np.array([values(run.measurements, AGREEMENT, stage, TRAINING) for stage in stages])
        best, seeds = agreement.argmax(0), np.arange(gold.shape[1])
        means = [each.mean() for each in (gold[0], gold[-1], gold[best, seeds], gold.max(0))]
        chosen = ", ".join(str(cycle + 1) for cycle in best)
        rows.append([variant.stage_name(encoder_type), chosen, *(f"{mean:.1f}" for mean in means)])
    return header, rows


# ---------------------------------------------------------------- the studies

STUDY = Config.at("study")
BEFORE_TUNING = Config.at("laptop").override(
    seeds=3, training_pairs=400, held_out_pairs=800, temperature=0.05,
    **{"train.SimCSE.lr": 1e-4, "train.bi-encoder.lr": 1e-4, "train.bottleneck.lr": 1e-2},
)  # fmt: skip
THOUSANDS = STUDY.override(
    seeds=3, training_pairs=2000, held_out_pairs=1000, cycles=3, runtime_sizes=(),
    variants=(
        "self-distillation", "no cross-attention", "own scores", "mutual distillation", "gold labels", "bottleneck",
        "bottleneck, no cross-attention", "bottleneck, own scores",
    ),
)  # fmt: skip
STSB = THOUSANDS.override(
    data="stsb", cycles=1, language_models=("minilm-3",), temperature=0.05,
    variants=("self-distillation", "no cross-attention", "own scores", "gold labels"),
    **{
        "train.SimCSE.lr": 5e-5, "train.cross-encoder.lr": 5e-5, "train.cross-encoder.epochs": 1,
        "train.bi-encoder.lr": 5e-5, "train.bi-encoder.epochs": 2,
    },
)  # fmt: skip
STUDIES = {
    "tuning": Study(
        tune, BEFORE_TUNING, first_seed=100, reduced={"training_pairs": 72, "held_out_pairs": 16, "max_length": 12}
    ),
    "pilot": Study(experiment, replace(STUDY, seeds=10), first_seed=300, reduced=Config.SMALL),
    "2,000 pairs": Study(experiment, THOUSANDS, reduced=Config.SMALL),
    "STS-B": Study(
        experiment, STSB,
        reduced={
            **Config.SMALL, "train.bi-encoder.epochs": 2, "train.SimCSE.lr": 3e-4, "train.cross-encoder.lr": 3e-4,
        },
    ),
    "runtime": Study(runtime, replace(STUDY, seeds=3), reduced={"max_length": 16}),
}  # fmt: skip
