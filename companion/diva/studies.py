"""All that is stored beside the main run: the pilot run, the fallback backbone, the whole network, runtime."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from companion.diva import baselines, method
from companion.diva.data import DIGITS_CNN, HALVES, corrupt_labels, digit_images, digits_cnn, one_hot
from companion.diva.evaluation import DERIVATIVE, auc, log10_seconds
from companion.diva.experiment import TIMED_LAMBDA, Config, experiment
from companion.lab.config import Study
from companion.lab.evidence import Measurement
from companion.lab.runtime import cpu_seconds, peak_megabytes

LAST_LAYER, WHOLE_NETWORK = "last layer", "whole network"
REWEIGHTED = {LAST_LAYER: "last layer, reweighted", WHOLE_NETWORK: "whole network, reweighted"}
NUM_CLASSES = 10
NOISE = 0.4  # share of wrong labels in the whole-network study
GROWTH_REPEATS = 3  # the best counts

# ---------------------------------------------------------------- the whole network linearized


def whole_network(config: Config, seed: int, device: torch.device) -> list[Measurement]:
    """The small network linearized in all its parameters, and in its last layer only: the same images and closed forms.

    Accuracy with and without a step of Reweight, and AUC, on `linearization_images` training and as many test images.
    """
    pixels, labels = digit_images()
    n = config.linearization_images
    rng = np.random.default_rng(seed)
    rows = rng.permutation(np.arange(len(labels))[HALVES.index(config.half) :: 2])[: 2 * n]
    net, images, true_labels = digits_cnn(config.digits_cnn).to(device), pixels[rows].to(device), labels[rows]
    grams = {
        LAST_LAYER: method.last_layer_gram(net.body, images).cpu(),
        WHOLE_NETWORK: method.tangent_gram(net, images).cpu(),
    }
    measurements = []
    for setting, noise in (("clean", 0.0), (f"{NOISE:.0%} noise", NOISE)):
        given = corrupt_labels(true_labels[:n], noise, NUM_CLASSES, np.random.default_rng([seed, 2]))
        for name, gram in grams.items():
            scaled = gram / gram.diagonal().mean()
            measurements += _measure_gram(scaled, given, true_labels, name, setting, config, seed)
    return measurements


def _measure_gram(
    gram: Tensor, given: np.ndarray, true_labels: np.ndarray, name: str, setting: str, config: Config, seed: int
) -> list[Measurement]:
    """Fit, differentiate and reweight with one kernel: gram (2n, 2n), given labels (n,), true labels (2n,)."""
    n, y = len(given), one_hot(given, NUM_CLASSES)
    train, cross, ones = gram[:n, :n], gram[n:, :n], torch.ones(n, dtype=torch.float64)
    lam = method.select_lambda_gram(train, y, ones, config.lambdas)
    derivative = method.dataset_derivative_gram(train, y, ones, lam, ones)
    measurements = []
    for label, alpha in ((name, ones), (REWEIGHTED[name], method.reweight(ones, derivative, config.step_size))):
        lam = method.select_lambda_gram(train, y, alpha, config.lambdas)
        outputs = cross @ method.dual_weights(train, y, alpha, lam)
        correct = float((outputs.argmax(1).numpy() == true_labels[n:]).mean() * 100)
        measurements.append(Measurement("accuracy", label, setting, seed, correct))
    wrong = given != true_labels[:n]
    if wrong.any():
        measurements.append(Measurement("AUC", name, setting, seed, auc(wrong, derivative)))
    return measurements


# ---------------------------------------------------------------- runtime


def runtime(config: Config, seed: int, device: torch.device) -> list[Measurement]:
    """All derivatives in closed form and by refits; how the seconds grow with N and with m; one large problem."""
    n, m = config.timed_examples, config.num_features
    z, y, ones = random_problem(n, m)
    measurements = log10_seconds(
        f"derivative, N = {n}", seed,
        lambda: method.dataset_derivative(method.fit(z, y, ones, TIMED_LAMBDA), ones),
        lambda: baselines.derivative_by_finite_differences(z, y, ones, TIMED_LAMBDA),
    )  # fmt: skip
    n, m = config.fixed_sizes
    for size in config.runtime_examples:
        seconds = derivative_seconds(size, m, GROWTH_REPEATS)
        measurements.append(Measurement("CPU seconds", f"{DERIVATIVE}, m = {m}", f"N = {size}", seed, seconds))
    for size in config.runtime_features:
        seconds = derivative_seconds(n, size, GROWTH_REPEATS)
        measurements.append(Measurement("CPU seconds", f"{DERIVATIVE}, N = {n}", f"m = {size}", seed, seconds))
    setting = f"N = {config.large_examples}, m = {config.large_features}"
    seconds = derivative_seconds(config.large_examples, config.large_features)
    return [
        *measurements,
        Measurement("CPU seconds", DERIVATIVE, setting, seed, seconds),
        Measurement("peak megabytes", DERIVATIVE, setting, seed, peak_megabytes()),
    ]


def random_problem(n: int, m: int) -> tuple[Tensor, Tensor, Tensor]:
    """Random features (n, m), one-hot classes (n, 10), weights of one (n,), all float64."""
    z = torch.randn(n, m, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return z, one_hot(np.arange(n) % NUM_CLASSES, NUM_CLASSES), torch.ones(n, dtype=torch.float64)


def derivative_seconds(n: int, m: int, repeats: int = 1) -> float:
    """CPU seconds of a fit and all its derivatives on random features (n, m); the best of `repeats`."""
    z, y, ones = random_problem(n, m)
    return min(
        cpu_seconds(lambda: method.dataset_derivative(method.fit(z, y, ones, TIMED_LAMBDA), ones))
        for _ in range(repeats)
    )


LAPTOP, STUDY = Config.at("laptop"), Config.at("study")
SMALL = {name: value for name, value in Config.SIZES["ci"].items() if name != "seeds"}
STUDIES = {
    "pilot": Study(experiment, replace(LAPTOP, half="choices", seeds=10), first_seed=100, reduced=SMALL),
    "fallback": Study(experiment, replace(LAPTOP, backbone=DIGITS_CNN, seeds=10), reduced=SMALL),
    "whole network": Study(whole_network, replace(LAPTOP, seeds=10), reduced=SMALL),
    "runtime": Study(runtime, replace(STUDY, seeds=1), reduced=SMALL),
}
