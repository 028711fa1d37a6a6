"""DIVA's experiment: seeds, disjoint data, the paper's configuration on tiny data, stored results, figures."""

from __future__ import annotations

import io
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rooms
import torch

from companion import data
from companion.diva import data as diva_data
from companion.diva import evaluation, figures, method, studies, training
from companion.diva.data import FeatureSet, corrupt_labels, draw, with_label_noise, with_seed_set
from companion.diva.experiment import Config, detection, experiment, noisy_data
from companion.diva.training import DIVA, LOO_ERROR, ORACLE, RANDOM, SIGN_FLIPPED, STEPS
from companion.lab import load_record, values
from companion.lab.display import png

CPU = torch.device("cpu")
CI = Config.at("ci")
needs_digits = pytest.mark.skipif(data.status("mnist5k") != "cached", reason="MNIST-5k is not in the cache: make data")
needs_lite0 = pytest.mark.skipif(data.status("lite0") != "cached", reason="Lite0 is not in the cache: make data")
pytestmark = needs_digits


def timeless(rows):
    return [row for row in rows if "CPU seconds" not in row.metric]


@pytest.fixture(scope="module")
def rows():
    if data.status("lite0") != "cached":
        pytest.skip("Lite0 is not in the cache: make data")
    return [row for seed in (0, 1) for row in experiment(CI, seed, CPU)]


def test_a_seed_repeats_and_another_differs(rows) -> None:
    rooms.repeats(lambda seed: timeless(experiment(CI, seed, CPU)), timeless(rows))


def test_every_claim_finds_its_methods(rows) -> None:
    rooms.finds_its_arms("diva", rows)


@pytest.mark.parametrize("scale", ["ci", "laptop", "study", "paper"])
def test_every_scale_measures_what_the_claims_compare(scale: str) -> None:
    config = Config.at(scale)
    assert {300, 400} <= set(config.added)
    assert config.added[-1] <= config.pool_size
    assert config.noise_levels == (0.2, 0.4)


def test_laptop_and_study_differ_in_seeds_alone() -> None:
    rooms.laptop_is_study(Config)


@pytest.mark.parametrize("backbone", ["digits-cnn", "pixels"])
def test_the_fallback_backbones_find_wrong_labels(backbone: str) -> None:
    config = replace(CI, backbone=backbone, num_features=65, train_size=400)
    task = noisy_data(config, 0.2, 0, CPU)
    found = {row.method: row.value for row in detection(task, config, 0, "noise") if row.metric == "AUC"}
    assert found[DIVA] > 80
    assert found[SIGN_FLIPPED] == pytest.approx(100 - found[DIVA])
    assert found[ORACLE] == 100


