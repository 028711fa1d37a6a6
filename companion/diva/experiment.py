"""The experiment: weed, re-weight and extend a set by the derivative, and by what it is measured against.

Every arm fits the same ridge, and chooses the penalty by leave-one-out again after every edit.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.metrics import f1_score, roc_auc_score
from torch import Tensor

from companion.diva import baselines, method
from companion.diva.backbones import one_hot
from companion.diva.method import Score
from companion.diva.tasks import CLASSES, Task, draw, lie
from companion.lab.evidence import Measurement
from companion.lab.scales import Config as ScaledConfig
from companion.lab.scales import Plan

CLEAN_POOL, NOISY_POOL = "clean pool", "noisy pool"


@dataclass(frozen=True)
class Config(ScaledConfig):
    """All sizes of the lesson; m counts the constant. `half` says which images: those for evidence, or for choices."""

    seeds: int = 10
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
    penalties: tuple[float, ...] = tuple(float(f"{10**e:.3g}") for e in np.linspace(-3, 2, 16))

    SIZES: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "ci": {
            "seeds": 2, "m": 33, "train": 200, "clean": 50, "test": 300, "core": 60, "pool": 140, "batch": 10,
            "refits": 30,
        },
        "study": {"seeds": 40},
        "paper": {"seeds": 5, "m": 513, "train": 1500, "clean": 200, "test": 800},
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


def to(task: Task, device: torch.device) -> Task:
    """The task with its tensors on a device."""
    moved = {name: getattr(task, name).to(device) for name in ("z", "core", "z_test", "z_clean")}
    return replace(task, **moved)


# ---------------------------------------------------------------- weeding and re-weighting


def scores(task: Task, seed: int) -> dict[str, Score]:
    """The arms that judge examples, by name; each has its own stream of random numbers."""
    streams = [torch.Generator().manual_seed(1000 * seed + i) for i in range(2)]
    return {
        "diva": method.derivative,
        "loo error": baselines.loo_error,
        "training error": baselines.training_error,
        "random": baselines.at_random(streams[0]),
        "clean derivative": baselines.clean_derivative(task.z_clean, one_hot(task.clean, CLASSES).to(task.z.device)),
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
    ridge = best_fit(task, ones, ones, config)
    gradient = method.derivative(ridge, ones)
    sets = {
        name: method.reject_rounds(task.z, task.y, score, count, config.rounds, config.penalties)
        for name, score in scores(task, seed).items()
    }
    once = {f"{name}, one round": method.reject_rounds(task.z, task.y, scores(task, seed)[name], count, 1,
            config.penalties) for name in ("diva", "loo error")}  # fmt: skip
    sets |= once | {"none": ones, "diva, threshold 0": (~method.reject(gradient)).to(ones.dtype)}
    rows = [Measurement("accuracy", f"reject: {name}", setting, seed, accuracy(task, alpha, alpha, config))
            for name, alpha in sets.items()]  # fmt: skip
    return rows


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


STEPS = (0.0, 0.1, 0.2, 0.5, 1.0, 2.0)


# ---------------------------------------------------------------- extending


def pool_task(config: Config, noise: float, seed: int) -> Task:
    """A clean core, and a pool of which `noise` of the labels are wrong."""
    task, rng = draw(config.backbone, config.half, (config.core + config.pool, 1, config.test), config.m, seed)
    core = torch.zeros_like(task.core)
    core[: config.core] = 1.0
    given = np.concatenate([task.true[: config.core], lie(task.true[config.core :], noise, rng)])
    return replace(task, given=given, core=core)


def extending(config: Config, seed: int, device: torch.device, setting: str, noise: float) -> list[Measurement]:
    """Test accuracy, and wrong labels among the picks, after each batch that is taken from the pool."""
    task = to(pool_task(config, noise, seed), device)
    arms = scores(task, seed)
    arms = {name: arms[name] for name in ("diva", "loo error", "random", "flipped", "shuffled", "without residuals")}
    rows = []
    for name, score in arms.items():
        sets = method.extend(task.z, task.y, task.core, score, config.batch, config.picks, config.penalties)
        for added, alpha in zip(config.added, sets, strict=True):
            arm = f"extend: {name}"
            rows.append(Measurement("accuracy", arm, f"{setting}, {added} added", seed,
                                    accuracy(task, alpha, task.core, config)))  # fmt: skip
            if added:
                picked = (alpha > task.core).cpu().numpy()
                share = 100 * task.wrong[picked].mean()
                rows.append(Measurement("wrong picks", arm, f"{setting}, {added} added", seed, share))
    everything = accuracy(task, torch.ones_like(task.core), task.core, config)
    return [*rows, Measurement("accuracy", "whole pool", setting, seed, everything)]


# ---------------------------------------------------------------- speed


def speed(task: Task, config: Config, seed: int) -> list[Measurement]:
    """CPU seconds, as powers of ten, of all leave-one-out predictions: in closed form, and by refitting."""
    n = min(config.refits, len(task.z))
    z, y, alpha = task.z[:n], task.y[:n], task.core[:n]
    closed = min(cpu_seconds(lambda: method.loo_predictions(method.fit(z, y, alpha, 1.0))) for _ in range(5))
    refitted = cpu_seconds(lambda: refit_each(z, y, alpha, 1.0))
    seconds = {"closed form": closed, "refits": refitted}
    return [Measurement("CPU seconds", name, "leave-one-out", seed, float(np.log10(s))) for name, s in seconds.items()]


def refit_each(z: Tensor, y: Tensor, alpha: Tensor, lam: float) -> Tensor:
    """What each example's label would be for a model refitted without it, (N, k): N fits."""
    rows = []
    for i in range(len(z)):
        without = alpha.index_fill(0, torch.tensor([i], device=alpha.device), 0.0)
        weighted = without.unsqueeze(1) * z
        normal = z.T @ weighted + lam * torch.eye(z.shape[1], dtype=z.dtype, device=z.device)
        rows.append(z[i] @ torch.cholesky_solve(weighted.T @ y, torch.linalg.cholesky(normal)))
    return torch.stack(rows)


def cpu_seconds(work: Any) -> float:
    """CPU seconds of this process for one call."""
    start = time.process_time()
    work()
    return max(time.process_time() - start, 1e-6)


# ---------------------------------------------------------------- all of it


def noisy_task(config: Config, noise: float, seed: int) -> Task:
    """A training set of which `noise` of the labels are wrong."""
    sizes = (config.train, config.clean, config.test)
    task, rng = draw(config.backbone, config.half, sizes, config.m, seed)
    return replace(task, given=lie(task.given, noise, rng))


def experiment(config: Config, seed: int, device: torch.device) -> list[Measurement]:
    """Weeding, re-weighting, extending, speed: every arm on the same images and the same wrong labels."""
    rows = []
    for noise in config.noises:
        task, setting = to(noisy_task(config, noise, seed), device), f"{noise:.0%} noise"
        rows += detection(task, config, seed, setting) + weeding(task, config, seed, setting)
        rows += reweighting(task, config, seed, setting)
    clean = to(noisy_task(config, 0.0, seed), device)
    rows += reweighting(clean, config, seed, "clean") + speed(clean, config, seed)
    for setting, noise in ((NOISY_POOL, config.pool_noise), (CLEAN_POOL, 0.0)):
        rows += extending(config, seed, device, setting, noise)
    return rows


LAPTOP = Config.at("laptop")
FURTHER = {
    "rehearsal": Plan(experiment, replace(LAPTOP, half="choices", seeds=10), first_seed=100),
    "fallback": Plan(experiment, replace(LAPTOP, backbone="digits-cnn", seeds=10)),
}
