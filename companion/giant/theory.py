"""A world in which one can calculate when neighbours help: the contextual stochastic block model.

symbol       identifier  meaning
p, q         within, between   probability of an edge inside a class, and across
m            homophily   (p - q) / (p + q)
|mu|         signal      length of the class mean +-mu
sigma        noise       deviation of each coordinate of a feature
d            neighbours  how many neighbours are averaged
"""

from __future__ import annotations

import numpy as np
from scipy.stats import norm


def raw_error(signal: float, noise: float) -> float:
    """Error of the best classifier of a node's own feature: Phi(-|mu| / sigma)."""
    return float(norm.cdf(-signal / noise))


def neighbour_error(signal: float, noise: float, homophily: float, neighbours: float) -> float:
    """Error with the mean of d neighbours' features instead, in the normal approximation (good from d = 10 on).

    Along mu that mean has expectation +-m |mu| and variance (sigma^2 + (1 - m^2) |mu|^2) / d.
    """
    spread = np.sqrt((noise**2 + (1 - homophily**2) * signal**2) / neighbours)
    return float(norm.cdf(-homophily * signal / spread))


def simulated_error(
    signal: float, noise: float, homophily: float, neighbours: int, draws: int, rng: np.random.Generator
) -> float:
    """The same by drawing: a neighbour is of one's class with probability (1 + m) / 2."""
    same = rng.random((draws, neighbours)) < (1 + homophily) / 2
    seen = np.where(same, signal, -signal) + noise * rng.standard_normal((draws, neighbours))
    return float((seen.mean(1) < 0).mean())
