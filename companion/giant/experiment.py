"""The experiment: features from every arm, judged by the same classifiers; and how well neighbourhoods are foretold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, ClassVar

import torch
from sklearn.metrics import adjusted_mutual_info_score
from torch import Tensor

from companion.giant import arms, method, scaling, training
from companion.giant.arms import FLAT, FROZEN, GIANT, LINK, OWN, PLAIN, RANDOM, TFIDF, Budget, Clusters, Links, World
from companion.giant.downstream import GCN_NAME, MLP_NAME, Downstream, Split, accuracy, classify, make_split
from companion.lab.evidence import Measurement
from companion.lab.config import BaseConfig
from companion.lab.config import Study

ACCURACY, GAP, PRECISION, ALIGNMENT = "accuracy", "MLP behind GCN", "precision@1", "agreement with labels"
TUNED = (GIANT, RANDOM, FLAT, PLAIN, LINK)
WITH_GCN = (FROZEN, GIANT)
EVERY = (TFIDF, *WITH_GCN, RANDOM, FLAT, PLAIN, LINK, OWN)
CHANCE = "chance"


@dataclass(frozen=True)
class Config(BaseConfig):
    """All sizes of the lesson. What was chosen was chosen on validation nodes of other seeds (see `choose`)."""

    seeds: int = 6
    data: str = "wordnet"
    min_count: int = 3
    encoder: str = "minilm"
    pieces: int = 64
    per_class: int = 20
    validation: int = 500
    splits: int = 3
    watched: float = 0.05
    cap: int = 1000
    budget: Budget = Budget()
    giant: Clusters = Clusters((3, 5), 3e-3)
    flat: Clusters = Clusters((4,), 3e-3)
    link: Links = Links(3.0, 3e-3)
    mlp: Downstream = Downstream(weight_decay=5e-3, dropout=0.6)
    gcn: Downstream = Downstream(weight_decay=5e-3, dropout=0.3)
    tuned: tuple[str, ...] = TUNED
    with_gcn: tuple[str, ...] = WITH_GCN

    SIZES: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "ci": {
            "seeds": 2, "min_count": 5, "encoder": "bag", "budget": Budget(passes=2, adapter=32, rank=32),
            "mlp": Downstream(epochs=10), "gcn": Downstream(epochs=10),
        },
        "study": {"seeds": 10},
        "paper": {
            "seeds": 3, "data": "ogbn_arxiv_text", "encoder": "bert-base-uncased", "pieces": 128, "per_class": 500,
            "validation": 5000, "giant": Clusters((5, 7, 9, 11), 6e-5), "flat": Clusters((11,), 6e-5),
            "link": Links(3.0, 6e-5), "budget": Budget(passes=4, batch=32, rank=256, layers=arms.ALL, amp=True),
            "mlp": Downstream(hidden=256, epochs=300), "gcn": Downstream(hidden=256, epochs=300),
        },
    }  # fmt: skip

    def world(self) -> World:
        """The graph of this configuration, with all that its seeds share."""
        return arms.world(self.data, self.min_count, self.encoder, self.pieces, self.budget.rank)

    def choice(self, arm: str) -> Clusters | Links:
        """What an arm uses; whatever is done to GIANT's tree or heads happens in GIANT's own setting."""
        chosen: dict[str, Clusters | Links] = {LINK: self.link, FLAT: self.flat}
        return chosen.get(arm, self.giant)


# ---------------------------------------------------------------- what is measured


def splits(world: World, config: Config, seed: int) -> list[Split]:
    """The label splits of a seed, which no other seed has."""
    drawn = range(config.splits * seed, config.splits * (seed + 1))
    return [make_split(world.graph.labels, config.per_class, config.validation, each) for each in drawn]


def judged(
    features: Tensor, world: World, parts: Sequence[Split], aim: str, arm: str, config: Config, seed: int
) -> list[Measurement]:
    """Accuracy on the `aim` ("test" or "validation") of an MLP, the mean over splits, and of a GCN on the first split.

    The GCN is trained for those arms that have one; the gap is how far the MLP is behind it on the same split.
    """

    def score(split: Split, kind: str, recipe: Downstream) -> float:
        scores = classify(features, world.graph, split, kind, recipe, seed)
        return accuracy(scores, world.graph.labels, getattr(split, aim))

    each = [score(split, MLP_NAME, config.mlp) for split in parts]
    rows = [Measurement(ACCURACY, arm, MLP_NAME, seed, sum(each) / len(each))]
    if arm in config.with_gcn:
        gcn = score(parts[0], GCN_NAME, config.gcn)
        rows += [Measurement(ACCURACY, arm, GCN_NAME, seed, gcn), Measurement(GAP, arm, "", seed, gcn - each[0])]
    return rows


def foretold(world: World, arm: str, tuned: arms.Tuned, watched: Tensor, seed: int) -> list[Measurement]:
    """Precision@1 in per cent at each level, on nodes whose texts were never trained on."""
    rows = []
    for level, learnt in enumerate(tuned.levels, start=1):
        counts = method.level_targets(world.links, tuned.grown, level)
        setting = f"{learnt.clusters} clusters"
        rows.append(Measurement(PRECISION, arm, setting, seed, training.precision(learnt, counts, watched)))
        if arm == GIANT:
            luck = 100 * float((method.dense(counts, watched) > 0).float().mean())
            rows.append(Measurement(PRECISION, CHANCE, setting, seed, luck))
    return rows


def alignment(world: World, arm: str, tuned: arms.Tuned, seed: int) -> list[Measurement]:
    """Adjusted mutual information of clusters and labels in per cent; 0 is what random clusters have."""
    labels = world.graph.labels
    known, rows = labels >= 0, []
    for level, learnt in enumerate(tuned.levels, start=1):
        value = adjusted_mutual_info_score(labels[known].numpy(), tuned.grown.cluster(level)[known].numpy())
        rows.append(Measurement(ALIGNMENT, arm, f"{learnt.clusters} clusters", seed, 100 * float(value)))
    return rows


def measure(config: Config, seed: int, aim: str) -> list[Measurement]:
    """Every arm on this seed's splits, judged on their "test" or "validation" nodes."""
    world = config.world()
    parts = splits(world, config, seed)
    rows, watched = arms.instances(world.links, config.watched, config.cap, seed)
    found = judged(world.tfidf, world, parts, aim, TFIDF, config, seed)
    found += judged(world.vectors, world, parts, aim, FROZEN, config, seed)
    for arm in config.tuned:
        tuned = arms.tune(world, arm, config.choice(arm), config.budget, rows, seed)
        found += judged(arms.features(tuned.encoder, len(world.vectors)), world, parts, aim, arm, config, seed)
        if arm in (GIANT, RANDOM):
            found += foretold(world, arm, tuned, watched, seed) + alignment(world, arm, tuned, seed)
    still = arms.tune(world, FROZEN, config.giant, config.budget, rows, seed)
    return found + foretold(world, FROZEN, still, watched, seed)


