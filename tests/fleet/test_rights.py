"""What each login may do, tried in plain SQL: the server decides, whatever a program asks for."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import psycopg
import pytest
from conftest import DIMENSION, Fleet
from fleet_world import attached, people_of, prototype, sync

from edge_reid.errors import UserError
from edge_reid.fleet import people
from edge_reid.fleet.address import Address
from edge_reid.fleet.admission import admit
from edge_reid.fleet.records import Filters
from edge_reid.fleet.schema import DISTRIBUTED_TABLES, REFERENCE_TABLES, migrate, migrations
from edge_reid.fleet.search import nearest


@pytest.fixture
def filled(fleet: Fleet, tmp_path: Path, random: np.random.Generator) -> dict[str, str]:
    """One person at each of three devices; logins by place."""
    logins = {place: fleet.admit(*place.split("/")) for place in ("north/gate-1", "north/gate-2", "south/gate-1")}
    for place, login in logins.items():
        with attached(tmp_path / place.replace("/", "-")) as gallery:
            person = gallery.add(prototype(random))
            gallery.sighted(person, "visible", 100.0, 110.0)
            gallery.rename(person, f"P {place}")
            sync(fleet, login, gallery)
    return logins


def ask(fleet: Fleet, login: str, query: str) -> list[tuple[object, ...]]:
    with psycopg.connect(**fleet.address(login).parameters, autocommit=True) as connection:
        connection.execute("SET search_path = edge_reid, public")
        cursor = connection.execute(query)  # type: ignore[arg-type]
        return cursor.fetchall() if cursor.description else [(cursor.rowcount,)]


def test_a_device_sees_its_own_people_and_no_one_else_s_history(fleet: Fleet, filled: dict[str, str]) -> None:
    login = filled["north/gate-1"]
    assert ask(fleet, login, "SELECT name FROM person") == [("P north/gate-1",)]
    assert ask(fleet, login, "SELECT device FROM sighting") == [("gate-1",)]
    assert ask(fleet, login, "SELECT count(*) FROM gallery") == [(1,)]
    for query in ("SELECT * FROM login", "SELECT * FROM link", "SELECT * FROM audit", "SELECT time FROM prototype",
                  "SELECT crop FROM prototype", "SELECT * FROM same_people(('north', '', 1)::person_key)"):  # fmt: skip
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            ask(fleet, login, query)


def test_a_device_searches_its_site_and_no_other(fleet: Fleet, filled: dict[str, str]) -> None:
    with fleet.open(filled["north/gate-1"]) as connection:
        query = np.eye(1, DIMENSION, dtype=np.float32)[0]
        for filters in (Filters(), Filters(site="north")):
            hits = nearest(connection, (1, DIMENSION), query, "visible", most=10, filters=filters)
            assert {(hit.person.site, hit.device) for hit in hits} == {("north", "gate-1"), ("north", "gate-2")}
        assert nearest(connection, (1, DIMENSION), query, "visible", most=10, filters=Filters(site="south")) == []


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit SET count = 0",
        "DELETE FROM audit",
        "TRUNCATE audit",
        "INSERT INTO audit (site, action, count) VALUES ('south', 'x', 1)",
        "INSERT INTO audit (site, login, action, count) VALUES ('north', 'postgres', 'x', 1)",
        "DELETE FROM forgotten",
        "DELETE FROM person",
        "INSERT INTO login (login, site) VALUES ('me', '*')",
        "INSERT INTO space (name, dimension) VALUES ('x', 1)",
        "UPDATE migration SET sha256 = ''",
        "INSERT INTO gallery (site, gallery, device, space, history) "
        "VALUES ('north', '0123456789ab', 'gate-2', 1, '1 day')",
        "INSERT INTO gallery (site, gallery, device, space, history) "
        "VALUES ('south', '0123456789ab', 'gate-1', 1, '1 day')",
        "UPDATE person SET device = 'gate-2'",
        "UPDATE person SET site = 'south'",
        "SELECT forget_person((site, gallery, number)::person_key) FROM prototype WHERE device = 'gate-2'",
        "SELECT merge_people((site, gallery, number)::person_key, 1) FROM prototype WHERE device = 'gate-2'",
    ],
)
def test_what_a_device_may_not_do(fleet: Fleet, filled: dict[str, str], statement: str) -> None:
    before = people_of(fleet)
    with pytest.raises((psycopg.errors.InsufficientPrivilege, psycopg.errors.ForeignKeyViolation)):
        ask(fleet, filled["north/gate-1"], statement)
    assert people_of(fleet) == before


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE person SET name = 'x' WHERE device <> 'gate-1'",
        "UPDATE sighting SET ended = now() WHERE device <> 'gate-1'",
        "UPDATE forgotten SET confirmed = now() WHERE device <> 'gate-1'",
        "DELETE FROM prototype WHERE device <> 'gate-1'",
        "UPDATE prototype SET number = 1 WHERE device <> 'gate-1'",
    ],
)
def test_others_people_are_not_there_for_a_device_to_change(
    fleet: Fleet, filled: dict[str, str], statement: str
) -> None:
    assert ask(fleet, filled["north/gate-1"], statement) == [(0,)]


def test_a_device_adds_to_the_audit(fleet: Fleet, filled: dict[str, str]) -> None:
    login = filled["north/gate-1"]
    ask(fleet, login, "INSERT INTO audit (site, action, count) VALUES ('north', 'search', 1)")
    assert fleet.rows("SELECT login, action FROM audit") == [(login, "search")]


def test_an_operator_sees_the_history_of_their_sites(fleet: Fleet, filled: dict[str, str]) -> None:
    north, everywhere = fleet.admit("north"), fleet.admit("*")
    for login, sites in ((north, ["north", "north"]), (everywhere, ["north", "north", "south"])):
        for table in ("person", "sighting", "gallery", "prototype"):
            assert ask(fleet, login, f"SELECT site FROM {table} ORDER BY 1") == [(site,) for site in sites]
    with fleet.open() as connection:
        own, far = (people.find(connection, who) for who in ("north/gate-1/1", "south/gate-1/1"))
    with fleet.open(north) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        people.forget(connection, far)
    with fleet.open(north) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        people.merge(connection, own, far)
    for statement in ("DELETE FROM audit", "UPDATE audit SET count = 0", "UPDATE person SET name = 'x'"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            ask(fleet, everywhere, statement)


def test_a_login_that_nobody_admitted_sees_nothing(fleet: Fleet, filled: dict[str, str]) -> None:
    with fleet.open() as connection:
        connection.execute(f"CREATE ROLE {fleet.database}_x LOGIN IN ROLE edge_reid_operator")  # type: ignore[arg-type]
    fleet.logins.append(f"{fleet.database}_x")
    assert ask(fleet, fleet.logins[-1], "SELECT * FROM person") == []


def test_admission_is_for_one_place(fleet: Fleet, filled: dict[str, str]) -> None:
    login = filled["north/gate-1"]
    with fleet.open() as connection:
        assert not admit(connection, login, "north", "gate-1", None), "again: nothing new"
        with pytest.raises(UserError, match=f"login {login} is north/gate-1 already"):
            admit(connection, login, "south", None, None)
        with pytest.raises(UserError, match="north/gate-1 has another login already"):
            admit(connection, f"{login}_y", "north", "gate-1", None)


def test_a_password_is_hashed_before_it_is_sent(fleet: Fleet) -> None:
    login = fleet.admit("north", "gate-1")
    with fleet.open() as connection:
        connection.execute("SET log_statement = 'all'")
        admit(connection, login, "north", "gate-1", "geheim")
        stored = connection.execute("SELECT rolpassword FROM pg_authid WHERE rolname = %s", (login,)).fetchall()[0][0]
    assert stored.startswith("SCRAM-SHA-256$")
    assert "geheim" not in (Path(fleet.socket) / "log").read_text()


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("postgresql://me:geheim@db/fleet", "holds a password"),
        ("postgresql://db/fleet?password=geheim", "holds a password"),
        ("postgresql://me@db/fleet?sslmode=require", "sslmode=require would give a password to whoever answers"),
        ("postgresql://me@db/fleet?sslmode=prefer", "use verify-full"),
        ("postgresql://127.0.0.1,db/fleet?sslmode=disable", "sslmode=disable"),
        ("postgresql://me:geheim@db/fleet?nonsense=1", "needs postgresql://"),
        ("http://db", "needs postgresql://"),
        ("postgresql://", "needs postgresql://"),
    ],
)
def test_an_address_that_gives_something_away_is_refused_without_it(url: str, told: str) -> None:
    with pytest.raises(UserError, match=r"^(the fleet's address|postgresql://.*): ") as error:
        Address.read(url)
    assert told in str(error.value)
    assert "geheim" not in str(error.value)


def test_beyond_this_machine_the_server_must_prove_itself() -> None:
    assert Address.read("postgresql://me@db.example/fleet").parameters["sslmode"] == "verify-full"
    assert Address.read("postgresql://me@db.example/fleet").parameters["sslrootcert"] == "system"
    assert Address.read("postgresql://me@db/fleet?sslmode=verify-ca").parameters["sslmode"] == "verify-ca"
    own = Address.read("postgresql://me@db/fleet?sslrootcert=/ca.pem").parameters
    assert (own["sslmode"], own["sslrootcert"]) == ("verify-full", "/ca.pem")
    for near in ("postgresql://localhost/f", "postgresql://127.0.0.1:99/f", "postgresql://[::1]/f", "postgresql:///f"):
        assert "sslmode" not in Address.read(near).parameters


def test_a_password_is_in_no_process_list(fleet: Fleet) -> None:
    code = (
        "import os, sys; from edge_reid.fleet.address import Address, connected\n"
        "with connected(Address.read(sys.argv[1])):\n"
        "    print(open(f'/proc/{os.getpid()}/cmdline').read())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, fleet.url("postgres")], env=os.environ | {"PGPASSWORD": "geheim"},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert fleet.database in done.stdout
    assert "geheim" not in done.stdout


def test_migrations_are_applied_once_and_guarded(fleet: Fleet) -> None:
    with fleet.open() as connection:
        assert migrate(connection) == []
        assert [version for version, *_ in migrations()] == list(range(1, len(migrations()) + 1))
        there = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'edge_reid'")
        tables = {table for (table,) in there}
        assert tables == {*REFERENCE_TABLES, *DISTRIBUTED_TABLES, "migration"}
        connection.execute("UPDATE migration SET sha256 = 'x' WHERE version = 2")
        with pytest.raises(UserError, match=r"made by another 0002_rules\.sql"):
            migrate(connection)
        connection.execute("INSERT INTO migration (version, name, sha256) VALUES (999, 'x', 'x')")
        with pytest.raises(UserError, match="of version 999, newer than this edge-reid; upgrade it"):
            migrate(connection)


def test_every_table_but_the_common_ones_has_the_site_first_in_its_key(fleet: Fleet) -> None:
    keys = fleet.rows(
        "SELECT c.relname, a.attname FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid "
        "JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = i.indkey[0] "
        "WHERE i.indisprimary AND c.relnamespace = 'edge_reid'::regnamespace ORDER BY 1"
    )
    assert {table for table, first in keys if first == "site"} >= set(DISTRIBUTED_TABLES)
