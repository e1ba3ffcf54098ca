"""Label maps: which part of a person each pixel of a picture shows.

A picture ROOT/a/b.jpg has its map at LABELS/a/b.png, one plane of uint8 or a palette's indices: 0 background, 1..
parts, 255 unknown.
Shapes: H x W.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_reid.errors import UserError
from edge_reid.types import IGNORE, Sample


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
        path = self.labels / relative(sample.path, self.pictures).with_suffix(".png")
        return path if path.exists() else None


def relative(path: Path, root: Path) -> Path:
    """The path from `root` on; a path that lies elsewhere, as a table's may, without its anchor."""
    return path.relative_to(root) if path.is_relative_to(root) else path.relative_to(path.anchor)


def read_labels(path: Path, size: tuple[int, int], parts: int | None = None) -> NDArray[np.uint8]:
    """Read a label map and bring it to `size` = (H, W) without mixing labels: `(H, W)` uint8.

    Args:
        path: a PNG of one plane, or of a palette, whose indices are the labels.
        size: to come to.
        parts: the largest part that may occur, None for any.

    Raises:
        UserError: the file is no such picture, or shows another part.
    """
    from PIL import Image  # comes with torchvision; a device reads no label maps

    try:
        with Image.open(path) as image:  # OpenCV would turn a palette into colours
            if image.mode not in ("L", "P"):
                raise UserError(f"{path}: is a picture of mode {image.mode}, not a label map of one plane of 8 bits")
            values = np.asarray(image)
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: not a label map that can be read ({error}); replace or remove the file") from error
    largest = int(values[values != IGNORE].max(initial=0))
    if parts is not None and largest > parts:
        raise UserError(f"{path}: shows part {largest}, the recipe knows {parts}; pass --set semantic_parts={largest}")
    return np.asarray(cv2.resize(values, size[::-1], interpolation=cv2.INTER_NEAREST), dtype=np.uint8)
