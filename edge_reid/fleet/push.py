"""From a device to the fleet: each batch of changes in one transaction, applied once and in order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from psycopg import Connection, Cursor, errors

from edge_reid.errors import UserError
from edge_reid.fleet import statements as sql
from edge_reid.gallery.changes import Changes

Row = dict[str, object]


class StaleBatch(Exception):  # noqa: N818 (a state, not a fault)
    """The fleet has had this batch or a later one: what it says may be out of date."""


@dataclass(frozen=True)
class Registered:
    """A gallery as the fleet knows it."""

    site: str
    device: str
    gallery: str
    space: int
    batch: int
    """The last one that was applied."""

    @property
    def key(self) -> Row:
        """Parameters of every statement about it."""
        return {"site": self.site, "device": self.device, "gallery": self.gallery, "space": self.space}


def register(connection: Connection[Any], gallery: str, space: str, dimension: int, history: float) -> Registered:
    """Make a gallery known, or find it.

    Args:
        connection: of a device's login.
        gallery: its 12 hexadecimal digits.
        space: names the model of its vectors.
        dimension: of these.
        history: seconds for which its sightings are kept.

    Raises:
        UserError: the login is no device's, the model is not the fleet's, or the gallery is another device's.
    """
    site, device = login_of(connection)
    number = space_number(connection, space, dimension)
    row = {"site": site, "device": device, "gallery": gallery, "space": number, "history": history}
    try:
        batch, had = _one(connection.execute(sql.REGISTER, row))
    except errors.InsufficientPrivilege as error:
        raise UserError(
            f"gallery {gallery} is another device's: the file was copied; give {device} a file of its own"
        ) from error
    if had != number:
        raise UserError(f"gallery {gallery} was made with another model; give {device} a new file")
    return Registered(site, device, gallery, number, batch)


def login_of(connection: Connection[Any]) -> tuple[str, str]:
    """Site and device of the one who has logged in.

    Raises:
        UserError: it is no device.
    """
    login, site, device = _one(connection.execute(sql.IDENTITY))
    if site is None or device is None:
        raise UserError(f"login {login} is no device of the fleet; `edge-reid fleet admit SITE/DEVICE --login {login}`")
    return site, device


def space_number(connection: Connection[Any], space: str, dimension: int) -> int:
    """What the fleet calls a model.

    Raises:
        UserError: it does not have it.
    """
    known = connection.execute(sql.SPACE, {"space": space, "dimension": dimension}).fetchone()
    if known is None:
        raise UserError(
            f"the fleet does not have model {space} ({dimension} numbers) yet; "
            "`edge-reid fleet migrate ADDRESS --bundle FOLDER` adds it"
        )
    return int(known[0])


def push(connection: Connection[Any], me: Registered, changes: Changes) -> None:
    """Apply changes: all or none.

    Raises:
        StaleBatch: the fleet knows better.
        psycopg.Error: the connection broke; nobody knows then whether it was applied, and it may be sent again.
    """
    with connection.transaction(), connection.cursor() as cursor:
        if cursor.execute(sql.BEGIN_BATCH, me.key | {"batch": changes.batch}).rowcount != 1:
            raise StaleBatch
        _many(cursor, sql.PUT_PERSON, me, [vars(person) for person in changes.people])
        _many(cursor, sql.PUT_PROTOTYPE, me, [
            {
                "prototype": known.number, "number": known.person, "modality": known.prototype.modality,
                "quality": known.prototype.quality, "time": known.prototype.time, "vector": known.prototype.vector,
                "crop": known.crop,
            }
            for known in changes.prototypes
        ])  # fmt: skip
        _many(cursor, sql.PUT_SIGHTING, me, [
            vars(sighting) | {"number": sighting.person} for sighting in changes.sightings
        ])  # fmt: skip
        _many(cursor, sql.DROP_PROTOTYPE, me, [{"prototype": number} for number in changes.dropped])
        _many(cursor, sql.MERGE, me, [{"gone": gone, "kept": kept} for gone, kept in changes.merged])
        _many(cursor, sql.FORGET, me, [{"number": number} for number in changes.forgotten])
        _many(cursor, sql.CONFIRM, me, [{"number": number} for number in changes.forgotten])


def reopen(connection: Connection[Any], me: Registered) -> None:
    """Have all forgettings confirmed again: the file was restored from a copy and may hold people whom it had not."""
    connection.execute(sql.REOPEN, me.key)


def to_forget(connection: Connection[Any], me: Registered) -> list[int]:
    """People of a gallery whom somebody else had forgotten, until the device has confirmed it."""
    return [number for (number,) in connection.execute(sql.TO_FORGET, me.key)]


def _many(cursor: Cursor[Any], statement: str, me: Registered, rows: list[Row]) -> None:
    if rows:
        cursor.executemany(statement, [me.key | row for row in rows])


def _one(cursor: Cursor[Any]) -> tuple[Any, ...]:
    row = cursor.fetchone()
    assert row is not None  # noqa: S101 (RETURNING and functions give one)
    return tuple(row)
