"""TPT-48 in other years: invented states with known answers, the real map, and the real years where they are."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest

from companion.data import real_dir, status
from companion.data.us_states import STATES, us48
from companion.errors import CompanionError
from companion.grda import baselines, data, evaluation

needs_us48 = pytest.mark.skipif(status("us48") != "cached", reason="US-48 is not in the cache: make data")


def needs_years() -> None:
    """Skips where the real temperatures or the real map are not there."""
    folder = real_dir()
    if folder is None or not (folder / "noaa_climdiv_states").is_dir() or status("us48") != "cached":
        pytest.skip("COMPANION_REAL names no folder with noaa_climdiv_states/")


def path_of(n: int) -> np.ndarray:
    """Adjacency [n, n] of n domains in a row."""
    return np.eye(n, k=1) + np.eye(n, k=-1)


@pytest.fixture
def invented() -> data.Temperatures:
    """Five states in a row, two of them sources; July to December are January to June turned and shifted."""
    rng = np.random.default_rng(0)
    first = rng.normal(50, 10, (5, 8, 6))
    turned = first @ np.linalg.qr(rng.normal(size=(6, 6)))[0] + 3
    return data.standardize(np.concatenate([first, turned], -1), path_of(5), np.array([0, 1]))


@pytest.mark.parametrize("seed", range(5))
def test_levels_are_shortest_paths(seed: int) -> None:
    graph = nx.connected_watts_strogatz_graph(30, 4, 0.1, seed=seed)
    sources = np.array([3, 11, 12])
    shortest = nx.multi_source_dijkstra_path_length(graph, set(sources.tolist()))
    found = data.levels(nx.to_numpy_array(graph), sources)
    assert found.tolist() == [min(shortest[node], 3) for node in range(30)]


def test_autocorrelation_of_a_clique_of_a_ring_and_of_a_line() -> None:
    values = np.random.default_rng(0).normal(size=(6, 2))
    np.testing.assert_allclose(evaluation.morans_i(values, 1 - np.eye(6)), -1 / 5)
    ring = np.roll(np.eye(6), 1, axis=1) + np.roll(np.eye(6), -1, axis=1)
    assert evaluation.morans_i(np.array([[1.0, -1] * 3]).T, ring) == pytest.approx(-1)
    assert evaluation.morans_i(np.arange(50.0)[:, None], path_of(50)) > 0.9


@pytest.mark.parametrize("start", range(3))
def test_an_equilibrium_has_no_autocorrelation_in_anything(start: int) -> None:
    from companion.grda.theory import maximize_loss, ring

    adjacency = ring(6)
    table = maximize_loss(adjacency, 4, True, start, True, 30)[-1].numpy()
    means = table @ np.random.default_rng(start).normal(size=(4, 5))
    assert np.ptp(means, axis=0).min() > 0.01, "the domains differ"
    assert np.abs(evaluation.morans_i(means, adjacency.numpy())).max() < 0.01


def test_sources_alone_standardize() -> None:
    values = np.random.default_rng(0).normal(60, 5, (4, 3, 12))
    values[2:] += 1000
    task = data.standardize(values, path_of(4), np.array([0, 1]))
    both = np.concatenate([task.x, task.y], -1)
    assert both[:2].mean() == pytest.approx(0, abs=1e-12)
    assert both[:2].std() == pytest.approx(1)
    np.testing.assert_allclose(both * task.std + task.mean, values)
    assert task.targets.tolist() == [2, 3]


def test_an_error_is_a_sum_over_months_and_a_mean_over_years(invented: data.Temperatures) -> None:
    assert evaluation.squared_errors(invented, invented.y + 0.5) == pytest.approx(6 * 0.25)
    one_month = invented.y.copy()
    one_month[3, 0, 2] += 2
    assert evaluation.error_by_level(invented, one_month) == {
        "sources": 0, "all targets": pytest.approx(4 / 8 / 3), "level 1": 0, "level 2": pytest.approx(4 / 8),
        "level 3": 0,
    }  # fmt: skip


def test_ridge_finds_what_is_linear(invented: data.Temperatures) -> None:
    assert evaluation.error_by_level(invented, baselines.ridge(invented))["all targets"] < 1e-4


def test_ridge_and_climatology_know_nothing_of_the_targets_second_half(invented: data.Temperatures) -> None:
    from dataclasses import replace

    blind = invented.y.copy()
    blind[invented.targets] = np.nan
    for predict in (baselines.ridge, baselines.climatology, baselines.persistence, baselines.mirror):
        np.testing.assert_array_equal(predict(replace(invented, y=blind)), predict(invented))


def test_climatology_errs_by_the_sources_variance(invented: data.Temperatures) -> None:
    found = evaluation.error_by_level(invented, baselines.climatology(invented))["sources"]
    assert found == pytest.approx(invented.y[invented.sources].var((0, 1)).sum())


def test_persistence_and_mirror_by_hand() -> None:
    year = np.array([1.0, 2, 3, 4, 5, 6, 6, 6, 5, 4, 3, 2])
    task = data.standardize(np.tile(year, (2, 1, 1)), path_of(2), np.array([0]))
    assert evaluation.error_by_level(task, baselines.mirror(task)) == {"sources": 0, "all targets": 0, "level 1": 0}
    missed = (0 + 0 + 1 + 4 + 9 + 16) / task.std**2
    assert evaluation.error_by_level(task, baselines.persistence(task))["level 1"] == pytest.approx(missed)


def test_errors_name_the_known_splits_and_windows() -> None:
    with pytest.raises(CompanionError, match="split = 'W->E', window = 0; use E->W or N->S, and a window from 0 to 8"):
        data.load_temperatures("W->E", 0)  # type: ignore[arg-type]
    with pytest.raises(CompanionError, match="window = 9"):
        data.load_temperatures("E->W", 9)


def test_choices_and_evidence_share_no_year() -> None:
    assert set(data.TUNING_WINDOWS) | set(data.TEST_WINDOWS) == set(range(data.NUM_WINDOWS))
    assert not set(data.TUNING_WINDOWS) & set(data.TEST_WINDOWS)
    assert data.FIRST_YEAR + data.WINDOW_YEARS * data.NUM_WINDOWS == 2008


@needs_us48
@pytest.mark.parametrize(("split", "sizes"), [("E->W", [24, 8, 7, 9]), ("N->S", [24, 10, 6, 8])])
def test_the_levels_are_the_paper_s(split: data.Split, sizes: list[int]) -> None:
    sources = np.array([STATES.index(state) for state in data.SOURCE_STATES[split]])
    assert np.bincount(data.levels(us48(), sources)).tolist() == sizes


@pytest.mark.real
@pytest.mark.parametrize("window", [*data.TUNING_WINDOWS])
@pytest.mark.parametrize("split", [*data.SOURCE_STATES])
def test_ridge_beats_what_learns_nothing_in_the_real_years(split: data.Split, window: int) -> None:
    needs_years()
    task = data.load_temperatures(split, window)
    assert task.x.shape == task.y.shape == (48, 12, 6)
    found = {name: evaluation.error_by_level(task, predict(task)) for name, predict in baselines.FORECASTS.items()}
    for name in ("climatology", "persistence", "mirror"):
        assert found["ridge"]["all targets"] < found[name]["all targets"]


@pytest.mark.real
def test_neighboring_states_are_similar_in_every_month() -> None:
    needs_years()
    task = data.load_temperatures("E->W", data.TUNING_WINDOWS[0])
    means = np.concatenate([task.x, task.y], -1).mean(1)
    assert evaluation.morans_i(means, task.adjacency).min() > 0.5
