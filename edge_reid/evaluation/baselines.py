"""What no training at all achieves: nearest neighbours on raw pixels and on silhouettes. Shapes: N pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_reid.evaluation.extract import extract
from edge_reid.preprocess import read_image, resize
from edge_reid.types import Sample

SIZE = (64, 32)


def raw_pixels(samples: Sequence[Sample]) -> NDArray[np.float32]:
    """Grey pictures of one modality at 64 x 32 without their mean, as unit vectors `(N, 2048)`."""
    return extract(samples, _pixels, SIZE)


def silhouettes(paths: Sequence[Path]) -> NDArray[np.float32]:
    """Outlines from label maps, background 0, as unit vectors `(N, 2048)`."""
    masks = [resize((read_image(path, "thermal") > 0).astype(np.uint8) * 255, SIZE) for path in paths]
    return _pixels(np.stack(masks))


def _pixels(crops: NDArray[np.uint8]) -> NDArray[np.float32]:
    grey = crops.astype(np.float32) if crops.ndim == 3 else crops.astype(np.float32).mean(axis=3)
    flat = grey.reshape(len(grey), -1)
    flat = flat - flat.mean(axis=1, keepdims=True)
    return np.asarray(flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-6), dtype=np.float32)
