"""The template lesson, Stein's paradox: a whole lesson in small, to be copied when a new one begins."""

from companion._template import checks, figures
from companion._template.baselines import observation, oracle
from companion._template.experiment import Config, estimates, experiment, observe, truth
from companion._template.method import exact_risk, factor, james_stein, own_strength, positive_part, sure

__all__ = [
    "Config",
    "checks",
    "estimates",
    "exact_risk",
    "experiment",
    "factor",
    "figures",
    "james_stein",
    "observation",
    "observe",
    "oracle",
    "own_strength",
    "positive_part",
    "sure",
    "truth",
]
