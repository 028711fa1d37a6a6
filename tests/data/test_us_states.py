"""The states' graph and temperatures, and DG-15: the formats by hand, the real files where they are."""

from __future__ import annotations

from pathlib import Path

import networkx as nx
import numpy as np
import pytest

from companion.data import card, cards, catalog, download, fetch, real_dir, status
from companion.data import us_states as module
from companion.data.us_states import STATES, published_dg15, reduce_us48, state_temperatures, us48
from companion.errors import CompanionError

needs_us48 = pytest.mark.skipif(status("us48") != "cached", reason="US-48 is not in the cache: make data")
WARM = [f"{40 + month:.2f}" for month in range(12)]


def gal(pairs: list[tuple[str, str]]) -> str:
    """A list of neighbours in the published format, for these pairs of states."""
    lines = ["48"]
    for i, state in enumerate(STATES):
        others = [STATES.index(b if a == state else a) for a, b in pairs if state in (a, b)]
        lines += [f"{i} {len(others)}", " ".join(map(str, others))]
    return "\n".join(lines) + "\n"


def line(area: int, year: int, values: list[str], element: str = "02") -> str:
    """A line of the published table of temperatures."""
    return f"{area:03d}0{element}{year}" + "".join(f"{value:>7}" for value in values) + "   "