def experiment(config: Config, seed: int, device: torch.device) -> list[Measurement]:
    """All arms on test nodes; a seed draws splits, tree, adapter, heads, batches and classifiers."""
    return measure(config, seed, "test")


def rehearse(config: Config, seed: int, device: torch.device) -> list[Measurement]:
    """The same on validation nodes alone: the bounds of the claims were fixed on it, with seeds of its own."""
    return measure(config, seed, "validation")


def layers(config: Config, seed: int, device: torch.device) -> list[Measurement]:
    """The last layers themselves, with, without bootstrap and on a random tree: an encoder a seed, three splits each.

    A measurement's seed is 3 x (the encoder's) + (the split's); the three splits of an encoder share its features.
    """
    world, found = config.world(), []
    rows = arms.instances(world.links, config.watched, config.cap, seed)[0]
    made = {FROZEN: world.vectors}
    for arm in config.tuned:
        encoder = arms.tune(world, arm, config.choice(arm), config.budget, rows, seed).encoder
        made[arm] = arms.features(encoder, len(world.vectors))
    for place, (arm, features) in product(range(config.splits), made.items()):
        split = make_split(world.graph.labels, config.per_class, config.validation, place)
        found += judged(features, world, [split], "test", arm, config, config.splits * seed + place)
    return found


def cost(config: Config, seed: int, device: torch.device) -> list[Measurement]:
    """CPU seconds and memory of PIFA, tree and targets against the number of nodes."""
    return scaling.growth(seed)


# ---------------------------------------------------------------- how it was chosen

