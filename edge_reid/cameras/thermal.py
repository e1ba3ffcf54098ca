"""From what a thermal camera delivers to the uint8 picture that detectors and networks take.

Shapes: h, w the camera's size. Thermal frames arrive as uint16 `(h, w)` counts, uint8 `(h, w)`, or uint8 `(h, w, 3)`
from decoders that know no grey. Training, calibration and the app share the percentiles and the stretch below.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

PERCENTILES = (1.0, 99.0)

MINIMUM_SPAN = 64.0
"""Counts between black and white at least: a blank shutter picture must not become full-contrast noise."""

MOST_SAMPLES = 20_000
"""Pixels that percentiles are taken of: a tenth of the time, the same answer."""

SHUTTER_SECONDS = 2.0
"""A flat-field correction is over by then; a picture that still differs is the new scene."""

FLAT = 0.25
"""A shutter shows less than this share of the scene's span."""

Limits = tuple[float, float]


@dataclass(frozen=True)
class Radiometry:
    """What the counts of a radiometric camera mean, and which degrees become black and white."""

    scale: float
    """Degrees Celsius per count: 0.01 where counts are hundredths of a kelvin."""
    offset: float
    """Degrees Celsius of count 0: -273.15 where counts start at absolute zero."""
    celsius: tuple[float, float]
    """Degrees of black and of white."""

    @property
    def limits(self) -> Limits:
        """Counts of black and white."""
        low, high = ((degrees - self.offset) / self.scale for degrees in self.celsius)
        return low, high


class PercentileGain:
    """Maps 16-bit thermal frames to 8 bits between two percentiles that drift slowly, so that nothing flickers.

    While the camera closes its shutter to correct itself the picture is flat or jumps as a whole: the limits then hold.
    With a radiometry they are fixed. Frames that are 8-bit already pass unchanged: the camera has chosen their gain.
    """

    def __init__(self, radiometry: Radiometry | None = None, *, seconds: float = 1.0) -> None:
        """Remember the time constant of the drift in seconds, or the fixed limits."""
        self._fixed = radiometry.limits if radiometry else None
        self._seconds = seconds
        self._limits: Limits | None = None
        self._time = 0.0
        self._shutter_since: float | None = None

    def __call__(self, image: NDArray[np.uint8] | NDArray[np.uint16], time: float) -> NDArray[np.uint8]:
        """A frame taken at `time` (seconds, any origin) as uint8 `(h, w)`, hot is bright if it was so before."""
        grey = image if image.ndim == 2 else np.asarray(cv2.cvtColor(image[:, :, :3], cv2.COLOR_BGR2GRAY))
        if grey.dtype == np.uint8:
            return np.asarray(grey, dtype=np.uint8)
        counts = np.asarray(grey, dtype=np.uint16)
        return stretch(counts, self._fixed or self._drift(percentile_limits(counts), time))

    def _drift(self, measured: Limits, time: float) -> Limits:
        held = self._limits
        if held is None or _span(held) < MINIMUM_SPAN <= _span(measured):
            # a camera may begin with its shutter closed: what follows is the first picture
            self._limits, self._time = measured, time
        elif not self._shutter_closed(held, measured, time):
            share = 1.0 - math.exp(-max(time - self._time, 0.0) / self._seconds)
            low, high = (old + share * (new - old) for old, new in zip(held, measured, strict=True))
            self._limits, self._time = (low, high), time
        return _widened(self._limits or measured)

    def _shutter_closed(self, held: Limits, measured: Limits, time: float) -> bool:
        flat = _span(measured) < FLAT * _span(held)
        elsewhere = measured[0] > held[1] or measured[1] < held[0]
        if not (flat or elsewhere):
            self._shutter_since = None
            return False
        if self._shutter_since is None:
            self._shutter_since = time
        return time - self._shutter_since < SHUTTER_SECONDS


def eight_bits(counts: NDArray[np.uint16]) -> NDArray[np.uint8]:
    """Counts `(h, w)` of a picture that stands alone as uint8: as the first frame of a film would be shown."""
    return stretch(counts, _widened(percentile_limits(counts)))


def percentile_limits(counts: NDArray[np.uint16]) -> Limits:
    """The counts of `(h, w)` that become black and white."""
    step = max(1, math.isqrt(counts.size // MOST_SAMPLES))
    low, high = np.percentile(counts[::step, ::step], PERCENTILES)
    return float(low), float(high)


def stretch(counts: NDArray[np.uint16], limits: Limits) -> NDArray[np.uint8]:
    """Counts `(h, w)` as uint8: the lower limit and less become 0, the upper and more 255, linear between."""
    # both OpenCV calls saturate, which is the clipping wanted here and four times as fast as NumPy's
    low, alpha = round(limits[0]), 255.0 / (limits[1] - limits[0])
    above = cv2.subtract(counts, np.array([max(low, 0)], dtype=np.float64))
    return np.asarray(cv2.convertScaleAbs(above, alpha=alpha, beta=alpha * max(-low, 0)), dtype=np.uint8)


def _widened(limits: Limits) -> Limits:
    return limits[0], max(limits[1], limits[0] + MINIMUM_SPAN)


def _span(limits: Limits) -> float:
    return limits[1] - limits[0]
