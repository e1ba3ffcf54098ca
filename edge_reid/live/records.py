"""What a run leaves behind beside its events and its video: tracks as MOT text."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from edge_reid.cameras.sources import Frame
from edge_reid.errors import UserError
from edge_reid.files import atomic_folder
from edge_reid.people.view import View
from edge_reid.types import MODALITIES, Modality

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
