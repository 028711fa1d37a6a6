"""The experiment: one matrix, read along rows and columns, with every activity; then matching under exposure bounds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from scipy.stats import spearmanr
from torch import Tensor

from companion.lab.evidence import Measurement
from companion.lab.config import BaseConfig
from companion.lab.config import Study
from companion.rim import arms, matching, speed
from companion.rim.arms import (
    ACTIVITIES,
    ALS,
    EMA_CHOSEN,
    GRU,
    HAWKES,
    HP,
    NONE,
    SHUFFLED,
    TRANSFORMER,
    Choices,
    Clock,
    Task,
)
from companion.rim.baselines import ALSRecipe
from companion.rim.matching import Exposure
from companion.rim.method import Recipe, Training, precision, top_columns, top_rows
from companion.rim.split import Half

TEST = "test"
ITEMREC, USERREC = "ItemRec precision", "UserRec precision"
RAW = "ALS, raw"
TOP_K, DUAL_P, DUAL_S, GREEDY_P, GREEDY_S, MISPLACED = (
    "top k", "dual, relevance", "dual, RIM", "greedy, relevance", "greedy, RIM", "dual, RIM, prices shuffled",
)  # fmt: skip
RECIPES: dict[str, list[Any]] = {
    GRU: [Recipe(lr, epochs) for lr in (6e-3, 1.2e-2, 2.4e-2) for epochs in (2, 4)],
    TRANSFORMER: [Recipe(lr, epochs) for lr in (1e-3, 3e-3, 6e-3) for epochs in (2, 4)],
    ALS: [ALSRecipe(factors, weight) for factors in (8, 16, 32) for weight in (3.0, 30.0)],
}
FIRST: dict[str, Any] = {
    GRU: Recipe(1.2e-2, 4),
    TRANSFORMER: Recipe(3e-3, 4),
    ALS: ALSRecipe(16, 30.0),
}  # while powers and clocks are tried
POWERS = {
    GRU: (0.01, 0.3, 0.5, 0.7, 1.0, 1.5),
    TRANSFORMER: (0.01, 0.3, 0.5, 0.7, 1.0, 1.5),
    ALS: (0.01, 2.0, 4.0, 6.0, 10.0, 20.0),
}
CLOCKS: dict[str, tuple[str, tuple[float, ...]]] = {
    EMA_CHOSEN: ("ema", (0.01, 0.03, 0.1, 0.3, 1.0, 30.0)),
    HAWKES: ("hawkes_smallest", (1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3)),
    HP: ("ridge", (0.0, 1e-3, 1e-2, 0.1, 1.0, 10.0)),
}


@dataclass(frozen=True)
class Config(BaseConfig):
    """All sizes of the lesson. What was chosen was chosen on the halves that give no evidence (see `choose`)."""

    seeds: int = 7
    data: str = "ml100k"
    half: Half = "second"
    clean: bool = False
    networks: tuple[str, ...] = (GRU,)
    training: Training = Training()
    clock: Clock = Clock()
    choices: Choices = Choices(
        gru=Recipe(0.024, 4), transformer=Recipe(6e-3, 4), als=ALSRecipe(32, 3.0),
        gru_power=1.5, transformer_power=1.0, als_power=4.0,
    )  # fmt: skip
    promised: int = 300
    places: int = 3
    exposures: tuple[int, ...] = (3,)
    levels: tuple[float, ...] = (1e-2, 1e-3, 1e-4)
    iterations: int = 40

    SIZES: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "ci": {
            "seeds": 1, "training": Training(width=16, longest=16), "clock": Clock(steps=20), "promised": 60,
            "places": 1, "levels": (1e-2,), "iterations": 5, "choices": Choices(gru=Recipe(1.2e-2, 1)),
        },
        "study": {"seeds": 12, "networks": (GRU, TRANSFORMER), "exposures": (1, 2, 3, 4)},
        "paper": {
            "seeds": 10, "data": "ml1m", "networks": (GRU, TRANSFORMER), "promised": 3706, "places": 38,
            "exposures": (3, 30),
            "training": Training(width=128, layers=2, dropout=0.0, longest=256, batch=64, amp=True),
            "clock": Clock(smallest=1e-6, kernels=50, steps=500, ridge=1e-3),
            "choices": Choices(gru=Recipe(3e-3, 20), transformer=Recipe(1e-3, 20)),
        },
    }  # fmt: skip

    def recipes(self) -> dict[str, tuple[Recipe, float]]:
        """Network -> its recipe, and the power of its probabilities."""
        chosen = self.choices
        known = {GRU: (chosen.gru, chosen.gru_power), TRANSFORMER: (chosen.transformer, chosen.transformer_power)}
        return {name: known[name] for name in self.networks}


# ---------------------------------------------------------------- two readings


def item_rec(task: Task, log_p: Tensor, activity: Tensor) -> float:
    """ItemRec precision, events per hundred recommendations."""
    return precision(task.targets, top_rows(task.table(log_p, activity), task.k, task.film_order))


def user_rec(task: Task, log_p: Tensor, activity: Tensor) -> float:
    """UserRec precision, events per hundred recommendations."""
    return precision(task.targets, top_columns(task.table(log_p, activity), task.c, task.state_order))


def named(relevance: str, activity: str) -> str:
    """The name of an arm."""
    return relevance if activity == NONE else f"{relevance} x {activity}"


def readings(
    task: Task, relevance: Mapping[str, Tensor], activity: Mapping[str, Tensor], seed: int
) -> list[Measurement]:
    """Both precisions of every relevance with every activity; the shuffled one with the networks alone."""
    return [
        Measurement(metric, named(r, a), TEST, seed, read(task, log_p, rate))
        for r, log_p in relevance.items()
        for a, rate in activity.items()
        for metric, read in ((ITEMREC, item_rec), (USERREC, user_rec))
    ]


def calibration(task: Task, activity: Mapping[str, Tensor], seed: int) -> list[Measurement]:
    """100 x Spearman correlation of each activity with the events to come; expected over observed events of HP."""
    after = task.split.after[task.states].double().cpu()
    rows = [
        Measurement("rank correlation", name, TEST, seed, 100 * float(spearmanr(rate[task.states].cpu(), after)[0]))
        for name, rate in activity.items()
        if name != NONE
    ]
    for name, group in (("fitted states", task.split.group_a), (TEST, ~task.split.group_a)):
        ratio = float(activity[HP][group].sum() / task.split.after[group].sum())
        rows.append(Measurement("expected over observed", HP, name, seed, ratio))
    return rows


# ---------------------------------------------------------------- matching


def policies(
    past: Task, fresh: Task, log_p: Tensor, rate: Tensor, config: Config, least: int, seed: int
) -> dict[str, Tensor]:
    """Who is shown what, (n, m) bool, by each policy; prices are learnt on `past` and serve `fresh`."""
    unit, order = torch.ones_like(rate), fresh.film_order
    found = {TOP_K: top_rows(fresh.table(log_p, unit), fresh.k, order)}
    for dual, greedy, activity in ((DUAL_P, GREEDY_P, unit), (DUAL_S, GREEDY_S, rate)):
        now, learnt = fresh.table(log_p, activity).exp(), learn(past, log_p, activity, config, least)
        found[dual] = matching.serve(now, learnt, fresh.seen, fresh.k, order)
        found[greedy] = matching.greedy(now.masked_fill(fresh.seen, -torch.inf), fresh.k, Exposure(least))
        if dual == DUAL_S:
            mixed = learnt[torch.randperm(len(learnt), generator=torch.Generator().manual_seed(seed)).to(learnt.device)]
            found[MISPLACED] = matching.serve(now, mixed, fresh.seen, fresh.k, order)
    return found


def learn(past: Task, log_p: Tensor, activity: Tensor, config: Config, least: int) -> Tensor:
    """Prices of the films, (m,), from past states; what a state has seen is worth nothing to it."""
    scores = past.table(log_p, activity).exp()
    return matching.prices(scores, past.k, Exposure(least), config.levels, config.iterations)


def promises(task: Task, log_p: Tensor, rate: Tensor, config: Config, seed: int) -> list[Measurement]:
    """Shortfall, precision, and precision kept (per cent of plain top k) of every policy at every promise."""
    rows = []
    for least in config.exposures:
        past, fresh = arms.most_trained(task, config.promised, config.places)
        found = policies(past, fresh, log_p, rate, config, least, seed)
        plain = precision(fresh.targets, found[TOP_K])
        for name, chosen in found.items():
            seen = precision(fresh.targets, chosen)
            values = {
                "shortfall": matching.shortfall(chosen, least),
                ITEMREC: seen,
                "precision kept": 100 * seen / plain,
            }
            rows += [Measurement(metric, name, promise(least), seed, value) for metric, value in values.items()]
    return rows


def promise(least: int) -> str:
    """The name of a setting."""
    return f"{least} states a film"


def experiment(config: Config, seed: int, device: torch.device) -> list[Measurement]:
    """All arms on this seed's groups: both readings, calibration, and matching under a promised exposure."""
    task = arms.draw(config.data, config.half, seed, device)
    activity = arms.activities(task.split, config.clock, seed)
    relevance, raw = arms.relevances(task.split, config.recipes(), config.choices, config.training, seed, config.clean)
    rows = readings(task, relevance, {name: activity[name] for name in ACTIVITIES}, seed)
    rows += readings(task, {GRU: relevance[GRU]}, {SHUFFLED: activity[SHUFFLED]}, seed)
    rows += readings(task, {RAW: raw}, {NONE: activity[NONE]}, seed)
    rows += calibration(task, activity, seed)
    return rows + promises(task, relevance[GRU], activity[HP], config, seed)


