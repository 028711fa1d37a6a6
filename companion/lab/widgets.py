"""Play: controls and a picture that follows them, with a still picture for whoever has not run the cell."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from companion.errors import CompanionError
from companion.lab.figures import check_alt, png

if TYPE_CHECKING:
    from ipywidgets import Widget
    from matplotlib.figure import Figure

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"


class Play:
    """Controls above a picture. `draw(**values)` returns a figure; it is called at once and at every change.

    A control is a list of options, or a tuple (smallest, largest, step, start) of numbers. Where a later drawing fails,
    a sentence takes the picture's place, for an old picture beside new values would be a lie.
    """

    def __init__(self, draw: Callable[..., Figure], alt: str, **controls: Sequence[Any]) -> None:
        import ipywidgets

        self.alt = check_alt(alt)
        self._draw = draw
        self.controls = {name: control(name, choices) for name, choices in controls.items()}
        self.still = png(draw(**self.values()))
        self.image = ipywidgets.Image(value=self.still, format="png", layout={"max_width": "760px"})
        self.trouble = ipywidgets.HTML(layout={"display": "none", "max_width": "760px"})
        self.view = ipywidgets.VBox([*self.controls.values(), self.image, self.trouble])
        for widget in self.controls.values():
            widget.observe(self._redraw, names="value")

    def values(self) -> dict[str, Any]:
        """The present value of each control."""
        return {name: widget.value for name, widget in self.controls.items()}

    def _redraw(self, _change: object) -> None:
        try:
            self.image.value, problem = png(self._draw(**self.values())), ""
        except Exception as error:
            problem = why_no_picture(error)
        self.trouble.value = f'<p role="alert">{html.escape(problem)}</p>' if problem else ""
        self.image.layout.display, self.trouble.layout.display = ("none", None) if problem else (None, "none")

    def _repr_mimebundle_(self, **_: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        live = self.view._repr_mimebundle_()
        still = {WIDGET_VIEW: live[WIDGET_VIEW], "image/png": self.still, "text/plain": self.alt}
        return still, {"image/png": {"alt": self.alt}}


def why_no_picture(error: Exception) -> str:
    """What came and what to do, as the sentence that stands where the picture would."""
    came = str(error) if isinstance(error, CompanionError) else f"{type(error).__name__}: {error}".rstrip(": ")
    return f"No picture for these values ({came.rstrip('.')}); move the control back, or run the cell again."


def control(name: str, choices: Sequence[Any]) -> Widget:
    """A dropdown for a list of options, a slider for (smallest, largest, step, start)."""
    import ipywidgets

    label = {"description": name.replace("_", " "), "style": {"description_width": "initial"}}
    if isinstance(choices, list):
        return ipywidgets.Dropdown(options=choices, **label)
    if not (isinstance(choices, tuple) and len(choices) == 4):
        raise CompanionError(
            f"The control {name} = {choices!r} is neither a list of options nor (smallest, largest, step, start)."
        )
    low, high, step, start = choices
    kind = ipywidgets.IntSlider if all(isinstance(c, int) for c in choices) else ipywidgets.FloatSlider
    return kind(min=low, max=high, step=step, value=start, continuous_update=False, **label)
