"""The experiment: both rankings of every relevance times every activity, then matching under an exposure guarantee."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from scipy.stats import spearmanr
from torch import Tensor

from companion.lab.config import BaseConfig, TrainConfig
from companion.lab.evidence import Measurement
from companion.rim import matching, method, training
from companion.rim.data import ExperimentData, Half, load_data, most_popular
from companion.rim.training import ACTIVITIES, ALS, GRU, HP, NONE, RAW, SHUFFLED, TOP_K, TRANSFORMER

TEST = "test"
ITEMREC, USERREC = "ItemRec precision", "UserRec precision"
SHORTFALL, RELATIVE = "shortfall", "relative precision"
SMALL: dict[str, Any] = {
    "hidden_dim": 16, "max_length": 16, "em_steps": 20, "guaranteed_items": 60, "items_per_state": 1,
    "epsilons": (1e-2,), "price_iterations": 5,
}  # fmt: skip
SHORT = {**SMALL, "train.GRU.epochs": 1, "train.transformer.epochs": 1}


@dataclass(frozen=True)
class Config(BaseConfig):
    """All sizes of the lesson. What was tuned was tuned on the first halves of the histories (see `studies.tune`)."""

    seeds: int = 7  # how many seeds are run
    data: str = "ml100k"  # "ml100k", "ml_latest_small" or "ml1m"
    half: Half = "second"  # half of each user's events: "second", or "first" for tuning and pilot run
    exclude_future: bool = False  # train relevance on events before the state in group A too, not in B alone
    networks: tuple[str, ...] = (GRU,)  # relevance models that are trained: "GRU", "transformer"
    hidden_dim: int = 48  # width of the relevance models
    num_layers: int = 1  # layers of the GRU
    max_length: int = 64  # events of a history that the relevance models read, the last ones
    train: dict[str, TrainConfig] = field(
        default_factory=lambda: {
            GRU: TrainConfig(lr=0.024, epochs=4, batch_size=64, dropout=0.2),
            TRANSFORMER: TrainConfig(lr=6e-3, epochs=4, batch_size=64, dropout=0.2),
        }
    )  # training of each relevance model
    als_factors: int = 32  # factors of the matrix factorization
    als_weight: float = 3.0  # confidence of a seen pair, beyond that of an unseen one
    power: dict[str, float] = field(
        default_factory=lambda: {GRU: 1.5, TRANSFORMER: 1.0, ALS: 4.0}
    )  # p(y | x) is raised to this power and normalized again
    smallest_scale: float = 1e-3  # smallest time scale of HP, in horizons
    hawkes_smallest_scale: float = 0.1  # smallest time scale of Hawkes, in horizons
    largest_scale: float = 10.0  # largest time scale of both, in horizons
    num_scales: int = 9  # time scales of both
    em_steps: int = 100  # EM steps that fit their weights
    ridge: float = 0.0  # L2 regularization of HP
    ema_scale: float = 0.1  # tuned time scale of the exponentially decayed count (EMA), in horizons
    guaranteed_items: int = 300  # items with an exposure guarantee, the most popular ones
    items_per_state: int = 3  # items shown to each state in the matching
    min_exposures: tuple[int, ...] = (3,)  # guarantees that are tried: states that each item is shown to at least
    epsilons: tuple[float, ...] = (1e-2, 1e-3, 1e-4)  # smoothing of the dual, from coarse to fine
    price_iterations: int = 40  # iterations of L-BFGS-B at each smoothing
    runtime_sizes: tuple[tuple[int, int], ...] = (
        (1_000, 1_000),
        (10_000, 1_000),
        (10_000, 10_000),
        (100_000, 10_000),
    )  # users and items of the matrices whose runtime is measured

    SIZES: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "ci": {
            **SMALL, "seeds": 1, "train.GRU.lr": 1.2e-2, "train.GRU.epochs": 1, "als_factors": 16, "als_weight": 30.0,
            "power": {GRU: 1.0, TRANSFORMER: 1.0, ALS: 5.0},
        },
        "study": {"seeds": 12, "networks": (GRU, TRANSFORMER), "min_exposures": (1, 2, 3, 4)},
        "paper": {
            "seeds": 10, "data": "ml1m", "networks": (GRU, TRANSFORMER), "hidden_dim": 128, "num_layers": 2,
            "max_length": 256, "als_factors": 16, "als_weight": 30.0,
            "train": {
                GRU: TrainConfig(lr=3e-3, epochs=20, batch_size=64, amp=True),
                TRANSFORMER: TrainConfig(lr=1e-3, epochs=20, batch_size=64, amp=True),
            },
            "power": {GRU: 1.0, TRANSFORMER: 1.0, ALS: 5.0}, "smallest_scale": 1e-6, "num_scales": 50, "em_steps": 500,
            "ridge": 1e-3, "guaranteed_items": 3706, "items_per_state": 38, "min_exposures": (3, 30),
        },
    }  # fmt: skip
    REDUCED: ClassVar[Mapping[str, Mapping[str, Any]]] = {"ci": {}, "study": SHORT}


# ---------------------------------------------------------------- metrics


def item_rec(data: ExperimentData, log_p: Tensor, activity: Tensor) -> float:
    """ItemRec precision, events per hundred recommendations: log_p (U, num_items), activity (U,)."""
    scores = data.log_scores(log_p, activity)
    return method.precision(data.targets, method.top_rows(scores, data.k, data.item_order))


def user_rec(data: ExperimentData, log_p: Tensor, activity: Tensor) -> float:
    """UserRec precision, events per hundred selected states: log_p (U, num_items), activity (U,)."""
    scores = data.log_scores(log_p, activity)
    return method.precision(data.targets, method.top_columns(scores, data.c, data.state_order))


def method_name(relevance: str, activity: str = NONE) -> str:
    """The display name of a relevance times an activity."""
    return relevance if activity == NONE else f"{relevance} x {activity}"


def guarantee_name(least: int) -> str:
    """The display name of the setting in which each item is guaranteed `least` states."""
    return f"{least} states per item"


def size_name(n: int, m: int) -> str:
    """The display name of a matrix of n users and m items."""
    return f"{n:,} x {m:,}"


def row_and_column_rankings(
    data: ExperimentData, relevance: Mapping[str, Tensor], activity: Mapping[str, Tensor], seed: int
) -> list[Measurement]:
    """Both precisions of every relevance, (U, num_items) each, with every activity, (U,) each."""
    return [
        Measurement(metric, method_name(r, a), TEST, seed, precision(data, log_p, factor))
        for r, log_p in relevance.items()
        for a, factor in activity.items()
        for metric, precision in ((ITEMREC, item_rec), (USERREC, user_rec))
    ]


def activity_forecasts(data: ExperimentData, activity: Mapping[str, Tensor], seed: int) -> list[Measurement]:
    """100 x Spearman correlation of each activity with the window's events; expected over observed events of HP."""
    observed = data.split.events_after[data.states].double().cpu()
    measurements = []
    for name, predicted in activity.items():
        if name != NONE:
            correlation = float(spearmanr(predicted[data.states].cpu(), observed)[0])
            measurements.append(Measurement("rank correlation", name, TEST, seed, 100 * correlation))
    for setting, users in (("fitted states", data.split.group_a), (TEST, ~data.split.group_a)):
        ratio = float(activity[HP][users].sum() / data.split.events_after[users].sum())
        measurements.append(Measurement("expected over observed", HP, setting, seed, ratio))
    return measurements


