"""What there is to see and to tell of the people in both views at one time."""

from __future__ import annotations

from dataclasses import dataclass

from edge_reid.people.boxes import Boxes
from edge_reid.types import Json, Modality


@dataclass(frozen=True)
class Sighting:
    """A track as it is now: number, box `(4,)`, score, person or None, when it began, whether the box is measured."""

    track: int
    box: Boxes
    score: float
    person: int | None
    started: float
    detected: bool


@dataclass(frozen=True)
class Couple:
    """A person's track in either view, and the cosine of how they look."""

    visible: int
    thermal: int
    person: int
    score: float


@dataclass(frozen=True)
class Expected:
    """Where someone known whom only the other camera sees should be in this view, by the common ground: box `(4,)`."""

    box: Boxes
    person: int


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
    couples: list[Couple]
    """Those who are seen in both views now."""
    expected: dict[Modality, list[Expected]]
    """By the view that misses them; empty without a common ground."""
    events: list[Event]
    milliseconds: dict[str, float]
    """Time of the stages detect, track, embed and match, both cameras together."""

    @property
    def people(self) -> set[int]:
        """Numbers of those whom a camera sees now and somebody knows."""
        seen = (sighting.person for sightings in self.sightings.values() for sighting in sightings)
        return {person for person in seen if person is not None}
