"""Label maps: which part of a person each pixel of a picture shows.

A picture ROOT/a/b.jpg has its map at LABELS/a/b.png, one plane of uint8: 0 background, 1.. parts, 255 unknown.
Shapes: H x W.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_reid.errors import UserError
from edge_reid.preprocess import read_image
from edge_reid.types import Sample


@dataclass(frozen=True)
class PartLabels:
    """The label maps of a data set."""

    pictures: Path
    """Its root."""
    labels: Path
    """The folder that has a map for each picture, at the same place in it."""

    def __post_init__(self) -> None:
        """Refuse a folder that is not there."""
        if not self.labels.is_dir():
            raise UserError(f"{self.labels}: no such folder of label maps; a picture a/b.jpg has its map at a/b.png")

    def path(self, sample: Sample) -> Path | None:
        """The label map of a picture, None without one."""
        path = self.labels / sample.path.relative_to(self.pictures).with_suffix(".png")
        return path if path.exists() else None


def read_labels(path: Path, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Read a label map and bring it to `size` = (H, W) without mixing labels: `(H, W)` uint8."""
    labels = cv2.resize(read_image(path, "thermal"), size[::-1], interpolation=cv2.INTER_NEAREST)  # one plane, as it is
    return np.asarray(labels, dtype=np.uint8)
