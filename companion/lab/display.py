"""What a notebook shows: tables, figures with alternative text and caption, source, progress, interactive figures."""

from __future__ import annotations

import ast
import builtins
import html
import inspect
import io
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from companion.errors import CompanionError
from companion.lab.plots import DPI

if TYPE_CHECKING:
    from ipywidgets import Widget
    from matplotlib.figure import Figure

T = TypeVar("T")
CELL_STYLE = "text-align:left;padding:2px 12px 2px 0"
LARGEST_BYTES = 120_000
SMALLEST_ALT = 30
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"


def show_output(data: dict[str, Any], metadata: dict[str, Any] | None = None, updatable: bool = False) -> Any:
    """Display a bundle of formats in a notebook; in a plain script, print its text. Returns a handle or None."""
    from IPython import get_ipython
    from IPython.display import display

    if get_ipython() is None:
        print(data.get("text/plain", ""))
        return None
    return display(data, raw=True, metadata=metadata or {}, display_id=updatable or None)


# ---------------------------------------------------------------- tables


def text_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns aligned with spaces."""
    widths = [max(len(str(row[i])) for row in [header, *rows]) for i in range(len(header))]
    lines = [header, ["-" * width for width in widths], *rows]
    return "\n".join("  ".join(str(c).ljust(w) for c, w in zip(line, widths, strict=True)).rstrip() for line in lines)


def html_table(header: Sequence[str], rows: Sequence[Sequence[str]], caption: str = "") -> str:
    """A table with a caption and column heads, readable by a screen reader."""
    heads = ((c, 'th scope="col"', "th") if c else (c, "td", "td") for c in header)  # a head without words is none
    head = "".join(f'<{tag} style="{CELL_STYLE}">{html.escape(c)}</{end}>' for c, tag, end in heads)
    body = "".join(
        "<tr>" + "".join(f'<td style="{CELL_STYLE}">{html.escape(str(c))}</td>' for c in row) + "</tr>" for row in rows
    )
    title = f"<caption>{html.escape(caption)}</caption>" if caption else ""
    return f"<table>{title}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def folded(summary: str, page: str) -> str:
    """HTML behind a line that one can click."""
    return f"<details><summary>{html.escape(summary)}</summary>{page}</details>"


def show_table(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    caption: str = "",
    note: str = "",
    data: dict[str, Any] | None = None,
    folded_rows: Sequence[Sequence[str]] = (),
    folded_header: Sequence[str] = (),
    summary: str = "",
) -> None:
    """Display a table as HTML and plain text; `data` travels in the output's metadata under "companion".

    The page hides `folded_rows`, under the heads `folded_header`, behind the line `summary`.
    """
    below = list(folded_header or header)
    tables = [text_table(header, rows) if rows else "", text_table(below, folded_rows) if folded_rows else ""]
    parts = [caption, *tables, note]
    page = html_table(header, rows, caption) if rows else ""
    page += f"<p>{html.escape(note)}</p>" if note else ""
    if folded_rows:
        title = summary or f"{len(folded_rows)} more rows"
        page += folded(title if rows else f"{caption}: {title}", html_table(below, folded_rows))
    show_output({"text/plain": "\n".join(filter(None, parts)), "text/html": page}, {"companion": data} if data else {})


# ---------------------------------------------------------------- figures


def png(figure: Figure) -> bytes:
    """The figure as PNG bytes; an error if it is too large for a notebook."""
    import matplotlib.pyplot as plt

    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
    plt.close(figure)
    if buffer.tell() > LARGEST_BYTES:
        raise CompanionError(f"The figure takes {buffer.tell()} bytes and may take {LARGEST_BYTES}; draw fewer points.")
    return buffer.getvalue()


def check_alt(alt: object) -> str:
    """The sentence itself if it can stand in for the picture."""
    if not isinstance(alt, str) or len(alt.strip()) < SMALLEST_ALT:
        raise CompanionError(f"alt = {alt!r} does not say what is shown; write {SMALLEST_ALT} characters or more.")
    return " ".join(alt.split())


def check_caption(caption: object, alt: str) -> str:
    """The caption itself, if it is a sentence of its own."""
    if not isinstance(caption, str) or len(caption.strip()) < SMALLEST_ALT:
        raise CompanionError(
            f"caption = {caption!r}: say what is shown and what to conclude, in {SMALLEST_ALT} characters or more."
        )
    text = " ".join(caption.split())
    if text == alt:
        raise CompanionError("caption and alt are the same text: the caption states the conclusion, and alt describes "
                             "the picture to somebody who cannot see it.")  # fmt: skip
    return text


def show_figure(figure: Figure, alt: str, caption: str) -> None:
    """Display a figure as PNG: `alt` goes to the output's metadata, `caption` stands below the picture."""
    sentence = check_alt(alt)
    below = check_caption(caption, sentence)
    picture = png(figure)
    show_output({"image/png": picture, "text/plain": f"[figure] {below}"}, {"image/png": {"alt": sentence}})
    show_output({"text/html": f"<p><em>{html.escape(below)}</em></p>", "text/plain": below})


# ---------------------------------------------------------------- source


def show_source(obj: Callable[..., Any] | type) -> None:
    """Display a public function or class as source that runs when it is pasted into a cell: its imports stand above it.

    Private names, methods and functions inside functions are refused: they are no piece that a reader could use.
    """
    from pygments import highlight
    from pygments.formatters import HtmlFormatter
    from pygments.lexers import PythonLexer

    text = runnable_source(obj)
    # of the light styles the one with many colors whose contrast with white is above 4.5 throughout
    page = highlight(text, PythonLexer(), HtmlFormatter(noclasses=True, style="default", wrapcode=True))
    show_output({"text/plain": text, "text/html": page})


