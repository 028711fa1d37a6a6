"""The experiment: seeds, methods, halves without a common moment, the paper's configuration on few scenes, figures."""

from __future__ import annotations

import numpy as np
import pytest
import rooms
import torch

from companion.data import real_dir, status
from companion.lab import load_record
from companion.lab.display import png
from companion.lab.evidence import values
from companion.trajectory_attribution import figures, method, studies
from companion.trajectory_attribution.experiment import (
    Config,
    experiment,
    football_targets,
    for_all,
    simulated_targets,
)
from companion.trajectory_attribution.training import METHODS, ORDINARY, RETRAINED, SUBSETS

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


def test_every_claim_finds_its_methods(rows) -> None:
    rooms.finds_its_arms(LESSON, rows)


def test_laptop_and_study_differ_in_seeds_alone() -> None:
    rooms.laptop_is_study(Config)


@pytest.mark.parametrize("scale", ["ci", "laptop", "study", "paper"])
def test_every_scale_has_the_kappas_of_the_claims(scale: str) -> None:
    kappas = Config.at(scale).kappas
    assert {0.0, 1.0, 2.0} <= set(kappas)


def test_tuning_and_pilot_run_never_see_the_second_half() -> None:
    for name in ("tuning", "pilot"):
        config = studies.STUDIES[name].config
        data, test = football_targets(config, CPU)
        assert int(data.scene.max()) + 19 < int(test.scene.min())
        assert (int(test.scene.max()) + 19) * 0.4 / 60 < 45.89
    data, test = football_targets(CI, CPU)
    assert int(data.scene.max()) + 19 < int(test.scene.min())


def test_train_and_test_scenes_differ() -> None:
    data, test = simulated_targets(CI, 1.0, 3, CPU)
    assert not torch.equal(data.past[:10], test.past[:10])


def test_every_method_has_as_many_candidates() -> None:
    for configs in (Config().train_simulation, Config().train_football):
        assert set(configs) == set(METHODS)
        assert {config.lr for config in configs.values()} <= set(studies.LEARNING_RATES)


@pytest.mark.parametrize("amp", [False, True])
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_the_paper_configuration_runs_on_few_scenes(amp: bool, device: str, monkeypatch) -> None:
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    paper = Config.at("paper")
    assert (paper.pedestrians, paper.scenes, paper.train_simulation[SUBSETS].hidden_dim) == (12, 20_000, 128)
    monkeypatch.setattr(method, "MAX_ROWS", 5000)
    tiny = {"hidden_dim": 16, "epochs": 1, "batch_size": 64, "amp": amp}
    config = paper.override(
        kappas=(0.0, 2.0), scenes=4, test_scenes=4, stride=60, test_stride=90, effect_threshold=0.0,
        **for_all("train_simulation", **tiny), **for_all("train_football", **tiny),
    )  # fmt: skip
    found = experiment(config, 0, torch.device(device))
    assert {row.method for row in found} >= {SUBSETS, RETRAINED, ORDINARY, "ball", "random agent", "kappa 2"}
    assert np.isfinite([row.value for row in found]).all()


def test_removal_is_measured_on_both_data_sets() -> None:
    found = studies.remove_neighbors(CI, 0, CPU)
    assert {row.setting for row in found} == {"kappa 0", "kappa 1", "kappa 2", "football"}


@pytest.mark.real
def test_pedestrians_are_left_out_scene_by_scene() -> None:
    if real_dir() is None or not (real_dir() / "ucy").is_dir():
        pytest.skip("COMPANION_REAL holds no ucy")
    config = studies.LAPTOP.override(stride=60, **for_all("train_simulation", hidden_dim=8, epochs=1))
    found = studies.pedestrians(config, 0, CPU)
    assert len({row.setting for row in found}) == 5
    groups = {row.setting for row in found if row.metric == "companion ranked first"}
    assert groups == {"crowds_zara01", "students003"}


class TestRecord:
    def test_the_pilot_run_never_saw_the_second_half(self) -> None:
        runs = load_record(LESSON).runs
        assert runs["pilot"].stamp["config"]["test_until"] < 45.9
        assert runs["study"].stamp["config"]["test_from"] > 45.8


class TestFigures:
    def test_result_holds_what_was_measured(self, rows) -> None:
        figure = figures.result(rows, CI.kappas)
        wanted = [
            100 * values(rows, "contribution above random agent, ADE", f"kappa {k:g}", "simulation").mean()
            for k in CI.kappas
        ]
        assert list(figure.axes[0].lines[0].get_ydata()) == pytest.approx(wanted)

    def test_all_are_small_enough(self, rows) -> None:
        model = method.Predictor(8, 12, 1, hidden_dim=16)
        test = football_targets(CI, CPU)[1][:1]
        players = method.Predictor(8, 12, 3, hidden_dim=16)
        phi = method.attribute(method.value_table(players, test))
        for figure in (
            figures.result(rows, CI.kappas),
            figures.lattice([-3.0, -1.0, -2.8, -0.4, -3.0, -1.0, -2.8, -0.1]),
            figures.scene(model, 2.0),
            figures.scene(model, 2.0, 1.0, -0.5, "removed", "present", "removed"),
            figures.controls(rows, CI.kappas),
            figures.ranking(rows, 2.0),
            figures.football_moment(players, test, phi),
        ):
            assert png(figure)
