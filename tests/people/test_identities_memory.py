from __future__ import annotations

import pytest
from identity_stage import EPOCH, VIEW, Stage, enrolled, link
from looks import person

from edge_reid.errors import UserError
from edge_reid.gallery.sqlite import SqliteGallery
from edge_reid.people.identities import VOTES_FOR_NEWCOMER, VOTES_TO_NAME


def test_a_wrong_link_leaves_no_trace_in_what_is_known(gallery: SqliteGallery) -> None:
    stage = Stage(gallery)
    stage.step({"visible": {1: 7}, "thermal": {5: 12}}, link(1, 5))
    stage.step({"visible": {1: 7}, "thermal": {5: 12}}, link(1, 5, made=False))
    stage.identities.end("thermal", 5)
    stage.identities.end("visible", 1)
    found = gallery.search(person(12, VIEW["thermal"])[None], "thermal")[0]
    assert [candidate.person for candidate in found if candidate.score > 0.9] == []


def test_who_was_given_a_name_is_nobody_else_any_more(gallery: SqliteGallery) -> None:
    stage = Stage(gallery)
    stage.step({"visible": {1: 9}}, times=VOTES_FOR_NEWCOMER)
    gallery.rename(1, "Alice")
    gallery.rename(enrolled(gallery, 7, "visible"), "Bob")
    stage.step({"visible": {1: 7}}, times=3 * VOTES_TO_NAME)
    assert set(gallery.names().values()) == {"Alice", "Bob"}


def test_a_visit_that_goes_on_is_noted(gallery: SqliteGallery) -> None:
    stage = Stage(gallery)
    stage.step({"visible": {1: 7}, "thermal": {5: 7}}, link(1, 5))
    stage.step({"visible": {1: 7}, "thermal": {5: 7}}, times=9)
    stage.identities.note()
    stage.step({"visible": {1: 7}, "thermal": {5: 7}}, times=10)
    stage.identities.note()
    seen = {past.camera: (past.began, past.ended) for past in gallery.sightings(1)}
    assert seen == dict.fromkeys(VIEW, (EPOCH, pytest.approx(EPOCH + 2.0)))


def test_an_end_is_remembered_with_where_and_when(gallery: SqliteGallery) -> None:
    stage = Stage(gallery)
    stage.step({"visible": {1: 7}, "thermal": {5: 7}}, link(1, 5))
    stage.step({"visible": {1: 7}, "thermal": {5: 7}}, times=9)
    stage.identities.end("visible", 1)
    stage.identities.end("thermal", 5)
    seen = {past.camera: (past.began, past.ended) for past in gallery.sightings(1)}
    assert seen == dict.fromkeys(VIEW, (EPOCH, pytest.approx(EPOCH + 1.0)))
    assert gallery.person(1).prototypes == {"visible": 2, "thermal": 1}


def test_one_recognised_with_little_to_spare_adds_nothing_to_what_is_known_of_them(gallery: SqliteGallery) -> None:
    number = enrolled(gallery, 7, "visible")
    stage = Stage(gallery, margin=0.6)  # a surplus of at most 0.5 is never enough
    stage.step({"visible": {1: 7}}, times=VOTES_TO_NAME)
    assert stage.identities.person("visible", 1) == number
    stage.identities.end("visible", 1)
    assert gallery.person(number).prototypes == {"visible": 1}


def test_who_was_forgotten_is_nobody_here_and_ends_without_a_trace(gallery: SqliteGallery) -> None:
    number = enrolled(gallery, 7, "visible")
    stage = Stage(gallery)
    stage.step({"visible": {1: 7}}, times=VOTES_TO_NAME)
    gallery.forget(number)
    assert stage.identities.end("visible", 1) == []
    stage.step({"visible": {2: 8}}, times=VOTES_FOR_NEWCOMER)
    gallery.forget(2)
    stage.identities.drop_forgotten()
    assert stage.identities.person("visible", 2) is None
    assert gallery.count() == 0


def test_a_live_track_is_enrolled_under_a_name(gallery: SqliteGallery) -> None:
    stage = Stage(gallery)
    stage.step({"visible": {1: 7}})
    number = stage.identities.enrol("visible", 1, "Ada")
    assert gallery.person(number).name == "Ada"
    assert stage.identities.person("visible", 1) == number
    with pytest.raises(KeyError):
        stage.identities.enrol("visible", 9, "Bob")
    stage.step({"visible": {1: 7, 2: 8}})
    with pytest.raises(UserError, match="Ada"):
        stage.identities.enrol("visible", 2, "Ada")
    assert gallery.count() == 1, "a name that is taken leaves nobody behind"
