"""Fetching, with good carriers and with every kind of bad one: a compact array, or one sentence and nothing else."""

import errno
import os
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest

from companion.data import download, fetch, path, status, verify
from companion.errors import CompanionError

WHOLE = ["tiny.json", "tiny.npz"]


def refused(name: str = "tiny") -> str:
    """The sentence that fetch ends with; one line, and it names the set."""
    with pytest.raises(CompanionError) as caught:
        fetch(name)
    sentence = str(caught.value)
    assert "Tiny WordNet" in sentence
    assert "\n" not in sentence
    return sentence


def test_a_good_carrier_leaves_the_array_and_its_stamp_alone(shop) -> None:
    steps: list[str] = []
    assert fetch("tiny", steps.append) == path("tiny")
    assert shop.left() == WHOLE
    assert shop.asked == [shop.first]
    assert steps[0] == "Tiny WordNet: downloading tiny 1.0 on the package index"
    assert steps[-1] == "Tiny WordNet: reducing"
    with np.load(path("tiny"), allow_pickle=False) as arrays:
        assert arrays["counts"].tolist() == [5, 0, 3, 0, 9, 2, 4]


def test_a_second_fetch_downloads_nothing(shop) -> None:
    fetch("tiny")
    fetch("tiny")
    assert shop.asked == [shop.first]


def test_fetching_twice_gives_the_same_bytes(shop) -> None:
    before = fetch("tiny").read_bytes()
    path("tiny").unlink()
    assert fetch("tiny").read_bytes() == before


@pytest.mark.parametrize("broken", ["cut", "changed", "unreachable"])
def test_the_second_source_serves_when_the_first_fails(shop, broken) -> None:
    good = shop.shelves[shop.first]
    offers = {"cut": good[:200], "changed": good + b"x", "unreachable": download.SourceError("no network")}
    shop.shelves[shop.first] = offers[broken]
    fetch("tiny")
    assert shop.asked == [shop.first, shop.second]
    assert shop.left() == WHOLE


def test_when_all_sources_fail_the_error_says_what_each_said(shop) -> None:
    shop.shelves[shop.first] = download.SourceError("pip finds no tiny 1.0")
    shop.shelves[shop.second] = shop.shelves[shop.second][:100]
    sentence = refused()
    assert "tiny 1.0 on the package index said: pip finds no tiny 1.0" in sentence
    assert "example.org said: the file came cut short or changed (sha256" in sentence
    assert "run `python -m companion data fetch tiny` again" in sentence
    assert shop.left() == []


def test_a_wrong_member_hash_is_named(shop) -> None:
    shop.offer(shop.files | {"tiny-1.0/data.noun": b"another file"})
    assert "tiny-1.0/data.noun in tiny.tar.gz is not the expected file" in refused()
    assert shop.left() == []


def test_a_missing_member_is_named(shop) -> None:
    shop.offer({"tiny-1.0/data.noun": shop.files["tiny-1.0/data.noun"]})
    assert "tiny.tar.gz has no tiny-1.0/index.sense" in refused()
    assert shop.left() == []


def test_a_right_hash_on_no_archive_is_named(shop) -> None:
    shop.shelves = {shop.first: b"hello", shop.second: b"hello"}
    shop.describe(b"hello")
    assert "tiny.tar.gz is no whole zip or tar archive" in refused()


def fails_with(number: int):
    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    return fail


@pytest.mark.parametrize(
    ("where", "name"), [(np, "savez_compressed"), (shutil, "copyfileobj"), (tempfile, "TemporaryDirectory")]
)
def test_a_full_disk_is_said_and_leaves_nothing(shop, monkeypatch, where, name) -> None:
    monkeypatch.setattr(where, name, fails_with(errno.ENOSPC))
    sentence = refused()
    assert "the disk of" in sentence
    assert "is full; free some space" in sentence
    assert shop.left() == []
    assert shop.second not in shop.asked


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS])
@pytest.mark.parametrize("name", ["mkdir", "replace"])
def test_a_read_only_cache_is_said_and_leaves_nothing(shop, monkeypatch, name, number) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Path, name, fails_with(number))
        sentence = refused()
    assert "cannot be written; make it writable, or set COMPANION_DATA" in sentence
    assert shop.left() == []


