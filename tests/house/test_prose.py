"""The course's English: the words of `words.toml` are not used in texts that people read or in public names.

As a command, `python tests/house/test_prose.py PATH...` prints the findings for files or folders.
"""

import ast
import html
import io
import json
import re
import sys
import tokenize
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
LIST = Path(__file__).with_name("words.toml")
GENERATED = {"docs/scoreboard.md", "docs/article.md"}  # they quote the lessons: exempt while one is a first edition
ALWAYS = {"00_start_here.ipynb", "_template.ipynb"}  # notebooks that belong to no lesson of the first edition
CODE_KEYS = re.compile(r"^\s*(?:code|commit|url|urls|doi|arxiv|openreview|sha256|authors?|citation|title)\s*=.*$", re.M)
LINK = re.compile(r"(?<=\])\([^)\s]*\)|https?://\S+|\bdata:image/[^\s\"')]+|</?[A-Za-z][^<>]*>")
BLANK = re.compile(r"\[[^\]]*\]|\(\?<[!=][^)]*\)| ")  # a blank, or a part of a pattern in which blanks are literal
PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")


@dataclass(frozen=True)
class Word:
    """An entry of the list: what is avoided, what is written instead, and where it is right."""

    use: str
    prose: tuple[re.Pattern[str], ...]
    names: tuple[re.Pattern[str], ...]
    allowed: tuple[re.Pattern[str], ...]
    folders: tuple[str, ...] = ()
    bad: tuple[str, ...] = field(default=(), compare=False)
    good: tuple[str, ...] = field(default=(), compare=False)

    def in_prose(self, text: str) -> Iterator[re.Match[str]]:
        """Matches in a text, except those inside an allowed context."""
        right = [m.span() for pattern in self.allowed for m in pattern.finditer(text)]
        for pattern in self.prose:
            for match in pattern.finditer(text):
                if not any(start <= match.start() and match.end() <= end for start, end in right):
                    yield match

    def in_name(self, name: str) -> str | None:
        """The part of an identifier that is avoided, or None."""
        parts = "_".join(PART.findall(name)).lower()
        return next((m.group().strip("_") for pattern in self.names if (m := pattern.search(parts))), None)


class Finding(NamedTuple):
    """One avoided word: its place (file:line or file, cell), the word and its replacement."""

    place: str
    word: str
    use: str

    def __str__(self) -> str:
        return f"{self.place}: {' '.join(self.word.split())!r} -> {self.use}"


@cache
def words() -> tuple[Word, ...]:
    """The list."""

    def compiled(patterns: Iterable[str], flags: int) -> tuple[re.Pattern[str], ...]:
        return tuple(
            re.compile(BLANK.sub(lambda m: r"\s+" if m.group() == " " else m.group(), p), flags) for p in patterns
        )

    found = []
    for raw in tomllib.loads(LIST.read_text("utf-8"))["words"]:
        flags = re.MULTILINE if raw.get("exact") else re.MULTILINE | re.IGNORECASE
        names = tuple(re.compile(rf"(?:^|_)(?:{pattern})(?=_|$)") for pattern in raw.get("names", []))
        allowed = compiled([each["text"] for each in raw.get("allowed", [])], re.MULTILINE | re.IGNORECASE)
        folders = tuple(each["path"] for each in raw.get("allowed_in", []))
        prose = compiled(raw.get("prose", []), flags)
        found.append(
            Word(raw["use"], prose, names, allowed, folders, tuple(raw.get("bad", [])), tuple(raw.get("good", [])))
        )
    return tuple(found)


def words_for(place: str) -> list[Word]:
    """The words that are avoided in a file."""
    return [word for word in words() if not place.startswith(word.folders or "\0")]


def in_text(text: str, place: str, first: int | None = 1) -> Iterator[Finding]:
    """Findings in a text; `first` is the number of its first line, None where lines have no number."""
    text = LINK.sub(lambda m: re.sub(r"[^\n]", "\0", m.group()), text)
    for word in words_for(place):
        for match in word.in_prose(text):
            where = place if first is None else f"{place}:{first + text.count(chr(10), 0, match.start())}"
            yield Finding(where, match.group(), word.use)


