"""The contract of a notebook: its anatomy and its hygiene, as plain sentences that say what is wrong where."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hygiene import HYGIENE, validity
from nbformat import NotebookNode
from page import CHECKED, PARAMETERS, Page, lines, output_text, read_page, tags, without_headings, words

from companion.course import scoreboard

DEFAULTS = {"scale": "laptop", "device": "auto", "seed": 0}
# Headings that some notebooks of the first edition have changed already.
RENAMED = {
    "Correctness checks": "Proof that the code is right", "Ablation tests": "Break it", "Ablation test": "Break it",
    "Interactive demo": "Play",
}  # fmt: skip
EXERCISES, CODE_IN_A_ROW, STATEMENT_WORDS = 5, 2, 8


@dataclass(frozen=True)
class Anatomy:
    """What the notebooks of an edition have: sections in order, and least and largest sizes."""

    sections: tuple[str, ...]
    cells: tuple[int, int]
    words: tuple[int, int]
    figures: tuple[int, int]
    code_lines: int
    cell_lines: int
    first_figure: int = 0  # the first figure stands among so many cells; 0: anywhere
    imports: str = ""  # the section that holds all imports; empty: anywhere
    scoreboard: str = ""  # the section of lab.scoreboard(); empty: anywhere


FIRST_EDITION = Anatomy(
    sections=(
        "Set-up", "The problem", "The idea", "The method", "Proof that the code is right", "The experiment",
        "What we found", "Break it", "Play", "Exercises", "At scale", "Limits and further reading",
    ),
    cells=(45, 70), words=(1800, 2800), figures=(5, 8), code_lines=220, cell_lines=16,
    first_figure=10, imports="Set-up", scoreboard="Limits and further reading",
)  # fmt: skip
SECOND_EDITION = Anatomy(
    sections=(
        "The problem", "The idea", "The method", "Is the code right?", "The experiment", "When does it work?",
        "Explore", "Your own data", "Exercises", "At the paper's scale", "Takeaways",
    ),
    cells=(45, 70), words=(2000, 3000), figures=(5, 9), code_lines=220, cell_lines=20,
)  # fmt: skip
TEMPLATE = Anatomy(
    SECOND_EDITION.sections, cells=(25, 70), words=(900, 3000), figures=(3, 9), code_lines=220, cell_lines=20
)


def anatomy(page: Page) -> Anatomy:
    """The anatomy of a lesson's edition; a lesson with number 0, a template, may be shorter."""
    assert page.lesson
    if page.lesson.edition == 1:
        return FIRST_EDITION
    return SECOND_EDITION if page.lesson.number else TEMPLATE


def broken(path: Path) -> list[str]:
    """What a notebook breaks of its contract: "cell id: what is wrong"; the first page owes the hygiene alone."""
    page = read_page(path)
    rules = (*HYGIENE, *ANATOMY) if page.lesson else HYGIENE
    return list(validity(page)) or [sentence for rule in rules for sentence in rule(page)]


def sections(page: Page) -> Iterator[str]:
    """A title, and the sections in their order."""
    wanted = list(anatomy(page).sections)
    first = page.cells[0] if page.cells else None
    if first is None or first.cell_type != "markdown" or not first.source.startswith("# "):
        yield "notebook: the first cell must be Markdown that begins with a title (#)"
    found = [title for cell in page.prose for title in re.findall(r"^## +(.+?) *$", cell.source, re.MULTILINE)]
    if [RENAMED.get(title, title) for title in found] != wanted:
        yield f"notebook: the sections are {', '.join(found)}; they must be {', '.join(wanted)}"


def _alt(output: NotebookNode) -> str:
    return str(output.get("metadata", {}).get("image/png", {}).get("alt", ""))


def sizes(page: Page) -> Iterator[str]:
    """As long as it must be and no longer."""
    limits = anatomy(page)
    counted = {
        "cells": (len(page.cells), *limits.cells),
        "words": (sum(words(cell.source) for cell in page.prose), *limits.words),
        # the plot above the findings is their table in another form, and no figure more
        "figures": (sum("Forest plot" not in _alt(output) for _, output in page.figures()), *limits.figures),
        "lines of code": (sum(map(lines, page.code)), 1, limits.code_lines),
    }
    for what, (count, fewest, most) in counted.items():
        if not fewest <= count <= most:
            yield f"notebook: {count} {what}; {fewest} to {most} are allowed"
    for cell in page.code:
        if lines(cell) > limits.cell_lines:
            yield f"{cell.id}: {lines(cell)} lines of code, at most {limits.cell_lines} are allowed"


