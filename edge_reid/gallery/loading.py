"""From the file into memory: all of it when a gallery is opened, later what other programs have changed."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Set
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_reid.gallery.cipher import Cipher
from edge_reid.gallery.file import damaged
from edge_reid.gallery.index import is_unit
from edge_reid.gallery.memory import Known, Look, Memory
from edge_reid.gallery.records import stored_name

FEW = 1000
"""Prototypes that are fetched one by one; more are picked out of a pass over the whole table."""

PROTOTYPE = "SELECT id, person, modality, quality, vector FROM prototypes"


@dataclass(frozen=True)
class Loader:
    """Reads a gallery's file into its memory."""

    memory: Memory
    lock: threading.RLock
    """Of the memory; never held while the disk is read."""
    cipher: Cipher
    dimension: int
    place: str
    """What messages call the file."""

    def load(self, connection: sqlite3.Connection, committed: int) -> set[int]:
        """Make memory what the file says, but for writes with later tickets; returns the people who changed.

        Raises:
            UserError: the file holds what is not to be read.
        """
        connection.execute("BEGIN")
        try:
            people = {
                number: Known(self._name(number, name), first, last, 0)
                for number, name, first, last in connection.execute("SELECT * FROM people")
            }
            owners: dict[int, int] = dict(connection.execute("SELECT id, person FROM prototypes"))
            with self.lock:
                missing = owners.keys() - self.memory.looks.keys() - self.memory.gone_looks.keys()
            looks = self._read(connection, missing)
        except (ValueError, TypeError) as error:
            raise damaged(self.place, str(error)) from error
        finally:
            connection.execute("COMMIT")
        with self.lock:
            changed = self._take_people(people, committed) | self._take_owners(owners, committed)
            # last: what they had may have become someone else's
            for number in self.memory.people.keys() - people.keys():
                if self.memory.people[number].ticket <= committed:
                    self.memory.forget(number, 0)
                    changed.add(number)
            for number, (look, vector) in looks.items():
                if look.person in self.memory.people:
                    self.memory.add(number, look, vector)
                    changed.add(look.person)
            self.memory.settle(committed)
        return changed

    def _name(self, number: int, stored: bytes | None) -> str | None:
        if stored is None:
            return None
        return stored_name(self.cipher.unseal(stored, f"people/{number}/name").decode())

    def _read(self, connection: sqlite3.Connection, wanted: Set[int]) -> dict[int, tuple[Look, NDArray[np.float32]]]:
        if len(wanted) > FEW:
            rows = (row for row in connection.execute(PROTOTYPE) if row[0] in wanted)
        else:
            rows = (connection.execute(f"{PROTOTYPE} WHERE id = ?", (number,)).fetchone() for number in wanted)
        return {
            number: (Look(person, modality, quality, 0), self._vector(number, stored))
            for number, person, modality, quality, stored in rows
        }

    def _vector(self, number: int, stored: bytes) -> NDArray[np.float32]:
        vector = np.frombuffer(self.cipher.unseal(stored, f"prototypes/{number}/vector"), np.dtype("<f4"))
        if vector.shape != (self.dimension,) or not is_unit(vector):
            raise ValueError(f"prototype {number} is no unit vector of {self.dimension} numbers")
        return vector.astype(np.float32, copy=False)

    def _take_people(self, people: dict[int, Known], committed: int) -> set[int]:
        memory, changed = self.memory, set()
        for number, read in people.items():
            known = memory.people.get(number)
            if known is None and number not in memory.gone_people:
                memory.people[number] = read
                changed.add(number)
            elif known is not None and known.ticket <= committed:
                known.last_seen = max(known.last_seen, read.last_seen)
                known.first_seen = min(known.first_seen, read.first_seen)
                if known.name != read.name:
                    known.name = read.name
                    changed.add(number)
        return changed

    def _take_owners(self, owners: dict[int, int], committed: int) -> set[int]:
        memory, changed = self.memory, set()
        for number in memory.looks.keys() - owners.keys():
            if memory.looks[number].ticket <= committed:
                changed.add(memory.looks[number].person)
                memory.remove(number, 0)
        for number, person in owners.items():
            look = memory.looks.get(number)
            moved = look is not None and look.person != person and look.ticket <= committed
            if look is not None and moved and person in memory.people:
                changed |= {look.person, person}
                memory.give(number, person, 0)
        return changed