# ---------------------------------------------------------------- how it was chosen


def choose(config: Config, seed: int, device: torch.device) -> list[Measurement]:
    """Every candidate on the halves that give no evidence: recipes by ItemRec, powers and clocks by UserRec."""
    task, rows = arms.draw(config.data, config.half, seed, device), []
    one, hp = torch.ones_like(task.split.times[:, 0]), arms.activities(task.split, config.clock, seed)[HP]
    for name, candidates in RECIPES.items():
        for recipe in candidates:
            value = item_rec(task, _relevance(task, name, recipe, config.training, seed), one)
            rows.append(Measurement(ITEMREC, name, str(recipe), seed, value))
        base = _relevance(task, name, FIRST[name], config.training, seed)
        for power in POWERS[name]:
            value = user_rec(task, arms.powered(base, power), hp)
            rows.append(Measurement(USERREC, f"{name}, power", f"{power:g}", seed, value))
    base = _relevance(task, GRU, FIRST[GRU], config.training, seed)
    for name, (field, values) in CLOCKS.items():
        for value in values:
            rate = arms.activities(task.split, Clock(**{**config.clock._asdict(), field: value}), seed)[name]
            rows.append(Measurement(USERREC, name, f"{value:g}", seed, user_rec(task, base, rate)))
    return rows


