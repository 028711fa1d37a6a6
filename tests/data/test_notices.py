"""THIRD_PARTY.md is what the cards say, and no data of others lies in the package."""

from pathlib import Path

from companion.data import cards
from companion.data.notices import third_party

ROOT = Path(__file__).parents[2]


def test_third_party_is_fresh() -> None:
    written = (ROOT / "THIRD_PARTY.md").read_text(encoding="utf-8")
    assert written == third_party(), "run `python -m companion.data.notices > THIRD_PARTY.md`"


def test_every_set_and_its_licence_is_named() -> None:
    for card in cards().values():
        assert f"## {card.title}\n" in third_party()
        assert card.license in third_party()


def test_the_notice_of_wordnet_travels_with_it() -> None:
    text = third_party()
    assert "WordNet 3.0 Copyright 2006 by Princeton University. All rights reserved." in text
    assert "Permission to use, copy, modify and distribute" in text


def test_the_package_holds_cards_and_code_alone() -> None:
    files = [file for file in (ROOT / "companion" / "data").rglob("*") if file.is_file()]
    assert {file.suffix for file in files} <= {".py", ".toml", ".pyc"}
