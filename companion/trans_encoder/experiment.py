"""The experiment: the relay, self and mutual, and its controls, on pairs learnt from and on pairs held out."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice, pairwise, product
from pathlib import Path
from typing import Any, ClassVar

import torch

from companion.lab.evidence import Measurement
from companion.lab.config import BaseConfig
from companion.lab.config import Study
from companion.trans_encoder import arms, baselines, method, speed
from companion.trans_encoder.arms import (
    BLIND,
    GOLD,
    HELD,
    MUTUAL,
    NARROW,
    OWN,
    PCA,
    RAW,
    SELF,
    SHUFFLED,
    SPEARMAN,
    START,
    TFIDF,
    TRAINED,
    UNTRAINED,
    Recipes,
    World,
)  # fmt: skip
from companion.trans_encoder.evaluate import correlation
from companion.trans_encoder.method import BiEncoder
from companion.trans_encoder.training import Recipe

RATIO = "seconds ratio"
LIVE = (SELF, NARROW, NARROW + BLIND, NARROW + SHUFFLED)


@dataclass(frozen=True)
class Config(BaseConfig):
    """All sizes of the lesson. What was chosen was chosen on pairs of other seeds (see `choose`)."""

    seeds: int = 5
    data: str = "glosses"
    trained: int = 160
    held: int = 320
    longest: int = 32
    models: tuple[str, ...] = ("glosses-0", "glosses-1")
    tuned: tuple[str, ...] = ()
    cycles: int = 1
    width: int = 8
    recipes: Recipes = Recipes(
        start=Recipe(1, 64, 3e-4, amp=True), cross=Recipe(3, 32, 3e-4, amp=True), bi=Recipe(3, 64, 3e-4, amp=True),
        narrow=Recipe(3, 64, 3e-2, decay=0.0, amp=True), head="cosine", temperature=0.2,
    )  # fmt: skip
    relays: tuple[str, ...] = LIVE
    timed: bool = True
    keep: str = ""

    SIZES: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "ci": {
            "seeds": 1, "trained": 32, "held": 16,
            "recipes": Recipes(
                start=Recipe(1, 64, 3e-4, amp=True), cross=Recipe(1, 32, 3e-4, amp=True), temperature=0.2,
                bi=Recipe(1, 64, 3e-4, amp=True), narrow=Recipe(1, 64, 3e-2, decay=0.0, amp=True), head="cosine",
            ),
        },
        "paper": {
            "data": "stsb", "trained": 5749, "held": 1500, "cycles": 3, "timed": False,
            "models": ("bert-base-uncased", "roberta-base"), "relays": (SELF, OWN, MUTUAL),
            "keep": "build/trans_encoder",
            "tuned": ("princeton-nlp/unsup-simcse-bert-base-uncased", "princeton-nlp/unsup-simcse-roberta-base"),
            "recipes": Recipes(
                start=Recipe(1, 64, 3e-5, amp=True), cross=Recipe(1, 32, 2e-5, amp=True), head="cls",
                bi=Recipe(10, 128, 5e-5, warm=0.0, amp=True), narrow=Recipe(3, 64, 3e-2, decay=0.0, amp=True),
            ),
        },
    }  # fmt: skip

    def world(self, seed: int, device: torch.device) -> World:
        """The pairs of a seed, as every language model reads them."""
        texts = arms.load(self.data, self.trained, self.held, seed)
        folder = Path(self.keep) if self.keep else None
        return arms.world(texts, self.models, self.longest, self.recipes, seed, device, folder, self.tuned)


def words(of: World) -> list[Measurement]:
    """Words in common, on both settings."""
    fitted = of.texts[TRAINED]
    return [
        Measurement(
            SPEARMAN, TFIDF, name, of.seed, correlation(baselines.common_words(fitted, texts), texts.similarity)
        )
        for name, texts in of.texts.items()
    ]


def alone(of: World, starts: Sequence[BiEncoder], prefix: str, cycles: int) -> list[Measurement]:
    """Self-distillation: a relay for each model by itself; one whose cross is blind or misled ends with that cross."""
    relays, broken = [], BLIND in prefix or SHUFFLED in prefix
    for k, start in enumerate(starts):
        fit = arms.fitting(of, f"{prefix}{k}-")
        fit = baselines.shuffling(fit, of.seed) if SHUFFLED in prefix else fit
        relay = method.relay([start], [of.raw(k, BLIND in prefix)], [of.trained(k)], cycles, fit, of.score)
        relays.append(islice(relay, 2 if broken else None))
    rows = [] if broken else untaught(of, starts, prefix)
    for before, stages in pairwise(zip(*relays, strict=True)):
        name, models = f"{prefix}{stages[0].form} {stages[0].cycle}", [stage.models[0] for stage in stages]
        rows += arms.measured(of, name, range(len(starts)), models)
        rows += arms.agreed(of, name, [stage.labels for stage in stages], [stage.labels for stage in before])
    return rows


def untaught(of: World, starts: Sequence[BiEncoder], prefix: str) -> list[Measurement]:
    """How far a cross-encoder that nobody has taught agrees with the start."""
    ks = range(len(starts))
    written = arms.outputs(of, ks, [of.raw(k) for k in ks], TRAINED)
    return arms.agreed(of, f"{prefix}{UNTRAINED}", written, arms.outputs(of, ks, starts, TRAINED))


def together(of: World, starts: Sequence[BiEncoder], prefix: str, cycles: int) -> list[Measurement]:
    """Mutual distillation: the models average their labels."""
    ks, rows = range(len(starts)), []
    fit, pairs = arms.fitting(of, prefix), [of.trained(k) for k in ks]
    for stage in method.relay(starts, [of.raw(k) for k in ks], pairs, cycles, fit, of.score):
        if stage.cycle:
            rows += arms.measured(of, f"{prefix}{stage.form} {stage.cycle}", ks, stage.models)
    return rows


def on_own_scores(of: World, starts: Sequence[BiEncoder], name: str) -> list[Measurement]:
    """A bi stage on the start's own scores."""
    ks = range(len(starts))
    students = [baselines.own_scores(starts[k], of.trained(k), arms.fitting(of, f"{name}{k}-"), of.score) for k in ks]
    return arms.measured(of, name, ks, students)


