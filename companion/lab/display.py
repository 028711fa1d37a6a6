"""What a notebook prints: tables for people, source beside its equation, one bar for long work."""

from __future__ import annotations

import html
import inspect
import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

from IPython.display import display

T = TypeVar("T")
CELL_STYLE = "text-align:left;padding:2px 12px 2px 0"


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


def show_table(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    caption: str = "",
    note: str = "",
    data: dict[str, Any] | None = None,
    folded: Sequence[Sequence[str]] = (),
) -> None:
    """Display a table as HTML and plain text; `data` travels in the output's metadata under "companion".

    The page hides the rows in `folded` behind a line that one can click.
    """
    text = "\n".join(part for part in (caption, text_table(header, [*rows, *folded]), note) if part)
    page = html_table(header, rows, caption) + (f"<p>{html.escape(note)}</p>" if note else "")
    if folded:
        page += f"<details><summary>{len(folded)} more</summary>{html_table(header, folded)}</details>"
    display({"text/plain": text, "text/html": page}, raw=True, metadata={"companion": data} if data else {})


def show_source(obj: Callable[..., Any] | type) -> None:
    """Display a function or class of the package as highlighted source, with the place where it stands."""
    from pygments import highlight
    from pygments.formatters import HtmlFormatter
    from pygments.lexers import PythonLexer

    place = f"{obj.__module__}.{obj.__qualname__}"
    text = f"# {place}\n{textwrap.dedent(inspect.getsource(obj))}"
    # of the light styles the one with many colours whose contrast with white is above 4.5 throughout
    page = highlight(text, PythonLexer(), HtmlFormatter(noclasses=True, style="default", wrapcode=True))
    display({"text/plain": text, "text/html": page}, raw=True)


def progress(items: Iterable[T], label: str, total: int) -> Iterator[T]:
    """Pass `items` on and keep one line up to date; its last state is the same on every machine."""
    handle = display(_bar(label, 0, total), raw=True, display_id=True)
    for done, item in enumerate(items, start=1):
        yield item
        handle.update(_bar(label, done, total), raw=True)


def _bar(label: str, done: int, total: int) -> dict[str, str]:
    text, name = f"{label}: {done} of {total}", html.escape(label)
    return {
        "text/plain": text,
        "text/html": f'<progress value="{done}" max="{total}" aria-label="{name}"></progress> {html.escape(text)}',
    }
