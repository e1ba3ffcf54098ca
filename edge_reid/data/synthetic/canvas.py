"""Two maps drawn at once with the painter's algorithm: what each pixel is made of, and how it is lit.

Every shape is drawn into the material map once and into the shade map three times, each time narrower and brighter and
moved towards the light: seen from a distance that is a lit cylinder, at a tenth of the cost of one.
"""

from __future__ import annotations

from enum import IntEnum

import cv2
import numpy as np
from numpy.typing import NDArray

SHIFT = 4  # fixed-point bits of the drawn coordinates
_LEVELS = np.array([1.0, 0.7, 0.38])
_LEVEL_LIGHT = (172, 212, 242)
_ARC = np.linspace(0, np.pi, 7)
_CAP = np.stack([np.cos(_ARC), np.sin(_ARC)], axis=1)
_ELLIPSE = np.stack([np.cos(np.linspace(0, 2 * np.pi, 21)[:-1]), np.sin(np.linspace(0, 2 * np.pi, 21)[:-1])], axis=1)

Pixel = tuple[float, float]


class Material(IntEnum):
    """What a pixel of a person is made of."""

    NOTHING = 0
    FACE = 1
    SKIN = 2
    HAIR = 3
    HAT = 4
    TOP = 5
    COAT = 6
    COAT_EDGE = 7
    BOTTOM = 8
    SHOES = 9
    SOLE = 10
    BAG = 11
    SCARF = 12
    GLOVE = 13
    GLASSES = 14
    FEATURE = 15  # eyes, mouth, zip: dark for the eye, warm for the heat
    SKIN_LEG = 16


class Canvas:
    """Material `(H, W)` uint8 and shade `(H, W)` uint8 (255 = fully lit)."""

    def __init__(self, height: int, width: int, light: float) -> None:
        """`light`: from -1 (lit from the left) to 1 (from the right)."""
        self.material = np.zeros((height, width), np.uint8)
        self.shade = np.full((height, width), 170, np.uint8)  # what a blurred edge fades to
        self.light = light

    def _fill(self, levels: NDArray[np.float64], material: Material, dim: float) -> None:
        """Fill polygons `(3, N, 2)`, widest first."""
        points = np.rint(levels * (1 << SHIFT)).astype(np.int32)
        cv2.fillPoly(self.material, [points[0]], int(material), cv2.LINE_8, SHIFT)
        for polygon, light in zip(points, _LEVEL_LIGHT, strict=True):
            cv2.fillPoly(self.shade, [polygon], int(light * dim), cv2.LINE_8, SHIFT)

    def limb(self, a: Pixel, b: Pixel, radius_a: float, radius_b: float, material: Material, dim: float = 1.0) -> None:
        """A tapered capsule from `a` to `b`, radii in pixels."""
        start, end = np.array(a), np.array(b)
        axis = end - start
        length = float(np.hypot(*axis)) or 1e-6
        direction = axis / length
        basis = np.array([[-direction[1], direction[0]], [-direction[0], -direction[1]]])
        cap = _CAP @ basis
        radii = _LEVELS[:, None, None]
        offset = np.array([self.light * 0.35, 0.0]) * (1 - radii)
        first = start + radii * radius_a * cap + offset * radius_a
        second = end - radii * radius_b * cap + offset * radius_b
        self._fill(np.concatenate([first, second], axis=1), material, dim)

    def outline(
        self, spine: NDArray[np.float64], half: NDArray[np.float64], material: Material, dim: float = 1.0
    ) -> None:
        """A body of revolution: `spine` (N, 2) from top to bottom, `half` (N,) widths in pixels."""
        across = half[None, :, None] * _LEVELS[:, None, None] * np.array([1.0, 0.0])
        middle = spine[None] + half[None, :, None] * (1 - _LEVELS[:, None, None]) * np.array([self.light * 0.35, 0.0])
        self._fill(np.concatenate([middle - across, (middle + across)[:, ::-1]], axis=1), material, dim)

    def ellipse(self, center: Pixel, axes: Pixel, material: Material, *, dim: float = 1.0) -> None:
        """An upright ellipse with half axes in pixels."""
        ring = _ELLIPSE * np.array(axes)
        levels = _LEVELS[:, None, None]
        offset = np.array([self.light * 0.35 * axes[0], -0.1 * axes[1]])
        self._fill(np.array(center) + levels * ring + (1 - levels) * offset, material, dim)

    def polygon(self, points: NDArray[np.float64], material: Material, dim: float = 0.9) -> None:
        """A flat convex shape `(N, 2)`."""
        center = points.mean(axis=0)
        levels = _LEVELS[:, None, None]
        self._fill(center + (points - center) * levels, material, dim)

    def stroke(self, points: NDArray[np.float64], material: Material, width: float, dim: float = 0.8) -> None:
        """A line `(N, 2)` of a strap, a zip, an edge."""
        thick = max(1, round(width))
        path = [np.rint(points * (1 << SHIFT)).astype(np.int32)]
        cv2.polylines(self.material, path, False, int(material), thick, cv2.LINE_8, SHIFT)
        cv2.polylines(self.shade, path, False, int(230 * dim), thick, cv2.LINE_8, SHIFT)
