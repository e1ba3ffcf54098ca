"""What a run leaves behind beside its events: tracks as MOT text, the annotated video."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_reid.cameras.sources import Frame
from edge_reid.errors import UserError
from edge_reid.files import atomic_file, atomic_folder
from edge_reid.people.view import View
from edge_reid.types import MODALITIES, Modality

FORMATS = {".avi": "MJPG", ".mp4": "mp4v"}
"""What OpenCV's packages can write everywhere, and under a licence that asks for nothing."""

TRACK_FILES = {"visible.txt", "thermal.txt", "links.txt", "people.txt"}


class TrackFiles:
    """Tracks per camera and who of one is who of the other, one line for each in each frame; frames count from 1.

    `visible.txt`, `thermal.txt` (MOT text): frame, track, left, top, width, height, score, -1, -1, -1
    `links.txt`: visible frame, thermal frame, visible track, thermal track, person, cosine
    `people.txt`: camera (0 visible, 1 thermal), frame, track, person, where the person is known
    """

    def __init__(self, folder: Path) -> None:
        """Create the files in an existing folder."""
        self._files = {name: (folder / name).open("w", encoding="utf-8") for name in TRACK_FILES}

    def write(self, frames: Mapping[Modality, Frame], view: View) -> None:
        """Append what was seen in these frames."""
        for modality, frame in frames.items():
            for sighting in view.sightings[modality]:
                left, top, right, bottom = (float(edge) for edge in sighting.box)
                self._files[f"{modality}.txt"].write(
                    f"{frame.index + 1},{sighting.track},{left:.1f},{top:.1f},{right - left:.1f},{bottom - top:.1f},"
                    f"{sighting.score:.3f},-1,-1,-1\n"
                )
                if sighting.person is not None:
                    self._files["people.txt"].write(
                        f"{MODALITIES.index(modality)},{frame.index + 1},{sighting.track},{sighting.person}\n"
                    )
        if len(frames) == len(MODALITIES):
            numbers = ",".join(str(frames[modality].index + 1) for modality in MODALITIES)
            for couple in view.couples:
                self._files["links.txt"].write(
                    f"{numbers},{couple.visible},{couple.thermal},{couple.person},{couple.score:.4f}\n"
                )

    def close(self) -> None:
        """Close the files."""
        for file in self._files.values():
            file.close()


class Recording:
    """An annotated video of constant rate: frames are repeated or left out so that it keeps the stream's time."""

    def __init__(self, path: Path, rate: float) -> None:
        """Prepare a file whose suffix (.avi or .mp4) chooses the format; it is opened with the first picture."""
        self._path = path
        self._rate = rate
        self._writer: cv2.VideoWriter | None = None
        self._written = 0
        self._frames = 0

    def write(self, picture: NDArray[np.uint8], time: float) -> None:
        """Append a picture that was taken at `time` seconds.

        Raises:
            UserError: OpenCV cannot write this format here.
        """
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

    def close(self) -> None:
        """Complete the file.

        Raises:
            UserError: what was written cannot be read back; the disk is full, for one.
        """
        if self._writer is None:
            raise UserError("--record: no frame came, so there is no video; check the sources")
        self._writer.release()
        # OpenCV tells nobody that a disk was full, and a header may promise frames that are not there
        video = cv2.VideoCapture(str(self._path), cv2.CAP_FFMPEG)
        video.set(cv2.CAP_PROP_POS_FRAMES, self._frames - 1)
        if not video.read()[0]:
            raise UserError("--record: the video was not written whole; free some disk space and run again")


@contextlib.contextmanager
def recording(path: Path | None, rate: float) -> Iterator[Recording | None]:
    """A recording that becomes `path` when the block ends well and leaves nothing when it does not; None without path.

    Raises:
        UserError: the suffix is none that can be written.
    """
    if path is None:
        yield None
        return
    if path.suffix.lower() not in FORMATS:
        raise UserError(f"--record {path}: unknown kind of video; end the name in {' or '.join(FORMATS)}")
    with atomic_file(path) as temporary:
        video = Recording(temporary, rate)
        yield video
        video.close()


@contextlib.contextmanager
def track_files(folder: Path | None) -> Iterator[TrackFiles | None]:
    """Track files that become `folder` when the block ends well, replacing older ones; None without a folder.

    Raises:
        UserError: the folder holds something else, which is not ours to remove.
    """
    if folder is None:
        yield None
        return
    refuse_other_than_tracks(folder)
    with atomic_folder(folder, overwrite=True, marker="links.txt") as temporary:
        files = TrackFiles(temporary)
        try:
            yield files
        finally:
            files.close()


def refuse_other_than_tracks(folder: Path) -> None:
    """Raises UserError where a folder exists and is not ours to replace."""
    if folder.exists() and not (folder.is_dir() and {path.name for path in folder.iterdir()} <= TRACK_FILES):
        raise UserError(f"--tracks {folder}: exists and holds other things than tracks; choose another folder")
