"""Pictures of the one person in view of a camera, or of two, as long as it is one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from edge_reid.cameras.sources import Frame
from edge_reid.gallery.enrolment import Shot
from edge_reid.people.boxes import areas, intersections
from edge_reid.people.detection import Detector
from edge_reid.people.tracking import Track, Tracker
from edge_reid.types import Modality

PAUSE = 0.2
"""Seconds between two pictures: closer ones show the same."""

LEAST_INSIDE = 0.95
"""Share of a box that lies in the frame: less is a person cut off."""

CHOICE = 2
"""Pictures taken for each one kept."""

LEAST_SHOTS = 3
"""Of each camera, or all that were asked for."""

Scene = Literal["nobody", "one", "several", "done"]


@dataclass
class _Camera:
    detector: Detector
    tracker: Tracker = field(default_factory=Tracker)
    subject: int | None = None
    """Number of the track that the shots show."""
    shots: list[Shot] = field(default_factory=list)
    due: float = 0.0

    @property
    def present(self) -> list[Track]:
        """Who is in view."""
        return [track for track in self.tracker.tracks if track.phase == "confirmed"]


class Sitting:
    """Collects until every camera has shown the person often enough.

    With a second person in view all pictures are thrown away, and again when a new track begins: nobody knows then
    whether it is the same person.
    """

    def __init__(self, detectors: Mapping[Modality, Detector], size: tuple[int, int], crops: int) -> None:
        """Take a detector for each camera.

        Args:
            detectors: by what the camera sees.
            size: (H, W) of the crops.
            crops: to be kept of each camera, at least one.
        """
        self._cameras = {modality: _Camera(detector) for modality, detector in detectors.items()}
        self._size = size
        self._crops = crops

    def look(self, modality: Modality, frame: Frame) -> Scene:
        """Take a frame of one camera; returns what there is to see in all of them."""
        camera = self._cameras[modality]
        camera.tracker.step(camera.detector.detect(frame.image), frame.time)
        present = camera.present
        if any(len(other.present) > 1 for other in self._cameras.values()):
            self._throw_away()
            return "several"
        for track in present:
            if camera.subject not in (None, track.number):
                self._throw_away()
            camera.subject = track.number
            if track.detected and frame.time >= camera.due and self._is_whole(track, frame):
                camera.shots.append(Shot.of(frame.image, track.box, self._size))
                camera.due = frame.time + PAUSE
        if all(len(other.shots) >= CHOICE * self._crops for other in self._cameras.values()):
            return "done"
        return "one" if any(other.present for other in self._cameras.values()) else "nobody"

    def best(self) -> dict[Modality, list[Shot]]:
        """The best shots of each camera, best first; none of one that has not shown the person often enough."""
        return {
            modality: sorted(camera.shots, key=lambda shot: -shot.quality)[: self._crops]
            if len(camera.shots) >= min(LEAST_SHOTS, self._crops)
            else []
            for modality, camera in self._cameras.items()
        }

    def _throw_away(self) -> None:
        for camera in self._cameras.values():
            camera.shots.clear()
            camera.subject = None

    def _is_whole(self, track: Track, frame: Frame) -> bool:
        height, width = frame.image.shape[:2]
        inside = intersections(track.box[None], np.array([[0, 0, width, height]], np.float32))[0, 0]
        return bool(inside >= LEAST_INSIDE * areas(track.box[None])[0])
