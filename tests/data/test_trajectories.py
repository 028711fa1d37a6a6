"""Football and pedestrians: the formats by hand, the real files where they are."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from companion.data import card, cards, catalog, download, fetch, real_dir, status
from companion.data.trajectories import (
    AWAY,
    BALL,
    HOME,
    MATCH_FACTS,
    MATCH_FRAMES,
    SCENES,
    football,
    match,
    pedestrians,
    reduce_match,
    walking_groups,
)
from companion.errors import CompanionError

needs_match = pytest.mark.skipif(
    status("skillcorner_2417") != "cached", reason="the match is not in the cache: make data"
)
FACTS = {
    "home_team": {"id": 7},
    "ball": {"trackable_object": 55},
    "players": [{"team_id": 9, "trackable_object": 3}, {"team_id": 7, "trackable_object": 4},
                {"team_id": 7, "trackable_object": 5}],
}  # fmt: skip


def frame(number: int, period: int | None, **seen: tuple[float, float]) -> dict:
    data = [{"trackable_object": int(name[1:]), "x": x, "y": y} for name, (x, y) in seen.items()]
    return {"frame": number, "period": period, "data": data}


FRAMES = [
    frame(0, None, o3=(0, 0)),
    frame(4, 1, o55=(1.234, -2), o3=(-50.006, 33), o99=(0, 0)),
    frame(5, 1, o4=(9, 9)),
    frame(8, 2, o4=(0, 0.5)),
]


def match_files(folder: Path, frames: str = MATCH_FRAMES, facts: str = MATCH_FACTS) -> dict[str, Path]:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / frames).write_text(json.dumps(FRAMES))
    (folder / facts).write_text(json.dumps(FACTS))
    return {MATCH_FRAMES: folder / frames, MATCH_FACTS: folder / facts}


@pytest.fixture
def brought(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for data that the user brings, with the sets' folders, empty."""
    for name in ("ucy", "eth_ucy", "skillcorner_matches"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("COMPANION_REAL", str(tmp_path))
    return tmp_path


def test_a_match_becomes_centimetres_every_fourth_frame_without_the_referee(tmp_path: Path) -> None:
    arrays = reduce_match(match_files(tmp_path))
    assert arrays["agent"].tolist() == [55, 4, 3]  # the ball, home, away; nobody ever saw number 5
    assert arrays["side"].tolist() == [BALL, HOME, AWAY]
    assert arrays["period"].tolist() == [1, 2]
    assert arrays["centimetres"][0].tolist() == [[123, -200], [-32768, -32768], [-5001, 3300]]
    assert arrays["centimetres"][1, 1].tolist() == [0, 50]


def test_the_carrier_s_format_is_fetched_and_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import zipfile
    from dataclasses import replace

    from companion.data import cache

    chosen = card("skillcorner_2417")
    files, wheel = match_files(tmp_path), tmp_path / "kloppy.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for member in chosen.sources[0].members:
            archive.write(files[Path(member).name], member)
    source = replace(
        chosen.sources[0], sha256=cache.sha256(wheel), members=dict.fromkeys(chosen.sources[0].members, "")
    )
    monkeypatch.setattr(catalog, "cards", lambda: cards() | {chosen.name: replace(chosen, sources=(source,))})
    monkeypatch.setenv("COMPANION_DATA", str(tmp_path / "cache"))
    monkeypatch.setattr(download, "download", lambda source, workshop: wheel)
    fetch(chosen.name)
    tracks = football()
    assert np.isnan(tracks.positions[0, 1]).all()
    assert tracks.positions[0, 0] == pytest.approx([1.23, -2.0])


def test_a_changed_carrier_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:

    monkeypatch.setenv("COMPANION_DATA", str(tmp_path / "cache"))
    (tmp_path / "wheel").write_bytes(b"another wheel")
    monkeypatch.setattr(download, "download", lambda source, workshop: tmp_path / "wheel")
    with pytest.raises(CompanionError, match=r"kloppy 3\.19\.1 on the package index said: the file came cut short"):
        fetch("skillcorner_2417")
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_further_match_is_read_from_the_publishers_layout(brought: Path) -> None:
    match_files(brought / "skillcorner_matches" / "42", "structured_data.json", "match_data.json")
    assert match(42).positions.shape == (2, 3, 2)
    with pytest.raises(CompanionError, match=r"Match 43 lacks the file match_data\.json; get it from https://"):
        match(43)


def test_pedestrians_stand_on_a_grid_of_frames(brought: Path) -> None:
    (brought / "eth_ucy" / "biwi_eth.txt").write_bytes(b"")
    rows = ["780.0\t5.0\t1.5\t2.5", "790.0\t5.0\t2.0\t2.5", "810.0\t2.0\t0.0\t-1.0"]
    table = "\n".join(rows)
    tracks = _read(brought, table)
    assert tracks.positions.shape == (4, 2, 2)
    assert tracks.agent.tolist() == [2, 5]
    assert tracks.positions[1, 1].tolist() == [2.0, 2.5]
    assert np.isnan(tracks.positions[2]).all()
    assert tracks.positions[3, 0].tolist() == [0.0, -1.0]


def _read(folder: Path, table: str):
    from companion.data import trajectories

    file = folder / "scene.txt"
    file.write_text(table)
    return trajectories._gridded(np.loadtxt(file))


def test_unknown_scenes_are_told_the_known_ones() -> None:
    with pytest.raises(CompanionError, match=r"no scene 'hotel' in 'ucy'; there are ucy: crowds_zara01"):
        pedestrians("hotel")
    with pytest.raises(CompanionError, match="no annotated groups; use one of crowds_zara01, students003"):
        walking_groups("students001")


def test_a_folder_that_lacks_a_scene_or_holds_another_file_is_told(brought: Path) -> None:
    with pytest.raises(CompanionError, match=r"UCY crowds, with walking groups lacks the file students001\.txt"):
        pedestrians("students001")
    (brought / "ucy" / "students001.txt").write_text("0 1 2 3\n")
    with pytest.raises(CompanionError, match="has files that are not the published ones"):
        pedestrians("students001")


@needs_match
def test_the_match_is_as_its_card_says() -> None:
    tracks, facts = football(), card("skillcorner_2417").facts
    assert tracks.positions.shape == (facts["frames"], facts["players"] + 1, 2)
    assert np.unique(tracks.period).tolist() == list(range(1, int(facts["halves"]) + 1))
    assert (tracks.side == BALL).tolist() == [True] + [False] * int(facts["players"])
    steps = np.linalg.norm(np.diff(tracks.positions[:, 1:], axis=0), axis=-1)
    assert np.nanpercentile(steps, 99) < 0.4 * 10  # metres in 0.4 s: nobody runs faster than 10 m/s


@pytest.mark.real
@pytest.mark.parametrize("scene", SCENES["ucy"])
def test_scenes_are_as_their_card_says(scene: str) -> None:
    if real_dir() is None or not (real_dir() / "ucy").is_dir():
        pytest.skip("COMPANION_REAL names no folder with ucy/")
    tracks, facts = pedestrians(scene), card("ucy").facts
    assert len(tracks.agent) == facts[f"people in {scene}"]
    steps = np.linalg.norm(np.diff(tracks.positions, axis=0), axis=-1)
    assert np.nanmedian(steps) < 0.4 * 2


@pytest.mark.real
def test_groups_walk_close_together() -> None:
    if real_dir() is None or not (real_dir() / "ucy").is_dir():
        pytest.skip("COMPANION_REAL names no folder with ucy/")
    tracks = pedestrians("crowds_zara01")
    column = {int(agent): i for i, agent in enumerate(tracks.agent)}
    pairs = [sorted(group)[:2] for group in walking_groups("crowds_zara01")]
    apart = [
        np.nanmedian(np.linalg.norm(tracks.positions[:, column[a]] - tracks.positions[:, column[b]], axis=-1))
        for a, b in pairs
    ]
    assert np.median(apart) < 1.2