def test_a_cache_that_is_a_file_is_said(shop, monkeypatch, tmp_path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("COMPANION_DATA", str(tmp_path / "file"))
    assert "set COMPANION_DATA to another folder" in refused()


@pytest.mark.parametrize("when", ["download", "reduce", "store"])
def test_an_interrupt_stays_an_interrupt_with_a_sentence_and_leaves_nothing(shop, monkeypatch, when) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    shop.shelves[shop.first] = KeyboardInterrupt() if when == "download" else shop.shelves[shop.first]
    if when == "reduce":
        monkeypatch.setattr("companion.data.wordnet.reduce_wordnet", interrupt)
    if when == "store":
        monkeypatch.setattr(np, "savez_compressed", interrupt)
    with pytest.raises(KeyboardInterrupt, match="Fetching Tiny WordNet was interrupted; nothing is left half-written"):
        fetch("tiny")
    assert shop.left() == []


def test_a_builder_that_fails_is_our_defect_and_said_so(shop, monkeypatch) -> None:
    monkeypatch.setattr("companion.data.wordnet.reduce_wordnet", lambda files: 1 / 0)
    sentence = refused()
    assert "could not be reduced (ZeroDivisionError: division by zero); this is a defect of companion" in sentence
    assert shop.left() == []


def test_a_failed_renewal_keeps_what_was_there(shop, monkeypatch) -> None:
    fetch("tiny")
    before = path("tiny").read_bytes()
    shop.describe(shop.shelves[shop.first], revision=2)
    monkeypatch.setattr(np, "savez_compressed", fails_with(errno.ENOSPC))
    refused()
    assert (shop.folder / "tiny.npz").read_bytes() == before
    assert status("tiny") == "outdated"


def test_a_missing_set_is_told_how_to_fetch_it(shop) -> None:
    assert status("tiny") == "missing"
    with pytest.raises(
        CompanionError, match=r"^Tiny WordNet is not in the cache; run `python -m companion data fetch tiny`\.$"
    ):
        path("tiny")


@pytest.mark.parametrize("harm", ["cut", "changed", "no stamp", "broken stamp"])
def test_a_corrupt_cache_is_seen_told_and_repaired(shop, harm) -> None:
    file = fetch("tiny")
    stamp, content = file.with_suffix(".json"), file.read_bytes()
    {
        "cut": lambda: file.write_bytes(content[:-9]),
        "changed": lambda: file.write_bytes(content[:-1] + b"?"),
        "no stamp": stamp.unlink,
        "broken stamp": lambda: stamp.write_text("{"),
    }[harm]()
    assert status("tiny") == "corrupt"
    with pytest.raises(CompanionError, match=r"is damaged in the cache.*run `python -m companion data fetch tiny`"):
        verify("tiny")
    assert fetch("tiny").read_bytes() == content
    assert status("tiny") == "cached"


def test_a_set_made_by_an_older_card_is_outdated_and_fetched_anew(shop) -> None:
    fetch("tiny")
    shop.describe(shop.shelves[shop.first], revision=2)
    assert status("tiny") == "outdated"
    with pytest.raises(CompanionError, match="as an older version made it; run"):
        path("tiny")
    fetch("tiny")
    assert status("tiny") == "cached"


def test_the_workshop_of_a_killed_process_is_swept_after_a_day(shop) -> None:
    for name, age in {".fetch-old": 100_000, ".fetch-new": 10}.items():
        (shop.folder / name).mkdir(parents=True)
        os.utime(shop.folder / name, (time.time() - age,) * 2)
    fetch("tiny")
    assert shop.left() == [".fetch-new", *WHOLE]


REAL_CARD = """
title = "Tiny WordNet of one's own"
kind = "data"
tier = "real"
license = "ours"
attribution = "us"
role = "a test"
size = "small"
split_rule = "none"
homepage = "https://example.org"
files = { "a.txt" = "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb" }
"""


def test_a_set_that_the_user_brings_is_found_checked_and_never_fetched(shop, monkeypatch, tmp_path) -> None:
    shop.write_card("mine", REAL_CARD)
    monkeypatch.delenv("COMPANION_REAL", raising=False)
    assert status("mine") == "missing"
    assert "set COMPANION_REAL to a folder that holds mine/ (see https://example.org)" in refused("mine")
    (tmp_path / "real" / "mine").mkdir(parents=True)
    monkeypatch.setenv("COMPANION_REAL", str(tmp_path / "real"))
    (tmp_path / "real" / "mine" / "a.txt").write_text("a")
    assert path("mine") == tmp_path / "real" / "mine"
    (tmp_path / "real" / "mine" / "a.txt").write_text("b")
    assert status("mine") == "corrupt"
    with pytest.raises(CompanionError, match="has files that are not the published ones"):
        path("mine")
