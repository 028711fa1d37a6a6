"""The arms: every relevance and every activity at the state of each user, from one split."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from companion.data.ratings import Interactions, ml1m, ml100k, ml_latest_small
from companion.errors import CompanionError
from companion.rim import baselines, intensity
from companion.rim.baselines import ALSRecipe
from companion.rim.method import Recipe, Recurrent, Training, budget, fit_relevance, log_relevance, log_scores
from companion.rim.split import STATE, Half, Split, make_split, shuffled_gaps

POPULARITY, GRU, ALS, TRANSFORMER = "item popularity", "GRU", "ALS", "transformer"
NONE, USER, EMA, EMA_CHOSEN, HAWKES, HP, ORACLE = (
    "none", "user popularity", "EMA", "EMA, chosen", "Hawkes", "HP", "oracle",
)  # fmt: skip
ACTIVITIES = (NONE, USER, EMA, EMA_CHOSEN, HAWKES, HP, ORACLE)
SHUFFLED = "HP, times shuffled"
SETS = {"ml100k": ml100k, "ml1m": ml1m, "ml_latest_small": ml_latest_small}
NETWORKS = {GRU: Recurrent, TRANSFORMER: baselines.Attentive}


class Clock(NamedTuple):
    """What the activities are told: scales in horizons, EM steps, and what was chosen for each."""

    smallest: float = 1e-3
    largest: float = 10.0
    kernels: int = 9
    steps: int = 100
    ema: float = 0.1
    hawkes_smallest: float = 0.1
    ridge: float = 0.0


class Choices(NamedTuple):
    """Of each relevance the recipe, and the power to which p(y | x) is raised; the defaults are a start, not chosen."""

    gru: Recipe = Recipe(1.2e-2, 4)
    transformer: Recipe = Recipe(3e-3, 4)
    als: ALSRecipe = ALSRecipe(16, 30.0)
    gru_power: float = 1.0
    transformer_power: float = 1.0
    als_power: float = 5.0


@dataclass(frozen=True)
class Task:
    """A split, and what is asked of it: test states, test films, events, seen pairs, budgets, orders of ties."""

    split: Split
    states: Tensor
    films: Tensor
    targets: Tensor
    seen: Tensor
    k: int
    c: int
    film_order: Tensor
    state_order: Tensor

    def table(self, log_p: Tensor, activity: Tensor) -> Tensor:
        """log-scores of the test states and test films, (n, m), seen pairs masked last; log_p (U, .), activity (U,)."""
        log_s = log_scores(log_p[self.states][:, self.films], activity[self.states])
        return log_s.masked_fill(self.seen, -torch.inf)


def load(name: str) -> Interactions:
    """The events of a set; an unknown name is told the known ones."""
    if name not in SETS:
        raise CompanionError(f"data = {name!r} is not known; use one of {', '.join(SETS)}.")
    return SETS[name]()


def make_task(split: Split, states: Tensor, films: Tensor, seed: int) -> Task:
    """Ask for the given states (n,) and films (m,); one per cent of films a state, and of states a film."""
    generator = torch.Generator().manual_seed(seed)
    orders = [torch.randperm(len(x), generator=generator).to(states.device) for x in (films, states)]
    tables = (split.targets(states)[:, films], split.seen(states)[:, films])
    return Task(split, states, films, *tables, budget(len(films)), budget(len(states)), *orders)


def draw(data: str, half: Half, seed: int, device: torch.device) -> Task:
    """The task of one seed: the states of group B, and the films that some training event has."""
    split = make_split(load(data), half, seed).to(device)
    films = torch.nonzero(split.popularity() > 0).squeeze(1)
    return make_task(split, torch.nonzero(~split.group_a).squeeze(1), films, seed)


# ---------------------------------------------------------------- relevance


def network(split: Split, name: str, recipe: Recipe, training: Training, seed: int, clean: bool = False) -> Tensor:
    """log p(y | x) of a trained network at the state of every user, (U, films)."""
    torch.manual_seed(seed)
    device, generator = split.items.device, torch.Generator().manual_seed(seed)
    model = NETWORKS[name](split.films, training).to(device)
    fit_relevance(model, split.items, split.training(clean), recipe, training, generator)
    return log_relevance(model, split.items, split.before, training.longest)


def factorise(split: Split, recipe: ALSRecipe, seed: int) -> Tensor:
    """Raw scores of matrix factorisation on the training events, (U, films), about 1 for what was seen."""
    places = torch.arange(split.items.shape[1], device=split.items.device)
    read = places < split.training().unsqueeze(1)
    seen = torch.zeros(len(split.items), split.films, dtype=torch.bool, device=read.device)
    seen[torch.nonzero(read)[:, 0], split.items[read]] = True
    return baselines.als(seen, recipe, torch.Generator().manual_seed(seed))


def powered(log_p: Tensor, power: float) -> Tensor:
    """p to a power, normalised over films again: (U, films); the order within a row stays."""
    return (power * log_p).log_softmax(1)


# ---------------------------------------------------------------- activity


def hawkes(times: Tensor, smallest: float, clock: Clock) -> Tensor:
    """lambda of every user at the state, (U,), fitted on all events before it."""
    scales = intensity.decay_scales(smallest, clock.largest, clock.kernels).to(times.device)
    weights = intensity.fit_hawkes(times, scales, STATE, clock.steps)
    return intensity.states(times, scales, STATE) @ weights


def hawkes_poisson(split: Split, times: Tensor, clock: Clock) -> Tensor:
    """Expected events in the window, (U,), fitted on group A; times (U, L) are the split's, or shuffled."""
    scales = intensity.decay_scales(clock.smallest, clock.largest, clock.kernels).to(times.device)
    phi, a = intensity.states(times, scales, STATE), split.group_a
    return phi @ intensity.fit_hawkes_poisson(phi[a], split.after[a].double(), clock.steps, clock.ridge)


