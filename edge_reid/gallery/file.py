"""The file of a gallery: made whole or not at all, and looked through before it is trusted."""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from edge_reid.errors import UserError
from edge_reid.gallery import changes
from edge_reid.gallery.cipher import KEY_VARIABLE, Cipher
from edge_reid.gallery.records import LATEST, Keep
from edge_reid.gallery.store import BUSY_SECONDS, SQLITE_ERRORS, told, transaction

SCHEMA_VERSION = 2
"""Of 1 there was nothing for a fleet; such a file is brought up to date when it is opened."""

APPLICATION = int.from_bytes(b"ERID", "big")
"""In the file's header: whose SQLite file this is."""

PAGE_BYTES = 8192
"""Three vectors of 512 numbers to a page; of SQLite's usual 4096 each would fill half of its own."""

SEALED = "edge-reid gallery"
"""What the check of the key says when it is opened with the right one."""

TABLES = f"""
CREATE TABLE gallery (
    space TEXT NOT NULL,
    dimension INTEGER NOT NULL CHECK (dimension > 0),
    scheme TEXT NOT NULL,
    seal BLOB NOT NULL,
    keep TEXT NOT NULL,
    next_person INTEGER NOT NULL CHECK (next_person > 0),
    wipe INTEGER NOT NULL CHECK (wipe IN (0, 1))
) STRICT;
CREATE TABLE people (
    number INTEGER PRIMARY KEY CHECK (number > 0),
    name BLOB,
    first_seen REAL NOT NULL CHECK (first_seen BETWEEN 0 AND {LATEST:.0f}),
    last_seen REAL NOT NULL CHECK (last_seen BETWEEN first_seen AND {LATEST:.0f})
) STRICT;
CREATE TABLE prototypes (
    id INTEGER PRIMARY KEY,
    person INTEGER NOT NULL REFERENCES people ON DELETE CASCADE,
    modality TEXT NOT NULL CHECK (modality IN ('visible', 'thermal')),
    quality REAL NOT NULL CHECK (quality > 0),
    time REAL NOT NULL CHECK (time BETWEEN 0 AND {LATEST:.0f}),
    vector BLOB NOT NULL,
    crop BLOB
) STRICT;
CREATE INDEX prototypes_of ON prototypes (person);
CREATE TABLE sightings (
    person INTEGER NOT NULL REFERENCES people ON DELETE CASCADE,
    camera TEXT NOT NULL,
    began REAL NOT NULL CHECK (began BETWEEN 0 AND {LATEST:.0f}),
    ended REAL NOT NULL CHECK (ended BETWEEN began AND {LATEST:.0f}),
    PRIMARY KEY (person, camera, began)
) STRICT, WITHOUT ROWID;
CREATE INDEX sightings_ended ON sightings (ended);
CREATE TABLE audit (
    id INTEGER PRIMARY KEY,
    time REAL NOT NULL CHECK (time BETWEEN 0 AND {LATEST:.0f}),
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    person INTEGER,
    count INTEGER NOT NULL
) STRICT
"""

_KEEP = TypeAdapter(Keep)


@dataclass(frozen=True)
class Settings:
    """What a file says of itself."""

    space: str
    dimension: int
    keep: Keep
    wipe: bool
    """Something was deleted whose bytes may still lie in the file."""


