"""MovieLens in its published layouts, tiny; and the real sets where they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from companion.data import card, real_dir, status
from companion.data.ratings import ml1m, ml100k, ml_latest_small, reduce_ml1m, reduce_ml100k
from companion.errors import CompanionError

EVENTS = [(7, 30, 5, 100), (3, 10, 1, 50), (7, 10, 4, 100)]
WANTED = {"user": [1, 0, 1], "item": [1, 0, 0], "time": [100, 50, 100], "titles": ["Heat", "Alien, The"]}


def write(folder: Path, texts: dict[str, str]) -> dict[str, Path]:
    files = {name: folder / name for name in texts}
    for name, text in texts.items():
        files[name].write_text(text, "latin-1")
    return files


def rows(between: str) -> str:
    return "\n".join(between.join(map(str, event)) for event in EVENTS) + "\n"


@pytest.mark.parametrize(
    ("reduce", "texts"),
    [
        (reduce_ml100k, {"ml-100k.inter": "u:token\ti\tr\tt\n" + rows("\t"),
                         "ml-100k.item": "item\ttitle\tyear\n10\tHeat\t1995\n30\tAlien, The\t1979\n"}),
        (reduce_ml100k, {"u.data": rows("\t"), "u.item": "10|Heat (1995)|x\n30|Alien, The (1979)|y\n"}),
        (reduce_ml1m, {"ratings.dat": rows("::"),
                       "movies.dat": "10::Heat (1995)::Action\n30::Alien, The (1979)::Horror\n"}),
    ],
)  # fmt: skip
def test_every_layout_gives_the_same_arrays(reduce, texts: dict[str, str], tmp_path: Path) -> None:
    found = reduce(write(tmp_path, texts))
    assert {key: value.tolist() for key, value in found.items()} == WANTED


def test_ratings_are_not_kept(tmp_path: Path) -> None:
    texts = {"u.data": rows("\t"), "u.item": "10|Heat (1995)\n30|Alien, The (1979)\n"}
    assert set(reduce_ml100k(write(tmp_path, texts))) == {"user", "item", "time", "titles"}


@pytest.mark.skipif(status("ml100k") != "cached", reason="MovieLens-100K is not in the cache: make data")
def test_movielens_100k_is_as_its_card_says() -> None:
    data, facts = ml100k(), card("ml100k").facts
    assert len(np.unique(data.user)) == data.user.max() + 1 == facts["users"]
    assert len(np.unique(data.item)) == len(data.titles) == facts["items"]
    assert len(data.time) == facts["events"]
    assert data.titles[0] == "Toy Story"
    assert (data.titles != "").all()


@pytest.mark.skipif(status("ml1m") != "cached", reason="MovieLens-1M was not fetched")
def test_movielens_1m_splits_as_the_papers_code_does() -> None:
    from companion.rim.split import make_split

    data, facts = ml1m(), card("ml1m").facts
    assert (len(np.unique(data.user)), len(data.titles), len(data.time)) == (6040, 3706, 1000209)
    split = make_split(data, "second", 0)
    assert int((~split.group_a).sum()) == facts["test users"]
    assert abs(int(split.after[~split.group_a].sum()) / facts["test events"] - 1) < 0.1  # the groups are our draw


def test_a_set_that_is_not_there_says_how_to_bring_it(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.delenv("COMPANION_REAL", raising=False)
    with pytest.raises(CompanionError, match="set COMPANION_REAL to a folder that holds ml_latest_small/"):
        ml_latest_small()
    (tmp_path / "ml_latest_small").mkdir()
    monkeypatch.setenv("COMPANION_REAL", str(tmp_path))
    with pytest.raises(CompanionError, match="lacks the file"):
        ml_latest_small()


@pytest.mark.real
def test_latest_small_is_as_its_card_says() -> None:
    if real_dir() is None or not (real_dir() / "ml_latest_small").is_dir():
        pytest.skip("COMPANION_REAL holds no ml_latest_small")
    facts = card("ml_latest_small").facts
    whole, kept = ml_latest_small(1), ml_latest_small()
    assert (whole.user.max() + 1, len(whole.titles), len(whole.time)) == (610, facts["items"], facts["events"])
    assert len(kept.titles) == facts["items with ten events"]
    assert np.bincount(kept.item).min() >= 10
