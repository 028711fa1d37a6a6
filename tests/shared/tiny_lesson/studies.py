"""Studies stored beside the scales: a pilot run."""

from __future__ import annotations

from companion.lab import Study
from companion.tiny.experiment import Config, experiment

STUDIES = {"pilot": Study(experiment, Config.at("ci"), first_seed=100, reduced={"size": 5})}
