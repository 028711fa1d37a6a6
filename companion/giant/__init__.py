"""GIANT-XRT: features of texts that foretell the neighbourhood of a node, by a tree of ever finer clusters."""

from companion.giant import baselines, checks, figures, scaling, story, theory
from companion.giant.arms import features, instances, plant, tune, world
from companion.giant.downstream import classify
from companion.giant.experiment import FURTHER, Config, experiment
from companion.giant.method import (
    LabelTree,
    Recipe,
    active_mask,
    adjacency,
    balanced_tree,
    bootstrap,
    hinge,
    level_targets,
    pifa,
    split,
)
from companion.giant.training import fit, fit_level, precision, search

__all__ = [
    "FURTHER",
    "Config",
    "LabelTree",
    "Recipe",
    "active_mask",
    "adjacency",
    "balanced_tree",
    "baselines",
    "bootstrap",
    "checks",
    "classify",
    "experiment",
    "features",
    "figures",
    "fit",
    "fit_level",
    "hinge",
    "instances",
    "level_targets",
    "pifa",
    "plant",
    "precision",
    "scaling",
    "search",
    "split",
    "story",
    "theory",
    "tune",
    "world",
]
