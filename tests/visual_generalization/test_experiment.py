"""The experiment: seeds, arms, what is held out, the paper's configuration on tiny data, margins, figures."""

from __future__ import annotations

import importlib
from dataclasses import replace

import numpy as np
import pytest
import rooms
import torch

from companion.lab import load_record
from companion.lab.evidence import values
from companion.lab.plots import png
from companion.visual_generalization import figures, method, training, worlds
from companion.visual_generalization.experiment import RUNNABLE, Config, experiment
from companion.visual_generalization.method import COMPOSITION, EXTRAPOLATION, RANDOM, SPLITS
from companion.visual_generalization.models import Shape
from companion.visual_generalization.training import Recipe

room = importlib.import_module("companion.visual_generalization.experiment")
LESSON = "visual_generalization"
CPU = torch.device("cpu")
CI = Config.at("ci")


@pytest.fixture(scope="module")
def rows():
    return [row for seed in (0, 1) for row in experiment(CI, seed, CPU)]


def test_a_seed_repeats_and_another_differs(rows) -> None:
    room.fitted.cache_clear()
    room.training_set.cache_clear()
    rooms.repeats(lambda seed: experiment(CI, seed, CPU), rows)
    assert np.isfinite([row.value for row in rows]).all()


def test_every_claim_finds_its_arms(rows) -> None:
    rooms.finds_its_arms(LESSON, rows)


def test_six_approaches_of_three_kinds_of_supervision_on_all_splits(rows) -> None:
    for split in SPLITS:
        assert set(CI.approaches) <= {row.method for row in rows if row.setting == split}
    assert len(Config().approaches) >= 6
    assert {room.entry(name).supervision for name in Config().approaches} == {"none", "pairs", "labels"}


def test_laptop_and_study_differ_in_seeds_alone() -> None:
    rooms.laptop_is_study(Config)


def test_training_and_test_images_never_meet() -> None:
    for split in SPLITS:
        grid, mask = worlds.SPRITES.grid, room.mask_of(CI, split)
        test = room.test_set(CI, ~mask, 500, 5, CPU)
        assert not bool(mask[tuple(test.factors.T)].any())
        data = room.training_set(CI, split, 3, CPU)
        factors = (data.targets * (torch.tensor(grid.sizes) - 1)).round().long()
        assert bool(mask[tuple(factors.T)].all())


def test_the_leak_sees_everything_and_is_judged_where_the_others_are(rows) -> None:
    assert bool(room.mask_of(CI, room.EVERYTHING).all())
    found = {row.setting for row in rows if row.method == room.LEAKED}
    assert found == {EXTRAPOLATION, COMPOSITION}


def test_choices_look_at_training_images_alone(monkeypatch) -> None:
    seen = []
    right = room.test_set
    monkeypatch.setattr(room, "test_set", lambda config, mask, *rest: seen.append(mask) or right(config, mask, *rest))
    config = replace(CI, approaches=("MLP",), rates=())
    found = room.choose(config, 100, CPU)
    (valid,) = seen
    train = room.mask_of(config, RANDOM)
    assert not bool((valid & ~train).any())
    assert int(train.sum() - valid.sum()) == config.images
    assert len(found) == len(room.RATES)


def test_every_approach_that_runs_here_has_a_chosen_rate() -> None:
    assert set(dict(Config().rates)) == set(RUNNABLE)
    assert set(dict(Config().rates).values()) <= set(room.RATES)


def test_a_fitted_network_is_kept() -> None:
    nets = [room.fitted(CI, "MLP", RANDOM, 7, CPU) for _ in range(2)]
    assert nets[0] is nets[1]


