"""The arms: every way of scoring a pair that the lesson compares, made on the same pairs with the same recipes."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from companion.data.glosses import SentencePairs, gloss_pairs
from companion.data.stsb import stsb
from companion.errors import CompanionError
from companion.lab.evidence import Measurement
from companion.trans_encoder import baselines, method, training
from companion.trans_encoder.evaluate import correlation
from companion.trans_encoder.method import BiEncoder, CrossEncoder, Model, Pairs
from companion.trans_encoder.starts import Start, language_model
from companion.trans_encoder.training import Recipe

SPEARMAN, AGREEMENT, TRAINED, HELD = "Spearman", "agreement with teacher", "trained pairs", "held-out pairs"
TFIDF, RAW, START, UNTRAINED, OWN = "TF-IDF", "raw mean", "start", "untrained cross", "own scores"
SELF, MUTUAL, NARROW, BLIND, SHUFFLED, PAIR = "", "mutual ", "narrow ", "blind ", "shuffled ", "pair of "
GOLD, PCA = "gold ", "PCA"
HEAD_SEED = 1000


class Recipes(NamedTuple):
    """How each kind of stage is trained, which head a cross-encoder has, and the temperature of SimCSE."""

    start: Recipe
    cross: Recipe
    bi: Recipe
    narrow: Recipe
    head: str = "cosine"
    temperature: float = 0.05


@dataclass(frozen=True)
class World:
    """What the arms of a seed share: texts with gold for evaluation alone, and the pairs as each model reads them.

    folder: where the trained models of a long run are kept, stage by stage, or None. tuned: starts that others have
    tuned for sentences, one a model, in place of ours.
    """

    models: tuple[Start, ...]
    texts: dict[str, SentencePairs]
    read: tuple[dict[str, Pairs], ...]
    recipes: Recipes
    seed: int
    device: torch.device
    folder: Path | None = None
    tuned: tuple[Start, ...] = ()

    def trained(self, k: int) -> Pairs:
        """The pairs to learn from, as the k-th model reads them."""
        return self.read[k][TRAINED]

    def score(self, model: Model, pairs: Pairs) -> Tensor:
        """What a form makes of pairs, (n,)."""
        return training.score(model, pairs, self.recipes.cross.amp)

    def raw(self, k: int, blind: bool = False) -> CrossEncoder:
        """The k-th language model as a cross-encoder that nobody has taught."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(HEAD_SEED + self.seed)
            start = self.models[k]
            return CrossEncoder(copy.deepcopy(start.encoder), start.width, self.recipes.head, blind).to(self.device)

    def plain(self, k: int) -> BiEncoder:
        """The k-th language model as a bi-encoder that nobody has taught."""
        return BiEncoder(copy.deepcopy(self.models[k].encoder)).to(self.device)


def load(data: str, trained: int, held: int, seed: int) -> dict[str, SentencePairs]:
    """Setting -> pairs drawn by seed: "glosses", no definition in both; "stsb", training pairs and those of dev."""
    if data == "glosses":
        parts = gloss_pairs([trained, held], seed)
    elif data == "stsb":
        parts = [drawn(stsb("train"), trained, seed), drawn(stsb("dev"), held, seed)]
    else:
        raise CompanionError(f"data = {data!r} is not known; use glosses or stsb.")
    return dict(zip((TRAINED, HELD), parts, strict=True))


def drawn(pairs: SentencePairs, size: int, seed: int) -> SentencePairs:
    """`size` of the pairs by seed, or all of them if there are fewer."""
    rows = torch.randperm(len(pairs.first), generator=torch.Generator().manual_seed(seed))[:size].tolist()
    return SentencePairs([pairs.first[i] for i in rows], [pairs.second[i] for i in rows], pairs.similarity[rows])


def world(
    texts: dict[str, SentencePairs], names: Sequence[str], longest: int, recipes: Recipes, seed: int,
    device: torch.device, folder: Path | None = None, tuned: Sequence[str] = (),
) -> World:  # fmt: skip
    """Read pairs with every language model of a list."""
    models = tuple(language_model(name, longest) for name in names)
    read = tuple({name: model.pairs(found).to(device) for name, found in texts.items()} for model in models)
    others = tuple(language_model(name, longest) for name in tuned)
    return World(models, texts, read, recipes, seed, device, folder, others)


