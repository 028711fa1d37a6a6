"""The experiment in small: seeds, arms, what no arm may read, a cut run, other data, both heads, both precisions."""

from __future__ import annotations

import importlib
from dataclasses import replace

import numpy as np
import pytest
import rooms
import torch

from companion.data import real_dir, status
from companion.data.glosses import SentencePairs
from companion.errors import CompanionError
from companion.lab import load_record, values
from companion.trans_encoder import arms, checks, speed, starts
from companion.trans_encoder.arms import (
    BLIND,
    GOLD,
    HELD,
    MUTUAL,
    NARROW,
    OWN,
    SELF,
    SHUFFLED,
    SPEARMAN,
    START,
    TRAINED,
)  # fmt: skip
from companion.trans_encoder.experiment import Config, experiment
from companion.trans_encoder.starts import Start
from companion.trans_encoder.training import Recipe

room = importlib.import_module("companion.trans_encoder.experiment")  # the face of the room has such a function
CPU = torch.device("cpu")
CI = Config.at("ci")
FAST = Recipe(1, 8, 1e-3)
SMALL = replace(
    CI, data="tiny", trained=16, held=24, models=("tiny-0", "tiny-1"), width=4, timed=False,
    relays=(SELF, BLIND, OWN, MUTUAL, NARROW, NARROW + BLIND, NARROW + SHUFFLED, NARROW + OWN, NARROW + MUTUAL),
    recipes=CI.recipes._replace(start=FAST, cross=FAST, bi=FAST, narrow=FAST),
)  # fmt: skip
needs_data = pytest.mark.skipif(
    status("wordnet_glosses") != "cached" or status("minilm") != "cached", reason="glosses or MiniLM are not here"
)


def tiny_pairs(n: int, seed: int) -> SentencePairs:
    """Pairs of numbers as texts; the more they share, the more alike."""
    rng = np.random.default_rng(seed)
    first, second, gold = [], [], []
    for _ in range(n):
        words, shared = rng.permutation(np.arange(5, 40))[:12], int(rng.integers(0, 6))
        first.append(" ".join(map(str, words[:6])))
        second.append(" ".join(map(str, [*words[:shared], *words[6 : 12 - shared]])))
        gold.append(shared / 6 + 0.01 * rng.random())
    return SentencePairs(first, second, np.array(gold))


def tiny_model(name: str, longest: int) -> Start:
    def read(texts: list[str]) -> list[torch.Tensor]:
        return [torch.tensor([2, *map(int, text.split()[: longest - 2]), 3]) for text in texts]

    return Start(checks.small_encoder(int(name[-1])), checks.WIDTH, read)


@pytest.fixture(autouse=True)
def tiny(monkeypatch) -> None:
    """Everything but real data runs on random models of width 16 and texts of numbers."""
    load, model = arms.load, arms.language_model

    def pairs(data: str, trained: int, held: int, seed: int) -> dict[str, SentencePairs]:
        if data != "tiny":
            return load(data, trained, held, seed)
        return {TRAINED: tiny_pairs(trained, 2 * seed), HELD: tiny_pairs(held, 2 * seed + 1)}

    monkeypatch.setattr(arms, "load", pairs)
    monkeypatch.setattr(
        arms, "language_model", lambda name, longest: (tiny_model if "tiny" in name else model)(name, longest)
    )


@pytest.fixture(scope="module")
def rows():
    if status("wordnet_glosses") != "cached" or status("minilm") != "cached":
        pytest.skip("glosses or MiniLM are not in the cache: make data")
    return experiment(CI, 0, CPU)


def test_a_seed_repeats_and_another_differs() -> None:
    rooms.repeats(lambda seed: experiment(SMALL, seed, CPU))


def test_every_claim_finds_its_arms(rows) -> None:
    rooms.finds_its_arms("trans_encoder", rows)


def test_every_arm_is_measured_once_on_both_kinds_of_pairs(rows) -> None:
    keys = [(row.metric, row.method, row.setting) for row in rows]
    assert len(keys) == len(set(keys))
    for arm in {row.method for row in rows if row.metric == SPEARMAN}:
        assert [len(values(rows, SPEARMAN, arm, setting)) for setting in (TRAINED, HELD)] == [1, 1], arm
    assert all(-100 <= row.value <= 100 for row in rows if row.metric == SPEARMAN)


def test_the_cross_form_is_dearer_the_more_sentences_there_are(rows) -> None:
    few, many = (values(rows, room.RATIO, speed.CROSS, f"n = {n}")[0] for n in (16, 64))
    assert 1 < few < many


def test_no_arm_reads_gold(monkeypatch) -> None:
    """With gold put in another order nothing but the correlations changes: all labels and weights are the same."""
    written: list[list[float]] = []
    whole = arms.training.fit

    def watched(model, pairs, labels, *rest) -> None:
        written[-1].extend(labels.tolist())
        whole(model, pairs, labels, *rest)

    monkeypatch.setattr(arms.training, "fit", watched)
    load, found = arms.load, []
    for turned in (False, True):
        written.append([])
        if turned:
            monkeypatch.setattr(arms, "load", lambda *given: {
                name: replace(pairs, similarity=pairs.similarity[::-1].copy()) for name, pairs in load(*given).items()
            })  # fmt: skip
        found.append([row.value for row in experiment(SMALL, 0, CPU)])
    assert written[0] == written[1] != []
    assert found[0] != found[1]