def create(path: Path, space: str, dimension: int, cipher: Cipher, keep: Keep) -> None:
    """Make an empty gallery under a temporary name, then give it its own unless it has been taken meanwhile.

    Raises:
        UserError: it cannot be written there.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.stem}.", suffix=".new", dir=path.parent)  # readable to us alone
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror}); choose another place") from error
    os.close(handle)
    try:
        with closing(sqlite3.connect(name, isolation_level=None)) as connection:
            fill(connection, space, dimension, cipher, keep)
            connection.execute("PRAGMA journal_mode = WAL")
        with suppress(FileExistsError):  # another program was first, and its gallery is as good
            os.link(name, path)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror}); choose another place") from error
    except SQLITE_ERRORS as error:
        raise told(str(path), error) from error
    finally:
        Path(name).unlink(missing_ok=True)


def fill(connection: sqlite3.Connection, space: str, dimension: int, cipher: Cipher, keep: Keep) -> None:
    """Make an empty database a gallery."""
    seal = cipher.seal(SEALED.encode(), "gallery/1/seal")
    connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
    connection.execute("PRAGMA journal_mode = MEMORY")  # nobody needs half a gallery back
    with transaction(connection):
        for statement in (*TABLES.split(";"), *changes.TABLES, f"PRAGMA application_id = {APPLICATION}"):
            connection.execute(statement)
        changes.new_fleet(connection)
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        connection.execute(
            "INSERT INTO gallery VALUES (?, ?, ?, ?, ?, 1, 0)",
            (space, dimension, cipher.scheme, seal, _KEEP.dump_json(keep).decode()),
        )


def configure(connection: sqlite3.Connection) -> None:
    """Set what SQLite does not keep in the file."""
    for setting in (
        "trusted_schema = OFF", "cell_size_check = ON", "foreign_keys = ON", "secure_delete = ON",
        "temp_store = MEMORY",  # a VACUUM would leave what it moves in the folder for temporary files
        "synchronous = FULL",
    ):  # fmt: skip
        connection.execute(f"PRAGMA {setting}")


def connect(path: Path) -> sqlite3.Connection:
    """Open a gallery that is there and look through all of it.

    Raises:
        UserError: it is missing, something else, damaged, of a newer version, or not to be written.
    """
    _check_magic(path)
    try:
        path.chmod(0o600)
        connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    except (OSError, *SQLITE_ERRORS) as error:
        raise UserError(f"{path}: cannot be written ({error}); check who owns the file and its folder") from error
    try:
        configure(connection)
        _check_schema(connection, path)
        connection.execute("PRAGMA journal_mode = WAL")
        _check_content(connection)
    except SQLITE_ERRORS as error:
        connection.close()
        raise told(str(path), error) from error
    except BaseException:
        connection.close()
        raise
    return connection


def read_settings(connection: sqlite3.Connection, place: str, make: Callable[[str], Cipher]) -> tuple[Settings, Cipher]:
    """What the file says of itself, and its cipher, which `make` makes from the name of its scheme.

    Raises:
        UserError: it says nothing that makes sense, or was sealed with another key.
    """
    (row,) = connection.execute("SELECT space, dimension, scheme, seal, keep, wipe FROM gallery").fetchall()
    space, dimension, scheme, seal, keep, wipe = row
    cipher = make(scheme)
    try:
        if cipher.unseal(seal, "gallery/1/seal") != SEALED.encode():
            raise ValueError("the seal says something else")
    except ValueError as error:
        raise UserError(
            f"{place}: made with another key, or damaged; give the right one with --key or {KEY_VARIABLE}"
        ) from error
    try:
        return Settings(space, dimension, _KEEP.validate_json(keep), bool(wipe)), cipher
    except ValidationError as error:
        raise damaged(place, f"keep: {error.errors()[0]['msg']}") from error


def write_keep(connection: sqlite3.Connection, keep: Keep) -> None:
    """Change for how long what is kept."""
    connection.execute("UPDATE gallery SET keep = ?", (_KEEP.dump_json(keep).decode(),))


def damaged(place: str, what: str) -> UserError:
    """The one line for a file that is a gallery and cannot be read."""
    return told(place, ValueError(what))


def _check_magic(path: Path) -> None:
    if path.is_dir():
        raise UserError(f"{path}: a folder; a gallery is one file, name that")
    try:
        with path.open("rb") as file:
            magic = file.read(16)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); check the path and who owns the file") from error
    if magic != b"SQLite format 3\0":
        raise UserError(f"{path}: not a gallery, or one cut short; choose another file or restore a copy of it")


def _check_schema(connection: sqlite3.Connection, path: Path) -> None:
    if connection.execute("PRAGMA application_id").fetchone()[0] != APPLICATION:
        raise UserError(f"{path}: a database of another program; choose another file")
    with transaction(connection):
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version == 1:
            for statement in changes.TABLES:
                connection.execute(statement)
            changes.new_fleet(connection)
            connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        elif version != SCHEMA_VERSION:
            raise UserError(
                f"{path}: written for schema {version}, this version reads {SCHEMA_VERSION}; upgrade edge-reid, or "
                "export with the version that wrote it and import here"
            )
        with closing(sqlite3.connect(":memory:", isolation_level=None)) as blank:
            for statement in (*TABLES.split(";"), *changes.TABLES):
                blank.execute(statement)
            if _schema(connection) != _schema(blank):
                raise sqlite3.DatabaseError("its tables are not those of a gallery")


def _check_content(connection: sqlite3.Connection) -> None:
    for (found,) in connection.execute("PRAGMA integrity_check(1)"):
        if found != "ok":
            raise sqlite3.DatabaseError(" ".join(found.split()))
    for table, *_ in connection.execute("PRAGMA foreign_key_check"):
        raise sqlite3.DatabaseError(f"{table} of people who are not there")
    rows, following = connection.execute("SELECT count(*), max(next_person) FROM gallery").fetchone()
    last = connection.execute("SELECT max(number) FROM people").fetchone()[0]
    (fleets,) = connection.execute("SELECT count(*) FROM fleet").fetchone()
    if rows != 1 or fleets != 1 or (last or 0) >= following:
        raise sqlite3.DatabaseError("its settings contradict its people")


def _schema(connection: sqlite3.Connection) -> list[tuple[str, ...]]:
    return connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY name").fetchall()
