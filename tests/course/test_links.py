"""Links: every address of the course has the form of one, and every path that a page names is there."""

from __future__ import annotations

import io
import json
import re
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from companion.course import cli, links

ROOT = Path(__file__).parents[2]
PATH = re.compile(r"\]\((?!https?:|#|attachment:|mailto:)([^)#\s]+)(?:#[^)]*)?\)")


def test_every_link_of_the_course_is_well_formed() -> None:
    found = links.links(ROOT / "notebooks")
    assert len(found) > 40
    assert {address: links.malformed(address) for address in found if links.malformed(address)} == {}


def pages() -> list[Path]:
    return sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("notebooks/*.ipynb")])


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_every_path_that_a_page_links_to_is_there(page: Path) -> None:
    text = page.read_text("utf-8")
    if page.suffix == ".ipynb":
        text = "\n".join("".join(c["source"]) for c in json.loads(text)["cells"] if c["cell_type"] == "markdown")
    assert [target for target in PATH.findall(text) if not (page.parent / target).exists()] == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("see https://a.org/b.", ["https://a.org/b"]),
        ("([code](https://a.org/b_(c)), x)", ["https://a.org/b_(c)"]),
        ("[a](https://a.org)[b](https://b.org/?q=1)", ["https://a.org", "https://b.org/?q=1"]),
        ("TiiS 5(4), 2015, doi:10.1145/2827872", ["https://doi.org/10.1145/2827872"]),
        ("**https://a.org/b**; `https://c.org`", ["https://a.org/b", "https://c.org"]),
        ("https://{host}/x and http://127.0.0.1:80", []),
    ],
)
def test_addresses_are_found_without_the_sentence_around_them(text: str, found: list[str]) -> None:
    assert links.found_in(text) == found


@pytest.mark.parametrize(
    "address",
    [
        "https://arxiv.org/abs/2111.04840v2", "https://arxiv.org/pdf/2111.04840", "https://arxiv.org/abs/cs.LG/0512345",
        "https://openreview.net/forum?id=St-53J9ZARf", "https://doi.org/10.7289/V5M32STR", "http://www.a-b.co.uk/~c",
    ],
)  # fmt: skip
def test_a_good_address_is_let_through(address: str) -> None:
    assert links.malformed(address) == ""


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("ftp://a.org/b", "not with https"),
        ("https://nowhere/b", "no host that can exist"),
        ("https://a b.org", "no host that can exist"),
        ("https://a.org/b c", "must write as"),
        ("https://a.org/ü", "must write as"),
        ("https://arxiv.org/abs/211.04840", "no arXiv number"),
        ("https://openreview.net/forum?id=short", "no OpenReview number"),
        ("https://doi.org/11.1145/2827872", "no DOI"),
        ("https://[a.org", "Invalid IPv6"),
    ],
)
def test_a_bad_address_is_told_why(address: str, says: str) -> None:
    assert says in links.malformed(address)


def test_online_a_page_that_is_gone_is_named_and_one_that_shuts_out_machines_is_not(monkeypatch) -> None:
    def answer(request: urllib.request.Request, timeout: float) -> io.BytesIO:
        codes = {"https://a.org/gone": 404, "https://a.org/shy": 403}
        if request.full_url == "https://a.org/dead":
            raise urllib.error.URLError("no such host")
        if request.full_url in codes:
            raise urllib.error.HTTPError(request.full_url, codes[request.full_url], "Not Found", None, None)
        return io.BytesIO(b"")

    monkeypatch.setattr(urllib.request, "urlopen", answer)
    asked = [f"https://a.org/{name}" for name in ("here", "gone", "shy", "dead")]
    assert links.unanswered(asked) == {
        "https://a.org/gone": "answers 404 Not Found",
        "https://a.org/dead": "does not answer: <urlopen error no such host>",
    }


def test_the_command_names_what_is_wrong_and_where(tiny_notebook: Path, capsys) -> None:
    (tiny_notebook.parents[1] / "README.md").write_text("https://arxiv.org/abs/1 and https://a.org/b")
    with pytest.raises(SystemExit) as ended:
        cli.main(["links"])
    printed = capsys.readouterr()
    assert ended.value.code == 1
    assert "https://a.org/b  (README.md)" in printed.out
    assert printed.err == "https://arxiv.org/abs/1 is no arXiv number: /abs/1; it stands in README.md.\n"
