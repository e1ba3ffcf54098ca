"""A queue on disk that outlives the program: what waits for a receiver, of events or of anything else."""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_reid.errors import UserError

logger = logging.getLogger(__name__)

APPLICATION = 0x45524F42
"""Marks an SQLite file as an outbox."""

MOST = 100_000
"""Messages that wait at most: 40 MB of events."""

_OF_THE_DISK = ("locked", "unable to open", "disk is full", "disk I/O", "readonly")
"""Complaints of SQLite that say nothing about the file."""

LOCK_SECONDS = 1.0
"""How long an outbox that another process holds is waited for: one that is just ending lets it go."""


@dataclass(frozen=True)
class Message:
    """Something to hand over: the key is its own for ever, the topic says what it is about."""

    key: str
    topic: str
    payload: bytes


class Outbox:
    """A queue of messages in one SQLite file, of one process; several threads may use it.

    What was put is there after a kill at any moment; a cut of the power may take the last seconds with it.
    """

    def __init__(self, path: Path, most: int = MOST) -> None:
        """Open the file or create it; a damaged one is put aside, and a warning told.

        Args:
            path: the file; its folder is made, for the user alone.
            most: messages kept at most; the oldest go.

        Raises:
            UserError: it cannot be written, is no outbox, or another process uses it.
        """
        self._most = most
        self._lock = threading.Lock()
        self._connection = _opened(path)
        state = dict(self._connection.execute("SELECT name, CAST(value AS TEXT) FROM state"))
        self.newest: str | None = state.get("newest")
        """Key of the newest message that was ever put here, or what `mark` set."""
        self.dropped = _number(state.get("dropped"))
        """Messages that went because too many waited, since the file was made."""
        self.refused = _number(state.get("refused"))
        """Messages that the receiver refused, since the file was made."""
        self.delivered = 0
        """Messages handed over since it was opened."""
        (self.waiting,) = self._connection.execute("SELECT count(*) FROM message").fetchone()
        """Messages to hand over."""
        self._done = 0

    def put(self, messages: Sequence[Message]) -> None:
        """Keep messages until they are removed: all of them or none.

        Raises:
            sqlite3.Error: the disk is full or broken; nothing has changed.
        """
        if not messages:
            return
        with self._lock:
            too_many = max(0, self.waiting + len(messages) - self._most)
            with self._transaction() as cursor:
                cursor.executemany(
                    "INSERT INTO message (key, topic, payload) VALUES (?, ?, ?)",
                    [(message.key, message.topic, message.payload) for message in messages],
                )
                oldest = "SELECT number FROM message ORDER BY number LIMIT ?"
                cursor.execute(f"DELETE FROM message WHERE number IN ({oldest})", (too_many,))
                _keep(cursor, newest=messages[-1].key, dropped=self.dropped + too_many)
            self.newest = messages[-1].key
            self.dropped += too_many
            self.waiting += len(messages) - too_many

    def mark(self, key: str) -> None:
        """Set `newest` without a message.

        Raises:
            sqlite3.Error: the disk is full or broken.
        """
        with self._lock:
            with self._transaction() as cursor:
                _keep(cursor, newest=key)
            self.newest = key

    def first(self, most: int) -> list[tuple[int, Message]]:
        """The oldest messages and their numbers, in order.

        Raises:
            sqlite3.Error: the disk is broken.
        """
        with self._lock:
            # the casts: a bad disk may change what kind of value a message holds, which is not to stop all that follow
            rows = self._connection.execute(
                "SELECT number, CAST(key AS TEXT), CAST(topic AS TEXT), CAST(payload AS BLOB) FROM message "
                "WHERE number > ? ORDER BY number LIMIT ?",
                (self._done, most),
            )
            return [(number, Message(key, topic, payload)) for number, key, topic, payload in rows]

    def remove(self, through: int, *, refused: bool = False) -> None:
        """Remove the messages up to this number: they were handed over, or refused.

        Raises:
            sqlite3.Error: the disk is full or broken; `first` leaves them out all the same until the file is closed.
        """
        with self._lock:
            self._done = through
            with self._transaction() as cursor:
                count = cursor.execute("DELETE FROM message WHERE number <= ?", (through,)).rowcount
                _keep(cursor, refused=self.refused + count * refused)
            self.refused += count * refused
            self.delivered += count * (not refused)
            self.waiting -= count

    def close(self) -> None:
        """Complete the file and let others use it."""
        with self._lock:
            self._connection.close()

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Cursor]:
        cursor = self._connection.cursor()
        cursor.execute("BEGIN IMMEDIATE")
        try:
            yield cursor
            cursor.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:  # a full disk makes SQLite end it by itself
                cursor.execute("ROLLBACK")
            raise


def _number(text: str | None) -> int:
    return int(text) if text and text.isdecimal() else 0


def _keep(cursor: sqlite3.Cursor, **state: str | int) -> None:
    cursor.executemany("INSERT OR REPLACE INTO state VALUES (?, ?)", list(state.items()))


def _opened(path: Path) -> sqlite3.Connection:
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))  # SQLite gives its other files the same rights
        try:
            return _connected(path)
        except (sqlite3.DatabaseError, UnicodeError) as error:  # the latter from its complaint about damaged text
            if any(sign in str(error) for sign in _OF_THE_DISK):
                raise
            aside = path.with_name(f"{path.name}.damaged")
            path.replace(aside)
            path.with_name(f"{path.name}-wal").unlink(missing_ok=True)
            logger.warning("%s: damaged; it was renamed to %s, and what waited in it stays there", path, aside.name)
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
            return _connected(path)
    except sqlite3.DatabaseError as error:
        if "locked" in str(error):
            raise UserError(f"{path}: another process delivers from there; end it or choose another folder") from error
        raise UserError(f"{path}: cannot be used ({error}); free or mend the disk, or choose another folder") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror}); choose another folder") from error


def _connected(path: Path) -> sqlite3.Connection:
    """The file with its tables, for this process alone.

    Raises:
        sqlite3.DatabaseError: it is in use or damaged, or the disk fails.
        UserError: it is another program's.
    """
    connection = sqlite3.connect(path, timeout=LOCK_SECONDS, isolation_level=None, check_same_thread=False)
    connection.text_factory = lambda text: text.decode(errors="replace")
    try:
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if tables and application != APPLICATION:
            raise UserError(f"{path}: the database of another program; choose another folder")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")  # a cut of the power may cost seconds, never the file
        connection.execute("PRAGMA secure_delete = ON")
        connection.executescript(
            f"""
            PRAGMA application_id = {APPLICATION};
            CREATE TABLE IF NOT EXISTS message (
                number INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL, topic TEXT NOT NULL, payload BLOB NOT NULL
            );
            CREATE TABLE IF NOT EXISTS state (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
            """
        )
        (answer,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if answer != "ok":
            raise sqlite3.DatabaseError(answer)
    except BaseException:
        connection.close()
        raise
    return connection
