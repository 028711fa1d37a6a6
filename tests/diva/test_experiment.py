"""DIVA's experiment: seeds, halves that never meet, the paper's configuration on a tiny set, margins, verdicts."""

from __future__ import annotations

import importlib
import io
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rooms
import torch

from companion import data
from companion.diva import backbones, figures
from companion.diva.experiment import Config, experiment
from companion.diva.tasks import draw, lie, with_core, with_lies
from companion.lab import load_record, values
from companion.lab.plots import png

room = importlib.import_module("companion.diva.experiment")  # the face of the room has a function of that name
CPU = torch.device("cpu")
CI = Config.at("ci")
needs_digits = pytest.mark.skipif(data.status("mnist5k") != "cached", reason="MNIST-5k is not in the cache: make data")
needs_lite0 = pytest.mark.skipif(data.status("lite0") != "cached", reason="Lite0 is not in the cache: make data")
pytestmark = needs_digits


def timeless(rows):
    return [row for row in rows if row.metric != "CPU seconds"]


@pytest.fixture(scope="module")
def rows():
    if data.status("lite0") != "cached":
        pytest.skip("Lite0 is not in the cache: make data")
    return [row for seed in (0, 1) for row in experiment(CI, seed, CPU)]


def test_a_seed_repeats_and_another_differs(rows) -> None:
    rooms.repeats(lambda seed: timeless(experiment(CI, seed, CPU)), timeless(rows))


def test_every_claim_finds_its_arms(rows) -> None:
    rooms.finds_its_arms("diva", rows)


@pytest.mark.parametrize("scale", ["ci", "laptop", "study", "paper"])
def test_every_scale_looks_where_the_claims_look(scale: str) -> None:
    config = Config.at(scale)
    assert {300, 400} <= set(config.added)
    assert config.added[-1] <= config.pool
    assert config.noises == (0.2, 0.4)


@needs_lite0
def test_every_scale_measures_the_same_arms_in_the_same_places() -> None:
    rooms.laptop_is_study(Config)


@pytest.mark.parametrize("backbone", ["digits-cnn", "pixels"])
def test_the_fallback_backbones_find_wrong_labels(backbone: str) -> None:
    config = replace(CI, backbone=backbone, m=65, train=400)
    task = room.noisy_task(config, 0.2, 0, CPU)
    found = {row.method: row.value for row in room.detection(task, config, 0, "noise") if row.metric == "AUC"}
    assert found["diva"] > 80
    assert found["flipped"] == pytest.approx(100 - found["diva"])
    assert found["oracle"] == 100


class TestTasks:
    def images(self) -> backbones.Images:
        rng = np.random.default_rng(0)
        rows = np.arange(300)
        return backbones.Images(rng.normal(size=(300, 12)), rng.integers(0, 4, 300), rows, rows)

    def test_no_image_trains_and_tests(self) -> None:
        features = self.images()
        task = draw(features, 100, 50, 400, 5, np.random.default_rng(1))
        used = {tuple(row) for row in task.z.numpy().round(9).tolist()}
        held = {tuple(row) for row in task.z_clean.numpy().round(9).tolist()}
        tested = {tuple(row) for row in task.z_test.numpy().round(9).tolist()}
        assert (len(used), len(held), len(tested)) == (100, 50, 150)
        assert not used & held
        assert not (used | held) & tested

    def test_halves_never_meet(self) -> None:
        halves = [set(backbones.digits("pixels", half).train.tolist()) for half in backbones.HALVES]
        assert not halves[0] & halves[1]
        assert len(halves[0] | halves[1]) == 5000

    def test_exactly_the_asked_share_lies_and_every_lie_is_another_class(self) -> None:
        true = np.arange(200) % 7
        given = lie(true, 0.3, 7, np.random.default_rng(0))
        assert int((given != true).sum()) == 60
        assert given.min() >= 0
        assert given.max() < 7

    def test_the_core_never_lies(self) -> None:
        task = with_core(draw(self.images(), 100, 1, 50, 5, np.random.default_rng(1)), 30)
        noisy = with_lies(task, 0.5, np.random.default_rng(2))
        assert not noisy.wrong[:30].any()
        assert int(noisy.wrong[30:].sum()) == 35

    def test_the_projection_learns_from_training_rows_alone(self) -> None:
        features = self.images()
        first = draw(features, 100, 1, 50, 5, np.random.default_rng(1))
        features.features[first_test := np.setdiff1d(features.test, first.index)] *= 100
        again = draw(features, 100, 1, 50, 5, np.random.default_rng(1))
        assert len(first_test) == 200
        assert torch.equal(first.z, again.z)

    def test_rows_have_length_one_on_average_and_a_constant(self) -> None:
        task = draw(self.images(), 100, 1, 50, 5, np.random.default_rng(1))
        assert torch.equal(task.z[:, -1], torch.ones(100, dtype=torch.float64))
        assert float(task.z[:, :-1].square().sum(1).mean()) == pytest.approx(1, rel=1e-6)

    def test_an_unknown_backbone_is_named(self) -> None:
        with pytest.raises(ValueError, match="use one of lite0, digits-cnn, pixels"):
            backbones.digits("resnet", "evidence")