class TestData:
    def features(self) -> FeatureSet:
        rng = np.random.default_rng(0)
        rows = np.arange(300)
        return FeatureSet(rng.normal(size=(300, 12)), rng.integers(0, 4, 300), rows, rows)

    def test_no_image_is_used_for_training_and_testing(self) -> None:
        features = self.features()
        task = draw(features, 100, 50, 400, 5, np.random.default_rng(1))
        used = {tuple(row) for row in task.z.numpy().round(9).tolist()}
        held = {tuple(row) for row in task.z_clean.numpy().round(9).tolist()}
        tested = {tuple(row) for row in task.z_test.numpy().round(9).tolist()}
        assert (len(used), len(held), len(tested)) == (100, 50, 150)
        assert not used & held
        assert not (used | held) & tested

    def test_halves_are_disjoint(self) -> None:
        halves = [
            set(diva_data.digit_features("pixels", half, CI.digits_cnn).train_rows.tolist())
            for half in diva_data.HALVES
        ]
        assert not halves[0] & halves[1]
        assert len(halves[0] | halves[1]) == 5000

    def test_exactly_the_requested_share_gets_another_class(self) -> None:
        true = np.arange(200) % 7
        labels = corrupt_labels(true, 0.3, 7, np.random.default_rng(0))
        assert int((labels != true).sum()) == 60
        assert labels.min() >= 0
        assert labels.max() < 7

    def test_the_seed_set_has_no_wrong_labels(self) -> None:
        task = with_seed_set(draw(self.features(), 100, 1, 50, 5, np.random.default_rng(1)), 30)
        noisy = with_label_noise(task, 0.5, np.random.default_rng(2))
        assert not noisy.wrong[:30].any()
        assert int(noisy.wrong[30:].sum()) == 35

    def test_the_projection_learns_from_training_rows_alone(self) -> None:
        features = self.features()
        first = draw(features, 100, 1, 50, 5, np.random.default_rng(1))
        others = np.setdiff1d(features.test_rows, first.rows)
        features.features[others] *= 100
        again = draw(features, 100, 1, 50, 5, np.random.default_rng(1))
        assert len(others) == 200
        assert torch.equal(first.z, again.z)

    def test_rows_have_length_one_on_average_and_a_constant(self) -> None:
        task = draw(self.features(), 100, 1, 50, 5, np.random.default_rng(1))
        assert torch.equal(task.z[:, -1], torch.ones(100, dtype=torch.float64))
        assert float(task.z[:, :-1].square().sum(1).mean()) == pytest.approx(1, rel=1e-6)

    def test_an_unknown_backbone_is_named(self) -> None:
        with pytest.raises(ValueError, match="use one of lite0, digits-cnn, pixels"):
            diva_data.digit_features("resnet", "evidence", CI.digits_cnn)


def photo(number: int, classes: int) -> bytes:
    from PIL import Image

    rng = np.random.default_rng(number)
    color = np.zeros((40, 50, 3)) + 200 * np.eye(3)[number % classes]
    buffer = io.BytesIO()
    Image.fromarray((color + rng.integers(0, 50, color.shape)).astype(np.uint8)).save(buffer, "JPEG")
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
    diva_data.photograph_features.cache_clear()


@needs_lite0
def test_the_paper_configuration_runs_on_a_tiny_set(tiny_flowers: None) -> None:
    small = {
        "num_features": 9, "train_size": 30, "clean_size": 5, "test_size": 20, "seed_set_size": 12, "pool_size": 24,
        "batch_size": 3, "timed_examples": 10,
    }  # fmt: skip
    config = replace(Config.at("paper"), **small)
    rows = experiment(config, 0, CPU)
    assert {row.setting for row in rows} >= {"Reweight, clean", "20% noise", "40% noise", "noisy pool", "clean pool"}
    assert values(rows, "accuracy", STEPS[0.0], "Reweight, clean").item() > 80  # red, green and blue
    diva_data.photograph_features.cache_clear()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@needs_lite0
def test_a_gpu_gives_what_the_cpu_gives() -> None:
    from companion.data.efficientnet_lite0 import embed, lite0_weights

    pictures = np.random.default_rng(0).integers(0, 255, (4, 64, 64, 3)).astype(np.uint8)
    on_cpu, on_gpu = (embed(pictures, lite0_weights(), torch.device(name)) for name in ("cpu", "cuda"))
    assert np.allclose(on_cpu, on_gpu, atol=0.05)
    task = noisy_data(replace(CI, backbone="pixels"), 0.2, 0, CPU)
    derivatives = [
        method.dataset_derivative(method.fit(t.z, t.y, t.trusted, 1.0), t.trusted).cpu().numpy()
        for t in (task, task.to(torch.device("cuda")))
    ]
    assert np.allclose(*derivatives, atol=1e-8)