def first_figure(page: Page) -> Iterator[str]:
    """In the first edition, the reader sees a result early."""
    among = anatomy(page).first_figure
    seen = {cell.id for cell, _ in page.figures()}
    if among and not any(cell.id in seen for cell in page.cells[:among]):
        yield f"notebook: none of the first {among} cells shows a figure"


def captions(page: Page) -> Iterator[str]:
    """In the second edition, each figure has a caption that states the conclusion and differs from the alternative."""
    for cell, output in page.figures() if page.lesson and page.lesson.edition > 1 else ():
        alt = output.metadata.get("image/png", {}).get("alt", "").strip()
        text = "".join(output.data.get("text/plain", ""))
        if ".interactive(" in cell.source and text == alt:
            continue  # an interactive figure: the prose around it says what to conclude
        caption = text.removeprefix("[figure] ")
        if not text.startswith("[figure] ") or not caption.strip():
            yield f"{cell.id}: a figure has no caption; show it with lab.show(figure, alt=..., caption=...)"
        elif caption == alt:
            yield f"{cell.id}: caption and alternative text are the same; the caption states the conclusion"


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
    """At least five exercises; each has a heading, a statement (in the notebook alone), a stub and a check."""
    if len(page.exercises) < EXERCISES:
        yield f"notebook: {len(page.exercises)} exercises, at least {EXERCISES} are needed"
    for exercise in page.exercises:
        heading = f"### {exercise.heading}"
        at = [i for i, cell in enumerate(page.cells) if heading in cell.source.splitlines()]
        if not at:
            yield f"notebook: no heading reads {heading!r}"
            continue
        asked, following = page.cells[at[0]], page.cells[at[0] + 1 : at[0] + 4]
        if words(without_headings(asked.source)) < STATEMENT_WORDS:
            yield f"{asked.id}: the statement of {exercise.id} is missing"
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
    """Every claim is evaluated and every correctness check made, with the verdicts that the lesson expects."""
    assert page.lesson
    for problem in scoreboard.unexpected(scoreboard.verdicts(page.notebook), page.lesson, str(DEFAULTS["scale"])):
        yield f"notebook: {problem}"
    text = "\n".join(map(output_text, page.code))
    for check in page.lesson.checks:
        # lab.check prints two lines, lab.checks a row of a table
        passed = rf"^{check.id} +{re.escape(check.statement)}\s+error [\d.e+-]+,? .*\bpassed$"
        if not re.search(passed, text, re.MULTILINE):
            yield f"notebook: the correctness check {check.id} was not made, or fails"


def imports(page: Page) -> Iterator[str]:
    """In the first edition, one import block, so that a reader sees at once what the lesson stands on."""
    section = anatomy(page).imports
    importing = [cell for cell in page.code if re.search(r"^\s*(import|from) ", cell.source, re.MULTILINE)]
    for cell in importing if section else []:
        if cell is not importing[0] or page.section_of(cell) != section:
            yield f"{cell.id}: imports stand together in one cell of {section}"


def board(page: Page) -> Iterator[str]:
    """The table of verdicts and differences stands once, and its words are compared."""
    section = anatomy(page).scoreboard
    shown = [cell for cell in page.code if ".scoreboard()" in cell.source]
    if len(shown) != 1 or CHECKED not in tags(shown[0]) or (section and page.section_of(shown[0]) != section):
        yield f"notebook: lab.scoreboard() stands once{f', in {section}' * bool(section)}, in a cell tagged {CHECKED}"


def ending(page: Page) -> Iterator[str]:
    """Three open kernels fill a small machine: the last section says to shut this one down."""
    last = [cell for cell in page.prose if page.section_of(cell) == anatomy(page).sections[-1]]
    headed = [cell for cell in page.prose if f"## {anatomy(page).sections[-1]}" in cell.source]
    if not any(re.search(r"shut(ting)?\s+down", cell.source, re.IGNORECASE) for cell in (*last, *headed)):
        yield f"notebook: {anatomy(page).sections[-1]} must say to shut down the kernel"


ANATOMY = (
    sections, sizes, first_figure, captions, parameters, imports, sentences, exercises, verdicts, board, ending,
)  # fmt: skip
