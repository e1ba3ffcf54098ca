"""From the frames of two cameras to who is where: detect, track, embed, match.

Shapes: h, w a frame's size; H, W the network's input. Boxes are left, top, right, bottom in pixels of the frame.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edge_reid.cameras.geometry import GroundPlane
from edge_reid.cameras.sources import Frame
from edge_reid.people.appearance import Appearances
from edge_reid.people.boxes import Boxes, Detections
from edge_reid.people.detection import Detector
from edge_reid.people.matching import Change, Embeddings, Link, Matcher
from edge_reid.people.tracking import LOST_SECONDS, Track, Tracker
from edge_reid.types import MODALITIES, Embed, Json, Modality

FRESH_SECONDS = 0.3
"""Age of a frame at which its boxes still tell where people are: they walk less than half their height meanwhile."""


@dataclass(frozen=True)
class Sighting:
    """A track as it is now: its number, box `(4,)`, score, person number or None, and whether the box is measured."""

    track: int
    box: Boxes
    score: float
    person: int | None
    detected: bool


@dataclass(frozen=True)
class Event:
    """Something that happened, at a time in seconds since the start, with what describes it."""

    name: str
    time: float
    details: dict[str, Json]


@dataclass(frozen=True)
class View:
    """What there is to show and to tell after a step."""

    sightings: dict[Modality, list[Sighting]]
    links: list[Link]
    """Those whose both ends are among the sightings."""
    events: list[Event]
    milliseconds: dict[str, float]
    """Time of the stages detect, track, embed and match, both cameras together."""


@dataclass
class _Camera:
    detector: Detector
    appearances: Appearances
    tracker: Tracker = field(default_factory=Tracker)
    started: set[int] = field(default_factory=set)
    last: float = 0.0
    """Time of its newest frame."""


class Pipeline:
    """Everything between the cameras and the screen; holds no thread, no file and no clock of its own."""

    def __init__(
        self,
        detectors: Mapping[Modality, Detector],
        embed: Mapping[Modality, Embed],
        size: tuple[int, int],
        *,
        threshold: float,
        ground: GroundPlane | None = None,
    ) -> None:
        """Take a detector and an engine's `embed` for each modality.

        Args:
            detectors: one per camera; they may hold state (a background), so never one for two cameras.
            embed: crops of one modality to unit vectors.
            size: (H, W) of the crops.
            threshold: least cosine of a match.
            ground: common to both views. Who is seen at different places is then no match, and who is seen at one place
                needs less likeness, see `edge_reid.people.matching.PLACE`.
        """
        self._cameras = {
            modality: _Camera(detectors[modality], Appearances(modality, embed[modality], size))
            for modality in MODALITIES
        }
        self._matcher = Matcher(threshold)
        self._ground = ground
        self._shapes: dict[Modality, tuple[int, int]] = {}

    def step(self, frames: Mapping[Modality, Frame]) -> View:
        """Take a frame of one camera or of both."""
        watch = _Stopwatch()
        self._shapes |= {modality: frame.image.shape[:2] for modality, frame in frames.items()}
        events: list[Event] = []
        changed: dict[Modality, set[int]] = {modality: set() for modality in MODALITIES}
        found = {modality: self._cameras[modality].detector.detect(frame.image) for modality, frame in frames.items()}
        watch.lap("detect")
        now = max(frame.time for frame in frames.values())
        for modality, camera in self._cameras.items():
            time = frames[modality].time if modality in frames else now
            if modality in frames:
                camera.last = time
            elif time - camera.last <= LOST_SECONDS:
                continue  # it may only be the slower one of the two
            # whoever a camera saw before it fell silent is not there for ever
            for track in camera.tracker.step(found.get(modality, Detections.none()), time):
                events += self._end(modality, track, time)
            events += self._begin(modality, time)
        watch.lap("track")
        for modality, frame in frames.items():
            camera = self._cameras[modality]
            changed[modality] = camera.appearances.step(frame.image, camera.tracker.tracks, frame.time)
        watch.lap("embed")
        embeddings = {modality: camera.appearances.embeddings for modality, camera in self._cameras.items()}
        changes = self._matcher.step(
            embeddings["visible"],
            embeddings["thermal"],
            changed,
            self._distances(embeddings["visible"], embeddings["thermal"], now),
        )
        events += [_link_event(change, now, "contradicted") for change in changes]
        watch.lap("match")
        return self._view(events, watch.milliseconds)

    def finish(self, time: float) -> list[Event]:
        """End all tracks, as when the videos end, and return the events of that."""
        return [
            event
            for modality, camera in self._cameras.items()
            for track in camera.tracker.tracks
            if track.number in camera.started
            for event in self._end(modality, track, time)
        ]

    def _distances(self, visible: Embeddings, thermal: Embeddings, now: float) -> NDArray[np.float64] | None:
        """How far apart the embedded tracks of both cameras stand, see `Matcher.step`; a guessed place is none."""
        if self._ground is None or not visible or not thermal:
            return None
        boxes, guessed = [], []
        for camera, numbers in zip(self._cameras.values(), (visible, thermal), strict=True):
            tracks = {track.number: track for track in camera.tracker.tracks}
            boxes.append(np.stack([tracks[number].box for number in numbers]))
            fresh = now - camera.last <= FRESH_SECONDS
            guessed.append(np.array([not (fresh and tracks[number].detected) for number in numbers]))
        distances = self._ground.distances(boxes[0], boxes[1], self._shapes)
        distances[guessed[0][:, None] | guessed[1][None, :]] = np.nan
        return distances

    def _view(self, events: list[Event], milliseconds: dict[str, float]) -> View:
        sightings = {
            modality: [
                Sighting(
                    track.number, track.box, track.score, self._matcher.person(modality, track.number), track.detected
                )
                for track in camera.tracker.tracks
                if track.phase == "confirmed"
            ]
            for modality, camera in self._cameras.items()
        }
        shown = {modality: {sighting.track for sighting in seen} for modality, seen in sightings.items()}
        links = [
            link
            for link in self._matcher.links
            if link.visible in shown["visible"] and link.thermal in shown["thermal"]
        ]
        return View(sightings, links, events, milliseconds)

    def _begin(self, modality: Modality, time: float) -> list[Event]:
        camera = self._cameras[modality]
        confirmed = [track for track in camera.tracker.tracks if track.phase == "confirmed"]
        fresh = [track for track in confirmed if track.number not in camera.started]
        camera.started |= {track.number for track in fresh}
        return [Event("track_started", time, _described(modality, track, None)) for track in fresh]

    def _end(self, modality: Modality, track: Track, time: float) -> list[Event]:
        person = self._matcher.person(modality, track.number)
        details = _described(modality, track, person) | {"seen": round(track.seen, 3)}
        self._cameras[modality].appearances.forget(track.number)
        undone = self._matcher.forget(modality, track.number)
        return [
            Event("track_lost", time, details),
            *(_link_event(change, time, "track_lost") for change in undone),
        ]


class _Stopwatch:
    def __init__(self) -> None:
        self.milliseconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, stage: str) -> None:
        now = time.perf_counter()
        self.milliseconds[stage] = 1e3 * (now - self._last)
        self._last = now


def _described(modality: Modality, track: Track, person: int | None) -> dict[str, Json]:
    box: list[Json] = [round(float(edge), 1) for edge in track.box]
    return {"camera": modality, "track": track.number, "person": person, "score": round(track.score, 3), "box": box}


def _link_event(change: Change, time: float, reason: str) -> Event:
    link = change.link
    details: dict[str, Json] = {
        "person": link.person,
        "visible_track": link.visible,
        "thermal_track": link.thermal,
        "score": round(link.score, 4),
    }
    return Event("matched", time, details) if change.made else Event("unmatched", time, details | {"reason": reason})
