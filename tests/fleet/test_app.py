"""The app with a fleet, and without it for a while."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest
import walkers
from conftest import Fleet
from fleet_world import people_of

from edge_reid.errors import UserError
from edge_reid.fleet.schema import add_space
from edge_reid.gallery.sqlite import SqliteGallery
from edge_reid.live import check
from edge_reid.live.options import Options, parse
from edge_reid.live.run import work


@pytest.fixture
def films(tmp_path: Path) -> dict[str, str]:
    walkers.write_films(tmp_path)
    return {modality: str(tmp_path / f"{modality}.avi") for modality in ("visible", "thermal")}


def test_who_passes_a_device_is_known_to_the_fleet_also_when_it_was_away(
    fleet: Fleet, films: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    networks = walkers.networks()
    with fleet.open() as connection:
        add_space(connection, networks.space, networks.dimension)
    login = fleet.admit("north", "gate-1")
    away = f"postgresql://{login}@127.0.0.1:1/{fleet.database}"
    alone = work(Options(gallery=away, headless=True, offline=True, **films), networks)
    assert alone["people"] == 3
    assert people_of(fleet) == []
    file = tmp_path / "state" / "people.gallery"
    assert alone["files"]["gallery"] == str(file)
    with closing(SqliteGallery(file)) as gallery:
        assert gallery.pending() > 3
    together = work(Options(gallery=fleet.url(login), headless=True, offline=True, **films), networks)
    assert together["people"] == 3
    with closing(SqliteGallery(file)) as gallery:
        assert gallery.pending() == 0
        numbers = sorted(person.number for person in gallery.people())
    assert [row[:3] for row in people_of(fleet)] == [("north", "gate-1", number) for number in numbers]


def test_a_check_logs_in_and_leaves_nothing(
    fleet: Fleet, films: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    networks = walkers.networks()
    login = fleet.admit("north", "gate-1")
    options = Options(gallery=str(tmp_path / "people.gallery"), fleet=fleet.url(login), headless=True, **films)
    with pytest.raises(UserError, match="the fleet does not have model"):
        check._gallery(options, networks)
    with fleet.open() as connection:
        add_space(connection, networks.space, networks.dimension)
    line = check._gallery(options, networks)
    assert line.endswith(f"to be made, told to postgresql://{fleet.socket}/{fleet.database} as north/gate-1")
    assert fleet.rows("SELECT * FROM gallery") == []
    assert not (tmp_path / "people.gallery").exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--fleet", "postgresql://db/f"], "^--fleet does nothing without --gallery; give --gallery, too"),
        (["--fleet", "postgresql://db/f", "--gallery", "postgresql://db/g"], "^--gallery and --fleet are both a fleet"),
    ],
)
def test_a_fleet_needs_a_file(words: list[str], told: str) -> None:
    with pytest.raises(UserError, match=told):
        parse(None, ["--visible", "a", "--thermal", "b", *words])
