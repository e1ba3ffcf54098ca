"""The gallery in PostgreSQL: for programs without a file of their own, beside devices whose files are copied there.

Needs the extra `fleet`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from secrets import token_hex
from typing import Any

import numpy as np
from numpy.typing import NDArray
from psycopg import Connection

from edge_reid.fleet import statements as sql
from edge_reid.fleet.address import Address, connect, telling
from edge_reid.fleet.push import push, register
from edge_reid.fleet.records import Filters, FleetPerson
from edge_reid.fleet.search import LOOKS, nearest
from edge_reid.gallery.base import Candidate, Prototype
from edge_reid.gallery.changes import Changes, KnownPerson, KnownPrototype
from edge_reid.gallery.exchange import new_prototype
from edge_reid.gallery.records import Keep, check_prototype
from edge_reid.types import Modality


class PostgresGallery:
    """People of a whole fleet: an `edge_reid.gallery.base.Gallery` of `FleetPerson`.

    Each call is a transaction of its own, on disk when it returns; without the server it raises, where the gallery in a
    file would go on.
    """

    def __init__(
        self, address: Address, *, space: str, dimension: int, gallery: str | None = None, keep: Keep | None = None
    ) -> None:
        """Log in, and find or make this program's own gallery.

        Args:
            address: of the database; the login says which site and device this is.
            space: names the model that makes the vectors.
            dimension: of the vectors.
            gallery: 12 hexadecimal digits by which an earlier run called itself; None: a new one.
            keep: for how long what is kept that is added here.

        Raises:
            UserError: nobody answers there, or this login or model is not of the fleet.
        """
        self.space, self.dimension = space, dimension
        self._keep = keep or Keep()
        self._address = address
        with telling(address), contextlib.ExitStack() as stack:
            self._connection = stack.enter_context(contextlib.closing(connect(address)))
            self._me = register(self._connection, gallery or token_hex(6), space, dimension, self._keep.history)
            stack.pop_all()
        self._batch = self._me.batch

    def add(self, prototype: Prototype, person: FleetPerson | None = None) -> FleetPerson:
        """Keep how a person looks, a new one when None; returns who it is.

        Raises:
            KeyError: nobody of this gallery is that (any more).
            UserError: the server did not take it.
            ValueError: the prototype is none.
        """
        check_prototype(prototype, self.dimension)
        with self._connected() as connection, connection.transaction():
            if person is None:
                number = self._single(connection, sql.NEXT_NUMBER)
                lifetime = self._keep.anonymous
                people = [KnownPerson(number, None, prototype.time, prototype.time, lifetime)]
            else:
                number, people = self._number(connection, person), []
            self._batch += 1
            looks = [KnownPrototype(new_prototype(), number, prototype, None)]
            push(connection, self._me, Changes(self._batch, people, looks, [], [], [], [], []))
        return FleetPerson(self._me.site, self._me.gallery, number)

    def search(
        self,
        vectors: NDArray[np.float32],
        modality: Modality,
        *,
        most: int = 5,
        filters: Filters | None = None,
        exact: bool = False,
    ) -> list[list[Candidate[FleetPerson]]]:
        """The people nearest to each of the vectors `(N, D)` by their prototypes of `modality`, best first.

        A device finds those of its site, whatever the filters ask for.

        Raises:
            UserError: the server does not answer.
            ValueError: the vectors are not of this gallery's length.
        """
        if vectors.ndim != 2 or vectors.shape[1] != self.dimension:
            raise ValueError(f"vectors {vectors.shape}: the gallery has those of {self.dimension} numbers")
        if most < 1:
            return [[] for _ in vectors]
        found = []
        with self._connected() as connection:
            for vector in vectors:
                best: dict[FleetPerson, float] = {}
                for hit in nearest(
                    connection, (self._me.space, self.dimension), vector, modality,
                    most=LOOKS * most, filters=filters, exact=exact,
                ):  # fmt: skip
                    best.setdefault(hit.person, hit.score)
                found.append([Candidate(person, score) for person, score in list(best.items())[:most]])
            self._audit(connection, "search", None, len(vectors))
        return found

    def forget(self, person: FleetPerson) -> None:
        """Leave nothing of a person, nor of anybody who is the same human being, here and on every device.

        Raises:
            KeyError: nobody of this gallery is that.
            UserError: the server did not do it.
        """
        with self._connected() as connection, connection.transaction():
            key = self._me.key | {"number": self._number(connection, person)}
            connection.execute(sql.FORGET, key)
            connection.execute(sql.CONFIRM, key)
            self._audit(connection, "forget", person, 1)

    def count(self) -> int:
        """How many people this gallery has given to the fleet."""
        with self._connected() as connection:
            return self._single(connection, sql.COUNT_PEOPLE)

    def close(self) -> None:
        """Log out."""
        self._connection.close()

    @contextlib.contextmanager
    def _connected(self) -> Iterator[Connection[Any]]:
        """The connection, a new one where it broke."""
        with telling(self._address):
            if self._connection.closed:
                self._connection = connect(self._address)
            yield self._connection

    def _number(self, connection: Connection[Any], person: FleetPerson) -> int:
        own = (person.site, person.gallery) == (self._me.site, self._me.gallery)
        if not own or connection.execute(sql.PERSON, self._me.key | {"number": person.number}).fetchone() is None:
            raise KeyError(f"{person}: nobody of this gallery")
        return person.number

    def _single(self, connection: Connection[Any], statement: str) -> int:
        row = connection.execute(statement, self._me.key).fetchone()
        return int(row[0]) if row else 0

    def _audit(self, connection: Connection[Any], action: str, person: FleetPerson | None, count: int) -> None:
        row = {"site": self._me.site, "action": action, "person": person and str(person), "count": count}
        connection.execute(sql.AUDIT, row)
