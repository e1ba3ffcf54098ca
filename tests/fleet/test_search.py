"""Searches beside brute force, whatever they leave out, and by which index."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from conftest import DIMENSION, SPACE, Fleet
from fleet_world import attached, looks_of, prototype, sync
from psycopg import sql

from edge_reid.errors import UserError
from edge_reid.fleet import search
from edge_reid.fleet.people import find, lookalikes, looks
from edge_reid.fleet.records import Filters, FleetPerson
from edge_reid.fleet.schema import add_space
from edge_reid.gallery.base import Gallery
from edge_reid.gallery.postgres import PostgresGallery
from edge_reid.gallery.sqlite import SqliteGallery
from edge_reid.matching_rule import MatchingRule, Thresholds
from edge_reid.types import MODALITIES, Modality

PLACES = ("north/gate-1", "north/gate-2", "south/gate-1")


@dataclass
class Row:
    site: str
    device: str
    number: int
    modality: Modality
    time: float
    vector: np.ndarray


@pytest.fixture
def filled(fleet: Fleet, tmp_path: Path, random: np.random.Generator) -> list[Row]:
    """Twenty people of each device, two looks of each modality, at times of their own."""
    rows = []
    for place in PLACES:
        site, device = place.split("/")
        login = fleet.admit(site, device)
        with attached(tmp_path / place.replace("/", "-")) as gallery:
            for number in range(20):
                person = None
                for modality in ("visible", "thermal") * 2:
                    look = prototype(random, modality, time=100.0 * number)
                    person = gallery.add(look, person)
                    rows.append(Row(site, device, person, modality, look.time, look.vector))
            sync(fleet, login, gallery)
    return rows


FILTERS = [
    Filters(),
    Filters(site="north"),
    Filters(device="gate-1"),
    Filters(site="north", device="gate-2"),
    Filters(since=500.0),
    Filters(until=300.0),
    Filters(site="south", since=500.0, until=900.0),
    Filters(site="west"),
]


def fits(row: Row, modality: Modality, filters: Filters) -> bool:
    return (
        row.modality == modality
        and filters.site in (None, row.site)
        and filters.device in (None, row.device)
        and (filters.since is None or row.time >= filters.since)
        and (filters.until is None or row.time <= filters.until)
    )


@pytest.mark.parametrize("way", ["index", "few", "exact"])
def test_a_search_finds_what_brute_force_finds(
    fleet: Fleet, filled: list[Row], random: np.random.Generator, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if way == "index":
        monkeypatch.setattr(search, "FEW", 0)
    space = (1, DIMENSION)
    with fleet.open() as connection:
        connection.execute("SET enable_seqscan = off")  # so few rows would not be worth an index
        for filters, modality in itertools.product(FILTERS, MODALITIES):
            query = prototype(random).vector
            hits = search.nearest(connection, space, query, modality, most=7, filters=filters, exact=way == "exact")
            allowed = [row for row in filled if fits(row, modality, filters)]
            true = sorted(((float(row.vector @ query), row) for row in allowed), key=lambda pair: -pair[0])[:7]
            assert [hit.score for hit in hits] == pytest.approx([score for score, _ in true], abs=1e-5)
            found = [(hit.person.site, hit.device, hit.person.number) for hit in hits]
            assert found == [(row.site, row.device, row.number) for _, row in true], filters


def test_the_index_of_model_and_modality_is_asked_and_by_exact_search_none(fleet: Fleet, filled: list[Row]) -> None:
    for login in ("postgres", fleet.logins[0]):
        with fleet.open(login) as connection:
            connection.execute("SET enable_seqscan = off")
            connection.execute("SET enable_sort = off")
            for exact in (False, True):
                text = sql.SQL("EXPLAIN {}").format(
                    search.statement((1, DIMENSION), "visible", Filters(site="north"), exact=exact)
                )
                row = {"vector": np.ones(DIMENSION, np.float32), "most": 5, "site": "north"}
                plan = "\n".join(line for (line,) in connection.execute(text, row))
                assert ("Index Scan using prototype_1_visible" in plan) != exact, plan


def test_the_index_is_measured_beside_comparing_everything(fleet: Fleet, filled: list[Row]) -> None:
    with fleet.open() as connection:
        measured = search.recall(connection, (1, DIMENSION), "visible", 20)
        assert measured is not None
        assert (measured.searches, measured.first, measured.ten) == (20, 1.0, 1.0)
        # an index that looks at next to nobody finds next to nobody, and is told so
        connection.execute("SET enable_seqscan = off")
        connection.execute("SET enable_sort = off")
        connection.execute("DROP INDEX prototype_1_visible")
        connection.execute(
            "CREATE INDEX ON prototype USING hnsw ((vector::vector(16)) vector_ip_ops) "
            "WITH (m = 2, ef_construction = 4) WHERE space = 1 AND modality = 'visible'"
        )
        worse = search.recall(connection, (1, DIMENSION), "visible", 40)
        assert worse is not None
        assert worse.ten < 1.0
        assert search.recall(connection, (2, DIMENSION), "visible", 5) is None


def test_models_are_never_compared(fleet: Fleet, filled: list[Row], path: Path, random: np.random.Generator) -> None:
    look = prototype(random)
    with fleet.open() as connection:
        assert add_space(connection, "model-b", DIMENSION)
        assert not add_space(connection, "model-b", DIMENSION)
    with attached(path, space="model-b") as gallery:
        gallery.add(look)
        sync(fleet, fleet.admit("north", "gate-9"), gallery)
    with fleet.open() as connection:
        for exact in (False, True):
            (hit,) = search.nearest(connection, (2, DIMENSION), look.vector, "visible", most=50, exact=exact)
            assert (hit.device, hit.score) == ("gate-9", pytest.approx(1.0, abs=1e-5))
            found = search.nearest(connection, (1, DIMENSION), look.vector, "visible", most=50, exact=exact)
            assert len(found) == 50
            assert {hit.device for hit in found} <= {"gate-1", "gate-2"}


def test_lookalikes_come_by_what_the_rule_asks_of_each_pair_of_views(fleet: Fleet, filled: list[Row]) -> None:
    rule = MatchingRule.model_construct(
        within={"visible": Thresholds(accept=0.9, unknown=0.8), "thermal": Thresholds(accept=0.5, unknown=0.4)},
        across=Thresholds(accept=0.6, unknown=0.5),
    )
    query = filled[0].vector
    with fleet.open() as connection:
        found = lookalikes(connection, (1, DIMENSION), {"visible": query[None]}, rule, most=5, filters=Filters())
        best: dict[tuple[str, str, int], float] = {}
        for row in filled:
            surplus = float(row.vector @ query) - (0.9 if row.modality == "visible" else 0.6)
            key = (row.site, row.device, row.number)
            best[key] = max(best.get(key, -2.0), surplus)
        true = sorted(best, key=lambda key: -best[key])[:5]
        assert [(one.known.person.site, one.known.device, one.known.person.number) for one in found] == true
        assert [one.surplus for one in found] == pytest.approx([best[key] for key in true], abs=1e-5)
        own = find(connection, f"north/gate-1/{filled[0].number}")
        others = lookalikes(
            connection, (1, DIMENSION), looks(connection, own, 1), rule, most=60, filters=Filters(), without=[own]
        )
        assert len(others) == 59
        assert own not in [one.known.person for one in others]


def test_people_are_found_by_what_they_are_called(fleet: Fleet, filled: list[Row]) -> None:
    with fleet.open() as connection:
        ((gallery,),) = connection.execute("SELECT gallery FROM gallery WHERE site = 'south'").fetchall()
        person = FleetPerson("south", gallery, 3)
        assert find(connection, "south/gate-1/3") == find(connection, str(person)) == person
        for nobody in ("south/gate-1/99", "south/gate-2/3", "south/Ada", "south", "", "a/b/c/d"):
            with pytest.raises(UserError, match="nobody; give SITE/DEVICE/NUMBER or SITE/NAME"):
                find(connection, nobody)


@pytest.mark.parametrize("home", ["file", "fleet"])
def test_both_homes_keep_the_promises_of_a_gallery(
    home: str, fleet: Fleet, path: Path, random: np.random.Generator
) -> None:
    gallery: Gallery[int] | Gallery[FleetPerson]
    if home == "file":
        gallery = SqliteGallery(path, space=SPACE, dimension=DIMENSION)
    else:
        gallery = PostgresGallery(fleet.address(fleet.admit("north", "desk")), space=SPACE, dimension=DIMENSION)
    behaves(gallery, random)


def behaves(gallery: Gallery, random: np.random.Generator) -> None:  # type: ignore[type-arg]
    """The protocol, step by step, whatever people are called there."""
    first, second = prototype(random, time=1.7e9), prototype(random, "thermal", time=1.7e9)
    assert gallery.count() == 0
    assert gallery.search(first.vector[None], "visible") == [[]]
    ada = gallery.add(first)
    assert gallery.add(second, ada) == ada
    bea = gallery.add(prototype(random, time=1.7e9))
    assert gallery.count() == 2
    found = gallery.search(np.stack([first.vector, -first.vector]), "visible", most=2)
    assert [candidate.person for candidate in found[0]] == [ada, bea]
    assert [candidate.person for candidate in found[1]] == [bea, ada]
    assert found[0][0].score == pytest.approx(1.0, abs=1e-5)
    assert found[1][1].score == pytest.approx(-1.0, abs=1e-5)
    assert [one.person for one in gallery.search(second.vector[None], "thermal")[0]] == [ada]
    assert gallery.search(first.vector[None], "visible", most=0) == [[]]
    gallery.forget(ada)
    assert [one.person for one in gallery.search(first.vector[None], "visible")[0]] == [bea]
    assert gallery.count() == 1
    for gone in (lambda: gallery.forget(ada), lambda: gallery.add(first, ada)):
        with pytest.raises(KeyError):
            gone()
    assert gallery.add(first) not in (ada, bea), "no one is ever given the place of who was forgotten"
    with pytest.raises(ValueError, match="unit vector"):
        gallery.add(type(first)("visible", first.vector * 2, 1.0, 1.7e9))
    with pytest.raises(ValueError, match="numbers"):
        gallery.search(first.vector[None, :4], "visible")
    gallery.close()


def test_the_gallery_in_the_fleet_finds_people_of_other_devices_and_comes_back_after_a_cut(
    fleet: Fleet, filled: list[Row]
) -> None:
    gallery = PostgresGallery(fleet.address(fleet.admit("north", "desk")), space=SPACE, dimension=DIMENSION)
    query = next(row for row in filled if row.device == "gate-2" and row.modality == "visible")
    ((best,),) = gallery.search(query.vector[None], "visible", most=1)
    assert (best.person.site, best.person.number) == ("north", query.number)
    with pytest.raises(KeyError):
        gallery.forget(best.person)
    assert {key[0] for key in looks_of(fleet)} == {"north", "south"}
    fleet.rows("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", fleet.logins[-1])
    with pytest.raises(UserError, match="check the address, the network and PGPASSWORD"):
        gallery.count()
    assert gallery.count() == 0, "a new connection"
    gallery.close()
