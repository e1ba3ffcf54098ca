"""What writes the file: a thread of its own, one transaction at a time.

Nobody who writes waits for the disk; whoever asks a question does.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from functools import partial
from typing import Any, TypeVar

from edge_reid.errors import UserError

COMMIT_SECONDS = 0.5
"""Between transactions: with the time that one takes, a write is on disk within a second."""

BUSY_SECONDS = 10.0
"""How long another program may write or read before ours gives up."""

WIPE_SECONDS = 1.0
"""Between attempts to wipe; one rewrites the whole file."""

MOST_UNWRITTEN = 50_000
"""Statements that wait while the disk takes none; more are dropped, and counted."""

SQLITE_ERRORS = (sqlite3.Error, UnicodeDecodeError)
"""The second where SQLite quotes a damaged file in its message."""

Value = str | bytes | int | float | None
Statement = tuple[str, tuple[Value, ...]]
Answer = TypeVar("Answer")

log = logging.getLogger(__name__)


class Store:
    """One connection to one SQLite file, used by one thread."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        place: str,
        *,
        wipe: bool,
        settle: Callable[[sqlite3.Connection, bool, int], None],
    ) -> None:
        """Take over an open connection in autocommit mode.

        Args:
            connection: to the gallery.
            place: what messages call it.
            wipe: deleted values may still lie in the file, see `write`.
            settle: called in the thread after each round of writing, with the connection, whether someone else has
                written since, and the ticket up to which all is on disk.
        """
        self.dropped = 0
        self.committed = 0
        self.failure: UserError | None = None
        """Why the disk did not take the last transaction."""
        self._connection = connection
        self._place = place
        self._wipe: int | None = 0 if wipe else None
        """Ticket of the last deletion whose values may still lie in the file."""
        self._wipe_from = 0.0
        self._remnant: UserError | None = None
        self._settle = settle
        self._version = _data_version(connection)
        self._accepted = 0
        self._unwritten: deque[Statement] = deque()
        self._questions: deque[tuple[Callable[[sqlite3.Connection], Any], Future[Any]]] = deque()
        self._news = threading.Condition()
        self._closing = False
        self._complaint = ""
        self._thread = threading.Thread(target=self._run, name=f"gallery {place}", daemon=True)
        self._thread.start()

    @property
    def unwritten(self) -> int:
        """Statements that wait for the next transaction."""
        return len(self._unwritten)

    @property
    def ticket(self) -> int:
        """Of the next write: that is on disk once `committed` is as high. Whoever uses it lets nobody write before."""
        return self._accepted + 1

    def write(self, *statements: Statement, wipe: bool = False) -> None:
        """Have these executed in one transaction, within a second.

        With `wipe` the file is rewritten after it: SQLite's secure_delete alone left 17 of 87,000 deleted values in
        pages that it had rebuilt meanwhile. Such a write is never dropped.
        """
        with self._news:
            if len(self._unwritten) + len(statements) > MOST_UNWRITTEN and not wipe:
                if not self.dropped:
                    log.warning("%s: the disk has not kept up, what is new is not written", self._place)
                self.dropped += len(statements)
                return
            self._unwritten.extend(statements)
            self._accepted += len(statements)
            if wipe:
                self._wipe = self._accepted

    def ask(self, question: Callable[[sqlite3.Connection], Answer]) -> Answer:
        """The answer of a function of the connection, once all that was written before is on disk.

        Raises:
            UserError: it could not be written or read.
        """
        future: Future[Answer] = Future()
        with self._news:
            if self._closing:
                raise RuntimeError(f"{self._place} is closed")
            self._questions.append((question, future))
            self._news.notify()
        return future.result()

    def flush(self) -> None:
        """Wait until all is on disk that was written, and nothing that was wiped.

        Raises:
            UserError: either could not be done.
        """
        given_up = time.monotonic() + BUSY_SECONDS
        while True:
            self.ask(lambda _: None)
            if self._wipe is None:
                return
            if time.monotonic() > given_up:
                raise self._remnant or UserError(f"{self._place}: forgotten, but its bytes are not wiped; try again")
            time.sleep(0.1)

    def close(self, farewell: Callable[[sqlite3.Connection], None]) -> None:
        """Write what waits, call `farewell` with the connection as the last who writes, and close it.

        Raises:
            UserError: it could not be written or wiped.
        """
        try:
            self.flush()
        finally:
            with self._news:
                self._closing = True
                self._news.notify()
            self._thread.join()
            try:
                farewell(self._connection)
            except SQLITE_ERRORS as error:
                raise told(self._place, error) from error
            finally:
                self._connection.close()

    def _run(self) -> None:
        while True:
            with self._news:
                self._news.wait_for(lambda: self._questions or self._closing, timeout=COMMIT_SECONDS)
                questions = list(self._questions)
                self._questions.clear()
                if self._closing and not questions:
                    return
            self.failure = self._attempt(self._commit)
            complaint = self.failure or self._attempt(self._clean_up)
            if complaint and str(complaint) != self._complaint:
                log.warning("%s", complaint)
            self._complaint = str(complaint or "")
            for question, future in questions:
                try:
                    future.set_result(_answer(self._connection, question, self.failure))
                except SQLITE_ERRORS as error:
                    future.set_exception(told(self._place, error))
                except BaseException as error:  # whoever asked is told: an import that is refused, a full disk
                    future.set_exception(error)

    def _attempt(self, action: Callable[[], None]) -> UserError | None:
        """What went wrong; it is tried again in the next round."""
        try:
            action()
        except UserError as error:
            return error
        except SQLITE_ERRORS as error:
            return told(self._place, error)
        except Exception as error:  # a defect; without this thread nothing would ever be written again
            log.exception("%s", self._place)
            return UserError(f"{self._place}: {error!r}")
        return None

    def _commit(self) -> None:
        with self._news:
            batch = list(self._unwritten)
        if not batch:
            return
        with transaction(self._connection):
            for statement in batch:
                self._connection.execute(*statement)
        with self._news:
            for _ in batch:
                self._unwritten.popleft()
            self.committed += len(batch)

    def _clean_up(self) -> None:
        version = _data_version(self._connection)
        self._settle(self._connection, version != self._version, self.committed)
        self._version = version
        due = self._wipe
        if due is not None and due <= self.committed and time.monotonic() >= self._wipe_from:
            self._wipe_from = time.monotonic() + WIPE_SECONDS
            self._remnant = self._attempt(partial(wipe, self._connection, self._place))
            if self._remnant is None:
                self._wipe_from = 0.0
                with self._news:
                    self._wipe = None if self._wipe == due else self._wipe
        if self._wipe is not None and self._remnant is not None:
            raise self._remnant


