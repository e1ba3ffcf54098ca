"""From a picture to a crop, the one step outside the network's graph.

Shapes: H, W the bundle's input size; h, w any size. A crop is uint8, `(H, W, 3)` BGR for visible and `(H, W)` for
thermal. Colour order and normalisation live inside the exported graph, so training,
calibration, the benchmark and the app all resize with the function below and do nothing else. Thermal pictures of 16
bits become 8 as the app's cameras' do.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_reid.cameras.thermal import eight_bits
from edge_reid.errors import UserError
from edge_reid.types import Modality


def read_image(path: Path, modality: Modality) -> NDArray[np.uint8]:
    """Read a picture as uint8 `(h, w, 3)` BGR (visible) or `(h, w)` (thermal).

    Raises:
        UserError: the file is missing, empty or not a picture of 8 or 16 bits.
    """
    if modality == "visible":
        return np.asarray(decode(path, cv2.IMREAD_COLOR), dtype=np.uint8)
    # without ANYDEPTH the upper byte alone would remain: a room's 900 counts become four shades of grey
    grey = decode(path, cv2.IMREAD_GRAYSCALE | cv2.IMREAD_ANYDEPTH)
    if grey.dtype == np.uint16:
        return eight_bits(np.asarray(grey, dtype=np.uint16))
    if grey.dtype != np.uint8:
        raise UserError(f"{path}: holds {grey.dtype} values; convert it to 8 or 16 bits")
    return np.asarray(grey, dtype=np.uint8)


def decode(path: Path, flag: int) -> NDArray[np.generic]:
    """Read a picture file as OpenCV's `flag` says; `cv2.imread` would give None for every kind of failure.

    Raises:
        UserError: the file is missing, empty or not a picture.
    """
    try:
        buffer = np.fromfile(path, dtype=np.uint8)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); check the path and its permissions") from error
    image = cv2.imdecode(buffer, flag) if buffer.size else None
    if image is None:
        raise UserError(f"{path}: not a picture that OpenCV can decode; replace or remove the file")
    return np.asarray(image)


def resize(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Resize `(h, w[, 3])` to `size` = (H, W): area averaging when shrinking, bilinear when growing."""
    height, width = size
    if image.shape[:2] == (height, width):
        return image
    shrinks = image.shape[0] > height or image.shape[1] > width
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (width, height), interpolation=interpolation), dtype=np.uint8)


def read_crop(path: Path, modality: Modality, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Read and resize: the crop that an engine takes, `(H, W, 3)` BGR or `(H, W)`."""
    return resize(read_image(path, modality), size)
