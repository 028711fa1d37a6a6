"""The method: every exact check holds, and fails when the code is broken; worlds, registry, training."""

from __future__ import annotations

import importlib
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from companion.data import card
from companion.data.images import SPRITES, dsprites, released_split
from companion.errors import CompanionError
from companion.lab import TrainConfig, load_lesson
from companion.visual_generalization import baselines, checks, method, models, studies, training
from companion.visual_generalization import data as vg_data
from companion.visual_generalization.data import TrainingImages
from companion.visual_generalization.method import COMPOSITION, EXTRAPOLATION, SCATTERED
from companion.visual_generalization.models import VAE, AdaGVAE, Representation, Shape

LESSON = "visual_generalization"
EXACT = {
    "X1": checks.shares,
    "X2": checks.counts,
    "X3": checks.held_out_values,
    "X4": checks.masks_are_the_rule,
    "X5": checks.pairs_stay_inside,
    "X6": checks.clamp_oracle,
    "X7": checks.train_mean,
    "X8": checks.shortcut,
    "X9": checks.shortcut_holds_in_training,
    "X10": checks.perfection,
    "X11": checks.golden_pixels,
    "X12": checks.pixel_by_pixel,
    "X13": checks.rays_stop_at_the_surface,
    "X14": checks.p4_equivariance,
    "X15": checks.laplace_is_the_integral,
    "X16": checks.kl_is_that_of_torch,
}
CPU = torch.device("cpu")
GRID = vg_data.sprite_grid()
TINY = Shape(widths=(4, 4, 4), hidden=16, readout=(16,))
QUICK = TrainConfig(1e-3, epochs=1, batch_size=32)
RUNNABLE = [each.name for each in training.APPROACHES if not each.needs]


def tolerance(id: str) -> float:
    return load_lesson(LESSON).check(id).tolerance


@pytest.fixture(scope="module")
def data() -> TrainingImages:
    return vg_data.draw_training_images(vg_data.SPRITES, method.train_mask(GRID, EXTRAPOLATION), 100, 2, 0, CPU)


class TestExactChecks:
    @pytest.mark.parametrize("id", EXACT)
    def test_holds(self, id: str) -> None:
        assert EXACT[id]() < tolerance(id)

    def test_every_check_of_the_lesson_is_here(self) -> None:
        assert {check.id for check in load_lesson(LESSON).checks} == set(EXACT)

    def test_a_floor_in_place_of_the_ceiling_is_found(self, monkeypatch) -> None:
        monkeypatch.setattr(math, "ceil", math.floor)
        assert checks.shares() > tolerance("X1")
        assert checks.counts() > tolerance("X2")
        assert checks.held_out_values() > tolerance("X3")

    def test_rounding_halves_up_is_found(self, monkeypatch) -> None:
        monkeypatch.setattr(np, "round", lambda x: np.floor(x + 0.49))
        assert checks.held_out_values() > tolerance("X3")

    def test_and_in_place_of_any_is_found(self, monkeypatch) -> None:
        right = method.train_mask
        monkeypatch.setattr(
            method, "train_mask", lambda g, s, q=None: ~right(g, s, q) if s == COMPOSITION else right(g, s, q)
        )
        assert checks.shares() > tolerance("X1")
        assert checks.masks_are_the_rule() > tolerance("X4")
        assert checks.shortcut_holds_in_training() > tolerance("X9")

    def test_the_variance_of_the_test_set_is_found(self, monkeypatch) -> None:
        def usual(predicted, targets, grid):
            return 1 - (predicted - targets).double().square().mean(0) / targets.double().var(0)

        monkeypatch.setattr(method, "r_squared", usual)
        assert checks.clamp_oracle() > 10 * tolerance("X6")
        assert checks.train_mean() > 10 * tolerance("X7")
        assert checks.shortcut() > tolerance("X8")

    def test_pairs_that_leave_the_mask_are_found(self, monkeypatch) -> None:
        right = vg_data.draw_partners
        monkeypatch.setattr(vg_data, "draw_partners", lambda f, m, g, s: right(f, m | True, g, s))
        assert checks.pairs_stay_inside() > 100

    def test_another_heart_is_found(self, monkeypatch) -> None:
        right = vg_data.heart_edge
        monkeypatch.setattr(vg_data, "heart_edge", lambda c: 1.2 * right(c))
        assert checks.golden_pixels() > tolerance("X11")
        assert checks.pixel_by_pixel() > tolerance("X12")

    def test_a_mirror_in_place_of_a_turn_is_found(self, monkeypatch) -> None:
        right = vg_data.local_coordinates
        monkeypatch.setattr(vg_data, "local_coordinates", lambda dx, dy, s, o: right(dx, dy, s, -o))
        assert checks.pixel_by_pixel() > tolerance("X12")

    def test_a_ball_that_hangs_is_found(self, monkeypatch) -> None:
        right = vg_data.ball
        monkeypatch.setattr(vg_data, "ball", lambda o, d, height, radius: right(o, d, height + 0.1, radius))
        assert checks.rays_stop_at_the_surface() > tolerance("X13")

    def test_filters_that_are_not_moved_on_are_found(self, monkeypatch) -> None:
        monkeypatch.setattr(torch.Tensor, "roll", lambda x, *_, **__: x)
        monkeypatch.setattr(checks, "p4_equivariance", checks.p4_equivariance)
        assert checks.p4_equivariance() > tolerance("X14")


