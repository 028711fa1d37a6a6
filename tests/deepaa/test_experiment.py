"""Deep AutoAugment's experiment: parts that never meet, arms, the paper's setting on tiny data, figures, verdicts."""

from __future__ import annotations

import importlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rooms
import torch

from companion import data
from companion.data.images import Split
from companion.deepaa import figures, tasks, training
from companion.deepaa.experiment import ARMS, DEEPAA, LIES, NO_STD, NONE, RAND, TRIVIAL, Config, experiment
from companion.errors import CompanionError
from companion.lab import load_record, values
from companion.lab.plots import png

room = importlib.import_module("companion.deepaa.experiment")  # the face of the room has a function of that name
CPU = torch.device("cpu")
CI = Config.at("ci")
needs_digits = pytest.mark.skipif(data.status("mnist5k") != "cached", reason="MNIST-5k is not in the cache: make data")


@pytest.fixture(scope="module")
def rows():
    if data.status("mnist5k") != "cached":
        pytest.skip("MNIST-5k is not in the cache: make data")
    return [row for seed in (0, 1) for row in experiment(CI, seed, CPU)]


def test_a_seed_repeats_and_another_differs(rows) -> None:
    room.find.cache_clear()
    rooms.repeats(lambda seed: experiment(CI, seed, CPU), rows)


def test_every_claim_finds_its_arms(rows) -> None:
    rooms.finds_its_arms("deepaa", rows)


def test_laptop_and_study_differ_in_seeds_alone() -> None:
    rooms.laptop_is_study(Config)


@pytest.mark.parametrize("scale", ["laptop", "study", "paper"])
def test_adam_can_reach_what_it_must_leave(scale: str) -> None:
    recipe = Config.at(scale).recipe
    assert recipe.steps * recipe.lr > recipe.identity
    assert recipe.later_steps * recipe.later_lr > recipe.identity


@needs_digits
class TestTasks:
    def test_no_image_is_in_two_parts(self) -> None:
        task = tasks.draw(tasks.DIGITS, "evidence", (300, 250, 250, 1700), 2, 0)
        parts = [task.part(name)[0] for name in ("pretrain", "search", "validation")] + [task.test_images]
        assert [len(part) for part in parts] == [300, 250, 250, 1700]
        seen = [{tuple(x.flatten().tolist()) for x in part} for part in parts]
        assert not any(a & b for i, a in enumerate(seen) for b in seen[i + 1 :])

    def test_halves_never_meet(self) -> None:
        first, second = (set(tasks.halves(5000, half).tolist()) for half in tasks.HALVES)
        assert not first & second
        assert len(first | second) == 5000

    def test_what_cannot_be_is_refused_in_a_sentence(self) -> None:
        with pytest.raises(CompanionError, match="use one of choices, evidence"):
            tasks.halves(10, "test")
        with pytest.raises(CompanionError, match="use one of mnist5k, cifar10_jpeg, cifar10, cifar100"):
            tasks.draw("svhn", "evidence", (1, 1, 1, 1), 1, 0)
        with pytest.raises(CompanionError, match="more images than there are"):
            tasks.draw(tasks.DIGITS, "evidence", (3000, 1, 1, 1), 1, 0)

    def test_pooling_averages_squares(self) -> None:
        assert tasks.pooled(np.array([[[0, 255], [255, 0]]], dtype=np.uint8), 2).tolist() == [[[[0.5]]]]


class TestTraining:
    def example(self, rates: list[float]) -> list[float]:
        torch.manual_seed(0)
        x = torch.randn(120, 1, 8, 8)
        y = (x.mean((1, 2, 3)) > 0).long()
        nets = training.SideBySide(training.make_net(1, 8, 4, 2, 2), len(rates))
        several = lambda images: images.expand(len(rates), *images.shape)  # noqa: E731
        training.fit(nets, several, x, y, rates, 5, 20, torch.Generator().manual_seed(0))
        return [float(w[i].detach().sum()) for i in range(len(rates)) for w in nets.weights.values()]

    def test_side_by_side_is_one_after_the_other(self) -> None:
        both, one, other = self.example([0.1, 0.02]), self.example([0.1]), self.example([0.02])
        assert both == pytest.approx(one + other, abs=1e-4)
        assert one != pytest.approx(other, abs=1e-3)


@needs_digits
def test_search_arms_share_what_they_must() -> None:
    found = room.find(CI, 0, CPU)
    assert torch.equal(found.policy(DEEPAA)[0], found.policy(NO_STD)[0])
    assert len(found.policy(LIES)) == 1
    assert not torch.equal(found.policy(LIES)[0], found.policy(DEEPAA)[0])
    assert set(room.policies(found)) == set(ARMS)


