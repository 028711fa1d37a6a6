"""Trajectories: football by broadcast tracking, and pedestrians seen from above. Loaders never download."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from companion.data.cache import brought, path
from companion.data.catalog import card
from companion.errors import CompanionError

MATCH_FRAMES, MATCH_FACTS = "skillcorner_structured_data.json", "skillcorner_match_data.json"
EVERY = 4  # frames of 0.1 s
GONE = -32768
BALL, HOME, AWAY = 0, 1, 2
SCENES: Mapping[str, tuple[str, ...]] = {
    "ucy": ("crowds_zara01", "crowds_zara03", "students001", "students003", "uni_examples"),
    "eth_ucy": ("biwi_eth", "biwi_hotel", "crowds_zara01", "crowds_zara02", "crowds_zara03", "students001",
                "students003", "uni_examples"),
}  # fmt: skip
FRAME_UNIT = 10  # of the pedestrians' files: 0.4 s


@dataclass(frozen=True)
class Tracks:
    """Who was where at every 0.4 s: positions [T, A, 2] float32 in meters, NaN where somebody is not seen.

    side [A] int64: 0 the ball, 1 and 2 the teams; all 1 among pedestrians. agent [A] int64: the publisher's numbers.
    period [T] int64: the half of a match, from 1.
    """

    positions: np.ndarray
    side: np.ndarray
    agent: np.ndarray
    period: np.ndarray


# ---------------------------------------------------------------- football


def reduce_match(files: Mapping[str, Path]) -> dict[str, np.ndarray]:
    """The published frames of a match as centimeters [T, A, 2] int16, at every 0.4 s; who is seen, and the half."""
    facts = json.loads(files[MATCH_FACTS].read_text(encoding="utf-8"))
    return _reduced(json.loads(files[MATCH_FRAMES].read_text(encoding="utf-8")), facts)


def _reduced(frames: list[dict[str, Any]], facts: dict[str, Any]) -> dict[str, np.ndarray]:
    sides = _sides(facts)
    frames = [frame for frame in frames if frame["period"] and frame["frame"] % EVERY == 0]
    column = {agent: i for i, agent in enumerate(sides)}
    centimeters = np.full((len(frames), len(sides), 2), GONE, dtype=np.int16)
    for row, frame in enumerate(frames):
        for seen in frame["data"]:
            if seen.get("trackable_object") in column:
                centimeters[row, column[seen["trackable_object"]]] = round(100 * seen["x"]), round(100 * seen["y"])
    ever = (centimeters[:, :, 0] != GONE).any(0)
    return {
        "centimetres": centimeters[:, ever],
        "side": np.array([side for side, there in zip(sides.values(), ever, strict=True) if there], dtype=np.int8),
        "agent": np.array([agent for agent, there in zip(sides, ever, strict=True) if there], dtype=np.int32),
        "period": np.array([frame["period"] for frame in frames], dtype=np.int8),
    }


def _sides(facts: dict[str, Any]) -> dict[int, int]:
    """The ball first, then every player by team; the referee is left out."""
    home = facts["home_team"]["id"]
    players = sorted((p["team_id"] != home, p["trackable_object"]) for p in facts["players"])
    return {facts["ball"]["trackable_object"]: BALL, **{agent: AWAY if away else HOME for away, agent in players}}


def football() -> Tracks:
    """The match of the card `skillcorner_2417`: both halves, the ball in column 0."""
    with np.load(path("skillcorner_2417")) as arrays:
        return _tracks(dict(arrays))


def match(number: int) -> Tracks:
    """A further match of the user's own copy of the open data, in the publisher's layout: a folder a match."""
    folder = path("skillcorner_matches") / str(number)
    files = {MATCH_FACTS: folder / "match_data.json", MATCH_FRAMES: folder / "structured_data.json"}
    for file in files.values():
        if not file.is_file():
            raise CompanionError(
                f"Match {number} lacks the file {file.name}; get it from {card('skillcorner_matches').homepage}."
            )
    return _tracks(reduce_match(files))


def _tracks(arrays: Mapping[str, np.ndarray]) -> Tracks:
    centimeters = arrays["centimetres"]
    positions = np.where(centimeters == GONE, np.nan, centimeters / np.float32(100)).astype(np.float32)
    return Tracks(positions, *(arrays[name].astype(np.int64) for name in ("side", "agent", "period")))


# ---------------------------------------------------------------- pedestrians


def pedestrians(scene: str, collection: str = "ucy") -> Tracks:
    """One scene of the user's own files: a table of frame, person, x, y (meters), frames in steps of 10 = 0.4 s.

    collection: "ucy" or "eth_ucy"; SCENES names the scenes of both.
    """
    if scene not in SCENES.get(collection, ()):
        known = "; ".join(f"{name}: {', '.join(scenes)}" for name, scenes in SCENES.items())
        raise CompanionError(f"There is no scene {scene!r} in {collection!r}; there are {known}.")
    return _gridded(np.loadtxt(brought(collection, f"{scene}.txt")))


def _gridded(table: np.ndarray) -> Tracks:
    frame = np.rint(table[:, 0] / FRAME_UNIT).astype(np.int64)
    agents, column = np.unique(table[:, 1].astype(np.int64), return_inverse=True)
    positions = np.full((frame.max() - frame.min() + 1, len(agents), 2), np.nan, dtype=np.float32)
    positions[frame - frame.min(), column] = table[:, 2:4]
    return Tracks(positions, np.ones(len(agents), dtype=np.int64), agents, np.ones(len(positions), dtype=np.int64))


def walking_groups(scene: str) -> list[set[int]]:
    """Who walks with whom, by hand annotation: sets of person numbers; for crowds_zara01 and students003."""
    names = {"crowds_zara01": "groups_zara01.txt", "students003": "groups_students003.txt"}
    if scene not in names:
        raise CompanionError(f"scene = {scene!r} has no annotated groups; use one of {', '.join(names)}.")
    lines = brought("ucy", names[scene]).read_text(encoding="ascii").splitlines()
    return [{int(number) for number in line.split()} for line in lines if len(line.split()) > 1]
