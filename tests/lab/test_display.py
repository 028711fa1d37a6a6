"""What is shown: figures owe a description and a caption, the picture is small, source runs where it is pasted."""

import base64
import importlib

import matplotlib.pyplot as plt
import numpy as np
import pytest

from companion.errors import CompanionError
from companion.lab import display, plots
from companion.lab.display import WIDGET_VIEW, InteractiveFigure, png, runnable_source, show_figure, text_table

ALT = "A line that rises from zero to one, drawn to test the display."
CAPTION = "The line rises over the whole range: the larger the input, the larger the output."


@pytest.fixture
def shown(monkeypatch):
    seen = []
    monkeypatch.setattr(display, "show_output", lambda data, metadata=None, **_: seen.append((data, metadata)))
    return seen


def line():
    figure, ax = plots.new_figure()
    ax.plot([0, 1], [0, 1])
    return figure


def test_the_description_goes_to_the_metadata_and_the_caption_below(shown):
    show_figure(line(), ALT, CAPTION)
    picture, below = shown
    assert picture[0]["image/png"].startswith(b"\x89PNG")
    assert picture[1] == {"image/png": {"alt": ALT}}
    assert CAPTION in below[0]["text/html"]
    assert all(ALT not in str(data) for data, _ in shown)


@pytest.mark.parametrize("alt", ["", "   ", "a plot", None, 3])
def test_a_description_that_says_nothing_is_refused(alt, shown):
    with pytest.raises(CompanionError, match="alt"):
        show_figure(line(), alt, CAPTION)
    assert not shown


@pytest.mark.parametrize(("caption", "says"), [("", "caption = ''"), (None, "caption = None"), (ALT, "the same text")])
def test_a_caption_is_required_and_not_the_description(caption, says, shown):
    with pytest.raises(CompanionError, match=says):
        show_figure(line(), ALT, caption)
    assert not shown


def test_a_figure_too_large_for_a_notebook_is_refused():
    figure, ax = plots.new_figure(width=12, height=12)
    ax.imshow(np.random.default_rng(0).random((900, 900)))
    with pytest.raises(CompanionError, match="draw fewer points"):
        png(figure)


def test_figures_are_closed_and_repeat_byte_for_byte():
    before = plt.get_fignums()
    assert png(line()) == png(line())
    assert plt.get_fignums() == before


def test_play_redraws_and_carries_a_still_picture():
    drawn = []

    def draw(k, kind):
        drawn.append((k, kind))
        return line()

    play = InteractiveFigure(draw, ALT, k=(1, 9, 1, 3), kind=["a", "b"])
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

    play = InteractiveFigure(draw, ALT, k=(1, 9, 1, 3))
    seen = lambda: (play.image.layout.display != "none", play.message.layout.display != "none")  # noqa: E731
    assert seen() == (True, False)
    play.controls["k"].value = 4
    assert seen() == (False, True)
    assert says in play.message.value
    assert "No picture for these values" in play.message.value
    play.controls["k"].value = 5
    assert seen() == (True, False)
    assert play.message.value == ""


def test_a_control_that_is_neither_is_refused():
    with pytest.raises(CompanionError, match="smallest, largest, step, start"):
        InteractiveFigure(lambda k: line(), ALT, k=(1, 2))


def test_source_runs_where_it_is_pasted():
    for function in (display.text_table, plots.forest_plot, plots.diagram, plots.seed_rows):
        text = runnable_source(function)
        assert text.startswith(f"# {function.__module__}.{function.__name__}\n")
        pasted = {}
        exec(compile(text, "cell", "exec"), pasted)
        assert callable(pasted[function.__name__])
    exec(compile(runnable_source(text_table), "cell", "exec"), pasted)
    assert pasted["text_table"](["a"], [["1"]]) == text_table(["a"], [["1"]])


def test_what_is_private_or_a_part_is_no_source_to_show():
    for piece in (InteractiveFigure.values, display._bar):
        with pytest.raises(CompanionError, match="not public or not complete"):
            runnable_source(piece)


def test_what_has_no_source_in_python_is_refused():
    for piece in (3, None, len, np.sin):
        with pytest.raises(CompanionError, match="shows functions and classes written in Python"):
            runnable_source(piece)


def test_an_import_relative_to_a_package_is_shown_in_full(tmp_path, monkeypatch):
    package = tmp_path / "own_package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "a.py").write_text("def one():\n    return 1\n")
    (package / "b.py").write_text("from .a import one\n\n\ndef two():\n    return one() + one()\n")
    monkeypatch.syspath_prepend(tmp_path)
    text = runnable_source(importlib.import_module("own_package.b").two)
    assert "from own_package.a import one" in text
    pasted = {}
    exec(compile(text, "cell", "exec"), pasted)
    assert pasted["two"]() == 2


def test_a_plain_script_prints_what_a_notebook_shows(capsys):
    display.show_table(["a"], [["1"]], "A table")
    show_figure(line(), ALT, CAPTION)
    assert list(display.progress("xy", "letters", 2)) == ["x", "y"]
    lines = capsys.readouterr().out.splitlines()
    assert lines[:3] == ["A table", "a", "-"]
    assert f"[figure] {CAPTION}" in lines
    assert lines[-1] == "letters: 2 of 2"