@pytest.fixture
def brought(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for data that the user brings, with the two sets' folders, empty."""
    for name in ("noaa_climdiv_states", "grda_dg15"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("COMPANION_REAL", str(tmp_path))
    return tmp_path


def needs_real(name: str) -> None:
    """Skips where the user has not brought the set."""
    folder = real_dir()
    if folder is None or not (folder / name).is_dir():
        pytest.skip(f"COMPANION_REAL names no folder with {name}/")


def test_neighbours_become_edges_and_single_points_go(tmp_path: Path) -> None:
    file = tmp_path / "states48.gal"
    file.write_text(gal([("AL", "GA"), ("AZ", "CO"), ("NM", "UT"), ("FL", "GA"), ("AZ", "UT")]))
    edges = reduce_us48({file.name: file})["edges"]
    assert [(STATES[a], STATES[b]) for a, b in edges.T.tolist()] == [("AL", "GA"), ("AZ", "UT"), ("FL", "GA")]


def test_a_changed_carrier_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:

    monkeypatch.setenv("COMPANION_DATA", str(tmp_path / "cache"))
    (tmp_path / "wheel").write_bytes(b"another wheel")
    monkeypatch.setattr(download, "download", lambda source, workshop: tmp_path / "wheel")
    with pytest.raises(CompanionError, match=r"libpysal 4\.14\.1 on the package index said: the file came cut short"):
        fetch("us48")
    assert list((tmp_path / "cache").iterdir()) == []


def test_the_carrier_s_format_is_fetched_and_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import zipfile
    from dataclasses import replace

    from companion.data import cache

    chosen = card("us48")
    (member,) = chosen.sources[0].members
    wheel = tmp_path / "libpysal.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(member, gal([("WI", "MI"), ("AZ", "CO")]))
    source = replace(chosen.sources[0], sha256=cache.sha256(wheel), members={member: ""})
    monkeypatch.setattr(catalog, "cards", lambda: cards() | {"us48": replace(chosen, sources=(source,))})
    monkeypatch.setenv("COMPANION_DATA", str(tmp_path / "cache"))
    monkeypatch.setattr(download, "download", lambda source, workshop: wheel)
    fetch("us48")
    assert np.argwhere(us48()).tolist() == [[STATES.index("MI"), STATES.index("WI")], [46, 19]]


@needs_us48
def test_the_states_are_as_their_card_says() -> None:
    adjacency, facts = us48(), card("us48").facts
    assert adjacency.shape == (facts["states"],) * 2
    assert adjacency.sum() == 2 * facts["borders"]
    assert (adjacency == adjacency.T).all()
    assert not adjacency.diagonal().any()
    assert nx.is_connected(nx.from_numpy_array(adjacency))


@needs_us48
@pytest.mark.parametrize(
    ("state", "neighbours"),
    [("ME", {"NH"}), ("AZ", {"CA", "NV", "UT", "NM"}), ("FL", {"AL", "GA"}), ("UT", {"AZ", "CO", "ID", "NV", "WY"})],
)
def test_borders_that_everybody_knows(state: str, neighbours: set[str]) -> None:
    assert {STATES[i] for i in np.flatnonzero(us48()[STATES.index(state)])} == neighbours


def test_temperatures_are_read_by_state_year_and_month(brought: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STATES", ("AL", "AZ"))
    cold = [f"{-value:.2f}" for value in range(12)]
    lines = [line(2, 1896, cold), line(1, 1895, WARM), line(1, 1896, WARM), line(2, 1895, WARM)]
    others = [line(1, 1895, cold, element="01"), line(101, 1895, cold), line(50, 1896, cold), line(1, 1897, cold)]
    (brought / "noaa_climdiv_states" / "climdiv-tmpcst-v1.0.0-20200106").write_text("\n".join(lines + others))
    values = state_temperatures(1895, 1896)
    assert values.shape == (2, 2, 12)
    assert values[1, 1].tolist() == [-value for value in range(12)]
    assert values[0].tolist() == [[40 + month for month in range(12)]] * 2


def test_a_missing_month_and_a_missing_year_are_named(brought: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STATES", ("AL",))
    file = brought / "noaa_climdiv_states" / "climdiv-tmpcst-v1.0.0-20200106"
    file.write_text("\n".join([line(1, 1895, WARM), line(1, 1896, [*WARM[:5], "-99.90", *WARM[6:]])]))
    with pytest.raises(CompanionError, match="no temperature of AL for month 6 of 1896; ask for years"):
        state_temperatures(1895, 1896)
    with pytest.raises(CompanionError, match="no temperature of AL for month 1 of 1894"):
        state_temperatures(1894, 1895)
    assert state_temperatures(1895, 1895).shape == (1, 1, 12)
    with pytest.raises(CompanionError, match="first = 1896 comes after last = 1895"):
        state_temperatures(1896, 1895)


@pytest.mark.parametrize("names", [(), ("climdiv-tmpcst-v1.0.0-20200106", "climdiv-tmpcst-v1.0.0-20200206")])
def test_none_or_two_tables_of_temperatures_are_refused(brought: Path, names: tuple[str, ...]) -> None:
    for name in names:
        (brought / "noaa_climdiv_states" / name).write_text("")
    with pytest.raises(CompanionError, match=rf"holds {len(names)} files climdiv-tmpcst-\*; it must hold one"):
        state_temperatures(1895, 1896)


@pytest.mark.parametrize(
    ("load", "name"), [(lambda: state_temperatures(1895, 1896), "noaa_climdiv_states"), (published_dg15, "grda_dg15")]
)
def test_sets_that_are_not_there_say_how_to_bring_them(load, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COMPANION_REAL", raising=False)
    with pytest.raises(CompanionError, match=f"set COMPANION_REAL to a folder that holds {name}/"):
        load()
    with pytest.raises(CompanionError, match=f"set COMPANION_REAL to a folder that holds {name}/"):
        fetch(name)


def test_a_dg15_that_lacks_its_file_or_was_changed_is_told(brought: Path) -> None:
    with pytest.raises(CompanionError, match=r"lacks the file dg15\.npz; get its arrays from https://"):
        published_dg15()
    (brought / "grda_dg15" / "dg15.npz").write_bytes(b"another file")
    with pytest.raises(CompanionError, match="has files that are not the published ones"):
        published_dg15()


@pytest.mark.real
def test_the_real_temperatures_are_as_their_card_says() -> None:
    needs_real("noaa_climdiv_states")
    values, facts = state_temperatures(1895, 2007), card("noaa_climdiv_states").facts
    assert values.shape == (facts["states"], 113, 12)
    assert values[STATES.index("NJ"), -1, 6] == facts["New Jersey, July 2007, degrees F"]
    january, july = values[:, :, 0].mean(1), values[:, :, 6].mean(1)
    assert STATES[january.argmax()] == "FL"
    assert STATES[january.argmin()] == "ND"
    assert (july - january > 20).all(), "these are degrees Fahrenheit, and July is the warmer"


@pytest.mark.real
def test_the_published_dg15_is_as_its_card_says() -> None:
    needs_real("grda_dg15")
    world, facts = published_dg15(), card("grda_dg15").facts
    assert world.data.shape == (facts["points"], 2)
    assert world.adjacency.sum() == 2 * facts["edges"]
    assert (world.adjacency == world.adjacency.T).all()
    assert set(np.argsort(world.angle)[: int(facts["sources"])]) == set(world.source_domains)
    for domain in range(int(facts["domains"])):
        assert world.label[world.domain == domain].tolist() == [0] * 50 + [1] * 50