def photo(number: int, classes: int) -> bytes:
    from PIL import Image

    rng = np.random.default_rng(number)
    colour = np.zeros((40, 50, 3)) + 200 * np.eye(3)[number % classes]
    buffer = io.BytesIO()
    Image.fromarray((colour + rng.integers(0, 50, colour.shape)).astype(np.uint8)).save(buffer, "JPEG")
    return buffer.getvalue()


@pytest.fixture
def tiny_flowers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Oxford Flowers-102 in its published layout, with 60 photographs of 3 kinds."""
    from scipy.io import savemat

    folder, count = tmp_path / "flowers102", 60
    folder.mkdir()
    with tarfile.open(folder / "102flowers.tgz", "w:gz") as archive:
        for number in range(1, count + 1):
            content = photo(number, 3)
            entry = tarfile.TarInfo(f"jpg/image_{number:05d}.jpg")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    numbers = np.arange(1, count + 1)
    savemat(folder / "imagelabels.mat", {"labels": numbers % 3 + 1})
    savemat(folder / "setid.mat", {"trnid": numbers[:20], "valid": numbers[20:40], "tstid": numbers[40:]})
    monkeypatch.setenv("COMPANION_REAL", str(tmp_path))
    backbones.photographs.cache_clear()


@needs_lite0
def test_the_paper_configuration_runs_on_a_tiny_set(tiny_flowers: None) -> None:
    small = {"m": 9, "train": 30, "clean": 5, "test": 20, "core": 12, "pool": 24, "batch": 3, "refits": 10}
    config = replace(Config.at("paper"), **small)
    rows = experiment(config, 0, CPU)
    assert {row.setting for row in rows} >= {"clean", "20% noise", "40% noise", "noisy pool", "clean pool"}
    clean = next(row.value for row in rows if (row.method, row.setting, row.metric) == ("step 0", "clean", "accuracy"))
    assert clean > 80  # red, green and blue
    backbones.photographs.cache_clear()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@needs_lite0
def test_a_gpu_gives_what_the_cpu_gives() -> None:
    from companion.data.efficientnet_lite0 import embed, lite0_weights

    pictures = np.random.default_rng(0).integers(0, 255, (4, 64, 64, 3)).astype(np.uint8)
    here, there = (embed(pictures, lite0_weights(), torch.device(name)) for name in ("cpu", "cuda"))
    assert np.allclose(here, there, atol=0.05)
    task = room.noisy_task(replace(CI, backbone="pixels"), 0.2, 0, CPU)
    moved = room.to(task, torch.device("cuda"))
    gradients = [
        room.method.derivative(room.method.fit(t.z, t.y, t.core, 1.0), t.core).cpu().numpy() for t in (task, moved)
    ]
    assert np.allclose(*gradients, atol=1e-8)


@pytest.mark.real
@needs_lite0
def test_natural_images_where_the_user_has_them() -> None:
    folder = data.real_dir()
    if folder is None or not (folder / "cifar10_jpeg").is_dir():
        pytest.skip("COMPANION_REAL holds no cifar10_jpeg")
    config = replace(Config.at("laptop"), data="cifar10_jpeg", test=1000)
    task = room.noisy_task(config, 0.2, 0, CPU)
    found = {row.method: row.value for row in room.detection(task, config, 0, "noise") if row.metric == "AUC"}
    assert found["diva"] > 75
    noisy = room.accuracy(task, task.core, task.core, config)
    random = room.method.reject_rounds(
        task.z, task.y, room.scores(task, 0)["random"], int(task.wrong.sum()), 1, config.penalties
    )
    weeded = room.method.reject_rounds(
        task.z, task.y, room.method.derivative, int(task.wrong.sum()), 1, config.penalties
    )
    assert noisy > 40
    assert room.accuracy(task, weeded, weeded, config) > room.accuracy(task, random, random, config)


class TestRecord:
    def test_the_rehearsal_saw_no_image_of_the_evidence(self) -> None:
        halves = {name: load_record("diva").runs[name].stamp["config"]["half"] for name in ("rehearsal", "study")}
        assert halves == {"rehearsal": "choices", "study": "evidence"}

    def test_bounds_of_sabotages_stand_three_deviations_from_the_rehearsal(self) -> None:
        rooms.ablates_stand_off("diva")

    def test_the_large_derivative_fits_into_four_gigabytes(self) -> None:
        rows = load_record("diva").runs["cost"].measurements
        peak = {row.setting: row.value for row in rows if row.metric == "peak MB"}
        assert peak["N = 100000, m = 512"] < 4096


class TestFigures:
    def test_gains_holds_what_was_measured(self, rows) -> None:
        figure = figures.gains(rows, "40% noise", ("diva", "loo error"))
        dots = figure.axes[0].lines[0].get_xdata()  # the last arm stands in the lowest row
        assert list(dots) == list(values(rows, "AUC", "loo error", "40% noise"))

    def test_steps_begin_at_no_change(self, rows) -> None:
        figure = figures.steps(rows, ("clean", "40% noise"))
        for ax in figure.axes:
            assert all(line.get_ydata()[0] == 0 for line in ax.lines[:2])
        seen = values(rows, "accuracy", "step 2", "clean") - values(rows, "accuracy", "step 0", "clean")
        assert figure.axes[1].lines[0].get_ydata()[-1] == pytest.approx(seen.mean())

    def test_extension_holds_what_was_measured(self, rows) -> None:
        figure = figures.extension(rows, CI.added, ("diva", "random"))
        wanted = values(rows, "accuracy", "extend: diva", f"noisy pool, {CI.added[-1]} added").mean()
        assert figure.axes[0].lines[0].get_ydata()[-1] == pytest.approx(wanted)

    def test_all_are_small_enough(self, rows) -> None:
        from companion.data.images import mnist5k

        task = room.noisy_task(CI, 0.4, 0, CPU)
        ridge = room.best_fit(task, task.core, task.core, CI)
        found = {name: room.scores(task, 0)[name](ridge, task.core) for name in ("diva", "loo error")}
        x = torch.linspace(-1, 1, 5, dtype=torch.float64)
        cost = room.cost(CI, 0, CPU)
        for figure in (
            figures.gains(rows, "40% noise", ("diva", "loo error")),
            figures.toy(x, x.square(), 4, 0.3),
            figures.histogram_and_roc(task, found),
            figures.gallery(mnist5k()[0], task, found["diva"]),
            figures.extension(rows, CI.added, ("diva", "random")),
            figures.steps(rows, ("clean", "20% noise", "40% noise")),
            figures.growth(cost, CI.examples, CI.features),
            figures.threshold({0.4: task}, 0.4, "by leave-one-out", 0.0),
        ):
            assert png(figure)


def test_the_whole_network_is_measured_beside_its_last_layer() -> None:
    rows = room.whole(CI, 0, CPU)
    assert {(row.method, row.setting) for row in rows if row.metric == "accuracy"} == {
        (name + after, setting)
        for name in ("last layer", "whole network")
        for after in ("", ", reweighed")
        for setting in ("clean", "40% noise")
    }
