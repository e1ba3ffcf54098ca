"""Raw pictures out of files, folders, cameras and streams, one after the other.

Shapes: h, w the source's size. A picture is uint8 `(h, w, 3)` BGR, uint8 `(h, w)` or uint16 `(h, w)`.
"""

from __future__ import annotations

import fnmatch
import os
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_reid.cameras.gstreamer import csi_pipeline, require_gstreamer, rtsp_pipeline, with_sink
from edge_reid.cameras.uri import SourceUri
from edge_reid.errors import UserError
from edge_reid.preprocess import decode

Picture = NDArray[np.uint8] | NDArray[np.uint16]

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")

DEFAULT_RATE = 15.0
"""Frames per second of what does not say: folders of pictures, and videos whose header lies."""

STAMP_AGE = 1.0
"""Seconds that a driver's time may lie back; an older one, or one of the future, counts by another clock."""

STREAM_OPTIONS = "rtsp_flags;prefer_tcp|fpsprobesize;0"
"""Of FFmpeg, which else counts twenty pictures before it gives the first: two seconds at ten a second."""

SELECT_TIMEOUT = "4"
"""Seconds for which a silent V4L2 camera blocks OpenCV, which else waits for ten."""

GREY_16 = int.from_bytes(b"Y1\x00\x10", "little")
"""FFmpeg's code for 16-bit grey, little endian."""


class Shot(NamedTuple):
    """One picture and when it was taken, in seconds of `time.monotonic`."""

    picture: Picture
    moment: float


class Capture(Protocol):
    """Something that gives pictures in order."""

    rate: float
    """Announced frames per second; cameras announce what they like."""
    recorded: bool
    """Whether the pictures lie there, to be played at `rate`, and have an end; a camera is only ever lost."""

    def read(self) -> Shot | None:
        """The next picture, or None when there is none: a file's end, a camera's loss."""

    def close(self) -> None:
        """Let the device or file go."""


class VideoCapture:
    """A video file, a camera or a stream through OpenCV."""

    def __init__(self, video: cv2.VideoCapture, source: SourceUri, remedy: str) -> None:
        """Take over what was opened and read one picture, so that what opens also delivers.

        Raises:
            UserError: it is not open, holds no picture or too few bits; the message never shows a password.
        """
        self._video = video
        self._source = source
        if not video.isOpened():
            raise UserError(f"{source.name}: does not open; {remedy}")
        rate = video.get(cv2.CAP_PROP_FPS)
        self.rate = source.options.fps or (rate if 0.0 < rate <= 240.0 else DEFAULT_RATE)
        frames = video.get(cv2.CAP_PROP_FRAME_COUNT)
        self.announced = int(max(frames, 0.0))
        """Pictures that there are by the header, which may be wrong; 0 where it does not say."""
        self.recorded = source.kind == "file" or (source.kind == "http" and frames > 0)
        if int(video.get(cv2.CAP_PROP_CODEC_PIXEL_FORMAT)) == GREY_16:
            # OpenCV would keep the upper byte only: a room's 900 counts become four shades of grey
            video.set(cv2.CAP_PROP_CONVERT_RGB, 0)
        try:
            self._first = self._take()
        except UserError:
            video.release()
            raise
        if self._first is None:
            video.release()
            raise UserError(f"{source.name}: opens but gives no picture; check that it plays elsewhere")

    def read(self) -> Shot | None:
        """The next picture, or None."""
        first, self._first = self._first, None
        return first or self._take()

    def skip(self) -> bool:
        """Pass over the next picture, which is decoded and not taken out; false when there is none."""
        first, self._first = self._first, None
        return first is not None or self._video.grab()

    def close(self) -> None:
        """Release the device or file."""
        self._video.release()

    def _take(self) -> Shot | None:
        if not self._video.grab():
            return None
        moment = time.monotonic()
        if self._source.kind == "v4l2":
            moment = driver_time(self._video.get(cv2.CAP_PROP_POS_MSEC), moment)
        done, picture = self._video.retrieve()
        return Shot(_checked(picture, self._source), moment) if done else None


class FolderCapture:
    """The pictures of a folder in natural order (2 before 10), 16-bit ones with all their bits."""

    recorded = True

    def __init__(self, source: SourceUri) -> None:
        """List the folder, or what of it fits the pattern.

        Raises:
            UserError: there is no such folder, or no PNG, JPEG or TIFF in it that fits.
        """
        path = Path(source.target)
        folder, pattern = (path, "*") if path.is_dir() else (path.parent, path.name)
        if not folder.is_dir():
            raise UserError(f"{folder}: no such folder; check the path")
        # not Path.glob: a pattern such as **a would be an error of its own
        fitting = (path for path in folder.iterdir() if fnmatch.fnmatch(path.name, pattern))
        self._paths = sorted((path for path in fitting if path.suffix.lower() in PICTURE_SUFFIXES), key=natural_order)
        if not self._paths:
            raise UserError(f"{folder / pattern}: no PNG, JPEG or TIFF there; name a folder of pictures or a pattern")
        self.rate = source.options.fps or DEFAULT_RATE
        self._source = source
        self._next = 0

    def read(self) -> Shot | None:
        """The next picture, or None after the last.

        Raises:
            UserError: a file cannot be read or is not a picture.
        """
        if self._next == len(self._paths):
            return None
        path = self._paths[self._next]
        self._next += 1
        return Shot(_checked(decode(path, cv2.IMREAD_UNCHANGED), self._source), time.monotonic())

    def close(self) -> None:
        """Nothing is held open between pictures."""


