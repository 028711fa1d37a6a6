"""Studies stored beside the scales: a pilot run."""

from __future__ import annotations

from companion.tiny.experiment import Config, experiment

from companion.lab import Study

STUDIES = {"pilot": Study(experiment, Config.at("ci"), first_seed=100, reduced={"size": 5})}
