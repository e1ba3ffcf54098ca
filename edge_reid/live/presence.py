"""Who is here now: people between their first and their last sighting by any camera."""

from __future__ import annotations

from dataclasses import dataclass, replace

from edge_reid.people.view import Event, View
from edge_reid.types import Modality

GONE_SECONDS = 3.0
"""Unseen by all cameras after which somebody has left; a track that is lost for less comes back by itself."""


@dataclass(frozen=True)
class Present:
    """Somebody who is here: since when, last seen when (seconds since the start), and their track in each camera."""

    person: int
    since: float
    seen: float
    tracks: dict[Modality, int]


class Presence:
    """Follows who comes and goes."""

    def __init__(self) -> None:
        """Start with nobody."""
        self._here: dict[int, Present] = {}

    @property
    def people(self) -> list[Present]:
        """Who is here, who came first is first."""
        return sorted(self._here.values(), key=lambda present: (present.since, present.person))

    def step(self, view: View, time: float) -> list[Event]:
        """Take a view and tell who entered and who left."""
        for event in view.events:
            if event.name == "person_merged":
                self._merge(event)
        events = []
        tracks: dict[int, dict[Modality, int]] = {}
        for modality, sightings in view.sightings.items():
            for sighting in sightings:
                if sighting.person is not None:
                    tracks.setdefault(sighting.person, {})[modality] = sighting.track
        for person in sorted(tracks):
            if person not in self._here:
                events.append(Event("person_entered", time, {"person": person, "camera": next(iter(tracks[person]))}))
            since = self._here[person].since if person in self._here else time
            self._here[person] = Present(person, since, max(since, time), tracks[person])
        return events + self._leave(time - GONE_SECONDS, time)

    def finish(self, time: float) -> list[Event]:
        """Everybody leaves, as when the cameras end."""
        return self._leave(float("inf"), time)

    def _leave(self, before: float, time: float) -> list[Event]:
        gone = [present for present in self.people if present.seen < before]
        for present in gone:
            del self._here[present.person]
        return [
            Event(
                "person_left",
                time,
                {
                    "person": present.person,
                    "camera": next(iter(present.tracks)),
                    "seconds": round(present.seen - present.since, 3),
                },
            )
            for present in gone
        ]

    def _merge(self, event: Event) -> None:
        """Somebody who was counted as new is somebody known: they were here all the while."""
        was, person = event.details["was"], event.details["person"]
        if isinstance(was, int) and isinstance(person, int) and (old := self._here.pop(was, None)) is not None:
            known = self._here.get(person, old)
            self._here[person] = replace(old, person=person, since=min(old.since, known.since))