def activities(split: Split, clock: Clock, seed: int) -> dict[str, Tensor]:
    """Every activity at the state of each user, (U,); the oracle knows the number of events to come."""
    times, generator = split.times, torch.Generator().manual_seed(seed)
    return {
        NONE: torch.ones_like(times[:, 0]),
        USER: baselines.user_popularity(times, STATE),
        EMA: baselines.moving_average(times, STATE, 1.0),
        EMA_CHOSEN: baselines.moving_average(times, STATE, clock.ema),
        HAWKES: hawkes(times, clock.hawkes_smallest, clock),
        HP: hawkes_poisson(split, times, clock),
        ORACLE: split.after.double(),
        SHUFFLED: hawkes_poisson(split, shuffled_gaps(times, generator), clock),
    }


def relevances(
    split: Split,
    networks: Mapping[str, tuple[Recipe, float]],
    choices: Choices,
    training: Training,
    seed: int,
    clean: bool,
) -> tuple[dict[str, Tensor], Tensor]:
    """Normalised relevances, (U, films) each, and the raw scores of matrix factorisation."""
    raw = factorise(split, choices.als, seed)
    found = {POPULARITY: baselines.popularity(split.popularity(), len(split.items))}
    for name, (recipe, power) in networks.items():
        found[name] = powered(network(split, name, recipe, training, seed, clean), power)
    return found | {ALS: powered(raw, choices.als_power)}, raw


def most_trained(task: Task, count: int, k: int) -> tuple[Task, Task]:
    """The same question about the `count` most trained films, of group A and of the test states; k films a state."""
    films = task.split.popularity().topk(min(count, len(task.films))).indices
    groups = torch.nonzero(task.split.group_a).squeeze(1), task.states
    past, fresh = (make_task(task.split, states, films, 0) for states in groups)
    return replace(past, k=k), replace(fresh, k=k)
