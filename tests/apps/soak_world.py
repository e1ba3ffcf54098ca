"""What is around the app in a soak: cameras that fail, a receiver that is away, and a record of it all."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import random
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from flaky import FlakyCamera, Mode, film
from listeners import Endpoint

Span = tuple[float, Mode]
"""Seconds, and what a camera does in them."""


class Record:
    """Lines of JSON that are there whatever comes."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("w", buffering=1)
        self._lock = threading.Lock()

    def add(self, kind: str, **fields: Any) -> None:
        with self._lock:
            self._file.write(json.dumps({"kind": kind, "time": time.monotonic()} | fields) + "\n")

    def close(self) -> None:
        self._file.close()


class Camera:
    """A flaky camera in a process of its own."""

    def __init__(self, name: str, path: Path, rate: float, spans: Sequence[Span], record: Record) -> None:
        """Show a film and go through `spans`, whose changes go into the record."""
        spawn = multiprocessing.get_context("spawn")
        self._ours, theirs = spawn.Pipe()
        self._process = spawn.Process(target=serve, args=(path, rate, spans, theirs), daemon=True)
        self._process.start()
        theirs.close()
        _, self.url = self._ours.recv()
        self._noting = threading.Thread(target=self._note, args=(name, record), daemon=True)
        self._noting.start()

    def turn(self) -> None:
        """Begin to fail, and called again, fail no more."""
        self._ours.send("turn")

    def close(self) -> None:
        self._process.kill()
        self._process.join()
        self._noting.join()

    def _note(self, name: str, record: Record) -> None:
        with contextlib.suppress(EOFError, OSError):
            while True:
                moment, mode = self._ours.recv()
                record.add("mode", camera=name, mode=mode, time=moment)


def serve(path: Path, rate: float, spans: Sequence[Span], told: Connection) -> None:
    """Work, go through `spans` when told so, and work again, until whoever started it goes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    camera = FlakyCamera(film(path), rate=rate)
    told.send((time.monotonic(), camera.url))
    told.send((time.monotonic(), "ok"))
    told.recv()
    for length, mode in [*spans, (0.0, "ok")]:
        told.send((time.monotonic(), mode))
        camera.mode = mode
        if told.poll(length):
            break
    told.send((time.monotonic(), "ok"))
    camera.mode = "ok"
    with contextlib.suppress(EOFError):
        while True:
            told.recv()


@contextlib.contextmanager
def receiver(pace: float, seed: int) -> Iterator[tuple[Endpoint, threading.Event]]:
    """A receiver that comes and goes until the event is set; then it stays."""
    endpoint, stay = Endpoint(), threading.Event()
    draw = random.Random(seed)

    def wander() -> None:
        while not stay.is_set():
            endpoint.open()
            stay.wait(pace * draw.uniform(4.0, 20.0))
            if not stay.is_set():
                endpoint.close()
                stay.wait(pace * draw.uniform(4.0, 20.0))
        endpoint.close()
        endpoint.open()

    thread = threading.Thread(target=wander, daemon=True)
    thread.start()
    try:
        yield endpoint, stay
    finally:
        stay.set()
        thread.join()
        endpoint.close()
