"""What a reading thread and a working thread share: the newest picture, and how it goes with the camera."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import Literal

from edge_reid.cameras.capture import Picture

WINDOW = 3.0
"""Seconds over which the rate is measured."""

State = Literal["connecting", "up", "stalled", "down", "ended"]
"""Not seen yet; delivering; silent or frozen; lost; at a file's end, after which nothing follows."""


@dataclass(frozen=True)
class Health:
    """How it goes with a source."""

    state: State
    received: int = 0
    """Pictures that the source gave."""
    dropped: int = 0
    """Of these, the ones that a newer one replaced before anybody looked."""
    stalls: int = 0
    """How often the camera fell silent without going away."""
    reconnects: int = 0
    """How often it came back."""
    frozen: int = 0
    """How often it went on repeating one picture."""
    rate: float = 0.0
    """Pictures per second over the last seconds, as measured."""
    age: float | None = None
    """Seconds since the newest picture; None before the first."""
    size: tuple[int, int] | None = None
    """(height, width) of the newest frame; None before the first."""
    problem: str | None = None
    """Why the source is not up, in one line without a password."""


class Newest:
    """The newest picture until somebody takes it or a newer one comes. For any threads."""

    def __init__(self) -> None:
        """Hold none."""
        self.received = 0
        self.dropped = 0
        self._held: tuple[Picture, float, int] | None = None
        self._lock = threading.Lock()
        self._arrivals: deque[float] = deque()

    @property
    def waits(self) -> bool:
        """Whether a picture is there that nobody took."""
        return self._held is not None

    def put(self, picture: Picture, moment: float) -> None:
        """Hold a picture of this time in place of what is held."""
        with self._lock:
            self.dropped += self._held is not None
            self._held = (picture, moment, self.received)
            self.received += 1
            self._arrivals.append(time.monotonic())
            self._forget()

    def take(self) -> tuple[Picture, float, int] | None:
        """Picture, time and number of what is held, which then is no more; or None."""
        with self._lock:
            held, self._held = self._held, None
        return held

    def rate(self) -> float:
        """Pictures per second over the last seconds."""
        with self._lock:
            self._forget()
            if not self._arrivals:
                return 0.0
            # a camera that was just opened gives what waited in its buffer at once
            return (len(self._arrivals) - 1) / max(time.monotonic() - self._arrivals[0], 1.0)

    def age(self) -> float | None:
        """Seconds since the last picture came."""
        with self._lock:
            return time.monotonic() - self._arrivals[-1] if self._arrivals else None

    def _forget(self) -> None:
        # the last one stays, for its age
        while len(self._arrivals) > 1 and self._arrivals[0] < time.monotonic() - WINDOW:
            self._arrivals.popleft()
