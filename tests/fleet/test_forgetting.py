"""Who is forgotten is forgotten everywhere, and says so; two devices that name one person twice mean one person."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from conftest import Fleet
from fleet_world import attached, looks_of, people_of, prototype, sightings_of, sync

from edge_reid.errors import UserError
from edge_reid.fleet import people
from edge_reid.fleet.records import FleetPerson
from edge_reid.gallery.sqlite import SqliteGallery


@pytest.fixture
def logins(fleet: Fleet) -> list[str]:
    return [fleet.admit("north", "gate-1"), fleet.admit("north", "gate-2"), fleet.admit("south", "gate-1")]


def open_forgettings(fleet: Fleet) -> list[str]:
    return [device for (device,) in fleet.rows("SELECT device FROM forgotten WHERE confirmed IS NULL ORDER BY device")]


def meet(gallery: SqliteGallery, random: np.random.Generator, name: str | None = None) -> int:
    """Somebody new, seen once."""
    person = gallery.add(prototype(random))
    gallery.sighted(person, "visible", 100.0, 110.0)
    if name is not None:
        gallery.rename(person, name)
    return person


def holds(path: Path, vector: bytes) -> bool:
    return any(vector in file.read_bytes() for file in path.parent.glob(f"{path.name}*"))


def test_forgetting_on_one_device_reaches_the_fleet_and_every_device_that_calls_them_so(
    fleet: Fleet, logins: list[str], tmp_path: Path, random: np.random.Generator
) -> None:
    first, second, far = (tmp_path / name for name in ("first", "second", "far"))
    with attached(first) as here, attached(second) as there, attached(far) as elsewhere:
        galleries = (here, there, elsewhere)
        ada, twin, other = (meet(gallery, random, "Ada") for gallery in galleries)
        bystander = meet(there, random)
        for login, gallery in zip(logins, galleries, strict=True):
            sync(fleet, login, gallery)
        vector = next(iter(looks_of(fleet)["north", "gate-2", twin]))
        assert holds(second, vector)

        here.forget(ada)
        sync(fleet, logins[0], here)
        assert [row[:3] for row in people_of(fleet)] == [("north", "gate-2", bystander), ("south", "gate-1", other)]
        assert {key[1:] for key in looks_of(fleet)} == {("gate-2", bystander), ("gate-1", other)}
        assert {row[:3] for row in sightings_of(fleet)} == {("north", "gate-2", bystander), ("south", "gate-1", other)}
        assert open_forgettings(fleet) == ["gate-2"], "its own device has confirmed, the other has not been asked yet"

        sync(fleet, logins[1], there)
        assert [person.number for person in there.people()] == [bystander]
        assert not holds(second, vector), "confirmed is what lies nowhere in the file any more"
        assert open_forgettings(fleet) == []
        assert [access.actor for access in there.audit() if access.action == "forget"] == ["fleet"]
        assert elsewhere.count() == 1, "another site's Ada is somebody else"


def test_an_operator_forgets_whom_a_device_has_let_expire(
    fleet: Fleet, logins: list[str], path: Path, random: np.random.Generator
) -> None:
    with attached(path) as gallery:
        person = meet(gallery, random)
        sync(fleet, logins[0], gallery)
        gallery.expire(1e6)
        with fleet.open(fleet.admit("*")) as connection:
            assert people.forget(connection, people.find(connection, f"north/gate-1/{person}")) == 1
        assert open_forgettings(fleet) == ["gate-1"]
        sync(fleet, logins[0], gallery)
    assert open_forgettings(fleet) == []
    assert fleet.rows("SELECT action, person IS NOT NULL, count FROM audit") == [("forget", True, 1)]


def test_a_name_is_one_person_at_a_site_whichever_device_was_first(
    fleet: Fleet, logins: list[str], tmp_path: Path, random: np.random.Generator
) -> None:
    with attached(tmp_path / "a") as here, attached(tmp_path / "b") as there, attached(tmp_path / "c") as elsewhere:
        galleries = (here, there, elsewhere)
        numbers = [meet(gallery, random, "Ada") for gallery in galleries]
        for login, gallery in reversed(list(zip(logins, galleries, strict=True))):
            sync(fleet, login, gallery)
        keys = [
            FleetPerson(site, gallery.fleet_identity()[0], number)
            for site, gallery, number in zip(("north", "north", "south"), galleries, numbers, strict=True)
        ]
        with fleet.open() as connection:
            for key in keys[:2]:
                assert people.same_people(connection, key) == sorted(keys[:2])
            assert people.same_people(connection, keys[2]) == [keys[2]]
            where = people.whereabouts(connection, keys[:2], 10)
            assert {one.device for one in where} == {"gate-1", "gate-2"}
        there.rename(numbers[1], "Bea")
        sync(fleet, logins[1], there)
        with fleet.open() as connection:
            assert people.same_people(connection, keys[0]) == [keys[0]], "a wrong name is not for ever"


def test_an_operator_merges_across_sites_and_parts_again(
    fleet: Fleet, logins: list[str], tmp_path: Path, random: np.random.Generator
) -> None:
    with attached(tmp_path / "a") as here, attached(tmp_path / "b") as there, attached(tmp_path / "c") as elsewhere:
        galleries = (here, there, elsewhere)
        numbers = [meet(here, random, "Ada"), meet(there, random, "Ada"), meet(elsewhere, random)]
        double = meet(elsewhere, random)
        for login, gallery in zip(logins, galleries, strict=True):
            sync(fleet, login, gallery)
        with fleet.open(fleet.admit("*")) as connection:
            ada, far = people.find(connection, "north/Ada"), people.find(connection, f"south/gate-1/{numbers[2]}")
            people.merge(connection, ada, far)
            people.merge(connection, ada, far)
            assert len(people.same_people(connection, far)) == 3
            with pytest.raises(UserError, match="cannot be merged with themselves"):
                people.merge(connection, far, far)
        elsewhere.merge(double, numbers[2])
        sync(fleet, logins[2], elsewhere)
        with fleet.open() as connection:
            kept = people.find(connection, f"south/gate-1/{double}")
            assert len(people.same_people(connection, kept)) == 3, "what a device merges stays merged with others"
            people.merge(connection, ada, kept, undo=True)
            assert people.same_people(connection, kept) == [kept]
            other = next(one for one in people.same_people(connection, ada) if one != ada)
            with pytest.raises(UserError, match="stay the same: by their name"):
                people.merge(connection, ada, other, undo=True)
        assert fleet.rows("SELECT count(*) FROM link WHERE (site, number) = (other_site, other_number)") == [(0,)]


def test_an_older_program_s_file_is_brought_up_to_date(
    fleet: Fleet, logins: list[str], path: Path, random: np.random.Generator
) -> None:
    with attached(path) as gallery:
        meet(gallery, random, "Ada")
    with closing(sqlite3.connect(path)) as connection:
        for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            connection.execute(f"DROP TRIGGER {name}")
        connection.execute("DROP TABLE fleet")
        connection.execute("DROP TABLE changes")
        connection.execute("PRAGMA user_version = 1")
        connection.commit()
    with attached(path) as gallery:
        sync(fleet, logins[0], gallery)
    assert [row[3] for row in people_of(fleet)] == ["Ada"]
