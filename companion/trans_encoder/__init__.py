"""Trans-Encoder: a bi-encoder and a cross-encoder teach each other, without labels."""

from companion.trans_encoder import arms, baselines, checks, figures, speed, story, theory
from companion.trans_encoder.evaluate import auc, correlation
from companion.trans_encoder.experiment import FURTHER, Config, experiment
from companion.trans_encoder.method import (
    BiEncoder,
    CrossEncoder,
    Pairs,
    both_ways,
    cosine_loss,
    labels_of_bi,
    labels_of_cross,
    relay,
    soft_label_loss,
    together,
)
from companion.trans_encoder.starts import language_model
from companion.trans_encoder.training import contrast, fit, score

__all__ = [
    "FURTHER",
    "BiEncoder",
    "Config",
    "CrossEncoder",
    "Pairs",
    "arms",
    "auc",
    "baselines",
    "both_ways",
    "checks",
    "contrast",
    "correlation",
    "cosine_loss",
    "experiment",
    "figures",
    "fit",
    "labels_of_bi",
    "labels_of_cross",
    "language_model",
    "relay",
    "score",
    "soft_label_loss",
    "speed",
    "story",
    "theory",
    "together",
]
