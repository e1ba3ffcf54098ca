"""Frames: what the app sees of a camera's pictures.

Shapes: h, w the frame's size. A frame is uint8, `(h, w, 3)` BGR for visible and `(h, w)` for thermal.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_reid.cameras.capture import Picture
from edge_reid.cameras.options import Flip, SourceOptions
from edge_reid.cameras.thermal import PercentileGain
from edge_reid.types import Modality

_ROTATIONS: dict[Flip, int] = {
    "90": cv2.ROTATE_90_CLOCKWISE,
    "180": cv2.ROTATE_180,
    "270": cv2.ROTATE_90_COUNTERCLOCKWISE,
}
_MIRRORS: dict[Flip, int] = {"h": 1, "v": 0}


@dataclass(frozen=True)
class Frame:
    """One picture: its image, its time in seconds since the start, its number among all that the camera gave."""

    image: NDArray[np.uint8]
    time: float
    index: int


class FramePreparation:
    """Makes a frame of a raw picture: without telemetry, upright, BGR for visible, 8-bit grey for thermal."""

    def __init__(self, modality: Modality, options: SourceOptions) -> None:
        """Hold the thermal gain, whose limits drift from frame to frame."""
        self._gain = PercentileGain(options.radiometry) if modality == "thermal" else None
        self._options = options

    def __call__(self, picture: Picture, moment: float, index: int) -> Frame:
        """The frame of a picture taken at `moment`."""
        # one row remains of a picture of nothing but telemetry: what the camera gives is not ours to stumble over
        picture = picture[: max(1, picture.shape[0] - self._options.telemetry)]
        if self._gain is not None:
            return Frame(_turned(self._gain(picture, moment), self._options.flip), moment, index)
        if picture.dtype == np.uint16:
            picture = np.asarray(cv2.convertScaleAbs(picture, alpha=1 / 257), dtype=np.uint8)
        if picture.ndim == 2:
            picture = np.asarray(cv2.cvtColor(picture, cv2.COLOR_GRAY2BGR), dtype=np.uint8)
        image = np.asarray(picture[:, :, :3], dtype=np.uint8)
        return Frame(_turned(image, self._options.flip), moment, index)


def _turned(image: NDArray[np.uint8], flip: Flip) -> NDArray[np.uint8]:
    if flip in _ROTATIONS:
        return np.asarray(cv2.rotate(image, _ROTATIONS[flip]), dtype=np.uint8)
    if flip in _MIRRORS:
        return np.asarray(cv2.flip(image, _MIRRORS[flip]), dtype=np.uint8)
    return image
