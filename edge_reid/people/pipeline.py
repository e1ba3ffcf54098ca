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
from edge_reid.people.appearance import Appearance, Appearances
from edge_reid.people.bodies import Look, Looks, Turn
from edge_reid.people.boxes import Detections
from edge_reid.people.detection import Detector
from edge_reid.people.identities import Identities
from edge_reid.people.matching import REACH, Change, Matcher
from edge_reid.people.tracking import LOST_SECONDS, Track, Tracker
from edge_reid.people.view import Couple, Event, Expected, Sighting, View
from edge_reid.types import MODALITIES, Embed, Json, Modality, other_modality

FRESH_SECONDS = 0.3
"""Age of a frame at which its boxes still tell where people are: they walk less than half their height meanwhile."""


@dataclass
class _Camera:
    detector: Detector
    appearances: Appearances
    tracker: Tracker = field(default_factory=Tracker)
    started: set[int] = field(default_factory=set)
    last: float = 0.0
    """Time of its newest frame."""
    frames: int = 0

    def detect(self, frame: Frame) -> Detections | None:
        """The people in a frame, or None when the detector rests: the tracks walk on as predicted."""
        # the cameras take turns, or the frames in which both detect would take twice as long
        due = (self.frames + MODALITIES.index(self.appearances.modality)) % self.detector.every == 0
        self.frames += 1
        return self.detector.detect(frame.image) if due else None

    def looks(self) -> dict[int, Look]:
        """The tracks that have been embedded."""
        known = self.appearances.known
        return {
            track.number: _look_of(known[track.number], track) for track in self.tracker.tracks if track.number in known
        }


