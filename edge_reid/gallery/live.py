"""What of a gallery never waits for the disk: it works in memory, and is written by a thread of its own.

Shapes: N queries, D the embedding. Times are seconds since 1970, UTC.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar

import numpy as np
from numpy.typing import NDArray

from edge_reid.errors import UserError
from edge_reid.gallery import statements as sql
from edge_reid.gallery.base import Candidate, Prototype
from edge_reid.gallery.exchange import new_prototype
from edge_reid.gallery.loading import Loader
from edge_reid.gallery.memory import Known, Look, Memory
from edge_reid.gallery.numbers import Numbers
from edge_reid.gallery.opening import Opened
from edge_reid.gallery.records import DAY, LATEST, Person, check_prototype, checked_name
from edge_reid.gallery.store import SQLITE_ERRORS, Statement, Store, told, transaction
from edge_reid.types import Modality

_acting: ContextVar[str | None] = ContextVar("acting", default=None)


class LiveGallery:
    """People by number; any thread may call."""

    def __init__(self, opened: Opened, place: str, *, clock: Callable[[], float], actor: str, keep_crops: bool) -> None:
        """Read an open file into memory; see `edge_reid.gallery.sqlite.SqliteGallery`.

        Raises:
            UserError: it holds what is not to be read, or is not to be written.
        """
        connection, settings, self._cipher = opened
        self.space, self.dimension, self.keep = settings.space, settings.dimension, settings.keep
        self._clock, self._actor, self._place = clock, actor, place
        self.keep_crops = keep_crops
        self._lock = threading.RLock()
        self._changed: set[int] = set()
        self._numbers = Numbers()
        self._memory = Memory(self.dimension)
        self._loader = Loader(self._memory, self._lock, self._cipher, self.dimension, place)
        try:
            self._loader.load(connection, 0)
            with transaction(connection):
                self._numbers.refill(connection)
                connection.execute(*self._access("open", None, len(self._memory.people)))
        except (*SQLITE_ERRORS, UserError) as error:
            connection.close()
            raise error if isinstance(error, UserError) else told(place, error) from error
        self._wiped = clock()
        self._store = Store(connection, place, wipe=settings.wipe, settle=self._settle)
        self.expire(clock())  # nobody may have had the file open for days

    def add(self, prototype: Prototype, person: int | None = None, *, crop: bytes | None = None) -> int:
        """Keep how a person looks, a new one when None; returns the number.

        Args:
            prototype: a unit vector `(D,)` and where it comes from.
            person: whose it is.
            crop: a JPEG, kept where the gallery keeps crops.

        Raises:
            KeyError: nobody has this number (any more).
            UserError: the disk has taken nothing while more people came than there are numbers at hand.
            ValueError: the prototype is none.
        """
        check_prototype(prototype, self.dimension)
        number = self._new_number() if person is None else person
        with self._lock:
            begun = [] if person is not None else [self._start(number, None, prototype.time)]
            self._store.write(*begun, *self._keep_look(number, prototype, crop))
        return number

    def enrol(self, name: str, prototypes: Sequence[Prototype], crops: Sequence[bytes | None] = ()) -> int:
        """Keep how someone looks, all of it or nothing; returns the number of who has the name, or is new.

        Args:
            name: somebody's.
            prototypes: at least one.
            crops: a JPEG of each of them, or none at all.

        Raises:
            UserError: the name is none.
            ValueError: there is no prototype or one is none.
        """
        name = checked_name(name)
        if not prototypes:
            raise ValueError("nothing to enrol")
        for prototype in prototypes:
            check_prototype(prototype, self.dimension)
        there = self.named(name)
        number = self._new_number() if there is None else there
        with self._lock:
            written = [] if there is not None else [self._start(number, name, prototypes[0].time)]
            for prototype, crop in zip(prototypes, crops or [None] * len(prototypes), strict=True):
                written += self._keep_look(number, prototype, crop)
            self._store.write(*written, self._access("enrol", number, len(prototypes)))
        return number

    def search(self, vectors: NDArray[np.float32], modality: Modality, *, most: int = 5) -> list[list[Candidate[int]]]:
        """The people nearest to each of the vectors `(N, D)` by their prototypes of `modality`, best first.

        Raises:
            ValueError: the vectors are not of this gallery's length.
        """
        if vectors.ndim != 2 or vectors.shape[1] != self.dimension:
            raise ValueError(f"vectors {vectors.shape}: the gallery has those of {self.dimension} numbers")
        with self._lock:
            return self._memory.search(vectors, modality, most)

    def rename(self, person: int, name: str | None) -> None:
        """Give a person a name, another one, or none, with which they expire like anybody.

        Raises:
            KeyError: nobody has this number.
            UserError: the name is none, or someone else's.
        """
        name = None if name is None else checked_name(name)
        with self._lock:
            known = self._known(person)
            other = None if name is None else self._memory.named(name)
            if other not in (None, person):
                raise UserError(f"name {name!r}: person {other} has it; choose another, or rename them first")
            known.name, known.ticket = name, self._store.ticket
            self._store.write(sql.rename_person(self._cipher, person, name), self._access("rename", person, 1))

    def sighted(self, person: int, camera: str, began: float, ended: float) -> None:
        """Note that a camera saw a person; the same beginning again makes the sighting longer.

        Raises:
            KeyError: nobody has this number.
            ValueError: it ended before it began, or at no time.
        """
        if not 0 <= began <= ended <= LATEST:
            raise ValueError(f"a sighting from {began} to {ended}: these are no times, or in the wrong order")
        with self._lock:
            known = self._known(person)
            known.first_seen, known.last_seen = min(known.first_seen, began), max(known.last_seen, ended)
            self._store.write(sql.insert_sighting(person, camera, began, ended), sql.see_person(person, began, ended))

    def merge(self, keep: int, gone: int) -> None:
        """Make two people one: the first keeps the number, and the name unless it has none.

        Raises:
            KeyError: nobody has one of the numbers.
            ValueError: they are one.
        """
        if keep == gone:
            raise ValueError(f"person {keep} cannot be merged with themselves")
        with self._lock:
            known, other = self._known(keep), self._known(gone)
            ticket = self._store.ticket
            moved = self._memory.prototypes(gone)
            for number in moved:
                self._memory.give(number, keep, ticket)
            written = [sql.give_prototype(number, keep) for number in moved]
            written += self._drop_excess(keep)
            written += [
                sql.give_sightings(gone, keep), sql.delete_person(gone), sql.note_merged(gone, keep),
                sql.see_person(keep, other.first_seen, other.last_seen),
            ]  # fmt: skip
            known.first_seen = min(known.first_seen, other.first_seen)
            known.last_seen = max(known.last_seen, other.last_seen)
            if known.name is None and other.name is not None:
                known.name, known.ticket = other.name, ticket
                written.append(sql.rename_person(self._cipher, keep, known.name))
            self._memory.forget(gone, ticket)
            written += [self._access("merge", gone, len(moved)), sql.mark_deleted()]
            self._store.write(*written, wipe=other.name is not None)

    def forget(self, person: int) -> None:
        """Leave nothing of a person: at once in memory, and in the file when `flush` has returned.

        Raises KeyError where nobody has this number.
        """
        with self._lock:
            self._known(person)
            self._changed.add(person)
            access = self._access("forget", person, self._memory.forget(person, self._store.ticket))
            written = (sql.delete_person(person), sql.note_forgotten(person), access, sql.mark_deleted())
            self._store.write(*written, wipe=True)

    def expire(self, now: float) -> list[int]:
        """Forget whose time has come, and what of history and audit is too old; returns the people.

        The file is rewritten without them once a day, or when it is opened next.
        """
        with self._lock:
            written: list[Statement] = []
            gone = [
                number
                for number, known in self._memory.people.items()
                if (end := self.keep.expires(known.name, known.last_seen)) is not None and end <= now
            ]
            for person in gone:
                count = self._memory.forget(person, self._store.ticket)
                written += [sql.delete_person(person), self._access("expire", person, count)]
            written += sql.delete_older(now - self.keep.history, now - self.keep.audit)
            written += [sql.mark_deleted()] if gone else []
            wipe = bool(gone) and self._clock() >= self._wiped + DAY
            self._wiped = self._clock() if wipe else self._wiped
            self._store.write(*written, wipe=wipe)
        return gone

    def count(self) -> int:
        """How many people there are."""
        return len(self._memory.people)

    def people(self) -> list[Person]:
        """Everyone, by number."""
        with self._lock:
            return [self._memory.person(number, self.keep) for number in sorted(self._memory.people)]

    def person(self, number: int) -> Person:
        """One of them. Raises KeyError where nobody has this number."""
        with self._lock:
            self._known(number)
            return self._memory.person(number, self.keep)

    def names(self) -> dict[int, str]:
        """Of those who have one, by number."""
        with self._lock:
            return {number: known.name for number, known in self._memory.people.items() if known.name is not None}

    def named(self, name: str) -> int | None:
        """The number of the person with this name, None where nobody has it."""
        with self._lock:
            return self._memory.named(name)

    def refresh(self) -> set[int]:
        """The people whom other programs changed or added, or anybody forgot, since the last call."""
        with self._lock:
            changed, self._changed = self._changed, set()
        return changed

    def accessed(self, action: str, person: int | None = None, count: int = 0) -> None:
        """Note in the audit that someone looked: at a person, or at so many."""
        self._store.write(self._access(action, person, count))

    @contextlib.contextmanager
    def acting(self, actor: str) -> Iterator[None]:
        """What this thread does meanwhile stands in the audit as done by someone else than who opened the gallery."""
        token = _acting.set(actor)
        try:
            yield
        finally:
            _acting.reset(token)

    def _access(self, action: str, person: int | None, count: int) -> Statement:
        return sql.insert_access(self._clock(), _acting.get() or self._actor, action, person, count)

    def _known(self, person: int) -> Known:
        if (known := self._memory.people.get(person)) is None:
            raise KeyError(f"person {person}: nobody has this number")
        return known

    def _new_number(self) -> int:
        while (number := self._numbers.take()) is None:  # more new people within half a second than are reserved
            if self._store.failure is not None:
                raise self._store.failure
            self._store.ask(self._numbers.refill)
        return number

    def _start(self, number: int, name: str | None, seen: float) -> Statement:
        self._memory.people[number] = Known(name, seen, seen, self._store.ticket)
        return sql.insert_person(self._cipher, number, name, seen)

    def _keep_look(self, person: int, prototype: Prototype, crop: bytes | None) -> list[Statement]:
        number, known = new_prototype(), self._known(person)
        look = Look(person, prototype.modality, prototype.quality, self._store.ticket)
        self._memory.add(number, look, prototype.vector)
        known.first_seen = min(known.first_seen, prototype.time)
        known.last_seen = max(known.last_seen, prototype.time)
        return [
            sql.insert_prototype(self._cipher, number, person, prototype, crop if self.keep_crops else None),
            sql.see_person(person, prototype.time, prototype.time),
            *self._drop_excess(person),
        ]

    def _drop_excess(self, person: int) -> list[Statement]:
        worst = self._memory.excess(person, self.keep.prototypes)
        for number in worst:
            self._memory.remove(number, self._store.ticket)
        return [statement for number in worst for statement in sql.drop_prototype(number)]

    def _settle(self, connection: sqlite3.Connection, foreign: bool, committed: int) -> None:
        """After each round of writing, in the thread that writes."""
        changed = self._loader.load(connection, committed) if foreign else set()
        with self._lock:
            self._changed |= changed
            self._memory.settle(committed)
        self._numbers.refill(connection)
