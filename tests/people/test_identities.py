from __future__ import annotations

import numpy as np
import pytest
from identity_stage import EPOCH, Stage, enrolled, link
from looks import person, rule_of

from edge_reid.gallery.base import Prototype
from edge_reid.gallery.sqlite import SqliteGallery
from edge_reid.people.bodies import Look, Turn
from edge_reid.people.identities import VOTES_FOR_NEWCOMER, VOTES_TO_NAME
from edge_reid.types import Modality


def kinds(turns: list[Turn]) -> list[tuple[str, int]]:
    return [(turn.kind, turn.person) for turn in turns]


def test_someone_known_is_recognised_after_several_agreeing_looks_and_not_before(gallery: SqliteGallery) -> None:
    number = enrolled(gallery, 7, "visible")
    enrolled(gallery, 8, "visible")
    stage = Stage(gallery)
    assert stage.step({"visible": {1: 7}}, times=VOTES_TO_NAME - 1) == []
    (turn,) = stage.step({"visible": {1: 7}})
    assert (turn.kind, turn.person, turn.members) == ("identified", number, {"visible": 1})
    assert turn.evidence is not None
    assert (turn.evidence.modality, turn.evidence.score) == ("visible", pytest.approx(1.0, abs=1e-5))
    assert stage.identities.person("visible", 1) == number


def test_someone_known_from_the_other_camera_is_recognised_too(gallery: SqliteGallery) -> None:
    number = enrolled(gallery, 7, "thermal")
    turns = Stage(gallery).step({"visible": {1: 7}}, times=VOTES_TO_NAME)
    assert kinds(turns) == [("identified", number)]
    assert turns[0].evidence is not None and turns[0].evidence.modality == "thermal"


def test_a_stranger_becomes_a_newcomer_in_time_or_at_the_end_of_the_track(gallery: SqliteGallery) -> None:
    enrolled(gallery, 8, "visible")
    stage = Stage(gallery)
    assert stage.step({"visible": {1: 7}}, times=VOTES_FOR_NEWCOMER - 1) == []
    assert kinds(stage.step({"visible": {1: 7}})) == [("person_new", 2)]
    stage.step({"thermal": {5: 9}}, times=VOTES_TO_NAME)
    assert kinds(stage.identities.end("thermal", 5)) == [("person_new", 3)]
    stage.step({"thermal": {6: 10}}, times=VOTES_TO_NAME - 1)
    assert stage.identities.end("thermal", 6) == [], "a glimpse is not remembered"
    assert gallery.count() == 3


def test_who_is_like_two_people_stays_unknown_however_long_they_stay(gallery: SqliteGallery) -> None:
    for view in (1, 5):
        gallery.add(Prototype("visible", person(7, view, 0.01), 1.0, EPOCH))
    stage = Stage(gallery, margin=0.1)
    assert stage.step({"visible": {1: 7}}, times=30) == []
    assert stage.identities.person("visible", 1) is None
    assert stage.identities.end("visible", 1) == []
    assert gallery.count() == 2


def test_a_linked_couple_has_one_number_in_both_views_at_once(gallery: SqliteGallery) -> None:
    stage = Stage(gallery)
    turns = stage.step({"visible": {1: 7}, "thermal": {5: 7}}, link(1, 5))
    assert kinds(turns) == [("person_new", 1)]
    assert stage.identities.person("visible", 1) == stage.identities.person("thermal", 5) == 1
    assert gallery.person(1).prototypes == {"visible": 1}, "the other look is theirs once the link has held"
    for modality, track in (("thermal", 5), ("visible", 1)):
        stage.identities.end(modality, track)
    assert gallery.person(1).prototypes == {"visible": 2, "thermal": 1}


def test_two_newcomers_who_turn_out_to_be_one_are_merged_into_the_first(gallery: SqliteGallery) -> None:
    stage = Stage(gallery)
    stage.identities._rule = rule_of(across=(0.99, 0.98))  # nobody is recognised from the other modality here
    stage.step({"visible": {1: 7}}, times=VOTES_FOR_NEWCOMER)
    stage.step({"visible": {1: 7}, "thermal": {5: 7}}, times=VOTES_FOR_NEWCOMER)
    assert [stage.identities.person("visible", 1), stage.identities.person("thermal", 5)] == [1, 2]
    turns = stage.step({"visible": {1: 7}, "thermal": {5: 7}}, link(1, 5))
    assert [(turn.kind, turn.person, turn.was) for turn in turns] == [("person_merged", 1, 2)]
    assert gallery.count() == 1
    assert gallery.person(1).prototypes == {"visible": 1, "thermal": 1}


def test_a_newcomer_who_turns_out_to_be_known_is_merged_into_who_they_are(gallery: SqliteGallery) -> None:
    number = enrolled(gallery, 7, "visible")
    stage = Stage(gallery)
    stage.step({"visible": {1: 9}}, times=VOTES_FOR_NEWCOMER)
    turns = stage.step({"visible": {1: 7}}, times=VOTES_TO_NAME)
    assert [(turn.kind, turn.person, turn.was) for turn in turns] == [("person_merged", number, 2)]
    assert [known.number for known in gallery.people()] == [number]


def test_a_link_that_is_undone_leaves_the_person_with_one_of_the_two(gallery: SqliteGallery) -> None:
    stage = Stage(gallery)
    stage.step({"visible": {1: 7}, "thermal": {5: 7}}, link(1, 5))
    stage.step({"visible": {1: 7}, "thermal": {5: 7}}, link(1, 5, made=False))
    for _ in range(20):
        assert stage.identities.person("visible", 1) == 1
        assert stage.identities.person("thermal", 5) != 1, "however alike: they are two while both last"
        stage.step({"visible": {1: 7}, "thermal": {5: 7}})


