"""The small network linearised in all its parameters, beside its last layer: the same images, the same closed forms."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor

from companion.data.images import mnist5k
from companion.diva.backbones import HALVES, digits_cnn, one_hot
from companion.diva.linearise import last_layer_gram, tangent_gram
from companion.diva.method import derivative_gram, gram_fit, reweigh
from companion.diva.tasks import lie
from companion.lab.evidence import Measurement


@cache
def digit_images() -> tuple[Tensor, np.ndarray]:
    """MNIST-5k as the small network wants it, (5000, 1, 28, 28) float32, and the classes."""
    pixels, labels = mnist5k()
    return torch.from_numpy(pixels).float().unsqueeze(1) / 255, labels


def whole_network(
    half: str, size: int, noise: float, step: float, penalties: Sequence[float], seed: int, device: torch.device
) -> list[Measurement]:
    """Accuracy with and without a step of re-weighting, AUC: `size` images to train on and as many to test on."""
    pixels, labels = digit_images()
    rng = np.random.default_rng(seed)
    rows = rng.permutation(np.arange(len(labels))[HALVES.index(half) :: 2])[: 2 * size]
    net, seen = digits_cnn().to(device), pixels[rows].to(device)
    grams = {"last layer": last_layer_gram(net.body, seen).cpu(), "whole network": tangent_gram(net, seen).cpu()}
    true, out = labels[rows], []
    for setting, share in (("clean", 0.0), (f"{noise:.0%} noise", noise)):
        given = lie(true[:size], share, 10, np.random.default_rng([seed, 2]))
        for name, gram in grams.items():
            out += _measure(gram / gram.diagonal().mean(), given, true, step, penalties, (name, setting, seed))
    return out


def _measure(
    gram: Tensor,
    given: np.ndarray,
    true: np.ndarray,
    step: float,
    penalties: Sequence[float],
    key: tuple[str, str, int],
) -> list[Measurement]:
    n, y = len(given), one_hot(given, 10)
    own, cross, ones = gram[:n, :n], gram[n:, :n], torch.ones(n, dtype=torch.float64)
    lam = tune_gram(own, y, ones, penalties)
    gradient = derivative_gram(own, y, ones, lam, ones)
    name, setting, seed = key
    rows = []
    for arm, alpha in ((name, ones), (f"{name}, reweighed", reweigh(ones, gradient, step))):
        scores = cross @ dual(own, y, alpha, tune_gram(own, y, alpha, penalties))
        hits = float((scores.argmax(1).numpy() == true[n:]).mean() * 100)
        rows.append(Measurement("accuracy", arm, setting, seed, hits))
    if (given != true[:n]).any():
        rows.append(Measurement("AUC", name, setting, seed, 100 * roc_auc_score(given != true[:n], gradient)))
    return rows


def dual(gram: Tensor, y: Tensor, alpha: Tensor, lam: float) -> Tensor:
    """What multiplies the Gram matrix between new images and old ones to predict, (n, k): D E over lambda."""
    _, residuals = gram_fit(gram, y, alpha, lam)
    return alpha.unsqueeze(1) * residuals / lam


def tune_gram(gram: Tensor, y: Tensor, alpha: Tensor, penalties: Sequence[float]) -> float:
    """The penalty with the smallest leave-one-out loss, from the Gram matrix."""

    def loss(lam: float) -> float:
        h_full, residuals = gram_fit(gram, y, alpha, lam)
        return float((residuals / (1 - alpha * h_full.diagonal()).unsqueeze(1)).square().sum())

    return min(penalties, key=loss)
