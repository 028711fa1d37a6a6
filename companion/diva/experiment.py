"""The experiment: weed, re-weight and extend a set by the derivative, and by what it is measured against.

Every arm fits the same ridge, and chooses the penalty by leave-one-out again after every edit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.metrics import f1_score, roc_auc_score
from torch import Tensor

from companion.diva import baselines, method
from companion.diva.backbones import Images, digits, photographs
from companion.diva.method import Score
from companion.diva.speed import derivative_against_steps, growth, largest, loo_against_refits
from companion.diva.tasks import Task, draw, to, with_core, with_lies
from companion.diva.wholenet import whole_network
from companion.lab.evidence import Measurement
from companion.lab.config import BaseConfig
from companion.lab.config import Study

CLEAN_POOL, NOISY_POOL = "clean pool", "noisy pool"
STEPS = (0.0, 0.1, 0.2, 0.5, 1.0, 2.0)
PICKERS = ("diva", "loo error", "random")
BROKEN = ("flipped", "shuffled", "without residuals")


@dataclass(frozen=True)
class Config(BaseConfig):
    """All sizes of the lesson; m counts the constant. `half` says which images: those for evidence, or for choices."""

    seeds: int = 6
    data: str = "mnist5k"
    half: str = "evidence"
    backbone: str = "lite0"
    m: int = 129
    train: int = 700
    clean: int = 100
    test: int = 1700
    noises: tuple[float, ...] = (0.2, 0.4)
    rounds: int = 5
    step: float = 0.3
    core: int = 150
    pool: int = 650
    pool_noise: float = 0.5
    batch: int = 50
    picks: int = 8
    refits: int = 500
    whole: int = 300
    examples: tuple[int, ...] = (1000, 2000, 4000, 8000)
    features: tuple[int, ...] = (128, 256, 512, 1024, 2048)
    large: tuple[int, int] = (100_000, 512)
    penalties: tuple[float, ...] = tuple(float(f"{10**e:.3g}") for e in np.linspace(-3, 2, 16))

    SIZES: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "ci": {
            "seeds": 2, "m": 33, "train": 200, "clean": 50, "test": 300, "core": 60, "pool": 440,
            "refits": 30, "whole": 40, "examples": (200, 400, 800), "features": (16, 32, 64), "large": (2000, 64),
        },
        "study": {"seeds": 10},
        "paper": {
            "data": "flowers102", "m": 513, "train": 1840, "clean": 200, "test": 6149, "core": 500, "pool": 1300,
            "batch": 100,
        },
    }  # fmt: skip

    @property
    def added(self) -> tuple[int, ...]:
        """How many examples of the pool have been added after each round."""
        return tuple(self.batch * i for i in range(self.picks + 1))


# ---------------------------------------------------------------- one fit, one number


def best_fit(task: Task, alpha: Tensor, judges: Tensor, config: Config) -> method.Ridge:
    """The ridge at the penalty that leave-one-out chooses; alpha and judges (N,)."""
    return method.fit(task.z, task.y, alpha, method.tune(task.z, task.y, alpha, judges, config.penalties))


def accuracy(task: Task, alpha: Tensor, judges: Tensor, config: Config) -> float:
    """Per cent of the test images that the weighted set classifies."""
    scores = task.z_test @ method.weights(best_fit(task, alpha, judges, config))
    return float((scores.argmax(1).cpu().numpy() == task.test).mean() * 100)


# ---------------------------------------------------------------- weeding and re-weighting


def scores(task: Task, seed: int) -> dict[str, Score]:
    """The arms that judge examples, by name; each has its own stream of random numbers."""
    streams = [torch.Generator().manual_seed(1000 * seed + i) for i in range(2)]
    return {
        "diva": method.derivative,
        "loo error": baselines.loo_error,
        "training error": baselines.training_error,
        "random": baselines.at_random(streams[0]),
        "clean derivative": baselines.clean_derivative(task.z_clean, task.y_clean),
        "oracle": baselines.true_errors(torch.from_numpy(task.wrong)),
        "flipped": baselines.flipped,
        "shuffled": baselines.shuffled(streams[1]),
        "without residuals": baselines.without_residuals,
    }


def detection(task: Task, config: Config, seed: int, setting: str) -> list[Measurement]:
    """How well each score tells wrong labels from right ones: AUC x 100; F1 at zero for the derivative."""
    ridge = best_fit(task, task.core, task.core, config)
    rows = []
    for name, score in scores(task, seed).items():
        harm = score(ridge, task.core).cpu().numpy()
        rows.append(Measurement("AUC", name, setting, seed, 100 * roc_auc_score(task.wrong, harm)))
    flagged = method.reject(method.derivative(ridge, task.core)).cpu().numpy()
    return [*rows, Measurement("F1", "diva", setting, seed, 100 * f1_score(task.wrong, flagged)),
            Measurement("share flagged", "diva", setting, seed, 100 * flagged.mean())]  # fmt: skip


def weeding(task: Task, config: Config, seed: int, setting: str) -> list[Measurement]:
    """Test accuracy after throwing out as many examples as there are wrong labels, in rounds, by each score."""
    count, ones = int(task.wrong.sum()), task.core
    flagged = method.reject(method.derivative(best_fit(task, ones, ones, config), ones))
    sets = {"none": ones, "diva, threshold 0": (~flagged).to(ones.dtype)}
    for name, score in scores(task, seed).items():
        sets[name] = method.reject_rounds(task.z, task.y, score, count, config.rounds, config.penalties)
    for name in ("diva", "loo error"):
        score = scores(task, seed)[name]
        sets[f"{name}, one round"] = method.reject_rounds(task.z, task.y, score, count, 1, config.penalties)
    return [
        Measurement("accuracy", f"reject: {name}", setting, seed, accuracy(task, alpha, alpha, config))
        for name, alpha in sets.items()
    ]


def reweighting(task: Task, config: Config, seed: int, setting: str) -> list[Measurement]:
    """Test accuracy, and the leave-one-out loss, after steps of several sizes; "reweigh" is the one of the claims."""
    ones = task.core
    ridge = best_fit(task, ones, ones, config)
    gradient = method.derivative(ridge, ones)
    random = gradient[torch.randperm(len(gradient), generator=torch.Generator().manual_seed(seed))]
    arms = {"reweigh": gradient, "reweigh: flipped": -gradient, "reweigh: shuffled": random}
    sets = {name: method.reweigh(ones, slope, config.step) for name, slope in arms.items()}
    sets |= {f"step {step:g}": method.reweigh(ones, gradient, step) for step in STEPS}
    rows = []
    for name, alpha in sets.items():
        fitted = best_fit(task, alpha, ones, config)
        rows.append(Measurement("accuracy", name, setting, seed, accuracy(task, alpha, ones, config)))
        rows.append(Measurement("loo loss", name, setting, seed, float(method.loo_loss(fitted, ones)) / len(ones)))
    return rows


# ---------------------------------------------------------------- extending


def extending(task: Task, config: Config, seed: int, setting: str, arms: tuple[str, ...]) -> list[Measurement]:
    """Test accuracy, and the share of wrong labels among the picks, after each batch that is taken from the pool."""
    rows = []
    for name in arms:
        score = scores(task, seed)[name]
        sets = method.extend(task.z, task.y, task.core, score, config.batch, config.picks, config.penalties)
        for added, alpha in zip(config.added, sets, strict=True):
            place, value = f"{setting}, {added} added", accuracy(task, alpha, task.core, config)
            rows.append(Measurement("accuracy", f"extend: {name}", place, seed, value))
            if added:
                share = 100 * float(task.wrong[(alpha > task.core).cpu().numpy()].mean())
                rows.append(Measurement("wrong picks", f"extend: {name}", place, seed, share))
    everything = accuracy(task, torch.ones_like(task.core), task.core, config)
    return [*rows, Measurement("accuracy", "extend: whole pool", setting, seed, everything)]


# ---------------------------------------------------------------- all of it


def images(config: Config, device: torch.device) -> Images:
    """The images of the configuration, as features."""
    if config.data == "mnist5k":
        return digits(config.backbone, config.half)
    return photographs(config.data, device)


def noisy_task(config: Config, noise: float, seed: int, device: torch.device) -> Task:
    """A training set of which `noise` of the labels are wrong; the images are the same for every noise."""
    rng = np.random.default_rng(seed)
    task = draw(images(config, device), config.train, config.clean, config.test, config.m, rng)
    return to(with_lies(task, noise, rng), device)


def pool_task(config: Config, seed: int, device: torch.device) -> Task:
    """A core and a pool, all labels right as yet."""
    rng = np.random.default_rng(seed)
    task = draw(images(config, device), config.core + config.pool, 1, config.test, config.m, rng)
    return to(with_core(task, config.core), device)


def experiment(config: Config, seed: int, device: torch.device) -> list[Measurement]:
    """Re-weighting, weeding, extending, speed: every arm on the same images and the same wrong labels."""
    clean = noisy_task(config, 0.0, seed, device)
    rows = reweighting(clean, config, seed, "clean")
    rows += loo_against_refits(clean.z[: config.refits], clean.y[: config.refits], seed)
    for noise in config.noises:
        task, setting = with_lies(clean, noise, np.random.default_rng([seed, round(100 * noise)])), f"{noise:.0%} noise"
        rows += detection(task, config, seed, setting) + weeding(task, config, seed, setting)
        rows += reweighting(task, config, seed, setting)
    pool = pool_task(config, seed, device)
    rows += extending(pool, config, seed, CLEAN_POOL, PICKERS)
    noisy = with_lies(pool, config.pool_noise, np.random.default_rng([seed, 1]))
    return rows + extending(noisy, config, seed, NOISY_POOL, PICKERS + BROKEN)


def whole(config: Config, seed: int, device: torch.device) -> list[Measurement]:
    """The full linearisation of the small network beside its last layer, on the same images."""
    return whole_network(config.half, config.whole, 0.4, config.step, config.penalties, seed, device)


def cost(config: Config, seed: int, device: torch.device) -> list[Measurement]:
    """All derivatives against small steps; how the derivative's seconds grow; one large derivative."""
    rows = derivative_against_steps(config.refits, config.m, seed)
    return rows + growth(config.examples, config.features, seed, repeats=3) + largest(*config.large, seed)


LAPTOP, STUDY = Config.at("laptop"), Config.at("study")
FURTHER = {
    "rehearsal": Study(experiment, replace(LAPTOP, half="choices", seeds=10), first_seed=100),
    "fallback": Study(experiment, replace(LAPTOP, backbone="digits-cnn", seeds=10)),
    "whole network": Study(whole, replace(LAPTOP, seeds=10)),
    "cost": Study(cost, replace(STUDY, seeds=1)),
}

# What is cut for the runs that the tests repeat.
SMALL = {name: value for name, value in Config.SIZES["ci"].items() if name != "seeds"}
REDUCED = {"ci": {}, "rehearsal": SMALL, "fallback": SMALL, "whole network": SMALL, "cost": SMALL}