class TestSplits:
    def test_an_unknown_split_is_named(self) -> None:
        with pytest.raises(CompanionError, match="split = 'oblique' is not known; use one of random, interpolation"):
            method.train_mask(GRID, "oblique")

    def test_an_unknown_factor_is_named(self) -> None:
        with pytest.raises(CompanionError, match="factor = 'hue' is not in this data set; use one of shape, scale"):
            method.only_one_out(GRID, EXTRAPOLATION, "hue")

    def test_scattered_pairs_leave_no_trap(self) -> None:
        mask = method.train_mask(GRID, SCATTERED)
        assert float(mask.float().mean()) == pytest.approx(0.263, abs=1e-3)
        left = mask.any(dim=0).any(dim=0).sum(0)  # orientations that each x and y leave
        assert int(left[left > 0].min()) >= 4

    def test_factors_run_as_the_grid_does(self) -> None:
        flat = torch.arange(GRID.count).view(GRID.sizes)
        assert GRID.factors(flat[2, 3, 4, 5, 6].view(1)).tolist() == [[2, 3, 4, 5, 6]]
        assert torch.equal(GRID.indices(GRID.factors(flat.flatten())), flat.flatten())

    def test_agreement_with_a_list_of_images(self) -> None:
        mask = method.train_mask(GRID, COMPOSITION)
        listed = GRID.factors(torch.nonzero(mask.flatten())[:, 0])
        assert method.agreement(mask, listed) == 1.0
        assert method.agreement(mask, listed[:-100]) < 1.0

    def test_a_sample_has_no_repeats_and_stays_inside(self) -> None:
        mask = method.train_mask(GRID, COMPOSITION)
        flat = method.sample(mask, 5000, torch.Generator().manual_seed(0))
        assert len(flat.unique()) == 5000
        assert bool(mask.flatten()[flat].all())


