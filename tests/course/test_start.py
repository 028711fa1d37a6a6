"""The learner's own copy of the notebooks."""

from __future__ import annotations

from pathlib import Path

import pytest

from companion.course import start
from companion.errors import CompanionError


def test_start_copies_and_never_overwrites(executed_notebook: Path, tmp_path: Path) -> None:
    mine = tmp_path / "my" / "course"
    assert start.copy(executed_notebook.parent, mine) == start.Copied(("99_tiny.ipynb",), ())
    (mine / "99_tiny.ipynb").write_text("my work")
    assert start.copy(executed_notebook.parent, mine) == start.Copied((), ("99_tiny.ipynb",))
    assert (mine / "99_tiny.ipynb").read_text() == "my work"


def test_a_copy_finds_the_pages_that_it_links_to(executed_notebook: Path, tmp_path: Path) -> None:
    source, mine = executed_notebook.parent, tmp_path / "mine"
    executed_notebook.write_text(executed_notebook.read_text().replace("# Tiny\\n", "# Tiny [w](../docs/words.md)\\n"))
    (source.parent / "docs").mkdir()
    (source.parent / "docs/words.md").write_text("[99](../notebooks/99_tiny.ipynb)")
    start.copy(source, mine)
    assert "](docs/words.md)" in (mine / "99_tiny.ipynb").read_text()
    assert (mine / "docs/words.md").read_text() == "[99](../99_tiny.ipynb)"


def test_start_into_a_file_is_one_sentence(executed_notebook: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CompanionError, match="name a folder that you may write to"):
        start.copy(executed_notebook.parent, tmp_path / "file")
