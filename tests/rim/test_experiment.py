"""RIM's experiment: seeds, methods, the paper's configuration on tiny data, stored results, real data, figures."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import rooms
import torch

from companion.data import real_dir, status
from companion.data.ratings import Interactions
from companion.lab import load_record, values
from companion.lab.display import png
from companion.rim import data, figures, matching, method, studies, training
from companion.rim.experiment import ITEMREC, TEST, USERREC, Config, experiment, guarantee_name, method_name, size_name
from companion.rim.training import EMA, GREEDY_RIM, GRU, HP, USER

CPU = torch.device("cpu")
CI = Config.at("ci")
SMALL = CI.override(
    data="tiny", hidden_dim=8, max_length=8, num_scales=4, em_steps=10, guaranteed_items=20, items_per_state=2,
    min_exposures=(1,), price_iterations=3,
)  # fmt: skip
needs_ml100k = pytest.mark.skipif(status("ml100k") != "cached", reason="MovieLens-100K is not in the cache: make data")


@pytest.fixture(autouse=True)
def tiny(monkeypatch) -> None:
    """Sixty users with bursts of events, forty items: everything but real data runs on it."""
    rng = np.random.default_rng(0)
    user = np.repeat(np.arange(60), 24)
    time = np.cumsum(rng.exponential(np.where(rng.random(len(user)) < 0.8, 10, 900)))
    item = np.minimum(rng.geometric(0.06, len(user)), 40) - 1
    interactions = Interactions(user, item, time.astype(np.int64), np.array([f"movie {i}" for i in range(40)]))
    monkeypatch.setitem(data.DATASETS, "tiny", lambda: interactions)


@pytest.fixture(scope="module")
def rows():
    if status("ml100k") != "cached":
        pytest.skip("MovieLens-100K is not in the cache: make data")
    return experiment(CI, 0, CPU)


def test_a_seed_repeats_and_another_differs() -> None:
    rooms.repeats(lambda seed: experiment(SMALL, seed, CPU))


def test_every_claim_finds_its_methods(rows) -> None:
    rooms.finds_its_arms("rim", rows)


def test_item_rec_is_the_same_number_for_every_activity(rows) -> None:
    for relevance in (GRU, "ALS", "item popularity"):
        found = {float(values(rows, ITEMREC, method_name(relevance, a), TEST)[0]) for a in training.ACTIVITIES}
        assert len(found) == 1


def test_the_study_is_the_laptop_with_more_methods_and_seeds() -> None:
    rooms.laptop_is_study(Config, "networks", "min_exposures")
    assert set(Config.at("laptop").networks) < set(Config.at("study").networks)
    assert set(Config.at("laptop").min_exposures) < set(Config.at("study").min_exposures)


def test_every_method_has_as_many_candidates_and_the_selected_ones_are_among_them() -> None:
    tried = studies.RELEVANCE | studies.POWER | studies.ACTIVITY
    assert {len(described) for described in tried.values()} == {6}
    chosen = studies.selected(Config.at("laptop"))
    assert chosen.keys() == tried.keys()


def test_tuning_and_pilot_never_see_the_half_of_the_evidence() -> None:
    for name, study in studies.STUDIES.items():
        assert (study.config.half == "first") == (name in ("tuning", "pilot")), name


def test_tuning_runs_on_tiny_data() -> None:
    measured = studies.tune(SMALL.override(half="first"), 0, CPU)
    assert {row.method for row in measured} == set(studies.selected(Config.at("laptop")))


@pytest.mark.parametrize("amp", [False, True])
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_the_paper_configuration_runs_on_tiny_data(amp: bool, device: str) -> None:
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    paper = Config.at("paper")
    assert (paper.data, paper.hidden_dim, paper.num_layers, paper.num_scales) == ("ml1m", 128, 2, 50)
    small = paper.override(
        data="tiny", hidden_dim=16, max_length=8, em_steps=5, guaranteed_items=20, items_per_state=2,
        min_exposures=(1,), price_iterations=3,
        **{f"train.{name}.{key}": value for name in paper.networks for key, value in (("amp", amp), ("epochs", 1))},
    )  # fmt: skip
    found = experiment(small, 0, torch.device(device))
    assert {"GRU x HP", "transformer x HP"} <= {row.method for row in found}
    assert all(np.isfinite(row.value) for row in found if row.metric == USERREC)


def test_shuffled_prices_are_the_same_prices() -> None:
    task = data.load_data("tiny", "second", 0, CPU)
    log_p = torch.randn(60, 40, dtype=torch.float64).log_softmax(1)
    past, test = data.most_popular(task, 20, 2)
    found = training.assign(past, test, log_p, torch.rand(60, dtype=torch.float64) + 0.1, SMALL, 1, 0)
    assert all(int(chosen.sum(1).max()) <= 2 for chosen in found.values())
    assert matching.shortfall(found[GREEDY_RIM], 1) == 0.0
    assert not any(bool((chosen & test.seen).any()) for chosen in found.values())


def test_memory_is_bounded_by_the_parameter() -> None:
    small, large = studies.random_scorer(300, 200, 2**20), studies.random_scorer(300, 200, 2**30)
    assert small.block_rows < large.block_rows
    assert max(len(block) for block in small.blocks()) <= small.block_rows
    found = studies.measure_runtime(300, 200)
    assert all(value >= 0 for value in found.values())


@pytest.mark.real
def test_latest_small_takes_the_place_of_the_default() -> None:
    if real_dir() is None or not (real_dir() / "ml_latest_small").is_dir():
        pytest.skip("COMPANION_REAL holds no ml_latest_small")
    found = experiment(replace(CI, data="ml_latest_small"), 0, CPU)
    assert values(found, USERREC, "GRU x HP", TEST)[0] >= 0


class TestRecord:
    def test_memory_stays_far_below_the_matrix(self) -> None:
        found = load_record("rim").runs["runtime"].measurements
        n, m = Config.at("laptop").runtime_sizes[-1]
        peak = values(found, "megabytes", "peak memory", size_name(n, m))[0]
        assert peak < n * m * 4 / 2**20 / 2


class TestFigures:
    @pytest.fixture
    def task(self):
        return data.load_data("tiny", "second", 0, CPU)

    def test_stacks_show_the_means(self, rows) -> None:
        figure = figures.stacks(rows, (GRU,))
        dots = [line for line in figure.axes[0].lines if len(line.get_xdata()) == 1]
        wanted = [values(rows, USERREC, method_name(GRU, a), TEST).mean() for a in figures.SHOWN]
        assert [line.get_ydata()[0] for line in dots] == pytest.approx(wanted)
        assert len({line.get_xdata()[0] for line in dots}) == 1

    def test_toy_marks_the_best_of_rows_and_columns(self) -> None:
        table = torch.tensor([[0.7, 0.3], [0.1, 0.9]])
        left = figures.toy(table, torch.tensor([1.0, 9.0]), ["a", "b"], ["u", "v"]).axes[1]
        marks = [(line.get_marker(), int(line.get_xdata()[0]), int(line.get_ydata()[0])) for line in left.lines]
        assert marks == [("s", 0, 0), ("s", 1, 1), ("o", 0, 1), ("o", 1, 1)]

    def test_deciles_contain_all_events(self, task) -> None:
        found = training.activities(task.split, SMALL, 0)
        ax = figures.deciles(task, {name: found[name] for name in (USER, EMA, HP)}).axes[0]
        after = task.split.events_after[task.states].double()
        for line in ax.lines:
            if line.get_label() != f"predicted by {HP}":
                assert np.sum(line.get_ydata()) == pytest.approx(float(after.sum()) / (len(after) / 10), rel=0.01)

    def test_assignments_and_timeline_draw(self, task) -> None:
        table = torch.rand(10, 40, dtype=torch.float64) + 0.01
        chosen = method.top_rows(table, 2, torch.arange(40))
        dots = figures.assignments(table, {"a": chosen, "b": chosen}).axes[0].lines[0]
        assert len(dots.get_xdata()) == 20
        scales = torch.tensor([0.1, 1.0], dtype=torch.float64)
        figure = figures.timeline(task.split, 0, scales, torch.rand(5, dtype=torch.float64), 0.1)
        assert png(figure)

    def test_the_demo_selects_by_the_decayed_count(self, task) -> None:
        log_p = torch.zeros(60, 40, dtype=torch.float64)
        titles = [f"movie {i}" for i in range(40)]
        assert png(figures.selected_states(task, log_p, titles, 0.1, titles[int(task.items[0])]))

    def test_exposure_and_runtime_show_the_stored_results(self) -> None:
        runs = load_record("rim").runs
        study = runs["study"].measurements
        ax = figures.exposure(study, ("top k", "dual, RIM"), (1, 3)).axes[0]
        wanted = [values(study, "shortfall", "dual, RIM", guarantee_name(c)).mean() for c in (1, 3)]
        assert list(ax.lines[1].get_xdata()) == pytest.approx(wanted)
        assert png(figures.runtime(runs["runtime"].measurements, Config.at("laptop").runtime_sizes))
