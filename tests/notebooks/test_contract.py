"""Every rule of the contract, broken once on a copy of a good notebook."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from contract import FIRST_EDITION, SECOND_EDITION, Anatomy, broken
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from companion.course.refresh import normalize
from companion.lab import Exercise
from companion.lab.display import WIDGET_VIEW

FILLER = "word " * 180
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


def picture() -> NotebookNode:
    return figure("A dot on a white field, as small as can be.", "[figure] A dot. It is small.")


def figure(alt: str, text: str) -> NotebookNode:
    data = {"image/png": PIXEL, "text/plain": text}
    return new_output("display_data", data=data, metadata={"image/png": {"alt": alt}})


def verdict(claim: str, value: str) -> NotebookNode:
    evaluated = {"lesson": "tiny", "claim": claim, "scale": "laptop", "verdict": value, "findings": []}
    return new_output("display_data", data={"text/plain": "a table"}, metadata={"companion": evaluated})


def said(text: str) -> NotebookNode:
    return new_output("stream", name="stdout", text=text)


def code(id: str, source: str, *outputs: NotebookNode, tags: tuple[str, ...] = ()) -> NotebookNode:
    return new_code_cell(source, id=id, outputs=list(outputs), metadata={"tags": list(tags)} if tags else {})


def prose(id: str, source: str) -> NotebookNode:
    return new_markdown_cell(source, id=id)


def asked(exercise: Exercise) -> list[NotebookNode]:
    id = exercise.id.lower()
    call = f'lab.exercise("{exercise.id}").check(answer)'
    return [
        prose(f"{id}-asked", f"### {exercise.heading}\n\nHow much is one and one? Assign the number to `answer`."),
        code(f"{id}-stub", "answer = ..."),
        code(f"{id}-check", call, said(f"{exercise.id}  not attempted\n"), tags=("nbval-check-output",)),
    ]


def good(anatomy: Anatomy = SECOND_EDITION) -> NotebookNode:
    """A notebook that keeps the contract of an edition (its outputs are made up)."""
    from companion.tiny.exercises import EXERCISES

    cells = [prose("title", "# Tiny\n\nAdding five adds five.")]
    defaults = 'scale = "laptop"  # "ci" | "laptop"\ndevice = "auto"\nseed = 0'
    for number, name in enumerate(anatomy.sections):
        cells.append(prose(f"section-{number}", f"## {name}\n\n{FILLER}"))
        if number == 0:
            cells.append(code("parameters", defaults, tags=("parameters",)))
        if name in ("Is the code right?", "Proof that the code is right"):
            exact = said("X1  Nothing is nothing.\n    error 2.2e-16, tolerance 1e-09: passed\n")
            cells.append(code("exact", 'lab.check("X1", 0)', exact, tags=("nbval-check-output",)))
        if name in ("The experiment", "What we found"):
            id = "claims" if name == ("The experiment" if anatomy is SECOND_EDITION else "What we found") else "run"
            cells.append(code(id, id, *([verdict("C1", "holds"), verdict("C2", "fails")] if id == "claims" else [])))
        if name == "Exercises":
            cells += [cell for exercise in EXERCISES for cell in asked(exercise)]
    for i in range(5):
        cells[6:6] = [prose(f"look-{i}", "Look at the dot."), code(f"figure-{i}", "show()", picture())]
    cells += [prose(f"more-{i}", "More words.") for i in range(5)]
    cells.append(code("board", "lab.scoreboard()", said("verdicts"), tags=("nbval-check-output",)))
    cells.append(prose("end", "Now shut down this kernel."))
    return normalize(new_notebook(cells=cells))


def first_edition(course: Path) -> NotebookNode:
    """The good notebook of a lesson in the first edition."""
    toml = course / "companion/tiny/lesson.toml"
    toml.write_text(toml.read_text().replace("edition = 2", "edition = 1"))
    return good(FIRST_EDITION)


def problems(notebook: NotebookNode, course: Path) -> list[str]:
    path = course / "99_tiny.ipynb"
    path.write_text(json.dumps(notebook), "utf-8")  # as it is: nbformat would repair it
    return broken(path)


def cell(notebook: NotebookNode, id: str) -> NotebookNode:
    return next(cell for cell in notebook.cells if cell.id == id)


def drop(notebook: NotebookNode, id: str) -> None:
    notebook.cells.remove(cell(notebook, id))


def append(id: str, text: str) -> Callable[[NotebookNode], None]:
    return lambda notebook: cell(notebook, id).update(source=cell(notebook, id).source + text)


def change(id: str, /, **values: object) -> Callable[[NotebookNode], None]:
    return lambda notebook: cell(notebook, id).update(values)


def output(id: str, *outputs: NotebookNode) -> Callable[[NotebookNode], None]:
    return lambda notebook: cell(notebook, id).update(outputs=list(outputs))


def insert(place: int, *cells: NotebookNode) -> Callable[[NotebookNode], None]:
    return lambda notebook: notebook.cells.__setitem__(slice(place, place), cells)


def drop_figures(notebook: NotebookNode) -> None:
    for i in range(5):
        cell(notebook, f"figure-{i}").outputs = []


ERROR = new_output("error", ename="ValueError", evalue="no", traceback=[])
WIDGET = new_output("display_data", data={WIDGET_VIEW: {}, "text/plain": "x"})
BARE = new_output("display_data", data={"image/png": PIXEL})

# What is done to the good notebook, and what is then said.
BROKEN = {
    "title": (change("title", source="Tiny"), "the first cell must be Markdown that begins with a title"),
    "section order": (change("section-0", source="## Other\n\nwords"), "the sections are Other, The idea"),
    "section gone": (lambda n: drop(n, "section-8"), "the sections are The problem"),
    "two titles": (append("look-0", "\n\n# Another"), "2 headings are titles (#); one must be, the first"),
    "level left out": (append("look-0", "\n\n#### Deep"), "look-0: a heading of level 4 follows one of level 2"),
    "few cells": (lambda n: [drop(n, f"more-{i}") for i in range(5)], "42 cells; 45 to 70"),
    "many cells": (insert(8, *(prose(f"p-{i}", "x") for i in range(30))), "cells; 45 to 70 are allowed"),
    "few words": (change("section-1", source="## The idea\n\nnone"), "words; 2000 to 3000 are allowed"),
    "many words": (append("section-1", "word " * 1200), "words; 2000 to 3000 are allowed"),
    "few figures": (output("figure-0"), "4 figures; 5 to 9 are allowed"),
    "much code": (lambda n: [append(f"e{i}-stub", "\na = 1" * 80)(n) for i in range(1, 4)], "lines of code; 1 to 220"),
    "long cell": (append("figure-1", "\na = 1" * 20), "figure-1: 21 lines of code, at most 20"),
    "no parameters": (lambda n: drop(n, "parameters"), "0 are tagged"),
    "two parameters": (change("figure-0", metadata={"tags": ["parameters"]}), "2 are tagged"),
    "late parameters": (
        insert(1, code("early", "a = 1", said("x"))),
        "exactly one cell is tagged parameters, the first",
    ),
    "wrong default": (
        change("parameters", source='scale = "ci"'),
        "must set scale = 'laptop'; device = 'auto'; seed = 0",
    ),
    "code in a row": (insert(8, code("a", "a"), code("b", "b"), code("c", "c")), "the third code cell in a row"),
    "no sentence": (change("look-2", source="### A heading"), "figure-2: no sentence before it"),
    "no exercise": (lambda n: drop(n, "e3-asked"), "no heading reads '### E3 · One and one · ★ · 1 minutes'"),
    "no statement": (
        change("e2-asked", source="### E2 · One and one · ★ · 1 minutes"),
        "the statement of E2 is missing",
    ),
    "no caption": (
        output("figure-1", figure("A dot, small and black.", "A dot, small and black.")),
        "figure-1: a figure has no",
    ),
    "caption is alt": (
        output("figure-1", figure("A dot.", "[figure] A dot.")),
        "figure-1: caption and alternative text are",
    ),
    "no stub": (change("e2-stub", source="answer = 2"), "e2-asked: a stub (with ...)"),
    "no check": (lambda n: drop(n, "e2-check"), "e2-asked: a stub (with ...)"),
    "unchecked check": (change("e2-check", metadata={}), "the check of E2 needs the tag nbval-check-output"),
    "solved": (output("e2-check", said("E2  right")), "must hold the stub of E2"),
    "other verdict": (output("claims", verdict("C1", "open"), verdict("C2", "fails")), "C1 open, expected holds"),
    "no verdict": (output("claims", verdict("C1", "holds")), "C2 was not evaluated"),
    "no check made": (output("exact", said("X1")), "the correctness check X1 was not made, or fails"),
    "no board": (lambda n: drop(n, "board"), "lab.scoreboard() stands once, in a cell tagged"),
    "unchecked board": (change("board", metadata={}), "lab.scoreboard() stands once"),
    "no ending": (change("end", source="Good-bye."), "Takeaways must say to shut down the kernel"),
    "order": (change("claims", execution_count=1), "claims: was run as number 1"),
    "never run": (change("claims", execution_count=None), "claims: was run as number None"),
    "error": (output("claims", ERROR), "claims: ended in an error: ValueError: no"),
    "stderr": (output("claims", new_output("stream", name="stderr", text="oh")), "claims: wrote to stderr: oh"),
    "warning": (output("claims", said("x.py:3: UserWarning: oh")), "claims: shows a warning: UserWarning: oh"),
    "path": (output("claims", said("see /home/ann/x")), "claims: holds a path of one machine: /home/ann/x"),
    "path in prose": (append("look-1", " /Users/ann/x"), "look-1: holds a path of one machine: /Users/ann/x"),
    "widget": (output("claims", WIDGET), "which an untrusted notebook does not show"),
    "no alt": (output("figure-3", BARE), "figure-3: a picture has no alternative text"),
    "unchecked": (output("exact"), "exact: is checked by nbval and has no output to check"),
    "raises": (change("figure-0", metadata={"tags": ["raises-exception"]}), "makes papermill fail"),
    "stalls": (append("figure-0", "\ninteract(f)"), "Output, interact and interactive make runs stall"),
    "generated id": (change("look-0", id="3f2a9c1e"), "give the cell a readable id"),
    "uuid": (change("look-0", id="beef1234-12ab-4cde-9f00-0123456789ab"), "give the cell a readable id"),
    "twice the id": (change("look-0", id="look-1"), "notebook: not valid: Non-unique cell id"),
    "invalid": (change("claims", execution_count="one"), "notebook: not valid"),
    "language": (
        lambda n: n.metadata.update(language_info={"name": "python"}),
        "language_info lacks the file extension",
    ),
    "kernel": (lambda n: n.metadata.kernelspec.update(name="mine"), "the kernel must be python3"),
    "metadata": (lambda n: n.metadata.update(widgets={}), "metadata widgets must go"),
    "cell metadata": (change("look-0", metadata={"papermill": {}}), "look-0: cell metadata 'papermill' must go"),
    "large": (append("look-0", "\n" + "-" * 1_000_000), "bytes, at most 1000000 are allowed"),
}


# Rules of the first edition alone.
BROKEN_FIRST = {
    "late figure": (insert(1, *(prose(f"p-{i}", "x") for i in range(10))), "none of the first 10 cells shows a figure"),
    "late import": (append("figure-1", "\nimport math"), "figure-1: imports stand together in one cell of Set-up"),
    "early board": (append("figure-0", "\nlab.scoreboard()"), "lab.scoreboard() stands once"),
}


def test_the_good_notebook_keeps_the_contract(tiny_course: Path) -> None:
    assert problems(good(), tiny_course) == []


def test_a_good_notebook_of_the_first_edition_keeps_its_own(tiny_course: Path) -> None:
    assert problems(first_edition(tiny_course), tiny_course) == []


def test_an_interactive_figure_has_the_prose_around_it_for_a_caption(tiny_course: Path) -> None:
    notebook = good()
    text = "A dot that a slider moves from left to right."
    change("figure-1", source="lab.interactive(draw)", outputs=[figure(text, text)])(notebook)
    assert problems(normalize(notebook), tiny_course) == []


def test_a_template_may_be_shorter(tiny_course: Path) -> None:
    toml = tiny_course / "companion/tiny/lesson.toml"
    notebook = good()
    for id in ("figure-3", "figure-4", "look-3", "look-4", *(f"more-{i}" for i in range(5))):
        drop(notebook, id)
    for number in range(4):
        change(f"section-{number}", source=cell(notebook, f"section-{number}").source.replace(FILLER, "A few words."))(
            notebook
        )
    notebook = normalize(notebook)
    assert len(problems(notebook, tiny_course)) == 3  # cells, words, figures
    toml.write_text(toml.read_text().replace("number = 99", "number = 0"))
    path = tiny_course / "tiny.ipynb"
    path.write_text(json.dumps(notebook), "utf-8")
    assert broken(path) == []


@pytest.mark.parametrize("name", BROKEN_FIRST)
def test_a_broken_rule_of_the_first_edition_is_named(name: str, tiny_course: Path) -> None:
    action, sentence = BROKEN_FIRST[name]
    notebook = first_edition(tiny_course)
    action(notebook)
    assert any(sentence in problem for problem in problems(notebook, tiny_course))


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_rule_is_named(name: str, tiny_course: Path) -> None:
    action, sentence = BROKEN[name]
    notebook = good()
    action(notebook)
    assert any(sentence in problem for problem in problems(notebook, tiny_course))


def test_a_comment_in_a_block_of_code_is_no_heading(tiny_course: Path) -> None:
    notebook = good()
    append("look-0", "\n\n```sh\n# a comment\n```\n")(notebook)
    assert problems(normalize(notebook), tiny_course) == []


def test_an_edit_after_the_run_is_seen(tiny_course: Path) -> None:
    notebook = good()
    cell(notebook, "look-0").source += " Edited."
    assert problems(notebook, tiny_course) == [
        "notebook: a cell was edited after the outputs were made; run `python -m companion refresh`"
    ]


def test_too_few_exercises(tiny_course: Path) -> None:
    source = tiny_course / "companion/tiny/exercises.py"
    source.write_text(source.read_text().replace("range(1, 6)", "range(1, 5)"))
    assert "notebook: 4 exercises, at least 5 are needed" in problems(good(), tiny_course)


def test_a_stripped_notebook_breaks_it(tiny_course: Path) -> None:
    notebook = good()
    for each in notebook.cells:
        if each.cell_type == "code":
            each.update(outputs=[], execution_count=None)
    assert len(problems(notebook, tiny_course)) > 10


def test_the_first_page_owes_the_hygiene_alone(tiny_course: Path) -> None:
    path = tiny_course / "00_start_here.ipynb"
    page = normalize(new_notebook(cells=[prose("title", "# Start"), code("hello", "print(1)", said("1"))]))
    path.write_text(nbformat.writes(page), "utf-8")
    assert broken(path) == []
