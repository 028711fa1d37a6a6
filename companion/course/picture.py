"""The scoreboard as one picture, a row a lesson and a mark a claim, and badges: SVG, the same on every machine."""

from __future__ import annotations

import html
import textwrap
from collections.abc import Iterator, Sequence

from companion.course.scoreboard import Row, counted, lessons_on
from companion.lab import Lesson
from companion.lab.evidence import FAILS, HOLDS, OPEN

WIDTH, ROW, TOP, LEFT, STEP, RADIUS = 860, 30, 58, 330, 25, 8
LONGEST_TITLE = 36
INK, BLUE, ORANGE, GREY = "#222", "#1b5e9e", "#c1440e", "#6b6b6b"
FONT = "font-family='system-ui, Segoe UI, Helvetica, Arial, sans-serif'"
SABOTAGE_DEAD, SABOTAGE_ALIVE, NOT_JUDGED = "sabotage: fails, as it must", "sabotage that does not fail", "not judged"
MARKS = (HOLDS, FAILS, OPEN, SABOTAGE_DEAD, SABOTAGE_ALIVE, NOT_JUDGED)


def svg(board: list[Row]) -> str:
    """The picture; shapes differ as well as colours, and each mark says in words what it is."""
    lessons = lessons_on(board)
    seen = [mark for mark in MARKS if any(kind(row) == mark for row in board)]
    height = TOP + ROW * (len(lessons) + 1) + 24
    lines = [
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {height}' width='{WIDTH}' role='img' {FONT}>",
        f"<title>Scoreboard</title><desc>{html.escape(description(board))}</desc>",
        f"<rect width='{WIDTH}' height='{height}' fill='#fff'/>",
        *_heading(board),
        *(part for at, lesson in enumerate(lessons) for part in _line(lesson, board, TOP + ROW * at)),
        *_legend(seen, TOP + ROW * len(lessons) + 18),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def description(board: list[Row]) -> str:
    """The sentence that stands in for the picture."""
    return f"Scoreboard of the course, a row a lesson and a mark a claim. {counted(board)}."


def kind(row: Row) -> str:
    """Which mark a claim gets."""
    if row.claim.ablates:
        return SABOTAGE_ALIVE if row.surprising else SABOTAGE_DEAD
    return row.verdict if row.verdict in (HOLDS, FAILS, OPEN) else NOT_JUDGED


def _heading(board: list[Row]) -> Iterator[str]:
    title, _, rest = counted(board).partition(": ")
    yield _text(16, 24, f"What holds here: {title}", size=16, weight="bold")
    yield _text(16, 43, rest, size=12, colour=GREY)


def _line(lesson: Lesson, board: list[Row], y: int) -> Iterator[str]:
    title = textwrap.shorten(f"{lesson.number}  {lesson.title}", LONGEST_TITLE, placeholder=" …")
    yield f"<line x1='16' x2='{WIDTH - 16}' y1='{y + 2}' y2='{y + 2}' stroke='#ddd'/>"
    yield _text(16, y + 21, title, size=13)
    claims = sorted((row for row in board if row.lesson.name == lesson.name), key=lambda row: bool(row.claim.ablates))
    for at, row in enumerate(claims):
        said = f"{row.claim.id}, {kind(row)}: {row.claim.statement}"
        shape = _mark(kind(row), LEFT + STEP * at, y + 16)
        yield f"<g><title>{html.escape(said)}</title>{shape}</g>"


def _mark(kind: str, x: int, y: int) -> str:
    r, cross = RADIUS, f"M{x - 4} {y - 4}l8 8m0 -8l-8 8"
    if kind == HOLDS:
        tick = f"M{x - 4} {y}l3 3l5 -6"
        return f"<circle cx='{x}' cy='{y}' r='{r}' fill='{BLUE}'/><path d='{tick}' stroke='#fff' {_STROKE}/>"
    if kind == FAILS:
        box = f"x='{x - r}' y='{y - r}' width='{2 * r}' height='{2 * r}'"
        return f"<rect {box} fill='#fff' stroke='{ORANGE}' stroke-width='2'/><path d='{cross}' {_orange()}/>"
    if kind in (OPEN, NOT_JUDGED):
        sign = "?" if kind == OPEN else "–"
        ring = f"<circle cx='{x}' cy='{y}' r='{r}' fill='#fff' stroke='{GREY}' stroke-width='2'/>"
        return ring + f"<text x='{x}' y='{y + 4}' text-anchor='middle' font-size='12' fill='{INK}'>{sign}</text>"
    diamond = f"<path d='M{x} {y - r}l{r} {r}l-{r} {r}l-{r} -{r}z' fill='#fff' stroke-width='2' "
    if kind == SABOTAGE_DEAD:
        return diamond + f"stroke='{BLUE}'/><circle cx='{x}' cy='{y}' r='2' fill='{BLUE}'/>"
    return diamond + f"stroke='{ORANGE}'/><path d='{cross}' {_orange()}/>"


_STROKE = "stroke-width='2' fill='none'"


def _orange() -> str:
    return f"stroke='{ORANGE}' {_STROKE}"


def _legend(marks: list[str], y: int) -> Iterator[str]:
    x = 24
    for mark in marks:
        yield _mark(mark, x, y + 8)
        yield _text(x + 15, y + 13, mark, size=12)
        x += 45 + 7 * len(mark)


def _text(x: int, y: int, words: str, size: int, colour: str = INK, weight: str = "normal") -> str:
    style = f"font-size='{size}' fill='{colour}' font-weight='{weight}'"
    return f"<text x='{x}' y='{y}' {style}>{html.escape(words)}</text>"


def badges(facts: Sequence[tuple[str, str]]) -> str:
    """A strip of badges: a name on dark, a value on blue, for each fact."""
    parts, x = [], 0
    for name, value in facts:
        first, second = (18 + round(6.7 * len(text)) for text in (name, value))
        parts += [
            f"<rect x='{x}' width='{first}' height='22' fill='#444'/>",
            f"<rect x='{x + first}' width='{second}' height='22' fill='{BLUE}'/>",
            _text(x + 9, 15, name, size=12, colour="#fff"),
            _text(x + first + 9, 15, value, size=12, colour="#fff"),
        ]
        x += first + second + 6
    said = html.escape("; ".join(f"{name}: {value}" for name, value in facts))
    head = f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {x - 6} 22' height='22' role='img' {FONT}>"
    return "\n".join([head, f"<title>{said}</title>", *parts, "</svg>"]) + "\n"
