"""A tiny WordNet in the two files' own format, an archive of it, and a card whose only network is a stub."""

import hashlib
import io
import tarfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from companion.data import cache, catalog, download
from companion.data.catalog import Address, Distribution

# offset, lexicographer file, words, pointers, gloss; and the tag count of each
NOUNS = [
    ("00000001", 3, ["entity"], [("~", "00000002"), ("~", "00000003")], "what is", 5),
    ("00000002", 3, ["object"], [("@", "00000001")], "a thing seen", 0),
    ("00000003", 3, ["idea"], [("@", "00000001")], 'a thing thought; "what an idea"', 3),
    ("00000004", 5, ["living_thing", "organism"], [("@", "00000002")], "what lives", 0),
    ("00000005", 5, ["dog", "hound"], [("@", "00000004"), ("@", "00000006")], 'a beast: "the dog barked"', 9),
    ("00000006", 5, ["pet"], [("@", "00000003"), ("#m", "00000007")], "a beast kept", 2),
    ("00000007", 14, ["Rex"], [("@i", "00000005"), ("@", "00000003"), ("+", "00000009")], "a dog", 4),
]


def data_noun(newline: str = "\n") -> bytes:
    """The file data.noun of the tiny WordNet."""
    lines = ["  1 This is the notice.  "]
    for offset, label, words, pointers, gloss, _ in NOUNS:
        word_part = " ".join(f"{word} 0" for word in words)
        pointer_part = "".join(f"{symbol} {target} n 0000 " for symbol, target in pointers)
        verb = "+ 00000005 v 0101 "  # a pointer to another part of speech whose offset is also a noun's
        count = len(pointers) + 1
        lines.append(f"{offset} {label:02d} n {len(words):02x} {word_part} {count:03d} {pointer_part}{verb}| {gloss}  ")
    return newline.join([*lines, ""]).encode()


def index_sense(newline: str = "\n") -> bytes:
    """The file index.sense of the tiny WordNet; a count is spread over the words of its synset."""
    lines = ["bark%2:32:00:: 00000002 1 50"]
    for offset, label, words, _, _, count in NOUNS:
        shares = [count - (len(words) - 1) * (count // 2), *[count // 2] * (len(words) - 1)]
        lines += [f"{word}%1:{label:02d}:00:: {offset} 1 {share}" for word, share in zip(words, shares, strict=True)]
    return newline.join([*lines, ""]).encode()


def tar_of(files: dict[str, bytes]) -> bytes:
    """A gzipped tar archive of these files."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def sha(content: bytes) -> str:
    """The sha256 of some bytes."""
    return hashlib.sha256(content).hexdigest()


CARD = """
title = "Tiny WordNet"
kind = "data"
tier = "base"
license = "ours"
attribution = "us"
role = "a test"
size = "small"
split_rule = "none"
homepage = "https://example.org"
builder = "wordnet:reduce_wordnet"
revision = {revision}

[[source]]
distribution = "tiny"
version = "1.0"
form = "sdist"
sha256 = "{archive}"
members = {{ "tiny-1.0/data.noun" = "{noun}", "tiny-1.0/index.sense" = "{sense}" }}

[[source]]
urls = ["https://example.org/tiny.tar.gz", "https://mirror.example.org/tiny.tar.gz"]
sha256 = "{archive}"
members = {{ "tiny-1.0/data.noun" = "{noun}", "tiny-1.0/index.sense" = "{sense}" }}
"""
FIRST, SECOND = "tiny 1.0 on the package index", "example.org"
NOUN, SENSE = "tiny-1.0/data.noun", "tiny-1.0/index.sense"


@dataclass
class Shop:
    """What the stubbed download hands out, per source: bytes are written, an exception is raised half-way."""

    folder: Path
    files: dict[str, bytes]
    write_card: Callable[[str, str], None]
    shelves: dict[str, bytes | BaseException] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    first: str = FIRST
    second: str = SECOND

    def describe(self, archive: bytes, revision: int = 1) -> None:
        """Writes the card for this archive, whatever it really holds, with the hashes of the good members."""
        noun, sense = sha(self.files[NOUN]), sha(self.files[SENSE])
        self.write_card("tiny", CARD.format(archive=sha(archive), noun=noun, sense=sense, revision=revision))

    def offer(self, files: dict[str, bytes]) -> None:
        """Both sources carry these files, and the card knows the archive."""
        archive = tar_of(files)
        self.shelves = {FIRST: archive, SECOND: archive}
        self.describe(archive)

    def download(self, source: Distribution | Address, workshop: Path) -> Path:
        """Stands in for the one function that talks to the network."""
        self.asked.append(source.label)
        goods = self.shelves[source.label]
        if isinstance(goods, BaseException):
            (workshop / "half").write_bytes(b"half a download")
            raise goods
        (workshop / "tiny.tar.gz").write_bytes(goods)
        return workshop / "tiny.tar.gz"

    def left(self) -> list[str]:
        """The names of all that is in the cache."""
        return sorted(str(file.relative_to(self.folder)) for file in self.folder.rglob("*"))


@pytest.fixture
def tiny_files() -> dict[str, bytes]:
    """The members of the tiny archive."""
    return {"tiny-1.0/setup.py": b"raise SystemExit", NOUN: data_noun(), SENSE: index_sense()}


@pytest.fixture
def write_card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Writes a card into an own, empty catalog."""
    folder = tmp_path / "cards"
    folder.mkdir()
    monkeypatch.setattr(catalog, "cards", lambda: {f.stem: catalog.read_card(f) for f in sorted(folder.iterdir())})
    return lambda name, text: (folder / f"{name}.toml").write_text(text) and None


@pytest.fixture
def shop(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    write_card: Callable[[str, str], None],
    tiny_files: dict[str, bytes],
) -> Shop:
    """An empty cache, the card "tiny", and both its sources stubbed with the good archive."""
    monkeypatch.setenv("COMPANION_DATA", str(tmp_path / "cache"))
    counter = Shop(cache.cache_dir(), tiny_files, write_card)
    counter.offer(tiny_files)
    monkeypatch.setattr(download, "download", counter.download)
    return counter


@pytest.fixture
def windows_lines() -> dict[str, bytes]:
    """The same two files with the line ends of another system, as one of WordNet's carriers has them."""
    return {"data.noun": data_noun("\r\n"), "index.sense": index_sense("\r\n")}
