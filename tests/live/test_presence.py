from __future__ import annotations

import numpy as np

from edge_reid.live.presence import GONE_SECONDS, Presence
from edge_reid.people.view import Event, Sighting, View
from edge_reid.types import Modality


def view(visible: dict[int, int | None], thermal: dict[int, int | None], *events: Event) -> View:
    """Tracks and their people, by camera."""

    def seen(tracks: dict[int, int | None]) -> list[Sighting]:
        return [Sighting(track, np.zeros(4, np.float32), 0.9, person, 0.0, True) for track, person in tracks.items()]

    sightings: dict[Modality, list[Sighting]] = {"visible": seen(visible), "thermal": seen(thermal)}
    return View(sightings, [], {"visible": [], "thermal": []}, list(events), {})


def test_somebody_enters_once_and_leaves_once_whatever_the_cameras_miss() -> None:
    presence = Presence()
    told = presence.step(view({1: 7}, {}), 0.0)
    told += presence.step(view({1: 7}, {4: 7}), 1.0)
    assert presence.people[0].tracks == {"visible": 1, "thermal": 4}
    told += presence.step(view({}, {4: 7}), 2.0)
    told += presence.step(view({2: None}, {}), 2.0 + GONE_SECONDS)
    assert [(event.name, event.details["camera"]) for event in told] == [("person_entered", "visible")]
    (left,) = presence.step(view({}, {}), 2.1 + GONE_SECONDS)
    assert (left.name, left.details) == ("person_left", {"person": 7, "camera": "thermal", "seconds": 2.0})
    assert presence.people == []


def test_who_was_taken_for_a_newcomer_has_been_here_all_the_while() -> None:
    presence = Presence()
    presence.step(view({1: 8}, {}), 0.0)
    merged = Event("person_merged", 1.0, {"person": 3, "was": 8})
    assert presence.step(view({1: 3}, {}, merged), 1.0) == []
    (left,) = presence.finish(4.0)
    assert left.details == {"person": 3, "camera": "visible", "seconds": 1.0}
