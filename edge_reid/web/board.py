"""Where the app's loop and the page meet: the loop leaves what there is to show, the page asks for what it needs.

Nothing here waits, and nothing needs a web library. Times are seconds since 1970, UTC, unless said otherwise.
Shapes: h, w the size of a picture, uint8 `(h, w, 3)` BGR.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from edge_reid.gallery.records import Person
from edge_reid.types import Modality

Picture = NDArray[np.uint8] | Callable[[], NDArray[np.uint8]]
"""Both views side by side, the visible left and each half as wide, or what draws that; drawing is then the page's."""

WATCHED_SECONDS = 1.0
"""Time after which a viewer who asks no more has left."""

SILENT_SECONDS = 5.0
"""Time without news from the loop after which something is wrong."""


@dataclass(frozen=True)
class Present:
    """Someone in view now; `person` is None while nobody knows who it is, `name` while nobody said."""

    person: int | None
    name: str | None
    tracks: Mapping[Modality, int]
    """Number of the track in each camera that sees them; at least one."""
    since: float


@dataclass(frozen=True)
class CameraNow:
    """How a camera does; the counters are since the start."""

    name: str
    """Fit to be shown: without user and password."""
    state: str
    """`up`, `ended` (a file's end), or what is wrong: `connecting`, `stalled`, `down`."""
    rate: float | None = None
    """Frames per second, measured."""
    age: float | None = None
    """Seconds since the newest frame."""
    size: tuple[int, int] | None = None
    """(width, height)."""
    received: int = 0
    dropped: int = 0
    stalls: int = 0
    reconnects: int = 0
    frozen: int = 0
    problem: str | None = None
    """Why it does not deliver, in one line; fit to be shown."""


@dataclass(frozen=True)
class QueueNow:
    """What waits to be written or sent, and what had to be thrown away since the start."""

    length: int
    dropped: int


@dataclass(frozen=True)
class Now:
    """Everything that a page and a monitor show of one moment. None and what is missing stand for unknown."""

    time: float
    uptime: float
    """Seconds."""
    version: str
    present: tuple[Present, ...]
    cameras: Mapping[Modality, CameraNow]
    engines: Mapping[Modality, str] = field(default_factory=dict)
    latency: Mapping[str, float] = field(default_factory=dict)
    """Seconds from capture to decision by quantile, such as `{"0.5": 0.03, "0.95": 0.06}`."""
    stages: Mapping[str, float] = field(default_factory=dict)
    """Milliseconds of each stage of a step."""
    pair_offset: float | None = None
    """Seconds by which the thermal frame of a pair is later than the visible one."""
    celsius: float | None = None
    """The device's hottest sensor."""
    gallery_size: int | None = None
    events: Mapping[str, int] = field(default_factory=dict)
    """How many of each kind since the start."""
    queues: Mapping[str, QueueNow] = field(default_factory=dict)


@dataclass(frozen=True)
class Visit:
    """Someone was in the view of a camera; `ended` is None while they still are."""

    person: int
    name: str | None
    camera: str
    began: float
    ended: float | None


class Desk(Protocol):
    """What the page may ask of the app. Calls come one at a time from one thread of the page and may take 2 s.

    A number that nobody has is a KeyError, any other wish that cannot be met a UserError; both reach the viewer.
    """

    def people(self) -> list[Person]:
        """All people of the gallery."""

    def history(self, person: int | None, since: float | None, most: int) -> list[Visit]:
        """Visits that end after `since`, of one person or of everyone, the latest first, at most `most`."""

    def enrol(self, modality: Modality, track: int, name: str) -> int:
        """Keep the person of a live track under a name; returns their number."""

    def rename(self, person: int, name: str) -> None:
        """Give another name."""

    def forget(self, person: int) -> None:
        """Leave nothing of a person."""


@dataclass(frozen=True)
class Published:
    """What the loop left last."""

    number: int
    now: Now
    picture: Picture | None
    at: float
    """By the board's clock."""


class Board:
    """Holds the newest state and picture. Publishing stores a reference and no more, however many look."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Start empty."""
        self._clock = clock
        self._latest: Published | None = None
        self._asked = -np.inf

    def publish(self, now: Now, picture: Picture | None = None) -> None:
        """Replace what there is to show; called by one thread.

        Args:
            now: the state.
            picture: not to be written to any more. None, where nobody has drawn one, takes the last one away;
                see `watched`.
        """
        number = self._latest.number + 1 if self._latest else 1
        # one assignment of something that never changes: readers on other threads need no lock
        self._latest = Published(number, now, picture, self._clock())

    @property
    def latest(self) -> Published | None:
        """What was published last."""
        return self._latest

    @property
    def watched(self) -> bool:
        """Whether someone looks at the picture now, so that it is worth drawing."""
        return self._clock() - self._asked < WATCHED_SECONDS

    def watch(self) -> None:
        """Say that someone looks at the picture."""
        self._asked = self._clock()

    @property
    def silence(self) -> float:
        """Seconds since something was published, infinite before."""
        return self._clock() - self._latest.at if self._latest else np.inf

    @property
    def health(self) -> Literal["ok", "degraded"]:
        """Whether the loop runs and every camera delivers."""
        latest = self._latest
        if latest is None or self.silence > SILENT_SECONDS:
            return "degraded"
        return "ok" if all(camera.state in ("up", "ended") for camera in latest.now.cameras.values()) else "degraded"