@pytest.mark.real
@needs_lite0
def test_natural_images_where_the_user_has_them() -> None:
    folder = data.real_dir()
    if folder is None or not (folder / "cifar10_jpeg").is_dir():
        pytest.skip("COMPANION_REAL holds no cifar10_jpeg")
    config = replace(Config.at("laptop"), data="cifar10_jpeg", test_size=1000)
    task = noisy_data(config, 0.2, 0, CPU)
    found = {row.method: row.value for row in detection(task, config, 0, "noise") if row.metric == "AUC"}
    assert found[DIVA] > 75
    scores, accuracies = training.scores(task, 0), {}
    for name, score in {"none": None, DIVA: scores[DIVA], RANDOM: scores[RANDOM]}.items():
        alpha = task.trusted
        if score is not None:
            alpha = method.reject_in_rounds(task.z, task.y, score, int(task.wrong.sum()), 1, config.lambdas)
        ridge = training.fit(task, alpha, alpha, config.lambdas)
        accuracies[name] = evaluation.accuracy(ridge, task.z_test, task.test_labels)
    assert accuracies["none"] > 40
    assert accuracies[DIVA] > accuracies[RANDOM]


class TestRecord:
    def test_the_pilot_run_used_no_image_of_the_evidence(self) -> None:
        halves = {name: load_record("diva").runs[name].stamp["config"]["half"] for name in ("pilot", "study")}
        assert halves == {"pilot": "choices", "study": "evidence"}

    def test_margins_of_ablations_are_three_standard_deviations_from_the_pilot_run(self) -> None:
        rooms.sabotages_stand_off("diva")

    def test_the_large_derivative_fits_into_four_gigabytes(self) -> None:
        rows = load_record("diva").runs["runtime"].measurements
        peak = {row.setting: row.value for row in rows if row.metric == "peak megabytes"}
        assert peak["N = 100000, m = 512"] < 4096


class TestFigures:
    def test_gains_holds_what_was_measured(self, rows) -> None:
        figure = figures.gains(rows, "40% noise", (DIVA, LOO_ERROR))
        dots = figure.axes[0].lines[0].get_xdata()  # the last method is in the lowest row
        assert list(dots) == list(values(rows, "AUC", LOO_ERROR, "40% noise"))

    def test_steps_begin_at_no_change(self, rows) -> None:
        figure = figures.steps(rows, ("clean", "40% noise"))
        for ax in figure.axes:
            assert all(line.get_ydata()[0] == 0 for line in ax.lines[:2])
        last, first = (values(rows, "accuracy", STEPS[size], "Reweight, clean") for size in (2.0, 0.0))
        assert figure.axes[1].lines[0].get_ydata()[-1] == pytest.approx((last - first).mean())

    def test_extension_holds_what_was_measured(self, rows) -> None:
        figure = figures.extension(rows, CI.added, (DIVA, RANDOM))
        expected = values(rows, "accuracy", DIVA, f"noisy pool, {CI.added[-1]} added").mean()
        assert figure.axes[0].lines[0].get_ydata()[-1] == pytest.approx(expected)

    def test_all_are_small_enough(self, rows) -> None:
        from companion.data.images import mnist5k

        task = noisy_data(CI, 0.4, 0, CPU)
        ridge = training.fit(task, task.trusted, task.trusted, CI.lambdas)
        scores = {name: training.scores(task, 0)[name](ridge, task.trusted) for name in (DIVA, LOO_ERROR)}
        x = torch.linspace(-1, 1, 5, dtype=torch.float64)
        for figure in (
            figures.gains(rows, "40% noise", (DIVA, LOO_ERROR)),
            figures.toy(x, x.square(), 4, 0.3),
            figures.histogram_and_roc(task, scores),
            figures.gallery(mnist5k()[0], task, scores[DIVA]),
            figures.extension(rows, CI.added, (DIVA, RANDOM)),
            figures.steps(rows, ("clean", "20% noise", "40% noise")),
            figures.growth(studies.runtime(CI, 0, CPU), CI),
            figures.rejection({0.4: task}, 0.4, figures.BY_LEAVE_ONE_OUT, 0.0),
        ):
            assert png(figure)


def test_the_whole_network_is_measured_beside_its_last_layer() -> None:
    rows = studies.whole_network(CI, 0, CPU)
    assert {(row.method, row.setting) for row in rows if row.metric == "accuracy"} == {
        (name + after, setting)
        for name in ("last layer", "whole network")
        for after in ("", ", reweighted")
        for setting in ("clean", "40% noise")
    }
