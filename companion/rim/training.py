"""Builds and trains what is compared: every relevance, every activity, and every policy that meets a guarantee.

Networks and prices train in `method.fit_relevance` and `matching.minimize_dual`; here they get their data and settings.
`config` is the lesson's `experiment.Config`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from companion.rim import baselines, matching, method
from companion.rim.data import STATE, ExperimentData, Split, shuffle_gaps
from companion.rim.method import Exposure, NextItemModel

POPULARITY, GRU, ALS, TRANSFORMER = "item popularity", "GRU", "ALS", "transformer"
RAW = "ALS, raw"
NONE, USER, EMA, EMA_TUNED, HAWKES, HP, ORACLE = (
    "none", "user popularity", "EMA", "EMA, tuned", "Hawkes", "HP", "oracle",
)  # fmt: skip
ACTIVITIES = (NONE, USER, EMA, EMA_TUNED, HAWKES, HP, ORACLE)
SHUFFLED = "HP, times shuffled"
TOP_K, DUAL_P, DUAL_RIM, GREEDY_P, GREEDY_RIM, WRONG_PRICES = (
    "top k", "dual, relevance", "dual, RIM", "greedy, relevance", "greedy, RIM", "dual, RIM, prices shuffled",
)  # fmt: skip


# ---------------------------------------------------------------- relevance


def network_relevance(split: Split, name: str, config: Any, seed: int) -> Tensor:
    """log p(y | x) of a trained network at the state of every user, (U, num_items) float64."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    sizes, dropout = (split.num_items, config.hidden_dim), config.train[name].dropout
    if name == GRU:
        model: NextItemModel = method.GRUModel(*sizes, config.num_layers, dropout)
    else:
        model = baselines.TransformerModel(*sizes, config.max_length, dropout)
    model = model.to(split.items.device)
    lengths = split.training_lengths(config.exclude_future)
    method.fit_relevance(model, split.items, lengths, config.train[name], config.max_length, generator)
    return method.log_relevance(model, split.items, split.events_before, config.max_length)


def als_scores(split: Split, config: Any, seed: int) -> Tensor:
    """Scores of matrix factorization on the training events, (U, num_items) float64, about 1 for those pairs."""
    seen = torch.zeros(len(split.items), split.num_items, dtype=torch.bool, device=split.items.device)
    seen[split.training_events()] = True
    return baselines.als(seen, config.als_factors, config.als_weight, torch.Generator().manual_seed(seed))


def to_power(log_p: Tensor, power: float) -> Tensor:
    """log of p to a power, normalized over items again: (U, num_items); the order within a row is unchanged."""
    return (power * log_p).log_softmax(1)


def relevances(split: Split, config: Any, seed: int) -> tuple[dict[str, Tensor], Tensor]:
    """Name -> log p(y | x) of the compared relevances, (U, num_items) each; and the raw scores of ALS."""
    raw = als_scores(split, config, seed)
    log_p = {POPULARITY: baselines.item_popularity(split.item_counts(), len(split.items))}
    for name in config.networks:
        log_p[name] = to_power(network_relevance(split, name, config, seed), config.power[name])
    return log_p | {ALS: to_power(raw, config.power[ALS])}, raw


# ---------------------------------------------------------------- activity


def hawkes(times: Tensor, config: Any) -> Tensor:
    """lambda(x) of every user at the state, (U,), fitted on all events before it; times (U, L)."""
    scales = method.decay_scales(config.hawkes_smallest_scale, config.largest_scale, config.num_scales).to(times.device)
    weights = method.fit_hawkes(times, scales, STATE, config.em_steps)
    return method.hawkes_states(times, scales, STATE) @ weights


def hawkes_poisson(split: Split, times: Tensor, config: Any) -> Tensor:
    """HP: expected events in the window, (U,), fitted on group A; times (U, L) are the split's, or shuffled."""
    scales = method.decay_scales(config.smallest_scale, config.largest_scale, config.num_scales).to(times.device)
    phi, a = method.hawkes_states(times, scales, STATE), split.group_a
    return phi @ method.fit_hawkes_poisson(phi[a], split.events_after[a].double(), config.em_steps, config.ridge)


def activities(split: Split, config: Any, seed: int) -> dict[str, Tensor]:
    """Name -> activity at the state of each user, (U,); the oracle is the number of events in the window."""
    times, generator = split.times, torch.Generator().manual_seed(seed)
    return {
        NONE: torch.ones_like(times[:, 0]),
        USER: baselines.user_popularity(times, STATE),
        EMA: baselines.decayed_count(times, STATE, scale=1.0),
        EMA_TUNED: baselines.decayed_count(times, STATE, config.ema_scale),
        HAWKES: hawkes(times, config),
        HP: hawkes_poisson(split, times, config),
        ORACLE: split.events_after.double(),
        SHUFFLED: hawkes_poisson(split, shuffle_gaps(times, generator), config),
    }


# ---------------------------------------------------------------- policies that meet an exposure guarantee


def learn_item_prices(past: ExperimentData, log_p: Tensor, activity: Tensor, config: Any, least: int) -> Tensor:
    """Prices of the items, (m,), from past states; log_p (U, num_items), activity (U,). Seen pairs score 0."""
    scores = past.log_scores(log_p, activity).exp()
    return matching.item_prices(scores, past.k, Exposure(least), config.epsilons, config.price_iterations)


def assign(
    past: ExperimentData, test: ExperimentData, log_p: Tensor, activity: Tensor, config: Any, least: int, seed: int
) -> dict[str, Tensor]:
    """Policy -> the items shown to each test state, (n, m) bool; prices are learned on `past` and used on `test`."""
    constant, order = torch.ones_like(activity), test.item_order
    chosen = {TOP_K: method.top_rows(test.log_scores(log_p, constant), test.k, order)}
    for dual, greedy, factor in ((DUAL_P, GREEDY_P, constant), (DUAL_RIM, GREEDY_RIM, activity)):
        scores = test.log_scores(log_p, factor).exp()
        prices = learn_item_prices(past, log_p, factor, config, least)
        chosen[dual] = matching.serve(scores, prices, test.seen, test.k, order)
        chosen[greedy] = baselines.greedy(scores.masked_fill(test.seen, -torch.inf), test.k, Exposure(least))
        if dual == DUAL_RIM:  # ablation test: the same prices for the wrong items
            shuffle = torch.randperm(len(prices), generator=torch.Generator().manual_seed(seed)).to(prices.device)
            chosen[WRONG_PRICES] = matching.serve(scores, prices[shuffle], test.seen, test.k, order)
    return chosen
