"""Figures: a sentence is owed, the picture is small, the text reaches the page."""

import base64

import matplotlib.pyplot as plt
import numpy as np
import pytest

from companion.errors import CompanionError
from companion.lab import figures
from companion.lab.display import WIDGET_VIEW, Play

ALT = "A line that rises from zero to one, drawn to test the display."


@pytest.fixture
def shown(monkeypatch):
    seen = []
    monkeypatch.setattr("IPython.display.display", lambda data, **kw: seen.append((data, kw.get("metadata"))))
    return seen


def line():
    figure, ax = figures.new_figure()
    ax.plot([0, 1], [0, 1])
    return figure


def test_show_sends_the_sentence_with_the_picture(shown):
    figures.show(line(), ALT, caption="Look at the right end.")
    picture, below = shown
    assert picture[0]["image/png"].startswith(b"\x89PNG")
    assert picture[1] == {"image/png": {"alt": ALT}}
    assert "Look at the right end." in below[0]["text/html"]


def test_without_a_caption_the_sentence_is_visible(shown):
    figures.show(line(), ALT)
    assert ALT in shown[1][0]["text/html"]


@pytest.mark.parametrize("alt", ["", "   ", "a plot", None, 3])
def test_show_refuses_what_says_nothing(alt, shown):
    with pytest.raises(CompanionError, match="alt"):
        figures.show(line(), alt)
    assert not shown


def test_a_figure_too_large_for_a_notebook_is_refused():
    figure, ax = figures.new_figure(width=12, height=12)
    ax.imshow(np.random.default_rng(0).random((900, 900)))
    with pytest.raises(CompanionError, match="draw fewer points"):
        figures.png(figure)


def test_figures_are_closed_and_repeat_byte_for_byte():
    before = plt.get_fignums()
    assert figures.png(line()) == figures.png(line())
    assert plt.get_fignums() == before


def test_labels_at_the_right_do_not_cover_each_other():
    figure, ax = figures.new_figure()
    figures.seed_lines(ax, [0, 1], {name: [[0.0, 1.0 + i / 100]] for i, name in enumerate("abcd")})
    heights = sorted(text.xy[1] for text in ax.texts)
    assert min(np.diff(heights)) > 0.05 * np.ptp(ax.get_ylim())
    plt.close(figure)


def test_labels_at_the_right_are_pushed_apart_by_ratios_on_a_logarithmic_axis():
    figure, ax = figures.new_figure()
    ax.set(yscale="log", ylim=(0.01, 100))
    figures.label_right(ax, 1.0, [(1.0, "a", "k"), (1.1, "b", "k"), (50.0, "far", "k")])
    heights = sorted(text.xy[1] for text in ax.texts)
    assert heights[1] / heights[0] == pytest.approx(10 ** (4 * 0.07))
    assert heights[2] == pytest.approx(50)
    plt.close(figure)


def test_every_seed_is_a_dot():
    figure, ax = figures.new_figure()
    figures.seed_dots(ax, ["g"], {"m": [[1.0, 2.0, 3.0]]})
    assert [len(line.get_xdata()) for line in ax.lines] == [3]
    plt.close(figure)


def test_rows_of_seeds_stand_in_their_order_from_the_top_with_their_means():
    figure, ax = figures.new_figure()
    figures.seed_rows(ax, {"first": [1.0, 2.0, 6.0], "second": [4.0]}, decimals=1)
    assert [list(line.get_ydata()) for line in ax.lines] == [[0], [1, 1, 1]]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["second", "first"]
    assert [text.get_text() for text in ax.texts] == ["4.0", "3.0"]
    plt.close(figure)


def test_play_redraws_and_carries_a_still_picture():
    drawn = []

    def draw(k, kind):
        drawn.append((k, kind))
        return line()

    play = Play(draw, ALT, k=(1, 9, 1, 3), kind=["a", "b"])
    data, metadata = play._repr_mimebundle_()
    assert set(data) == {WIDGET_VIEW, "image/png", "text/plain"}
    assert metadata == {"image/png": {"alt": ALT}}
    assert base64.b64encode(data["image/png"])
    play.controls["k"].value = 5
    play.controls["kind"].value = "b"
    assert drawn == [(3, "a"), (5, "a"), (5, "b")]


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (ValueError("k < 4 & odd"), "(ValueError: k &lt; 4 &amp; odd); move the control back"),
        (KeyError(), "(KeyError); move the control back"),
        (CompanionError("The world has no such side."), "(The world has no such side); move the control back"),
    ],
)
def test_a_drawing_that_fails_says_so_in_the_picture_s_place(error, says):
    def draw(k):
        if k == 4:
            raise error
        return line()

    play = Play(draw, ALT, k=(1, 9, 1, 3))
    seen = lambda: (play.image.layout.display != "none", play.trouble.layout.display != "none")  # noqa: E731
    assert seen() == (True, False)
    play.controls["k"].value = 4
    assert seen() == (False, True)
    assert says in play.trouble.value
    assert "No picture for these values" in play.trouble.value
    play.controls["k"].value = 5
    assert seen() == (True, False)
    assert play.trouble.value == ""


def test_a_control_that_is_neither_is_refused():
    with pytest.raises(CompanionError, match="smallest, largest, step, start"):
        Play(lambda k: line(), ALT, k=(1, 2))
