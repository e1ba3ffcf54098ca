"""What the fleet does not know yet of a gallery: kept in its file, in the very transaction that changes something.

A change names what changed, not how: what it looks like is read when it is sent, so that a change may be sent twice,
or once for many, and nobody who was forgotten waits in a queue. Triggers note them, so that no program can forget to.
"""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from edge_reid.gallery.base import Prototype
from edge_reid.gallery.cipher import Cipher
from edge_reid.gallery.records import Keep, PastSighting

_NOTE = (
    "INSERT INTO changes (kind, person, item, camera, began) SELECT '{kind}', {key} WHERE (SELECT attached FROM fleet) "
    "ON CONFLICT DO UPDATE SET stamp = stamp + 1"
)
_PERSON = _NOTE.format(kind="person", key="{0}number, 0, '', 0")
_PROTOTYPE = _NOTE.format(kind="prototype", key="0, {0}id, '', 0")
_SIGHTING = _NOTE.format(kind="sighting", key="{0}person, 0, {0}camera, {0}began")


def _trigger(name: str, moment: str, note: str) -> str:
    return f"CREATE TRIGGER {name} AFTER {moment} BEGIN {note.format('NEW.')}; END"


TABLES = (
    """
    CREATE TABLE fleet (
        uid TEXT NOT NULL,
        attached INTEGER NOT NULL CHECK (attached IN (0, 1)),
        batch INTEGER NOT NULL CHECK (batch >= 0)
    ) STRICT""",
    """
    CREATE TABLE changes (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        stamp INTEGER NOT NULL DEFAULT 1,
        kind TEXT NOT NULL CHECK (kind IN ('person', 'prototype', 'sighting', 'dropped', 'merged', 'forgotten')),
        person INTEGER NOT NULL,
        item INTEGER NOT NULL,
        camera TEXT NOT NULL,
        began REAL NOT NULL,
        UNIQUE (kind, person, item, camera, began)
    ) STRICT""",
    _trigger("person_new", "INSERT ON people", _PERSON),
    _trigger("person_changed", "UPDATE ON people", _PERSON),
    _trigger("prototype_new", "INSERT ON prototypes", _PROTOTYPE),
    _trigger("prototype_given", "UPDATE OF person ON prototypes", _PROTOTYPE),
    _trigger("sighting_new", "INSERT ON sightings", _SIGHTING),
    _trigger("sighting_changed", "UPDATE ON sightings", _SIGHTING),
)
"""A number stays the place of a change in the order until it is sent; the stamp tells whether it changed meanwhile."""

MERGED = _NOTE.format(kind="merged", key="?, ?, '', 0")
"""Parameters: who is gone, who stays."""
DROPPED = _NOTE.format(kind="dropped", key="0, ?, '', 0")
"""Parameter: the prototype that had to make room; what expires is not told, for the fleet has a clock of its own."""
FORGOTTEN = _NOTE.format(kind="forgotten", key="?, 0, '', 0")
"""Parameter: who."""

_EVERYTHING = tuple(
    f"INSERT INTO changes (kind, person, item, camera, began) SELECT '{kind}', {columns} FROM {table} WHERE true "
    "ON CONFLICT DO UPDATE SET stamp = stamp + 1"
    for kind, columns, table in (
        ("person", "number, 0, '', 0", "people"),
        ("prototype", "0, id, '', 0", "prototypes"),
        ("sighting", "person, 0, camera, began", "sightings"),
    )
)


@dataclass(frozen=True)
class KnownPerson:
    """A person as the fleet is told; times are seconds since 1970."""

    number: int
    name: str | None
    first_seen: float
    last_seen: float
    lifetime: float | None
    """Seconds after which they are forgotten when nobody sees them; None: never."""


@dataclass(frozen=True)
class KnownPrototype:
    """How a person looked, with the picture where the gallery keeps pictures."""

    number: int
    person: int
    prototype: Prototype
    crop: bytes | None


@dataclass(frozen=True)
class Changes:
    """Some of what the fleet does not know, as it is now, the oldest first."""

    batch: int
    """Higher than that of any before: a batch that was held up on its way is known to be old."""
    people: list[KnownPerson]
    """Those who changed, and the owners of all that follows."""
    prototypes: list[KnownPrototype]
    sightings: list[PastSighting]
    dropped: list[int]
    """Prototypes that had to make room."""
    merged: list[tuple[int, int]]
    """Who is gone, and who they are now."""
    forgotten: list[int]
    taken: list[tuple[int, int]]
    """Numbers and stamps of the changes that these are."""


@dataclass(frozen=True)
class _Row:
    number: int
    stamp: int
    kind: str
    person: int
    item: int
    camera: str
    began: float


