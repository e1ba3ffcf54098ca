"""Boxes in pixels: people found in one frame, how boxes overlap, and which of them stay.

Shapes: N, M boxes; `(N, 4)` left, top, right, bottom in pixels of the frame.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Boxes = NDArray[np.float32]


@dataclass(frozen=True)
class Detections:
    """People found in one frame: boxes `(N, 4)` and scores `(N,)` in 0..1."""

    boxes: Boxes
    scores: NDArray[np.float32]

    @staticmethod
    def none() -> Detections:
        """No people."""
        return Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.float32))


def suppress(boxes: Boxes, scores: NDArray[np.float32], overlap: float) -> NDArray[np.intp]:
    """Indices of the boxes that stay, best first, when each removes the lesser ones it overlaps by more than `overlap`.

    OpenCV's NMSBoxes wants left, top, width, height and takes corners without complaint, then merges neighbours that
    lie far from the origin; hence this one.
    """
    order = np.argsort(-scores, kind="stable")
    sorted_boxes = boxes[order]
    removes = intersection_over_union(sorted_boxes, sorted_boxes) > overlap
    stays = np.ones(len(order), np.bool_)
    for rank in range(len(order)):
        if stays[rank]:
            stays[rank + 1 :] &= ~removes[rank, rank + 1 :]
    return np.asarray(order[stays], dtype=np.intp)


def intersection_over_union(first: Boxes, second: Boxes) -> NDArray[np.float32]:
    """Overlap of each box of `(N, 4)` with each of `(M, 4)` as `(N, M)` in 0..1."""
    common = intersections(first, second)
    union = areas(first)[:, None] + areas(second)[None, :] - common
    return np.asarray(common / np.maximum(union, 1e-9), dtype=np.float32)


def intersections(first: Boxes, second: Boxes) -> NDArray[np.float32]:
    """Common area of each box of `(N, 4)` with each of `(M, 4)` as `(N, M)` in square pixels."""
    start = np.maximum(first[:, None, :2], second[None, :, :2])
    end = np.minimum(first[:, None, 2:], second[None, :, 2:])
    return np.asarray(np.prod(np.maximum(end - start, 0.0), axis=2), dtype=np.float32)


def areas(boxes: Boxes) -> NDArray[np.float32]:
    """Areas `(N,)` of boxes `(N, 4)` in square pixels."""
    return np.asarray(np.prod(boxes[:, 2:] - boxes[:, :2], axis=1), dtype=np.float32)
