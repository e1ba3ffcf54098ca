"""Where people were seen to stand, and who was seen by both cameras at one time.

Shapes: N sightings of one track; S samples of all tracks of a camera; M meetings, which are a visible and a thermal
track seen at one time. Numbers are `(., 2)` x, y in pixels of their view.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_reid.cameras.geometry import foot_points, is_cut
from edge_reid.errors import UserError
from edge_reid.people.boxes import Boxes
from edge_reid.types import MODALITIES, Modality

Numbers = NDArray[np.float64]
Rows = NDArray[np.intp]

STEP = 0.2
"""Seconds between the moments at which both views are compared."""

LONGEST_GAP = 0.5
"""Seconds without a sighting over which a track is still taken to have gone straight on."""


@dataclass(frozen=True)
class Trail:
    """Where one track's feet were: times `(N,)` in seconds, points `(N, 2)`, heights `(N,)` of its boxes in pixels."""

    times: Numbers
    points: Numbers
    heights: Numbers


class Trails:
    """The tracks of both cameras, taken down as they walk."""

    def __init__(self) -> None:
        """Start without any."""
        self.sizes: dict[Modality, tuple[int, int]] = {}
        self._sightings: dict[Modality, dict[int, list[Numbers]]] = {modality: {} for modality in MODALITIES}

    def add(self, modality: Modality, shape: tuple[int, int], time: float, tracks: Iterable[tuple[int, Boxes]]) -> None:
        """Take down the tracks of a frame.

        Args:
            modality: the camera.
            shape: (height, width) of the frame.
            time: when it was taken, in seconds on a clock that both cameras share.
            tracks: number and box `(4,)` of each one that was well seen.

        Raises:
            UserError: the frames have changed their size.
        """
        if self.sizes.setdefault(modality, shape) != shape:
            raise UserError(
                f"the {modality} camera changed its size from {self.sizes[modality]} to {shape}; start anew"
            )
        for number, box in tracks:
            # a box that the frame's edge cuts has its feet somewhere else
            inside = box[0] > 0.01 * shape[1] and box[2] < 0.99 * shape[1] and not is_cut(box[None], shape)[0]
            if inside:
                row = np.array([time, *foot_points(box[None])[0], box[3] - box[1]])
                self._sightings[modality].setdefault(number, []).append(row)

    def of(self, modality: Modality) -> list[Trail]:
        """The trails of one camera, those of a second and longer."""
        tables = (np.stack(rows) for rows in self._sightings[modality].values())
        return [Trail(table[:, 0], table[:, 1:3], table[:, 3]) for table in tables if np.ptp(table[:, 0]) >= 1.0]


@dataclass(frozen=True)
class Meetings:
    """Everybody seen by one camera with everybody seen by the other at that time, as columns of M rows."""

    couples: Rows
    """Which visible and which thermal track, as one number."""
    sightings: tuple[Rows, Rows]
    """Which visible sample and which thermal sample: of the rows with one of them, at most one is of one person."""
    times: Numbers
    visible: Numbers
    """Foot points `(M, 2)`."""
    thermal: Numbers
    speeds: Numbers
    """Of the thermal foot point `(M, 2)`, in pixels per second."""
    heights: tuple[Numbers, Numbers]
    rivals: NDArray[np.intp]
    """How many rows there are at that time; 1 where one person is in each view."""

    def __len__(self) -> int:
        """M."""
        return len(self.couples)

    def take(self, rows: Rows | NDArray[np.bool_]) -> Meetings:
        """Some of the rows."""
        return Meetings(
            self.couples[rows], (self.sightings[0][rows], self.sightings[1][rows]), self.times[rows],
            self.visible[rows], self.thermal[rows], self.speeds[rows], (self.heights[0][rows], self.heights[1][rows]),
            self.rivals[rows],
        )  # fmt: skip


def meet(visible: list[Trail], thermal: list[Trail], delay: float) -> Meetings:
    """All meetings, STEP apart, when what the visible camera shows at t, the thermal camera shows at t + `delay`."""
    first, last = min(trail.times[0] for trail in visible), max(trail.times[-1] for trail in visible)
    moments = np.arange(first, last, STEP)
    seen, there = _sample(visible, moments), _sample(thermal, moments + delay)
    # both are sorted by moment: each visible sample meets one run of thermal samples
    begins, ends = (np.searchsorted(there.moments, seen.moments, side) for side in ("left", "right"))
    counts = ends - begins
    left = np.repeat(np.arange(len(counts)), counts)
    right = np.arange(len(left)) - np.repeat(np.cumsum(counts) - counts - begins, counts)
    at = seen.moments[left]
    return Meetings(
        seen.trails[left] * len(thermal) + there.trails[right], (left, right), moments[at], seen.points[left],
        there.points[right], there.speeds[right], (seen.heights[left], there.heights[right]),
        np.bincount(at, minlength=len(moments))[at],
    )  # fmt: skip


@dataclass(frozen=True)
class _Samples:
    """All trails of a camera at common moments, as columns of S rows, sorted by moment."""

    moments: Rows
    trails: Rows
    points: Numbers
    speeds: Numbers
    heights: Numbers


def _sample(trails: list[Trail], moments: Numbers) -> _Samples:
    tables = [_table(number, trail, moments) for number, trail in enumerate(trails)]
    table = np.concatenate(tables)
    table = table[np.argsort(table[:, 0], kind="stable")]
    return _Samples(table[:, 0].astype(np.intp), table[:, 1].astype(np.intp), table[:, 2:4], table[:, 4:6], table[:, 6])


def _table(number: int, trail: Trail, moments: Numbers) -> Numbers:
    """Rows (moment, trail, x, y, speed of x, speed of y, height) where a trail is followed."""
    after = np.searchsorted(trail.times, moments)
    inside = np.flatnonzero((after > 0) & (after < len(trail.times)))
    inside = inside[(trail.times[after[inside]] - trail.times[after[inside] - 1]) <= LONGEST_GAP]
    now = moments[inside]

    def at(times: Numbers) -> Numbers:
        columns = (*trail.points.T, trail.heights)
        return np.stack([np.interp(times, trail.times, values) for values in columns], axis=1)

    speed = (at(now + STEP) - at(now - STEP))[:, :2] / (2 * STEP)
    places = at(now)
    return np.column_stack([inside, np.full(len(inside), number), places[:, :2], speed, places[:, 2]])