def _relevance(task: Task, name: str, recipe: Any, training: Training, seed: int) -> Tensor:
    if name == ALS:
        return arms.factorise(task.split, recipe, seed)
    return arms.network(task.split, name, recipe, training, seed)


def _recipe(config: Config, name: str) -> Any:
    return {GRU: config.choices.gru, TRANSFORMER: config.choices.transformer, ALS: config.choices.als}[name]


def chosen(config: Config) -> dict[str, str]:
    """Arm -> the candidate that the configuration uses, in words."""
    c, powers = config.choices, {GRU: config.choices.gru_power, TRANSFORMER: config.choices.transformer_power}
    found = {name: str(_recipe(config, name)) for name in RECIPES}
    found |= {f"{name}, power": f"{power:g}" for name, power in (powers | {ALS: c.als_power}).items()}
    return found | {name: f"{getattr(config.clock, field):g}" for name, (field, _) in CLOCKS.items()}


def cost(config: Config, seed: int, device: torch.device) -> list[Measurement]:
    """CPU seconds and memory of the blocked scorer against the size of the matrix."""
    return speed.growth(seed)


LAPTOP, STUDY = Config.at("laptop"), Config.at("study")
FURTHER = {
    "choice": Study(choose, replace(LAPTOP, half="first", choices=Choices(), clock=Clock(), seeds=3), first_seed=100),
    "rehearsal": Study(experiment, replace(LAPTOP, half="first", seeds=12), first_seed=200),
    "clean": Study(experiment, replace(LAPTOP, clean=True, seeds=10)),
    "latest-small": Study(experiment, replace(LAPTOP, data="ml_latest_small", seeds=5)),
    "cost": Study(cost, replace(LAPTOP, seeds=1)),
}

# What is cut for the runs that the tests repeat.
SMALL = {name: value for name, value in Config.SIZES["ci"].items() if name not in ("seeds", "choices")}
SHORT = {**SMALL, "choices": LAPTOP.choices._replace(gru=Recipe(0.024, 1), transformer=Recipe(6e-3, 1))}
REDUCED = {
    "ci": {}, "study": SHORT, "choice": SMALL, "rehearsal": SHORT, "clean": SHORT, "latest-small": SHORT, "cost": {},
}  # fmt: skip