@pytest.fixture
def tiny_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(200) % 3
    images = (rng.integers(0, 60, (200, 32, 32, 3)) + 180 * np.eye(3)[labels][:, None, None]).astype(np.uint8)
    split = Split(images[:150], labels[:150].astype(np.int64), images[150:], labels[150:].astype(np.int64))
    monkeypatch.setitem(tasks.COLOURED, "cifar10", lambda: split)
    room.find.cache_clear()


def test_the_paper_configuration_runs_on_a_tiny_set(tiny_colours: None, tmp_path: Path) -> None:
    paper = Config.at("paper")
    assert (paper.recipe.steps, paper.recipe.draws, paper.recipe.prefixes, paper.recipe.batch) == (1024, 16, 16, 64)
    recipe = replace(paper.recipe, steps=2, later_steps=2, draws=3, prefixes=2, batch=4, layers=2, chunk=100)
    config = replace(
        paper, sizes=(60, 45, 45, 40), first_epochs=2, epochs=2, batch=20, widths=(2, 2), recipe=recipe,
        checkpoint=str(tmp_path),
    )  # fmt: skip
    first = experiment(config, 0, CPU)
    assert (tmp_path / "deepaa-0.pt").is_file()
    room.find.cache_clear()
    assert experiment(config, 0, CPU) == first
    assert {row.method for row in first if row.metric == "accuracy"} == {*ARMS, "search network"}
    room.find.cache_clear()


@pytest.mark.real
def test_natural_images_where_the_user_has_them() -> None:
    folder = data.real_dir()
    if folder is None or not (folder / "cifar10_jpeg").is_dir():
        pytest.skip("COMPANION_REAL holds no cifar10_jpeg")
    config = room.FURTHER["natural colour images"].config
    recipe = replace(config.recipe, steps=4, later_steps=2)
    found = room.find(replace(config, recipe=recipe, first_epochs=10, sizes=(400, 100, 100, 300)), 0, CPU)
    assert found.bank.rows("Color")
    with torch.no_grad():
        scores = found.network(found.network.weights, found.task.test_images)
    assert float((scores.argmax(1) == found.task.test_labels).double().mean()) > 0.15  # chance is 0.1


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
        found = room.find(CI, 0, CPU)
        seen = found.layers[DEEPAA][0].rewards
        figure = figures.mean_and_std(found.bank, seen, ("RandFlip",))
        n = found.bank.rows("RandFlip")[0]
        marked = figure.axes[0].lines[-1]
        assert marked.get_ydata()[0] == pytest.approx(float(seen[:, n].mean()), rel=1e-4)

    def test_all_are_small_enough(self, rows) -> None:
        found = room.find(CI, 0, CPU)
        v, g = torch.tensor([2.0, 1.0]), torch.tensor([[1.0, 2.0], [2.0, 0.0], [-1.0, 1.0]])
        longer = room.longer(replace(CI, epochs=2), 0, CPU)
        epochs = sorted({int(row.setting.split()[0]) for row in longer})
        for figure in (
            figures.geometry(v, g, torch.tensor([0.6, 0.2, 0.2]), ("identity", "rotate", "invert"), 1.0),
            figures.sheet(found.bank, found.source.images[0], found.layers[DEEPAA][0].probabilities),
            figures.progress(found),
            figures.lengths(longer, epochs, (NONE, TRIVIAL, RAND, DEEPAA)),
            figures.panel(found, 3, 40, 30, 10),
        ):
            assert png(figure)

    def test_a_layer_of_ones_own_agrees_as_the_identity_does_when_it_is_one(self) -> None:
        found = room.find(CI, 0, CPU)
        p = torch.zeros(len(found.bank), dtype=torch.float64)
        p[0] = 1
        assert figures.agree(found, 3, p)[0] == pytest.approx(figures.agree(found, 3, p / 2)[0], abs=1e-6)


@needs_digits
def test_further_runs_measure_what_they_say() -> None:
    small = replace(CI, recipe=replace(CI.recipe, steps=2, later_steps=1))
    shares = {row.method: row.value for row in room.doubts(small, 0, CPU)}
    assert set(shares) == {"std in layer 1 too", "less noise", "less noise, no std"}
    assert {row.setting for row in room.crossed(replace(small, epochs=1), 0, CPU)} == {
        f"training {i}" for i in range(3)
    }
    speeds = {row.method for row in room.cost(small, 0, CPU)}
    assert speeds == {"one JVP", "each gradient"}
    room.find.cache_clear()


class TestRecord:
    def test_choices_and_rehearsals_saw_no_image_of_the_evidence(self) -> None:
        runs = load_record("deepaa").runs
        halves = {name: runs[name].stamp["config"]["half"] for name in ("choice", "rehearsal", "study", "laptop")}
        assert halves == {"choice": "choices", "rehearsal": "choices", "study": "evidence", "laptop": "evidence"}

    def test_searches_were_crossed_with_trainings(self) -> None:
        run = load_record("deepaa").runs["search x training"]
        assert len(run.seeds) >= 3
        assert {row.setting for row in run.measurements} == {f"training {i}" for i in range(3)}
