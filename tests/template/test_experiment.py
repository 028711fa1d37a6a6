"""The template's experiment: seeds repeat, claims find their methods, risks are those of theory; figures."""

from __future__ import annotations

from dataclasses import replace

import pytest
import rooms
import torch

from companion._template import figures
from companion._template.data import draw_means, observe, setting_name
from companion._template.experiment import JAMES_STEIN, OBSERVATION, Config, experiment
from companion._template.method import exact_risk
from companion.lab import Measurement, evaluate, load_lesson
from companion.lab.display import png
from companion.lab.evidence import Condition, by_seed

CPU = torch.device("cpu")
LAPTOP = Config.at("laptop")


@pytest.fixture(scope="module")
def rows() -> list[Measurement]:
    config = replace(LAPTOP, draws=1000)
    return [row for seed in range(200, 203) for row in experiment(config, seed, CPU)]


def test_a_seed_repeats_and_another_differs() -> None:
    rooms.repeats(lambda seed: experiment(Config.at("ci"), seed, CPU), seeds=(3, 4))


def test_a_truth_has_the_length_that_was_asked_for() -> None:
    theta = draw_means(10, 4.0, torch.Generator().manual_seed(0))
    assert float(theta.square().sum()) == pytest.approx(40, rel=1e-5)


@pytest.mark.parametrize("scale", ["ci", "laptop", "study", "paper"])
def test_every_scale_measures_every_method_that_a_claim_names(scale: str) -> None:
    config = replace(Config.at(scale), draws=5)
    few = [row for seed in (0, 1) for row in experiment(config, seed, CPU)]
    rooms.finds_its_arms("_template", few)


def test_measured_risks_are_those_of_the_closed_form(rows: list[Measurement]) -> None:
    for d, signal in [(5, 1.0), (10, 1.0), (30, 1.0), (10, 0.0), (10, 16.0)]:
        seeds = by_seed(rows, "risk", Condition(JAMES_STEIN, setting_name(d, signal)))
        assert sum(seeds.values()) / len(seeds) == pytest.approx(exact_risk(d, d * signal) / d, abs=0.04)


def test_the_verdicts_on_seeds_that_nobody_has_seen(rows: list[Measurement]) -> None:
    for claim in load_lesson("_template").claims:
        assert evaluate(claim, rows, "laptop").verdict == claim.expected["laptop"], claim.id


def test_margins_of_ablation_tests_stand_three_standard_deviations_from_the_pilot_run() -> None:
    rooms.sabotages_stand_off("_template")


def test_figures_hold_what_was_measured(rows: list[Measurement]) -> None:
    lines = figures.gain_by_dimension(rows, LAPTOP.dimensions).axes[0].containers[0].lines
    gains = [
        sum(by_seed(rows, "risk", Condition(OBSERVATION, setting_name(d, 1.0))).values()) / 3
        - sum(by_seed(rows, "risk", Condition(JAMES_STEIN, setting_name(d, 1.0))).values()) / 3
        for d in LAPTOP.dimensions
    ]
    assert list(lines[0].get_ydata()) == pytest.approx(gains)
    points = figures.ablation(rows, 10, LAPTOP.strengths, LAPTOP.groups).axes[0].lines[1]
    measured = by_seed(rows, "risk", Condition(JAMES_STEIN, setting_name(10, 1.0)))
    assert list(points.get_ydata()) == [measured[seed] for seed in sorted(measured)]


def test_figures_are_small_enough(rows: list[Measurement]) -> None:
    generator = torch.Generator().manual_seed(0)
    observations = {d: observe(draw_means(d, 1.0, generator), 200, generator) for d in (2, 10)}
    for figure in (
        figures.method_diagram(),
        figures.by_hand([1, 0.5, -1], [2, 0, -1], [1.6, 0, -0.8]),
        figures.squared_lengths(observations, 1.0),
        figures.risk_by_signal(rows, 10, LAPTOP.signals),
        figures.outlier_risk(rows, (OBSERVATION, JAMES_STEIN)),
        figures.risk_curve(3, 2.5),
    ):
        assert png(figure)