RATES = (1e-3, 3e-3)
GRID: dict[str, list[Any]] = {
    GIANT: [Clusters(depths, lr) for depths, lr in product(((3, 5), (2, 4, 6), (4, 6), (5, 7, 9)), RATES)],
    FLAT: [Clusters((depth,), lr) for depth, lr in product((4, 5, 6, 9), RATES)],
    LINK: [Links(sharpness, lr) for sharpness, lr in product((1.0, 3.0, 10.0, 30.0), RATES)],
}
CLASSIFIERS = [
    Downstream(lr=lr, weight_decay=decay, dropout=dropout)
    for lr, decay, dropout in product((3e-3, 1e-2), (5e-4, 5e-3), (0.3, 0.6))
]


def described(recipe: Downstream) -> str:
    """A classifier's candidate in words."""
    return f"lr {recipe.lr:g}, decay {recipe.weight_decay:g}, dropout {recipe.dropout:g}"


def choose(config: Config, seed: int, device: torch.device) -> list[Measurement]:
    """Every candidate on validation nodes; the classifiers' own settings on the frozen features, in their favour."""
    world = config.world()
    split = make_split(world.graph.labels, config.per_class, config.validation, seed)
    rows, found = arms.instances(world.links, config.watched, config.cap, seed)[0], []

    def add(arm: str, name: str, features: Tensor, kind: str, recipe: Downstream) -> None:
        scores = classify(features, world.graph, split, kind, recipe, seed)
        value = accuracy(scores, world.graph.labels, split.validation)
        found.append(Measurement(ACCURACY, arm, name, seed, value))

    for kind, recipe in product((MLP_NAME, GCN_NAME), CLASSIFIERS):
        add(f"{FROZEN}, {kind}", described(recipe), world.vectors, kind, recipe)
    for arm, candidates in GRID.items():
        for candidate in candidates:
            tuned = arms.tune(world, arm, candidate, config.budget, rows, seed)
            add(arm, str(candidate), arms.features(tuned.encoder, len(world.vectors)), MLP_NAME, config.mlp)
    return found


def chosen(config: Config) -> dict[str, str]:
    """Arm -> the candidate that the configuration uses, in words."""
    found = {arm: str(config.choice(arm)) for arm in GRID}
    return found | {f"{FROZEN}, {kind}": described(r) for kind, r in ((MLP_NAME, config.mlp), (GCN_NAME, config.gcn))}


STUDY = Config.at("study")
LAYERS = replace(
    STUDY, seeds=2, min_count=5, pieces=24, tuned=(GIANT, PLAIN, RANDOM), with_gcn=(FROZEN, GIANT, PLAIN, RANDOM),
    giant=STUDY.giant._replace(lr=2e-4),
    budget=Budget(passes=len(STUDY.giant.depths), batch=64, layers=2, amp=True, head_lr=1e-3),
)  # fmt: skip
FURTHER = {
    "choice": Study(
        choose, replace(Config.at("laptop"), seeds=3, validation=3000, mlp=Downstream(), gcn=Downstream(),
                        giant=GRID[GIANT][0], flat=GRID[FLAT][0], link=GRID[LINK][0]), first_seed=100,
    ),
    "rehearsal": Study(rehearse, replace(STUDY, seeds=10, validation=3000), first_seed=300),
    "wider": Study(experiment, replace(STUDY, seeds=5, tuned=(*TUNED, OWN), with_gcn=EVERY)),
    "Cora": Study(experiment, replace(STUDY, data="cora_text", pieces=48, seeds=3)),
    "layers": Study(layers, LAYERS),
    "cost": Study(cost, replace(STUDY, seeds=1)),
}  # fmt: skip

# What is cut for the runs that the tests repeat.
SMALL = {name: value for name, value in Config.SIZES["ci"].items() if name != "seeds"}
REDUCED = {
    "ci": {},
    "choice": {**SMALL, "validation": 1000},
    "rehearsal": {**SMALL, "validation": 1000},
    "wider": SMALL,
    "Cora": {**SMALL, "pieces": 24},
    "layers": {
        "min_count": 30, "pieces": 8, "per_class": 5, "validation": 50, "budget": LAYERS.budget._replace(passes=2),
        "mlp": SMALL["mlp"], "gcn": SMALL["gcn"],
    },
    "cost": {},
}  # fmt: skip
