"""Windows of real tracks as targets: eight frames seen, twelve to come, the ball and the nearest as neighbours."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional

from companion.data.trajectories import BALL, Tracks
from companion.trajectory_attribution.method import Batch
from companion.trajectory_attribution.world import FRAME, FUTURE, HISTORY, targets_of

BALL_SLOT, OPPONENT, MATE = "ball", "opponents", "team-mates"
KINDS = (BALL_SLOT, OPPONENT, MATE)
LENGTH = HISTORY + FUTURE


def windows(
    tracks: Tracks, slots: int, radius: float, stride: int, between: tuple[float, float] = (0, np.inf)
) -> tuple[Batch, np.ndarray, np.ndarray]:
    """Every unbroken window of somebody who is not the ball: N targets; who sits in each slot, and who they are.

    The last two are columns of `tracks`, (N, slots) and (N,) int64.

    Where there is a ball it has slot 0; then come the nearest others within `radius` metres whose past is whole.
    stride: frames between starts. between: minutes of the recording in which whole windows must lie.
    """
    start, ego = np.nonzero(_whole(tracks, LENGTH)[::stride])
    start, at = start * stride, FRAME * np.arange(len(tracks.positions)) / 60
    fits = (at[start] >= between[0]) & (at[start + LENGTH - 1] < between[1]) & (tracks.side[ego] != BALL)
    start, ego = start[fits], ego[fits]
    steps = start[:, None] + np.arange(LENGTH)
    paths = tracks.positions[steps, ego[:, None]]
    seen, mask = _nearest(tracks, start, ego, slots, radius)
    others = tracks.positions[steps[:, None, :HISTORY], seen[:, :, None]]
    kind = _kinds(tracks.side, ego, seen)
    own, theirs = torch.from_numpy(paths), torch.from_numpy(np.nan_to_num(others))
    return targets_of(own, theirs, kind, torch.from_numpy(mask), torch.from_numpy(start)), seen, ego


def _whole(tracks: Tracks, length: int) -> np.ndarray:
    """[starts, A] bool: are the next `length` frames all there, and of one half?"""
    seen = np.isfinite(tracks.positions[:, :, 0]).astype(np.int64)
    total = np.vstack([np.zeros((1, seen.shape[1]), dtype=np.int64), seen.cumsum(0)])
    one_half = tracks.period[length - 1 :] == tracks.period[: len(tracks.period) - length + 1]
    return (total[length:] - total[:-length] == length) & one_half[:, None]


def _nearest(
    tracks: Tracks, start: np.ndarray, ego: np.ndarray, slots: int, radius: float
) -> tuple[np.ndarray, np.ndarray]:
    """Columns of the agents in each slot and whether the slot is filled, both (N, slots)."""
    there = _whole(tracks, HISTORY)[start]
    now = tracks.positions[start + HISTORY - 1]
    distance = np.linalg.norm(now - now[np.arange(len(start)), ego][:, None], axis=-1)
    far = ~there | ~(distance <= radius)
    distance = np.where(far, np.inf, distance)
    distance[np.arange(len(start)), ego] = np.inf
    ball = tracks.side == BALL
    distance[:, ball] = -1.0  # the first slot is the ball's, wherever the ball is
    seen = np.argsort(distance, axis=1, kind="stable")[:, :slots]
    mask = np.isfinite(np.take_along_axis(distance, seen, axis=1))
    mask[:, 0] &= np.take_along_axis(there | ~ball, seen, axis=1)[:, 0]
    return seen, mask


def _kinds(side: np.ndarray, ego: np.ndarray, seen: np.ndarray) -> torch.Tensor:
    """One-hot kinds (N, K, 3) float32: ball, opponent, team-mate."""
    theirs, mine = side[seen], side[ego][:, None]
    code = np.where(theirs == BALL, 0, np.where(theirs == mine, 2, 1))
    return functional.one_hot(torch.from_numpy(code), len(KINDS)).float()