class Pipeline:
    """Everything between the cameras and the screen; holds no thread, no file and no clock of its own."""

    def __init__(
        self,
        detectors: Mapping[Modality, Detector],
        embed: Mapping[Modality, Embed],
        size: tuple[int, int],
        matcher: Matcher,
        identities: Identities,
        ground: GroundPlane | None = None,
    ) -> None:
        """Take the parts.

        Args:
            detectors: one per camera; they may hold state (a background), so never one for two cameras.
            embed: crops of one modality to unit vectors that can be compared, see `MatchingRule.centered`.
            size: (H, W) of the crops.
            matcher: finds who in one view is who in the other now.
            identities: knows who was here before.
            ground: common to both views. Who is seen at different places is then no match, and who is seen at one place
                needs less likeness, see `edge_reid.people.matching.PLACE`.
        """
        self._cameras = {
            modality: _Camera(detectors[modality], Appearances(modality, embed[modality], size))
            for modality in MODALITIES
        }
        self._matcher = matcher
        self._identities = identities
        self._ground = ground
        self._shapes: dict[Modality, tuple[int, int]] = {}

    def step(self, frames: Mapping[Modality, Frame]) -> View:
        """Take a frame of one camera or of both."""
        watch = _Stopwatch()
        events = [event for modality, frame in frames.items() for event in self._resize(modality, frame)]
        found = {modality: self._cameras[modality].detect(frame) for modality, frame in frames.items()}
        watch.lap("detect")
        now = max(frame.time for frame in frames.values())
        for modality, camera in self._cameras.items():
            time = frames[modality].time if modality in frames else now
            if modality in frames:
                camera.last = time
            elif time - camera.last <= LOST_SECONDS:
                continue  # it may only be the slower one of the two
            # whoever a camera saw before it fell silent is not there for ever
            for track in camera.tracker.step(found[modality] if modality in found else Detections.none(), time):
                events += self._end(modality, track, time)
            events += self._begin(modality, time)
        watch.lap("track")
        changed: dict[Modality, set[int]] = {modality: set() for modality in MODALITIES}
        for modality, frame in frames.items():
            if found[modality] is None:
                continue  # the boxes are guesses
            camera = self._cameras[modality]
            changed[modality] = camera.appearances.step(frame.image, camera.tracker.tracks, frame.time)
        watch.lap("embed")
        events += self._identify(changed, now)
        watch.lap("match")
        return self._view(events, watch.milliseconds)

    def idle(self, now: float) -> View:
        """Let time go by while no camera sends anything: nobody is there for ever."""
        silent = [modality for modality, camera in self._cameras.items() if now - camera.last > LOST_SECONDS]
        return self._view([event for modality in silent for event in self._wait(modality, now)], {})

    def _wait(self, modality: Modality, now: float) -> list[Event]:
        """Go on without a frame."""
        ended = self._cameras[modality].tracker.step(Detections.none(), now)
        return [event for track in ended for event in self._end(modality, track, now)]

    def _resize(self, modality: Modality, frame: Frame) -> list[Event]:
        """End the tracks of a camera whose pictures have another size than before: their boxes mean nothing now."""
        shape = frame.image.shape[:2]
        before, self._shapes[modality] = self._shapes.get(modality, shape), shape
        ended = [] if before == shape else self._cameras[modality].tracker.clear()
        return [event for track in ended for event in self._end(modality, track, frame.time)]

    def _identify(self, changed: Mapping[Modality, set[int]], now: float) -> list[Event]:
        """Say who the tracks are, where some look different than before."""
        looks = {modality: camera.looks() for modality, camera in self._cameras.items()}
        vectors = {
            modality: {number: look.vector for number, look in tracks.items()} for modality, tracks in looks.items()
        }
        distances = self._distances(looks, now)
        changes = self._matcher.step(vectors["visible"], vectors["thermal"], changed, distances)
        apart = set()
        if distances is not None:
            rows, columns = list(looks["visible"]), list(looks["thermal"])
            apart = {(rows[i], columns[j]) for i, j in np.argwhere(distances > REACH)}
        turns = self._identities.step(looks, changes, changed, apart)
        return [
            *(event for turn in turns for event in _turn_events(turn, now)),
            *(self._link_event(change, now, "contradicted") for change in changes),
        ]

    def finish(self, time: float) -> list[Event]:
        """End all tracks, as when the videos end, and return the events of that."""
        return [
            event
            for modality, camera in self._cameras.items()
            for track in camera.tracker.tracks
            if track.number in camera.started
            for event in self._end(modality, track, time)
        ]

    def _distances(self, looks: Looks, now: float) -> NDArray[np.float64] | None:
        """How far apart the embedded tracks of both cameras stand, see `Matcher.step`; a guessed place is none."""
        if self._ground is None or not all(looks.values()):
            return None
        boxes, guessed = [], []
        for modality, numbers in looks.items():
            camera = self._cameras[modality]
            tracks = {track.number: track for track in camera.tracker.tracks}
            boxes.append(np.stack([tracks[number].box for number in numbers]))
            fresh = now - camera.last <= FRESH_SECONDS
            guessed.append(np.array([not (fresh and tracks[number].detected) for number in numbers]))
        distances = self._ground.distances(boxes[0], boxes[1], self._shapes)
        distances[guessed[0][:, None] | guessed[1][None, :]] = np.nan
        return distances

    def _view(self, events: list[Event], milliseconds: dict[str, float]) -> View:
        person = self._identities.person
        sightings = {
            modality: [
                Sighting(
                    track.number, track.box, track.score, person(modality, track.number), track.started, track.detected
                )
                for track in camera.tracker.tracks
                if track.phase == "confirmed"
            ]
            for modality, camera in self._cameras.items()
        }
        expected = {modality: self._expected(modality, sightings) for modality in MODALITIES}
        return View(sightings, self._couples(sightings), expected, events, milliseconds)

    def _expected(self, modality: Modality, sightings: Mapping[Modality, list[Sighting]]) -> list[Expected]:
        """People whom only the other camera sees, where they should be in the view of this one."""
        here = {sighting.person for sighting in sightings[modality]}
        other = other_modality(modality)
        people = [(s.person, s.box) for s in sightings[other] if s.person is not None and s.person not in here]
        if self._ground is None or not people or len(self._shapes) < len(MODALITIES):
            return []
        boxes, rows = self._ground.carry(np.stack([box for _, box in people]), other, self._shapes)
        return [Expected(box, people[row][0]) for box, row in zip(boxes, rows, strict=True)]

    def _couples(self, sightings: Mapping[Modality, list[Sighting]]) -> list[Couple]:
        tracks = {
            modality: {sighting.person: sighting.track for sighting in seen if sighting.person is not None}
            for modality, seen in sightings.items()
        }
        couples = []
        for person in tracks["visible"].keys() & tracks["thermal"].keys():
            pair = [tracks[modality][person] for modality in MODALITIES]
            first, second = (
                self._cameras[m].appearances.known[n].embedding for m, n in zip(MODALITIES, pair, strict=True)
            )
            couples.append(Couple(pair[0], pair[1], person, float(first @ second)))
        return sorted(couples, key=lambda couple: couple.person)

    def _begin(self, modality: Modality, time: float) -> list[Event]:
        camera = self._cameras[modality]
        confirmed = [track for track in camera.tracker.tracks if track.phase == "confirmed"]
        fresh = [track for track in confirmed if track.number not in camera.started]
        camera.started |= {track.number for track in fresh}
        return [Event("track_started", time, _described(modality, track, None)) for track in fresh]

    def _end(self, modality: Modality, track: Track, time: float) -> list[Event]:
        details = _described(modality, track, self._identities.person(modality, track.number))
        self._cameras[modality].started.discard(track.number)
        undone = [
            self._link_event(change, time, "track_lost") for change in self._matcher.forget(modality, track.number)
        ]
        turns = self._identities.end(modality, track.number)
        self._cameras[modality].appearances.forget(track.number)
        return [
            Event("track_lost", time, details | {"seen": round(track.seen, 3)}),
            *undone,
            *(event for turn in turns for event in _turn_events(turn, time)),
        ]

    def _link_event(self, change: Change, time: float, reason: str) -> Event:
        link = change.link
        details: dict[str, Json] = {
            "person": self._identities.person("visible", link.visible),
            "visible_track": link.visible,
            "thermal_track": link.thermal,
            "score": round(link.score, 4),
        }
        return (
            Event("matched", time, details) if change.made else Event("unmatched", time, details | {"reason": reason})
        )


def _look_of(appearance: Appearance, track: Track) -> Look:
    # a camera's clock may step back, and nobody was seen before they came
    seen = max(track.seen, track.started)
    return Look(appearance.embedding, appearance.quality, track.started, seen, appearance.picture)


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


def _turn_events(turn: Turn, time: float) -> list[Event]:
    """One for each track that is concerned; people who are new or merged are told once."""
    if turn.was is not None:
        return [Event(turn.kind, time, {"person": turn.person, "was": turn.was})]
    if turn.kind == "person_new":
        camera, track = next(iter(turn.members.items()))
        return [Event(turn.kind, time, {"camera": camera, "track": track, "person": turn.person})]
    proof: dict[str, Json] = {}
    if turn.evidence is not None:
        proof = {"score": round(turn.evidence.score, 4), "modality": turn.evidence.modality}
    return [
        Event(turn.kind, time, {"camera": modality, "track": track, "person": turn.person} | proof)
        for modality, track in turn.members.items()
    ]