# ---------------------------------------------------------------- training


def fitting(of: World, arm: str) -> method.Fit:
    """How an arm trains: each form by its recipe; its models are kept in the world's folder, if it has one."""
    stages = iter(range(1000))

    def fit(model: Model, pairs: Pairs, labels: Tensor, loss: training.Loss) -> None:
        recipe = recipe_of(of, model)
        _kept(of, model, f"{arm}{next(stages)}-", lambda: training.fit(model, pairs, labels, loss, recipe, of.seed))

    return fit


def recipe_of(of: World, model: Model) -> Recipe:
    """The recipe of a cross-encoder, of a bi-encoder, or of one whose view is narrow."""
    if isinstance(model, CrossEncoder):
        return of.recipes.cross
    return of.recipes.narrow if isinstance(model.encoder, baselines.Narrow) else of.recipes.bi


def begin(of: World, k: int) -> BiEncoder:
    """The start: the k-th model after SimCSE on the sentences of the pairs to learn from, or as others tuned it."""
    if of.tuned:
        return BiEncoder(copy.deepcopy(of.tuned[k].encoder)).to(of.device)
    bi, pairs = of.plain(k), of.trained(k)
    sentences, recipes = [*pairs.first, *pairs.second], of.recipes
    _kept(of, bi, f"start-{k}-", lambda: training.contrast(bi, sentences, recipes.start, of.seed, recipes.temperature))
    return bi


def narrow(of: World, k: int, width: int) -> tuple[BiEncoder, BiEncoder]:
    """The k-th model seen through `width` random directions, and through as many principal ones (PCA), centred.

    Both are found on the sentences of the pairs to learn from; neither has been trained.
    """
    bi, pairs = of.plain(k), of.trained(k)
    found = baselines.vectors(bi, [*pairs.first, *pairs.second])
    centre, start = found.mean(0), of.models[k]
    views = baselines.random_directions(start.width, width, of.seed), baselines.principal_directions(found.cpu(), width)
    drawn_view, best_view = (BiEncoder(baselines.Narrow(bi.encoder, centre, view.to(of.device))) for view in views)
    return drawn_view, best_view


def _kept(of: World, model: Model, name: str, train: Callable[[], None]) -> None:
    if of.folder is None:
        train()
    else:
        training.kept(model, of.folder / f"{name.replace(' ', '-')}seed-{of.seed}.pt", train)


# ---------------------------------------------------------------- measuring


def outputs(of: World, ks: Sequence[int], models: Sequence[Model], setting: str) -> list[Tensor]:
    """Each model's scores of a setting's pairs, (n,), in [0, 1] for a cross-encoder."""
    raw = [of.score(model, of.read[k][setting]) for k, model in zip(ks, models, strict=True)]
    return [
        each.sigmoid() if isinstance(model, CrossEncoder) else each for each, model in zip(raw, models, strict=True)
    ]


def measured(of: World, arm: str, ks: Sequence[int], models: Sequence[Model]) -> list[Measurement]:
    """Spearman x 100 on both settings: the mean over models, and where there are several that of their mean score."""
    rows = []
    for setting, texts in of.texts.items():
        found = outputs(of, ks, models, setting)
        each = [correlation(scores, texts.similarity) for scores in found]
        rows.append(Measurement(SPEARMAN, arm, setting, of.seed, sum(each) / len(each)))
        if len(found) > 1:
            both = correlation(method.together(found), texts.similarity)
            rows.append(Measurement(SPEARMAN, f"{PAIR}{arm}", setting, of.seed, both))
    return rows


def agreed(of: World, arm: str, labels: Sequence[Tensor], before: Sequence[Tensor]) -> list[Measurement]:
    """Spearman x 100 of what students and their teachers wrote: a choice of the cycle that needs no gold."""
    each = [correlation(one, other) for one, other in zip(labels, before, strict=True)]
    return [Measurement(AGREEMENT, arm, TRAINED, of.seed, sum(each) / len(each))]