def test_a_cut_run_goes_on_and_ends_the_same(tmp_path, monkeypatch) -> None:
    whole = experiment(SMALL, 0, CPU)
    kept = replace(SMALL, keep=str(tmp_path))
    calls, train = [], arms.training.fit

    def breaks(*given) -> None:
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        train(*given)

    monkeypatch.setattr(arms.training, "fit", breaks)
    with pytest.raises(KeyboardInterrupt):
        experiment(kept, 0, CPU)
    before = len(list(tmp_path.iterdir()))
    assert before >= 3
    assert experiment(kept, 0, CPU) == whole
    files = {file.name for file in tmp_path.iterdir()}
    assert not any(name.endswith(".part") for name in files)
    trained = len(calls)
    assert experiment(kept, 0, CPU) == whole
    assert len(calls) == trained


def test_seeds_and_arms_share_no_file(tmp_path) -> None:
    kept = replace(SMALL, keep=str(tmp_path))
    experiment(kept, 0, CPU)
    first = {file.name for file in tmp_path.iterdir()}
    experiment(kept, 1, CPU)
    both = {file.name for file in tmp_path.iterdir()}
    assert len(both) == 2 * len(first)


@pytest.mark.parametrize("head", ["cls", "cosine"])
@pytest.mark.parametrize("amp", [True, False])
def test_both_heads_run_in_both_precisions(head: str, amp: bool) -> None:
    recipe = Recipe(1, 8, 1e-3, amp=amp)
    recipes = SMALL.recipes._replace(start=recipe, cross=recipe, bi=recipe, narrow=recipe, head=head)
    found = experiment(replace(SMALL, recipes=recipes, cycles=2), 0, CPU)
    assert np.isfinite([row.value for row in found]).all()
    assert {"cross 2", "bi 2"} <= {row.method for row in found}


def test_the_paper_s_configuration_runs_on_tiny_data(tmp_path) -> None:
    paper = Config.at("paper")
    assert (paper.recipes.head, paper.cycles, paper.recipes.cross.lr, paper.recipes.bi.epochs) == ("cls", 3, 2e-5, 10)
    names = ("tiny-0", "tiny-1")
    tiny = replace(
        paper, data="tiny", trained=16, held=24, models=names, tuned=("tiny-2", "tiny-3"), keep=str(tmp_path)
    )
    found = experiment(tiny, 0, CPU)
    assert {"cross 3", "bi 3", "mutual cross 3", "mutual bi 3", "own scores"} <= {row.method for row in found}
    files = {file.name for file in tmp_path.iterdir()}
    assert not any(name.startswith("start") for name in files), "the starts are those that others tuned"
    assert experiment(tiny, 0, CPU) == found
    assert {file.name for file in tmp_path.iterdir()} == files


def test_gold_is_read_by_the_arms_that_say_so_alone() -> None:
    found = experiment(replace(SMALL, relays=(GOLD,)), 0, CPU)
    assert {f"{GOLD}bi", f"{GOLD}cross", f"{GOLD}{BLIND}cross"} <= {row.method for row in found}
    assert not any(GOLD in row.method for row in experiment(SMALL, 0, CPU))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_a_gpu_runs_it_all() -> None:
    found = experiment(SMALL, 0, torch.device("cuda"))
    assert {row.method for row in found} == {row.method for row in experiment(SMALL, 0, CPU)}


def test_unknown_data_is_named() -> None:
    with pytest.raises(CompanionError, match="use glosses or stsb"):
        arms.load("sick", 4, 4, 0)


def test_the_drawn_pairs_are_the_seeds() -> None:
    pairs = tiny_pairs(30, 0)
    first, again, other = (arms.drawn(pairs, 10, seed) for seed in (0, 0, 1))
    assert first.first == again.first != other.first
    rows = [pairs.first.index(text) for text in first.first]
    assert [pairs.second[i] for i in rows] == first.second
    assert first.similarity.tolist() == pairs.similarity[rows].tolist()
    assert len(arms.drawn(pairs, 99, 0).first) == 30


@pytest.mark.real
@needs_data
def test_stsb_takes_the_place_of_definitions() -> None:
    if real_dir() is None or not (real_dir() / "stsb").is_dir():
        pytest.skip("COMPANION_REAL holds no stsb")
    found = experiment(replace(SMALL, data="stsb", models=("minilm-3",), relays=(SELF,), trained=32, held=100), 0, CPU)
    assert values(found, SPEARMAN, START, HELD)[0] > 40


@needs_data
def test_the_carried_models_are_small_and_named() -> None:
    for name in Config.at("study").models:
        assert starts.language_model(name).width > 0


class TestRecord:
    def test_choice_rehearsal_and_evidence_share_no_seed(self) -> None:
        runs = load_record("trans_encoder").runs
        seeds = [set(runs[name].seeds) for name in ("choice", "rehearsal", "study")]
        assert sum(map(len, seeds)) == len(set.union(*seeds))

    def test_seconds_follow_the_count(self) -> None:
        """Sixteen times the sentences cost about sixteen times in the bi form, about 290 times in the cross form."""
        rows = load_record("trans_encoder").runs["cost"].measurements
        for arm, least, most in ((speed.BI, 5, 50), (speed.CROSS, 100, 900)):
            few, many = (values(rows, speed.SECONDS, arm, f"n = {n}").mean() for n in (8, 128))
            assert least < many / few < most
