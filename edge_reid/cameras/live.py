"""A camera that may come late, fall silent, freeze or go, and is taken up again whenever it is there."""

from __future__ import annotations

import logging
import random
import threading
import time
import zlib
from collections.abc import Callable

import cv2

from edge_reid.cameras.capture import DEFAULT_RATE, Capture, Picture, Shot, open_capture
from edge_reid.cameras.frames import Frame, FramePreparation
from edge_reid.cameras.newest import Health, Newest, State
from edge_reid.cameras.uri import SourceUri
from edge_reid.errors import UserError
from edge_reid.types import Modality

FIRST_PAUSE = 0.5
LONGEST_PAUSE = 4.0
"""Seconds between attempts to open a camera: together with the opening itself, five after its return it is back."""

MOST_LEFT = 3
"""Readers that hang in a silent camera and were left behind; each ends by its backend's timeout."""

LOOKS = 0.25
"""Seconds between two looks at whether a camera is frozen."""

log = logging.getLogger(__name__)


class LiveSource:
    """A camera or a stream: a thread reads and always holds the newest picture, another one watches it from outside.

    Without the reader a slow caller sees seconds-old pictures out of the backend's buffer. A lost camera never recovers
    in the object that lost it, and a silent one blocks whoever reads: the watcher leaves that reader behind and starts
    another, with growing pauses.
    """

    offline = False

    def __init__(
        self, uri: SourceUri, modality: Modality, connect: Callable[[SourceUri], Capture] = open_capture
    ) -> None:
        """Touch nothing yet: the camera may be absent."""
        self.name = uri.name
        self.modality: Modality = modality
        self.rate = uri.options.fps or DEFAULT_RATE
        self.delay = uri.options.delay
        self._uri = uri
        self._connect = connect
        self._prepare = FramePreparation(modality, uri.options)
        self._newest = Newest()
        self._freeze = FreezeWatch(uri.options.frozen)
        self._state: State = "connecting"
        self._problem: str | None = None
        self._told: tuple[State, bool] = ("connecting", True)
        self._stalls = self._reconnects = self._frozen = 0
        self._seen = False
        self._size: tuple[int, int] | None = None
        self._epoch = 0.0
        self._arrived = threading.Event()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._reader: _Reader | None = None
        self._left: list[_Reader] = []
        self._watcher = threading.Thread(target=self._watch, name=f"{self.name} watcher", daemon=True)

    @property
    def state(self) -> State:
        """How it stands; a picture that waits to be read comes before the end."""
        state = self._state  # first: the last picture is there before the end is told
        return "up" if state == "ended" and self._newest.waits else state

    def health(self) -> Health:
        """How it goes with the camera."""
        with self._lock:
            return Health(
                state=self.state,
                received=self._newest.received,
                dropped=self._newest.dropped,
                stalls=self._stalls,
                reconnects=self._reconnects,
                frozen=self._frozen,
                rate=self._newest.rate(),
                age=self._newest.age(),
                size=self._size,
                problem=self._problem,
            )

    def start(self, epoch: float, arrived: threading.Event) -> None:
        """Begin to open the camera; `arrived` is set by every picture and every change of state."""
        self._epoch, self._arrived = epoch, arrived
        self._watcher.start()

    def read(self) -> Frame | None:
        """The newest frame not read yet, or None."""
        if (held := self._newest.take()) is None:
            return None
        frame = self._prepare(*held)
        self._size = frame.image.shape[0], frame.image.shape[1]
        return frame

    def close(self) -> None:
        """Stop. A reader that hangs in a silent camera is left behind; it ends with its backend's timeout.

        Until then an ordinary end of the interpreter aborts the process: OpenCV's frames are not to be unwound.
        """
        self._stop.set()
        self._wake.set()
        if self._watcher.is_alive():
            self._watcher.join(timeout=1.0)
        latest = time.monotonic() + 1.0
        for reader in self._left:  # the watcher has left the last one, too
            reader.join(timeout=max(0.0, latest - time.monotonic()))

    def keep(self, reader: _Reader, shot: Shot) -> bool:
        """Take a picture from a reader; False when the reader shall end."""
        with self._lock:
            if reader is not self._reader:
                return False
            if self._freeze.is_frozen(shot.picture):
                reader.ending, reader.problem = "stalled", "repeats one and the same picture"
                return False
            self._newest.put(shot.picture, shot.moment - self._epoch - self.delay)
            if self._state != "up":
                self._reconnects += self._seen
                self._seen = True
                self._state, self._problem = "up", None
        self._tell()
        self._arrived.set()
        return True

    def wake(self) -> None:
        """Have the watcher look at its reader."""
        self._wake.set()

    def _watch(self) -> None:
        pause = FIRST_PAUSE
        while not self._stop.is_set():
            self._left = [reader for reader in self._left if reader.is_alive()]
            if len(self._left) >= MOST_LEFT:
                self._problem = "hangs in its backend, which does not give up; see that OpenCV is 4.7 or later"
                self._stop.wait(FIRST_PAUSE)
                continue
            self._freeze.restart()
            reader = self._reader = _Reader(self, self._uri, self._connect)
            reader.start()
            ending = self._attend(reader)
            self._leave(reader, ending)
            if ending == "ended":
                break
            # a camera that answers and fails at once is no reason to ask it more often
            lasted = reader.last - reader.first if reader.first is not None else 0.0
            pause = FIRST_PAUSE if lasted >= LONGEST_PAUSE else pause
            since = reader.began if reader.first is None else time.monotonic()
            self._stop.wait(max(0.0, since + pause * random.uniform(0.8, 1.0) - time.monotonic()))
            pause = min(2.0 * pause, LONGEST_PAUSE)

    def _attend(self, reader: _Reader) -> State:
        """Wait until the reader ends or hangs, and say how the camera then stands."""
        while not self._stop.is_set():
            self._wake.clear()
            if reader.ending is not None:
                return reader.ending
            patience = self._uri.options.timeout * (2.0 if reader.first is None else 1.0)
            remaining = reader.last + patience - time.monotonic()
            if remaining <= 0.0 and not reader.recorded:
                reader.problem = f"silent for {patience:g} s"
                return "stalled"
            self._wake.wait(max(remaining, LOOKS))
        return "down"

    def _leave(self, reader: _Reader, ending: State) -> None:
        reader.stop.set()
        with self._lock:
            self._reader = None
            if reader.is_alive():
                self._left.append(reader)
            if self._stop.is_set():
                return
            self._problem = reader.problem
            if ending == "stalled" and self._state == "up":
                frozen = self._freeze.frozen
                self._frozen += frozen
                self._stalls += not frozen
            if self._seen or ending == "ended":
                self._state = ending
        self._tell()
        self._arrived.set()

    def _tell(self) -> None:
        """One line in the log for every change of state, and one for why a camera is not there from the start."""
        state, problem = self._state, self._problem
        if (state, problem is None) != self._told:
            self._told = state, problem is None
            level = logging.INFO if problem is None else logging.WARNING
            log.log(level, "%s: %s%s", self.name, state, f" ({problem})" if problem else "")


