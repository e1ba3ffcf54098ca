"""Following people from frame to frame: a Kalman filter each, and association in two stages.

Shapes: N boxes, T tracks. Boxes are `(N, 4)` left, top, right, bottom in pixels; states are (x, y, width, height) with
x, y the centre. Times are seconds; steps may be of any length.

The association follows ByteTrack (Zhang et al., ECCV 2022): strong detections are given to tracks first, weak ones
only to tracks still without one, and only strong ones start a track.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from edge_reid.people.boxes import Boxes, Detections, areas, intersection_over_union, intersections

STRONG = 0.5
"""Score from which a detection may start a track."""

LEAST_OVERLAP, LEAST_WEAK_OVERLAP = 0.25, 0.4
"""Of a detection with a prediction, strong and weak detections."""

CONFIRMING_HITS = 3
LOST_SECONDS = 2.0
"""Without a detection after which a track ends."""

LEAST_INSIDE = 0.6
"""Share of its box with which a track counts as hidden in someone else's: still followed, not lost."""

SAME_BOX = 0.8
"""Overlap from which a box shared with a hidden track is its owner's own after all."""

# in heights of a person (about 1.7 m), so that near and far people are treated alike; people walk steadily, while
# the boxes of moving limbs do not: a filter this slow carries two people through each other
MEASUREMENT_NOISE = 0.1
ACCELERATION_NOISE = 0.15
FIRST_SPEED = 0.8

Phase = Literal["tentative", "confirmed", "lost"]


@dataclass(eq=False)
class Track:
    """One person in one camera, from the first box to the last."""

    number: int
    state: NDArray[np.float64]
    """Centre, width, height and their speeds, `(2, 4)`."""
    covariance: NDArray[np.float64]
    """Of each coordinate with its speed: position variance, covariance, speed variance, `(3, 4)`."""
    score: float
    started: float
    seen: float
    """When it was last detected."""
    hits: int = 1
    phase: Phase = "tentative"
    detected: bool = field(default=True)
    """Whether the last step detected it; otherwise its box is a prediction."""

    @property
    def box(self) -> Boxes:
        """The filtered or predicted box `(4,)`."""
        x, y, width, height = self.state[0]
        half = np.maximum(0.5 * np.array([width, height]), 1.0)
        return np.array([x - half[0], y - half[1], x + half[0], y + half[1]], np.float32)


class Tracker:
    """The tracks of one camera."""

    def __init__(self) -> None:
        """Start without tracks; numbers count from 1."""
        self.tracks: list[Track] = []
        self._time: float | None = None
        self._count = 0

    def step(self, detections: Detections, time: float) -> list[Track]:
        """Take the detections of a frame and return the confirmed tracks that ended; `tracks` are those alive."""
        elapsed = 0.0 if self._time is None else max(time - self._time, 0.0)
        self._time = time
        for track in self.tracks:
            _predict(track, elapsed)
        strong = np.flatnonzero(detections.scores >= STRONG)
        weak = np.flatnonzero(detections.scores < STRONG)
        known = [track for track in self.tracks if track.phase != "tentative"]
        fresh = [track for track in self.tracks if track.phase == "tentative"]

        owners = _associate(known, strong, detections.boxes, LEAST_OVERLAP)
        unseen = [track for track in known if track not in owners.values() and track.phase == "confirmed"]
        owners |= _associate(unseen, weak, detections.boxes, LEAST_WEAK_OVERLAP)
        hidden = _hidden([track for track in unseen if track not in owners.values()], detections.boxes)
        left = np.array([row for row in strong if row not in owners and row not in hidden], np.intp)
        owners |= _associate(fresh, left, detections.boxes, LEAST_OVERLAP)

        for row in left:
            if row not in owners:
                self._start(detections.boxes[row], float(detections.scores[row]), time)
        for row, track in owners.items():
            track.seen, track.score = time, float(detections.scores[row])
            track.hits += 1
            # a box stretched by a second person tells nothing exact of the first: both walk on as predicted
            box = detections.boxes[row]
            if row not in hidden or intersection_over_union(track.box[None], box[None])[0, 0] >= SAME_BOX:
                _update(track, box)
        return self._settle({track.number for tracks in hidden.values() for track in tracks}, time)

    def _start(self, box: Boxes, score: float, time: float) -> None:
        self._count += 1
        state = np.stack([_centred(box), np.zeros(4)])
        height = state[0, 3]
        spread = np.array([(MEASUREMENT_NOISE * height) ** 2, 0.0, (FIRST_SPEED * height) ** 2])
        self.tracks.append(Track(self._count, state, np.tile(spread[:, None], 4), score, time, time))

    def _settle(self, hidden: set[int], time: float) -> list[Track]:
        """Give every track its phase and return the confirmed ones that ended."""
        alive, ended = [], []
        for track in self.tracks:
            track.detected = track.seen == time
            if track.detected and (track.phase == "lost" or track.hits >= CONFIRMING_HITS):
                track.phase = "confirmed"
            elif not track.detected and track.phase == "confirmed" and track.number not in hidden:
                track.phase = "lost"
            if track.detected or (track.phase != "tentative" and time - track.seen <= LOST_SECONDS):
                alive.append(track)
            elif track.phase != "tentative":
                ended.append(track)
        self.tracks = alive
        return ended