# ------------------------------------------------------------------------------------------------------------- Python


def comments(source: str) -> Iterator[tuple[int, str]]:
    """Blocks of comment lines that follow each other, as (first line, text)."""
    first, last, lines = 0, -1, list[str]()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type != tokenize.COMMENT or token.string.startswith(("# noqa", "# type:", "# fmt:", "# %%")):
            continue
        if token.start[0] != last + 1 and lines:
            yield first, "\n".join(lines)
            lines = []
        first, last = (token.start[0] if not lines else first), token.start[0]
        lines.append(token.string.lstrip("#: "))
    if lines:
        yield first, "\n".join(lines)


def strings(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Docstrings, messages, captions and labels: every string of two words or more, as (line, text)."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.JoinedStr):
            parts = [p.value if isinstance(p, ast.Constant) else "{}" for p in node.values]
            text: object = "".join(str(part) for part in parts)
            yield from strings_in_placeholders(node)
        elif isinstance(node, ast.Constant):
            text = node.value
        else:
            yield from strings(node)
            continue
        if isinstance(text, str) and len(re.findall(r"[A-Za-z]{2,}", text)) > 1 and " " in text.strip():
            yield node.lineno, text


def strings_in_placeholders(node: ast.JoinedStr) -> Iterator[tuple[int, str]]:
    """Strings inside the braces of an f-string."""
    for part in node.values:
        if isinstance(part, ast.FormattedValue):
            yield from strings(part)


def public_names(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Classes, functions, methods, parameters, fields and names of module level, as (line, name)."""
    for node in tree.body:
        yield from names_of(node)


def names_of(node: ast.stmt) -> Iterator[tuple[int, str]]:
    """What one statement of a module or a class names."""
    if isinstance(node, ast.Assign | ast.AnnAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        names = [each for target in targets for each in ast.walk(target) if isinstance(each, ast.Name)]
        yield from ((node.lineno, name.id) for name in names if not name.id.startswith("_"))
    elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (node.name[:2] == "__" or node.name[0] != "_"):
        given = node.args
        extra = [each for each in (given.vararg, given.kwarg) if each]
        yield node.lineno, node.name
        yield from ((arg.lineno, arg.arg) for arg in [*given.posonlyargs, *given.args, *given.kwonlyargs, *extra])
    elif isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
        yield node.lineno, node.name
        for inner in node.body:
            yield from names_of(inner)
    elif isinstance(node, ast.If | ast.Try | ast.With):
        for inner in node.body:
            yield from names_of(inner)


def in_names(named: Iterable[tuple[int, str]], place: str) -> Iterator[Finding]:
    """Findings in identifiers."""
    for line, name in named:
        for word in words_for(place):
            if part := word.in_name(name):
                yield Finding(f"{place}:{line}", name if part == name.lower() else f"{name} ({part})", word.use)


def in_python(source: str, place: str, stem: str = "") -> Iterator[Finding]:
    """Findings in a module: its texts, its public names, its own name."""
    try:
        tree = ast.parse(source)
        texts = [*comments(source), *strings(tree)]
    except (SyntaxError, tokenize.TokenError):  # an exercise with a gap, or a file that is being written
        yield from in_text(source, place)
        return
    for line, text in texts:
        yield from in_text(text, place, line)
    yield from in_names([(1, stem), *public_names(tree)], place)


# ----------------------------------------------------------------------------------------------------- other documents


def in_notebook(raw: dict[str, Any], place: str) -> Iterator[Finding]:
    """Findings in markdown, in the code's comments, strings and names, and in captions and alternative texts."""
    for index, cell in enumerate(raw["cells"]):
        where = f"{place} cell {index} ({cell.get('id', '')})"
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            yield from in_text(source, where)
        elif cell["cell_type"] == "code":
            yield from in_python(re.sub(r"^(\s*)[%!].*$", r"\1pass", source, flags=re.M), where)
            for output in cell.get("outputs", []):
                yield from in_output(output, where)


def in_output(output: dict[str, Any], where: str) -> Iterator[Finding]:
    """Findings in what a cell shows: tables and captions, alternative texts, printed text."""
    page = "".join(output.get("data", {}).get("text/html", ""))
    texts = {
        "output": html.unescape(re.sub(r"<(?:style|script).*?</(?:style|script)>|<[^>]+>", "\n", page, flags=re.S)),
        "markdown": "".join(output.get("data", {}).get("text/markdown", "")),
        "printed": "".join(output.get("text", "")),
        "alt": " ".join(str(kind.get("alt", "")) for kind in output.get("metadata", {}).values() if type(kind) is dict),
    }
    for kind, text in texts.items():
        yield from in_text(text, f"{where} {kind}", None)


def in_toml(text: str, place: str) -> Iterator[Finding]:
    """Findings in a TOML file, titles of papers and addresses excepted."""
    yield from in_text(CODE_KEYS.sub(lambda m: "\0" * len(m.group()), text), place)


def in_markdown(text: str, place: str) -> Iterator[Finding]:
    """Findings in a page."""
    yield from in_text(text, place)


def in_file(path: Path) -> list[Finding]:
    """Findings in a file of any kind."""
    place = str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)
    text = path.read_text("utf-8")
    if path.suffix == ".py":
        found = in_python(text, place, path.stem)
    elif path.suffix == ".ipynb":
        found = in_notebook(json.loads(text), place)
    elif path.suffix == ".toml":
        found = in_toml(text, place)
    else:
        found = in_markdown(text, place)
    return sorted(set(found), key=lambda each: [int(s) if s.isdigit() else s for s in re.split(r"(\d+)", each.place)])


# ---------------------------------------------------------------------------------------------------- which files when


def edition(package: Path) -> int:
    """The edition of a lesson; the template always counts as the newest, for lessons are copied from it."""
    toml = package / "lesson.toml"
    new = package.name.startswith("_")
    return 2 if new else tomllib.loads(toml.read_text("utf-8")).get("edition", 1) if toml.is_file() else 2


PACKAGES = sorted(path for path in (ROOT / "companion").iterdir() if (path / "__init__.py").is_file())
LESSONS = [path for path in PACKAGES if (path / "lesson.toml").is_file()]


def of_package(package: Path) -> list[Path]:
    """The files of a package whose texts are held to the list."""
    found = [*package.rglob("*.py"), *package.rglob("*.toml"), *package.rglob("*.md")]
    return sorted(path for path in found if path.name != "lesson.toml" or edition(package) >= 2)


def of_docs() -> list[Path]:
    """The pages; the change log keeps its history, and generated pages wait for the lessons that they quote."""
    waiting = any(edition(package) < 2 for package in LESSONS)
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]
    return sorted(path for path in pages if not (waiting and str(path.relative_to(ROOT)) in GENERATED))