class LoopCapture:
    """A file or folder that begins again at its end."""

    recorded = True

    def __init__(self, reopen: Callable[[], Capture]) -> None:
        """Open it for the first time."""
        self._reopen = reopen
        self._capture = reopen()
        self.rate = self._capture.rate

    def read(self) -> Shot | None:
        """The next picture, after the last the first."""
        if (shot := self._capture.read()) is None:
            self._capture.close()
            self._capture = self._reopen()
            shot = self._capture.read()
        return shot

    def close(self) -> None:
        """Let the file go."""
        self._capture.close()


def open_capture(source: SourceUri) -> Capture:
    """Open a source.

    Raises:
        UserError: it does not open, or does not give the pictures that its options promise.
    """
    if source.options.loop:
        return LoopCapture(lambda: _open(source))
    return _open(source)


def open_video(source: SourceUri) -> VideoCapture:
    """Open a video file.

    Raises:
        UserError: it does not open, or holds no picture.
    """
    video = cv2.VideoCapture(source.target, cv2.CAP_FFMPEG)
    return VideoCapture(video, source, "give a video file that FFmpeg can decode")


def check_backend(source: SourceUri) -> None:
    """Refuse what this OpenCV can never open, however long one waits.

    Raises:
        UserError: it needs GStreamer, which this OpenCV has not.
    """
    if source.kind in ("csi", "gst") or source.options.backend == "gstreamer":
        require_gstreamer(source.name)


def natural_order(path: Path) -> list[tuple[int, str]]:
    """A sorting key that takes runs of digits as numbers."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", path.name) if part]


def driver_time(stamp_ms: float, now: float) -> float:
    """Seconds at which a picture was taken: the driver's time in milliseconds if it is by our clock, else `now`."""
    stamp = 1e-3 * stamp_ms
    return stamp if 0.0 <= now - stamp <= STAMP_AGE else now


def _open(source: SourceUri) -> Capture:
    # else a camera that hangs while it is opened keeps every other one from being opened: four seconds at a time
    os.environ.setdefault("OPENCV_FFMPEG_IS_THREAD_SAFE", "1")
    match source.kind:
        case "folder":
            return FolderCapture(source)
        case "file":
            return open_video(source)
        case "v4l2":
            video, remedy = _device(source), "check the cable, the index and who else uses the camera"
        case "csi":
            video, remedy = _gstreamer(csi_pipeline(source.target, source.options), source), "check cable and sensor"
        case "gst":
            video = _gstreamer(with_sink(source.target), source)
            remedy = "try the pipeline with gst-launch-1.0, with fakesink as its end"
        case _:
            video = _stream(source)
            remedy = "check the address, the password and that the camera is reachable from here"
    return VideoCapture(video, source, remedy)


def _device(source: SourceUri) -> cv2.VideoCapture:
    options = source.options
    os.environ.setdefault("OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT", SELECT_TIMEOUT)
    backend = cv2.CAP_V4L2 if sys.platform == "linux" else cv2.CAP_ANY
    video = cv2.VideoCapture(int(source.target) if source.target.isdecimal() else source.target, backend)
    fourcc = options.fourcc or ("Y16 " if options.bits == 16 else None)
    if fourcc:
        video.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*fourcc))
    if options.size:
        video.set(cv2.CAP_PROP_FRAME_WIDTH, options.size[0])
        video.set(cv2.CAP_PROP_FRAME_HEIGHT, options.size[1])
    if options.fps:
        video.set(cv2.CAP_PROP_FPS, options.fps)
    if options.bits == 16:
        video.set(cv2.CAP_PROP_CONVERT_RGB, 0)  # after the format, or OpenCV forgets it and gives 8 bits
    return video


def _stream(source: SourceUri) -> cv2.VideoCapture:
    if source.options.backend == "gstreamer":
        return _gstreamer(rtsp_pipeline(source.target, source.options), source)
    os.environ.setdefault("OPENCV_FFMPEG_CAPTURE_OPTIONS", STREAM_OPTIONS)
    # never CAP_ANY for a URL: some OpenCV versions then print it, password and all
    return cv2.VideoCapture(source.target, cv2.CAP_FFMPEG, _timeouts(source))


def _gstreamer(pipeline: str, source: SourceUri) -> cv2.VideoCapture:
    check_backend(source)
    # older ones know no timeouts here, refuse to open with them, and may hang in a silent camera for good
    limited = tuple(int(part) for part in cv2.__version__.split(".")[:2]) >= (4, 7)
    return cv2.VideoCapture(pipeline, cv2.CAP_GSTREAMER, _timeouts(source) if limited else [])


def _timeouts(source: SourceUri) -> list[int]:
    """A silent stream blocks OpenCV for 30 s unless the constructor is told otherwise; `set` comes too late."""
    longest = round(2000 * source.options.timeout)
    return [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, longest, cv2.CAP_PROP_READ_TIMEOUT_MSEC, longest]


def _checked(picture: NDArray[np.generic], source: SourceUri) -> Picture:
    if picture.dtype == np.uint16:
        return np.asarray(picture, dtype=np.uint16)
    if picture.dtype != np.uint8:
        raise UserError(f"{source.name}: gives {picture.dtype} values; convert them to 8 or 16 bits")
    if source.options.bits == 16 or source.options.celsius:
        raise UserError(f"{source.name}: gives 8-bit pictures; leave bits and celsius out, or make it give 16")
    return np.asarray(picture, dtype=np.uint8)