def on_gold(of: World, starts: Sequence[BiEncoder]) -> list[Measurement]:
    """What no relay may do: both forms on gold labels, to see how far ahead the cross form could be."""
    ks, gold = range(len(starts)), torch.from_numpy(of.texts[TRAINED].similarity).float()
    gold, bis = gold / gold.max(), copy.deepcopy(list(starts))
    for k, bi in zip(ks, bis, strict=True):
        arms.fitting(of, f"{GOLD}bi {k}-")(bi, of.trained(k), gold, method.cosine_loss)
    rows = arms.measured(of, f"{GOLD}bi", ks, bis)
    for sight in ("", BLIND):
        name, crosses = f"{GOLD}{sight}cross", [of.raw(k, blind=bool(sight)) for k in ks]
        for k, cross in zip(ks, crosses, strict=True):
            fit = arms.fitting(of, f"{name} {k}-")
            fit(cross, of.trained(k).both_orders(), gold.repeat(2), method.soft_label_loss)
        rows += arms.measured(of, name, ks, crosses)
    return rows


def one(of: World, name: str, starts: Sequence[BiEncoder], cycles: int) -> list[Measurement]:
    """One family of arms, by its name in `Config.relays`."""
    if name.endswith(MUTUAL):
        return together(of, starts, name, cycles)
    if name == GOLD:
        return on_gold(of, starts)
    return on_own_scores(of, starts, name) if name.endswith(OWN) else alone(of, starts, name, cycles)


