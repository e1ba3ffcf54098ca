"""People who walk through both views, followed for the sake of where they walk."""

from __future__ import annotations

from collections.abc import Mapping

from edge_reid.cameras.alignment import Alignment
from edge_reid.cameras.sources import Frame
from edge_reid.cameras.trails import Trails
from edge_reid.cameras.walking import align_walks
from edge_reid.errors import UserError
from edge_reid.live.drawing import Image
from edge_reid.people.detection import Detector
from edge_reid.people.tracking import STRONG, Tracker
from edge_reid.types import MODALITIES, Modality


class Walkers:
    """The trails of both cameras, and the images with most people in both."""

    def __init__(self, detectors: Mapping[Modality, Detector]) -> None:
        """Take one detector per camera; each is asked on every so-many-th frame, as it wishes."""
        self._detectors = detectors
        self._trackers = {modality: Tracker() for modality in MODALITIES}
        self._trails = Trails()
        self._frames = dict.fromkeys(MODALITIES, 0)
        self._most = -1
        self.images: dict[Modality, Image] = {}

    def step(self, frames: Mapping[Modality, Frame]) -> None:
        """Take a frame of one camera or of both; UserError when a camera changed its size."""
        people = []
        for modality, frame in frames.items():
            self._frames[modality] += 1
            if self._frames[modality] % self._detectors[modality].every != 0:
                continue
            tracker = self._trackers[modality]
            tracker.step(self._detectors[modality].detect(frame.image), frame.time)
            seen = [track for track in tracker.tracks if track.phase == "confirmed" and track.detected]
            boxes = [(track.number, track.box) for track in seen if track.score >= STRONG]
            self._trails.add(modality, frame.image.shape[:2], frame.time, boxes)
            people.append(len(boxes))
        if len(people) == len(MODALITIES) and min(people) >= self._most:
            self._most = min(people)
            self.images = {modality: frame.image for modality, frame in frames.items()}

    def align(self) -> Alignment:
        """What all walks so far tell; UserError where that is too little."""
        if not self.images:
            raise UserError("--visible, --thermal: gave no pictures at one time; check that both run")
        return align_walks(self._trails)
