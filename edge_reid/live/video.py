"""A file with a video of constant rate."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_reid.errors import UserError

FORMATS = {".avi": "MJPG", ".mp4": "mp4v"}
"""What OpenCV's packages can write everywhere, and under a licence that asks for nothing."""


class Video:
    """Frames are repeated or left out so that the video keeps the stream's time."""

    def __init__(self, path: Path, rate: float, start: float = 0.0) -> None:
        """Prepare a file whose suffix (.avi or .mp4) chooses the format; it is opened with the first picture.

        Args:
            path: the file.
            rate: frames per second.
            start: the stream's second that the video begins with.
        """
        self.path = path
        self.start = start
        self._rate = rate
        self._writer: cv2.VideoWriter | None = None
        self._written = 0
        self._frames = 0

    def add(self, picture: NDArray[np.uint8], time: float) -> None:
        """Append a picture of `time` seconds.

        Raises:
            UserError: OpenCV cannot write this format here.
        """
        if self._writer is None:
            code = cv2.VideoWriter.fourcc(*FORMATS[self.path.suffix.lower()])
            size = (picture.shape[1], picture.shape[0])
            self._writer = cv2.VideoWriter(str(self.path), cv2.CAP_FFMPEG, code, self._rate, size)
            if not self._writer.isOpened():
                raise UserError(
                    f"--record: this OpenCV cannot write {self.path.suffix}; choose the other of .avi, .mp4"
                )
        due = round((time - self.start) * self._rate) + 1
        # at most a second is filled up: after a long outage the video jumps rather than stands still
        for _ in range(min(due - self._written, max(1, round(self._rate)))):
            self._writer.write(picture)
            self._frames += 1
        self._written = max(self._written, due)

    def close(self) -> None:
        """Complete the file.

        Raises:
            UserError: what was written cannot be read back; the disk is full, for one.
        """
        if self._writer is None:
            raise UserError("--record: no frame came, so there is no video; check the sources")
        self._writer.release()
        # OpenCV tells nobody that a disk was full: a header may promise frames that are not there, or not be complete
        video = cv2.VideoCapture(str(self.path), cv2.CAP_FFMPEG)
        video.set(cv2.CAP_PROP_POS_FRAMES, self._frames - 1)
        if video.get(cv2.CAP_PROP_FRAME_COUNT) < self._frames or not video.read()[0]:
            raise UserError("--record: the video was not written whole; free some disk space and run again")
