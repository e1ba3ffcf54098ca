"""The annotated video of a run, written beside it."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_reid.errors import UserError
from edge_reid.files import atomic_file
from edge_reid.live.parts import Parts
from edge_reid.live.video import FORMATS, Video

MOST_WAITING = 16
"""Pictures that wait to be encoded: about half a second, 30 MB."""


class Recording:
    """Encodes and writes on a thread of its own, so that the caller waits for no disk."""

    def __init__(self, video: Video | Parts, *, patient: bool) -> None:
        """Write into a video.

        Args:
            video: nobody else's until `stop`.
            patient: wait while the thread is behind; otherwise such pictures are `dropped`.
        """
        self.dropped = 0
        self._video = video
        self._patient = patient
        self._problem: UserError | None = None
        self._queue: queue.Queue[tuple[NDArray[np.uint8], float] | None] = queue.Queue(MOST_WAITING)
        self._thread = threading.Thread(target=self._run, name="recording", daemon=True)
        self._thread.start()

    def write(self, picture: NDArray[np.uint8], time: float) -> None:
        """Append a picture that was taken at `time` seconds and is not written to any more.

        Raises:
            UserError: OpenCV cannot write this format here.
        """
        self.raise_problem()
        if self._patient or not self._queue.full():
            self._queue.put((picture, time))
        else:
            self.dropped += 1

    def stop(self) -> None:
        """End the thread when it has written what waits."""
        if self._thread.is_alive():
            self._queue.put(None)
            self._thread.join()

    def raise_problem(self) -> None:
        """Raise UserError where OpenCV could not write this format."""
        if self._problem:
            raise self._problem

    def _run(self) -> None:
        while (item := self._queue.get()) is not None:
            try:
                self._video.add(*item)
            except UserError as error:
                self._problem = error


@contextlib.contextmanager
def recording(
    path: Path | None, rate: float, *, patient: bool, gigabytes: float | None = None
) -> Iterator[Recording | None]:
    """A `Recording` that becomes `path` when the block ends well and leaves nothing when not; None without a path.

    With `gigabytes`, for all of them, it becomes parts instead, which are kept however the block ends; see `Parts`.

    Raises:
        UserError: see `refuse_recording`; the video was not written whole; another process writes these parts.
    """
    refuse_recording(path, gigabytes)
    if path is None:
        yield None
        return
    with contextlib.ExitStack() as stack:
        if gigabytes is None:
            video: Video | Parts = Video(stack.enter_context(atomic_file(path)), rate)
        else:
            video = stack.enter_context(contextlib.closing(Parts(path, rate, 1e9 * gigabytes)))
        recorded = Recording(video, patient=patient)
        try:
            yield recorded
        finally:
            recorded.stop()
        recorded.raise_problem()
        if isinstance(video, Video):
            video.close()


def refuse_recording(path: Path | None, gigabytes: float | None) -> None:
    """Refuse a name or a bound that no recording can have.

    Raises:
        UserError: the suffix is none that can be written, or there is a bound and no path.
    """
    if path is None and gigabytes is not None:
        raise UserError("--record-gigabytes bounds a recording; give --record FILE, too")
    if path is not None and path.suffix.lower() not in FORMATS:
        raise UserError(f"--record {path}: unknown kind of video; end the name in {' or '.join(FORMATS)}")
