"""All that is stored beside the main run: tuning, pilot run, training without the future, other data, runtime."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from companion.lab import runtime as lab_runtime
from companion.lab.config import Study
from companion.lab.evidence import Measurement
from companion.lab.tuning import grid, grid_search
from companion.rim import baselines, matching, training
from companion.rim.data import STATE, Split, load_data
from companion.rim.experiment import ITEMREC, SHORT, SMALL, USERREC, Config, experiment, item_rec, size_name, user_rec
from companion.rim.method import BlockScorer, Exposure, best_rows_and_columns
from companion.rim.training import ALS, EMA_TUNED, GRU, HAWKES, HP, TRANSFORMER

# ---------------------------------------------------------------- tuning

Candidates = dict[str, dict[str, dict[str, Any]]]  # method -> {description: fields of the configuration}
NETWORKS = {GRU: (6e-3, 1.2e-2, 2.4e-2), TRANSFORMER: (1e-3, 3e-3, 6e-3)}
RELEVANCE: Candidates = {
    name: {
        f"lr {c['lr']:g}, {c['epochs']} epochs": {f"train.{name}.lr": c["lr"], f"train.{name}.epochs": c["epochs"]}
        for c in grid(lr=rates, epochs=(2, 4))
    }
    for name, rates in NETWORKS.items()
}
RELEVANCE[ALS] = {
    f"{c['als_factors']} factors, weight {c['als_weight']:g}": c
    for c in grid(als_factors=(8, 16, 32), als_weight=(3.0, 30.0))
}
POWERS = {
    GRU: (0.01, 0.3, 0.5, 0.7, 1.0, 1.5),
    TRANSFORMER: (0.01, 0.3, 0.5, 0.7, 1.0, 1.5),
    ALS: (0.01, 2.0, 4.0, 6.0, 10.0, 20.0),
}
POWER: Candidates = {
    f"{name}, power": {f"{power:g}": {f"power.{name}": power} for power in powers} for name, powers in POWERS.items()
}
ACTIVITY: Candidates = {
    EMA_TUNED: {f"{value:g}": {"ema_scale": value} for value in (0.01, 0.03, 0.1, 0.3, 1.0, 30.0)},
    HAWKES: {f"{value:g}": {"hawkes_smallest_scale": value} for value in (1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3)},
    HP: {f"{value:g}": {"ridge": value} for value in (0.0, 1e-3, 1e-2, 0.1, 1.0, 10.0)},
}
FITTED: dict[str, Callable[[Split, Config], Tensor]] = {
    EMA_TUNED: lambda split, config: baselines.decayed_count(split.times, STATE, config.ema_scale),
    HAWKES: lambda split, config: training.hawkes(split.times, config),
    HP: lambda split, config: training.hawkes_poisson(split, split.times, config),
}


def tune(config: Config, seed: int, device: torch.device) -> list[Measurement]:
    """Every candidate on the first halves: relevance by ItemRec, powers and activities by UserRec precision.

    While powers and activities are tried, the relevance models are those of `config`.
    """
    data = load_data(config.data, config.half, seed, device)
    constant, hp = torch.ones_like(data.split.times[:, 0]), FITTED[HP](data.split, config)

    def relevance(name: str, config: Config) -> Tensor:
        if name == ALS:
            return training.als_scores(data.split, config, seed)
        return training.network_relevance(data.split, name, config, seed)

    base = {f"{name}, power": relevance(name, config) for name in POWERS}

    def score_relevance(name: str, changes: dict[str, Any]) -> float:
        return item_rec(data, relevance(name, config.override(**changes)), constant)

    def score_power(name: str, changes: dict[str, Any]) -> float:
        (power,) = changes.values()
        return user_rec(data, training.to_power(base[name], power), hp)

    def score_activity(name: str, changes: dict[str, Any]) -> float:
        return user_rec(data, base[f"{GRU}, power"], FITTED[name](data.split, config.override(**changes)))

    return [
        *grid_search(RELEVANCE, score_relevance, ITEMREC, seed),
        *grid_search(POWER, score_power, USERREC, seed),
        *grid_search(ACTIVITY, score_activity, USERREC, seed),
    ]


def selected(config: Config) -> dict[str, str]:
    """Method -> the candidate that the configuration uses, as `tune` names it."""
    return {
        name: description
        for name, described in (RELEVANCE | POWER | ACTIVITY).items()
        for description, changes in described.items()
        if config.override(**changes) == config
    }


# ---------------------------------------------------------------- runtime

MEMORY, HIDDEN_DIM, DUAL_STEPS = 512 * 2**20, 48, 8  # bytes for a block, width of the states, steps for row prices


def random_scorer(n: int, m: int, memory: int = MEMORY) -> BlockScorer:
    """Random hidden states (n, d), items (m, d) and activities (n,) in single precision."""
    generator = torch.Generator().manual_seed(0)
    hidden, embedding = (torch.randn(size, HIDDEN_DIM, generator=generator) for size in (n, m))
    log_activity = torch.randn(n, generator=generator)
    return BlockScorer(hidden, embedding / HIDDEN_DIM**0.5, torch.zeros(m), log_activity, memory)


def measure_runtime(n: int, m: int, memory: int = MEMORY) -> dict[str, float]:
    """CPU seconds of ranking rows and columns, and of one evaluation of the dual; peak megabytes of this process.

    k and c are 1 %; the dual guarantees each item half of its equal share of the exposure.
    """
    scorer, k, zero = random_scorer(n, m, memory), m // 100, torch.zeros(m)
    exposure = Exposure(least=n * k / m / 2)
    ranking = lab_runtime.cpu_seconds(partial(best_rows_and_columns, scorer, k, n // 100))
    update = partial(matching.dual, scorer.blocks(), zero, zero, k, exposure, 1e-3, DUAL_STEPS)
    return {
        "top rows and columns": ranking,
        "one dual update": lab_runtime.cpu_seconds(update),
        "peak memory": lab_runtime.peak_megabytes(),
    }


def runtime(config: Config, seed: int, device: torch.device) -> list[Measurement]:
    """CPU seconds and memory of the blocked scorer by the size of the matrix, each in a process of its own."""
    return lab_runtime.runtime_by_size(measure_runtime, {size_name(*size): size for size in config.runtime_sizes}, seed)


LAPTOP = Config.at("laptop")
UNTUNED = {
    "train.GRU.lr": 1.2e-2, "train.transformer.lr": 3e-3, "als_factors": 16, "als_weight": 30.0,
    "power": {GRU: 1.0, TRANSFORMER: 1.0, ALS: 5.0},
}  # fmt: skip
STUDIES = {
    "tuning": Study(tune, LAPTOP.override(half="first", seeds=3, **UNTUNED), first_seed=100, reduced=SMALL),
    "pilot": Study(experiment, LAPTOP.override(half="first", seeds=12), first_seed=200, reduced=SHORT),
    "exclude future": Study(experiment, LAPTOP.override(exclude_future=True, seeds=10), reduced=SHORT),
    "latest-small": Study(experiment, LAPTOP.override(data="ml_latest_small", seeds=5), reduced=SHORT),
    "runtime": Study(runtime, LAPTOP.override(seeds=1), reduced={"runtime_sizes": ((1_000, 1_000), (2_000, 1_000))}),
}
