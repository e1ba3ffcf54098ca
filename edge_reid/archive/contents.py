"""What an archive holds: the items of a folder, a list or a video one by one, and the people in each."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2

from edge_reid.archive.finder import Finder, Found
from edge_reid.cameras.capture import PICTURE_SUFFIXES, open_video
from edge_reid.cameras.frames import FramePreparation
from edge_reid.cameras.options import SourceOptions
from edge_reid.cameras.uri import SourceUri
from edge_reid.errors import UserError, one_line
from edge_reid.evaluation.extract import READERS
from edge_reid.preprocess import read_image
from edge_reid.types import Json

SUFFIXES = (*PICTURE_SUFFIXES, ".bmp", ".webp")

_FIRST_BYTES = 4096
"""Of a file, by which a list is told from a video: no text holds a zero byte, and every video begins with some."""


@dataclass(frozen=True)
class Item:
    """One picture or frame, looked at."""

    path: str
    """Of the picture in its folder or list, or of the video."""
    people: list[Found]
    frame: int | None = None
    """Number in the video, from 0; None of a picture."""
    time: float | None = None
    """Seconds since the video began, by its frame rate; None of a picture."""


@dataclass(frozen=True)
class Unreadable:
    """A picture that cannot be read."""

    path: str
    reason: str
    """One line."""
    missing: bool
    """It cannot be opened at all, which may be the disk's fault and not its own."""


class Archive(Protocol):
    """Items in a fixed order."""

    items: int
    """How many there are; of a video what its header announces, which may be wrong."""
    readers: int
    """Threads that may call `look`; a single one must ask in ascending order."""

    @property
    def warning(self) -> str | None:
        """What turned out to be odd about it, in one line."""

    def identity(self) -> dict[str, Json]:
        """What tells it from other archives."""

    def check(self, items: Iterable[int]) -> None:
        """Refuse before any work what is sure to fail.

        Raises:
            UserError: a list names a file that is not there.
        """

    def look(self, item: int) -> Item | Unreadable | None:
        """An item by its number from 0, with the people in it; None behind the last."""

    def close(self) -> None:
        """Let the file go."""


class Pictures:
    """The pictures of a folder and all below it in the order of their names, or of a list in its own order."""

    readers = READERS
    warning = None

    def __init__(self, path: Path, finder: Finder) -> None:
        """Find or read the names.

        Raises:
            UserError: there are none, or the folder or list cannot be read.
        """
        self._path, self._finder, self._is_list = path, finder, path.is_file()
        self._root = path.parent if self._is_list else path
        self._names = _names_in(path) if self._is_list else _names_below(path)
        self.items = len(self._names)
        if not self._names:
            lacks = "names no picture, one a line" if self._is_list else f"holds no picture ({', '.join(SUFFIXES)})"
            raise UserError(f"{path}: {lacks}; name another folder, list or video")

    def identity(self) -> dict[str, Json]:
        """See `Archive`; the pictures' names count, not their bytes."""
        digest = hashlib.sha256()
        for name in self._names:
            digest.update(os.fsencode(name) + b"\0")
        return {"archive": shown(self._path.resolve()), "pictures": self.items, "names_sha256": digest.hexdigest()}

    def check(self, items: Iterable[int]) -> None:
        """See `Archive`; what a folder holds is there."""
        if not self._is_list:
            return
        missing = [self._names[item] for item in items if not (self._root / self._names[item]).is_file()]
        if missing:
            more = f", nor are {len(missing) - 1} more" if len(missing) > 1 else ""
            raise UserError(
                f"{self._path}: {shown(missing[0])} is no file{more}; mend the list, whose paths count from "
                f"{self._root.resolve()}"
            )

    def look(self, item: int) -> Item | Unreadable | None:
        """See `Archive`."""
        if item >= self.items:
            return None
        name = self._names[item]
        try:
            picture = read_image(self._root / name, self._finder.modality)
        except UserError as error:
            return Unreadable(shown(name), one_line(error), isinstance(error.__cause__, OSError))
        except cv2.error as error:  # OpenCV's own limits, such as 2**30 pixels
            return Unreadable(shown(name), one_line(error), missing=False)
        return Item(shown(name), self._finder.people(picture))

    def close(self) -> None:
        """Nothing is held open between pictures."""


