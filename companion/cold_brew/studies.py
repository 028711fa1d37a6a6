"""All that is stored beside the main run: tuning, the pilot run, more labels, and two of the paper's graphs."""

from __future__ import annotations

from dataclasses import replace

import torch

from companion.cold_brew.evaluation import VALIDATION, accuracy
from companion.cold_brew.experiment import Config, experiment, load_data, measure, settings_of_all
from companion.cold_brew.training import STUDENT, TEACHER, StudentConfig, train_predictor, train_teacher
from companion.lab.config import Study, TrainConfig
from companion.lab.evidence import Measurement
from companion.lab.tuning import grid, grid_search

TUNING_GRID = grid(dropout=(0.2, 0.5), lr=(0.03, 0.01, 0.003, 0.001), weight_decay=(5e-4, 5e-5))
# (memory, temperature): the scale of the memory, which the paper leaves open
MEMORIES = (("probabilities", None), ("probabilities", 0.1), ("logits", 0.1), ("concatenation", 0.1))
STUDENT_GRID = [
    {"memory": memory, "temperature": temperature, **setting}
    for memory, temperature in MEMORIES
    for setting in grid(k=(10, 100), lr=(0.01, 0.003))
]


def search_space(config: Config) -> dict[str, dict[str, TrainConfig]]:
    """Method -> {description: settings}: sixteen candidates for every trained method."""
    candidates = {
        name: [replace(current, **setting) for setting in (STUDENT_GRID if name == STUDENT else TUNING_GRID)]
        for name, current in config.train.items()
    }
    return {name: {describe(candidate): candidate for candidate in tried} for name, tried in candidates.items()}


def describe(config: TrainConfig) -> str:
    """The tuned settings in words."""
    if isinstance(config, StudentConfig):
        score = "dot product" if config.temperature is None else f"cosine / {config.temperature:g}"
        return f"{config.memory}, {score}, K = {config.k}, lr {config.lr:g}"
    return f"dropout {config.dropout:g}, lr {config.lr:g}, decay {config.weight_decay:g}"


def selected(config: Config) -> dict[str, str]:
    """Method -> the settings that the configuration uses, as `tune` names them."""
    return {name: describe(train_config) for name, train_config in config.train.items()}


def tune(config: Config, seed: int, device: torch.device) -> list[Measurement]:
    """Accuracy of every candidate on the isolated *validation* nodes; no test node takes part."""
    data = load_data(config, seed, device)
    validation = data.split.isolation_val_mask & (data.y >= 0)
    teacher = train_teacher(data, config.train[TEACHER], config.hidden_dim, config.eta)

    def score(name: str, candidate: TrainConfig) -> float:
        predict = train_predictor(data, name, candidate, config.hidden_dim, config.eta, teacher)
        with torch.no_grad():
            return accuracy(predict(data.split.edge_index)[validation], data.y[validation])

    return grid_search(search_space(config), score, VALIDATION, seed)


def pilot(config: Config, seed: int, device: torch.device) -> list[Measurement]:
    """The experiment on validation nodes only; the margins of the claims were fixed on it, with seeds of its own."""
    data = load_data(config, seed, device)
    return measure(data, config, data.split.validation_groups(data.y >= 0))


LONG = Config.at("study")
SMALL = {"min_count": 5, "num_features": 64, "hidden_dim": 32, **settings_of_all(steps=20)}
STUDIES = {
    "tuning": Study(
        tune,
        replace(LONG, seeds=3),
        first_seed=100,
        reduced={"min_count": 5, "num_features": 32, "hidden_dim": 16, **settings_of_all(steps=10)},
    ),
    "pilot": Study(pilot, replace(LONG, num_val=3000), first_seed=100, reduced={**SMALL, "num_val": 1000}),
    "label-rich": Study(experiment, replace(LONG, num_train_per_class=200), reduced=SMALL),
    "Cora": Study(
        experiment,
        replace(LONG, data="Cora", num_train_per_class=86),
        reduced={"hidden_dim": 16, **settings_of_all(steps=20)},
    ),
    "CiteSeer": Study(
        experiment,
        replace(LONG, data="CiteSeer", num_train_per_class=100),
        reduced={"hidden_dim": 16, **settings_of_all(steps=10)},
    ),
}