def exposure_guarantees(
    data: ExperimentData, log_p: Tensor, activity: Tensor, config: Config, seed: int
) -> list[Measurement]:
    """Shortfall, precision, and precision in percent of plain top k, of every policy under every guarantee."""
    measurements = []
    past, test = most_popular(data, config.guaranteed_items, config.items_per_state)
    for least in config.min_exposures:
        policies = training.assign(past, test, log_p, activity, config, least, seed)
        plain = method.precision(test.targets, policies[TOP_K])
        for name, chosen in policies.items():
            precision = method.precision(test.targets, chosen)
            values = {SHORTFALL: matching.shortfall(chosen, least), ITEMREC: precision}
            values[RELATIVE] = 100 * precision / plain
            setting = guarantee_name(least)
            measurements += [Measurement(metric, name, setting, seed, value) for metric, value in values.items()]
    return measurements


def experiment(config: Config, seed: int, device: torch.device) -> list[Measurement]:
    """All methods on this seed's groups: both rankings, activity as a forecast, matching under a guarantee."""
    data = load_data(config.data, config.half, seed, device)
    activity = training.activities(data.split, config, seed)
    relevance, raw = training.relevances(data.split, config, seed)
    compared = {name: activity[name] for name in ACTIVITIES}
    measurements = row_and_column_rankings(data, relevance, compared, seed)
    measurements += row_and_column_rankings(data, {GRU: relevance[GRU]}, {SHUFFLED: activity[SHUFFLED]}, seed)
    measurements += row_and_column_rankings(data, {RAW: raw}, {NONE: activity[NONE]}, seed)
    measurements += activity_forecasts(data, activity, seed)
    return measurements + exposure_guarantees(data, relevance[GRU], activity[HP], config, seed)