def test_the_coloured_room_has_the_same_rows() -> None:
    config = replace(room.FURTHER["coloured room"].config, images=40, test=30, single=10, recipe=CI.recipe)
    found = experiment(config, 0, CPU)
    assert {row.metric for row in found} >= {"R2, azimuth", "R2, wall hue", "R2, ordered"}
    assert np.isfinite([row.value for row in found]).all()


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_the_paper_configuration_runs_on_tiny_data(device: str, monkeypatch, tmp_path) -> None:
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    paper = Config.at("paper")
    assert (paper.pool, paper.shape.widths, paper.recipe.steps) == (1, (32, 32, 64, 64), 500_000)
    assert (paper.recipe.batch, paper.recipe.amp, len(paper.approaches)) == (64, True, 17)
    monkeypatch.setattr(training, "CHECKPOINT_EVERY", 2)
    tiny = Shape(side=64, widths=(4, 4, 4, 4), hidden=16, readout=(16,))
    config = replace(
        paper, approaches=("PCA", "PCL", "MLP", "CNN"), unbiased=("CNN",), images=24, test=20, single=6, shape=tiny,
        recipe=replace(paper.recipe, steps=3, batch=8), checkpoints=str(tmp_path),
    )  # fmt: skip
    found = experiment(config, 0, torch.device(device))
    assert np.isfinite([row.value for row in found]).all()
    assert len(list(tmp_path.rglob("checkpoint.pt"))) > 10
    room.fitted.cache_clear()
    assert experiment(config, 0, torch.device(device)) == found, "all was resumed"


class TestRecord:
    def test_every_approach_that_runs_here_was_run(self) -> None:
        run = load_record(LESSON).runs["every approach"]
        for split in SPLITS:
            assert set(RUNNABLE) <= {m.method for m in run.measurements if m.setting == split}


class TestFigures:
    def test_the_heat_map_holds_what_was_measured(self, rows) -> None:
        figure = figures.heat(rows, ["CNN", "clamp oracle"], [RANDOM, EXTRAPOLATION])
        said = [text.get_text() for text in figure.axes[0].texts]
        wanted = [values(rows, "R2, ordered", "CNN", split).mean() for split in (RANDOM, EXTRAPOLATION)]
        assert said[:2] == [f"{value:.2f}" for value in wanted]
        assert len(said) == 3, "the clamp oracle is not measured on the random split"

    def test_maps_are_the_masks(self) -> None:
        grid = method.Grid(("a", "b"), (4, 4), (), 0.25)
        figure = figures.maps(grid, ("a", "b"), SPLITS)
        for ax, split in zip(figure.axes, SPLITS, strict=True):
            tested = sum(patch.get_hatch() is not None for patch in ax.patches)
            assert tested == int((~method.train_mask(grid, split)).sum())

    def test_the_light_says_what_is_out(self) -> None:
        grid = worlds.sprite_grid()
        y = torch.tensor([0, 5, 9, 3, 3])
        assert figures.light(grid, y, EXTRAPOLATION) == "extrapolation: HELD OUT by scale, orientation"
        assert figures.light(grid, y, COMPOSITION) == "composition: HELD OUT, no low value"
        assert figures.light(grid, torch.tensor([0, 5, 9, 0, 3]), COMPOSITION) == "composition: trained on"

    def test_all_are_small_enough(self, rows) -> None:
        world = worlds.SPRITES
        net = training.train("MLP", room.training_set(CI, RANDOM, 0, CPU), Shape(), Recipe(epochs=1), 1e-3, 0)
        nets, sprite = {"one": net, "two": net}, (2, 3, 7, 12, 20)
        names = dict(zip((name.replace(" ", "_") for name in world.grid.names), sprite, strict=True))
        for figure in (
            figures.maps(world.grid, ("x", "orientation"), SPLITS),
            figures.strip(world, {"small": [sprite] * 3, "other": [sprite] * 2}),
            figures.heat(rows, list(CI.approaches), list(SPLITS)),
            figures.modularity(rows, ["CNN", "MLP"], world.grid),
            figures.pull_back(nets, world, 2, each=2),
            figures.autopsy(nets, world, 2, sprite),
            figures.panel({("MLP", RANDOM): net, ("MLP", COMPOSITION): net}, world, 2, **names),
            figures.strip(worlds.ROOM, {"rooms": [(0, 1, 2, 3, 0, 5)]}),
        ):
            assert png(figure)
