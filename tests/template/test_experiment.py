"""The template's experiment: seeds that repeat, arms that the claims find, numbers that theory knows, figures."""

from __future__ import annotations

from dataclasses import replace

import pytest
import rooms
import torch

from companion._template import figures
from companion._template.experiment import Config, experiment, observe, place, truth
from companion._template.method import exact_risk
from companion.lab import Measurement, judge, load_lesson
from companion.lab.evidence import Arm, by_seed
from companion.lab.plots import png

CPU = torch.device("cpu")
LAPTOP = Config.at("laptop")


@pytest.fixture(scope="module")
def rows() -> list[Measurement]:
    config = replace(LAPTOP, draws=1000)
    return [row for seed in range(200, 203) for row in experiment(config, seed, CPU)]


def test_a_seed_repeats_and_another_differs() -> None:
    rooms.repeats(lambda seed: experiment(Config.at("ci"), seed, CPU), seeds=(3, 4))


def test_a_truth_has_the_length_that_was_asked_for() -> None:
    theta = truth(10, 4.0, torch.Generator().manual_seed(0))
    assert float(theta.square().sum()) == pytest.approx(40, rel=1e-5)


@pytest.mark.parametrize("scale", ["ci", "laptop", "study", "paper"])
def test_every_scale_measures_every_arm_that_a_claim_names(scale: str) -> None:
    config = replace(Config.at(scale), draws=5)
    few = [row for seed in (0, 1) for row in experiment(config, seed, CPU)]
    rooms.finds_its_arms("_template", few)


def test_measured_risks_are_those_of_the_closed_form(rows: list[Measurement]) -> None:
    for d, signal in [(5, 1.0), (10, 1.0), (30, 1.0), (10, 0.0), (10, 16.0)]:
        seeds = by_seed(rows, "risk", Arm("james-stein", place(d, signal)))
        assert sum(seeds.values()) / len(seeds) == pytest.approx(exact_risk(d, d * signal) / d, abs=0.04)


def test_the_verdicts_on_seeds_that_nobody_has_seen(rows: list[Measurement]) -> None:
    for claim in load_lesson("_template").claims:
        assert judge(claim, rows, "laptop").verdict == claim.expected["laptop"], claim.id


def test_bounds_of_sabotages_stand_three_deviations_from_the_rehearsal() -> None:
    rooms.ablates_stand_off("_template")


def test_figures_hold_what_was_measured(rows: list[Measurement]) -> None:
    figure = figures.risk_by_dimension(rows, LAPTOP.dimensions)
    assert len(figure.axes[0].lines) == 3 * (1 + 3)  # a line an arm, dots for each of three seeds
    dots = figures.broken(rows, 10, LAPTOP.strengths, LAPTOP.groups).axes[0].lines[1]
    seen = by_seed(rows, "risk", Arm("james-stein", place(10, 1.0)))
    assert list(dots.get_ydata()) == [seen[seed] for seed in sorted(seen)]


def test_figures_are_small_enough(rows: list[Measurement]) -> None:
    generator = torch.Generator().manual_seed(0)
    seen = {d: observe(truth(d, 1.0, generator), 200, generator) for d in (2, 10)}
    for figure in (
        figures.toy([1, 0.5, -1], [2, 0, -1], [1.6, 0, -0.8]),
        figures.lengths(seen, 1.0),
        figures.risk_by_signal(rows, 10, LAPTOP.signals),
        figures.who_pays(rows, ("mle", "james-stein")),
        figures.risk_curve(3, 2.5),
    ):
        assert png(figure)
