"""The thread that writes events to the log, so that nobody else waits for the disk."""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
import time
from collections.abc import Callable

from edge_reid.errors import UserError, one_line
from edge_reid.events.delivery import Told
from edge_reid.events.log import EventLog

logger = logging.getLogger(__name__)

MOST_IN_MEMORY = 10_000
"""Lines that wait for a disk which takes none: some 4 MB."""

MOST_AT_ONCE = 100
"""Lines that are written before they are handed on."""

WAIT_SECONDS = 0.02
"""How long a line waits once memory is full, before it and the following are lost."""

AGAIN_SECONDS = 0.5
"""Between attempts to write to a disk that takes nothing."""

EXPIRE_SECONDS = 60.0
"""Between looks for files that are too old."""


class Writer:
    """Lines go into the log in order, and from there on to whoever wants them."""

    def __init__(self, log: EventLog, hand_on: Callable[[list[bytes]], None]) -> None:
        """Begin.

        Args:
            log: the log.
            hand_on: takes lines that are in the log, at once.
        """
        self.written = 0
        """Lines that are in the log."""
        self.lost = 0
        """Lines that the disk did not take until the end."""
        self._log = log
        self._hand_on = hand_on
        self._queue: queue.Queue[bytes] = queue.Queue(MOST_IN_MEMORY)
        self._full = False
        self._taken = 0
        self._stop = threading.Event()
        self._told = Told(logger)
        self._thread = threading.Thread(target=self._work, name="events", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Lines in memory."""
        return self._taken - self.written - self.lost

    @property
    def is_behind(self) -> bool:
        """Whether memory is half full of lines that the disk does not take."""
        return self._queue.qsize() > self._queue.maxsize // 2

    def offer(self, line: bytes) -> bool:
        """Take a line, of one thread at a time; false if memory is full."""
        self._taken += 1
        try:
            self._queue.put(line, timeout=0.0 if self._full else WAIT_SECONDS)
        except queue.Full:
            self._taken -= 1
            self._full = True
            return False
        self._full = False
        return True

    def close(self, seconds: float) -> bool:
        """Write what there is, for so many seconds at most; false if a disk that never answers holds a line."""
        self._stop.set()
        with contextlib.suppress(queue.Full):
            self._queue.put_nowait(b"")  # it may be waiting for a line
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _work(self) -> None:
        expire = time.monotonic()
        while True:
            stopping = self._stop.is_set()
            lines = self._take()
            written = [line for line in lines if line and self._commit(line)]
            if written:
                self._hand_on(written)
            if stopping and not lines:
                return
            if time.monotonic() >= expire:
                expire = time.monotonic() + EXPIRE_SECONDS
                self._expire()

    def _take(self) -> list[bytes]:
        """Lines to write; none if none come for a while."""
        lines = []
        with contextlib.suppress(queue.Empty):
            lines.append(self._queue.get(timeout=0.0 if self._stop.is_set() else EXPIRE_SECONDS))
            while len(lines) < MOST_AT_ONCE:
                lines.append(self._queue.get_nowait())
        return lines

    def _commit(self, line: bytes) -> bool:
        """Write a line, however long the disk takes none; false if the end comes before that."""
        while True:
            try:
                self._log.append(line)
            except (OSError, UserError) as error:
                self._told.wrong(f"events: {one_line(error)}; {self.waiting} wait in memory")
                if self._stop.wait(AGAIN_SECONDS):
                    self.lost += 1
                    return False
            else:
                self.written += 1
                self._told.well(f"events: {self._log.path} can be written again")
                return True

    def _expire(self) -> None:
        try:
            self._log.expire()
        except (OSError, UserError) as error:
            self._told.wrong(f"events: {one_line(error)}")