class TestWorlds:
    def test_orientations_forty_repeat_and_ten_do_not(self) -> None:
        turned = torch.tensor([[2, 5, k, 9, 9] for k in range(40)])
        images = vg_data.sprites(turned)
        assert torch.equal(images[0], images[39])
        assert all(not torch.equal(images[0], images[k]) for k in range(1, 10))

    def test_a_sprite_never_leaves_its_window(self) -> None:
        corners = torch.tensor([[0, 5, k, x, y] for k in range(10) for x in (0, 31) for y in (0, 31)])
        images = vg_data.sprites(corners)
        assert float(images[:, :, 0].sum() + images[:, :, -1].sum() + images[..., 0].sum()) == 0
        assert float((images.sum((1, 2, 3)) - 400 * 0.92).abs().max()) < 45

    def test_pooling_keeps_the_mean(self) -> None:
        flat = torch.arange(0, GRID.count, 5000)
        whole, small = (vg_data.SPRITES.images(flat, pool) for pool in (1, 2))
        assert torch.allclose(whole.mean((1, 2, 3)), small.mean((1, 2, 3)), atol=1e-6)

    def test_a_room_shows_its_colors_and_its_object_grows(self) -> None:
        base = torch.tensor([[1, 4, 7, k, 0, 7] for k in range(8)])
        images = vg_data.room(base)
        assert images.shape == (8, 3, 64, 64)
        assert torch.isfinite(images).all()
        assert torch.allclose(images[0, :, 60, 5], 0.9 * vg_data.hue_to_rgb(torch.tensor(0.1)), atol=1e-5)
        assert torch.allclose(images[0, :, 2, 32], 0.75 * vg_data.hue_to_rgb(torch.tensor(0.4)), atol=1e-5)
        blue = ((images - images[:, :, 60:61, 5:6]).abs().sum(1) > 0.05).sum((1, 2))
        assert bool((blue.diff() >= 0).all())

    def test_an_unknown_world_is_named(self) -> None:
        with pytest.raises(CompanionError, match="dataset = 'mars' is not known; use one of sprites, room, dsprites"):
            vg_data.load_dataset("mars")

    def test_hues_are_those_of_the_standard_library(self) -> None:
        import colorsys

        for hue in np.linspace(0, 0.95, 20):
            assert vg_data.hue_to_rgb(torch.tensor(hue)).tolist() == pytest.approx(colorsys.hsv_to_rgb(hue, 1, 1))

    def test_the_renderer_s_speed_is_measured(self, monkeypatch) -> None:
        monkeypatch.setattr(studies, "REPEATS", 1)
        monkeypatch.setattr(studies, "BATCHES", {"sprites": (10,), "room": (5,)})
        assert {row.method for row in studies.runtime(studies.LAPTOP, 0, CPU)} == {"sprites", "room"}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A user's folder with a tiny dSprites in the published layout, and a released split."""
    monkeypatch.setenv("COMPANION_REAL", str(tmp_path))
    classes = np.array([[0, s, k, o, x, y] for s in range(3) for k in range(6) for o in (0, 9, 12) for x in (0, 31)
                        for y in (0, 7)])  # fmt: skip
    images = np.zeros((len(classes), 8, 8), dtype=np.uint8)
    images[np.arange(len(classes)), classes[:, 1], classes[:, 5]] = 1
    (tmp_path / "dsprites").mkdir()
    np.savez_compressed(tmp_path / "dsprites" / SPRITES, imgs=images, latents_classes=classes)
    (tmp_path / "visual_splits").mkdir()
    for kind, array in (("images", np.zeros((4, 1, 8, 8), np.uint8)), ("labels", np.ones((4, 5)))):
        np.savez(tmp_path / "visual_splits" / f"dsprites_composition_train_{kind}.npz", array)
    return tmp_path


