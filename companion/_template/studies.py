"""What is stored beside the main run: the pilot run, on whose seeds the margins of the claims were fixed."""

from __future__ import annotations

from dataclasses import replace

from companion._template.experiment import Config, experiment
from companion.lab.config import Study

STUDIES = {
    "pilot": Study(experiment, replace(Config.at("laptop"), seeds=10), first_seed=100, reduced={"draws": 200}),
}
