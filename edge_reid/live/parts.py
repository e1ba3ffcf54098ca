"""A recording that need not end: in parts, of which the oldest go before all of them hold too much."""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_reid.errors import UserError, one_line
from edge_reid.files import lock
from edge_reid.live.video import Video

PART_SECONDS = 3600.0

PARTS = 20
"""A part ends early with this share of all bytes: what goes at once is little of what there is."""

AGAIN_SECONDS = 60.0
"""Between attempts to write on a disk that is full or gone."""

log = logging.getLogger(__name__)


class Parts:
    """Videos FILE-20261122T051000Z.avi, each named for when it began.

    A part is hidden, .FILE-20261122T051000Z.avi, until it is whole. What a kill left of one is kept at the next start
    where it can be played, as an .avi can.
    """

    def __init__(self, path: Path, rate: float, most_bytes: float, clock: Callable[[], float] = time.time) -> None:
        """Go on with the parts of a file.

        Args:
            path: the file; its suffix chooses the format.
            rate: frames per second.
            most_bytes: of all parts together; infinity: none is removed.
            clock: seconds since 1970.

        Raises:
            UserError: another process writes these parts, or the folder cannot be written.
        """
        self._path = path
        self._rate = rate
        self._most_bytes = most_bytes
        self._clock = clock
        self._video: Video | None = None
        self._again = -float("inf")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._lock = lock(path, "recording")
        except OSError as error:
            raise UserError(f"--record {path}: cannot be written ({error.strerror}); choose another file") from error

    def add(self, picture: NDArray[np.uint8], time: float) -> None:
        """Append a picture of `time` seconds; says in one line where the disk takes none, and leaves out a minute.

        Raises:
            UserError: OpenCV cannot write this format here.
        """
        if time < self._again:
            return
        try:
            if self._video is not None and self._is_full(self._video, time):
                self._end()
            if self._video is None:
                self._video = self._begin(time)
            self._video.add(picture, time)
        except OSError as error:
            log.warning("--record: %s; trying again in a minute", one_line(error))
            self._video = None
            self._again = time + AGAIN_SECONDS

    def close(self) -> None:
        """Complete the last part and let others write these files."""
        try:
            self._end()
        except OSError as error:
            log.warning("--record: %s", one_line(error))
        os.close(self._lock)

    def _is_full(self, video: Video, time: float) -> bool:
        size = video.path.stat().st_size
        return time - video.start >= PART_SECONDS or size >= self._most_bytes / PARTS

    def _begin(self, time: float) -> Video:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._settle()
        self._make_room()
        hidden = self._free_name()
        hidden.touch()  # OpenCV would not say why it cannot
        return Video(hidden, self._rate, time)

    def _end(self) -> None:
        video, self._video = self._video, None
        if video is not None:
            try:
                video.close()
            except UserError:
                log.warning("--record: %s was not written whole; free some disk space", video.path.name[1:])
            self._settle()

    def _settle(self) -> None:
        """Show the parts that are written no more, and remove what nobody could play."""
        for hidden in self._named("."):
            if cv2.VideoCapture(str(hidden), cv2.CAP_FFMPEG).read()[0]:
                hidden.replace(hidden.with_name(hidden.name[1:]))
            else:
                hidden.unlink()

    def _make_room(self) -> None:
        """Remove the oldest parts, so that another one fits, with the picture and the index that make it too large."""
        parts = [(path, path.stat().st_size) for path in self._named("")]
        total = sum(size for _, size in parts)
        for path, size in parts:
            if total <= self._most_bytes * (1 - 2 / PARTS):
                break
            path.unlink()
            total -= size

    def _free_name(self) -> Path:
        """Of now, or of the next second that has no part yet: clocks are set back, too."""
        second = int(self._clock())
        while True:
            name = f"{self._path.stem}-{datetime.fromtimestamp(second, timezone.utc):%Y%m%dT%H%M%SZ}{self._path.suffix}"
            if not self._path.with_name(name).exists():
                return self._path.with_name(f".{name}")
            second += 1

    def _named(self, before: str) -> Iterator[Path]:
        """The parts whose names begin so, the oldest first."""
        stem, suffix = re.escape(self._path.stem), re.escape(self._path.suffix)
        name = re.compile(rf"{re.escape(before)}{stem}-\d{{8}}T\d{{6}}Z{suffix}")
        return iter(sorted(path for path in self._path.parent.iterdir() if name.fullmatch(path.name)))


def pattern(path: Path) -> Path:
    """What all parts of a file are called."""
    return path.with_name(f"{path.stem}-*{path.suffix}")
