"""An app that only pretends: two synthetic views in which people walk, and a memory of people in a dictionary."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import cv2
import httpx
import numpy as np
from numpy.typing import NDArray

from edge_reid.errors import UserError
from edge_reid.gallery.records import Person
from edge_reid.live.drawing import color_of
from edge_reid.types import Modality
from edge_reid.web.board import Board, CameraNow, Now, Present, QueueNow, Visit
from edge_reid.web.server import Server, serve

TOKEN = "correct-horse-battery-staple"
BEARER = {"Authorization": f"Bearer {TOKEN}"}

get, head, post = (partial(method, verify=False) for method in (httpx.get, httpx.head, httpx.post))
Client = partial(httpx.Client, verify=False)
"""Nothing here is encrypted, and reading the machine's certificates takes longer than all else."""


def picture(step: int) -> NDArray[np.uint8]:
    """Two panels of 640 x 480 with a gap of 6, three people in each, uint8 `(480, 1286, 3)`."""
    rows = np.linspace(70, 130, 480, dtype=np.uint8)[:, None, None]
    image = np.broadcast_to(rows, (480, 1286, 3)).copy()
    image[:, 643:] //= 2
    image[:, 640:646] = (32, 28, 26)
    for start in (0, 646):
        for person, place in ((3, 90), (7, 260), (None, 450)):
            left = start + place + int(40 * np.sin(step / 20 + place))
            color = color_of(person)
            body = (60, 80, 110) if start == 0 else (225, 225, 225)
            cv2.ellipse(image, (left + 35, 170), (20, 26), 0, 0, 360, body, -1)
            cv2.rectangle(image, (left + 8, 200), (left + 62, 380), body, -1)
            cv2.rectangle(image, (left, 135), (left + 70, 390), color, 3)
            cv2.putText(image, str(person or "?"), (left, 128), cv2.FONT_HERSHEY_DUPLEX, 0.7, color, 2)
    return np.asarray(image, dtype=np.uint8)


class Memory:
    """A desk over a dictionary; `calls` holds what was asked of it and by which thread."""

    def __init__(self, people: int = 12) -> None:
        now = time.time()
        names = {3: "Anna Lindqvist", 7: None, 1: "Bo", 2: "Charlotte de la Fontaine-Vázquez", 5: "<b>Mallory</b>"}
        self.known = {
            number: Person(
                number, names.get(number), now - 86400.0 * number, now - 700.0 * number,
                None if number == 3 else now + 3600.0 * 24 * number, {"visible": 3, "thermal": number % 4},
            )
            for number in range(1, people + 1)
        }  # fmt: skip
        self.visits = [
            Visit(number, None, camera, now - 900.0 * number, None if number == 3 else now - 900.0 * number + 75)
            for number in range(1, people + 1)
            for camera in ("visible", "thermal")
        ]
        self.calls: list[tuple[str, int]] = []

    def _called(self, name: str) -> None:
        self.calls.append((name, threading.get_ident()))

    def people(self) -> list[Person]:
        self._called("people")
        return list(self.known.values())

    def history(self, person: int | None, since: float | None, most: int) -> list[Visit]:
        self._called("history")
        fitting = [
            replace(visit, name=self.known[visit.person].name)
            for visit in self.visits
            if person in (None, visit.person) and (visit.ended or 1e18) > (since or 0) and visit.person in self.known
        ]
        return sorted(fitting, key=lambda visit: -visit.began)[:most]

    def enrol(self, modality: Modality, track: int, name: str) -> int:
        self._called("enrol")
        if track == 404:
            raise UserError("visible track 404 is gone; wait until the person is in view again")
        number = max(self.known, default=0) + 1
        self.known[number] = Person(number, name, time.time(), time.time(), None, {modality: 1})
        return number

    def rename(self, person: int, name: str) -> None:
        self._called("rename")
        self.known[person] = replace(self.known[person], name=name)

    def forget(self, person: int) -> None:
        self._called("forget")
        del self.known[person]


def now(*, uptime: float = 90061.0, **changes: object) -> Now:
    """A moment with three people in view."""
    time_now = time.time()
    state = Now(
        time=time_now,
        uptime=uptime,
        version="0.1.0",
        present=(
            Present(3, "Anna Lindqvist", {"visible": 12, "thermal": 9}, time_now - 187),
            Present(7, None, {"visible": 14}, time_now - 31),
            Present(None, None, {"visible": 15, "thermal": 11}, time_now - 4),
        ),
        cameras={
            "visible": CameraNow("rtsp://***@camera-1/stream", "up", 24.9, 0.04, (640, 480), 120345, 312, 1, 1, 0),
            "thermal": CameraNow("v4l2:///dev/v4l/by-id/usb-GroupGets_PureThermal", "up", 8.8, 0.11, (160, 120), 41234),
        },
        engines={"visible": "onnxruntime int8", "thermal": "onnxruntime int8"},
        latency={"0.5": 0.034, "0.95": 0.071},
        stages={"detect": 12.3, "track": 0.4, "embed": 9.87, "match": 0.2, "draw": 1.1},
        pair_offset=-0.012,
        celsius=57.5,
        gallery_size=12,
        events={"track_started": 431, "track_lost": 428, "matched": 97, "source_lost": 1},
        queues={"events": QueueNow(2, 0), "webhook": QueueNow(14, 3)},
    )
    return replace(state, **changes)  # type: ignore[arg-type]


@contextmanager
def stage(desk: Memory | None = None, *, token: str | None = TOKEN) -> Iterator[tuple[Server, Board, Memory]]:
    """A server on a free port whose board is still empty."""
    board, desk = Board(), desk or Memory()
    server = serve(board, desk, "127.0.0.1", 0, token)
    try:
        yield server, board, desk
    finally:
        server.close()


@contextmanager
def playing(board: Board, rate: float = 20.0) -> Iterator[None]:
    """Publish as a loop would, until the block ends."""
    stop = threading.Event()

    def play() -> None:
        step = 0
        while not stop.wait(1 / rate):
            step += 1
            board.publish(now(uptime=90061 + step / rate), picture(step) if board.watched else None)

    thread = threading.Thread(target=play, name="loop")
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def until(reached: Callable[[], object], seconds: float = 15.0) -> bool:
    """Whether it comes to something."""
    end = time.monotonic() + seconds
    while not reached() and time.monotonic() < end:
        time.sleep(0.02)
    return bool(reached())


def open_files() -> int:
    """Files, sockets and pipes that this process holds open."""
    gc.collect()
    return len(list(Path("/proc/self/fd").iterdir()))
