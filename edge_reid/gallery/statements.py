"""What is written into a gallery's file. What concerns a person who is gone meanwhile writes nothing."""

from __future__ import annotations

from edge_reid.gallery import changes
from edge_reid.gallery.base import Prototype
from edge_reid.gallery.cipher import Cipher
from edge_reid.gallery.store import Statement


def insert_person(cipher: Cipher, person: int, name: str | None, seen: float) -> Statement:
    """Someone who was not there."""
    return "INSERT INTO people VALUES (?, ?, ?, ?)", (person, _sealed_name(cipher, person, name), seen, seen)


def rename_person(cipher: Cipher, person: int, name: str | None) -> Statement:
    """A new name, or none."""
    return "UPDATE people SET name = ? WHERE number = ?", (_sealed_name(cipher, person, name), person)


def see_person(person: int, began: float, ended: float) -> Statement:
    """Widen the time in which a person was seen."""
    sql = "UPDATE people SET first_seen = min(first_seen, ?), last_seen = max(last_seen, ?) WHERE number = ?"
    return sql, (began, ended, person)


def delete_person(person: int) -> Statement:
    """With prototypes and sightings."""
    return "DELETE FROM people WHERE number = ?", (person,)


def insert_prototype(cipher: Cipher, number: int, person: int, prototype: Prototype, crop: bytes | None) -> Statement:
    """How somebody looks, with the picture or without."""
    sql = "INSERT INTO prototypes SELECT ?, ?, ?, ?, ?, ?, ? WHERE EXISTS (SELECT 1 FROM people WHERE number = ?)"
    vector = cipher.seal(prototype.vector.astype("<f4").tobytes(), f"prototypes/{number}/vector")
    sealed = None if crop is None else cipher.seal(crop, f"prototypes/{number}/crop")
    seen = (prototype.modality, prototype.quality, prototype.time)
    return sql, (number, person, *seen, vector, sealed, person)


def give_prototype(number: int, person: int) -> Statement:
    """Make it someone else's."""
    sql = "UPDATE prototypes SET person = ? WHERE id = ? AND EXISTS (SELECT 1 FROM people WHERE number = ?)"
    return sql, (person, number, person)


def insert_sighting(person: int, camera: str, began: float, ended: float) -> Statement:
    """Where somebody was; the same camera and beginning again make the sighting longer."""
    sql = (
        "INSERT INTO sightings SELECT ?, ?, ?, ? WHERE EXISTS (SELECT 1 FROM people WHERE number = ?) "
        "ON CONFLICT (person, camera, began) DO UPDATE SET ended = max(ended, excluded.ended)"
    )
    return sql, (person, camera, began, ended, person)


def give_sightings(person: int, receiver: int) -> Statement:
    """Make a person's sightings someone else's."""
    sql = (
        "UPDATE OR REPLACE sightings SET person = ? WHERE person = ? AND EXISTS (SELECT 1 FROM people WHERE number = ?)"
    )
    return sql, (receiver, person, receiver)


def insert_access(time: float, actor: str, action: str, person: int | None, count: int) -> Statement:
    """A line of the audit."""
    sql = "INSERT INTO audit (time, actor, action, person, count) VALUES (?, ?, ?, ?, ?)"
    return sql, (time, actor, action, person, count)


def delete_older(sightings: float, audit: float) -> tuple[Statement, ...]:
    """What ended before one time, and what was noted before another."""
    return (
        ("DELETE FROM sightings WHERE ended < ?", (sightings,)),
        ("DELETE FROM audit WHERE time < ?", (audit,)),
    )


def drop_prototype(number: int) -> tuple[Statement, ...]:
    """Make room, also in the fleet."""
    return ("DELETE FROM prototypes WHERE id = ?", (number,)), (changes.DROPPED, (number,))


def note_merged(gone: int, kept: int) -> Statement:
    """Have the fleet told."""
    return changes.MERGED, (gone, kept)


def note_forgotten(person: int) -> Statement:
    """Have the fleet told, which keeps people longer than a device that merely lets them expire."""
    return changes.FORGOTTEN, (person,)


def mark_deleted() -> Statement:
    """Whoever opens the file next rewrites it, should nobody do so before: deleted values may lie in it."""
    return "UPDATE gallery SET wipe = 1", ()


def _sealed_name(cipher: Cipher, person: int, name: str | None) -> bytes | None:
    return None if name is None else cipher.seal(name.encode(), f"people/{person}/name")
