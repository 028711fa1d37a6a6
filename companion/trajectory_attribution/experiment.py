"""The experiment: simulated pedestrians at each strength of the interaction, and a football match."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch

from companion.data.trajectories import football
from companion.lab.config import BaseConfig
from companion.lab.evidence import Measurement
from companion.trajectory_attribution import evaluation, method, training
from companion.trajectory_attribution.baselines import without_neighbors
from companion.trajectory_attribution.data import all_targets, simulate, true_effects, windows
from companion.trajectory_attribution.evaluation import EXCESS, FOOTBALL, SIMULATION, ZERO, errors, predict
from companion.trajectory_attribution.method import Batch
from companion.trajectory_attribution.training import METHODS, ORDINARY, RETRAINED, SUBSETS, PredictorConfig, train

HALF_TIME = 45.89  # minutes of the recording: the end of the first half


def for_all(place: str, **changes: Any) -> dict[str, Any]:
    """The same settings for every method, as for `Config.override`: for_all("train_football", epochs=2)."""
    return {f"{place}.{name}.{setting}": value for name in METHODS for setting, value in changes.items()}


@dataclass(frozen=True)
class Config(BaseConfig):
    """All sizes of the lesson. The learning rates were tuned on other data (see `studies.tune`)."""

    seeds: int = 6  # how many seeds are run
    kappas: tuple[float, ...] = (0.0, 1.0, 2.0)  # strengths of the interaction in the simulation, ascending
    pedestrians: int = 5  # pedestrians per simulated scene
    scenes: int = 600  # simulated scenes to train on
    test_scenes: int = 480  # simulated scenes to test on
    effect_threshold: float = 0.15  # meters by which a neighbor displaces the target to count in top-1 accuracy
    neighbor_slots: int = 6  # neighbor slots per target on real data
    radius: float = 25.0  # meters within which a football player is a neighbor
    stride: int = 2  # frames between two training windows on real data
    test_stride: int = 6  # frames between two test windows of the match
    train_from: float = 0.0  # minute of the match at which the training windows begin
    train_until: float = HALF_TIME  # minute at which they end
    test_from: float = HALF_TIME  # minute of the match at which the test windows begin
    test_until: float = 1000.0  # minute at which they end, or the end of the match
    train_simulation: dict[str, PredictorConfig] = field(
        default_factory=lambda: {
            SUBSETS: PredictorConfig(lr=8e-3, epochs=12, batch_size=128),
            ORDINARY: PredictorConfig(lr=8e-3, epochs=12, batch_size=128),
            RETRAINED: PredictorConfig(lr=8e-3, epochs=12, batch_size=128),
        }
    )  # training of each method on simulated pedestrians
    train_football: dict[str, PredictorConfig] = field(
        default_factory=lambda: {
            SUBSETS: PredictorConfig(lr=4e-3, epochs=8, batch_size=64, unit=10.0),
            ORDINARY: PredictorConfig(lr=8e-3, epochs=8, batch_size=64, unit=10.0),
            RETRAINED: PredictorConfig(lr=8e-3, epochs=8, batch_size=64, unit=10.0),
        }
    )  # training of each method on the match

    SIZES: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "ci": {
            "seeds": 2, "scenes": 60, "test_scenes": 60, "stride": 18, "test_stride": 36,
            **for_all("train_simulation", epochs=2), **for_all("train_football", epochs=1, batch_size=128),
        },
        "study": {"seeds": 10},
        "paper": {
            "seeds": 10, "kappas": (0.0, 0.25, 0.5, 1.0, 2.0, 4.0), "pedestrians": 12, "scenes": 20_000,
            "test_scenes": 1000, "stride": 1, "test_stride": 1,
            **for_all("train_simulation", hidden_dim=128, epochs=60, batch_size=512, amp=True),
            **for_all("train_football", hidden_dim=128, epochs=60, batch_size=512, amp=True),
        },
    }  # fmt: skip


def experiment(config: Config, seed: int, device: torch.device) -> list[Measurement]:
    """Simulation and football on one seed: new simulated scenes, and a new initialization of every model."""
    return measure_simulation(config, seed, device) + measure_football(config, seed, device)


# ---------------------------------------------------------------- simulated pedestrians


def measure_simulation(config: Config, seed: int, device: torch.device) -> list[Measurement]:
    """One predictor for each kappa; the other two methods where kappa is smallest."""
    measurements = [Measurement(EXCESS[loss], ZERO, SIMULATION, seed, 0.0) for loss in ("ADE", "NLL")]
    models = {}
    for kappa in config.kappas:
        setting, (data, test) = kappa_name(kappa), simulated_targets(config, kappa, seed, device)
        model = models[kappa] = train(data, SUBSETS, config.train_simulation[SUBSETS], seed)
        measurements += evaluation.attributions(model, test, setting, seed)
        measurements += evaluation.constant_velocity_errors(test, setting, seed)
        measurements += errors(model, test, SUBSETS, setting, seed)
        measurements += errors(model, without_neighbors(test), training.SUBSETS_REMOVED, setting, seed)
        if kappa == min(config.kappas):  # here neighbors can be removed without any loss
            measurements += ordinary_and_retrained(config.train_simulation, data, test, setting, seed)
    # the last kappa is the largest: there attribution is compared with the true effects
    effects = true_effects(config.test_scenes, kappa, 2 * seed + 1, config.pedestrians).to(device)
    return measurements + evaluation.ranking(
        model, models[min(config.kappas)], test, effects, config.effect_threshold, setting, seed
    )


def simulated_targets(config: Config, kappa: float, seed: int, device: torch.device) -> tuple[Batch, Batch]:
    """Targets to train and to test on, from different scenes with the same kappa."""
    data = simulate(config.scenes, kappa, 2 * seed, pedestrians=config.pedestrians)
    test = simulate(config.test_scenes, kappa, 2 * seed + 1, pedestrians=config.pedestrians)
    return all_targets(data)[0].to(device), all_targets(test)[0].to(device)


def kappa_name(kappa: float) -> str:
    """The setting of the simulation with this kappa: "kappa 2"."""
    return f"kappa {kappa:g}"


def ordinary_and_retrained(
    train_configs: Mapping[str, PredictorConfig], data: Batch, test: Batch, setting: str, seed: int
) -> list[Measurement]:
    """Errors of ordinary training, with all neighbors and with all removed, and of a model retrained without them."""
    ordinary, retrained = (train(data, name, train_configs[name], seed) for name in (ORDINARY, RETRAINED))
    return [
        *errors(ordinary, test, ORDINARY, setting, seed),
        *errors(retrained, without_neighbors(test), RETRAINED, setting, seed),
        *errors(ordinary, without_neighbors(test), training.ORDINARY_REMOVED, setting, seed),
    ]


# ---------------------------------------------------------------- football


def measure_football(config: Config, seed: int, device: torch.device) -> list[Measurement]:
    """With and without neighbors, and the contribution of each kind of neighbor."""
    data, test = football_targets(config, device)
    model, retrained = (train(data, name, config.train_football[name], seed) for name in (SUBSETS, RETRAINED))
    alone = without_neighbors(test)
    gain = method.ade(*predict(retrained, alone), test.future) - method.ade(*predict(model, test), test.future)
    return [
        *errors(model, test, SUBSETS, FOOTBALL, seed),
        *errors(retrained, alone, RETRAINED, FOOTBALL, seed),
        *errors(model, alone, training.SUBSETS_REMOVED, FOOTBALL, seed),
        *evaluation.constant_velocity_errors(test, FOOTBALL, seed),
        *evaluation.values_by_kind(model, test, seed),
        Measurement("block standard error", "gain", FOOTBALL, seed, evaluation.block_standard_error(gain, test.scene)),
    ]


def football_targets(config: Config, device: torch.device) -> tuple[Batch, Batch]:
    """Windows of the match to train and to test on, from different minutes."""
    tracks, slots, radius = football(), config.neighbor_slots, config.radius
    data = windows(tracks, slots, radius, config.stride, (config.train_from, config.train_until))[0]
    test = windows(tracks, slots, radius, config.test_stride, (config.test_from, config.test_until))[0]
    return data.to(device), test.to(device)
