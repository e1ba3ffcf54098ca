from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

import cv2
import numpy as np
import pytest
from looks import rule_of
from numpy.typing import NDArray
from walkers import Film, embed

from edge_reid.cameras.geometry import GroundPlane
from edge_reid.gallery.sqlite import SqliteGallery
from edge_reid.people.appearance import MOST_PER_STEP, Appearance, Appearances
from edge_reid.people.boxes import Detections, intersection_over_union
from edge_reid.people.identities import Identities
from edge_reid.people.matching import Matcher
from edge_reid.people.motion import MotionDetector
from edge_reid.people.pipeline import Event, Pipeline, View
from edge_reid.people.tracking import Tracker
from edge_reid.types import MODALITIES, Modality

SIZE = (32, 16)


@pytest.fixture
def film() -> Film:
    return Film()


def new_pipeline(threshold: float = 0.5, ground: GroundPlane | None = None) -> Pipeline:
    detectors = {modality: MotionDetector(modality) for modality in MODALITIES}
    rule = rule_of(between=(threshold, 0.3), across=(threshold, 0.3))
    identities = Identities(SqliteGallery(None, space="walkers", dimension=3), rule, epoch=0.0)
    return Pipeline(detectors, dict.fromkeys(MODALITIES, embed), SIZE, Matcher(threshold), identities, ground)


@dataclass
class Counting:
    """A detector, and how often it is asked."""

    detector: MotionDetector
    modality: Modality
    asked: Counter[Modality]
    name = "motion"
    description = "motion"
    every = 2

    def detect(self, frame: NDArray[np.uint8]) -> Detections:
        self.asked[self.modality] += 1
        return self.detector.detect(frame)


def follow(film: Film, pipeline: Pipeline) -> tuple[list[View], list[Event]]:
    views = []
    for index in range(film.frames):
        views.append(pipeline.step({modality: film.frame(index, modality) for modality in MODALITIES}))
    events = [event for view in views for event in view.events]
    return views, events + pipeline.finish(film.frames / 10)


def test_each_walker_gets_one_number_that_both_views_share(film: Film) -> None:
    views, events = follow(film, new_pipeline())
    names = Counter(event.name for event in events)
    assert names["matched"] == 3
    assert {event.details["person"] for event in events if event.name == "matched"} == {1, 2, 3}
    assert names["person_new"] == 3 and names["person_merged"] == 0
    shown = 0
    for index, view in enumerate(views):
        for couple in view.couples:
            shown += 1
            ends = []
            for modality, number in (("visible", couple.visible), ("thermal", couple.thermal)):
                (sighting,) = [seen for seen in view.sightings[modality] if seen.track == number]
                assert sighting.person == couple.person
                boxes = [film.box(person, index, modality) or (0, 0, 1, 1) for person in range(3)]
                overlaps = intersection_over_union(sighting.box[None], np.array(boxes, np.float32))[0]
                ends.append(int(overlaps.argmax()))
            assert ends[0] == ends[1]
    assert shown > 60


def test_a_track_that_starts_also_ends_and_so_does_a_link(film: Film) -> None:
    _, events = follow(film, new_pipeline())
    for began, ended in (("track_started", "track_lost"), ("matched", "unmatched")):
        keys = ("camera", "track") if began == "track_started" else ("visible_track", "thermal_track")
        starts = Counter(tuple(event.details[key] for key in keys) for event in events if event.name == began)
        ends = Counter(tuple(event.details[key] for key in keys) for event in events if event.name == ended)
        assert starts == ends
        assert set(starts.values()) == {1}
    assert [event.time for event in events] == sorted(event.time for event in events)


def test_nobody_is_matched_above_an_unreachable_threshold(film: Film) -> None:
    views, events = follow(film, new_pipeline(threshold=1.1))
    assert not [event for event in events if event.name == "matched"]
    assert not any(view.couples for view in views)


def test_who_comes_again_has_the_number_of_before(film: Film) -> None:
    pipeline = new_pipeline()
    _, first = follow(film, pipeline)
    later = [
        pipeline.step({m: replace(film.frame(index, m), time=60.0 + index / 10) for m in MODALITIES}).events
        for index in range(film.frames)
    ]
    again = [event for events in later for event in events]
    assert {event.details["person"] for event in again if event.name == "identified"} == {1, 2, 3}
    assert not [event for event in again if event.name == "person_new"]
    assert [event.name for event in first].count("person_new") == 3


