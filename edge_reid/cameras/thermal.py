"""From what a thermal camera delivers to the uint8 picture that detectors and networks take.

Shapes: h, w the camera's size. Thermal frames arrive as uint16 `(h, w)` counts, uint8 `(h, w)`, or uint8 `(h, w, 3)`
from decoders that know no grey.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

MINIMUM_SPAN = 64.0
"""Counts between black and white at least: a blank shutter picture must not become full-contrast noise."""

SUBSAMPLE = 4
"""Percentiles of every fourth pixel in both directions: a tenth of the time, the same answer."""


class PercentileGain:
    """Maps 16-bit thermal frames to 8 bits between two percentiles that drift slowly, so that nothing flickers.

    Frames that are 8-bit already pass unchanged: the camera has chosen their gain.
    """

    def __init__(self, *, low: float = 1.0, high: float = 99.0, seconds: float = 1.0) -> None:
        """Remember the percentiles (0..100) and the time constant of their drift in seconds."""
        self._percentiles = (low, high)
        self._seconds = seconds
        self._limits: NDArray[np.float64] | None = None
        self._time = 0.0

    def __call__(self, image: NDArray[np.uint8] | NDArray[np.uint16], time: float) -> NDArray[np.uint8]:
        """A frame taken at `time` (seconds, any origin) as uint8 `(h, w)`, hot is bright if it was so before."""
        grey = image if image.ndim == 2 else np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY))
        if grey.dtype == np.uint8:
            return np.asarray(grey, dtype=np.uint8)
        counts = np.asarray(grey, dtype=np.uint16)
        low, high = self._drift(counts, time)
        return stretch(counts, low, high)

    def _drift(self, counts: NDArray[np.uint16], time: float) -> tuple[float, float]:
        measured = np.percentile(counts[::SUBSAMPLE, ::SUBSAMPLE], self._percentiles)
        if self._limits is None:
            self._limits = measured
        else:
            elapsed = max(time - self._time, 0.0)
            self._limits = self._limits + (1.0 - math.exp(-elapsed / self._seconds)) * (measured - self._limits)
        self._time = time
        low, high = float(self._limits[0]), float(self._limits[1])
        return low, max(high, low + MINIMUM_SPAN)


def stretch(counts: NDArray[np.uint16], low: float, high: float) -> NDArray[np.uint8]:
    """Counts `(h, w)` as uint8: `low` and less become 0, `high` and more 255, linear between."""
    # both OpenCV calls saturate, which is the clipping wanted here and four times as fast as NumPy's
    above = cv2.subtract(counts, np.array([round(low)], dtype=np.float64))
    return np.asarray(cv2.convertScaleAbs(above, alpha=255.0 / (high - low)), dtype=np.uint8)
