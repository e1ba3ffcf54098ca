"""A device's thread that keeps the fleet informed. The gallery on the device never waits for it."""

from __future__ import annotations

import logging
import threading
import time
from typing import Any

from psycopg import Connection

from edge_reid.errors import UserError
from edge_reid.events.delivery import Told, growing_pauses
from edge_reid.fleet.address import Address, connected, limited
from edge_reid.fleet.push import Registered, StaleBatch, push, register, reopen, to_forget
from edge_reid.gallery.sqlite import SqliteGallery

logger = logging.getLogger(__name__)

MOST = 500
"""Changes in one transaction: about a megabyte where all are prototypes."""

LOOK_SECONDS = 1.0
"""Between looks for changes."""

ASK_SECONDS = 15.0
"""Between questions whom else to forget."""

LIMIT_SECONDS = 60.0
"""For any one of these."""


class FleetLink:
    """Sends what changes in a gallery, and forgets whom the fleet forgets."""

    def __init__(self, gallery: SqliteGallery, address: Address) -> None:
        """Have changes noted and begin to send them; the gallery must stay open until this is closed.

        Raises:
            UserError: the gallery cannot be written.
        """
        gallery.attach()
        self.waiting = gallery.pending()
        """Changes that the fleet does not know."""
        self.problem: str | None = None
        """Why it cannot be told just now, in one line."""
        self.heard: float | None = None
        """When it last confirmed something, in seconds since 1970."""
        self._gallery = gallery
        self._address = address
        self._told = Told(logger)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="fleet", daemon=True)
        self._thread.start()

    def close(self, seconds: float = 5.0) -> None:
        """Send what waits, for so many seconds at most; the rest waits in the file."""
        self._stop.set()
        self._thread.join(seconds)

    def _work(self) -> None:
        pauses = growing_pauses()
        while True:
            began = self.heard
            try:
                with connected(self._address) as connection:
                    self._serve(connection)
                return
            except Exception as error:  # weeks of updates do not end with one that nobody thought of
                self.problem = str(error) if isinstance(error, UserError) else repr(error)
            if self._stop.is_set():
                return
            self._told.wrong(f"fleet: {self.problem}; {self.waiting} changes wait in the gallery")
            pauses = growing_pauses() if self.heard != began else pauses
            self._stop.wait(next(pauses))

    def _serve(self, connection: Connection[Any]) -> None:
        """Until the connection breaks or this is closed."""
        with limited(connection, LIMIT_SECONDS):
            me = register_gallery(connection, self._gallery)
        asked = float("-inf")
        while True:
            ending = self._stop.is_set()
            if time.monotonic() >= asked + ASK_SECONDS:
                with limited(connection, LIMIT_SECONDS):
                    forget_for_fleet(connection, self._gallery, me)
                asked = time.monotonic()
            self.waiting = self._gallery.pending()
            while self.waiting:
                with limited(connection, LIMIT_SECONDS):
                    send(connection, self._gallery, me, MOST)
                self._heard()
                self.waiting = self._gallery.pending()
            self._heard()
            if ending:
                return
            self._stop.wait(LOOK_SECONDS)

    def _heard(self) -> None:
        self.problem, self.heard = None, time.time()
        self._told.well("fleet: answers again")


def register_gallery(connection: Connection[Any], gallery: SqliteGallery) -> Registered:
    """Make the fleet and a gallery known to each other.

    Raises:
        UserError: see `edge_reid.fleet.push.register`.
    """
    uid, batch = gallery.fleet_identity()
    me = register(connection, uid, gallery.space, gallery.dimension, gallery.keep.history)
    if me.batch > batch:
        logger.warning("fleet: the gallery is an older copy of what the fleet knows; all of it is sent again")
        gallery.resend(me.batch)
        reopen(connection, me)
    return me


def send(connection: Connection[Any], gallery: SqliteGallery, me: Registered, most: int) -> None:
    """Send the oldest changes; returns when the fleet has them."""
    changes = gallery.changes(most)
    try:
        push(connection, me, changes)
    except StaleBatch:
        return  # another process sends the same file's changes; those that still wait come again
    gallery.sent(changes)


def forget_for_fleet(connection: Connection[Any], gallery: SqliteGallery, me: Registered) -> None:
    """Forget whom others had forgotten; that nothing is left in the file is confirmed as a change like any other."""
    for number in to_forget(connection, me):
        try:
            with gallery.acting("fleet"):
                gallery.forget(number)
        except KeyError:
            gallery.confirm_forgotten(number)