def _associate(tracks: list[Track], rows: NDArray[np.intp], boxes: Boxes, least: float) -> dict[int, Track]:
    """The track of each detection of `rows` that overlaps its prediction by `least` or more."""
    if not tracks or not len(rows):
        return {}
    overlaps = intersection_over_union(np.stack([track.box for track in tracks]), boxes[rows])
    # a pair below the bound is worth nothing, so it never pushes a good pair aside
    chosen = linear_sum_assignment(np.where(overlaps >= least, overlaps, 0.0), maximize=True)
    return {int(rows[j]): tracks[i] for i, j in zip(*chosen, strict=True) if overlaps[i, j] >= least}


def _hidden(tracks: list[Track], boxes: Boxes) -> dict[int, list[Track]]:
    """Tracks without a detection of their own that vanished into someone else's, by its row."""
    found: dict[int, list[Track]] = {}
    for track in tracks if len(boxes) else []:
        inside = intersections(track.box[None], boxes)[0] / areas(track.box[None])
        if inside.max() >= LEAST_INSIDE:
            found.setdefault(int(inside.argmax()), []).append(track)
    return found


def _centred(box: Boxes) -> NDArray[np.float64]:
    left, top, right, bottom = box.astype(np.float64)
    return np.array([0.5 * (left + right), 0.5 * (top + bottom), right - left, bottom - top])


def _predict(track: Track, elapsed: float) -> None:
    """Constant speed, white noise acceleration; the four coordinates are independent."""
    position, cross, speed = track.covariance
    noise = (ACCELERATION_NOISE * track.state[0, 3]) ** 2
    track.state[0] += elapsed * track.state[1]
    track.covariance = np.stack([
        position + 2.0 * elapsed * cross + elapsed**2 * speed + noise * elapsed**3 / 3.0,
        cross + elapsed * speed + noise * elapsed**2 / 2.0,
        speed + noise * elapsed,
    ])  # fmt: skip
    if track.phase == "lost" or not track.detected:
        track.state[1, 2:] = 0.0  # a size that shrinks unseen ends as a point


def _update(track: Track, box: Boxes) -> None:
    position, cross, speed = track.covariance
    total = position + (MEASUREMENT_NOISE * track.state[0, 3]) ** 2
    gain = np.stack([position / total, cross / total])
    track.state += gain * (_centred(box) - track.state[0])
    track.covariance = np.stack([(1.0 - gain[0]) * position, (1.0 - gain[0]) * cross, speed - gain[1] * cross])
