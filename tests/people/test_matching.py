from __future__ import annotations

import numpy as np
import pytest

from edge_reid.people.matching import PLACE, REACH, VOTES_TO_BIND, VOTES_TO_UNBIND, Change, Matcher

DIMENSIONS = 32


def person(identity: int, view: int = 0, distance: float = 0.3) -> np.ndarray:
    """A unit vector near that of `identity`; views of one person have a cosine of about 1 - distance."""
    own = np.random.default_rng([1, identity]).normal(size=DIMENSIONS)
    other = np.random.default_rng([2, identity, view]).normal(size=DIMENSIONS)
    vector = own / np.linalg.norm(own) + np.sqrt(distance) * other / np.linalg.norm(other)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


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
    assert {matcher.person("visible", 1), matcher.person("visible", 2)} == {1, 2}
    assert matcher.person("visible", 1) == matcher.person("thermal", 6)


def test_strangers_are_never_forced_together() -> None:
    matcher = Matcher(0.5)
    assert vote(matcher, {1: 7, 2: 8}, {5: 9}, 20) == []
    assert matcher.person("visible", 1) is None


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
    assert matcher.person("visible", 1) == 1, "the number stays with one of the two"
    assert matcher.person("thermal", 5) is None


def test_a_wrong_link_is_exchanged_for_the_right_one() -> None:
    matcher = Matcher(0.5)
    vote(matcher, {1: 7, 2: 8}, {5: 8, 6: 7}, VOTES_TO_BIND)
    vote(matcher, {1: 8, 2: 7}, {5: 8, 6: 7}, VOTES_TO_BIND + VOTES_TO_UNBIND)
    assert couples(matcher) == {(1, 5), (2, 6)}
    assert matcher.person("visible", 1) != matcher.person("visible", 2)


def test_the_number_is_kept_when_a_visible_track_dies_and_a_new_one_is_the_same_thermal_track() -> None:
    matcher = Matcher(0.5)
    vote(matcher, {1: 7}, {5: 7}, VOTES_TO_BIND)
    (change,) = matcher.forget("visible", 1)
    assert not change.made
    assert matcher.person("thermal", 5) == 1
    vote(matcher, {3: 7}, {5: 7}, VOTES_TO_BIND)
    assert matcher.person("visible", 3) == 1


def test_a_new_couple_gets_a_new_number() -> None:
    matcher = Matcher(0.5)
    vote(matcher, {1: 7}, {5: 7}, VOTES_TO_BIND)
    matcher.forget("visible", 1)
    matcher.forget("thermal", 5)
    vote(matcher, {2: 8}, {6: 8}, VOTES_TO_BIND)
    assert matcher.person("visible", 2) == 2


@pytest.mark.parametrize("seed", range(5))
def test_two_live_tracks_of_a_camera_never_share_a_number(seed: int) -> None:
    rng = np.random.default_rng(seed)
    matcher = Matcher(0.3)
    alive: dict[str, dict[int, int]] = {"visible": {}, "thermal": {}}
    number = 0
    for _ in range(300):
        for camera in ("visible", "thermal"):
            if len(alive[camera]) < 4:
                number += 1
                alive[camera][number] = int(rng.integers(6))
            if rng.random() < 0.1 and alive[camera]:
                gone = int(rng.choice(list(alive[camera])))
                del alive[camera][gone]
                matcher.forget("visible" if camera == "visible" else "thermal", gone)
            if rng.random() < 0.1 and alive[camera]:
                alive[camera][int(rng.choice(list(alive[camera])))] = int(rng.integers(6))
        vote(matcher, alive["visible"], alive["thermal"])
        assert len({link.visible for link in matcher.links}) == len({link.thermal for link in matcher.links})
        for camera in ("visible", "thermal"):
            modality = "visible" if camera == "visible" else "thermal"
            numbers = [matcher.person(modality, track) for track in alive[camera]]
            known = [known for known in numbers if known is not None]
            assert len(known) == len(set(known))
        both = {
            (visible, thermal)
            for visible in alive["visible"]
            for thermal in alive["thermal"]
            if matcher.person("visible", visible) is not None
            and matcher.person("visible", visible) == matcher.person("thermal", thermal)
        }
        assert both == couples(matcher), "one number in both views means a link, and the other way round"
