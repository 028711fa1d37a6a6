"""GRDA: a discriminator that reconstructs the graph of domains, what it aligns, and what it cannot."""

from companion.grda import arms, baselines, checks, equilibrium, figures, method, settings, temperature, worlds
from companion.grda.arms import ADDA, CDANN, DANN, GRDA, PERMUTED, SOURCE, SOURCE_NO_Z, WALK, Recipe, guesses
from companion.grda.equilibrium import best_discriminator, chain, clique, freedom, ring, star, table_loss
from companion.grda.experiment import ALL, FURTHER, PUBLISHED, SOURCES, TARGETS, THIRDS, Config, build, experiment
from companion.grda.method import INDEPENDENT, SHUFFLED, SYNCHRONISED, Encoder, Game, batches, pair_loss, pair_weights

__all__ = [
    "ADDA",
    "ALL",
    "CDANN",
    "DANN",
    "FURTHER",
    "GRDA",
    "INDEPENDENT",
    "PERMUTED",
    "PUBLISHED",
    "SHUFFLED",
    "SOURCE",
    "SOURCES",
    "SOURCE_NO_Z",
    "SYNCHRONISED",
    "TARGETS",
    "THIRDS",
    "WALK",
    "Config",
    "Encoder",
    "Game",
    "Recipe",
    "arms",
    "baselines",
    "batches",
    "best_discriminator",
    "build",
    "chain",
    "checks",
    "clique",
    "equilibrium",
    "experiment",
    "figures",
    "freedom",
    "guesses",
    "method",
    "pair_loss",
    "pair_weights",
    "ring",
    "settings",
    "star",
    "table_loss",
    "temperature",
    "worlds",
]
