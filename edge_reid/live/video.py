"""The annotated video of a run."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_reid.errors import UserError
from edge_reid.files import atomic_file

FORMATS = {".avi": "MJPG", ".mp4": "mp4v"}
"""What OpenCV's packages can write everywhere, and under a licence that asks for nothing."""

MOST_WAITING = 16
"""Pictures that wait to be encoded: about half a second, 30 MB."""


class Recording:
    """An annotated video of constant rate: frames are repeated or left out so that it keeps the stream's time.

    A thread of its own encodes and writes, so that the caller waits for no disk.
    """

    def __init__(self, path: Path, rate: float, *, patient: bool) -> None:
        """Prepare a file whose suffix (.avi or .mp4) chooses the format; it is opened with the first picture.

        Args:
            path: the file.
            rate: frames per second.
            patient: wait while the thread is behind; otherwise such pictures are `dropped`.
        """
        self.dropped = 0
        self._path = path
        self._rate = rate
        self._patient = patient
        self._writer: cv2.VideoWriter | None = None
        self._written = 0
        self._frames = 0
        self._problem: UserError | None = None
        self._queue: queue.Queue[tuple[NDArray[np.uint8], float] | None] = queue.Queue(MOST_WAITING)
        self._thread = threading.Thread(target=self._run, name="recording", daemon=True)
        self._thread.start()

    def write(self, picture: NDArray[np.uint8], time: float) -> None:
        """Append a picture that was taken at `time` seconds and is not written to any more.

        Raises:
            UserError: OpenCV cannot write this format here.
        """
        if self._problem:
            raise self._problem
        if self._patient or not self._queue.full():
            self._queue.put((picture, time))
        else:
            self.dropped += 1

    def _run(self) -> None:
        while (item := self._queue.get()) is not None:
            try:
                self._encode(*item)
            except UserError as error:
                self._problem = error

    def _encode(self, picture: NDArray[np.uint8], time: float) -> None:
        if self._writer is None:
            code = cv2.VideoWriter.fourcc(*FORMATS[self._path.suffix.lower()])
            size = (picture.shape[1], picture.shape[0])
            self._writer = cv2.VideoWriter(str(self._path), cv2.CAP_FFMPEG, code, self._rate, size)
            if not self._writer.isOpened():
                raise UserError(
                    f"--record: this OpenCV cannot write {self._path.suffix}; choose the other of .avi, .mp4"
                )
        due = round(time * self._rate) + 1
        # at most a second is filled up: after a long outage the video jumps rather than stands still
        for _ in range(min(due - self._written, max(1, round(self._rate)))):
            self._writer.write(picture)
            self._frames += 1
        self._written = max(self._written, due)

    def stop(self) -> None:
        """End the thread when it has written what waits."""
        if self._thread.is_alive():
            self._queue.put(None)
            self._thread.join()

    def close(self) -> None:
        """Complete the file.

        Raises:
            UserError: what was written cannot be read back; the disk is full, for one.
        """
        self.stop()
        if self._problem:
            raise self._problem
        if self._writer is None:
            raise UserError("--record: no frame came, so there is no video; check the sources")
        self._writer.release()
        # OpenCV tells nobody that a disk was full: a header may promise frames that are not there, or not be complete
        video = cv2.VideoCapture(str(self._path), cv2.CAP_FFMPEG)
        video.set(cv2.CAP_PROP_POS_FRAMES, self._frames - 1)
        if video.get(cv2.CAP_PROP_FRAME_COUNT) < self._frames or not video.read()[0]:
            raise UserError("--record: the video was not written whole; free some disk space and run again")


@contextlib.contextmanager
def recording(path: Path | None, rate: float, *, patient: bool) -> Iterator[Recording | None]:
    """A `Recording` that becomes `path` when the block ends well and leaves nothing when not; None without a path.

    Raises:
        UserError: the suffix is none that can be written.
    """
    if path is None:
        yield None
        return
    if path.suffix.lower() not in FORMATS:
        raise UserError(f"--record {path}: unknown kind of video; end the name in {' or '.join(FORMATS)}")
    with atomic_file(path) as temporary:
        video = Recording(temporary, rate, patient=patient)
        try:
            yield video
        finally:
            video.stop()
        video.close()
