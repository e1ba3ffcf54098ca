"""Frames of one camera with their times, from a file at leisure or from a camera as they come.

Shapes: h, w the source's size. A frame is uint8, `(h, w, 3)` BGR for visible and `(h, w)` for thermal.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_reid.cameras.capture import Capture, Picture, is_live, open_capture, redact
from edge_reid.cameras.thermal import PercentileGain
from edge_reid.errors import UserError
from edge_reid.types import Modality

LONGEST_PAUSE = 10.0
"""Seconds between attempts to reopen a camera that stays away."""

State = Literal["up", "down", "ended"]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Frame:
    """One picture: its image, its time in seconds since the start, its number among all that the camera gave."""

    image: NDArray[np.uint8]
    time: float
    index: int


class Source(Protocol):
    """One camera. `name` is fit to be shown, `rate` is the announced frames per second."""

    name: str
    modality: Modality
    rate: float
    offline: bool

    @property
    def state(self) -> State:
        """Up, down (lost and being reopened), or ended (a file's end: nothing will follow)."""

    def start(self, epoch: float, arrived: threading.Event) -> None:
        """Count time from `epoch` (of `time.monotonic`) and set `arrived` whenever there is news to read."""

    def read(self) -> Frame | None:
        """Offline: the next frame, None at the end. Live: the newest frame not read yet, None when there is none."""

    def close(self) -> None:
        """Stop and let the camera go."""


def open_source(uri: str, modality: Modality, *, offline: bool) -> Source:
    """Open a video file, a folder of pictures, a camera index, or an HTTP or RTSP URL.

    Args:
        uri: for example `people.mp4`, `pairs/*_lwir.png`, `0`, `rtsp://user:password@camera/stream`.
        modality: what the camera sees.
        offline: every frame in order, as fast as they are read; otherwise files run at their own pace.

    Raises:
        UserError: it does not open, or a camera is asked to run offline.
    """
    if offline and is_live(uri):
        raise UserError(f"{redact(uri)}: a live camera cannot run offline; leave --offline out or name a file")
    capture = open_capture(uri)
    if offline:
        return OfflineSource(redact(uri), modality, capture)
    reopen = (lambda: open_capture(uri)) if is_live(uri) and not capture.finite else None
    return LiveSource(redact(uri), modality, capture, reopen)


class OfflineSource:
    """A file read in the caller's own time: every frame, the same every time."""

    offline = True

    def __init__(self, name: str, modality: Modality, capture: Capture) -> None:
        """Take over an open capture."""
        self.name = name
        self.modality: Modality = modality
        self.rate = capture.rate
        self._capture = capture
        self._prepare = FramePreparation(modality)
        self._index = 0
        self._ended = False

    @property
    def state(self) -> State:
        """Up until the last frame was read."""
        return "ended" if self._ended else "up"

    def start(self, epoch: float, arrived: threading.Event) -> None:
        """Nothing to do: the file waits for its reader."""

    def read(self) -> Frame | None:
        """The next frame, or None at the end."""
        picture = None if self._ended else self._capture.read()
        if picture is None:
            self._ended = True
            return None
        index, self._index = self._index, self._index + 1
        return self._prepare(picture, index / self.rate, index)

    def close(self) -> None:
        """Close the file."""
        self._capture.close()


class LiveSource:
    """A camera, or a file played at its own pace: a thread reads and always holds the newest frame.

    Without the thread a slow reader sees seconds-old pictures out of the backend's buffer. A lost camera is reopened
    with growing pauses; the object that lost it never recovers by itself.
    """

    offline = False

    def __init__(
        self,
        name: str,
        modality: Modality,
        capture: Capture,
        reopen: Callable[[], Capture] | None,
        *,
        first_pause: float = 0.5,
    ) -> None:
        """Take over an open capture; `reopen` is None for a file, which ends instead of coming back."""
        self.name = name
        self.modality: Modality = modality
        self.rate = capture.rate
        self.received = 0
        self.dropped = 0
        self.reconnects = 0
        self._capture = capture
        self._reopen = reopen
        self._first_pause = first_pause
        self._prepare = FramePreparation(modality)
        self._state: State = "up"
        self._error: UserError | None = None
        self._newest: tuple[Picture, float, int] | None = None
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def state(self) -> State:
        """Up, down or ended; a frame or an error that waits to be read comes before the end."""
        # the state first: the last frame is there before the end is told
        state = self._state
        waiting = self._newest is not None or self._error is not None
        return "up" if waiting and state == "ended" else state

    def start(self, epoch: float, arrived: threading.Event) -> None:
        """Start the reader thread."""
        self._thread = threading.Thread(target=self._run, args=(epoch, arrived), name=self.name, daemon=True)
        self._thread.start()

    def read(self) -> Frame | None:
        """The newest frame not read yet, or None.

        Raises:
            UserError: the reader met a picture that cannot be decoded.
        """
        with self._lock:
            newest, self._newest = self._newest, None
        if newest is not None:
            return self._prepare(*newest)
        if self._error is not None:
            raise self._error
        return None

    def close(self) -> None:
        """Stop the reader. One that hangs in a silent stream is left behind; it ends with its timeout."""
        self._stop.set()
        if self._thread is None:
            self._capture.close()
        else:
            self._thread.join(timeout=1.0)

    def _run(self, epoch: float, arrived: threading.Event) -> None:
        try:
            while not self._stop.is_set():
                picture = self._capture.read()
                if picture is not None:
                    self._keep(picture, epoch)
                    arrived.set()
                elif self._reopen is None or not self._reconnect(self._reopen):
                    break
        except UserError as error:
            self._error = error
        finally:
            self._capture.close()
            self._state = "ended"
            arrived.set()

    def _keep(self, picture: Picture, epoch: float) -> None:
        if self._reopen is None:
            moment = self.received / self.rate
            self._stop.wait(max(0.0, epoch + moment - time.monotonic()))
        else:
            moment = time.monotonic() - epoch
        with self._lock:
            self.dropped += self._newest is not None
            self._newest = (picture, moment, self.received)
            self.received += 1

    def _reconnect(self, reopen: Callable[[], Capture]) -> bool:
        """Reopen the camera, however long it takes; False when told to stop meanwhile."""
        self._state = "down"
        self._capture.close()
        log.warning("%s: lost, trying to reopen", self.name)
        pause = self._first_pause
        while not self._stop.wait(pause):
            try:
                self._capture = reopen()
            except UserError:
                pause = min(2.0 * pause, LONGEST_PAUSE)
                continue
            self.reconnects += 1
            self._state = "up"
            return True
        return False


class FramePreparation:
    """Makes a frame of a raw picture: BGR for visible, 8-bit grey for thermal."""

    def __init__(self, modality: Modality) -> None:
        """Hold the thermal gain, whose limits drift from frame to frame."""
        self._gain = PercentileGain() if modality == "thermal" else None

    def __call__(self, picture: Picture, moment: float, index: int) -> Frame:
        """The frame of a picture taken at `moment`."""
        if self._gain is not None:
            return Frame(self._gain(picture, moment), moment, index)
        if picture.dtype == np.uint16:
            picture = np.asarray(cv2.convertScaleAbs(picture, alpha=1 / 257), dtype=np.uint8)
        if picture.ndim == 2:
            picture = np.asarray(cv2.cvtColor(picture, cv2.COLOR_GRAY2BGR), dtype=np.uint8)
        return Frame(np.asarray(picture[:, :, :3], dtype=np.uint8), moment, index)
