"""What the page asks of the running app: reading goes to the gallery, changes go through the loop between two steps."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from typing import TypeVar

from edge_reid.errors import UserError
from edge_reid.gallery.records import Person
from edge_reid.gallery.sqlite import SqliteGallery
from edge_reid.people.identities import Identities
from edge_reid.types import Modality
from edge_reid.web.board import Visit

NOTED_SECONDS = 600.0
"""In which looking again at the same is no new access."""

PATIENCE = 2.0
"""Seconds in which the loop comes by; it does so with every frame, and while the cameras are silent."""

Answer = TypeVar("Answer")


class Desk:
    """Implements `edge_reid.web.board.Desk` for any thread; `serve` is the loop's."""

    def __init__(self, gallery: SqliteGallery, identities: Identities) -> None:
        """Take what the wishes are about."""
        self._gallery = gallery
        self._identities = identities
        self._noted: dict[tuple[str, int | None], float] = {}
        self._wishes: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()

    def serve(self) -> None:
        """Fulfil what was asked since the last call."""
        while not self._wishes.empty():
            self._wishes.get_nowait()()

    def people(self) -> list[Person]:
        """All people of the gallery."""
        self._note_access("list", None)
        return self._gallery.people()

    def history(self, person: int | None, since: float | None, most: int) -> list[Visit]:
        """Visits that end after `since`, of one person or of everyone, the latest first, at most `most`."""
        names = self._gallery.names()
        self._note_access("history", person)
        return [
            Visit(sighting.person, names.get(sighting.person), sighting.camera, sighting.began, sighting.ended)
            for sighting in self._gallery.sightings(person, since=since, most=most)
        ]

    def enrol(self, modality: Modality, track: int, name: str) -> int:
        """Keep the person of a live track under a name; returns their number."""
        return self._ask(lambda: self._identities.enrol(modality, track, name))

    def rename(self, person: int, name: str) -> None:
        """Give another name."""
        self._ask(lambda: self._gallery.rename(person, name))

    def forget(self, person: int) -> None:
        """Leave nothing of a person."""

        def both() -> None:
            self._gallery.forget(person)
            self._identities.drop_forgotten()

        self._ask(both)

    def _note_access(self, action: str, person: int | None) -> None:
        """Into the audit; an open page asks every few seconds, which is one access for a while."""
        now = time.monotonic()
        if now < self._noted.get((action, person), -NOTED_SECONDS) + NOTED_SECONDS:
            return
        self._noted = {key: at for key, at in self._noted.items() if now < at + NOTED_SECONDS}
        self._noted[action, person] = now
        with self._gallery.acting("page"):
            self._gallery.accessed(action, person)

    def _ask(self, wish: Callable[[], Answer]) -> Answer:
        """Let the loop do it and wait for the answer."""
        answer: Future[Answer] = Future()

        def fulfil() -> None:
            if not answer.set_running_or_notify_cancel():
                return
            try:
                with self._gallery.acting("page"):
                    answer.set_result(wish())
            except Exception as error:  # whatever it is, it is the asker's
                answer.set_exception(error)

        self._wishes.put(fulfil)
        try:
            return answer.result(PATIENCE)
        except FutureTimeout as error:
            answer.cancel()
            raise UserError("the app does not answer; is it still running?") from error