def test_two_people_known_before_are_not_made_one_by_a_link(gallery: SqliteGallery) -> None:
    first, second = enrolled(gallery, 7, "visible"), enrolled(gallery, 8, "thermal")
    stage = Stage(gallery)
    stage.step({"visible": {1: 7}, "thermal": {5: 8}}, times=VOTES_TO_NAME)
    stage.step({"visible": {1: 7}, "thermal": {5: 8}}, link(1, 5), times=5)
    assert [stage.identities.person("visible", 1), stage.identities.person("thermal", 5)] == [first, second]
    for modality, track in (("thermal", 5), ("visible", 1)):
        stage.identities.end(modality, track)
    assert gallery.person(first).prototypes.keys() == {"visible"}
    assert gallery.person(second).prototypes.keys() == {"thermal"}


def test_who_is_taken_for_someone_gives_way_to_who_is_much_more_like_them(gallery: SqliteGallery) -> None:
    vector = person(7, 1)
    number = gallery.add(Prototype("visible", vector, 1.0, EPOCH))
    stage = Stage(gallery)
    aside = person(20, 3) - vector * float(person(20, 3) @ vector)
    alike = 0.6 * vector + 0.8 * aside / np.linalg.norm(aside)

    def look(track: int, seen: np.ndarray) -> Look:
        return Look(seen.astype(np.float32), 1.0, 0.0, stage.time)

    for _ in range(VOTES_TO_NAME):
        stage.time += 0.1
        stage.identities.step({"visible": {1: look(1, alike)}}, [], {"visible": {1}}, ())
    assert stage.identities.person("visible", 1) == number
    for _ in range(VOTES_TO_NAME):
        stage.time += 0.1
        both = {1: look(1, alike), 2: look(2, vector)}
        stage.identities.step({"visible": both}, [], {"visible": {1, 2}}, ())
    assert [stage.identities.person("visible", track) for track in (1, 2)] == [None, number]


def test_after_a_merge_nobody_has_the_number_that_is_gone(gallery: SqliteGallery) -> None:
    stage = Stage(gallery)
    stage.step({"visible": {1: 9}}, times=VOTES_FOR_NEWCOMER)
    stage.step({"visible": {1: 9}, "thermal": {5: 9}}, times=VOTES_TO_NAME)
    assert stage.identities.person("thermal", 5) == 1
    known = enrolled(gallery, 7, "visible")
    (turn,) = stage.step({"visible": {1: 7}}, times=VOTES_TO_NAME)
    assert (turn.kind, turn.person, turn.was) == ("person_merged", known, 1)
    assert stage.identities.person("thermal", 5) == known


def test_two_who_are_there_at_once_are_never_one_person_however_alike(gallery: SqliteGallery) -> None:
    number = enrolled(gallery, 7, "visible")
    stage = Stage(gallery)
    stage.step({"visible": {1: 7, 2: 7}}, times=3 * VOTES_TO_NAME)
    held = [stage.identities.person("visible", track) for track in (1, 2)]
    assert held.count(number) == 1


def test_who_is_seen_elsewhere_is_someone_else(gallery: SqliteGallery) -> None:
    number = enrolled(gallery, 7, "visible", "thermal")
    stage = Stage(gallery)
    stage.step({"visible": {1: 7}}, times=VOTES_TO_NAME)
    stage.step({"visible": {1: 7}, "thermal": {5: 7}}, apart=((1, 5),), times=VOTES_TO_NAME)
    assert stage.identities.person("visible", 1) == number
    assert stage.identities.person("thermal", 5) != number


def test_a_new_track_of_someone_whose_last_one_was_lost_is_the_same_person(gallery: SqliteGallery) -> None:
    stage = Stage(gallery)
    stage.step({"visible": {1: 7}, "thermal": {5: 7}}, link(1, 5))
    stage.identities.end("visible", 1)
    stage.step({"visible": {2: 7}, "thermal": {5: 7}}, times=VOTES_TO_NAME)
    assert stage.identities.person("visible", 2) == stage.identities.person("thermal", 5) == 1


@pytest.mark.parametrize("seed", range(4))
def test_in_any_turmoil_nobody_is_two_tracks_of_a_camera(seed: int, gallery: SqliteGallery) -> None:
    rng = np.random.default_rng(seed)
    stage = Stage(gallery)
    tracks: dict[Modality, dict[int, int]] = {"visible": {}, "thermal": {}}
    linked: set[tuple[int, int]] = set()
    number = known = 0
    for _ in range(300):
        for modality, here in tracks.items():
            if len(here) < 4 and rng.random() < 0.3:
                number += 1
                here[number] = int(rng.integers(8))
            if here and rng.random() < 0.1:
                gone = int(rng.choice(list(here)))
                del here[gone]
                linked = {couple for couple in linked if gone not in couple}
                stage.identities.end(modality, gone)
        free = [[t for t in here if not any(t in couple for couple in linked)] for here in tracks.values()]
        changes = []
        if free[0] and free[1] and rng.random() < 0.3:
            couple = int(rng.choice(free[0])), int(rng.choice(free[1]))
            linked.add(couple)
            changes = [link(*couple)]
        stage.step(tracks, *changes)
        for modality, here in tracks.items():
            held = [stage.identities.person(modality, track) for track in here]
            people = [one for one in held if one is not None]
            assert len(people) == len(set(people))
            known += len(people)
    assert known > 300
