"""The experiment: seeds, methods, what is held out, the paper's configuration on tiny data, margins, figures."""

from __future__ import annotations

import importlib
from dataclasses import replace

import numpy as np
import pytest
import rooms
import torch

from companion.lab import TrainConfig, load_record
from companion.lab.display import png
from companion.lab.evidence import values
from companion.visual_generalization import data as vg_data
from companion.visual_generalization import figures, method, studies, training
from companion.visual_generalization.experiment import Config, experiment
from companion.visual_generalization.method import COMPOSITION, EXTRAPOLATION, RANDOM, SPLITS
from companion.visual_generalization.models import Shape
from companion.visual_generalization.studies import RUNNABLE

vg = importlib.import_module("companion.visual_generalization.experiment")
LESSON = "visual_generalization"
CPU = torch.device("cpu")
CI = Config.at("ci")


@pytest.fixture(scope="module")
def rows():
    return [row for seed in (0, 1) for row in experiment(CI, seed, CPU)]


def test_a_seed_repeats_and_another_differs(rows) -> None:
    vg.trained.cache_clear()
    vg.training_set.cache_clear()
    rooms.repeats(lambda seed: experiment(CI, seed, CPU), rows)
    assert np.isfinite([row.value for row in rows]).all()


def test_every_claim_finds_its_methods(rows) -> None:
    rooms.finds_its_arms(LESSON, rows)


def test_six_approaches_of_three_kinds_of_supervision_on_all_splits(rows) -> None:
    for split in SPLITS:
        assert set(CI.approaches) <= {row.method for row in rows if row.setting == split}
    assert len(Config().approaches) >= 6
    assert {training.approach(name).supervision for name in Config().approaches} == {"none", "pairs", "labels"}


def test_laptop_and_study_differ_in_seeds_alone() -> None:
    rooms.laptop_is_study(Config)


def test_training_and_test_images_never_meet() -> None:
    for split in SPLITS:
        grid, mask = vg_data.SPRITES.grid, vg.mask_of(CI, split)
        test = vg.test_set(CI, ~mask, 500, 5, CPU)
        assert not bool(mask[tuple(test.factors.T)].any())
        data = vg.training_set(CI, split, 3, CPU)
        factors = (data.targets * (torch.tensor(grid.sizes) - 1)).round().long()
        assert bool(mask[tuple(factors.T)].all())


def test_the_leak_sees_everything_and_is_judged_where_the_others_are(rows) -> None:
    assert bool(vg.mask_of(CI, vg.EVERYTHING).all())
    found = {row.setting for row in rows if row.method == vg.LEAKED}
    assert found == {EXTRAPOLATION, COMPOSITION}


def test_choices_look_at_training_images_alone(monkeypatch) -> None:
    seen = []
    right = vg.test_set
    monkeypatch.setattr(
        studies, "test_set", lambda config, mask, *rest: seen.append(mask) or right(config, mask, *rest)
    )
    config = replace(CI, approaches=("MLP",))
    found = studies.tune(config, 100, CPU)
    (valid,) = seen
    train = vg.mask_of(config, RANDOM)
    assert not bool((valid & ~train).any())
    assert int(train.sum() - valid.sum()) == config.images
    assert len(found) == len(studies.LEARNING_RATES)


def test_every_approach_that_runs_here_has_a_chosen_rate() -> None:
    assert set(Config().lr) == set(RUNNABLE)
    assert set(Config().lr.values()) <= set(studies.LEARNING_RATES)


def test_a_fitted_network_is_kept() -> None:
    nets = [vg.trained(CI, "MLP", RANDOM, 7, CPU) for _ in range(2)]
    assert nets[0] is nets[1]


