"""All that is stored beside the main run: tuning, pilot run, controls, longer training, color images, runtime."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor
from torch.func import grad, vmap

from companion.deepaa import method
from companion.deepaa.data import COLOR
from companion.deepaa.evaluation import FIRST, SECOND, probability
from companion.deepaa.experiment import Config, experiment
from companion.deepaa.method import IDENTITY
from companion.deepaa.training import DEEPAA, METHODS, NONE, generator_of, policies, search_policies, train
from companion.lab.config import Study
from companion.lab.evidence import Measurement
from companion.lab.runtime import cpu_seconds

LEARNING_RATES = (0.05, 0.1, 0.2, 0.4)
REPEATS = 5


def tune(config: Config, seed: int, device: torch.device) -> list[Measurement]:
    """Test accuracy of every method at every learning rate, on the half of the digits that is kept for choices."""
    result = search_policies(config, seed, device)
    return [
        Measurement("accuracy", name, f"{lr:g}", seed, value)
        for lr in LEARNING_RATES
        for name, value in train(result, policies(result), dict.fromkeys(METHODS, lr), config, seed).items()
    ]


def selected(config: Config) -> dict[str, str]:
    """Method -> the learning rate that the configuration uses, as `tune` names it."""
    return {name: f"{lr:g}" for name, lr in config.lr.items()}


def crossed(config: Config, seed: int, device: torch.device) -> list[Measurement]:
    """One search, three trainings with initializations of their own: which of the two makes the results vary?"""
    result = search_policies(config, seed, device)
    compared = {name: policies(result)[name] for name in (NONE, DEEPAA)}
    return [
        Measurement("accuracy", name, f"training {i}", seed, value)
        for i in range(3)
        for name, value in train(result, compared, config.lr, config, 100 * seed + i).items()
    ]


def longer_training(config: Config, seed: int, device: torch.device) -> list[Measurement]:
    """Test accuracy of every method after half, once, twice and four times the epochs."""
    result = search_policies(config, seed, device)
    return [
        Measurement("accuracy", name, f"{epochs} epochs", seed, value)
        for epochs in (round(times * config.epochs) for times in (0.5, 1, 2, 4))
        for name, value in train(result, policies(result), config.lr, replace(config, epochs=epochs), seed).items()
    ]


def identity_controls(config: Config, seed: int, device: torch.device) -> list[Measurement]:
    """Does a layer stop because its rewards are noisy? Percent of identity in three variants of the search.

    The standard deviation in layer 1 too; and a second layer with less noise, four times the prefixes behind each
    reward and four times the validation images behind each v, with and without the standard deviation.
    """
    result = search_policies(config, seed, device)
    default = config.search
    less_noise = replace(default, prefixes=4 * default.prefixes, batch_size=4 * default.batch_size)
    first_layer = result.layers[DEEPAA][:1]
    variants = {
        "std in layer 1 too": (replace(default, first_kappa=default.kappa, layers=1), [], FIRST),
        "less noise": (less_noise, first_layer, SECOND),
        "less noise, no std": (replace(less_noise, kappa=0.0), first_layer, SECOND),
    }
    measurements = []
    for i, (name, (search, before, layer)) in enumerate(variants.items()):
        generator = generator_of(seed, 5 + i)
        layers = method.search(result.network, result.bank, result.search_data, search, generator, before)
        value = probability(result.bank, layers[-1].probabilities, [IDENTITY])
        measurements.append(Measurement("identity mass", name, layer, seed, value))
    return measurements


# ---------------------------------------------------------------- what rewards cost


def rewards_by_each_gradient(network: method.Network, images: Tensor, labels: Tensor, v: Tensor, g: Tensor) -> Tensor:
    """The rewards of a draw, (B,), without the Jacobian-vector product: images (B, C, H, W), labels (B,), v, g (P,).

    Every candidate's gradient is computed and stored, (B, P), and then multiplied by u.
    """

    def loss(w: Tensor, x: Tensor, y: Tensor) -> Tensor:
        return network.losses(x[None], y[None])(w)[0]

    gradients = vmap(grad(loss), in_dims=(None, 0, 0))(network.weights, images, labels)
    return gradients @ method.orthogonal_part(v, g) / (v.norm() * g.norm())


def runtime(config: Config, seed: int, device: torch.device) -> list[Measurement]:
    """Rewards per CPU second (best of five) and stored numbers: one Jacobian-vector product, and each gradient."""
    result = search_policies(config, seed, device)
    network, bank, generator = result.network, result.bank, torch.Generator().manual_seed(seed)
    search = method.SearchConfig(draws=2)
    originals, classes, (v, g) = method.draw_batch(network, result.search_data, search, generator)
    images = method.apply_every_candidate(bank, originals[:1], method.empty_policy(bank), 1, generator)[0]
    labels = classes[:1].expand(len(bank))
    ways = {
        "one JVP": lambda: method.candidate_rewards(network.losses(images, labels), network.weights, v, g),
        "each gradient": lambda: rewards_by_each_gradient(network, images, labels, v, g),
    }
    stored = {"one JVP": network.weights.numel(), "each gradient": len(bank) * network.weights.numel()}
    measurements = []
    for name, compute in ways.items():
        compute()
        seconds = min(cpu_seconds(compute) for _ in range(REPEATS))
        speed = len(bank) / seconds / 1000
        measurements.append(Measurement("thousand rewards per second", name, "one draw", seed, speed))
        measurements.append(Measurement("stored numbers", name, "one draw", seed, float(stored[name])))
    return measurements


LAPTOP = Config.at("laptop")
CHOICES = replace(LAPTOP, half="choices")
SMALL = {
    "pretrain_images": 150, "search_images": 100, "validation_images": 100, "test_images": 1000, "epochs": 8,
    "search.steps": 12, "search.later_steps": 6, "search.lr": 0.8, "search.later_lr": 1.5,
}  # fmt: skip
COLOR_IMAGES = replace(
    LAPTOP, seeds=3, data=COLOR, pretrain_images=600, search_images=500, validation_images=500, test_images=1000,
    levels=3, epochs=15, extra_flips=False, search_width=12, width=24, lr=dict.fromkeys(METHODS, 0.05),
)  # fmt: skip
STUDIES = {
    "tuning": Study(tune, replace(CHOICES, seeds=3, lr=dict.fromkeys(METHODS, 0.1)), 100, reduced=SMALL),
    "pilot": Study(experiment, replace(CHOICES, seeds=10), first_seed=200, reduced=SMALL),
    "search x training": Study(crossed, replace(LAPTOP, seeds=3), first_seed=300, reduced=SMALL),
    "epochs": Study(longer_training, replace(LAPTOP, seeds=3), first_seed=400, reduced={**SMALL, "epochs": 4}),
    "natural color images": Study(
        experiment, COLOR_IMAGES,
        reduced={**SMALL, "pretrain_images": 300, "search_images": 200, "validation_images": 200, "test_images": 500},
    ),
    "identity controls": Study(identity_controls, replace(LAPTOP, seeds=4), first_seed=500, reduced=SMALL),
    "runtime": Study(runtime, replace(LAPTOP, seeds=1), reduced=SMALL),
}  # fmt: skip
