"""GRDA's experiment: seeds, methods, the paper's configuration on a tiny set, studies, figures."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import rooms
import torch

from companion.data import real_dir, status
from companion.errors import CompanionError
from companion.grda import data, evaluation, figures, studies, theory, training
from companion.grda.data import PUBLISHED
from companion.grda.evaluation import SOURCES, TARGETS, THIRDS
from companion.grda.experiment import Config, experiment
from companion.grda.method import AdversarialConfig
from companion.grda.training import GRDA_PERMUTED, METHODS, SELF_TRAINING, SOURCE, TUNED_METHODS
from companion.lab.display import png
from companion.lab.evidence import values

CPU = torch.device("cpu")
CI = Config.at("ci")
TINY = AdversarialConfig(1e-3, batch_size=20, epochs=2, hidden_dim=8, embed_steps=20)


@pytest.fixture(scope="module")
def rows():
    return [row for seed in (0, 1) for row in experiment(CI, seed, CPU)]


def test_a_seed_repeats_and_another_differs(rows) -> None:
    rooms.repeats(lambda seed: experiment(CI, seed, CPU), rows)


def test_every_claim_finds_its_methods(rows) -> None:
    rooms.finds_its_arms("grda", rows)


def test_the_study_is_the_laptop_with_more_methods_and_seeds() -> None:
    rooms.laptop_is_study(Config, "methods", "toy_methods")
    laptop, study = Config.at("laptop"), Config.at("study")
    assert set(laptop.methods) < set(study.methods)
    assert laptop.toy_methods.keys() == study.toy_methods.keys()
    for name, methods in laptop.toy_methods.items():
        assert set(methods) <= set(study.toy_methods[name])


def test_groups_of_domains_are_ordered_by_angle() -> None:
    domains = data.make_dg("DG-15", 0)
    groups = evaluation.domain_groups(domains)
    assert [len(groups[name]) for name in (SOURCES, TARGETS, *THIRDS)] == [6, 9, 3, 3, 3]
    spans = [domains.angle[groups[name]] for name in (SOURCES, *THIRDS)]
    assert all(before.max() < after.min() for before, after in pairwise(spans))


def test_every_method_has_as_many_candidates() -> None:
    for weights, rates in ((studies.LAMS, studies.LRS), (studies.STATE_LAMS, studies.STATE_LRS)):
        candidates = studies.candidates(weights, rates)
        assert {len(found) for found in candidates.values()} == {8}
        assert set(candidates) == set(TUNED_METHODS) == set(METHODS) - {GRDA_PERMUTED, SELF_TRAINING}


def test_unknown_data_is_named() -> None:
    with pytest.raises(CompanionError, match="use one of DG-15,"):
        experiment(replace(CI, data="DG-16"), 0, CPU)


@pytest.mark.parametrize("amp", [False, True])
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_the_paper_configuration_runs_on_few_epochs(amp: bool, device: str) -> None:
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    paper = Config.at("paper")
    assert (paper.hidden_dim, paper.epochs, paper.batch_size) == (512, 500, 10)
    toys = {name: value for name, value in Config.SIZES["ci"].items() if name.startswith("toy_")}
    config = paper.override(hidden_dim=16, embed_steps=20, epochs=2, amp=amp, **toys)
    found = experiment(config, 0, torch.device(device))
    assert {row.method for row in found if row.setting == TARGETS} == set(METHODS)
    assert all(0 <= row.value <= 100 for row in found)


@pytest.mark.real
def test_the_published_file_takes_the_place_of_a_draw() -> None:
    if real_dir() is None or not (real_dir() / "grda_dg15").is_dir():
        pytest.skip("COMPANION_REAL holds no grda_dg15")
    config = replace(CI, data=PUBLISHED, methods=(SOURCE, SELF_TRAINING), toy_methods={})
    first, other = (experiment(config, seed, CPU) for seed in (0, 1))
    accuracy = [row.value for row in (*first, *other) if row.method == SELF_TRAINING and row.setting == TARGETS]
    assert accuracy == [100.0, 100.0]


@pytest.mark.real
def test_temperatures_are_measured_by_level() -> None:
    if real_dir() is None or not (real_dir() / "noaa_climdiv_states").is_dir() or status("us48") != "cached":
        pytest.skip("COMPANION_REAL holds no noaa_climdiv_states")
    config = replace(Config(), hidden_dim=8, embed_dim=8, embed_steps=20, epochs=3, batch_size=12)
    found = studies.temperatures(config, 0, CPU)
    assert {row.method for row in found} >= {"GRDA", "DANN", SOURCE, "ridge", "climatology"}
    assert {row.setting for row in found} == {
        f"{split}, {place}"
        for split in ("E->W", "N->S")
        for place in ("sources", "all targets", "level 1", "level 2", "level 3")
    }


class TestFigures:
    @pytest.fixture(scope="class")
    def domains(self):
        return data.make_dg("DG-15", 0)

    def test_result_holds_what_was_measured(self, rows) -> None:
        figure = figures.target_accuracy(rows, (SELF_TRAINING, SOURCE), {SOURCE: 39.77})
        lines = figure.axes[0].lines
        assert list(lines[0].get_xdata()) == list(
            values(rows, "accuracy", SOURCE, TARGETS)
        )  # the last method is lowest
        assert lines[1].get_xdata()[0] == 100  # self-training
        assert lines[2].get_xdata()[0] == 39.77  # the paper's cross

    def test_places_hold_the_means(self, rows) -> None:
        figure = figures.accuracy_by_group(rows, (SELF_TRAINING, SOURCE))
        wanted = [np.mean(values(rows, "accuracy", SELF_TRAINING, place)) for place in (SOURCES, *THIRDS)]
        assert list(figure.axes[0].lines[0].get_ydata()) == pytest.approx(wanted)

    def test_the_middle_of_a_chain_ends_between_its_ends(self) -> None:
        figure = figures.equilibrium_paths({"chain": (theory.chain(3), True)}, start=4)
        ends = [line.get_xydata()[0] for line in figure.axes[0].lines if line.get_markersize() == 9]
        assert np.allclose(ends[1], (ends[0] + ends[2]) / 2, atol=1e-3)

    def test_all_are_small_enough(self, rows, domains) -> None:
        found = {name: training.predictions(domains, name, TINY, 0) for name in (SOURCE, SELF_TRAINING)}
        for figure in (
            figures.target_accuracy(rows, Config().methods, {}),
            figures.accuracy_by_group(rows, Config().methods),
            figures.domain_graph(domains),
            figures.predicted_classes(domains, found),
            figures.equilibrium_paths({"clique": (theory.clique(3), True), "star": (theory.star(3), True)}),
            figures.demo_panel(domains, TINY, 0, "shuffled", 0.5, "true"),
            figures.demo_panel(domains, TINY, 0, "shuffled", 0.0, "permuted"),
        ):
            assert png(figure)
