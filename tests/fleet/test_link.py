"""The thread that keeps the fleet informed, with a real server behind a cable that is cut."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from cable import Cable
from conftest import Fleet
from fleet_world import attached, looks_of, people_of, prototype, sightings_of

from edge_reid.errors import UserError
from edge_reid.events import delivery
from edge_reid.fleet import link as links
from edge_reid.fleet import people
from edge_reid.fleet.address import Address
from edge_reid.fleet.link import FleetLink


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links, "LOOK_SECONDS", 0.02)
    monkeypatch.setattr(links, "ASK_SECONDS", 0.05)
    monkeypatch.setattr(delivery, "PAUSES", (0.05, 0.2))


@pytest.fixture
def cable(fleet: Fleet) -> Iterator[Cable]:
    made = Cable(fleet.socket)
    yield made
    made.close()


@pytest.fixture
def address(fleet: Fleet, cable: Cable) -> Address:
    login = fleet.admit("north", "gate-1")
    return Address.read(f"postgresql://{login}@127.0.0.1:{cable.port}/{fleet.database}")


def wait_for(condition: Callable[[], object], seconds: float = 30.0) -> None:
    latest = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < latest, "waited in vain"
        time.sleep(0.02)


def test_what_happens_while_the_server_is_away_arrives_when_it_is_back(
    fleet: Fleet, cable: Cable, address: Address, path: Path, random: np.random.Generator
) -> None:
    cable.cut()
    with attached(path) as gallery:
        link = FleetLink(gallery, address)
        person = gallery.add(prototype(random))
        wait_for(lambda: link.problem)
        assert link.heard is None
        assert "check the address, the network and PGPASSWORD" in str(link.problem)
        for second in range(5):
            gallery.sighted(person, "visible", 100.0 * second, 100.0 * second + 10)
        assert gallery.count() == 1, "the device goes on alone"
        cable.mend()
        wait_for(lambda: link.heard and not gallery.pending())
        wait_for(lambda: link.problem is None)
        link.close()
    assert [row[2] for row in people_of(fleet)] == [person]
    assert len(sightings_of(fleet)) == 5


def test_a_cable_that_is_cut_again_and_again_loses_and_doubles_nothing(
    fleet: Fleet,
    cable: Cable,
    address: Address,
    path: Path,
    random: np.random.Generator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(links, "MOST", 7)
    vectors = set()
    with attached(path) as gallery:
        link = FleetLink(gallery, address)
        for round_ in range(40):
            look = prototype(random, time=float(round_))
            vectors.add(look.vector.tobytes())
            person = gallery.add(look)
            gallery.rename(person, f"P{round_}")
            gallery.sighted(person, "visible", float(round_), round_ + 5.0)
            if round_ % 4 == 0:
                cable.cut()
                carried = cable.carried
                cable.mend()
                wait_for(lambda: cable.carried > carried)  # noqa: B023 (called here)
                time.sleep(0.05 * random.random())  # so that it is cut anywhere in what follows
        wait_for(lambda: not gallery.pending())
        link.close()
    assert cable.carried > 5
    assert sorted(str(row[3]) for row in people_of(fleet)) == sorted(f"P{round_}" for round_ in range(40))
    assert {vector for looks in looks_of(fleet).values() for vector in looks} == vectors
    assert fleet.rows("SELECT count(*) FROM prototype") == [(40,)]
    assert len(sightings_of(fleet)) == 40


def test_a_server_that_hangs_is_left_and_asked_anew(
    fleet: Fleet,
    cable: Cable,
    address: Address,
    path: Path,
    random: np.random.Generator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(links, "LIMIT_SECONDS", 0.5)
    with attached(path) as gallery:
        link = FleetLink(gallery, address)
        wait_for(lambda: link.heard)
        cable.swallows = True
        gallery.add(prototype(random))
        wait_for(lambda: link.problem)
        cable.mend()
        wait_for(lambda: not gallery.pending())
        link.close()
    assert len(people_of(fleet)) == 1


def test_a_forgetting_reaches_a_device_that_is_running_and_is_confirmed(
    fleet: Fleet, address: Address, path: Path, random: np.random.Generator
) -> None:
    with attached(path) as gallery:
        link = FleetLink(gallery, address)
        ada, bea = gallery.add(prototype(random)), gallery.add(prototype(random))
        gallery.rename(ada, "Ada")
        wait_for(lambda: [row for row in people_of(fleet) if row[3] == "Ada"])
        gallery.refresh()
        with fleet.open() as connection:
            people.forget(connection, people.find(connection, "north/Ada"))
        wait_for(lambda: fleet.rows("SELECT 1 FROM forgotten WHERE confirmed IS NOT NULL"))
        assert [person.number for person in gallery.people()] == [bea]
        assert ada in gallery.refresh(), "whoever follows people looks whom it has to let go"
        link.close()


def test_a_login_that_is_no_device_is_told_so_and_the_device_goes_on(
    fleet: Fleet, cable: Cable, path: Path, random: np.random.Generator
) -> None:
    operator = fleet.admit("north")
    with attached(path) as gallery:
        link = FleetLink(gallery, Address.read(f"postgresql://{operator}@127.0.0.1:{cable.port}/{fleet.database}"))
        wait_for(lambda: link.problem)
        assert f"login {operator} is no device of the fleet" in str(link.problem)
        gallery.add(prototype(random))
        link.close()
        assert gallery.pending() == 2


def test_closing_sends_what_waits_and_does_not_wait_for_a_server_that_is_away(
    fleet: Fleet,
    cable: Cable,
    address: Address,
    path: Path,
    random: np.random.Generator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(links, "LOOK_SECONDS", 30.0)
    with attached(path) as gallery:
        link = FleetLink(gallery, address)
        wait_for(lambda: link.heard)
        gallery.add(prototype(random))
        link.close()
        assert gallery.pending() == 0
        cable.cut()
        link = FleetLink(gallery, address)
        gallery.add(prototype(random))
        link.close()
        assert gallery.pending() == 2
    assert len(people_of(fleet)) == 1


def test_a_server_without_the_tables_says_how_to_make_them(fleet: Fleet, path: Path) -> None:
    fleet.rows("SELECT 1")
    with fleet.open() as connection:
        connection.execute("DROP SCHEMA edge_reid CASCADE")
    with (
        pytest.raises(UserError, match="no fleet there, or none that this login may see; `edge-reid"),
        fleet.open() as bare,
    ):
        bare.execute("SELECT * FROM person")
