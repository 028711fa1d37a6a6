"""The contract of a notebook: its anatomy and its hygiene, as plain sentences that say what is wrong where."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from nbformat import NotebookNode

from companion.course import results
from companion.course.hygiene import HYGIENE, validity
from companion.course.page import (
    CHECKED,
    PARAMETERS,
    Page,
    lines,
    output_text,
    read_page,
    squeezed,
    tags,
    without_headings,
    words,
)

SECTIONS = (
    "Set-up",
    "The problem",
    "The idea",
    "The method",
    "Proof that the code is right",
    "The experiment",
    "What we found",
    "Break it",
    "Play",
    "Exercises",
    "At scale",
    "Limits and further reading",
)
CELLS, WORDS, FIGURES = (45, 70), (1800, 2600), (5, 8)
CODE_LINES, CELL_LINES, FIRST_FIGURE, EXERCISES, CODE_IN_A_ROW = 180, 12, 10, 5, 2
DEFAULTS = {"scale": "laptop", "device": "auto", "seed": 0}


def broken(path: Path) -> list[str]:
    """What a notebook breaks of its contract: "cell id: what is wrong"; the first page owes the hygiene alone."""
    page = read_page(path)
    rules = (*HYGIENE, *ANATOMY) if page.lesson else HYGIENE
    return list(validity(page)) or [sentence for rule in rules for sentence in rule(page)]


def sections(page: Page) -> Iterator[str]:
    """A title, and the twelve sections in their order."""
    first = page.cells[0] if page.cells else None
    if first is None or first.cell_type != "markdown" or not first.source.startswith("# "):
        yield "notebook: the first cell must be Markdown that begins with a title (#)"
    found = [title for cell in page.prose for title in re.findall(r"^## +(.+?) *$", cell.source, re.MULTILINE)]
    if found != list(SECTIONS):
        yield f"notebook: the sections are {', '.join(found)}; they must be {', '.join(SECTIONS)}"


def budgets(page: Page) -> Iterator[str]:
    """As long as it must be and no longer."""
    counted = {
        "cells": (len(page.cells), *CELLS),
        "words": (sum(words(cell.source) for cell in page.prose), *WORDS),
        "figures": (len(list(page.figures())), *FIGURES),
        "lines of code": (sum(map(lines, page.code)), 1, CODE_LINES),
    }
    for what, (count, fewest, most) in counted.items():
        if not fewest <= count <= most:
            yield f"notebook: {count} {what}; {fewest} to {most} are allowed"
    for cell in page.code:
        if lines(cell) > CELL_LINES:
            yield f"{cell.id}: {lines(cell)} lines of code, at most {CELL_LINES} are allowed; move some to the package"


def first_figure(page: Page) -> Iterator[str]:
    """The reader sees a result before the tenth cell ends."""
    seen = {cell.id for cell, _ in page.figures()}
    if not any(cell.id in seen for cell in page.cells[:FIRST_FIGURE]):
        yield f"notebook: none of the first {FIRST_FIGURE} cells shows a figure"


def parameters(page: Page) -> Iterator[str]:
    """One parameters cell, before all other code, with the defaults that a learner runs."""
    tagged = [cell for cell in page.code if PARAMETERS in tags(cell)]
    if len(tagged) != 1 or tagged[0] is not page.code[0]:
        yield f"notebook: exactly one cell is tagged {PARAMETERS}, the first code cell; {len(tagged)} are tagged"
        return
    if _assigned(tagged[0].source) != DEFAULTS:
        wanted = "; ".join(f"{name} = {value!r}" for name, value in DEFAULTS.items())
        yield f"{tagged[0].id}: must set {wanted}, and nothing else"


def _assigned(source: str) -> dict[str, object]:
    try:
        return {node.targets[0].id: ast.literal_eval(node.value) for node in ast.parse(source).body}  # type: ignore[attr-defined]
    except (AttributeError, SyntaxError, ValueError):
        return {}


def sentences(page: Page) -> Iterator[str]:
    """A sentence before each code cell: at most two of them stand in a row, and a heading is no sentence."""
    row = 0
    for before, cell in zip([None, *page.cells], page.cells, strict=False):
        row = row + 1 if cell.cell_type == "code" else 0
        if row == CODE_IN_A_ROW + 1:
            yield f"{cell.id}: the third code cell in a row; say in a sentence what to expect"
        if row == 1 and (before is None or not words(without_headings(before.source))):
            yield f"{cell.id}: no sentence before it says what to expect"


def exercises(page: Page) -> Iterator[str]:
    """At least five exercises; each has its heading and statement as in the package, a stub and a check."""
    if len(page.exercises) < EXERCISES:
        yield f"notebook: {len(page.exercises)} exercises, at least {EXERCISES} are needed"
    for exercise in page.exercises:
        heading = f"### {exercise.heading}"
        at = [i for i, cell in enumerate(page.cells) if heading in cell.source.splitlines()]
        if not at:
            yield f"notebook: no heading reads {heading!r}"
            continue
        asked, following = page.cells[at[0]], page.cells[at[0] + 1 : at[0] + 4]
        if squeezed(exercise.statement) not in squeezed(asked.source):
            yield f"{asked.id}: does not hold the statement of {exercise.id} as the package has it"
        yield from _stub_and_check(exercise.id, asked, [cell for cell in following if cell.cell_type == "code"])


def _stub_and_check(id: str, asked: NotebookNode, code: list[NotebookNode]) -> Iterator[str]:
    call = re.compile(rf"""\.exercise\(["']{id}["']\)\.check\(""")
    found = next((cell for cell in code if call.search(cell.source)), None)
    if found is None or code.index(found) == 0 or "..." not in code[0].source:
        yield f'{asked.id}: a stub (with ...) and a cell with lab.exercise("{id}").check(...) must follow'
        return
    if CHECKED not in tags(found):
        yield f"{found.id}: the check of {id} needs the tag {CHECKED}"
    if "not attempted" not in output_text(found):
        yield f"{found.id}: the committed notebook must hold the stub of {id}, so that the check reads not attempted"


def verdicts(page: Page) -> Iterator[str]:
    """Every claim is evaluated and every exact check made, with the verdicts that the lesson expects."""
    assert page.lesson
    for surprise in results.surprises(results.verdicts(page.notebook), page.lesson, str(DEFAULTS["scale"])):
        yield f"notebook: {surprise}"
    said = "\n".join(map(output_text, page.code))
    for check in page.lesson.checks:
        if f"{check.id}  {check.statement}\n    max error < {check.tolerance:g}: True" not in said:
            yield f"notebook: the exact check {check.id} was not made, or fails"


def imports(page: Page) -> Iterator[str]:
    """One import block, in Set-up, so that a reader sees at once what the lesson stands on."""
    importing = [cell for cell in page.code if re.search(r"^\s*(import|from) ", cell.source, re.MULTILINE)]
    for cell in importing:
        if cell is not importing[0] or _section_of(page, cell) != SECTIONS[0]:
            yield f"{cell.id}: imports stand together in one cell of {SECTIONS[0]}"


def board(page: Page) -> Iterator[str]:
    """The table of verdicts and deviations stands in the last section, and its words are compared."""
    shown = [cell for cell in page.code if ".scoreboard()" in cell.source]
    if len(shown) != 1 or CHECKED not in tags(shown[0]) or _section_of(page, shown[0]) != SECTIONS[-1]:
        yield f"notebook: lab.scoreboard() stands once, in {SECTIONS[-1]}, in a cell tagged {CHECKED}"


def _section_of(page: Page, cell: NotebookNode) -> str:
    before = "\n".join(c.source for c in page.cells[: page.cells.index(cell)] if c.cell_type == "markdown")
    return (re.findall(r"^## +(.+?) *$", before, re.MULTILINE) or [""])[-1]


def ending(page: Page) -> Iterator[str]:
    """Three open kernels fill a small machine: the last words say to shut this one down."""
    last = page.prose[-1] if page.prose else None
    if last is None or not re.search(r"shut(ting)?\s+down", last.source, re.IGNORECASE):
        yield "notebook: the last Markdown cell must say to shut down the kernel"


ANATOMY = (sections, budgets, first_figure, parameters, imports, sentences, exercises, verdicts, board, ending)
