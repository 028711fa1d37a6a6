"""Every `python -m companion …` that make, Binder and our pages speak of is one that the command line understands."""

import re
import shlex
from pathlib import Path

import click
import pytest

from companion.course.cli import cli

ROOT = Path(__file__).parents[2]
SPOKEN = {
    (name, line.strip())
    for name in ("Makefile", "README.md", "docs/install.md", "CONTRIBUTING.md", "binder/postBuild")
    for line in re.findall(r"-m companion( \w[^\n#;`|]*)", (ROOT / name).read_text())
}


def understand(arguments: list[str]) -> None:
    """Parse a command line as click would, down to its last command, and run nothing."""
    command, parent = cli, None
    while isinstance(command, click.Group) and arguments:
        context = click.Context(command, parent)
        _, command, arguments = command.resolve_command(context, arguments)
        parent = context
    command.make_context(None, arguments, parent=parent)


@pytest.mark.parametrize(("name", "line"), sorted(SPOKEN), ids=lambda text: text)
def test_a_line_that_we_print_is_understood(name: str, line: str) -> None:
    understand(shlex.split(re.sub(r"\$\(\w+\)", lambda found: "2" if found[0] == "$(JOBS)" else "", line)))


def test_a_line_with_a_mistake_is_not() -> None:
    assert len(SPOKEN) >= 8
    with pytest.raises(click.UsageError):
        understand(["run", "--al"])


def test_the_pages_show_what_make_calls() -> None:
    readme, page, makefile = ((ROOT / name).read_text() for name in ("README.md", "docs/install.md", "Makefile"))
    for line in ('-e ".[dev]"', "-c constraints.txt", "-m pytest -n", "jupyter lab notebooks/00_start_here.ipynb"):
        assert line in page, f"docs/install.md no longer shows {line}"
        assert line in makefile, f"make no longer calls {line}"
    assert re.search(r"```sh\nmake course .*\nmake test ", readme[:400]), "the two commands stand first"
