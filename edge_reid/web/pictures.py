"""The live picture as JPEG: encoded when somebody waits for it, once for all of them, never faster than ten a second.

Shapes: h, w the size of a picture, uint8 `(h, w, 3)` BGR.
"""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_reid.web.board import Board, Picture, Published

PERIOD = 0.1
"""Seconds between two pictures."""

PATIENCE = 5.0
"""Seconds that a viewer is kept waiting for a picture."""

MOST_WIDTH = 1280
QUALITY = 80


@dataclass(frozen=True)
class Encoded:
    """A picture of the board as JPEG, under the number with which it was published."""

    number: int
    jpeg: bytes


class Pictures:
    """Gives viewers the newest picture. `next` belongs to one event loop."""

    def __init__(self, board: Board) -> None:
        """Encode nothing until somebody asks."""
        self._board = board
        self._encoded: Encoded | None = None
        self._due = -np.inf
        self._waiting: asyncio.Task[Encoded | None] | None = None
        self._stopping = False
        # drawing and encoding leave the event loop free; OpenCV lets go of the interpreter meanwhile
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="web-picture")

    async def next(self, after: int) -> Encoded | None:
        """The newest picture if its number is not `after`, else the next one; None when none came in time."""
        self._board.watch()
        newest = self._encoded
        if newest and newest.number != after and self._is_newest(newest):
            return newest
        if self._waiting is None or self._waiting.done():
            self._waiting = asyncio.create_task(self._encode_next())
        # one viewer who leaves must not take the picture away from the others
        return await asyncio.shield(self._waiting)

    def stop(self) -> None:
        """Keep nobody waiting any more; from any thread."""
        self._stopping = True

    def close(self) -> None:
        """Let go of the thread, when nothing is asked any more."""
        self._worker.shutdown()

    def _is_newest(self, encoded: Encoded) -> bool:
        latest = self._board.latest
        return latest is not None and latest.number == encoded.number

    async def _encode_next(self) -> Encoded | None:
        until = time.monotonic() + PATIENCE
        while not self._stopping and time.monotonic() < until:
            self._board.watch()
            latest = self._board.latest
            if time.monotonic() >= self._due and latest and latest.picture is not None and self._is_new(latest):
                self._due = time.monotonic() + PERIOD
                loop = asyncio.get_running_loop()
                jpeg = await loop.run_in_executor(self._worker, encode, latest.picture)
                self._encoded = Encoded(latest.number, jpeg)
                return self._encoded
            await asyncio.sleep(PERIOD / 5)
        return None

    def _is_new(self, latest: Published) -> bool:
        return self._encoded is None or self._encoded.number != latest.number


def encode(picture: Picture) -> bytes:
    """Draw where that is still to be done, make it at most 1280 wide, and encode."""
    image: NDArray[np.uint8] = picture() if callable(picture) else picture
    height, width = image.shape[:2]
    if width > MOST_WIDTH:
        size = (MOST_WIDTH, round(height * MOST_WIDTH / width))
        image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    done, jpeg = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    if not done:
        raise RuntimeError("OpenCV could not encode the live picture")
    return jpeg.tobytes()