def dearer(of: World, sizes: Sequence[int] = (16, 64)) -> list[Measurement]:
    """How many times the CPU seconds of the bi form the cross form takes for all pairs of n sentences, untaught."""
    rows = speed.cost(of.plain(0), of.raw(0), of.trained(0).first, of.seed, sizes)
    seconds = {(row.method, row.setting): row.value for row in rows if row.metric == speed.SECONDS}
    places = dict.fromkeys(row.setting for row in rows)
    times = {place: seconds[speed.CROSS, place] / seconds[speed.BI, place] for place in places}
    return [Measurement(RATIO, speed.CROSS, place, of.seed, value) for place, value in times.items()]


def experiment(config: Config, seed: int, device: torch.device) -> list[Measurement]:
    """Every arm; a seed draws the pairs, what is held out, and all that is random in training."""
    of = config.world(seed, device)
    ks = range(len(of.models))
    wide = [arms.begin(of, k) for k in ks]
    rows = words(of) + arms.measured(of, RAW, ks, [of.plain(k) for k in ks])
    rows += dearer(of) if config.timed else []
    rows += arms.measured(of, START, ks, wide) + arms.measured(of, UNTRAINED, ks, [of.raw(k) for k in ks])
    narrow, best = zip(*[arms.narrow(of, k, config.width) for k in ks], strict=True)
    if any(name.startswith(NARROW) for name in config.relays):
        rows += arms.measured(of, f"{NARROW}{START}", ks, narrow) + arms.measured(of, PCA, ks, best)
    for name in config.relays:
        rows += one(of, name, narrow if name.startswith(NARROW) else wide, config.cycles)
    return rows


# ---------------------------------------------------------------- how it was chosen

FIRST = Recipes(
    start=Recipe(1, 64, 1e-4, amp=True), cross=Recipe(3, 32, 3e-4, amp=True), bi=Recipe(3, 64, 1e-4, amp=True),
    narrow=Recipe(3, 64, 1e-2, decay=0.0, amp=True), head="cosine", temperature=0.05,
)  # fmt: skip
GRID: dict[str, list[dict[str, Any]]] = {
    "start": [
        {"temperature": temperature, "start": replace(FIRST.start, lr=lr)}
        for temperature, lr in product((0.05, 0.2), (3e-5, 1e-4, 3e-4))
    ],
    "cross": [
        {"head": head, "cross": replace(FIRST.cross, lr=lr)}
        for head, lr in product(("cosine", "cls"), (1e-4, 3e-4, 1e-3))
    ],
    "bi": [
        {"bi": replace(FIRST.bi, epochs=epochs, lr=lr)} for epochs, lr in product((1, 3), (3e-5, 1e-4, 3e-4))
    ],
    "narrow": [
        {"narrow": replace(FIRST.narrow, epochs=epochs, lr=lr)}
        for epochs, lr in product((3, 10), (3e-3, 1e-2, 3e-2))
    ],
}  # fmt: skip


def described(candidate: Mapping[str, Any]) -> str:
    """A candidate in words."""
    recipes = [value for value in candidate.values() if isinstance(value, Recipe)]
    others = [f"{name} {value}" for name, value in candidate.items() if not isinstance(value, Recipe)]
    return ", ".join([*others, *(f"lr {recipe.lr:g}, {recipe.epochs} epochs" for recipe in recipes)])


def choose(config: Config, seed: int, device: torch.device) -> list[Measurement]:
    """Every candidate, judged by the gold of held-out pairs, as the paper judges by that of its development set.

    The start by itself; a cross on labels of the first start, a bi on that cross's labels; a narrow view on those of
    its own cross.
    """
    of, found = config.world(seed, device), []
    pairs, first = of.trained(0), arms.begin(of, 0)
    view, _ = arms.narrow(of, 0, config.width)

    def add(arm: str, candidate: dict[str, Any], model: method.Model) -> None:
        value = correlation(arms.outputs(of, [0], [model], HELD)[0], of.texts[HELD].similarity)
        found.append(Measurement(SPEARMAN, arm, described(candidate), seed, value))

    for candidate in GRID["start"]:
        add("start", candidate, arms.begin(tried(of, candidate), 0))
    for candidate in GRID["cross"]:
        add("cross", candidate, taught(tried(of, candidate), first))
    for arm, student in (("bi", first), ("narrow", view)):
        labels = method.labels_of_cross(of.score(taught(of, student), pairs))
        for candidate in GRID[arm]:
            bi = copy.deepcopy(student)
            arms.fitting(tried(of, candidate), arm)(bi, pairs, labels, method.cosine_loss)
            add(arm, candidate, bi)
    return found


