"""The picture that a network takes, made of a frame, and the way back for the boxes it finds there.

Shapes: h, w the frame's size; H, W the network's input; N boxes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_reid.people.boxes import Boxes

Size = tuple[int, int]
"""Height and width in pixels."""

Fit = Literal["corner", "center", "stretch"]
"""A frame of other proportions is put into the upper left corner or the middle, with a border, or is distorted."""

GREY = 114
"""The border that these networks saw around every picture in training."""


@dataclass(frozen=True)
class Pixels:
    """The order of the channels, and the mean and deviation (of 0..255) that each is normalised with, in that order."""

    order: Literal["BGR", "RGB"]
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    deviation: tuple[float, float, float] = (1.0, 1.0, 1.0)


class Canvas:
    """The network's input, written anew for every frame; only the part that the frame covers is touched."""

    def __init__(self, size: Size, pixels: Pixels, fit: Fit) -> None:
        """Reserve the input `(1, 3, H, W)`."""
        self._size = size
        self._pixels = pixels
        self._fit = fit
        self._input = np.empty((1, 3, *size), np.float32)
        self._shape: Size | None = None
        self._scale = np.ones(4, np.float32)
        self._offset = np.zeros(4, np.float32)
        self._inside = self._input[0]

    def put(self, frame: NDArray[np.uint8]) -> NDArray[np.float32]:
        """A frame `(h, w, 3)` BGR or `(h, w)` grey as `(1, 3, H, W)`, valid until the next one."""
        shape = (frame.shape[0], frame.shape[1])
        if shape != self._shape:
            self._arrange(shape)
        height, width = self._inside.shape[1:]
        small = cv2.resize(frame, (width, height), interpolation=cv2.INTER_LINEAR)
        channels = cv2.split(small) if small.ndim == 3 else (small,) * 3
        pixels = self._pixels
        ordered = channels if pixels.order == "BGR" else channels[::-1]
        for view, channel, mean, deviation in zip(self._inside, ordered, pixels.mean, pixels.deviation, strict=True):
            np.subtract(channel, np.float32(mean), out=view)
            if deviation != 1.0:
                np.multiply(view, np.float32(1.0 / deviation), out=view)
        return self._input

    def back(self, boxes: Boxes) -> Boxes:
        """Boxes `(N, 4)` of the input in pixels of the last frame, cut off at its edges."""
        if self._shape is None:
            return boxes
        height, width = self._shape
        limits = np.array([width, height, width, height], np.float32)
        return np.asarray(np.clip((boxes - self._offset) / self._scale, 0.0, limits), dtype=np.float32)

    def _arrange(self, shape: Size) -> None:
        """Place frames of this shape and paint the border around them."""
        ratios = (self._size[0] / shape[0], self._size[1] / shape[1])
        scales = ratios if self._fit == "stretch" else (min(ratios),) * 2
        height, width = (max(1, round(side * scale)) for side, scale in zip(shape, scales, strict=True))
        spare = (self._size[0] - height, self._size[1] - width)
        top, left = (spare[0] // 2, spare[1] // 2) if self._fit == "center" else (0, 0)
        for channel, mean, deviation in zip(self._input[0], self._pixels.mean, self._pixels.deviation, strict=True):
            channel[:] = (GREY - mean) / deviation
        self._shape = shape
        self._inside = self._input[0, :, top : top + height, left : left + width]
        self._scale = np.array([width / shape[1], height / shape[0]] * 2, np.float32)
        self._offset = np.array([left, top] * 2, np.float32)