def test_a_camera_that_comes_back_with_another_size_starts_its_tracks_anew(film: Film) -> None:
    pipeline = new_pipeline()
    for index in range(25):
        pipeline.step({modality: film.frame(index, modality) for modality in MODALITIES})
    frame = film.frame(25, "thermal")
    smaller = replace(frame, image=np.ascontiguousarray(frame.image[::2, ::2]))
    view = pipeline.step({"visible": film.frame(25, "visible"), "thermal": smaller})
    ended = [event.details["camera"] for event in view.events if event.name == "track_lost"]
    assert ended and set(ended) == {"thermal"}
    assert view.sightings["visible"] and not view.sightings["thermal"]


def test_who_is_seen_by_one_camera_is_expected_in_the_other(film: Film) -> None:
    shift = np.array([[1.0, 0.0, 10.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    ground = GroundPlane(shift, dict.fromkeys(MODALITIES, (240, 320)))
    pipeline = new_pipeline(ground=ground)
    missed = 0
    for index in range(50):
        both = {modality: film.frame(index, modality) for modality in MODALITIES}
        if index > 30:  # the thermal camera sees nobody any more
            both["thermal"] = replace(both["thermal"], image=film.frame(0, "thermal").image)
        view = pipeline.step(both)
        for expected in view.expected["thermal"]:
            boxes = [film.box(person, index, "thermal") or (0, 0, 1, 1) for person in range(3)]
            overlaps = intersection_over_union(expected.box[None], np.array(boxes, np.float32))[0]
            missed += bool(overlaps.max() > 0.5)
            assert expected.person not in {sighting.person for sighting in view.sightings["thermal"]}
    assert missed > 10


def test_a_detector_that_rests_on_every_other_frame_still_follows_everybody(film: Film) -> None:
    pipeline = new_pipeline()
    asked: Counter[Modality] = Counter()
    for modality, camera in pipeline._cameras.items():
        camera.detector = Counting(MotionDetector(modality, every=2), modality, asked)
    _, events = follow(film, pipeline)
    assert asked == {"visible": film.frames // 2, "thermal": film.frames // 2}
    assert [event.name for event in events].count("matched") == 3


def test_one_camera_alone_goes_on(film: Film) -> None:
    pipeline = new_pipeline()
    views = [pipeline.step({"thermal": film.frame(index, "thermal")}) for index in range(film.frames)]
    assert max(len(view.sightings["thermal"]) for view in views) == 3
    assert all(view.sightings["visible"] == [] for view in views)


def test_who_a_silent_camera_saw_last_is_not_there_for_ever(film: Film) -> None:
    pipeline = new_pipeline()
    stops = next(i for i in range(film.frames) if all(film.box(person, i, "thermal") for person in range(3))) + 14
    events: list[Event] = []
    for index in range(stops):
        events += pipeline.step({modality: film.frame(index, modality) for modality in MODALITIES}).events
    assert [event.name for event in events].count("matched") == 3
    silent = []
    for index in range(stops, stops + 25):
        frame = replace(film.frame(min(index, film.frames - 1), "visible"), time=index / 10)
        view = pipeline.step({"visible": frame})
        silent += view.events
    ended = [event for event in silent if event.name == "track_lost" and event.details["camera"] == "thermal"]
    assert len(ended) == 3
    assert all(2.0 < event.time - stops / 10 < 2.2 for event in ended)
    assert view.sightings["thermal"] == [] and view.couples == []


def crowd(count: int) -> tuple[Tracker, NDArray[np.uint8]]:
    tracker = Tracker()
    boxes = np.array([[20 + 40 * n, 20, 50 + 40 * n, 90] for n in range(count)], np.float32)
    for step in range(3):
        tracker.step(Detections(boxes, np.full(count, 0.9, np.float32)), step / 10)
    return tracker, np.zeros((120, 60 + 40 * count, 3), np.uint8)


def test_crops_of_a_step_go_in_one_bounded_batch_and_nobody_is_left_out() -> None:
    sizes = []

    def counting(crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        assert crops.shape[1:] == (*SIZE, 3)
        sizes.append(len(crops))
        return np.ones((len(crops), 2), np.float32)

    tracker, frame = crowd(6)
    appearances = Appearances("visible", counting, SIZE)
    embedded = [appearances.step(frame, tracker.tracks, 0.3), appearances.step(frame, tracker.tracks, 0.3)]
    assert sizes == [MOST_PER_STEP, 2]
    assert embedded[0] | embedded[1] == {1, 2, 3, 4, 5, 6}
    assert appearances.step(frame, tracker.tracks, 0.3) == set(), "not due again yet"


def test_a_track_is_embedded_ever_more_rarely_but_as_long_as_it_lasts() -> None:
    tracker, frame = crowd(1)
    appearances = Appearances("visible", lambda crops: np.ones((len(crops), 2), np.float32), SIZE)
    moments = [time for time in np.arange(0.0, 60.0, 0.05) if appearances.step(frame, tracker.tracks, float(time))]
    assert moments[1] < 0.2
    pauses = np.diff(moments)
    assert (np.diff(pauses) > -0.051).all()
    assert pauses[-5:] == pytest.approx([3.0] * 5, abs=0.051)


def test_an_appearance_follows_who_changes_and_keeps_its_best_picture() -> None:
    before, after = np.array([1.0, 0.0], np.float32), np.array([0.0, 1.0], np.float32)
    appearance = Appearance(np.zeros(2, np.float32))
    for index, embedding in enumerate([before] * 100 + [after] * 100):
        crop = np.full((32, 16, 3), index, np.uint8)
        appearance.add(embedding, 2.0 if index == 37 else 1.0, crop, float(index))
    assert appearance.embedding @ after > 0.95
    picture = cv2.imdecode(np.frombuffer(appearance.picture() or b"", np.uint8), cv2.IMREAD_COLOR)
    assert abs(float(picture.mean()) - 37) < 2


def test_people_who_cover_each_other_or_leave_the_frame_are_not_embedded() -> None:
    tracker = Tracker()
    boxes = np.array([[20, 20, 60, 120], [40, 20, 80, 120], [-25, 20, 15, 120], [120, 20, 160, 120]], np.float32)
    for step in range(3):
        tracker.step(Detections(boxes, np.full(4, 0.9, np.float32)), step / 10)
    appearances = Appearances("visible", lambda crops: np.ones((len(crops), 2), np.float32), SIZE)
    assert appearances.step(np.zeros((140, 200, 3), np.uint8), tracker.tracks, 0.2) == {4}


def test_sharp_and_large_crops_count_more() -> None:
    blurred, sharp = np.zeros((140, 200), np.uint8), np.zeros((140, 200), np.uint8)
    sharp[:, ::2] = 200
    answers = iter([np.array([[1.0, 0.0]], np.float32), np.array([[0.0, 1.0]], np.float32)])
    appearances = Appearances("thermal", lambda crops: next(answers), SIZE)
    tracker, _ = crowd(1)
    appearances.step(blurred + np.uint8(1) * (np.arange(200) % 3 == 0), tracker.tracks, 0.3)
    appearances.step(sharp, tracker.tracks, 0.6)
    first, second = appearances.known[1].embedding
    assert second > 2 * first > 0
    assert np.hypot(first, second) == pytest.approx(1.0)


def test_while_no_camera_sends_anything_everybody_leaves(film: Film) -> None:
    pipeline = new_pipeline()
    for index in range(30):
        view = pipeline.step({modality: film.frame(index, modality) for modality in MODALITIES})
    assert view.sightings["visible"]
    assert pipeline.idle(3.0).events == []
    view = pipeline.idle(2.9 + 2.2)
    assert {event.name for event in view.events} >= {"track_lost"}
    assert view.sightings == {"visible": [], "thermal": []}


def test_an_engine_that_gives_no_numbers_makes_nobody() -> None:
    tracker, frame = crowd(2)
    appearances = Appearances("visible", lambda crops: np.full((len(crops), 2), np.nan, np.float32), SIZE)
    assert appearances.step(frame, tracker.tracks, 0.3) == set()
    assert appearances.known == {}