class TestBrought:
    def test_dsprites_is_read_in_its_layout(self, folder) -> None:
        grid = dsprites(10)
        assert grid.shape == (3, 6, 10, 32, 32, 8, 8)
        assert grid[2, 4, 9, 31, 7].sum() == 1
        assert grid[2, 4, 9, 31, 7, 2, 7] == 1

    def test_a_published_world_looks_images_up(self, folder) -> None:
        dataset = vg_data.load_dataset("dsprites")
        assert float(dataset.draw(torch.tensor([[1, 0, 0, 0, 7]]))[0, 0, 1, 7]) == 1.0

    def test_a_released_split_is_read(self, folder) -> None:
        images, factors = released_split("dsprites", COMPOSITION, "train")
        assert images.shape == (4, 1, 8, 8)
        assert factors.dtype == np.int64

    def test_a_missing_file_says_where_to_get_it(self, folder) -> None:
        with pytest.raises(CompanionError, match="lacks the file mpi3d_random_test_images"):
            released_split("mpi3d", "random", "test")

    def test_nobody_s_folder_is_named(self, monkeypatch) -> None:
        monkeypatch.delenv("COMPANION_REAL", raising=False)
        with pytest.raises(CompanionError, match="brought by you"):
            dsprites()
        assert card("dsprites").facts["images"] == 3 * 6 * 40 * 32 * 32


class TestRegistry:
    def test_seventeen_approaches_of_three_families(self) -> None:
        assert len(training.REGISTRY) == 17
        assert {each.family for each in training.APPROACHES} == {"representation", "architecture", "transfer"}

    @pytest.mark.parametrize("name", RUNNABLE)
    @pytest.mark.parametrize("shape", [TINY, replace(TINY, channels=3, factors=6), replace(TINY, side=64)])
    def test_every_own_approach_trains_and_repeats(self, name: str, shape: Shape, data) -> None:
        some = data
        if (shape.channels, shape.side) != (1, 32):
            images = torch.rand(40, shape.channels, shape.side, shape.side)
            some = TrainingImages(images, torch.rand(40, shape.factors), images[:20])
        first, again = (training.train(name, some, shape, QUICK, 3) for _ in range(2))
        said = training.predict(first, some.images)
        assert said.shape == (len(some.images), shape.factors)
        assert torch.equal(said, training.predict(again, some.images))

    @pytest.mark.parametrize("name", [e.name for e in training.APPROACHES if e.needs == training.EXTRA])
    def test_torchvision_approaches_build_and_train(self, name: str) -> None:
        pytest.importorskip("torchvision")
        images = torch.rand(4, 1, 32, 32)
        some = TrainingImages(images, torch.rand(4, 5), images[:2])
        net = training.train(name, some, Shape(), TrainConfig(1e-4, epochs=1, batch_size=4), 0)
        assert training.predict(net, images).shape == (4, 5)

    def test_a_missing_library_is_named_with_its_extra(self, monkeypatch) -> None:
        def absent(name: str):
            raise ImportError(name)

        monkeypatch.setattr(importlib, "import_module", absent)
        with pytest.raises(CompanionError, match=r"needs torchvision.models: pip install 'companion\[vision\]'"):
            training.build("ResNet-50", Shape(), 0)

    def test_an_unknown_approach_is_named(self) -> None:
        with pytest.raises(CompanionError, match="approach = 'ViT' is not known; use one of PCA, beta-VAE"):
            training.approach("ViT")

    def test_gray_images_are_repeated_and_doubled(self) -> None:
        net = training.ToRGB(torch.nn.Identity())
        assert net(torch.rand(2, 1, 32, 32)).shape == (2, 3, 64, 64)

    def test_a_spatial_transformer_starts_by_looking_at_the_whole(self) -> None:
        net, images = models.SpatialTransformer(TINY), torch.rand(2, 1, 32, 32)
        assert torch.allclose(net.localization(images), torch.tensor([1.0, 0, 0, 0, 1, 0]).expand(2, -1))


