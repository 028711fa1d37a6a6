"""Recurrent intensity modeling: which film for this user, and which user for this film, from one matrix."""

from companion.rim import baselines, blocks, checks, figures, intensity, matching, speed
from companion.rim.arms import ACTIVITIES, activities, draw, factorise, load, most_trained, network, powered, relevances
from companion.rim.experiment import FURTHER, Config, experiment, item_rec, learn, user_rec
from companion.rim.intensity import compensator, decay_scales, em_step, excitation, fit_hawkes, fit_hawkes_poisson
from companion.rim.matching import Exposure, dual, greedy, prices, row_prices, serve, shortfall
from companion.rim.method import (
    NextItem,
    Recurrent,
    fit_relevance,
    log_relevance,
    log_scores,
    next_item_loss,
    precision,
    top_columns,
    top_rows,
)
from companion.rim.split import make_split, shuffled_gaps
from companion.rim.worlds import simulate

__all__ = [
    "ACTIVITIES",
    "FURTHER",
    "Config",
    "Exposure",
    "NextItem",
    "Recurrent",
    "activities",
    "baselines",
    "blocks",
    "checks",
    "compensator",
    "decay_scales",
    "draw",
    "dual",
    "em_step",
    "excitation",
    "experiment",
    "factorise",
    "figures",
    "fit_hawkes",
    "fit_hawkes_poisson",
    "fit_relevance",
    "greedy",
    "intensity",
    "item_rec",
    "learn",
    "load",
    "log_relevance",
    "log_scores",
    "make_split",
    "matching",
    "most_trained",
    "network",
    "next_item_loss",
    "powered",
    "precision",
    "prices",
    "relevances",
    "row_prices",
    "serve",
    "shortfall",
    "shuffled_gaps",
    "simulate",
    "speed",
    "top_columns",
    "top_rows",
    "user_rec",
]