def test_the_colored_room_has_the_same_rows() -> None:
    config = replace(studies.STUDIES["colored room"].config, images=40, test=30, single=10, epochs=1)
    found = experiment(config, 0, CPU)
    assert {row.metric for row in found} >= {"R2, azimuth", "R2, wall hue", "R2, ordered"}
    assert np.isfinite([row.value for row in found]).all()


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_the_paper_configuration_runs_on_tiny_data(device: str, monkeypatch, tmp_path) -> None:
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    paper = Config.at("paper")
    assert (paper.pool, paper.shape.widths, paper.steps) == (1, (32, 32, 64, 64), 500_000)
    assert (paper.batch_size, paper.amp, len(paper.approaches)) == (64, True, 17)
    monkeypatch.setattr(training, "CHECKPOINT_EVERY", 2)
    tiny = Shape(side=64, widths=(4, 4, 4, 4), hidden=16, readout=(16,))
    config = replace(
        paper, approaches=("PCA", "PCL", "MLP", "CNN"), scattered=("CNN",), images=24, test=20, single=6, shape=tiny,
        steps=3, batch_size=8, checkpoints=str(tmp_path),
    )  # fmt: skip
    found = experiment(config, 0, torch.device(device))
    assert np.isfinite([row.value for row in found]).all()
    assert len(list(tmp_path.rglob("checkpoint.pt"))) > 10
    vg.trained.cache_clear()
    assert experiment(config, 0, torch.device(device)) == found, "all was resumed"


class TestRecord:
    def test_every_approach_that_runs_here_was_run(self) -> None:
        run = load_record(LESSON).runs["every approach"]
        for split in SPLITS:
            assert set(RUNNABLE) <= {m.method for m in run.measurements if m.setting == split}


class TestFigures:
    def test_the_heat_map_holds_what_was_measured(self, rows) -> None:
        figure = figures.score_table(rows, ["CNN", "clamp oracle"], [RANDOM, EXTRAPOLATION])
        said = [text.get_text() for text in figure.axes[0].texts]
        wanted = [values(rows, "R2, ordered", "CNN", split).mean() for split in (RANDOM, EXTRAPOLATION)]
        assert said[:2] == [f"{value:.2f}" for value in wanted]
        assert len(said) == 3, "the clamp oracle is not measured on the random split"

    def test_maps_are_the_masks(self) -> None:
        grid = method.Grid(("a", "b"), (4, 4), (), 0.25)
        figure = figures.split_maps(grid, ("a", "b"), SPLITS)
        for ax, split in zip(figure.axes, SPLITS, strict=True):
            tested = sum(patch.get_hatch() is not None for patch in ax.patches)
            assert tested == int((~method.train_mask(grid, split)).sum())

    def test_the_light_says_what_is_out(self) -> None:
        grid = vg_data.sprite_grid()
        y = torch.tensor([0, 5, 9, 3, 3])
        assert figures.membership(grid, y, EXTRAPOLATION) == "extrapolation: HELD OUT by scale, orientation"
        assert figures.membership(grid, y, COMPOSITION) == "composition: HELD OUT, no low value"
        assert figures.membership(grid, torch.tensor([0, 5, 9, 0, 3]), COMPOSITION) == "composition: training image"

    def test_all_are_small_enough(self, rows) -> None:
        dataset = vg_data.SPRITES
        net = training.train(
            "MLP", vg.training_set(CI, RANDOM, 0, CPU), Shape(), TrainConfig(1e-3, epochs=1, batch_size=128), 0
        )
        nets, sprite = {"one": net, "two": net}, (2, 3, 7, 12, 20)
        names = dict(zip((name.replace(" ", "_") for name in dataset.grid.names), sprite, strict=True))
        for figure in (
            figures.split_maps(dataset.grid, ("x", "orientation"), SPLITS),
            figures.image_rows(dataset, {"small": [sprite] * 3, "other": [sprite] * 2}),
            figures.score_table(rows, list(CI.approaches), list(SPLITS)),
            figures.modularity(rows, ["CNN", "MLP"], dataset.grid),
            figures.shrinkage_to_training_range(nets, dataset, 2, each=2),
            figures.orientation_predictions(nets, dataset, 2, sprite),
            figures.prediction_panel({("MLP", RANDOM): net, ("MLP", COMPOSITION): net}, dataset, 2, **names),
            figures.image_rows(vg_data.ROOM, {"rooms": [(0, 1, 2, 3, 0, 5)]}),
        ):
            assert png(figure)
