"""Plots: every seed is seen, labels do not collide, verdicts and frames can be told without color."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from companion.lab import plots
from companion.lab.evidence import DIVERGED, FAILS, HOLDS, NOT_MEASURED, OPEN, Finding


def test_labels_at_the_right_do_not_cover_each_other():
    figure, ax = plots.new_figure()
    plots.seed_lines(ax, [0, 1], {name: [[0.0, 1.0 + i / 100]] for i, name in enumerate("abcd")})
    heights = sorted(text.xy[1] for text in ax.texts)
    assert min(np.diff(heights)) > 0.05 * np.ptp(ax.get_ylim())
    plt.close(figure)


def test_labels_at_the_right_are_pushed_apart_by_ratios_on_a_logarithmic_axis():
    figure, ax = plots.new_figure()
    ax.set(yscale="log", ylim=(0.01, 100))
    plots.label_right(ax, 1.0, [(1.0, "a", "k"), (1.1, "b", "k"), (50.0, "far", "k")])
    heights = sorted(text.xy[1] for text in ax.texts)
    assert heights[1] / heights[0] == pytest.approx(10 ** (4 * 0.07))
    assert heights[2] == pytest.approx(50)
    plt.close(figure)


def test_every_seed_is_a_dot():
    figure, ax = plots.new_figure()
    plots.seed_dots(ax, ["g"], {"m": [[1.0, 2.0, 3.0]]})
    assert [len(line.get_xdata()) for line in ax.lines] == [3]
    plt.close(figure)


def test_rows_of_seeds_stand_in_their_order_from_the_top_with_their_means():
    figure, ax = plots.new_figure()
    plots.seed_rows(ax, {"first": [1.0, 2.0, 6.0], "second": [4.0]}, decimals=1)
    assert [list(line.get_ydata()) for line in ax.lines] == [[0], [1, 1, 1]]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["second", "first"]
    assert [text.get_text() for text in ax.texts] == ["4.0", "3.0"]
    plt.close(figure)


def finding(verdict, mean=1.0, half=0.5):
    return Finding("a", "b", 0.5, mean, mean - half, mean + half, 3, 3, verdict)


def test_a_forest_plot_tells_verdicts_by_marker_and_word():
    nan = float("nan")
    rows = [
        ("first", finding(HOLDS), 2.0), ("second", finding(FAILS), None), ("third", finding(OPEN), None),
        ("fourth", Finding("a", "b", 0.5, nan, -np.inf, np.inf, 0, 3, DIVERGED), None),
        ("fifth", Finding("a", "b", 0.5, nan, nan, nan, 0, 0, NOT_MEASURED), None),
    ]  # fmt: skip
    figure = plots.forest_plot(rows, "points")
    ax = figure.axes[0]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["fifth", "fourth", "third", "second", "first"]
    assert {text.get_text() for text in ax.texts} >= {HOLDS, FAILS, OPEN, DIVERGED, NOT_MEASURED}
    shapes = [line.get_marker() for line in ax.lines if line.get_marker() not in ("None", "|")]
    assert len(shapes) == len(set(shapes)) == 3  # a diverged or missing comparison has no point
    assert "| paper" in figure.get_supxlabel()
    assert "| paper" not in plots.forest_plot(rows[1:], "points").get_supxlabel()
    plt.close("all")


def test_a_forest_plot_draws_the_interval_and_the_margin():
    ax = plots.forest_plot([("first", finding(HOLDS, 2.0, 0.25), None)], "points").axes[0]
    assert any(list(line.get_xdata()) == [1.75, 2.25] for line in ax.lines)
    assert [float(piece.get_segments()[0][0][0]) for piece in ax.collections] == [0.5]
    plt.close("all")


def test_a_diagram_reads_without_color():
    boxes = {"data": (0, 0, "images"), "net": (1, 0, "network"), "old": (2, 0, "teacher")}
    figure = plots.diagram(boxes, [("data", "net", "batch"), ("net", "old", "")], trained=["net"], frozen=["old"])
    frames = {text.get_text(): text.get_bbox_patch() for text in figure.axes[0].texts if text.get_bbox_patch()}
    assert frames["network"].get_linewidth() > 2 * frames["images"].get_linewidth()
    assert frames["teacher"].get_linestyle() == "--"
    assert [text.get_text() for text in figure.texts] == ["thick frame: trained    dashed frame, gray: frozen"]
    with pytest.raises(KeyError):
        plots.diagram(boxes, [("data", "no such box", "")])
    plt.close("all")
