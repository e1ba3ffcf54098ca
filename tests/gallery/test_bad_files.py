"""Whatever lies where a gallery should: it opens clean, or one line says what it is and what to do."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from strangers import DIMENSION, NOW, gallery, look

from edge_reid.errors import UserError
from edge_reid.gallery.numbers import RESERVED
from edge_reid.gallery.records import Keep
from edge_reid.gallery.sqlite import SqliteGallery

KEY = bytes(range(32))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[bytes | None, Path]:
    """A plain gallery and an encrypted one with a bit of everything."""
    random = np.random.default_rng(0)
    folder = tmp_path_factory.mktemp("whole")
    paths: dict[bytes | None, Path] = {None: folder / "plain", KEY: folder / "encrypted"}
    for key, path in paths.items():
        with gallery(path, key=key, keep_crops=True) as people:
            for number in range(12):
                person = people.enrol(f"name {number}", [look(random), look(random, "thermal")], [b"\xff\xd8", None])
                people.add(look(random))
                people.sighted(person, "visible", NOW, NOW + number)
    return paths


def opened_or_refused(path: Path, key: bytes | None = None) -> str:
    """The one line, empty where all of the gallery works; everything else fails the test."""
    try:
        with contextlib.closing(SqliteGallery(path, key=key)) as people:
            for person in people.people():
                people.search(np.eye(1, people.dimension, dtype=np.float32), "visible")
                people.rename(person.number, f"new {person.number}")
            people.stats(), people.audit(), people.sightings()
            people.export(path.with_suffix(".jsonl"))
            for person in people.people():
                people.forget(person.number)
    except UserError as error:
        assert "\n" not in str(error) and str(path) in str(error) and len(str(error)) > len(str(path)) + 20
        return str(error)
    return ""


def test_a_sound_gallery_opens(whole: dict[bytes | None, Path], tmp_path: Path) -> None:
    for key, path in whole.items():
        copy = shutil.copy(path, tmp_path / "copy")
        assert opened_or_refused(copy, key) == ""


def other_program(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE people (number INTEGER)")
        connection.commit()


OTHER_THINGS: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda path: None, "no such gallery; `edge-reid gallery enrol`"),
    "folder": (lambda path: path.mkdir(), "a folder; a gallery is one file"),
    "empty": (lambda path: path.touch(), "not a gallery, or one cut short"),
    "text": (lambda path: path.write_text("Ada\n" * 1000), "not a gallery"),
    "noise": (lambda path: path.write_bytes(np.random.default_rng(0).bytes(9000)), "not a gallery"),
    "another program's": (other_program, "a database of another program; choose another file"),
    "header alone": (lambda path: path.write_bytes(b"SQLite format 3\0"), "damaged|another program"),
    "dangling link": (lambda path: path.symlink_to("nowhere"), "no such gallery"),
}


@pytest.mark.parametrize(("make", "line"), OTHER_THINGS.values(), ids=OTHER_THINGS)
def test_other_things_are_told_apart(make: Callable[[Path], object], line: str, tmp_path: Path) -> None:
    path = tmp_path / "people"
    make(path)
    with pytest.raises(UserError, match=f"^{path}: ({line})"):
        SqliteGallery(path)


def test_a_gallery_cannot_be_made_where_a_file_is_the_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(UserError, match=r"cannot be written \(.*choose another place"),
        gallery(tmp_path / "file" / "g"),
    ):
        pass


def test_a_newer_schema_is_refused_in_one_line(whole: dict[bytes | None, Path], tmp_path: Path) -> None:
    path = shutil.copy(whole[None], tmp_path / "copy")
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 3")
    with pytest.raises(UserError, match=f"{path}: written for schema 3, this version reads 2; upgrade edge-reid"):
        SqliteGallery(path)


@pytest.mark.parametrize("key", [None, KEY], ids=["plain", "encrypted"])
def test_flipped_bytes_are_noticed_or_harmless(
    key: bytes | None, whole: dict[bytes | None, Path], tmp_path: Path
) -> None:
    sound = whole[key].read_bytes()
    refused = 0
    for seed in range(60):
        random = np.random.default_rng(seed)
        content = bytearray(sound)
        for place in random.integers(0, len(content), int(random.integers(1, 30))):
            content[place] ^= int(random.integers(1, 256))
        path = tmp_path / f"{seed}"
        path.write_bytes(content)
        refused += opened_or_refused(path, key) != ""
    assert refused > 20


def test_files_that_were_cut_or_mixed_are_noticed_or_harmless(whole: dict[bytes | None, Path], tmp_path: Path) -> None:
    sound = whole[None].read_bytes()
    for seed in range(30):
        random = np.random.default_rng(seed)
        pages = [sound[start : start + 8192] for start in range(0, len(sound), 8192)]
        place, other = random.integers(0, len(pages), 2)
        path = tmp_path / f"{seed}"
        if seed % 3 == 0:
            path.write_bytes(sound[: int(random.integers(1, len(sound)))])
            assert opened_or_refused(path) != ""
            continue
        pages[place] = bytes(8192) if seed % 3 == 1 else pages[other]
        path.write_bytes(b"".join(pages))
        if seed % 2:
            path.with_name(f"{seed}-wal").write_bytes(random.bytes(5000))
        opened_or_refused(path)


NAN = np.full(DIMENSION, np.nan, np.float32).tobytes()

CHANGES = [
    "DROP TABLE audit",
    "DROP TABLE people",
    "DROP TABLE gallery",
    "DROP INDEX prototypes_of",
    "ALTER TABLE people DROP COLUMN name",
    "ALTER TABLE people ADD COLUMN age INTEGER",
    "ALTER TABLE prototypes RENAME COLUMN vector TO embedding",
    "CREATE TRIGGER later AFTER INSERT ON audit BEGIN DELETE FROM people; END",
    "CREATE VIEW everyone AS SELECT * FROM people",
    "DELETE FROM gallery",
    "INSERT INTO gallery SELECT * FROM gallery",
    "DELETE FROM people WHERE number = 3",
    "UPDATE people SET number = number + 1000000",
    "UPDATE people SET name = x'ff00fe' WHERE number = 2",
    "UPDATE people SET name = CAST('a' || char(10) || 'b' AS BLOB) WHERE number = 2",
    "UPDATE people SET last_seen = 9e999 WHERE number = 2",
    "UPDATE people SET first_seen = -5 WHERE number = 2",
    "UPDATE prototypes SET vector = x'00' WHERE person = 2",
    "UPDATE prototypes SET vector = zeroblob(128) WHERE person = 2",
    f"UPDATE prototypes SET vector = x'{NAN.hex()}' WHERE person = 2",
    "UPDATE prototypes SET modality = 'sonar' WHERE person = 2",
    "UPDATE prototypes SET person = 99 WHERE person = 2",
    "UPDATE gallery SET dimension = 64",
    "UPDATE gallery SET dimension = 9223372036854775807",
    "UPDATE gallery SET scheme = 'ROT13'",
    "UPDATE gallery SET seal = x'00'",
    "UPDATE gallery SET keep = 'for ever'",
    "UPDATE gallery SET keep = '{\"anonymous\": -1}'",
    "UPDATE gallery SET next_person = 2",
    "UPDATE gallery SET next_person = 9223372036854775807",
    "UPDATE gallery SET wipe = 7",
]


@pytest.mark.parametrize("change", CHANGES)
def test_what_was_changed_by_hand_is_refused(change: str, whole: dict[bytes | None, Path], tmp_path: Path) -> None:
    path = shutil.copy(whole[None], tmp_path / "copy")
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        connection.execute(change)
    assert opened_or_refused(path) != ""


@contextlib.contextmanager
def somebody_else() -> Iterator[Path]:
    """A folder of our own, to be used by someone whom permissions bind."""
    folder = Path(tempfile.mkdtemp())
    before = os.geteuid()
    try:
        folder.chmod(0o755)
        yield folder
    finally:
        os.seteuid(before)
        shutil.rmtree(folder)


def bind() -> None:
    if os.geteuid() == 0:
        os.seteuid(65534)


def test_a_file_or_folder_that_is_not_to_be_written_is_one_line(whole: dict[bytes | None, Path]) -> None:
    with somebody_else() as folder:
        path = shutil.copy(whole[None], folder / "people")
        path.chmod(0o444)
        folder.chmod(0o555)
        bind()
        with pytest.raises(UserError, match=f"^{path}: cannot be written .*check who owns"):
            SqliteGallery(path)
        new = folder / "new"
        with pytest.raises(UserError, match=f"^{new}: cannot be written .*choose another place"), gallery(new):
            pass


def test_a_file_of_somebody_else_is_one_line(whole: dict[bytes | None, Path]) -> None:
    with somebody_else() as folder:
        path = shutil.copy(whole[None], folder / "people")
        path.chmod(0o000)
        bind()
        with pytest.raises(UserError, match=f"^{path}: cannot be (read|written)"):
            SqliteGallery(path)


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[Callable[[str], None]]:
    def mount(options: str) -> None:
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
        if subprocess.run(command, capture_output=True).returncode:
            pytest.skip("no file system can be mounted here")

    mount("size=256k")
    try:
        yield mount
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_stops_nobody_and_nothing_is_lost_once_there_is_room(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    random = np.random.default_rng(0)
    with small_disk(tmp_path) as mount:
        path = tmp_path / "people"
        with gallery(path, keep=Keep(prototypes=100)) as people:
            numbers = [people.add(look(random)) for _ in range(RESERVED // 2)]
            for _ in range(80):
                for number in numbers:
                    people.add(look(random), number)
                    people.sighted(number, "visible", NOW, NOW + 1)
            for _ in range(2):
                with pytest.raises(UserError, match=f"^{path}: no space left for it; free some"):
                    people.flush()
            numbers += [people.add(look(random)) for _ in range(RESERVED // 2)]
            with pytest.raises(UserError, match="no space left"):
                people.add(look(random))
            assert people.count() == RESERVED
            assert len([record for record in caplog.records if "no space left" in record.message]) == 1
            mount("remount,size=8m")
            people.flush()
            assert (people.stats().unwritten, people.stats().dropped) == (0, 0)
        with gallery(path) as people:
            assert [person.number for person in people.people()] == numbers
            assert people.person(1).prototypes == {"visible": 81}
            assert len(people.sightings()) == RESERVED // 2


def test_there_is_no_gallery_where_there_is_no_room_for_one(tmp_path: Path) -> None:
    with small_disk(tmp_path):
        with contextlib.suppress(OSError):
            (tmp_path / "ballast").write_bytes(bytes(1 << 20))
        with pytest.raises(UserError, match=r"no space left|cannot be written"), gallery(tmp_path / "people"):
            pass
        assert [path.name for path in tmp_path.iterdir()] == ["ballast"]
