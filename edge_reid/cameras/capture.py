"""Raw pictures out of files, folders, cameras and URLs, one after the other.

Shapes: h, w the source's size. A picture is uint8 `(h, w, 3)` BGR, uint8 `(h, w)` or uint16 `(h, w)`.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_reid.errors import UserError
from edge_reid.preprocess import decode

Picture = NDArray[np.uint8] | NDArray[np.uint16]

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg")
URL_SCHEMES = ("http", "https", "rtsp", "rtsps")

DEFAULT_RATE = 15.0
"""Frames per second of what does not say: folders of pictures, and videos whose header lies."""

TIMEOUT_MS = 5000
"""A silent stream blocks OpenCV for 30 s unless the constructor is told otherwise; `set` comes too late."""

GREY_16 = int.from_bytes(b"Y1\x00\x10", "little")
"""FFmpeg's code for 16-bit grey, little endian."""


class Capture(Protocol):
    """Something that gives pictures in order."""

    rate: float
    finite: bool
    """Whether it ends by itself: a file does, also behind a URL; a camera is only ever lost."""

    def read(self) -> Picture | None:
        """The next picture, or None when there is none: a file's end, a camera's loss."""

    def close(self) -> None:
        """Let the device or file go."""


class VideoCapture:
    """A video file, a camera by its index, or a stream by its URL, through OpenCV."""

    def __init__(self, uri: str) -> None:
        """Open and read one picture, so that what opens also delivers.

        Raises:
            UserError: it does not open or holds no picture; the message never shows a password.
        """
        self._video = _open(uri)
        rate = self._video.get(cv2.CAP_PROP_FPS)
        self.rate = rate if 0.0 < rate <= 240.0 else DEFAULT_RATE
        self.finite = not uri.isdigit() and self._video.get(cv2.CAP_PROP_FRAME_COUNT) > 0
        if int(self._video.get(cv2.CAP_PROP_CODEC_PIXEL_FORMAT)) == GREY_16:
            # OpenCV would keep the upper byte only: a room's 900 counts become four shades of grey
            self._video.set(cv2.CAP_PROP_CONVERT_RGB, 0)
        self._first = self._decode()
        if self._first is None:
            self._video.release()
            raise UserError(f"{redact(uri)}: opens but gives no picture; check that it plays elsewhere")

    def read(self) -> Picture | None:
        """The next picture, or None."""
        if self._first is not None:
            first, self._first = self._first, None
            return first
        return self._decode()

    def close(self) -> None:
        """Release the device or file."""
        self._video.release()

    def _decode(self) -> Picture | None:
        done, picture = self._video.read()
        return _checked(picture) if done else None


class FolderCapture:
    """The pictures of a folder in natural order (2 before 10), 16-bit ones with all their bits."""

    rate = DEFAULT_RATE
    finite = True

    def __init__(self, folder: Path, pattern: str = "*") -> None:
        """List the folder.

        Raises:
            UserError: there is no such folder, or no PNG or JPEG in it that fits `pattern`.
        """
        if not folder.is_dir():
            raise UserError(f"{folder}: no such folder; check the path")
        fitting = (path for path in folder.glob(pattern) if path.suffix.lower() in PICTURE_SUFFIXES)
        self._paths = sorted(fitting, key=natural_order)
        if not self._paths:
            raise UserError(f"{folder / pattern}: no PNG or JPEG there; name a folder of pictures or another pattern")
        self._next = 0

    def read(self) -> Picture | None:
        """The next picture, or None after the last.

        Raises:
            UserError: a file cannot be read or is not a picture.
        """
        if self._next == len(self._paths):
            return None
        path = self._paths[self._next]
        self._next += 1
        return _checked(decode(path, cv2.IMREAD_UNCHANGED))

    def close(self) -> None:
        """Nothing is held open between pictures."""


def natural_order(path: Path) -> list[tuple[int, str]]:
    """A sorting key that takes runs of digits as numbers."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", path.name) if part]


def is_live(uri: str) -> bool:
    """Whether `uri` names a camera or a stream, which has no end and no past."""
    return uri.isdigit() or "://" in uri


def open_capture(uri: str) -> Capture:
    """Open a video file, a folder (with or without a pattern such as `folder/*_lwir.png`), a camera index or a URL.

    Raises:
        UserError: it does not exist, does not open, or is of a kind that is not known.
    """
    path = Path(uri)
    if is_live(uri) or path.is_file():
        return VideoCapture(uri)
    if path.is_dir():
        return FolderCapture(path)
    if any(sign in path.name for sign in "*?["):
        return FolderCapture(path.parent, path.name)
    raise UserError(
        f"{redact(uri)}: no such file or folder; give a video, a folder of pictures, "
        f"a camera index or a URL ({', '.join(URL_SCHEMES)})"
    )


def redact(uri: str) -> str:
    """`uri` fit to be shown: without user, password and query. Shows too little rather than too much."""
    scheme, separator, rest = uri.partition("://")
    if not separator:
        # someone may have forgotten the scheme; a plain path hardly has a colon before an at sign
        credentials, at, host = uri.rpartition("@")
        return f"***@{host}" if at and ":" in credentials else uri
    # a password may itself hold '/', '?', '#' or '@': everything before the last '@' goes
    _, at, host = rest.rpartition("@")
    address, query, _ = host.partition("?")
    return f"{scheme}://{'***@' if at else ''}{address}{'?***' if query else ''}"


def _open(uri: str) -> cv2.VideoCapture:
    if uri.isdigit():
        backend = cv2.CAP_V4L2 if sys.platform == "linux" else cv2.CAP_ANY
        video = cv2.VideoCapture(int(uri), backend)
        remedy = "check the cable, the index and who else uses the camera"
    elif "://" in uri:
        if uri.partition("://")[0].lower() not in URL_SCHEMES:
            raise UserError(f"{redact(uri)}: unknown kind of URL; known are {', '.join(URL_SCHEMES)}")
        # never CAP_ANY for a URL: some OpenCV versions then print it, password and all
        timeouts = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, TIMEOUT_MS, cv2.CAP_PROP_READ_TIMEOUT_MSEC, TIMEOUT_MS]
        video = cv2.VideoCapture(uri, cv2.CAP_FFMPEG, timeouts)
        remedy = "check the address, the password and that the camera is reachable from here"
    else:
        video = cv2.VideoCapture(uri, cv2.CAP_FFMPEG)
        remedy = "give a video file that FFmpeg can decode"
    if not video.isOpened():
        raise UserError(f"{'camera ' if uri.isdigit() else ''}{redact(uri)}: does not open; {remedy}")
    return video


def _checked(picture: NDArray[np.generic]) -> Picture:
    if picture.dtype == np.uint16:
        return np.asarray(picture, dtype=np.uint16)
    return np.asarray(picture, dtype=np.uint8)