class Video:
    """The frames of a video, one in `Finder.every`.

    It is never sought in: FFmpeg may land some frames beside the one asked for, and shards would then miss people or
    find them twice. Frames of other shards are decoded and passed over, which is quick beside a detector.
    """

    readers = 1

    def __init__(self, path: Path, finder: Finder) -> None:
        """Open it.

        Raises:
            UserError: it does not open or holds no picture.
        """
        self._path, self._finder = path, finder
        self._video = open_video(SourceUri("file", str(path), str(path), SourceOptions()))
        self._next, self._ended = 0, False
        self.items = -(-self._video.announced // finder.every)

    @property
    def warning(self) -> str | None:
        """A second or more that the header announces and that is not there."""
        announced = self._video.announced
        if not self._ended or announced - self._next < self._video.rate:
            return None
        return f"{self._path}: ends after {self._next} frames of {announced} that it announces; see whether it is whole"

    def identity(self) -> dict[str, Json]:
        """See `Archive`."""
        return {"archive": shown(self._path.resolve()), "bytes": self._path.stat().st_size}

    def check(self, items: Iterable[int]) -> None:
        """See `Archive`; nothing to check."""

    def look(self, item: int) -> Item | None:
        """See `Archive`."""
        frame = item * self._finder.every
        while self._next < frame:
            if self._ended or not self._video.skip():
                self._ended = True
                return None
            self._next += 1
        shot = None if self._ended else self._video.read()
        if shot is None:
            self._ended = True
            return None
        self._next += 1
        time = frame / self._video.rate
        # prepared as if it were the first: a thermal gain that drifted along would depend on where a shard began
        prepare = FramePreparation(self._finder.modality, SourceOptions())
        return Item(self._path.name, self._finder.people(prepare(shot.picture, time, frame).image), frame, time)

    def close(self) -> None:
        """See `Archive`."""
        self._video.close()


def open_archive(path: Path, finder: Finder) -> Archive:
    """A folder of pictures, a text list of them, or a video.

    Raises:
        UserError: it is neither, holds no picture, or is a video and there is no detector.
    """
    if path.is_dir():
        return Pictures(path, finder)
    try:
        with path.open("rb") as file:
            is_text = b"\0" not in file.read(_FIRST_BYTES)
    except OSError as error:
        raise UserError(
            f"{path}: cannot be read ({error.strerror}); name a folder of pictures, a list or a video"
        ) from error
    if is_text:
        return Pictures(path, finder)
    if finder.detects:
        return Video(path, finder)
    raise UserError(f"{path}: is no folder and no list, and a video needs --detector; pass hog, hot or onnx:FILE")


def shown(name: str | Path) -> str:
    """A path as text: bytes that are none become backslashes and digits."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _names_below(root: Path) -> list[str]:
    """The pictures' paths from `root`, with slashes, sorted by code points."""

    def refuse(error: OSError) -> None:
        raise UserError(f"{error.filename}: cannot be read ({error.strerror}); check its permissions") from error

    names: list[str] = []
    for folder, _, files in os.walk(root, onerror=refuse):
        below = Path(folder).relative_to(root).as_posix()
        start = "" if below == "." else f"{below}/"
        names += [start + file for file in files if file.lower().endswith(SUFFIXES)]
    return sorted(names)


def _names_in(file: Path) -> list[str]:
    lines = file.read_text(encoding="utf-8-sig", errors="surrogateescape").split("\n")
    return [name for line in lines if (name := line.strip())]
