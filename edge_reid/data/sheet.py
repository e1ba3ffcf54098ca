"""A contact sheet: people in rows, their visible pictures to the left and their thermal ones to the right."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_reid.errors import UserError
from edge_reid.files import atomic_file
from edge_reid.preprocess import read_crop
from edge_reid.types import MODALITIES, Sample

PAPER = (250, 250, 250)


def contact_sheet(
    path: Path, samples: Sequence[Sample], *, people: int = 8, pictures: int = 6, size: tuple[int, int] = (192, 96)
) -> None:
    """Write a PNG of the first `people` identities of `samples`, up to `pictures` of each modality at `size` (H, W).

    Raises:
        UserError: there is no picture to show.
    """
    identities = sorted({sample.identity for sample in samples})[:people]
    if not identities:
        raise UserError(f"{path}: no pictures to put on a contact sheet")
    rows = []
    for identity in identities:
        halves = []
        for modality in MODALITIES:
            shown = [s for s in samples if s.identity == identity and s.modality == modality][:pictures]
            cells = [_cell(read_crop(s.path, modality, size)) for s in shown]
            blank = np.full_like(_cell(np.zeros(size, np.uint8)), PAPER[0])
            halves.append(np.hstack(cells + [blank] * (pictures - len(cells))))
        gap = np.full((halves[0].shape[0], 12, 3), PAPER[0], np.uint8)
        rows.append(np.hstack([halves[0], gap, halves[1]]))
    done, encoded = cv2.imencode(".png", np.vstack(rows))
    if not done:
        raise RuntimeError(f"{path}: OpenCV could not encode the sheet")
    with atomic_file(path) as temporary:
        temporary.write_bytes(encoded.tobytes())


def _cell(crop: NDArray[np.uint8]) -> NDArray[np.uint8]:
    color = crop if crop.ndim == 3 else cv2.cvtColor(crop, cv2.COLOR_GRAY2BGR)
    return np.asarray(cv2.copyMakeBorder(color, 2, 2, 2, 2, cv2.BORDER_CONSTANT, value=PAPER), dtype=np.uint8)
