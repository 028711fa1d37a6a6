"""The experiment: seeds, arms, halves that never meet, the paper's configuration on a tiny set, margins, figures."""

from __future__ import annotations

import importlib
from dataclasses import replace

import numpy as np
import pytest
import rooms
import torch

from companion.data import real_dir, status
from companion.lab import load_record
from companion.lab.evidence import values
from companion.lab.plots import png
from companion.trajectory_attribution import figures, method
from companion.trajectory_attribution.arms import ALONE, ARMS, ORDINARY, SUBSETS, Sizes
from companion.trajectory_attribution.experiment import Config, experiment

room = importlib.import_module("companion.trajectory_attribution.experiment")
LESSON = "trajectory_attribution"
CPU = torch.device("cpu")
CI = Config.at("ci")
pytestmark = pytest.mark.skipif(
    status("skillcorner_2417") != "cached", reason="the match is not in the cache: make data"
)


@pytest.fixture(scope="module")
def rows():
    return [row for seed in (0, 1) for row in experiment(CI, seed, CPU)]


def test_a_seed_repeats_and_another_differs(rows) -> None:
    rooms.repeats(lambda seed: experiment(CI, seed, CPU), rows)
    assert np.isfinite([row.value for row in rows]).all()


def test_every_claim_finds_its_arms(rows) -> None:
    rooms.finds_its_arms(LESSON, rows)


def test_laptop_and_study_differ_in_seeds_alone() -> None:
    rooms.laptop_is_study(Config)


@pytest.mark.parametrize("scale", ["ci", "laptop", "study", "paper"])
def test_every_scale_has_the_worlds_of_the_claims(scale: str) -> None:
    kappas = Config.at(scale).kappas
    assert {0.0, 1.0, 2.0} <= set(kappas)


def test_choices_and_rehearsals_never_see_the_second_half() -> None:
    for name in ("choice", "rehearsal"):
        config = room.FURTHER[name].config
        data, test = room.moments(config, CPU)
        assert int(data.scene.max()) + 19 < int(test.scene.min())
        assert (int(test.scene.max()) + 19) * 0.4 / 60 < 45.89
    data, test = room.moments(CI, CPU)
    assert int(data.scene.max()) + 19 < int(test.scene.min())


def test_train_and_test_scenes_differ() -> None:
    data, test = room.walkers(CI, 1.0, 3, CPU)
    assert not torch.equal(data.past[:10], test.past[:10])


def test_every_arm_has_as_many_candidates() -> None:
    assert {name.split(", ")[0] for name, _ in Config().rates} == set(ARMS)
    assert set(dict(Config().rates).values()) <= set(room.RATES)


@pytest.mark.parametrize("amp", [False, True])
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_the_paper_configuration_runs_on_few_scenes(amp: bool, device: str, monkeypatch) -> None:
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    paper = Config.at("paper")
    assert (paper.walkers, paper.scenes, paper.walking.width) == (12, 20_000, 128)
    monkeypatch.setattr(method, "ROWS_AT_ONCE", 5000)
    tiny = Sizes(width=16, epochs=1, batch=64, amp=amp)
    config = replace(
        paper, kappas=(0.0, 2.0), scenes=4, test_scenes=4, walking=tiny, playing=replace(tiny, unit=10.0), stride=60,
        test_stride=90, effect=0.0,
    )  # fmt: skip
    found = experiment(config, 0, torch.device(device))
    assert {row.method for row in found} >= {SUBSETS, ALONE, ORDINARY, "ball", "stranger", "kappa 2"}
    assert np.isfinite([row.value for row in found]).all()


def test_the_drop_all_line_has_both_data_sets() -> None:
    found = room.drop_all(CI, 0, CPU)
    assert {row.setting for row in found} == {"kappa 0", "kappa 1", "kappa 2", "football"}


@pytest.mark.real
def test_pedestrians_are_left_out_scene_by_scene() -> None:
    if real_dir() is None or not (real_dir() / "ucy").is_dir():
        pytest.skip("COMPANION_REAL holds no ucy")
    config = replace(room.STREET, stride=60, walking=Sizes(width=8, epochs=1))
    found = room.pedestrians(config, 0, CPU)
    assert len({row.setting for row in found}) == 5
    groups = {row.setting for row in found if row.metric == "friends first"}
    assert groups == {"crowds_zara01", "students003"}


class TestRecord:
    def test_the_rehearsal_never_saw_the_second_half(self) -> None:
        runs = load_record(LESSON).runs
        assert runs["rehearsal"].stamp["config"]["test_minutes"][1] < 45.9
        assert runs["study"].stamp["config"]["test_minutes"][0] > 45.8


class TestFigures:
    def test_result_holds_what_was_measured(self, rows) -> None:
        figure = figures.result(rows, CI.kappas)
        wanted = [100 * values(rows, "excess, ADE", f"kappa {k:g}", "walkers").mean() for k in CI.kappas]
        assert list(figure.axes[0].lines[0].get_ydata()) == pytest.approx(wanted)

    def test_all_are_small_enough(self, rows) -> None:
        model = method.Predictor(8, 12, 1, width=16)
        test = room.moments(CI, CPU)[1][:1]
        players = method.Predictor(8, 12, 3, width=16)
        phi = method.attribute(method.value_table(players, test))
        for figure in (
            figures.result(rows, CI.kappas),
            figures.lattice([-3.0, -1.0, -2.8, -0.4, -3.0, -1.0, -2.8, -0.1]),
            figures.panel(model, 2.0),
            figures.panel(model, 2.0, 1.0, -0.5, "gone", "there", "gone"),
            figures.knob(rows, CI.kappas),
            figures.ranking(rows, 2.0),
            figures.pitch(players, test, phi),
        ):
            assert png(figure)