def runnable_source(obj: Callable[..., Any] | type) -> str:
    """The source of a public top-level function or class, below the imports that it needs."""
    if not (inspect.isfunction(obj) or inspect.isclass(obj)):
        raise CompanionError(f"lab.source shows functions and classes written in Python, and this is {obj!r}.")
    name, module = obj.__qualname__, sys.modules[obj.__module__]
    if "." in name or any(part.startswith("_") for part in (name, *obj.__module__.split(".")[2:])):
        raise CompanionError(f"{obj.__module__}.{name} is not public or not complete; show a public function or class.")
    try:
        source = textwrap.dedent(inspect.getsource(obj))
    except (OSError, TypeError) as error:
        raise CompanionError(f"The source of {name} is not in a file; lab.source shows what a module holds.") from error
    lines = sorted(filter(None, (_import_of(used, module) for used in _free_names(source, name))))
    future = "from __future__ import annotations\n" if "annotations" in vars(module) else ""
    return f"# {obj.__module__}.{name}\n{future}" + "".join(f"{line}\n" for line in lines) + f"\n{source}"


def _free_names(source: str, own: str) -> set[str]:
    tree = ast.parse(source)
    loaded = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    return {name for name in loaded if name != own and not hasattr(builtins, name)}


def _import_of(name: str, module: Any) -> str:
    """The import line for a global name of a module; nothing for a local variable."""
    if name not in vars(module):
        return ""
    value = vars(module)[name]
    if inspect.ismodule(value):
        parent, _, last = value.__name__.rpartition(".")
        if parent and last == name:
            return f"from {parent} import {name}"
        return f"import {value.__name__}" if value.__name__ == name else f"import {value.__name__} as {name}"
    home = getattr(value, "__module__", None)
    original = getattr(value, "__name__", name)
    if home and original == name and hasattr(sys.modules.get(home), name) and not home.startswith("companion."):
        return _import_line_in(module, name) or f"from {home} import {name}"
    ours = home if home and home.startswith("companion.") and original == name else module.__name__
    return f"from {ours} import {name}"


def _import_line_in(module: Any, name: str) -> str:
    """The line `from X import name` as the module itself has it."""
    for node in ast.parse(inspect.getsource(module)).body:
        if not isinstance(node, ast.ImportFrom):
            continue
        for alias in node.names:
            if (alias.asname or alias.name) == name:
                package = (module.__package__ or "").split(".")
                base = package[: len(package) + 1 - node.level] if node.level else []
                home = ".".join([*base, *([node.module] if node.module else [])])
                return f"from {home} import {alias.name}" + (f" as {name}" if alias.asname else "")
    return ""


# ---------------------------------------------------------------- progress


def progress(items: Iterable[T], label: str, total: int) -> Iterator[T]:
    """Pass `items` on and keep one line up to date; its last state is the same on every machine."""
    handle = show_output(_bar(label, 0, total), updatable=True)
    for done, item in enumerate(items, start=1):
        yield item
        if handle is not None:
            handle.update(_bar(label, done, total), raw=True)
    if handle is None:
        print(_bar(label, total, total)["text/plain"])


def _bar(label: str, done: int, total: int) -> dict[str, str]:
    text, name = f"{label}: {done} of {total}", html.escape(label)
    return {
        "text/plain": text,
        "text/html": f'<progress value="{done}" max="{total}" aria-label="{name}"></progress> {html.escape(text)}',
    }


# ---------------------------------------------------------------- interactive figures


class InteractiveFigure:
    """Controls above a picture. `draw(**values)` returns a figure; it is called at once and at every change.

    A control is a list of options, or a tuple (smallest, largest, step, start) of numbers. Where a later drawing fails,
    a sentence takes the picture's place: an old picture beside new values would mislead. Without a running kernel the
    first picture is shown.
    """

    def __init__(self, draw: Callable[..., Figure], alt: str, **controls: Sequence[Any]) -> None:
        import ipywidgets

        self.alt = check_alt(alt)
        self._draw = draw
        self.controls = {name: control(name, choices) for name, choices in controls.items()}
        self.still = png(draw(**self.values()))
        self.image = ipywidgets.Image(value=self.still, format="png", layout={"max_width": "760px"})
        self.message = ipywidgets.HTML(layout={"display": "none", "max_width": "760px"})
        self.view = ipywidgets.VBox([*self.controls.values(), self.image, self.message])
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
        self.message.value = f'<p role="alert">{html.escape(problem)}</p>' if problem else ""
        self.image.layout.display, self.message.layout.display = ("none", None) if problem else (None, "none")

    def _repr_mimebundle_(self, **_: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        live = self.view._repr_mimebundle_()
        still = {WIDGET_VIEW: live[WIDGET_VIEW], "image/png": self.still, "text/plain": self.alt}
        return still, {"image/png": {"alt": self.alt}}


def why_no_picture(error: Exception) -> str:
    """What went wrong and what to do, as the sentence that stands where the picture would."""
    cause = str(error) if isinstance(error, CompanionError) else f"{type(error).__name__}: {error}".rstrip(": ")
    return f"No picture for these values ({cause.rstrip('.')}); move the control back, or run the cell again."


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
