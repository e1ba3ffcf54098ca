"""The file of events: JSON lines that are only ever appended to, in files of bounded size and age."""

from __future__ import annotations

import errno
import json
import os
import re
import stat
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from edge_reid.errors import UserError
from edge_reid.files import lock

BEGINNING = b'{"schema": '
"""How every line begins: what does not is none of our files, and is neither cut nor appended to."""

BLOCK = 1 << 16
DAY = 86400.0


@dataclass(frozen=True)
class Rotation:
    """When a file is full and another one begun, and how long full ones are kept."""

    file_bytes: int = 16 << 20
    file_days: float = 1.0
    files: int = 30
    """Most full files beside the one that is written."""
    days: float = 30.0
    """Age of a full file's last event at which it goes."""


class EventLog:
    """One file that events are appended to; `events.jsonl` becomes `events.000001.jsonl` when it is full, and so on.

    A line is one write: after a kill at any moment the file ends with a whole line. A file system that loses power may
    cut the last line; what is left of it is removed at the next start and counted in `torn`. Safe to use from threads.
    """

    def __init__(self, path: Path, rotation: Rotation | None = None, clock: Callable[[], float] = time.time) -> None:
        """Go on with the file, or create it.

        Args:
            path: the file.
            rotation: when it is full, see there.
            clock: seconds since 1970.

        Raises:
            UserError: it cannot be written, holds something else, or another process writes it.
        """
        self.path = path
        self.torn = 0
        self._rotation = rotation or Rotation()
        self._clock = clock
        self._file: int | None = None
        self._lock = threading.RLock()
        try:
            self._open()
            self._lock_file = lock(path, "events")
            self._repair()
        except (OSError, UserError) as error:
            self._shut()
            if isinstance(error, UserError):
                raise
            raise UserError(f"{path}: cannot be written ({error.strerror}); choose another file for events") from error

    def append(self, line: bytes) -> None:
        """Write one line, its end included, with one write; the file is as before if that fails.

        Raises:
            OSError: the disk is full, gone or broken; another call may succeed.
        """
        with self._lock:
            try:
                if self._file is not None and os.fstat(self._file).st_nlink == 0:
                    self._shut()  # somebody removed it: nobody would ever read what went there
                if self._file is None:
                    self._open()
                if self._is_full(len(line)):
                    self._rotate()
                self._write(line)
            except OSError:
                self._shut()
                raise

    def expire(self) -> None:
        """Remove full files that are too many or too old, and close the current one when it is."""
        with self._lock:
            if self._file is not None and self._is_full(0):
                self._rotate()
            oldest = self._clock() - self._rotation.days * DAY
            full = self._full_files()
            too_many = max(0, len(full) - self._rotation.files)
            for index, path in enumerate(full):
                if index < too_many or path.stat().st_mtime < oldest:
                    path.unlink()

    def lines_after(self, newest: str | None, run: str, most: int) -> list[bytes]:
        """Lines that follow the event with the id `newest` in its run, and all lines of `run`, in order.

        Args:
            newest: an event's id; None: no event.
            run: another run.
            most: only so many, the last ones.
        """
        known, _, last = (newest or "").rpartition("-")
        found: list[bytes] = []
        with self._lock:
            for line in self._backwards():
                if run.encode() not in line and (not known or known.encode() not in line):
                    continue  # reading every line of a month would delay the start
                line_run, _, sequence = _id_of(line).rpartition("-")
                if len(found) == most or (line_run == known and sequence <= last):
                    break
                if line_run in (known, run):
                    found.append(line)
        return found[::-1]

    def close(self) -> None:
        """Bring the file to the disk and let others write it."""
        if self._file is not None:
            os.fsync(self._file)
        self._shut()
        os.close(self._lock_file)

    def _open(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o640)
        if not stat.S_ISREG(os.fstat(self._file).st_mode):
            raise UserError(f"{self.path}: not a file; choose another for the events")
        with self.path.open("rb") as file:
            head = file.readline(BLOCK)
        # a power cut may leave zeros where a line was to be
        if not head.startswith(BEGINNING) and not BEGINNING.startswith(head.rstrip(b"\0")):
            raise UserError(f"{self.path}: holds something else than events; choose another file for them")
        self._began = _time_of(head) or self._clock()

    def _repair(self) -> None:
        """Cut what follows the last end of a line."""
        with self.path.open("rb") as file:
            size = whole = file.seek(0, os.SEEK_END)
            while whole > 0:
                start = max(0, whole - BLOCK)
                file.seek(start)
                end = file.read(whole - start).rfind(b"\n")
                whole = start + end + 1
                if end >= 0:
                    break
        if whole < size and self._file is not None:
            os.ftruncate(self._file, whole)
            self.torn = 1

    def _write(self, line: bytes) -> None:
        if self._file is None:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF), str(self.path))
        size = os.fstat(self._file).st_size
        if os.write(self._file, line) < len(line):
            os.ftruncate(self._file, size)  # a disk that fills up takes the part that fits
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))

    def _is_full(self, more: int) -> bool:
        size = os.fstat(self._file).st_size if self._file is not None else 0
        return size > 0 and (
            size + more > self._rotation.file_bytes or self._clock() - self._began > self._rotation.file_days * DAY
        )

    def _rotate(self) -> None:
        numbers = [int(path.name.removesuffix(self.path.suffix)[-6:]) for path in self._full_files()]
        self._shut()
        self.path.replace(self.path.with_name(f"{self.path.stem}.{max(numbers, default=0) + 1:06d}{self.path.suffix}"))
        self._open()
        self.expire()

    def _full_files(self) -> list[Path]:
        """The oldest first."""
        name = re.compile(rf"{re.escape(self.path.stem)}\.\d{{6}}{re.escape(self.path.suffix)}")
        return sorted(path for path in self.path.parent.iterdir() if name.fullmatch(path.name))

    def _backwards(self) -> Iterator[bytes]:
        """All lines of all files, the newest first."""
        for path in [self.path, *reversed(self._full_files())]:
            yield from reversed(path.read_bytes().splitlines(keepends=True))

    def _shut(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None


def _id_of(line: bytes) -> str:
    try:
        return str(json.loads(line)["id"])
    except (ValueError, KeyError):  # of an older schema, or damaged by the disk
        return ""


def _time_of(line: bytes) -> float | None:
    try:
        return datetime.fromisoformat(json.loads(line)["wall_time"]).timestamp()
    except (ValueError, KeyError, TypeError):
        return None
