from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from strangers import NOW, gallery, look, unit

from edge_reid.errors import UserError
from edge_reid.gallery.records import DAY, Keep


def test_people_expire_by_what_they_are(random: np.random.Generator, path: Path) -> None:
    with gallery(path, keep=Keep(anonymous=100.0, named=1000.0, history=50.0, audit=2000.0)) as people:
        stranger, named = people.add(look(random)), people.enrol("Ada", [look(random)])
        people.sighted(stranger, "visible", NOW, NOW + 30)
        people.sighted(named, "visible", NOW, NOW + 40)
        assert people.person(stranger).expires == NOW + 130
        assert people.expire(NOW + 129) == []
        assert [sighting.person for sighting in people.sightings()] == [], "the history is kept 50 seconds only"
        assert people.expire(NOW + 130) == [stranger]
        assert people.expire(NOW + 1039) == []
    with gallery(path) as people:
        assert [person.number for person in people.people()] == [named]
        assert people.keep.anonymous == 100.0, "the file says so"
        assert people.expire(NOW + 1040) == [named]
        actions = [(access.action, access.person) for access in people.audit()]
        assert actions[:2] == [("expire", named), ("open", None)]
        assert ("expire", stranger) in actions
        people.expire(NOW + 2001)
        assert people.audit() == []


def test_who_expired_while_nobody_had_the_file_open_is_gone_when_somebody_opens_it(
    random: np.random.Generator, path: Path
) -> None:
    with gallery(path) as people:
        people.add(look(random))
        named = people.enrol("Ada", [look(random)])
    with gallery(path, clock=lambda: NOW + DAY) as people:
        assert [person.number for person in people.people()] == [named]
        assert [(access.action, access.person) for access in people.audit(2)] == [("expire", 1), ("open", None)]


def test_people_with_a_name_may_be_kept_for_ever(random: np.random.Generator) -> None:
    with gallery(None, keep=Keep(named=None)) as people:
        number = people.enrol("Ada", [look(random)])
        assert people.person(number).expires is None
        assert people.expire(NOW + 10_000 * DAY) == []


@pytest.mark.parametrize("wrong", [{"anonymous": 0.0}, {"named": -1.0}, {"history": float("nan")}, {"prototypes": 0}])
def test_nothing_is_kept_for_no_time(wrong: dict[str, float]) -> None:
    with pytest.raises(UserError, match="must be above 0"):
        Keep(**wrong)  # type: ignore[arg-type]


def test_pictures_are_kept_only_where_that_is_asked_for(random: np.random.Generator, path: Path) -> None:
    with gallery(path) as people:
        people.add(look(random), crop=b"\xff\xd8 a picture")
        people.flush()
        assert people.stats().crops == 0
    assert b"a picture" not in path.read_bytes()
    with gallery(path, keep_crops=True) as people:
        people.enrol("Ada", [look(random)], [b"\xff\xd8 a picture"])
        assert people.stats().crops == 1


def test_the_audit_says_who_looked_and_who_changed_what(random: np.random.Generator, path: Path) -> None:
    with gallery(path, actor="app") as people:
        number = people.enrol("Ada", [look(random), look(random)])
        people.search(unit(random), "visible")
        with people.acting("page"):
            people.accessed("search", number, 3)
            people.rename(number, "Eva")
        people.forget(number)
        accesses = [(a.time, a.actor, a.action, a.person, a.count) for a in reversed(people.audit())]
    assert accesses == [
        (NOW, "app", "open", None, 0),
        (NOW, "app", "enrol", number, 2),
        (NOW, "page", "search", number, 3),
        (NOW, "page", "rename", number, 1),
        (NOW, "app", "forget", number, 2),
    ], "a search of the app for a track is not an access: its opening of the gallery is"


def test_stats_count(random: np.random.Generator, path: Path) -> None:
    with gallery(path) as people:
        people.sighted(people.add(look(random)), "visible", NOW, NOW + 1)
        people.enrol("Ada", [look(random), look(random, "thermal")])
        stats = people.stats()
    assert (stats.people, stats.named, stats.prototypes) == (2, 1, {"visible": 2, "thermal": 1})
    assert (stats.sightings, stats.accesses, stats.encrypted, stats.unwritten, stats.dropped) == (1, 2, False, 0, 0)
    assert stats.bytes > 0
