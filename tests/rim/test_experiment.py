"""RIM's experiment: seeds, arms, the paper's configuration on a tiny set, margins, verdicts, real data, figures."""

from __future__ import annotations

import importlib
from dataclasses import replace

import numpy as np
import pytest
import rooms
import torch

from companion.data import real_dir, status
from companion.data.ratings import Interactions
from companion.lab import load_record, values
from companion.lab.plots import png
from companion.rim import arms, figures, matching, method, speed
from companion.rim.arms import EMA, GRU, HP, USER, Choices, Clock
from companion.rim.experiment import ITEMREC, TEST, USERREC, Config, experiment
from companion.rim.method import Recipe, Training

room = importlib.import_module("companion.rim.experiment")  # the face of the room has a function of that name
CPU = torch.device("cpu")
CI = Config.at("ci")
SMALL = replace(
    CI, data="tiny", training=Training(width=8, longest=8), clock=Clock(kernels=4, steps=10), promised=20, places=2,
    exposures=(1,), iterations=3,
)  # fmt: skip
needs_ml100k = pytest.mark.skipif(status("ml100k") != "cached", reason="MovieLens-100K is not in the cache: make data")


@pytest.fixture(autouse=True)
def tiny(monkeypatch) -> None:
    """Sixty users with bursts of events, forty films: everything but real data runs on it."""
    rng = np.random.default_rng(0)
    user = np.repeat(np.arange(60), 24)
    time = np.cumsum(rng.exponential(np.where(rng.random(len(user)) < 0.8, 10, 900)))
    item = np.minimum(rng.geometric(0.06, len(user)), 40) - 1
    data = Interactions(user, item, time.astype(np.int64), np.array([f"film {i}" for i in range(40)]))
    monkeypatch.setitem(arms.SETS, "tiny", lambda: data)


@pytest.fixture(scope="module")
def rows():
    if status("ml100k") != "cached":
        pytest.skip("MovieLens-100K is not in the cache: make data")
    return experiment(CI, 0, CPU)


def test_a_seed_repeats_and_another_differs() -> None:
    rooms.repeats(lambda seed: experiment(SMALL, seed, CPU))


def test_every_claim_finds_its_arms(rows) -> None:
    rooms.finds_its_arms("rim", rows)


def test_item_rec_is_the_same_number_for_every_activity(rows) -> None:
    for relevance in (GRU, "ALS", "item popularity"):
        found = {float(values(rows, ITEMREC, room.named(relevance, a), TEST)[0]) for a in arms.ACTIVITIES}
        assert len(found) == 1


def test_the_study_is_the_laptop_with_more_arms_and_seeds() -> None:
    rooms.laptop_is_study(Config, "networks", "exposures")
    assert set(Config.at("laptop").networks) < set(Config.at("study").networks)
    assert set(Config.at("laptop").exposures) < set(Config.at("study").exposures)


def test_every_arm_has_as_many_candidates_and_choices_are_among_them() -> None:
    tried = {name: [str(recipe) for recipe in found] for name, found in room.RECIPES.items()}
    tried |= {f"{name}, power": [f"{p:g}" for p in found] for name, found in room.POWERS.items()}
    tried |= {name: [f"{v:g}" for v in found] for name, (_, found) in room.CLOCKS.items()}
    assert {len(set(found)) for found in tried.values()} == {6}
    chosen = room.chosen(Config.at("laptop"))
    assert chosen.keys() == tried.keys()
    assert all(chosen[name] in found for name, found in tried.items())


def test_choices_and_rehearsals_never_see_the_half_that_gives_evidence() -> None:
    for name, plan in room.FURTHER.items():
        assert (plan.config.half == "first") == (name in ("choice", "rehearsal")), name


def test_the_choice_runs_on_tiny_data() -> None:
    found = room.choose(replace(SMALL, half="first"), 0, CPU)
    assert {row.method for row in found} == set(room.chosen(SMALL))


@pytest.mark.parametrize("amp", [False, True])
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_the_paper_configuration_runs_on_tiny_data(amp: bool, device: str) -> None:
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    paper = Config.at("paper")
    assert (paper.data, paper.training.width, paper.training.layers, paper.clock.kernels) == ("ml1m", 128, 2, 50)
    training = paper.training._replace(width=16, longest=8, amp=amp)
    quick = Choices(gru=Recipe(3e-3, 1), transformer=Recipe(1e-3, 1))
    small = replace(
        paper, data="tiny", training=training, choices=quick, clock=paper.clock._replace(steps=5), promised=20,
        places=2, exposures=(1,), iterations=3,
    )  # fmt: skip
    found = experiment(small, 0, torch.device(device))
    assert {"GRU x HP", "transformer x HP"} <= {row.method for row in found}
    assert all(np.isfinite(row.value) for row in found if row.metric == USERREC)


