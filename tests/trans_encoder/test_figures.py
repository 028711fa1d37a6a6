"""Figures draw the numbers that they are given; attention maps, rank changes, tables of stored results."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from companion.data import status
from companion.data.sentences import SentencePairs
from companion.lab.display import png
from companion.lab.evidence import Measurement
from companion.trans_encoder import data, evaluation, figures, studies
from companion.trans_encoder.data import HELD_OUT, TRAINING
from companion.trans_encoder.evaluation import AGREEMENT, CPU_SECONDS, PASSES, SPEARMAN
from companion.trans_encoder.method import BI, CROSS
from companion.trans_encoder.training import BOTTLENECK_SELF, BOTTLENECK_START, MUTUAL, SELF, SIMCSE_START

METHODS = [
    SIMCSE_START, "cross-encoder 1", "bi-encoder 1", "mutual cross-encoder 1", "mutual bi-encoder 1",
    "bi-encoder (own scores)",
]  # fmt: skip
SHORT = ["start", "cross-encoder 1", "bi-encoder 1"]


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    yield
    plt.close("all")


@pytest.fixture
def rows() -> list[Measurement]:
    """Method k has 40 + k on training pairs, 30 + k on held-out ones, and seed s adds s / 10."""
    return [
        Measurement(SPEARMAN, name, setting, seed, base + k + seed / 10)
        for k, name in enumerate(METHODS) for setting, base in ((TRAINING, 40), (HELD_OUT, 30)) for seed in range(3)
    ]  # fmt: skip


def test_stages_are_those_that_were_measured_in_order(rows) -> None:
    assert list(figures.measured_stages(rows[::-1], SELF).values()) == METHODS[:3]
    assert list(figures.measured_stages(rows, MUTUAL).values()) == [SIMCSE_START, *METHODS[3:5]]


def test_the_stages_are_shown_with_means_and_controls_in_both_settings(rows) -> None:
    figure = figures.distillation(rows, {"self": SELF, "mutual": MUTUAL}, {METHODS[5]: 2})
    for ax, base in zip(figure.axes, (40, 30), strict=True):
        means = {line.get_label(): line.get_ydata() for line in ax.lines if not line.get_label().startswith("_")}
        assert means["self"] == pytest.approx([base + 0.1, base + 1.1, base + 2.1])
        assert means["mutual"] == pytest.approx([base + 0.1, base + 3.1, base + 4.1])
        assert means[METHODS[5]] == pytest.approx([base + 5.1])
        assert [label.get_text() for label in ax.get_xticklabels()] == SHORT
    assert png(figure)


def test_a_variant_with_a_start_of_its_own_begins_there(rows) -> None:
    names = [BOTTLENECK_START, "bottleneck cross-encoder 1"]
    bottleneck = [Measurement(SPEARMAN, name, s, 0, 7.0) for name in names for s in (TRAINING, HELD_OUT)]
    assert list(figures.measured_stages([*rows, *bottleneck], BOTTLENECK_SELF).values()) == names
    measurements = [row for row in rows if row.seed == 0] + bottleneck
    ax = figures.distillation(measurements, {"full": SELF, "bottleneck": BOTTLENECK_SELF}).axes[0]
    means = {line.get_label(): line.get_ydata() for line in ax.lines if not line.get_label().startswith("_")}
    assert means["bottleneck"] == pytest.approx([7, 7])
    assert [label.get_text() for label in ax.get_xticklabels()] == SHORT


def test_every_seed_of_a_control_is_drawn(rows) -> None:
    figure = figures.by_seed(rows, METHODS)
    for ax, base in zip(figure.axes, (40, 30), strict=True):
        dots = [line for line in ax.lines if len(line.get_xdata()) == 3]
        assert sorted(x for line in dots for x in line.get_xdata()) == pytest.approx(
            sorted(base + k + s / 10 for k in range(6) for s in range(3))
        )


def test_the_toy_shows_what_is_computed_by_hand() -> None:
    figure = figures.toy()
    left, middle, right = figure.axes
    lines = [{line.get_label(): line.get_ydata() for line in ax.lines} for ax in (left, middle)]
    assert np.allclose(lines[0]["student"], data.TOY_TRUTH)
    assert np.allclose(lines[1]["student"], data.TOY_TRUTH + data.TOY_BIAS)
    assert "1.00" in left.get_title("left")
    assert "0.71" in middle.get_title("left")
    curve = right.lines[0]
    expected = dict(zip(curve.get_xdata(), curve.get_ydata(), strict=True))
    assert expected[1.0] == pytest.approx(data.expected_correlation(1.0))
    drawn = [line for line in right.lines if len(line.get_xdata()) == 1]
    assert len(drawn) == 12
    assert float(drawn[0].get_ydata()[0]) == pytest.approx(expected[1.0], abs=0.02)


@pytest.mark.parametrize(("shared", "ceiling"), [(0.0, 1.0), (3.0, 0.5)])
def test_averaging_has_the_limit_of_shared_noise(shared: float, ceiling: float) -> None:
    figure = figures.averaging(2.0, shared, 0.2)
    labels, student, limit = figure.axes[0].lines
    assert limit.get_ydata()[0] == pytest.approx(ceiling)
    assert labels.get_ydata()[3] == pytest.approx(data.expected_correlation(2.0, shared, 4))
    assert student.get_ydata()[3] == pytest.approx(data.expected_correlation(2.0, shared, 4, 0.2))


def test_runtime_shows_seconds_and_what_the_count_predicts() -> None:
    rows = [
        Measurement(metric, name, f"n = {n}", 0, value)
        for n in (8, 16)
        for name, passes in ((BI, n), (CROSS, n * (n - 1) / 2))
        for metric, value in ((PASSES, passes), (CPU_SECONDS, passes / 100))
    ]
    figure = figures.runtime(rows)
    bi, expected, cross, expected_of_cross = (line.get_ydata() for line in figure.axes[0].lines)
    assert bi == pytest.approx([0.08, 0.16])
    assert cross == pytest.approx([0.28, 1.2])
    assert expected == pytest.approx(bi)
    assert expected_of_cross == pytest.approx(cross)


def test_labels_are_set_against_gold() -> None:
    gold = np.linspace(0, 1, 9)
    figure = figures.pseudo_labels(gold, {"start": torch.from_numpy(gold) ** 2, "cross 1": torch.from_numpy(-gold)})
    assert [ax.get_title("left") for ax in figure.axes] == ["start: 100.0", "cross 1: -100.0"]
    assert np.allclose(figure.axes[0].lines[0].get_ydata(), gold**2)


# ---------------------------------------------------------------- single pairs


def some_texts(n: int = 12) -> SentencePairs:
    return SentencePairs([f"first {i}" for i in range(n)], [f"second {i}" for i in range(n)], np.linspace(0, 1, n))


def test_ranks_are_percent_from_the_bottom() -> None:
    assert evaluation.rank_percent(torch.tensor([0.1, 0.9, 0.5, 0.3])).tolist() == [25, 100, 75, 50]


def test_the_pairs_whose_rank_changed_most_are_found() -> None:
    texts, before = some_texts(), np.arange(12.0)
    after = before.copy()
    after[[0, 11]] = after[[11, 0]]
    after[[4, 6]] = after[[6, 4]]
    found = evaluation.rank_changes(texts, before, after, count=4)
    assert [change.first for change in found] == ["first 0", "first 4", "first 6", "first 11"]
    assert (found[0].before, found[0].after) == pytest.approx((100 / 12, 100))
    assert found[0].gold == found[0].before
    assert not any(change.closer for change in found)
    assert all(change.closer for change in evaluation.rank_changes(texts, after, before, count=4))


def test_rank_changes_are_drawn_pair_by_pair() -> None:
    found = evaluation.rank_changes(some_texts(), np.arange(12.0), np.arange(12.0)[::-1], count=3)
    figure = figures.rank_changes(found, "start", "cross 1")
    ax = figure.axes[0]
    assert [label.get_text() for label in ax.get_yticklabels()] == [
        f"{change.first}\n{change.second}" for change in found
    ]
    drawn = [float(line.get_xdata()[0]) for line in ax.lines]
    assert drawn == pytest.approx([x for change in found for x in (change.before, change.gold)])


@pytest.mark.skipif(status("minilm") != "cached", reason="MiniLM's tokenizer is not in the cache: make data")
def test_a_sentence_that_is_encoded_separately_attends_to_itself() -> None:
    texts = ("a small dog", "the old cat sleeps")
    ids = (torch.tensor([2, 9, 8, 7, 3]), torch.tensor([2, 6, 11, 12, 13, 3]))
    separate, joint = data.attention_maps(data.random_encoder(), texts, ids)
    assert separate.tokens == ["[CLS]", "a", "small", "dog", "[SEP]", "[CLS]", "the", "old", "cat", "sleeps", "[SEP]"]
    assert joint.tokens == separate.tokens[:5] + separate.tokens[6:]
    for seen in (separate, joint):
        assert torch.allclose(seen.attention.sum(1), torch.ones(len(seen.tokens)), atol=1e-5)
    assert float(separate.attention[:5, 5:].abs().max()) == 0
    assert float(joint.attention[:5, 5:].min()) > 0
    figure = figures.attention(separate, joint)
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == separate.tokens
    assert figure.axes[2].lines[1].get_ydata()[-1] == 200 * 199 / 2


def test_stored_runs_stand_side_by_side_and_gaps_are_blank(rows) -> None:
    long = SimpleNamespace(seeds=(0, 1, 2), measurements=rows)
    short = SimpleNamespace(
        seeds=(0,), measurements=[row for row in rows if row.seed == 0 and row.method == SIMCSE_START]
    )
    head, table = studies.spearman_table({"long": long, "short": short}, [SIMCSE_START, "bi-encoder 1"])
    assert head[1:3] == [f"long (3 seeds), {TRAINING}", f"long (3 seeds), {HELD_OUT}"]
    assert table == [
        [SIMCSE_START, "40.1 ± 0.1", "30.1 ± 0.1", "40.0", "30.0"],
        ["bi-encoder 1", "42.1 ± 0.1", "32.1 ± 0.1", "", ""],
    ]


def test_the_cycle_is_selected_by_agreement_and_evaluated_by_gold() -> None:
    forms = ["cross-encoder", "bi-encoder", "bottleneck cross-encoder", "bottleneck bi-encoder"]
    agreed, gold = {0: (50.0, 60.0, 55.0), 1: (50.0, 51.0, 52.0)}, {0: (30.0, 28.0, 20.0), 1: (10.0, 20.0, 24.0)}
    rows = [
        Measurement(metric, f"{form} {cycle + 1}", setting, seed, value)
        for form in forms
        for metric, setting, found in ((AGREEMENT, TRAINING, agreed), (SPEARMAN, HELD_OUT, gold))
        for seed, values in found.items()
        for cycle, value in enumerate(values)
    ]
    head, table = studies.cycle_selection_table(SimpleNamespace(seeds=(0, 1), measurements=rows), 3)
    assert [row[0] for row in table] == forms
    assert dict(zip(head[1:], table[0][1:], strict=True)) == {
        "selected cycles": "2, 3", "first cycle": "20.0", "last cycle": "22.0",
        "selected by agreement": "26.0", "selected by gold": "27.0",
    }  # fmt: skip
