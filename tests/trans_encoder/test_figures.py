"""Figures draw the numbers that they are given; the stories about single pairs tell what the models say."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from companion.data import status
from companion.data.glosses import SentencePairs
from companion.lab.evidence import Measurement
from companion.lab.plots import png
from companion.trans_encoder import checks, figures, speed, story, theory
from companion.trans_encoder.arms import AGREEMENT, HELD, MUTUAL, NARROW, SPEARMAN, START, TRAINED

ARMS = [START, "cross 1", "bi 1", f"{MUTUAL}cross 1", f"{MUTUAL}bi 1", "own scores"]


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    yield
    plt.close("all")


@pytest.fixture
def rows() -> list[Measurement]:
    """Arm k has 40 + k on pairs learnt from, 30 + k held out, and seed s adds s / 10."""
    return [
        Measurement(SPEARMAN, arm, setting, seed, base + k + seed / 10)
        for k, arm in enumerate(ARMS) for setting, base in ((TRAINED, 40), (HELD, 30)) for seed in range(3)
    ]  # fmt: skip


def test_stages_are_those_that_were_measured_in_order(rows) -> None:
    assert figures.stages(rows[::-1]) == [START, "cross 1", "bi 1"]
    assert figures.stages(rows, MUTUAL) == [START, f"{MUTUAL}cross 1", f"{MUTUAL}bi 1"]


def test_the_relay_shows_means_and_controls_on_both_kinds_of_pairs(rows) -> None:
    figure = figures.relay(rows, {"self": "", "mutual": MUTUAL}, {"own scores": 2})
    for ax, base in zip(figure.axes, (40, 30), strict=True):
        means = {line.get_label(): line.get_ydata() for line in ax.lines if not line.get_label().startswith("_")}
        assert means["self"] == pytest.approx([base + 0.1, base + 1.1, base + 2.1])
        assert means["mutual"] == pytest.approx([base + 0.1, base + 3.1, base + 4.1])
        assert means["own scores"] == pytest.approx([base + 5.1])
        assert [label.get_text() for label in ax.get_xticklabels()] == [START, "cross 1", "bi 1"]
    assert png(figure)


def test_a_relay_with_a_start_of_its_own_begins_there(rows) -> None:
    narrow = [
        Measurement(SPEARMAN, f"{NARROW}{name}", s, 0, 7.0) for name in (START, "cross 1") for s in (TRAINED, HELD)
    ]
    assert figures.stages([*rows, *narrow], NARROW) == [f"{NARROW}{START}", f"{NARROW}cross 1"]
    ax = figures.relay([row for row in rows if row.seed == 0] + narrow, {"wide": "", "narrow": NARROW}).axes[0]
    means = {line.get_label(): line.get_ydata() for line in ax.lines if not line.get_label().startswith("_")}
    assert means["narrow"] == pytest.approx([7, 7])
    assert [label.get_text() for label in ax.get_xticklabels()] == [START, "cross 1", "bi 1"]


def test_every_seed_of_a_control_is_drawn(rows) -> None:
    figure = figures.by_seed(rows, ARMS)
    for ax, base in zip(figure.axes, (40, 30), strict=True):
        dots = [line for line in ax.lines if len(line.get_xdata()) == 3]
        assert sorted(x for line in dots for x in line.get_xdata()) == pytest.approx(
            sorted(base + k + s / 10 for k in range(6) for s in range(3))
        )


def test_the_toy_shows_what_the_hand_computes() -> None:
    figure = figures.toy()
    left, middle, right = figure.axes
    lines = [{line.get_label(): line.get_ydata() for line in ax.lines} for ax in (left, middle)]
    assert np.allclose(lines[0]["student"], theory.TRUTH)
    assert np.allclose(lines[1]["student"], theory.TRUTH + theory.HABIT)
    assert "1.00" in left.get_title("left")
    assert "0.71" in middle.get_title("left")
    curve = right.lines[0]
    told = dict(zip(curve.get_xdata(), curve.get_ydata(), strict=True))
    assert told[1.0] == pytest.approx(theory.expected_correlation(1.0))
    drawn = [line for line in right.lines if len(line.get_xdata()) == 1]
    assert len(drawn) == 12
    assert float(drawn[0].get_ydata()[0]) == pytest.approx(told[1.0], abs=0.02)


@pytest.mark.parametrize(("shared", "ceiling"), [(0.0, 1.0), (3.0, 0.5)])
def test_the_world_has_the_ceiling_of_shared_noise(shared: float, ceiling: float) -> None:
    figure = figures.world(2.0, shared, 0.2)
    labels, student, limit = figure.axes[0].lines
    assert limit.get_ydata()[0] == pytest.approx(ceiling)
    assert labels.get_ydata()[3] == pytest.approx(theory.expected_correlation(2.0, shared, 4))
    assert student.get_ydata()[3] == pytest.approx(theory.expected_correlation(2.0, shared, 4, 0.2))


def test_the_cost_shows_seconds_and_what_the_count_foretells() -> None:
    rows = [
        Measurement(metric, arm, f"n = {n}", 0, value)
        for n in (8, 16)
        for arm, passes in ((speed.BI, n), (speed.CROSS, n * (n - 1) / 2))
        for metric, value in ((speed.PASSES, passes), (speed.SECONDS, passes / 100))
    ]
    figure = figures.cost(rows)
    bi, told, cross, told_of_cross = (line.get_ydata() for line in figure.axes[0].lines)
    assert bi == pytest.approx([0.08, 0.16])
    assert cross == pytest.approx([0.28, 1.2])
    assert told == pytest.approx(bi)
    assert told_of_cross == pytest.approx(cross)


def test_labels_are_set_against_gold() -> None:
    gold = np.linspace(0, 1, 9)
    figure = figures.labels(gold, {"start": torch.from_numpy(gold) ** 2, "cross 1": torch.from_numpy(-gold)})
    assert [ax.get_title("left") for ax in figure.axes] == ["start: 100.0", "cross 1: -100.0"]
    assert np.allclose(figure.axes[0].lines[0].get_ydata(), gold**2)


# ---------------------------------------------------------------- stories


def some_texts(n: int = 12) -> SentencePairs:
    return SentencePairs([f"first {i}" for i in range(n)], [f"second {i}" for i in range(n)], np.linspace(0, 1, n))


def test_places_are_per_cent_from_the_bottom() -> None:
    assert story.places(torch.tensor([0.1, 0.9, 0.5, 0.3])).tolist() == [25, 100, 75, 50]


def test_the_pairs_that_moved_most_are_found() -> None:
    texts, before = some_texts(), np.arange(12.0)
    after = before.copy()
    after[[0, 11]] = after[[11, 0]]
    after[[4, 6]] = after[[6, 4]]
    found = story.moved(texts, before, after, count=4)
    assert [move.first for move in found] == ["first 0", "first 4", "first 6", "first 11"]
    assert (found[0].before, found[0].after) == pytest.approx((100 / 12, 100))
    assert found[0].gold == found[0].before
    assert story.helped(found) == 0
    assert story.helped(story.moved(texts, after, before, count=4)) == 4


def test_the_moves_are_drawn_pair_by_pair() -> None:
    found = story.moved(some_texts(), np.arange(12.0), np.arange(12.0)[::-1], count=3)
    figure = figures.moves(found, "start", "cross 1")
    ax = figure.axes[0]
    assert [label.get_text() for label in ax.get_yticklabels()] == [f"{move.first}\n{move.second}" for move in found]
    drawn = [float(line.get_xdata()[0]) for line in ax.lines]
    assert drawn == pytest.approx([x for move in found for x in (move.before, move.gold)])


@pytest.mark.skipif(status("minilm") != "cached", reason="MiniLM's tokenizer is not in the cache: make data")
def test_alone_a_sentence_looks_at_itself_alone() -> None:
    texts = ("a small dog", "the old cat sleeps")
    read = (torch.tensor([2, 9, 8, 7, 3]), torch.tensor([2, 6, 11, 12, 13, 3]))
    alone, joint = story.sights(checks.small_encoder(), texts, read)
    assert alone.pieces == ["[CLS]", "a", "small", "dog", "[SEP]", "[CLS]", "the", "old", "cat", "sleeps", "[SEP]"]
    assert joint.pieces == alone.pieces[:5] + alone.pieces[6:]
    for seen in (alone, joint):
        assert torch.allclose(seen.attention.sum(1), torch.ones(len(seen.pieces)), atol=1e-5)
    assert float(alone.attention[:5, 5:].abs().max()) == 0
    assert float(joint.attention[:5, 5:].min()) > 0
    figure = figures.sight(alone, joint)
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == alone.pieces
    assert figure.axes[2].lines[1].get_ydata()[-1] == 200 * 199 / 2


def test_longer_runs_stand_side_by_side_and_gaps_are_blank(rows) -> None:
    long = SimpleNamespace(seeds=(0, 1, 2), measurements=rows)
    short = SimpleNamespace(seeds=(0,), measurements=[row for row in rows if row.seed == 0 and row.method == START])
    head, table = story.longer({"long": long, "short": short}, [START, "bi 1"])
    assert head[1:3] == [f"long (3 seeds), {TRAINED}", f"long (3 seeds), {HELD}"]
    assert table == [[START, "40.1 ± 0.1", "30.1 ± 0.1", "40.0", "30.0"], ["bi 1", "42.1 ± 0.1", "32.1 ± 0.1", "", ""]]


def test_the_cycle_is_chosen_by_agreement_and_judged_by_gold() -> None:
    agreed, gold = {0: (50.0, 60.0, 55.0), 1: (50.0, 51.0, 52.0)}, {0: (30.0, 28.0, 20.0), 1: (10.0, 20.0, 24.0)}
    rows = [
        Measurement(metric, f"{form} {cycle + 1}", setting, seed, value)
        for form in ("cross", "bi", "narrow cross", "narrow bi")
        for metric, setting, found in ((AGREEMENT, TRAINED, agreed), (SPEARMAN, HELD, gold))
        for seed, values in found.items()
        for cycle, value in enumerate(values)
    ]
    head, table = story.by_agreement(SimpleNamespace(seeds=(0, 1), measurements=rows), 3)
    assert [row[0] for row in table] == ["cross", "bi", "narrow cross", "narrow bi"]
    assert dict(zip(head[1:], table[0][1:], strict=True)) == {
        "chosen cycles": "2, 3", "first cycle": "20.0", "last cycle": "22.0",
        "chosen by agreement": "26.0", "chosen by gold": "27.0",
    }  # fmt: skip
