"""From a gallery's file to the fleet: all of it, once, and nothing of who was forgotten."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import Fleet
from fleet_world import attached, looks_of, people_of, prototype, sightings_of, sync

from edge_reid.errors import UserError
from edge_reid.fleet.link import register_gallery
from edge_reid.fleet.push import StaleBatch, push


@pytest.fixture
def login(fleet: Fleet) -> str:
    return fleet.admit("north", "gate-1")


def test_what_a_device_knows_is_in_the_fleet(fleet: Fleet, login: str, path: Path, random: np.random.Generator) -> None:
    looks = [prototype(random, "visible", 100.0, 2.5), prototype(random, "thermal", 101.0)]
    with attached(path, keep_crops=True) as gallery:
        ada = gallery.add(looks[0], crop=b"picture")
        gallery.rename(ada, "Ada")
        gallery.add(looks[1], ada)
        gallery.sighted(ada, "visible", 99.0, 104.25)
        sync(fleet, login, gallery)
        assert gallery.pending() == 0
        uid, _ = gallery.fleet_identity()
    assert people_of(fleet) == [("north", "gate-1", ada, "Ada", 99.0, 104.25)]
    assert looks_of(fleet) == {
        ("north", "gate-1", ada): {
            looks[0].vector.tobytes(): ("visible", 2.5, 100.0),
            looks[1].vector.tobytes(): ("thermal", 1.0, 101.0),
        }
    }
    assert sightings_of(fleet) == [("north", "gate-1", ada, "visible", 99.0, 104.25)]
    assert fleet.rows("SELECT gallery, crop FROM prototype WHERE crop IS NOT NULL") == [(uid, b"picture")]


def test_who_was_there_before_the_fleet_is_sent_too(
    fleet: Fleet, login: str, path: Path, random: np.random.Generator
) -> None:
    with attached(path) as gallery:
        gallery.detach()
        gallery.add(prototype(random))
        assert gallery.pending() == 0
        gallery.attach()
        gallery.attach()
        assert gallery.pending() == 2, "the person and the look"
        sync(fleet, login, gallery)
    assert len(people_of(fleet)) == 1


def test_only_what_changed_is_sent_again(fleet: Fleet, login: str, path: Path, random: np.random.Generator) -> None:
    with attached(path) as gallery:
        person = gallery.add(prototype(random))
        gallery.add(prototype(random))
        sync(fleet, login, gallery)
        gallery.sighted(person, "visible", 200.0, 210.0)
        gallery.sighted(person, "visible", 200.0, 220.0)
        changes = gallery.changes(100)
        assert ([one.number for one in changes.people], len(changes.prototypes)) == ([person], 0)
        assert [(one.began, one.ended) for one in changes.sightings] == [(200.0, 220.0)]


def test_a_change_while_its_batch_is_under_way_is_not_lost(
    fleet: Fleet, login: str, path: Path, random: np.random.Generator
) -> None:
    with attached(path) as gallery, fleet.open(login) as connection:
        person = gallery.add(prototype(random))
        gallery.rename(person, "Ada")
        me, first = register_gallery(connection, gallery), gallery.changes(100)
        gallery.rename(person, "Bea")
        gallery.flush()
        push(connection, me, first)
        gallery.sent(first)
        assert gallery.pending() == 1
        sync(fleet, login, gallery)
    assert [row[3] for row in people_of(fleet)] == ["Bea"]


def test_a_batch_that_was_held_up_on_its_way_changes_nothing(
    fleet: Fleet, login: str, path: Path, random: np.random.Generator
) -> None:
    with attached(path) as gallery, fleet.open(login) as connection:
        person = gallery.add(prototype(random))
        gallery.rename(person, "Ada")
        me, late = register_gallery(connection, gallery), gallery.changes(100)
        gallery.rename(person, "Bea")
        sync(fleet, login, gallery)
        for again in (late, late):
            with pytest.raises(StaleBatch):
                push(connection, me, again)
    assert [row[3] for row in people_of(fleet)] == ["Bea"]


def test_a_batch_whose_confirmation_was_lost_is_there_once(
    fleet: Fleet, login: str, path: Path, random: np.random.Generator
) -> None:
    with attached(path) as gallery, fleet.open(login) as connection:
        person = gallery.add(prototype(random))
        gallery.sighted(person, "visible", 1.0, 2.0)
        me = register_gallery(connection, gallery)
        push(connection, me, gallery.changes(100))
        before = people_of(fleet), looks_of(fleet), sightings_of(fleet)
        sync(fleet, login, gallery)
    assert (people_of(fleet), looks_of(fleet), sightings_of(fleet)) == before
    assert fleet.rows("SELECT count(*) FROM prototype") == [(1,)]


def test_a_file_that_was_restored_from_a_copy_is_sent_anew(
    fleet: Fleet, login: str, path: Path, random: np.random.Generator
) -> None:
    with attached(path) as gallery:
        ada, bea = gallery.add(prototype(random)), gallery.add(prototype(random))
        sync(fleet, login, gallery)
    shutil.copy(path, copy := path.with_name("copy"))
    with attached(path) as gallery:
        gallery.forget(bea)
        gallery.rename(ada, "Ada")
        for _ in range(3):
            gallery.add(prototype(random), ada)
            sync(fleet, login, gallery)
    with attached(copy) as gallery:
        gallery.rename(ada, "Eva")
        sync(fleet, login, gallery)
        assert gallery.count() == 1, "who was forgotten comes back nowhere, here neither"
    assert [row[2:4] for row in people_of(fleet)] == [(ada, "Eva")]


def test_merging_on_the_device_merges_in_the_fleet(
    fleet: Fleet, login: str, path: Path, random: np.random.Generator
) -> None:
    with attached(path) as gallery:
        ada, double = gallery.add(prototype(random)), gallery.add(prototype(random, "thermal"))
        gallery.sighted(ada, "visible", 1.0, 2.0)
        gallery.sighted(double, "thermal", 3.0, 4.0)
        sync(fleet, login, gallery)
        gallery.sighted(double, "thermal", 5.0, 6.0)
        gallery.merge(ada, double)
        sync(fleet, login, gallery)
    assert [row[2] for row in people_of(fleet)] == [ada]
    assert [len(looks) for looks in looks_of(fleet).values()] == [2]
    assert [row[2:] for row in sightings_of(fleet)] == [
        (ada, "thermal", 3.0, 4.0), (ada, "thermal", 5.0, 6.0), (ada, "visible", 1.0, 2.0),
    ]  # fmt: skip


def test_the_fleet_has_as_many_looks_of_a_person_as_the_device(
    fleet: Fleet, login: str, path: Path, random: np.random.Generator
) -> None:
    with attached(path) as gallery:
        person = gallery.add(prototype(random, quality=1.0))
        for round_ in range(4):
            for _ in range(4):
                gallery.add(prototype(random, quality=1.0 + random.random()), person)
            sync(fleet, login, gallery, most=3)
            (looks,) = looks_of(fleet).values()
            assert len(looks) == min(8, 5 + 4 * round_)
        kept = gallery.changes(0), gallery.person(person).prototypes
    assert kept[1] == {"visible": 8}


def test_what_expires_on_the_device_stays_until_the_fleet_lets_it_expire(
    fleet: Fleet, login: str, path: Path, random: np.random.Generator
) -> None:
    with attached(path) as gallery:
        person = gallery.add(prototype(random))
        gallery.sighted(person, "visible", 99.0, 100.0)
        sync(fleet, login, gallery)
        assert gallery.expire(100.0 + 86400.0) == [person], "as on a device whose clock has jumped"
        sync(fleet, login, gallery)
        assert gallery.pending() == 0
    assert len(people_of(fleet)) == 1
    ((left,),) = fleet.rows("SELECT extract(epoch FROM expires - now())::float8 FROM person")
    assert 86390 < left <= 86400, "by the server's clock, wherever the device's stands"


def test_an_encrypted_file_is_read_on_its_way(
    fleet: Fleet, login: str, path: Path, random: np.random.Generator
) -> None:
    pytest.importorskip("cryptography")
    look = prototype(random)
    with attached(path, key=bytes(range(32))) as gallery:
        gallery.rename(gallery.add(look), "Ada")
        sync(fleet, login, gallery)
    assert [row[3] for row in people_of(fleet)] == ["Ada"]
    assert [set(looks) for looks in looks_of(fleet).values()] == [{look.vector.tobytes()}]


def test_a_copied_file_is_not_two_devices(fleet: Fleet, login: str, path: Path, random: np.random.Generator) -> None:
    other = fleet.admit("north", "gate-2")
    with attached(path) as gallery:
        gallery.add(prototype(random))
        sync(fleet, login, gallery)
        with pytest.raises(UserError, match=r"is another device's: the file was copied; give gate-2 a file of its own"):
            sync(fleet, other, gallery)


def test_models_never_mix(fleet: Fleet, login: str, path: Path) -> None:
    with attached(path, space="model-b") as gallery, pytest.raises(UserError, match="does not have model model-b"):
        sync(fleet, login, gallery)
    with attached(path.with_name("other"), dimension=8) as gallery, pytest.raises(UserError, match="8 numbers"):
        sync(fleet, login, gallery)
