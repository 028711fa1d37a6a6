"""GRDA's experiment: seeds, arms, the paper's configuration on a tiny set, margins, verdicts, figures."""

from __future__ import annotations

import importlib
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import rooms
import torch

from companion.data import real_dir, status
from companion.errors import CompanionError
from companion.grda import equilibrium, figures, worlds
from companion.grda.arms import NEURAL, PERMUTED, SOURCE, WALK, Recipe, Sizes, guesses
from companion.grda.experiment import ALL, PUBLISHED, SOURCES, TARGETS, THIRDS, Config, experiment
from companion.lab.evidence import values
from companion.lab.plots import png

room = importlib.import_module("companion.grda.experiment")  # the face of the room has a function of that name
CPU = torch.device("cpu")
CI = Config.at("ci")
TINY = Sizes(width=8, embed_steps=20, epochs=2)


@pytest.fixture(scope="module")
def rows():
    return [row for seed in (0, 1) for row in experiment(CI, seed, CPU)]


def test_a_seed_repeats_and_another_differs(rows) -> None:
    rooms.repeats(lambda seed: experiment(CI, seed, CPU), rows)


def test_every_claim_finds_its_arms(rows) -> None:
    rooms.finds_its_arms("grda", rows)


def test_the_study_is_the_laptop_with_more_arms_and_seeds() -> None:
    rooms.laptop_is_study(Config, "arms", "small")
    assert set(Config.at("laptop").arms) < set(Config.at("study").arms)
    for live, whole in zip(Config.at("laptop").small, Config.at("study").small, strict=True):
        assert replace(live, players=()) == replace(whole, players=())
        assert set(live.players) <= set(whole.players)


def test_groups_of_domains_are_ordered_by_angle() -> None:
    world = worlds.make_dg("DG-15", 0)
    groups = room.places(world)
    assert [len(groups[name]) for name in (SOURCES, TARGETS, *THIRDS)] == [6, 9, 3, 3, 3]
    spans = [world.angle[groups[name]] for name in (SOURCES, *THIRDS)]
    assert all(before.max() < after.min() for before, after in pairwise(spans))


def test_every_arm_has_as_many_candidates() -> None:
    for weights, rates in ((room.WEIGHTS, room.RATES), (room.STATE_WEIGHTS, room.STATE_RATES)):
        recipes = room.candidates(weights, rates)
        assert {len(set(found)) for found in recipes.values()} == {8}
        assert set(recipes) == set(NEURAL) == set(ALL) - {PERMUTED, WALK}


def test_unknown_data_is_named() -> None:
    with pytest.raises(CompanionError, match="use one of DG-15,"):
        room.build(replace(CI, data="DG-16"), 0, CPU)


@pytest.mark.parametrize("amp", [False, True])
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_the_paper_configuration_runs_on_few_epochs(amp: bool, device: str) -> None:
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    paper = Config.at("paper")
    assert (paper.sizes.width, paper.sizes.epochs, paper.sizes.batch) == (512, 500, 10)
    config = replace(paper, sizes=replace(paper.sizes, width=16, embed_steps=20, epochs=2, amp=amp), small=CI.small)
    found = experiment(config, 0, torch.device(device))
    assert {row.method for row in found if row.setting == TARGETS} == set(ALL)
    assert all(0 <= row.value <= 100 for row in found)


@pytest.mark.real
def test_the_published_file_takes_the_place_of_a_draw() -> None:
    if real_dir() is None or not (real_dir() / "grda_dg15").is_dir():
        pytest.skip("COMPANION_REAL holds no grda_dg15")
    config = replace(CI, data=PUBLISHED, arms=(SOURCE, WALK), small=())
    first, other = (experiment(config, seed, CPU) for seed in (0, 1))
    walks = [row.value for row in (*first, *other) if row.method == WALK and row.setting == TARGETS]
    assert walks == [100.0, 100.0]


@pytest.mark.real
def test_temperatures_are_measured_by_level() -> None:
    if real_dir() is None or not (real_dir() / "noaa_climdiv_states").is_dir() or status("us48") != "cached":
        pytest.skip("COMPANION_REAL holds no noaa_climdiv_states")
    config = replace(Config(), sizes=Sizes(width=8, k=8, embed_steps=20, epochs=3, batch=12))
    found = room.temperatures(config, 0, CPU)
    assert {row.method for row in found} >= {"GRDA", "DANN", SOURCE, "ridge", "climatology"}
    assert {row.setting for row in found} == {
        f"{split}, {place}"
        for split in ("E->W", "N->S")
        for place in ("sources", "all targets", "level 1", "level 2", "level 3")
    }


class TestFigures:
    @pytest.fixture(scope="class")
    def world(self):
        return worlds.make_dg("DG-15", 0)

    def test_result_holds_what_was_measured(self, rows) -> None:
        figure = figures.result(rows, (WALK, SOURCE), {SOURCE: 39.77})
        lines = figure.axes[0].lines
        assert list(lines[0].get_xdata()) == list(
            values(rows, "accuracy", SOURCE, TARGETS)
        )  # the last arm stands lowest
        assert lines[1].get_xdata()[0] == 100  # the walk
        assert lines[2].get_xdata()[0] == 39.77  # the paper's cross

    def test_places_hold_the_means(self, rows) -> None:
        figure = figures.by_place(rows, (WALK, SOURCE))
        wanted = [np.mean(values(rows, "accuracy", WALK, place)) for place in (SOURCES, *THIRDS)]
        assert list(figure.axes[0].lines[0].get_ydata()) == pytest.approx(wanted)

    def test_the_middle_of_a_chain_ends_between_its_ends(self) -> None:
        figure = figures.simplex({"chain": (equilibrium.chain(3), True)}, start=4)
        ends = [line.get_xydata()[0] for line in figure.axes[0].lines if line.get_markersize() == 9]
        assert np.allclose(ends[1], (ends[0] + ends[2]) / 2, atol=1e-3)

    def test_all_are_small_enough(self, rows, world) -> None:
        found = {arm: guesses(world, arm, Recipe(1e-3), TINY, 0) for arm in (SOURCE, WALK)}
        for figure in (
            figures.result(rows, Config().arms, {}),
            figures.by_place(rows, Config().arms),
            figures.domains(world),
            figures.guessed(world, found),
            figures.simplex({"clique": (equilibrium.clique(3), True), "star": (equilibrium.star(3), True)}),
            figures.panel(world, TINY, 0, "shuffled", 0.5, "true"),
            figures.panel(world, TINY, 0, "shuffled", 0.0, "permuted"),
        ):
            assert png(figure)