def of_notebooks() -> list[Path]:
    """The notebooks of lessons of the second edition, the start page and the template."""
    first = {package.name for package in LESSONS if edition(package) < 2}
    found = sorted((ROOT / "notebooks").glob("*.ipynb"))
    return [path for path in found if path.name in ALWAYS or re.sub(r"^\d+_", "", path.stem) not in first]


GROUPS = {
    "companion": sorted((ROOT / "companion").glob("*.py")),
    **{f"companion/{package.name}": of_package(package) for package in PACKAGES},
    "docs": of_docs(),
    "notebooks": of_notebooks(),
}


@pytest.mark.parametrize("group", GROUPS)
def test_the_words_are_those_of_the_field(group: str) -> None:
    found = [finding for path in GROUPS[group] for finding in in_file(path)]
    assert not found, "\n".join([f"{len(found)} words to replace in {group}:", *map(str, found)])


# --------------------------------------------------------------------------------------------------- the check's checks


def findings(text: str) -> list[Finding]:
    """What is found in a text and, if it could be one, in an identifier."""
    named = in_names([(1, part) for part in text.split(".")], "x") if re.fullmatch(r"[\w.]+", text) else ()
    return [*in_text(text, "x"), *named]


BAD = [pytest.param(word, text, id=text) for word in words() for text in word.bad]
GOOD = [text for word in words() for text in word.good]


