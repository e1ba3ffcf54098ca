"""Following people from frame to frame: a Kalman filter each, and association in two stages.

Shapes: N boxes, T tracks. Boxes are `(N, 4)` left, top, right, bottom in pixels; states are (x, y, width, height) with
x, y the centre. Times are seconds; steps may be of any length.

The association follows ByteTrack (Zhang et al., ECCV 2022): strong detections are given to tracks first, weak ones
only to tracks still without one, and only strong ones start a track.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from edge_reid.people.boxes import Boxes, Detections, areas, intersection_over_union, intersections

STRONG = 0.5
"""Score from which a detection may start a track."""

LEAST_OVERLAP = 0.25
"""Of a strong detection with the prediction of a track that was seen just before."""

LEAST_DOUBTFUL_OVERLAP = 0.4
"""Of a weak detection with a prediction, and of any with that of a lost track: whoever comes in where someone left
overlaps them too, only less."""

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
ACCELERATION_NOISE = 0.12
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
    detected: bool = True
    """Whether it was found in the last frame that was searched; otherwise its box is a prediction."""

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

    def step(self, detections: Detections | None, time: float) -> list[Track]:
        """Go on to the time of a frame; `tracks` are then those alive.

        Args:
            detections: all people in the frame. None when it was not searched: the tracks move to where they should be
                by now, and nobody is missed by that; their `phase` and `detected` stay as they were.
            time: of the frame in seconds. Steps may be of any length; a step back moves nobody.

        Returns:
            The confirmed tracks that ended: those not detected for `LOST_SECONDS`.
        """
        ended = self._predict(time)
        if detections is None:
            return ended
        strong = np.flatnonzero(detections.scores >= STRONG)
        weak = np.flatnonzero(detections.scores < STRONG)
        known = [track for track in self.tracks if track.phase != "tentative"]
        fresh = [track for track in self.tracks if track.phase == "tentative"]

        owners = _associate(known, strong, detections.boxes, LEAST_OVERLAP)
        unseen = [track for track in known if track not in owners.values() and track.phase == "confirmed"]
        owners |= _associate(unseen, weak, detections.boxes, LEAST_DOUBTFUL_OVERLAP)
        hidden = _hidden([track for track in unseen if track not in owners.values()], detections.boxes)
        left = np.array([row for row in strong if row not in owners and row not in hidden], np.intp)
        owners |= _associate(fresh, left, detections.boxes, LEAST_OVERLAP)

        for track in self.tracks:
            track.detected = False
        for row in left:
            if row not in owners:
                self._start(detections.boxes[row], float(detections.scores[row]), time)
        for row, track in owners.items():
            track.seen, track.score, track.detected = time, float(detections.scores[row]), True
            track.hits += 1
            # a box stretched by a second person tells nothing exact of the first: both walk on as predicted
            box = detections.boxes[row]
            if row not in hidden or intersection_over_union(track.box[None], box[None])[0, 0] >= SAME_BOX:
                _update(track, box)
        self._settle({track.number for tracks in hidden.values() for track in tracks})
        return ended

    def _predict(self, time: float) -> list[Track]:
        """Move the tracks, let those go that were not detected for long, and return the confirmed ones of these."""
        elapsed = 0.0 if self._time is None else max(time - self._time, 0.0)
        self._time = time
        for track in self.tracks:
            track.seen = min(track.seen, time)  # after a step back nobody was seen later than now
            _predict(track, elapsed)
        overdue = [track for track in self.tracks if time - track.seen > LOST_SECONDS]
        self.tracks = [track for track in self.tracks if track not in overdue]
        return [track for track in overdue if track.phase != "tentative"]

    def clear(self) -> list[Track]:
        """End all tracks and return the confirmed ones, as when the camera shows another picture; numbers go on."""
        ended = [track for track in self.tracks if track.phase != "tentative"]
        self.tracks = []
        return ended

    def _start(self, box: Boxes, score: float, time: float) -> None:
        self._count += 1
        state = np.stack([_centred(box), np.zeros(4)])
        height = state[0, 3]
        spread = np.array([(MEASUREMENT_NOISE * height) ** 2, 0.0, (FIRST_SPEED * height) ** 2])
        self.tracks.append(Track(self._count, state, np.tile(spread[:, None], 4), score, time, time))

    def _settle(self, hidden: set[int]) -> None:
        """Give every track its phase; a tentative one that was not detected was nobody."""
        for track in self.tracks:
            if track.detected and (track.phase == "lost" or track.hits >= CONFIRMING_HITS):
                track.phase = "confirmed"
            elif not track.detected and track.phase == "confirmed" and track.number not in hidden:
                track.phase = "lost"
        self.tracks = [track for track in self.tracks if track.detected or track.phase != "tentative"]


def _associate(tracks: list[Track], rows: NDArray[np.intp], boxes: Boxes, least: float) -> dict[int, Track]:
    """The track of each detection of `rows` that overlaps its prediction by `least` or more, a lost one by more."""
    if not tracks or not len(rows):
        return {}
    overlaps = intersection_over_union(np.stack([track.box for track in tracks]), boxes[rows])
    bounds = np.array([LEAST_DOUBTFUL_OVERLAP if track.phase == "lost" else least for track in tracks])
    # a pair below the bound is worth nothing, so it never pushes a good pair aside
    worth = np.where(overlaps >= bounds[:, None], overlaps, 0.0)
    chosen = linear_sum_assignment(worth, maximize=True)
    return {int(rows[j]): tracks[i] for i, j in zip(*chosen, strict=True) if worth[i, j] > 0.0}


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