def _answer(
    connection: sqlite3.Connection, question: Callable[[sqlite3.Connection], Answer], failure: UserError | None
) -> Answer:
    if failure is not None:
        raise failure
    return question(connection)


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Write all or nothing."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def wipe(connection: sqlite3.Connection, place: str) -> None:
    """Leave no deleted value in the file nor in the log beside it.

    Raises:
        UserError: another program is reading, so that the log cannot be emptied yet.
    """
    _empty_log(connection, place)
    connection.execute("VACUUM")
    _empty_log(connection, place)
    connection.execute("UPDATE gallery SET wipe = 0")


def _empty_log(connection: sqlite3.Connection, place: str) -> None:
    # no waiting for readers: whoever writes meanwhile must not lose more than a second
    connection.execute("PRAGMA busy_timeout = 100")
    try:
        busy, *_ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    finally:
        connection.execute(f"PRAGMA busy_timeout = {int(1000 * BUSY_SECONDS)}")
    if busy:
        raise UserError(
            f"{place}: forgotten, but another program is reading the file, and until it has done so older pages stay "
            "in the log beside it; close that program, then open the gallery once more"
        )


def told(place: str, error: Exception) -> UserError:
    """What SQLite says, with a remedy."""
    text = " ".join(str(error).split())[:200]  # SQLite quotes whole tables
    if "locked" in text or "busy" in text:
        return UserError(f"{place}: another program has been writing to it for too long; try again")
    if "readonly" in text or "unable to open" in text:
        return UserError(f"{place}: cannot be written; check who owns the file and its folder")
    if "full" in text:
        return UserError(f"{place}: no space left for it; free some")
    if "disk I/O error" in text:
        return UserError(f"{place}: the disk refuses to write or read it; check the disk and its free space")
    return UserError(f"{place}: damaged ({text}); restore a copy of it, or import an export into a new gallery")


def _data_version(connection: sqlite3.Connection) -> int:
    version: int = connection.execute("PRAGMA data_version").fetchone()[0]
    return version
