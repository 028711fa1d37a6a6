"""GRDA: a discriminator that reconstructs the graph of domains, what it aligns, and what it cannot.

`training.train` trains a method on `data.Domains`; `theory` describes the equilibria.
"""

from companion.grda import (
    baselines,
    checks,
    data,
    evaluation,
    experiment,
    figures,
    method,
    studies,
    theory,
    training,
)
from companion.grda.experiment import Config