def test_shuffled_prices_are_the_same_prices() -> None:
    task = arms.draw("tiny", "second", 0, CPU)
    log_p = torch.randn(60, 40, dtype=torch.float64).log_softmax(1)
    past, fresh = arms.most_trained(task, 20, 2)
    found = room.policies(past, fresh, log_p, torch.rand(60, dtype=torch.float64) + 0.1, SMALL, 1, 0)
    assert all(int(chosen.sum(1).max()) <= 2 for chosen in found.values())
    assert matching.shortfall(found[room.GREEDY_S], 1) == 0.0
    assert not any(bool((chosen & fresh.seen).any()) for chosen in found.values())


def test_memory_is_bounded_by_the_parameter() -> None:
    small, large = speed.example(300, 200, 2**20), speed.example(300, 200, 2**30)
    assert small.rows < large.rows
    assert max(len(block) for block in small.blocks()) <= small.rows
    found = speed.measure(300, 200)
    assert all(value >= 0 for value in found.values())


@pytest.mark.real
def test_latest_small_takes_the_place_of_the_default() -> None:
    if real_dir() is None or not (real_dir() / "ml_latest_small").is_dir():
        pytest.skip("COMPANION_REAL holds no ml_latest_small")
    found = experiment(replace(CI, data="ml_latest_small"), 0, CPU)
    assert values(found, USERREC, "GRU x HP", TEST)[0] >= 0


class TestRecord:
    def test_memory_stays_far_below_the_matrix(self) -> None:
        found = load_record("rim").runs["cost"].measurements
        n, m = speed.SIZES[-1]
        peak = values(found, "megabytes", "peak memory", f"{n:,} x {m:,}")[0]
        assert peak < n * m * 4 / 2**20 / 2


class TestFigures:
    @pytest.fixture
    def task(self):
        return arms.draw("tiny", "second", 0, CPU)

    def test_stacks_hold_the_means(self, rows) -> None:
        figure = figures.stacks(rows, (GRU,))
        dots = [line for line in figure.axes[0].lines if len(line.get_xdata()) == 1]
        wanted = [values(rows, USERREC, room.named(GRU, a), TEST).mean() for a in figures.SHOWN]
        assert [line.get_ydata()[0] for line in dots] == pytest.approx(wanted)
        assert len({line.get_xdata()[0] for line in dots}) == 1

    def test_toy_marks_the_best_of_rows_and_columns(self) -> None:
        table = torch.tensor([[0.7, 0.3], [0.1, 0.9]])
        left = figures.toy(table, torch.tensor([1.0, 9.0]), ["a", "b"], ["u", "v"]).axes[1]
        marks = [(line.get_marker(), int(line.get_xdata()[0]), int(line.get_ydata()[0])) for line in left.lines]
        assert marks == [("s", 0, 0), ("s", 1, 1), ("o", 0, 1), ("o", 1, 1)]

    def test_tenths_hold_all_events(self, task) -> None:
        found = arms.activities(task.split, Clock(kernels=4, steps=10), 0)
        ax = figures.deciles(task, {name: found[name] for name in (USER, EMA, HP)}).axes[0]
        after = task.split.after[task.states].double()
        for line in ax.lines:
            if line.get_label() != f"foretold by {HP}":
                assert np.sum(line.get_ydata()) == pytest.approx(float(after.sum()) / (len(after) / 10), rel=0.01)

    def test_assignments_and_timeline_draw(self, task) -> None:
        table = torch.rand(10, 40, dtype=torch.float64) + 0.01
        chosen = method.top_rows(table, 2, torch.arange(40))
        dots = figures.assignments(table, {"a": chosen, "b": chosen}).axes[0].lines[0]
        assert len(dots.get_xdata()) == 20
        scales = torch.tensor([0.1, 1.0], dtype=torch.float64)
        figure = figures.timeline(task.split, 0, scales, torch.rand(5, dtype=torch.float64), 0.1)
        assert png(figure)

    def test_the_panel_selects_by_the_moving_average(self, task) -> None:
        log_p = torch.zeros(60, 40, dtype=torch.float64)
        titles = [f"film {i}" for i in range(40)]
        assert png(figures.panel(task, log_p, titles, 0.1, titles[int(task.films[0])]))

    def test_exposure_and_cost_come_from_the_record(self) -> None:
        runs = load_record("rim").runs
        study = runs["study"].measurements
        ax = figures.exposure(study, ("top k", "dual, RIM"), ["1 states a film", "3 states a film"]).axes[0]
        wanted = [values(study, "shortfall", "dual, RIM", f"{c} states a film").mean() for c in (1, 3)]
        assert list(ax.lines[1].get_xdata()) == pytest.approx(wanted)
        assert png(figures.cost(runs["cost"].measurements))