@pytest.mark.parametrize(("word", "text"), BAD)
def test_what_is_avoided_is_found(word: Word, text: str) -> None:
    assert word.use in {finding.use for finding in findings(text)}


@pytest.mark.parametrize("text", GOOD)
def test_ordinary_meanings_are_not_found(text: str) -> None:
    assert findings(text) == []


def test_the_list_is_complete() -> None:
    assert len(words()) > 70
    assert [word.use for word in words() if not word.bad] == []
    assert all(
        each["why"]
        for raw in tomllib.loads(LIST.read_text("utf-8"))["words"]
        for key in ("allowed", "allowed_in")
        for each in raw.get(key, [])
    )


MODULE = '''\
"""A module on made
windows."""

WORTHS = 3  # the rehearsal
MESSAGE = f"the {1 + 1} arms"


class Panel:
    """Fine."""

    colour: str = "arm"

    def show(self, sabotage: int, _arm: int = 0) -> None:
        """Show it.

        The claim must
        die.
        """
        arm = sabotage  # a local name is not public


def _heap(relay: int) -> None:
    # Seeds
    # beyond it.
    pass
'''


def test_places_in_a_module_are_found() -> None:
    found = {(finding.place, " ".join(finding.word.split())) for finding in in_python(MODULE, "m.py", "dearer")}
    assert found == {
        ("m.py:1", "made windows"),
        ("m.py:1", "dearer"),
        ("m.py:4", "WORTHS"),
        ("m.py:4", "rehearsal"),
        ("m.py:5", "arms"),
        ("m.py:11", "colour"),
        ("m.py:13", "sabotage"),
        ("m.py:13", "_arm (arm)"),
        ("m.py:16", "claim must die"),
        ("m.py:23", "Seeds beyond"),
    }


def test_places_in_a_notebook_are_found() -> None:
    shown = {"data": {"text/html": "<p><em>Two arms.</em></p>"}, "metadata": {"image/png": {"alt": "a grey bar"}}}
    cells = [
        {"cell_type": "markdown", "id": "a", "source": ["# Good\n", "a heap\n", "[arm](arm.py)"]},
        {"cell_type": "code", "id": "b", "source": ["%time\n", "x = 1  # a rehearsal"], "outputs": [shown]},
    ]
    assert [(finding.place, finding.word) for finding in in_notebook({"cells": cells}, "n")] == [
        ("n cell 0 (a):2", "heap"),
        ("n cell 0 (a):3", "arm"),
        ("n cell 1 (b):2", "rehearsal"),
        ("n cell 1 (b) output", "arms"),
        ("n cell 1 (b) alt", "grey"),
    ]


def test_places_in_pages_are_found_and_addresses_are_not() -> None:
    page = "A [page](https://x.org/colour/arm)\nand\na knob, https://x.org/heap\n"
    assert [str(finding) for finding in in_markdown(page, "p.md")] == ["p.md:3: 'knob' -> parameter"]
    assert [finding.place for finding in in_toml('title = "Colour"\nsummary = "a colour"', "l.toml")] == ["l.toml:2"]


def test_a_word_may_be_right_in_a_folder() -> None:
    assert [finding.word for finding in in_text("a room of the game", "companion/visual_generalization/x.py")] == []
    assert [finding.word for finding in in_text("a room of the game", "companion/lab/x.py")] == ["room"]


def test_an_edition_is_read(tmp_path: Path) -> None:
    (tmp_path / "lesson.toml").write_text("number = 1")
    assert edition(tmp_path) == 1
    (tmp_path / "lesson.toml").write_text("edition = 2")
    assert edition(tmp_path) == 2


def main(arguments: list[str]) -> int:
    """Print the findings for files and folders; without any, for everything that the test looks at."""
    kinds = (".py", ".toml", ".md", ".ipynb")
    given = [Path(argument).resolve() for argument in arguments]
    paths = [
        file
        for path in given
        for file in (sorted(path.rglob("*")) if path.is_dir() else [path])
        if file.suffix in kinds
    ] or [path for group in GROUPS.values() for path in group]
    found = [finding for path in paths for finding in in_file(path)]
    print(*found, f"{len(found)} findings in {len(paths)} files", sep="\n")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
