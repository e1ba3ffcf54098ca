"""Frames of one camera with their times, from a file at leisure or from a camera as they come."""

from __future__ import annotations

import threading
import time
from typing import Protocol

from edge_reid.cameras.capture import Capture, check_backend, open_capture
from edge_reid.cameras.frames import Frame, FramePreparation
from edge_reid.cameras.live import LiveSource
from edge_reid.cameras.newest import Health, Newest, State
from edge_reid.cameras.uri import SourceUri, parse_uri
from edge_reid.errors import UserError
from edge_reid.types import Modality

__all__ = ["Frame", "Health", "LiveSource", "Source", "State", "open_source", "parse_source"]


class Source(Protocol):
    """One camera. `name` is fit to be shown."""

    name: str
    modality: Modality
    rate: float
    """Frames per second to be expected: a file's own, or what was asked for."""
    delay: float
    """Seconds that frames are known to come late; their times are corrected by it."""
    offline: bool

    @property
    def state(self) -> State:
        """How it stands."""

    def start(self, epoch: float, arrived: threading.Event) -> None:
        """Count time from `epoch` (of `time.monotonic`) and set `arrived` whenever there is news to read."""

    def read(self) -> Frame | None:
        """Offline: the next frame, None at the end. Live: the newest frame not read yet, None when there is none."""

    def health(self) -> Health:
        """How it goes with it."""

    def close(self) -> None:
        """Stop and let the camera go."""


def open_source(uri: str, modality: Modality, *, offline: bool) -> Source:
    """Open a file or folder, or begin to look for a camera, which may be absent: `edge_reid.cameras.uri` says how.

    Args:
        uri: for example `people.mp4`, `pairs/*_lwir.png?fps=20`, `0`, `rtsp://user:password@camera/stream`.
        modality: what the camera sees.
        offline: every frame in order, as fast as they are read; otherwise files run at their own pace.

    Raises:
        UserError: nothing known is named so, a file does not open, an option is wrong, this machine can never open it,
            or a camera is asked to run offline.
    """
    source = parse_source(uri, modality)
    if source.is_live:
        if offline:
            raise UserError(f"{source.name}: a live camera cannot run offline; leave --offline out or name a file")
        return LiveSource(source, modality)
    kind = OfflineSource if offline else FileSource
    return kind(source, modality, open_capture(source))


def parse_source(uri: str, modality: Modality) -> SourceUri:
    """Understand what names a camera of this modality, without touching it.

    Raises:
        UserError: nothing known is named so, an option is wrong, or this machine can never open it.
    """
    source = parse_uri(uri)
    check_backend(source)
    if modality == "visible" and source.options.celsius:
        raise UserError(f"{source.name}: celsius is for thermal cameras; leave it out of --visible")
    return source


class OfflineSource:
    """A file read in the caller's own time: every frame, the same every time."""

    offline = True

    def __init__(self, source: SourceUri, modality: Modality, capture: Capture) -> None:
        """Take over an open capture."""
        self.name = source.name
        self.modality: Modality = modality
        self.rate = capture.rate
        self.delay = source.options.delay
        self._capture = capture
        self._prepare = FramePreparation(modality, source.options)
        self._index = 0
        self._ended = False
        self._size: tuple[int, int] | None = None

    @property
    def state(self) -> State:
        """Up until the last frame was read."""
        return "ended" if self._ended else "up"

    def start(self, epoch: float, arrived: threading.Event) -> None:
        """Nothing to do: the file waits for its reader."""

    def read(self) -> Frame | None:
        """The next frame, or None at the end."""
        shot = None if self._ended else self._capture.read()
        if shot is None:
            self._ended = True
            return None
        index, self._index = self._index, self._index + 1
        frame = self._prepare(shot.picture, index / self.rate - self.delay, index)
        self._size = frame.image.shape[0], frame.image.shape[1]
        return frame

    def health(self) -> Health:
        """A file is always well."""
        return Health(self.state, received=self._index, rate=self.rate, size=self._size)

    def close(self) -> None:
        """Close the file."""
        self._capture.close()


class FileSource:
    """A file played at its own pace: a thread reads and always holds the newest picture."""

    offline = False

    def __init__(self, source: SourceUri, modality: Modality, capture: Capture) -> None:
        """Take over an open capture."""
        self.name = source.name
        self.modality: Modality = modality
        self.rate = capture.rate
        self.delay = source.options.delay
        self._capture = capture
        self._prepare = FramePreparation(modality, source.options)
        self._newest = Newest()
        self._ended = False
        self._error: UserError | None = None
        self._size: tuple[int, int] | None = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def state(self) -> State:
        """Up or ended; a picture or an error that waits to be read comes before the end."""
        ended = self._ended  # first: the last picture is there before the end is told
        return "ended" if ended and not self._newest.waits and self._error is None else "up"

    def start(self, epoch: float, arrived: threading.Event) -> None:
        """Start to play."""
        self._thread = threading.Thread(target=self._play, args=(epoch, arrived), name=self.name, daemon=True)
        self._thread.start()

    def read(self) -> Frame | None:
        """The newest frame not read yet, or None.

        Raises:
            UserError: a picture cannot be decoded.
        """
        if (held := self._newest.take()) is not None:
            frame = self._prepare(*held)
            self._size = frame.image.shape[0], frame.image.shape[1]
            return frame
        if self._error is not None:
            raise self._error
        return None

    def health(self) -> Health:
        """How many pictures it gave and how many of them nobody looked at."""
        newest = self._newest
        return Health(
            self.state, newest.received, newest.dropped, rate=newest.rate(), age=newest.age(), size=self._size
        )

    def close(self) -> None:
        """Stop playing."""
        self._stop.set()
        if self._thread is None:
            self._capture.close()
        else:
            self._thread.join(timeout=1.0)

    def _play(self, epoch: float, arrived: threading.Event) -> None:
        try:
            while not self._stop.is_set() and (shot := self._capture.read()) is not None:
                moment = self._newest.received / self.rate
                self._stop.wait(max(0.0, epoch + moment - time.monotonic()))
                self._newest.put(shot.picture, moment - self.delay)
                arrived.set()
        except UserError as error:
            self._error = error
        finally:
            self._capture.close()
            self._ended = True
            arrived.set()
