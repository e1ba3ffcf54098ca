from __future__ import annotations

from pathlib import Path

import cv2
import pytest
import walkers

from edge_reid.types import MODALITIES


@pytest.fixture(scope="session")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `visible.avi` and `thermal.avi`: three walkers for six seconds."""
    folder = tmp_path_factory.mktemp("videos")
    film = walkers.Film()
    for modality in MODALITIES:
        code = cv2.VideoWriter.fourcc(*"MJPG")
        writer = cv2.VideoWriter(str(folder / f"{modality}.avi"), cv2.CAP_FFMPEG, code, walkers.RATE, (320, 240))
        for index in range(film.frames):
            image = film.image(index, modality)
            writer.write(image if image.ndim == 3 else cv2.cvtColor(image, cv2.COLOR_GRAY2BGR))
        writer.release()
    return folder
