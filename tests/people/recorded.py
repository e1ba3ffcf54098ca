"""Recorded detections, truth and another tracker's tracks; data/README.md says of what."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_reid.evaluation.mot import NumberedBoxes
from edge_reid.people.boxes import Detections
from edge_reid.people.tracking import Tracker

DATA = Path(__file__).parent / "data"
TABLES: dict[str, NDArray[np.int16]] = dict(np.load(DATA / "recorded.npz"))
PEER: dict[str, dict[str, float]] = json.loads((DATA / "peer.json").read_text())
RATES = {"visible": 15.0, "thermal": 15.0, "clip": 10.0}


def detections(name: str) -> list[Detections]:
    """Of each frame, the first one first."""
    table = TABLES[f"{name}_detections"]
    frames = [table[table[:, 0] == frame] for frame in range(1, table[:, 0].max() + 1)]
    return [Detections(rows[:, 1:5] / np.float32(10), rows[:, 5] / np.float32(1000)) for rows in frames]


def numbered(name: str) -> dict[int, NumberedBoxes]:
    """Truth or tracks by frame."""
    table = TABLES[name]
    corners = np.concatenate([table[:, 2:4], table[:, 2:4] + table[:, 4:6]], axis=1) / np.float32(10)
    return {
        int(frame): NumberedBoxes(
            table[rows, 1].astype(np.int64), corners[rows].astype(np.float32), table[rows, 6] / 1000.0
        )
        for frame in np.unique(table[:, 0])
        for rows in [np.flatnonzero(table[:, 0] == frame)]
    }


def follow(
    found: list[Detections], times: NDArray[np.float64], *, every: int = 1, dropped: int = 0
) -> dict[int, NumberedBoxes]:
    """Confirmed tracks by frame; of `every` frames one is searched, and of `dropped` one never comes."""
    tracker, shown = Tracker(), {}
    for index, (detected, time) in enumerate(zip(found, times, strict=True)):
        if dropped and index % dropped == 1:
            continue
        tracker.step(detected if index % every == 0 else None, float(time))
        tracks = [track for track in tracker.tracks if track.phase == "confirmed"]
        if tracks:
            numbers = np.array([track.number for track in tracks])
            shown[index + 1] = NumberedBoxes(numbers, np.stack([track.box for track in tracks]), np.ones(len(tracks)))
    return shown
