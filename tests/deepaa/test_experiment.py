"""Deep AutoAugment's experiment: disjoint data, compared methods, the paper's setting on tiny data, figures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rooms
import torch

from companion import data
from companion.data.images import Split
from companion.deepaa import data as deepaa_data
from companion.deepaa import figures, studies, training
from companion.deepaa.experiment import Config, experiment
from companion.deepaa.training import DEEPAA, METHODS, NO_STD, NONE, RANDOM_LABELS, UNIFORM_1, UNIFORM_2
from companion.errors import CompanionError
from companion.lab import load_record, values
from companion.lab.display import png

CPU = torch.device("cpu")
CI = Config.at("ci")
needs_digits = pytest.mark.skipif(data.status("mnist5k") != "cached", reason="MNIST-5k is not in the cache: make data")


@pytest.fixture(scope="module")
def rows():
    if data.status("mnist5k") != "cached":
        pytest.skip("MNIST-5k is not in the cache: make data")
    return [row for seed in (0, 1) for row in experiment(CI, seed, CPU)]


def test_a_seed_repeats_and_another_differs(rows) -> None:
    training.search_policies.cache_clear()
    rooms.repeats(lambda seed: experiment(CI, seed, CPU), rows)


def test_every_claim_finds_its_methods(rows) -> None:
    rooms.finds_its_arms("deepaa", rows)


def test_laptop_and_study_differ_in_seeds_alone() -> None:
    rooms.laptop_is_study(Config)


@pytest.mark.parametrize("scale", ["laptop", "study", "paper"])
def test_adam_can_reach_what_it_must_leave(scale: str) -> None:
    search = Config.at(scale).search
    assert search.steps * search.lr > search.identity
    assert search.later_steps * search.later_lr > search.identity


@needs_digits
class TestData:
    def test_no_image_is_in_two_parts(self) -> None:
        task = deepaa_data.load_data(deepaa_data.DIGITS, "evidence", 300, 250, 250, 1700, 2, 0)
        parts = [task.part(name)[0] for name in ("pretrain", "search", "validation")] + [task.test_images]
        assert [len(part) for part in parts] == [300, 250, 250, 1700]
        seen = [{tuple(x.flatten().tolist()) for x in part} for part in parts]
        assert not any(a & b for i, a in enumerate(seen) for b in seen[i + 1 :])

    def test_halves_never_meet(self) -> None:
        first, second = (set(deepaa_data.halves(5000, half).tolist()) for half in deepaa_data.HALVES)
        assert not first & second
        assert len(first | second) == 5000

    def test_what_cannot_be_is_refused_in_a_sentence(self) -> None:
        with pytest.raises(CompanionError, match="use one of choices, evidence"):
            deepaa_data.halves(10, "test")
        with pytest.raises(CompanionError, match="use one of mnist5k, cifar10_jpeg, cifar10, cifar100"):
            deepaa_data.load_data("svhn", "evidence", 1, 1, 1, 1, 1, 0)
        with pytest.raises(CompanionError, match="more images than there are"):
            deepaa_data.load_data(deepaa_data.DIGITS, "evidence", 3000, 1, 1, 1, 1, 0)

    def test_pooling_averages_squares(self) -> None:
        assert deepaa_data.average_pool(np.array([[[0, 255], [255, 0]]], dtype=np.uint8), 2).tolist() == [[[[0.5]]]]


class TestTraining:
    def example(self, rates: list[float]) -> list[float]:
        torch.manual_seed(0)
        x = torch.randn(120, 1, 8, 8)
        y = (x.mean((1, 2, 3)) > 0).long()
        nets = training.ParallelNetworks(training.make_net(1, 8, 4, 2, 2), len(rates))
        several = lambda images: images.expand(len(rates), *images.shape)  # noqa: E731
        training.fit(nets, several, x, y, rates, 5, 20, torch.Generator().manual_seed(0))
        return [float(w[i].detach().sum()) for i in range(len(rates)) for w in nets.weights.values()]

    def test_side_by_side_is_one_after_the_other(self) -> None:
        both, one, other = self.example([0.1, 0.02]), self.example([0.1]), self.example([0.02])
        assert both == pytest.approx(one + other, abs=1e-4)
        assert one != pytest.approx(other, abs=1e-3)


@needs_digits
def test_searched_policies_share_what_they_must() -> None:
    found = training.search_policies(CI, 0, CPU)
    assert torch.equal(found.policy(DEEPAA)[0], found.policy(NO_STD)[0])
    assert len(found.policy(RANDOM_LABELS)) == 1
    assert not torch.equal(found.policy(RANDOM_LABELS)[0], found.policy(DEEPAA)[0])
    assert set(training.policies(found)) == set(METHODS)


@pytest.fixture
def tiny_colors(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(200) % 3
    images = (rng.integers(0, 60, (200, 32, 32, 3)) + 180 * np.eye(3)[labels][:, None, None]).astype(np.uint8)
    split = Split(images[:150], labels[:150].astype(np.int64), images[150:], labels[150:].astype(np.int64))
    monkeypatch.setitem(deepaa_data.COLOR_SETS, "cifar10", lambda: split)
    training.search_policies.cache_clear()


def test_the_paper_configuration_runs_on_a_tiny_set(tiny_colors: None, tmp_path: Path) -> None:
    paper = Config.at("paper")
    assert (paper.search.steps, paper.search.draws, paper.search.prefixes, paper.search.batch_size) == (
        1024,
        16,
        16,
        64,
    )
    search = replace(paper.search, steps=2, later_steps=2, draws=3, prefixes=2, batch_size=4, layers=2, chunk=100)
    config = replace(
        paper, pretrain_images=60, search_images=45, validation_images=45, test_images=40, pretrain_epochs=2,
        epochs=2, batch_size=20, search_width=2, width=2, search=search,
        checkpoint=str(tmp_path),
    )  # fmt: skip
    first = experiment(config, 0, CPU)
    assert (tmp_path / "deepaa-0.pt").is_file()
    training.search_policies.cache_clear()
    assert experiment(config, 0, CPU) == first
    assert {row.method for row in first if row.metric == "accuracy"} == {*METHODS, "search network"}
    training.search_policies.cache_clear()


@pytest.mark.real
def test_natural_images_where_the_user_has_them() -> None:
    folder = data.real_dir()
    if folder is None or not (folder / "cifar10_jpeg").is_dir():
        pytest.skip("COMPANION_REAL holds no cifar10_jpeg")
    config = studies.STUDIES["natural color images"].config
    search = replace(config.search, steps=4, later_steps=2)
    found = training.search_policies(
        config.override(
            search=search,
            pretrain_epochs=10,
            pretrain_images=400,
            search_images=100,
            validation_images=100,
            test_images=300,
        ),
        0,
        CPU,
    )
    assert found.bank.rows("Color")
    with torch.no_grad():
        scores = found.network(found.network.weights, found.data.test_images)
    assert float((scores.argmax(1) == found.data.test_labels).double().mean()) > 0.15  # chance is 0.1


@needs_digits
class TestFigures:
    def test_accuracies_are_the_measured_ones(self, rows) -> None:
        figure = figures.accuracies(rows, (NONE, DEEPAA), 0)
        dots = figure.axes[0].lines[0].get_xdata()  # the last arm stands in the lowest row
        assert list(dots) == list(values(rows, "accuracy", DEEPAA, "test"))

    def test_the_map_holds_mean_shares(self, rows) -> None:
        figure = figures.policies(rows, ("Rotate", "Identity"))
        shown = figure.axes[0].images[0].get_array()
        assert shown[0, 0] == pytest.approx(values(rows, "mass", "Rotate", "layer 1").mean())
        assert shown[1, 1] == pytest.approx(values(rows, "mass", "Identity", "layer 2").mean())

    def test_the_cloud_holds_mean_and_std(self) -> None:
        found = training.search_policies(CI, 0, CPU)
        seen = found.layers[DEEPAA][0].rewards
        figure = figures.mean_and_std(found.bank, seen, ("RandFlip",))
        n = found.bank.rows("RandFlip")[0]
        marked = figure.axes[0].lines[-1]
        assert marked.get_ydata()[0] == pytest.approx(float(seen[:, n].mean()), rel=1e-4)

    def test_all_are_small_enough(self, rows) -> None:
        found = training.search_policies(CI, 0, CPU)
        v, g = torch.tensor([2.0, 1.0]), torch.tensor([[1.0, 2.0], [2.0, 0.0], [-1.0, 1.0]])
        longer = studies.longer_training(replace(CI, epochs=2), 0, CPU)
        epochs = sorted({int(row.setting.split()[0]) for row in longer})
        for figure in (
            figures.geometry(v, g, torch.tensor([0.6, 0.2, 0.2]), ("identity", "rotate", "invert"), 1.0),
            figures.candidate_sheet(found.bank, found.search_data.images[0], found.layers[DEEPAA][0].probabilities),
            figures.progress(found),
            figures.lengths(longer, epochs, (NONE, UNIFORM_1, UNIFORM_2, DEEPAA)),
            figures.layer_by_hand(found, 3, 40, 30, 10),
        ):
            assert png(figure)

    def test_a_layer_of_ones_own_agrees_as_the_identity_does_when_it_is_one(self) -> None:
        found = training.search_policies(CI, 0, CPU)
        p = torch.zeros(len(found.bank), dtype=torch.float64)
        p[0] = 1
        assert figures.class_cosine(found, 3, p)[0] == pytest.approx(figures.class_cosine(found, 3, p / 2)[0], abs=1e-6)


@needs_digits
def test_further_runs_measure_what_they_say() -> None:
    small = replace(CI, search=replace(CI.search, steps=2, later_steps=1))
    shares = {row.method: row.value for row in studies.identity_controls(small, 0, CPU)}
    assert set(shares) == {"std in layer 1 too", "less noise", "less noise, no std"}
    assert {row.setting for row in studies.crossed(replace(small, epochs=1), 0, CPU)} == {
        f"training {i}" for i in range(3)
    }
    speeds = {row.method for row in studies.runtime(small, 0, CPU)}
    assert speeds == {"one JVP", "each gradient"}
    training.search_policies.cache_clear()


class TestRecord:
    def test_tuning_and_pilot_run_saw_no_image_of_the_evidence(self) -> None:
        runs = load_record("deepaa").runs
        halves = {name: runs[name].stamp["config"]["half"] for name in ("tuning", "pilot", "study", "laptop")}
        assert halves == {"tuning": "choices", "pilot": "choices", "study": "evidence", "laptop": "evidence"}

    def test_searches_were_crossed_with_trainings(self) -> None:
        run = load_record("deepaa").runs["search x training"]
        assert len(run.seeds) >= 3
        assert {row.setting for row in run.measurements} == {f"training {i}" for i in range(3)}