class _Reader(threading.Thread):
    """One connection: opens the camera, reads until it is lost or told to stop, and lets the camera go.

    Only the thread that reads may close: OpenCV breaks when another one does.
    """

    def __init__(self, source: LiveSource, uri: SourceUri, connect: Callable[[SourceUri], Capture]) -> None:
        super().__init__(name=f"{uri.name} reader", daemon=True)
        self.began = self.last = time.monotonic()
        self.first: float | None = None
        self.recorded = False
        self.ending: State | None = None
        self.problem: str | None = None
        self.stop = threading.Event()
        self._source = source
        self._uri = uri
        self._connect = connect

    def run(self) -> None:
        try:
            capture = self._connect(self._uri)
            try:
                self._read(capture)
            finally:
                capture.close()
        except UserError as error:
            self.problem = str(error)
        except cv2.error:
            self.problem = "OpenCV failed to read"  # its own words may hold the address
        finally:
            self.ending = self.ending or "down"
            self._source.wake()

    def _read(self, capture: Capture) -> None:
        self.recorded = capture.recorded
        shape: tuple[int, ...] | None = None
        count = 0
        while not self.stop.is_set():
            if (shot := capture.read()) is None:
                self.ending, self.problem = ("ended", None) if capture.recorded else ("down", "gives no more pictures")
                return
            self.last = time.monotonic()
            if self.first is None:
                self.first, shape = self.last, shot.picture.shape
            if shot.picture.shape != shape:
                self.problem = f"changed the size of its pictures from {shape} to {shot.picture.shape}"
                return
            if capture.recorded:
                # a film behind a URL comes as fast as it is read
                self.stop.wait(max(0.0, self.first + count / capture.rate - self.last))
                shot = Shot(shot.picture, time.monotonic())
            count += 1
            if not self._source.keep(self, shot):
                return


class FreezeWatch:
    """Tells a camera that repeats one picture: its sensor or encoder hangs, for real pictures differ by their noise."""

    def __init__(self, seconds: float) -> None:
        """Call it frozen after so many seconds; 0: never."""
        self.frozen = False
        self._seconds = seconds
        self._digest: int | None = None
        self._since = self._looked = float("-inf")

    def restart(self) -> None:
        """The camera was opened again: only a frozen one is remembered."""
        if not self.frozen:
            self._digest = None
        self._looked = float("-inf")

    def is_frozen(self, picture: Picture) -> bool:
        """Whether this picture has been the same for too long."""
        now = time.monotonic()
        if not self._seconds or now - self._looked < LOOKS:
            return self.frozen
        self._looked = now
        digest = zlib.crc32(picture.tobytes())
        if digest != self._digest:
            self._digest, self._since, self.frozen = digest, now, False
        else:
            self.frozen = now - self._since >= self._seconds
        return self.frozen
