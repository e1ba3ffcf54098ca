"""The gallery in one SQLite file: searched in memory, written by a thread of its own."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

from edge_reid.gallery import changes
from edge_reid.gallery.changes import Changes
from edge_reid.gallery.exchange import Exchange
from edge_reid.gallery.live import LiveGallery
from edge_reid.gallery.opening import open_file, open_memory
from edge_reid.gallery.records import Access, Keep, PastSighting, Stats
from edge_reid.gallery.statements import note_forgotten
from edge_reid.gallery.store import Answer, transaction
from edge_reid.types import MODALITIES


class SqliteGallery(LiveGallery):
    """People in a file, or in memory alone: an `edge_reid.gallery.base.Gallery`, and what waits for the disk.

    What is changed is on disk within a second. Other programs may have the same file open: what they change is here
    half a second later.
    """

    def __init__(
        self,
        path: Path | None,
        *,
        space: str | None = None,
        dimension: int | None = None,
        clock: Callable[[], float] = time.time,
        keep_crops: bool = False,
        key: bytes | None = None,
        keep: Keep | None = None,
        actor: str = "app",
    ) -> None:
        """Open a gallery; with `space` and `dimension` one that is missing is made.

        Args:
            path: the file; None: in memory.
            space: names the model that makes the vectors; None: whichever model, for looking and forgetting.
            dimension: of the vectors.
            clock: seconds since 1970.
            keep_crops: store the pictures that `add` and `enrol` are given.
            key: 32 bytes, where the file is encrypted or is to be.
            keep: for how long what is kept, also by others who open the file; None: as the file says.
            actor: who this is in the audit.

        Raises:
            UserError: the file is missing, damaged, something else, of another model, not to be written, or the key
                is not right.
        """
        opened = open_memory(space, dimension, keep) if path is None else open_file(path, space, dimension, key, keep)
        place = "the gallery in memory" if path is None else str(path)
        super().__init__(opened, place, clock=clock, actor=actor, keep_crops=keep_crops)
        self._path = path
        self._exchange = Exchange(place, self._cipher, self.space, self.dimension)

    def sightings(
        self, person: int | None = None, *, since: float | None = None, most: int = 1000
    ) -> list[PastSighting]:
        """Where and when a person was, or everyone; those that ended last come first.

        Args:
            person: one of the people, None for all.
            since: leave out what ended before.
            most: no more than so many.
        """
        columns = (
            "SELECT person, camera, began, ended FROM sightings WHERE (?1 IS NULL OR person = ?1) "
            "AND (?2 IS NULL OR ended >= ?2) ORDER BY ended DESC, began DESC LIMIT ?3"
        )
        rows = self._store.ask(lambda connection: connection.execute(columns, (person, since, most)).fetchall())
        return [PastSighting(*row) for row in rows]

    def audit(self, most: int = 1000) -> list[Access]:
        """Who looked and who deleted, the last first."""
        columns = "SELECT time, actor, action, person, count FROM audit ORDER BY id DESC LIMIT ?"
        rows = self._store.ask(lambda connection: connection.execute(columns, (most,)).fetchall())
        return [Access(*row) for row in rows]

    def stats(self) -> Stats:
        """How much there is."""
        counts = " UNION ALL ".join(
            f"SELECT count({what}) FROM {table}"
            for what, table in (("crop", "prototypes"), ("*", "sightings"), ("*", "audit"))
        )
        rows = self._store.ask(lambda connection: connection.execute(counts).fetchall())
        crops, sightings, accesses = (row[0] for row in rows)
        with self._lock:
            people = self._memory.people.values()
            return Stats(
                people=len(people), named=sum(known.name is not None for known in people),
                prototypes={modality: self._memory.count(modality) for modality in MODALITIES},
                crops=crops, sightings=sightings, accesses=accesses, space=self.space, dimension=self.dimension,
                encrypted=self._cipher.encrypts, keep=self.keep, bytes=self._bytes(), unwritten=self._store.unwritten,
                dropped=self._store.dropped,
            )  # fmt: skip

    def export(self, path: Path) -> int:
        """Write everyone into a file, not encrypted, that only its owner can read; returns how many there are.

        Raises:
            UserError: it cannot be written.
        """
        self.accessed("export", count=self.count())

        return self._change(lambda connection: self._exchange.write(connection, path))

    def import_(self, path: Path) -> dict[int, int]:
        """Add the people of an exported file, all or none; returns their numbers here by those there.

        A person keeps the number where it is higher than any that was ever given here.

        Raises:
            UserError: it is no such file, of another model, or somebody in it has a name that someone here has.
        """

        def read(connection: sqlite3.Connection) -> dict[int, int]:
            names = {person.name for person in self.people() if person.name is not None}
            self._numbers.give_back(connection)
            try:
                with transaction(connection):
                    numbers = self._exchange.read(connection, path, names, self.keep.prototypes)
            finally:
                self._numbers.refill(connection)
            self._loader.load(connection, self._store.committed)
            return numbers

        numbers = self._store.ask(read)
        self.accessed("import", count=len(numbers))
        return numbers

    def fleet_identity(self) -> tuple[str, int]:
        """What the fleet calls this gallery, 12 hexadecimal digits, its own for ever, and the last batch's number."""
        return self._store.ask(changes.read_identity)

    def attach(self) -> None:
        """From now on keep in mind what the fleet does not know; at first that is everything.

        Raises:
            UserError: the file cannot be written.
        """
        self._change(changes.attach)

    def detach(self) -> None:
        """Have no fleet any more."""
        self._change(changes.detach)

    def pending(self) -> int:
        """How many changes the fleet does not know."""
        return self._store.ask(changes.count_changes)

    def changes(self, most: int) -> Changes:
        """The oldest of them, as they are on disk; with those of the forgotten nothing of them is in the file any more.

        Raises:
            UserError: it cannot be read or written, or another program reads what is to be wiped.
        """
        self.flush()
        return self._change(lambda connection: changes.read_changes(connection, self._cipher, self.keep, most))

    def sent(self, sent: Changes) -> None:
        """Drop changes that the fleet has confirmed."""
        self._change(lambda connection: changes.drop_changes(connection, sent))

    def confirm_forgotten(self, person: int) -> None:
        """Have the fleet told that nothing is here of somebody who had this number."""
        self._store.write(note_forgotten(person))

    def resend(self, batch: int) -> None:
        """Have everything sent again: the fleet knows batches up to this one, and the file is an older copy."""
        self._change(lambda connection: changes.note_everything(connection, batch))

    def _change(self, action: Callable[[sqlite3.Connection], Answer]) -> Answer:
        def run(connection: sqlite3.Connection) -> Answer:
            with transaction(connection):
                return action(connection)

        return self._store.ask(run)

    def flush(self) -> None:
        """Wait until everything is on disk, and nothing of who was forgotten.

        Raises:
            UserError: the disk takes nothing, or another program reads what is to be wiped.
        """
        self._store.flush()

    def close(self) -> None:
        """Flush, and close the file.

        Raises:
            UserError: as in `flush`.
        """
        self._store.close(farewell=self._numbers.give_back)

    def _bytes(self) -> int:
        if self._path is None:
            return 0
        files = [self._path, self._path.with_name(self._path.name + "-wal")]
        return sum(file.stat().st_size for file in files if file.exists())