def tried(of: World, candidate: Mapping[str, Any]) -> World:
    """The same world with a candidate in place of what is being chosen."""
    return replace(of, recipes=of.recipes._replace(**candidate))


def taught(of: World, teacher: BiEncoder) -> method.CrossEncoder:
    """The first cross of a relay."""
    cross, pairs = of.raw(0), of.trained(0)
    labels = method.labels_of_bi(of.score(teacher, pairs))
    arms.fitting(of, "choice")(cross, pairs.both_orders(), labels.repeat(2), method.soft_label_loss)
    return cross


def chosen(config: Config) -> dict[str, str]:
    """Arm -> the candidate that the configuration uses, in words."""
    used = config.recipes._asdict()
    return {arm: described({name: used[name] for name in candidates[0]}) for arm, candidates in GRID.items()}


def cost(config: Config, seed: int, device: torch.device) -> list[Measurement]:
    """What all pairs of n sentences cost with each form, untaught: teaching moves no second."""
    of = replace(config, trained=max(speed.SIZES)).world(seed, device)
    return speed.cost(of.plain(0), of.raw(0), of.trained(0).first, seed)


STUDY = Config.at("study")
MINILM = STUDY.recipes._replace(
    start=Recipe(1, 64, 5e-5, amp=True), cross=Recipe(1, 32, 5e-5, amp=True),
    bi=Recipe(2, 64, 5e-5, amp=True), temperature=0.05,
)  # fmt: skip
THOUSANDS = replace(
    STUDY, seeds=3, trained=2000, held=1000, cycles=3, timed=False,
    relays=(SELF, BLIND, OWN, MUTUAL, GOLD, NARROW, NARROW + BLIND, NARROW + OWN),
)  # fmt: skip
FURTHER = {
    "choice": Study(
        choose, replace(Config.at("laptop"), seeds=3, trained=400, held=800, recipes=FIRST), first_seed=100
    ),
    "rehearsal": Study(experiment, replace(STUDY, seeds=10), first_seed=300),
    "thousands": Study(experiment, THOUSANDS),
    "STS-B": Study(
        experiment, replace(THOUSANDS, data="stsb", cycles=1, models=("minilm-3",), recipes=MINILM,
                            relays=(SELF, BLIND, OWN, GOLD)),
    ),
    "cost": Study(cost, replace(STUDY, seeds=3)),
}  # fmt: skip

# What is cut for the runs that the tests repeat.
SMALL = {"trained": 24, "held": 12, "longest": 16}
BRIEF = Recipes(
    start=Recipe(1, 16, 3e-4, amp=True), cross=Recipe(1, 16, 3e-4, amp=True), temperature=0.2,
    bi=Recipe(1, 8, 3e-4, amp=True), narrow=Recipe(1, 8, 3e-2, decay=0.0, amp=True), head="cosine",
)  # fmt: skip
REDUCED: dict[str, dict] = {
    "ci": {**SMALL, "recipes": BRIEF},
    "choice": {"trained": 72, "held": 16, "longest": 12},
    "rehearsal": {**SMALL, "recipes": BRIEF},
    "thousands": {**SMALL, "recipes": BRIEF},
    "STS-B": {**SMALL, "recipes": BRIEF._replace(bi=Recipe(2, 8, 5e-5, amp=True), temperature=0.05)},
    "cost": {"longest": 16},
}
