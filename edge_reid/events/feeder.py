"""The thread that brings lines of the log into the outboxes: a disk that is slow at this holds up nobody else."""

from __future__ import annotations

import contextlib
import json
import logging
import queue
import sqlite3
import threading
from collections.abc import Sequence

from edge_reid.events.delivery import Deliverer, Told
from edge_reid.events.log import EventLog
from edge_reid.events.outbox import MOST, Message

logger = logging.getLogger(__name__)

MOST_BATCHES = 1000
"""Batches of lines in memory; what comes then is read from the log later."""

AGAIN_SECONDS = 1.0
"""Between attempts to write an outbox that fell behind."""


class Feeder:
    """Every line of the log goes to every outbox, once; one that fell behind takes what it misses from the log."""

    def __init__(self, log: EventLog, deliverers: Sequence[Deliverer], run: str) -> None:
        """Hand on what an earlier run wrote and did not hand on, and begin.

        Args:
            log: where all lines are.
            deliverers: with the outboxes.
            run: the run whose lines will come.
        """
        self._log = log
        self._deliverers = deliverers
        self._run = run
        self._late = set(deliverers)
        self._queue: queue.Queue[list[bytes]] = queue.Queue(MOST_BATCHES)
        self._missed = threading.Event()
        self._stop = threading.Event()
        self._told = Told(logger)
        self._feed([])
        self._thread = threading.Thread(target=self._work, name="outboxes", daemon=True)
        self._thread.start()

    def take(self, lines: list[bytes]) -> None:
        """Take lines that are in the log; never waits."""
        try:
            self._queue.put_nowait(lines)
        except queue.Full:
            self._missed.set()

    def close(self, seconds: float) -> None:
        """Hand on what was taken, for so many seconds at most; the next run reads the rest from the log."""
        self._stop.set()
        with contextlib.suppress(queue.Full):
            self._queue.put_nowait([])  # it may be waiting for lines
        self._thread.join(seconds)

    def _work(self) -> None:
        while True:
            stopping = self._stop.is_set()
            try:
                lines = self._queue.get(timeout=0.0 if stopping else AGAIN_SECONDS)
            except queue.Empty:
                lines = []
                if stopping:
                    return
            if self._missed.is_set():
                self._missed.clear()
                self._late.update(self._deliverers)
            self._feed(lines)

    def _feed(self, lines: list[bytes]) -> None:
        messages = [_message(line) for line in lines]
        for deliverer in self._deliverers:
            try:
                if deliverer in self._late:
                    self._catch_up(deliverer)
                else:
                    self._put(deliverer, messages)
            except (sqlite3.Error, OSError) as error:
                self._late.add(deliverer)
                self._told.wrong(f"events: the outbox of {deliverer.kind} cannot be written ({error}); free the disk")

    def _catch_up(self, deliverer: Deliverer) -> None:
        outbox = deliverer.outbox
        lines = self._log.lines_after(outbox.newest, self._run, MOST)
        self._put(deliverer, [_message(line) for line in lines])
        if not (outbox.newest or "").startswith(self._run):
            outbox.mark(f"{self._run}-{0:09d}")  # so that the next run knows which lines of this one are missing
        self._late.discard(deliverer)
        self._told.well("events: the outboxes can be written again")

    def _put(self, deliverer: Deliverer, messages: list[Message]) -> None:
        newest = deliverer.outbox.newest or ""
        # what was taken from the log meanwhile may come a second time
        deliverer.outbox.put([each for each in messages if not (each.key[:-9] == newest[:-9] and each.key <= newest)])
        deliverer.wake()


def _message(line: bytes) -> Message:
    event = json.loads(line)
    return Message(event["id"], f"{event.get('camera', 'app')}/{event['event']}", line.rstrip())
