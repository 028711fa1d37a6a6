"""STS Benchmark: a tiny file of the same shape, and the real one where it is brought."""

from dataclasses import replace

import pytest

from companion.data import card, catalog, real_dir
from companion.data.sentences import stsb
from companion.errors import CompanionError


def test_a_line_is_two_sentences_and_a_score(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("COMPANION_REAL", str(tmp_path))
    without_hashes = {"stsb": replace(card("stsb"), files={})}
    monkeypatch.setattr(catalog, "cards", lambda: without_hashes)
    (tmp_path / "stsb").mkdir()
    (tmp_path / "stsb" / "dev.csv").write_text('A dog.,"One, a dog.",4.5\nA cat.,A car.,0\n')
    found = stsb("dev")
    assert (found.first, found.second) == (["A dog.", "A cat."], ["One, a dog.", "A car."])
    assert found.similarity.tolist() == [4.5, 0.0]


def test_an_unknown_part_is_named() -> None:
    with pytest.raises(CompanionError, match="part = 'test' is not one of train, dev"):
        stsb("test")


@pytest.mark.skipif(not (real_dir() and (real_dir() / "stsb").is_dir()), reason="STS-B is brought by the user")
def test_the_real_file_has_the_published_size() -> None:
    facts = card("stsb").facts
    assert (len(stsb("train").first), len(stsb("dev").first)) == (facts["training pairs"], facts["development pairs"])
    assert stsb("dev").similarity.min() >= 0
    assert stsb("dev").similarity.max() <= 5
