from __future__ import annotations

import numpy as np
import pytest
from looks import person

from edge_reid.people.matching import PLACE, REACH, VOTES_TO_BIND, VOTES_TO_UNBIND, Change, Matcher
from edge_reid.types import Modality


def vote(matcher: Matcher, visible: dict[int, int], thermal: dict[int, int], times: int = 1) -> list[Change]:
    """Steps with tracks that look like identities: {track: identity}."""
    changes = []
    for _ in range(times):
        changes += matcher.step(
            {track: person(identity, 1) for track, identity in visible.items()},
            {track: person(identity, 2) for track, identity in thermal.items()},
            {"visible": set(visible), "thermal": set(thermal)},
        )
    return changes


def couples(matcher: Matcher) -> set[tuple[int, int]]:
    return {(link.visible, link.thermal) for link in matcher.links}


def test_people_are_linked_after_several_agreeing_votes_and_not_before() -> None:
    matcher = Matcher(0.5)
    assert vote(matcher, {1: 7, 2: 8}, {5: 8, 6: 7}, VOTES_TO_BIND - 1) == []
    changes = vote(matcher, {1: 7, 2: 8}, {5: 8, 6: 7})
    assert [change.made for change in changes] == [True, True]
    assert couples(matcher) == {(1, 6), (2, 5)}


def test_strangers_are_never_forced_together() -> None:
    matcher = Matcher(0.5)
    assert vote(matcher, {1: 7, 2: 8}, {5: 9}, 20) == []


def test_a_good_couple_is_not_broken_up_to_make_two_bad_ones() -> None:
    matcher = Matcher(0.5)
    visible = {1: np.array([1.0, 0.0], np.float32), 2: np.array([0.8, -0.6], np.float32)}
    thermal = {5: np.array([1.0, 0.0], np.float32), 6: np.array([0.49, 0.8717], np.float32)}
    # cosines: 1-5 1.00, 1-6 0.49, 2-5 0.80, 2-6 below; assigning without bound would prefer 1-6 with 2-5
    for _ in range(5):
        matcher.step(visible, thermal, {"visible": {1, 2}, "thermal": {5, 6}})
    assert couples(matcher) == {(1, 5)}


def test_couples_that_cannot_be_are_never_linked_however_alike() -> None:
    matcher = Matcher(0.5)
    visible, thermal = {1: person(7, 1), 2: person(8, 1)}, {5: person(7, 2), 6: person(8, 2)}
    for _ in range(5):
        apart = np.array([[REACH + 0.01, 0.0], [np.nan, np.nan]])
        matcher.step(visible, thermal, {"visible": {1, 2}, "thermal": {5, 6}}, apart)
    assert couples(matcher) == {(2, 6)}


def test_people_at_one_place_need_to_look_less_alike() -> None:
    visible = {1: np.array([1.0, 0.0], np.float32)}
    for cosine, apart, linked in (
        (0.5 - 0.9 * PLACE, REACH, True),
        (0.5 - 1.1 * PLACE, 0.0, False),
        (0.5 - 0.9 * PLACE, np.nan, False),
        (0.51, np.nan, True),
        (0.99, np.inf, False),
    ):
        matcher = Matcher(0.5)
        thermal = {5: np.array([cosine, np.sqrt(1 - cosine**2)], np.float32)}
        for _ in range(VOTES_TO_BIND):
            matcher.step(visible, thermal, {"visible": {1}, "thermal": set()}, np.array([[apart]]))
        assert couples(matcher) == ({(1, 5)} if linked else set()), (cosine, apart)


def test_a_link_whose_ends_part_is_undone() -> None:
    matcher = Matcher(0.5)
    vote(matcher, {1: 7}, {5: 7}, VOTES_TO_BIND)
    for _ in range(VOTES_TO_UNBIND):
        matcher.step({1: person(7, 1)}, {5: person(7, 2)}, {"visible": {1}, "thermal": set()}, np.array([[np.inf]]))
    assert couples(matcher) == set()


def test_only_new_embeddings_vote() -> None:
    matcher = Matcher(0.5)
    for _ in range(10):
        matcher.step({1: person(7, 1)}, {5: person(7, 2)}, {"visible": set(), "thermal": set()})
    assert matcher.links == []


def test_a_link_survives_few_contradictions_and_not_many() -> None:
    matcher = Matcher(0.5)
    vote(matcher, {1: 7}, {5: 7}, VOTES_TO_BIND)
    vote(matcher, {1: 7}, {5: 9}, VOTES_TO_UNBIND - 1)
    vote(matcher, {1: 7}, {5: 7})
    assert vote(matcher, {1: 7}, {5: 9}, VOTES_TO_UNBIND - 1) == []
    (change,) = vote(matcher, {1: 7}, {5: 9})
    assert not change.made
    assert matcher.links == []


def test_a_wrong_link_is_exchanged_for_the_right_one() -> None:
    matcher = Matcher(0.5)
    vote(matcher, {1: 7, 2: 8}, {5: 8, 6: 7}, VOTES_TO_BIND)
    vote(matcher, {1: 8, 2: 7}, {5: 8, 6: 7}, VOTES_TO_BIND + VOTES_TO_UNBIND)
    assert couples(matcher) == {(1, 5), (2, 6)}


def test_a_track_that_ends_takes_its_link_with_it_and_its_partner_is_free() -> None:
    matcher = Matcher(0.5)
    vote(matcher, {1: 7}, {5: 7}, VOTES_TO_BIND)
    (change,) = matcher.forget("visible", 1)
    assert not change.made
    vote(matcher, {3: 7}, {5: 7}, VOTES_TO_BIND)
    assert couples(matcher) == {(3, 5)}


@pytest.mark.parametrize("seed", range(5))
def test_a_track_has_one_partner_at_most(seed: int) -> None:
    rng = np.random.default_rng(seed)
    matcher = Matcher(0.3)
    alive: dict[Modality, dict[int, int]] = {"visible": {}, "thermal": {}}
    number = linked = 0
    for _ in range(300):
        for camera, tracks in alive.items():
            if len(tracks) < 4:
                number += 1
                tracks[number] = int(rng.integers(6))
            if rng.random() < 0.1:
                gone = int(rng.choice(list(tracks)))
                del tracks[gone]
                matcher.forget(camera, gone)
            if rng.random() < 0.1 and tracks:
                tracks[int(rng.choice(list(tracks)))] = int(rng.integers(6))
        vote(matcher, alive["visible"], alive["thermal"])
        linked += len(matcher.links)
        for side, tracks in zip(zip(*couples(matcher), strict=True), alive.values(), strict=False):
            assert len(set(side)) == len(side)
            assert set(side) <= set(tracks)
    assert linked > 100
