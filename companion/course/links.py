"""The links that lead out of the course: every one listed with the places that hold it, and checked for its form.

Offline nothing can be said of a page, but much of an address: a host that can exist, no blank or stray bracket, an
arXiv, OpenReview or DOI number of the right shape. `--online` asks each address whether it still answers.
"""

from __future__ import annotations

import re
import tomllib
import urllib.error
import urllib.request
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from companion.course import results, lessons as syllabus
from companion.course.lessons import repository
from companion.data import catalog

PAGES = ("*.md", "docs/*.md", "CITATION.cff")
FOUND = re.compile(r"https?://[^\s<>\"'`\\]+|\bdoi:10\.[^\s<>\"'`\\,;]+")
BESIDE = re.compile(r"\]\(|\)\[")  # where Markdown joins an address to its words, or to the next link
STANDS_FOR_ANY = re.compile(r"[{$]|://(127\.0\.0\.1|localhost)\b")
HOST = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)+[a-z]{2,}")
ALLOWED = re.compile(r"[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]+")
ARXIV = re.compile(r"/(?:abs|pdf|html)/(?:\d{4}\.\d{4,5}|[a-z-]+(?:\.[A-Z]{2})?/\d{7})(?:v\d+)?(?:\.pdf)?")
OPENREVIEW = re.compile(r"(?:id|noteId)=[A-Za-z0-9_-]{10,}(?:&.*)?")
DOI = re.compile(r"10\.\d{4,9}/\S+")
ANSWER_SECONDS, AT_ONCE = 20, 8
REFUSES_MACHINES = {401, 403, 405, 406, 429, 999}


def links(notebooks: Path) -> dict[str, list[str]]:
    """Address -> the files that hold it, both by the alphabet."""
    places: dict[str, set[str]] = defaultdict(set)
    for place, text in _texts(notebooks):
        for address in found_in(text):
            places[address].add(place)
    return {address: sorted(places[address]) for address in sorted(places)}


def found_in(text: str) -> list[str]:
    """The addresses in a text, without the punctuation of the sentence around them."""
    apart = BESIDE.sub(" ", text)
    return [_trimmed(raw) for raw in FOUND.findall(apart) if not STANDS_FOR_ANY.search(raw)]


def _trimmed(raw: str) -> str:
    address = f"https://doi.org/{raw[4:]}" if raw.startswith("doi:") else raw
    while address[-1] in ".,;:!?*_|]}" or (address[-1] == ")" and address.count(")") > address.count("(")):
        address = address[:-1]
    return address


def _texts(notebooks: Path) -> Iterator[tuple[str, str]]:
    """Every text that a reader meets, and the file that it stands in."""
    root = repository()
    for page in sorted({path for pattern in PAGES for path in root.glob(pattern)}):
        yield page.relative_to(root).as_posix(), page.read_text("utf-8")
    for notebook in sorted(notebooks.glob("*.ipynb")):
        yield f"notebooks/{notebook.name}", "\n".join("".join(c["source"]) for c in results.read(notebook)["cells"])
    for lesson in syllabus.lessons(hidden=True):
        yield (
            f"{lesson.name}/lesson.toml",
            _addresses(tomllib.loads((lesson.folder / "lesson.toml").read_text("utf-8"))),
        )
    for path in sorted(catalog.FOLDER.glob("*.toml")):
        yield f"cards/{path.name}", "\n".join(_strings(tomllib.loads(path.read_text("utf-8"))))


def _addresses(raw: dict[str, Any]) -> str:
    """The strings of a lesson, and the addresses that its paper's numbers stand for."""
    paper = raw["paper"]
    numbered = {"arxiv": "https://arxiv.org/abs/", "openreview": "https://openreview.net/forum?id="}
    return "\n".join([*_strings(raw), *(head + paper[key] for key, head in numbered.items() if key in paper)])


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _strings(inner)


def malformed(address: str) -> str:
    """What is wrong with the form of an address, or nothing."""
    try:
        parts = urlsplit(address)
        host = (parts.hostname or "").removeprefix("www.")
    except ValueError as error:
        return str(error)
    if parts.scheme not in ("http", "https"):
        return f"begins with {parts.scheme!r}, not with https"
    if not HOST.fullmatch(host):
        return f"has no host that can exist: {host!r}"
    if not ALLOWED.fullmatch(address):
        return "holds a character that an address must write as %.."
    return _wrong_number(host, parts.path, parts.query)


def _wrong_number(host: str, path: str, query: str) -> str:
    if host == "arxiv.org" and not ARXIV.fullmatch(path):
        return f"is no arXiv number: {path}"
    if host == "openreview.net" and not OPENREVIEW.fullmatch(query):
        return f"is no OpenReview number: {query or path}"
    if host in ("doi.org", "dx.doi.org") and not DOI.fullmatch(path.removeprefix("/")):
        return f"is no DOI: {path}"
    return ""


def unanswered(addresses: list[str]) -> dict[str, str]:
    """Fetch each address; those that do not answer, with the reason."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        reasons = pool.map(_reason, addresses)
    return {address: reason for address, reason in zip(addresses, reasons, strict=True) if reason}


def _reason(address: str) -> str:
    request = urllib.request.Request(address, headers={"User-Agent": "Mozilla/5.0 (companion links)"})
    try:
        with urllib.request.urlopen(request, timeout=ANSWER_SECONDS):
            return ""
    except urllib.error.HTTPError as error:
        return "" if error.code in REFUSES_MACHINES else f"answers {error.code} {error.reason}"
    except (OSError, ValueError) as error:
        return f"does not answer: {error}"
