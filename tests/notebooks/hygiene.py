"""What every committed notebook owes its reader: it is whole, was run in order, and holds nothing of our machine."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from itertools import pairwise

import nbformat
from page import CHECKED, Page, output_text, tags

from companion.course.refresh import LANGUAGE, STORED_METADATA, source_sha256
from companion.lab.display import WIDGET_VIEW

LARGEST_BYTES = 1_000_000
LONGEST_ID = 40
READABLE = re.compile(r"[a-z]+[0-9]*([-_][a-z0-9]+)*")
GENERATED = re.compile(r"(?=.*[0-9])[0-9a-f]{8}|.*[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}.*")
MACHINE = re.compile(r"/(?:home|root|Users|tmp|work|opt|mnt|var|srv)/\S*|[A-Z]:\\\S+|site-packages")
WARNING = re.compile(r"\b\w*Warning:.*")
STALLS = re.compile(r"(?<!lab\.)\b(?:interact|interactive|interactive_output|Output)\(")
HEADING = re.compile(r"(#{1,6}) +\S")
FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
METADATA = {"kernelspec", "language_info", "companion"}


def validity(page: Page) -> Iterator[str]:
    """A valid notebook file; of one that is not, nothing else can be said."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            nbformat.validate(page.notebook)
    except (nbformat.ValidationError, Warning) as error:
        yield f"notebook: not valid: {str(error).splitlines()[0]}"


def size(page: Page) -> Iterator[str]:
    """Of a size that a browser opens at once."""
    taken = page.path.stat().st_size
    if taken > LARGEST_BYTES:
        yield f"notebook: takes {taken} bytes, at most {LARGEST_BYTES} are allowed"


def metadata(page: Page) -> Iterator[str]:
    """Metadata holds what `refresh` writes and nothing else."""
    extra = sorted(set(page.notebook.metadata) - METADATA)
    if extra:
        yield f"notebook: metadata {', '.join(extra)} must go; run `python -m companion refresh`"
    if page.notebook.metadata.get("kernelspec", {}).get("name") != "python3":
        yield "notebook: the kernel must be python3"
    if page.notebook.metadata.get("language_info") != LANGUAGE:
        yield "notebook: language_info lacks the file extension; run `python -m companion refresh`"
    for cell in page.cells:
        for key in sorted(set(cell.metadata) - STORED_METADATA):
            yield f"{cell.get('id')}: cell metadata {key!r} must go; run `python -m companion refresh`"


def ids(page: Page) -> Iterator[str]:
    """Every cell has a name that somebody wrote."""
    for cell in page.cells:
        id = cell.get("id", "")
        if not READABLE.fullmatch(id) or GENERATED.fullmatch(id) or len(id) > LONGEST_ID:
            yield f"{id or 'a cell without id'}: give the cell a readable id such as setup or verdict-c1"


def executed_in_order(page: Page) -> Iterator[str]:
    """Run once, from top to bottom."""
    for count, cell in enumerate(page.code, start=1):
        if cell.execution_count != count:
            ran = f"was run as number {cell.execution_count} and stands as number {count}"
            yield f"{cell.id}: {ran}; run `python -m companion refresh`"


def fresh(page: Page) -> Iterator[str]:
    """The outputs belong to these sources."""
    stamped = page.notebook.metadata.get("companion", {}).get("source_sha256")
    if stamped != source_sha256(page.notebook):
        yield "notebook: a cell was edited after the outputs were made; run `python -m companion refresh`"


def outputs(page: Page) -> Iterator[str]:
    """No error, no stderr, no warning, and no output that an untrusted notebook cannot show."""
    for cell in page.code:
        for output in cell.outputs:
            if output.output_type == "error":
                yield f"{cell.id}: ended in an error: {output.ename}: {output.evalue}"
            if output.get("name") == "stderr":
                yield f"{cell.id}: wrote to stderr: {output.text.strip()}"
            for mime in sorted({WIDGET_VIEW, "image/svg+xml"} & set(output.get("data", {}))):
                yield f"{cell.id}: holds {mime}, which an untrusted notebook does not show; use PNG"
        for found in WARNING.findall(output_text(cell)):
            yield f"{cell.id}: shows a warning: {found}"


def machine(page: Page) -> Iterator[str]:
    """No path of the machine that ran it."""
    for cell in page.cells:
        for found in MACHINE.findall(cell.source + "\n" + output_text(cell)):
            yield f"{cell.id}: holds a path of one machine: {found}"


def described(page: Page) -> Iterator[str]:
    """Every picture carries the sentence that can stand in for it."""
    for cell, output in page.figures():
        if not output.metadata.get("image/png", {}).get("alt", "").strip():
            yield f"{cell.id}: a picture has no alternative text; show it with lab.show(figure, alt=...)"


def headings(page: Page) -> Iterator[str]:
    """One title, and no level left out below it: whoever hears the page finds the way by its headings."""
    prose = [(cell.id, line) for cell in page.prose for line in FENCED.sub("", cell.source).splitlines()]
    found = [(id, len(mark[1])) for id, line in prose if (mark := HEADING.match(line))]
    titles = sum(level == 1 for _, level in found)
    if titles != 1 or found[0][1] != 1:
        yield f"notebook: {titles} headings are titles (#); one must be, the first"
    for (_, above), (id, level) in pairwise(found):
        if level > above + 1:
            yield f"{id}: a heading of level {level} follows one of level {above}; leave no level out"


def checked(page: Page) -> Iterator[str]:
    """Checked cells have something to compare, and no cell uses what makes runs stall or papermill fail."""
    for cell in page.code:
        if CHECKED in tags(cell) and not cell.outputs:
            yield f"{cell.id}: is checked by nbval and has no output to check; run `python -m companion refresh`"
        if "raises-exception" in tags(cell):
            yield f"{cell.id}: the tag raises-exception makes papermill fail; show the error with try and except"
        if STALLS.search(cell.source):
            yield f"{cell.id}: Output, interact and interactive make runs stall; use lab.interactive"


HYGIENE = (size, metadata, ids, executed_in_order, fresh, outputs, machine, described, headings, checked)
