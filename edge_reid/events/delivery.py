"""Handing over what waits in an outbox, however long the receiver is away.

A message is handed over at least once, and in order. A receiver knows by its key what it has had before.
"""

from __future__ import annotations

import logging
import random
import sqlite3
import ssl
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Protocol

from edge_reid.events.outbox import Message, Outbox

logger = logging.getLogger(__name__)

PAUSES = (1.0, 60.0)
"""Seconds before the first further attempt, and between attempts once the pauses have grown."""

TELL_SECONDS = 60.0
"""What goes on for long is told once in this time."""


class Refused(Exception):  # noqa: N818 (an answer, not a fault)
    """The receiver does not take one of the messages and never will. One line, without a secret."""


class Unreachable(Exception):  # noqa: N818 (a state, not a fault)
    """The receiver takes nothing now. One line, without a secret."""


class Receiver(Protocol):
    """Someone to whom messages are handed over."""

    kind: str
    """One word; names its outbox on disk and its counts."""
    name: str
    """Names it in a line of text, without a secret."""
    most: int
    """Messages at a time."""

    def deliver(self, messages: Sequence[Message]) -> None:
        """Hand over messages; when it returns, the receiver has confirmed all of them.

        Raises:
            Unreachable: not now.
            Refused: one of them never.
        """

    def close(self) -> None:
        """End the connection."""


def growing_pauses() -> Iterator[float]:
    """Seconds before each further attempt, a little different on every device so that they do not come all at once."""
    pause, most = PAUSES
    while True:
        yield pause * random.uniform(0.75, 1.25)
        pause = min(2.0 * pause, most)


def reason_of(error: BaseException | str | None) -> str:
    """Why a connection failed, as the middle of a sentence."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate not trusted ({error.verify_message}); SSL_CERT_FILE can name an authority of your own"
    text = " ".join((getattr(error, "strerror", None) or str(error)).split()) or type(error).__name__
    return text[:1].lower() + text[1:]


class Told:
    """Says what goes wrong, at most once a minute, and when it does no more."""

    def __init__(self, log: logging.Logger) -> None:
        """Say nothing yet."""
        self._log = log
        self._last: float | None = None

    def wrong(self, text: str) -> None:
        """Say it, unless something was said just now."""
        now = time.monotonic()
        if self._last is None or now - self._last >= TELL_SECONDS:
            self._last = now
            self._log.warning("%s", text)

    def well(self, text: str) -> None:
        """Say that it is over, if it was said that anything is wrong."""
        if self._last is not None:
            self._last = None
            self._log.warning("%s", text)


class Deliverer:
    """A thread that hands over what waits in an outbox."""

    def __init__(self, outbox: Outbox, receiver: Receiver) -> None:
        """Begin to deliver; both are closed with it."""
        self.outbox = outbox
        self.kind = receiver.kind
        self._name = receiver.name
        self._receiver = receiver
        self._most = receiver.most
        self._told = Told(logger)
        self._refusals = Told(logger)
        self._fresh = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name=f"deliver {receiver.name}", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Tell that there is something new in the outbox."""
        self._fresh.set()

    def close(self, seconds: float) -> None:
        """Hand over what waits, for so many seconds at most and until the first failure; the rest waits on disk."""
        self._stop.set()
        self._fresh.set()
        self._thread.join(seconds)
        self._receiver.close()
        self.outbox.close()

    def _work(self) -> None:
        pauses = growing_pauses()
        while True:
            self._fresh.clear()
            try:
                handed = self._hand_over()
            except Exception as error:
                # whatever a receiver's library may raise, weeks of deliveries do not end with it
                reason = str(error) if isinstance(error, Unreachable | sqlite3.Error) else repr(error)
                if self._stop.is_set():
                    return
                self._told.wrong(f"{self._name}: {reason}; {self.outbox.waiting} messages wait on disk")
                self._stop.wait(next(pauses))
                continue
            pauses = growing_pauses()
            if not handed:
                if self._stop.is_set():
                    return
                self._fresh.wait()

    def _hand_over(self) -> bool:
        """Hand over a batch; false if there was none."""
        batch = self.outbox.first(self._most)
        if not batch:
            return False
        last = batch[-1][0]
        try:
            self._receiver.deliver([message for _, message in batch])
        except Refused as refusal:
            if len(batch) > 1:
                self._most = len(batch) // 2  # which of them it is shows when there is only one
            else:
                self.outbox.remove(last, refused=True)
                self._refusals.wrong(f"{self._name}: {refusal}; {batch[0][1].key} is left out")
        else:
            self._most = min(2 * self._most, self._receiver.most)
            self.outbox.remove(last)
            self._told.well(f"{self._name}: receives again")
        return True
