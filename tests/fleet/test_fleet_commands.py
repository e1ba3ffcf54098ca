"""`edge-reid fleet ...` as people type it, with the carried bundle."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import psycopg
import pytest
from conftest import Fleet

from edge_reid.bundle import Bundle
from edge_reid.cli import main
from edge_reid.commands.fleet_changes import PASSWORD_VARIABLE
from edge_reid.fleet.link import register_gallery, send
from edge_reid.gallery.enrolment import open_embed, read_shot, single_prototypes
from edge_reid.gallery.sqlite import SqliteGallery
from edge_reid.reference import bundle_path


@dataclass
class Desk:
    """An operator with a database in which nothing is yet, and two devices of theirs."""

    fleet: Fleet
    folder: Path
    capsys: pytest.CaptureFixture[str]

    def __call__(self, *words: str, code: int = 0) -> str:
        action, *rest = words
        assert main(["fleet", action, self.fleet.url("postgres"), *rest]) == code
        told = self.capsys.readouterr()
        if code:
            assert told.err.startswith("edge-reid: ")
            assert told.err.count("\n") == 1
        return told.err if code else told.out

    def meet(self, login: str, name: str, pictures: list[Path], *, crops: bool = False) -> None:
        """A device sees somebody."""
        bundle = Bundle.open(bundle_path())
        with open_embed(bundle, "visible") as embed:
            shots = [read_shot(path, "visible", bundle.manifest.input_size, None) for path in pictures]
            looks = single_prototypes(shots, "visible", embed, 1.7e9)
        file = self.folder / f"{login}.gallery"
        dimension = bundle.manifest.embedding_dim
        with closing(SqliteGallery(file, space=bundle.space, dimension=dimension, keep_crops=crops)) as gallery:
            gallery.attach()
            person = gallery.enrol(name, looks, [shot.jpeg() for shot in shots])
            gallery.sighted(person, "visible", 1.7e9, 1.7e9 + 60)
            gallery.flush()
            with self.fleet.open(login) as connection:
                send(connection, gallery, register_gallery(connection, gallery), 100)


@pytest.fixture
def desk(fleet: Fleet, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Desk:
    with fleet.open() as connection:
        connection.execute("DROP SCHEMA edge_reid CASCADE")
    made = Desk(fleet, tmp_path, capsys)
    assert "applied: 0001_people.sql, 0002_rules.sql" in made("migrate")
    return made


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    """Three pictures of two people: two of the first, in other light, and one of the second."""
    random = np.random.default_rng(3)
    paths = []
    for name, seed, light in (("a", 0, 1.0), ("b", 0, 0.9), ("c", 1, 1.0)):
        figure = np.random.default_rng(seed).integers(0, 255, (8, 4, 3)).astype(np.uint8)
        whole = cv2.resize(figure, (128, 256), interpolation=cv2.INTER_NEAREST) * light
        paths.append(tmp_path / f"{name}.png")
        cv2.imwrite(str(paths[-1]), np.clip(whole + random.normal(0, 4, whole.shape), 0, 255).astype(np.uint8))
    return paths


def test_from_nothing_to_where_somebody_was(desk: Desk, pictures: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    logins = [f"{desk.fleet.database}_{number}" for number in range(2)]
    desk.fleet.logins.extend(logins)
    monkeypatch.setenv(PASSWORD_VARIABLE, "geheim")
    assert desk("admit", "north/gate-1", "--login", logins[0]) == f"{logins[0]}: new, device gate-1 of north\n"
    assert desk("admit", "north/gate-2", "--login", logins[1], "--certificate").endswith("gate-2 of north\n")
    desk.meet(logins[0], "Ada", pictures[:1])
    desk.meet(logins[1], "Anna", pictures[1:2])
    desk.meet(logins[1], "Bea", pictures[2:])

    status = json.loads(desk("status", "--json"))["galleries"]
    columns = ("device", "people", "prototypes", "sightings", "to_forget")
    assert [tuple(one[name] for name in columns) for one in status] == [("gate-1", 1, 1, 1, 0), ("gate-2", 2, 2, 2, 0)]
    assert "gate-2" in desk("status")

    found = json.loads(desk("search", "--visible", str(pictures[0]), "--json"))
    assert [one["known"]["name"] for one in found["alike"]] == ["Ada", "Anna", "Bea"]
    assert found["alike"][0]["cosine"] == pytest.approx(1.0, abs=1e-3)
    assert sorted(one["device"] for one in found["whereabouts"]) == ["gate-1", "gate-2", "gate-2"]
    assert {(one["camera"], one["began"], one["ended"]) for one in found["whereabouts"]} == {
        ("visible", 1.7e9, 1.7e9 + 60)
    }
    assert "gate-1" in desk("search", "--visible", str(pictures[0]))
    copy = f"{desk.fleet.url('postgres')}&options=-cdefault_transaction_read_only%3Don"
    assert json.loads(desk("search", "--visible", str(pictures[0]), "--replica", copy, "--json")) == found
    assert main(["fleet", "search", copy, "--visible", str(pictures[0])]) == 2, "no search without its line of audit"
    desk.capsys.readouterr()
    assert "too few" in desk("recall")
    assert json.loads(desk("recall", "--json")) == {"visible": None, "thermal": None}

    assert desk("merge", "north/Ada", "north/Anna").count("/") == 4
    found = json.loads(desk("search", "north/Ada", "--json"))
    assert sorted(one["name"] for one in found["same"]) == ["Ada", "Anna"]
    assert [one["known"]["name"] for one in found["alike"]] == ["Bea"]
    assert {one["device"] for one in found["whereabouts"]} == {"gate-1", "gate-2"}
    assert desk("merge", "north/Ada", "north/Anna", "--undo").count("/") == 2
    desk("merge", "north/Anna", "north/Ada")
    assert desk("forget", "north/Ada").startswith("forgotten: 2 people of galleries")
    assert [one["to_forget"] for one in json.loads(desk("status", "--json"))["galleries"]] == [1, 1]
    assert desk("expire") == "expired: 0 people, 1 sightings of others\n", "those of 2023, of Bea, whose name is kept"
    actions = [action for (action,) in desk.fleet.rows("SELECT action FROM audit ORDER BY id")]
    assert actions[:8] == ["search", "search", "search", "merge", "search", "part", "merge", "forget"]


def test_a_gallery_is_sent_by_hand_and_what_is_forgotten_comes_back(desk: Desk, pictures: list[Path]) -> None:
    login = desk.fleet.admit("north", "gate-1")
    file = desk.folder / "people.gallery"
    assert main(["gallery", "enrol", str(file), "Ada", "--visible", str(pictures[0])]) == 0
    words = ["fleet", "sync", desk.fleet.url(login), str(file)]
    assert main(words) == 0
    assert "the fleet knows all of it, 2 changes were sent" in desk.capsys.readouterr().out
    desk("forget", "north/Ada")
    assert main(words) == 0
    assert main(["gallery", "list", str(file), "--json"]) == 0
    assert json.loads(desk.capsys.readouterr().out.splitlines()[-1]) == []
    assert json.loads(desk("status", "--json"))["galleries"][0]["to_forget"] == 0


def test_a_new_model_is_rebuilt_from_pictures_and_goes_on_where_it_was(
    desk: Desk, pictures: list[Path], tmp_path: Path
) -> None:
    login = desk.fleet.admit("north", "gate-1")
    desk.meet(login, "Ada", pictures[:2], crops=True)
    desk.meet(login, "Bea", pictures[2:])
    with desk.fleet.open() as connection:
        connection.execute("UPDATE space SET name = 'the model before'")
    assert "added, with an index for each modality" in desk("migrate")
    first = desk("rebuild", "--bundle", str(bundle_path()))
    assert first.startswith("made: 2 vectors of ")
    assert "not made: 1 of which there is no picture, 0 whose picture is damaged" in first
    rows = desk.fleet.rows("SELECT prototype, space, vector FROM prototype WHERE crop IS NOT NULL ORDER BY 1, 2")
    for (_, _, old), (_, _, new) in zip(rows[::2], rows[1::2], strict=True):
        assert float(old.to_numpy() @ new.to_numpy()) > 0.98, "the same network, a picture of the picture"
    desk.fleet.rows("DELETE FROM prototype WHERE space = 2 AND prototype = %s RETURNING 1", rows[0][0])
    assert desk("rebuild", "--bundle", str(bundle_path())).startswith("made: 1 vectors")
    assert desk("rebuild", "--bundle", str(bundle_path())).startswith("made: 0 vectors")
    found = json.loads(desk("search", "--visible", str(pictures[0]), "--json"))
    assert [one["known"]["name"] for one in found["alike"]] == ["Ada"], "what only the old model knows is not compared"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("search",), "for whom? give a person, or pictures with --visible or --thermal"),
        (("search", "north/Ada", "--visible", "x.png"), "for whom?"),
        (("search", "north/Ada", "--since", "yesterday"), "--since yesterday: no time; write 2026-11-22"),
        (("search", "north/Nobody"), "north/Nobody: nobody; give SITE/DEVICE/NUMBER or SITE/NAME"),
        (("search", "--visible", "missing.png"), "missing.png"),
        (("forget", "north/Nobody"), "north/Nobody: nobody"),
        (("merge", "north/A", "north/B"), "north/A: nobody"),
        (("admit", "North/gate", "--login", "x"), "site 'North': needs 1 to 63 of a-z"),
        (("admit", "north/gate 1", "--login", "x"), "device 'gate 1': needs"),
        (("admit", "*/gate", "--login", "x"), "site '*'"),
        (("admit", "north/gate", "--login", "x"), "give its password in EDGE_REID_NEW_PASSWORD"),
        (("rebuild", "--bundle", "missing"), "missing"),
        (("migrate", "--citus"), "--citus: this database has no extension citus"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(desk: Desk, words: tuple[str, ...], told: str) -> None:
    assert told in desk(*words, code=2)


def test_a_server_that_is_not_there_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fleet", "status", "postgresql://me@127.0.0.1:1/fleet"]) == 2
    told = capsys.readouterr().err
    assert told == (
        "edge-reid: postgresql://127.0.0.1/fleet: Connection refused Is the server running on that host and accepting "
        "TCP/IP connections?; check the address, the network and PGPASSWORD\n"
    )


def test_a_login_that_nobody_admitted_is_told_how_to_be(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    with psycopg.connect(**desk.fleet.address().parameters, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {desk.fleet.database}_x LOGIN")  # type: ignore[arg-type]
    desk.fleet.logins.append(f"{desk.fleet.database}_x")
    assert main(["fleet", "status", desk.fleet.url(desk.fleet.logins[-1])]) == 2
    told = capsys.readouterr().err
    assert "no fleet there, or none that this login may see" in told
    assert "`edge-reid fleet admit`" in told
    device = desk.fleet.admit("north", "gate-1")
    assert main(["fleet", "forget", desk.fleet.url(device), "north/Ada"]) == 2
    assert main(["fleet", "merge", desk.fleet.url(device), "north/Ada", "north/Bea"]) == 2


def test_help_needs_no_driver() -> None:
    code = (
        "import sys; sys.modules['psycopg'] = None; from edge_reid.cli import main; sys.exit(main(['fleet', '--help']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=dict(os.environ))
    assert done.returncode == 0, done.stderr
    assert "rebuild" in done.stdout
    code = code.replace("'--help'", "'status', 'postgresql://db/f'")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=dict(os.environ))
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "pip install 'edge-reid[fleet]'" in done.stderr