def new_fleet(connection: sqlite3.Connection) -> None:
    """Fill the table of a gallery that no fleet knows."""
    connection.execute("INSERT INTO fleet VALUES (?, 0, 0)", (secrets.token_hex(6),))


def read_identity(connection: sqlite3.Connection) -> tuple[str, int]:
    """What the fleet calls this file, 12 hexadecimal digits, and the number of the last batch."""
    uid, batch = connection.execute("SELECT uid, batch FROM fleet").fetchone()
    return str(uid), int(batch)


def attach(connection: sqlite3.Connection) -> None:
    """From now on note what changes; all that is there already counts as changed."""
    if connection.execute("UPDATE fleet SET attached = 1 WHERE NOT attached").rowcount:
        note_everything(connection)


def detach(connection: sqlite3.Connection) -> None:
    """Note no more, and drop what was noted."""
    connection.execute("UPDATE fleet SET attached = 0")
    connection.execute("DELETE FROM changes")


def note_everything(connection: sqlite3.Connection, batch: int = 0) -> None:
    """Have all of it sent, in batches above `batch`: the file is an older copy of one that the fleet knows."""
    connection.execute("UPDATE fleet SET batch = max(batch, ?)", (batch,))
    for statement in _EVERYTHING:
        connection.execute(statement)


def count_changes(connection: sqlite3.Connection) -> int:
    """How many wait."""
    (count,) = connection.execute("SELECT count(*) FROM changes").fetchone()
    return int(count)


def drop_changes(connection: sqlite3.Connection, changes: Changes) -> None:
    """Forget those that were sent, unless they have changed once more meanwhile."""
    connection.executemany("DELETE FROM changes WHERE number = ? AND stamp = ?", changes.taken)


def read_changes(connection: sqlite3.Connection, cipher: Cipher, keep: Keep, most: int) -> Changes:
    """The oldest changes, `most` of them at most, under a new batch number; within a transaction of the caller."""
    columns = "SELECT number, stamp, kind, person, item, camera, began FROM changes ORDER BY number LIMIT ?"
    rows = [_Row(*row) for row in connection.execute(columns, (most,))]
    ((batch,),) = connection.execute("UPDATE fleet SET batch = batch + 1 RETURNING batch").fetchall()
    kinds: dict[str, list[_Row]] = {
        kind: [row for row in rows if row.kind == kind]
        for kind in ("person", "prototype", "sighting", "dropped", "merged", "forgotten")
    }
    prototypes = [known for row in kinds["prototype"] if (known := _prototype(connection, cipher, row.item))]
    sightings = [sighting for row in kinds["sighting"] if (sighting := _sighting(connection, row))]
    owners = [
        *(row.person for row in kinds["person"]),
        *(known.person for known in prototypes),
        *(sighting.person for sighting in sightings),
        *(row.item for row in kinds["merged"]),
    ]
    return Changes(
        batch=batch,
        people=list(_people(connection, cipher, keep, dict.fromkeys(owners))),
        prototypes=prototypes,
        sightings=sightings,
        dropped=[row.item for row in kinds["dropped"]],
        merged=[(row.person, row.item) for row in kinds["merged"]],
        forgotten=[row.person for row in kinds["forgotten"]],
        taken=[(row.number, row.stamp) for row in rows],
    )


def _people(
    connection: sqlite3.Connection, cipher: Cipher, keep: Keep, numbers: Iterable[int]
) -> Iterable[KnownPerson]:
    for number in numbers:
        row = connection.execute(
            "SELECT name, first_seen, last_seen FROM people WHERE number = ?", (number,)
        ).fetchone()
        if row is not None:
            stored, first, last = row
            name = None if stored is None else cipher.unseal(stored, f"people/{number}/name").decode()
            expires = keep.expires(name, last)
            yield KnownPerson(number, name, first, last, None if expires is None else expires - last)


def _prototype(connection: sqlite3.Connection, cipher: Cipher, number: int) -> KnownPrototype | None:
    columns = "SELECT person, modality, quality, time, vector, crop FROM prototypes WHERE id = ?"
    row = connection.execute(columns, (number,)).fetchone()
    if row is None:
        return None
    person, modality, quality, time, vector, crop = row
    unit = np.frombuffer(cipher.unseal(vector, f"prototypes/{number}/vector"), np.dtype("<f4")).astype(np.float32)
    picture = None if crop is None else cipher.unseal(crop, f"prototypes/{number}/crop")
    return KnownPrototype(number, person, Prototype(modality, unit, quality, time), picture)


def _sighting(connection: sqlite3.Connection, change: _Row) -> PastSighting | None:
    columns = "SELECT person, camera, began, ended FROM sightings WHERE person = ? AND camera = ? AND began = ?"
    row = connection.execute(columns, (change.person, change.camera, change.began)).fetchone()
    return None if row is None else PastSighting(*row)