class TestRepresentations:
    def test_a_read_out_leaves_the_representation_alone(self, data) -> None:
        net = training.train("PCL", data, TINY, QUICK, 0)
        assert not any(p.requires_grad for p in net.body.parameters())
        assert all(p.requires_grad for p in net.head.parameters())

    def test_a_pair_of_one_image_is_fully_shared(self, data) -> None:
        net = AdaGVAE(TINY)
        images = data.images[:5]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            pair = net.loss(images, images)
            torch.manual_seed(0)
            alone = (VAE.loss(net, images, images) + VAE.loss(net, images, images)) / 2
        assert float(pair.detach()) == pytest.approx(float(alone.detach()), rel=1e-4)

    def test_who_does_not_say_how_it_learns_is_told(self) -> None:
        with pytest.raises(NotImplementedError):
            Representation().codes(torch.rand(1))
        with pytest.raises(NotImplementedError):
            Representation().loss(torch.rand(1), torch.rand(1))

    def test_principal_axes_are_orthonormal_and_centerd(self, data) -> None:
        net = training.train("PCA", data, TINY, QUICK, 0).body
        assert torch.allclose(net.axes.T @ net.axes, torch.eye(20), atol=1e-4)
        assert float(net.codes(data.images).mean(0).abs().max()) < 1e-4

    def test_pairs_change_between_one_and_all_factors(self) -> None:
        mask = method.train_mask(GRID, "random") | True
        factors = GRID.factors(torch.randint(GRID.count, (2000,)))
        partner = vg_data.draw_partners(factors, mask, GRID, torch.Generator().manual_seed(0))
        changed = (partner != factors).sum(1)
        assert int(changed.max()) == 4
        assert 0.1 < float((changed == 1).float().mean()) < 0.5
        assert torch.equal(partner[:, 0], factors[:, 0]), "the shape is free and is kept"


class TestTraining:
    def test_the_loss_is_lowered(self, data) -> None:
        first = training.predict(training.build("MLP", Shape(), 0), data.images)
        after = training.predict(
            training.train("MLP", data, Shape(), TrainConfig(2e-3, epochs=10, batch_size=32), 0), data.images
        )
        errors = [float((said - data.targets).square().mean()) for said in (first, after)]
        assert errors[1] < 0.5 * errors[0]

    @pytest.mark.parametrize("name", ["CNN", "SlowVAE"])
    def test_training_goes_on_where_it_was_cut(self, name: str, data, tmp_path, monkeypatch) -> None:
        whole = training.train(name, data, TINY, TrainConfig(1e-3, steps=7, batch_size=16), 5)
        monkeypatch.setattr(training, "CHECKPOINT_EVERY", 2)
        right = torch.optim.lr_scheduler.OneCycleLR.step

        def cut(self, *args):
            right(self, *args)
            if self.last_epoch == 5:
                raise KeyboardInterrupt

        with monkeypatch.context() as inner:
            inner.setattr(torch.optim.lr_scheduler.OneCycleLR, "step", cut)
            with pytest.raises(KeyboardInterrupt):
                training.train(name, data, TINY, TrainConfig(1e-3, steps=7, batch_size=16), 5, tmp_path)
        assert (tmp_path / "checkpoint.pt").is_file()
        resumed = training.train(name, data, TINY, TrainConfig(1e-3, steps=7, batch_size=16), 5, tmp_path)
        for a, b in zip(whole.parameters(), resumed.parameters(), strict=True):
            assert torch.equal(a, b)

    def test_lower_precision_stays_near(self, data) -> None:
        nets = [training.train("CNN", data, TINY, replace(QUICK, amp=amp), 0) for amp in (False, True)]
        said = [training.predict(net, data.images) for net in nets]
        assert torch.allclose(*said, atol=0.05)

    def test_a_round_shows_every_image_once(self) -> None:
        seen = torch.cat([training.batch_indices(96, 32, step, 3, 0) for step in range(3)])
        assert sorted(seen.tolist()) == list(range(96))


class TestBaselines:
    def test_the_nearest_image_of_a_training_image_is_itself(self, data) -> None:
        assert torch.equal(baselines.nearest(data.images, data.images, data.targets), data.targets)

    def test_constants_say_one_thing(self, data) -> None:
        assert baselines.constant(data.targets, 3).shape == (3, 5)
        assert baselines.grid_mean(GRID, 2).unique().tolist() == [0.5]
