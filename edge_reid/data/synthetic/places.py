"""What is behind people: streets and halls as a camera sees them, in colour or in temperature.

Structures at random places and sizes, the same kinds for both modalities: walls with windows, doors and posts, tiled or
rough ground, foliage, lamps, radiators, parked cars. Colours are BGR 0..255, temperatures kelvins above the air.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_reid.types import Modality

SIZE = (600, 900)  # height, width of a place


class _Painter:
    """Draws the same rectangle, line or blob in the units of one modality."""

    def __init__(self, modality: Modality, rng: np.random.Generator, size: tuple[int, int]) -> None:
        self.thermal = modality == "thermal"
        self.rng = rng
        self.image = np.zeros(size if self.thermal else (*size, 3), np.float32)

    def paint(self, color: NDArray[np.float64], kelvins: float) -> tuple[float, ...]:
        return (float(kelvins),) if self.thermal else tuple(float(c) for c in color)

    def grey(self, low: float, high: float, tint: float = 9.0) -> NDArray[np.float64]:
        return np.asarray(np.clip(self.rng.uniform(low, high) + self.rng.normal(0, tint, 3), 5, 250))

    def texture(self, rows: slice, strength_color: float, strength_kelvins: float, cells: int) -> None:
        """Noise in octaves over a band of rows."""
        band = self.image[rows]
        height, width = band.shape[:2]
        noise = np.zeros((height, width), np.float32)
        for octave in (1, 3, 8):
            grid = self.rng.standard_normal((max(2, cells * octave // 2), cells * octave)).astype(np.float32)
            grown = cv2.resize(grid, (width, height), interpolation=cv2.INTER_LINEAR)
            noise += np.asarray(grown, dtype=np.float32) / np.float32(octave**0.6)
        band += noise * strength_kelvins if self.thermal else (noise * strength_color)[..., None]


def draw_place(
    modality: Modality,
    outdoor: bool,
    rng: np.random.Generator,
    size: tuple[int, int] = SIZE,
    horizon_share: float | None = None,
) -> NDArray[np.float32]:
    """A background: `(h, w, 3)` BGR 0..255 or `(h, w)` kelvins above the air, float32.

    `horizon_share`: the share of the height above the horizon; drawn at random when None.
    """
    painter = _Painter(modality, rng, size)
    height = size[0]
    horizon = max(1, int(height * (rng.uniform(0.22, 0.5) if horizon_share is None else horizon_share)))
    _backdrop(painter, outdoor, horizon)
    for _ in range(int(rng.integers(5, 14))):
        _building_part(painter, outdoor, horizon)
    _ground(painter, outdoor, horizon)
    for _ in range(int(rng.integers(4, 12))):
        _object(painter, outdoor, horizon)
    if outdoor and rng.random() < 0.7:
        for _ in range(int(rng.integers(1, 4))):
            _foliage(painter, horizon)
    image = cv2.GaussianBlur(painter.image, (0, 0), float(rng.uniform(0.7, 2.2)))
    return np.asarray(image if painter.thermal else np.clip(image, 0, 255), dtype=np.float32)


def _backdrop(p: _Painter, outdoor: bool, horizon: int) -> None:
    rng = p.rng
    sky = outdoor and rng.random() < 0.6
    color = np.array([rng.uniform(170, 250), rng.uniform(160, 235), rng.uniform(150, 230)]) if sky else p.grey(60, 210)
    p.image[:horizon] = p.paint(color, rng.uniform(-30, -8) if sky else rng.normal(0, 0.8))
    p.texture(slice(0, horizon), 6 if sky else 12, 0.5, int(rng.integers(3, 9)))


def _building_part(p: _Painter, outdoor: bool, horizon: int) -> None:
    """A wall with a grid of windows, a door, a poster or a shop window."""
    rng, (height, width) = p.rng, p.image.shape[:2]
    x0, wide = int(rng.uniform(-0.1, 0.95) * width), int(rng.uniform(0.05, 0.4) * width)
    top = int(horizon * rng.uniform(0.0, 0.6))
    base = horizon + int(rng.uniform(0, 0.06) * height)
    cv2.rectangle(p.image, (x0, top), (x0 + wide, base), p.paint(p.grey(40, 220, 14), rng.normal(0.3, 0.9)), -1)
    if rng.random() < 0.7:
        columns, rows = int(rng.integers(1, 7)), int(rng.integers(1, 5))
        pane = p.paint(p.grey(20, 240), rng.normal(-0.5, 1.8) if outdoor else rng.normal(0, 1))
        for i in range(columns):
            for j in range(rows):
                x, y = x0 + wide * (i + 0.2) / columns, top + (base - top) * (j + 0.2) / rows
                corner = (int(x + 0.6 * wide / columns), int(y + 0.6 * (base - top) / rows))
                cv2.rectangle(p.image, (int(x), int(y)), corner, pane, -1)
    if not outdoor and rng.random() < 0.4:  # a radiator or a lamp: the hot things of a hall
        x, y = x0 + int(wide * 0.3), base - int(rng.uniform(10, 50))
        cv2.rectangle(
            p.image, (x, y), (x + int(wide * 0.4) + 4, base - 4), p.paint(p.grey(150, 240), rng.uniform(4, 14)), -1
        )


def _ground(p: _Painter, outdoor: bool, horizon: int) -> None:
    rng, (height, width) = p.rng, p.image.shape[:2]
    hot = rng.uniform(-2, 9) if outdoor and rng.random() < 0.25 else rng.normal(0, 0.8)  # asphalt in the sun
    p.image[horizon:] = p.paint(p.grey(50, 190, 5), hot)
    p.texture(slice(horizon, height), rng.uniform(3, 14), rng.uniform(0.1, 0.9), int(rng.integers(4, 14)))
    line = p.paint(p.grey(30, 230), hot + rng.normal(0, 0.4))
    if rng.random() < 0.6:  # tiles or lane marks towards a vanishing point
        vanish = int(rng.uniform(0.2, 0.8) * width)
        for x in np.linspace(-width, 2 * width, int(rng.integers(4, 22))):
            cv2.line(p.image, (int(x), height), (vanish, horizon), line, int(rng.integers(1, 4)), cv2.LINE_AA)
        for step in np.linspace(0.05, 1, int(rng.integers(2, 12))) ** 2:
            y = int(horizon + (height - horizon) * step)
            cv2.line(p.image, (0, y), (width, y), line, 1 + int(3 * step * rng.random()), cv2.LINE_AA)
    if rng.random() < 0.4:  # a shadow or a warm patch of sun
        center = (int(rng.uniform(0, width)), int(rng.uniform(horizon, height)))
        axes = (int(rng.uniform(40, 260)), int(rng.uniform(15, 90)))
        cv2.ellipse(p.image, center, axes, 0, 0, 360, p.paint(p.grey(30, 110), hot + rng.uniform(-1.5, 1.5)), -1)


def _object(p: _Painter, outdoor: bool, horizon: int) -> None:
    """A post, a bin, a bench, a car or a box that stands on the ground."""
    rng, (height, width) = p.rng, p.image.shape[:2]
    base = int(horizon + (height - horizon) * rng.uniform(0.02, 0.8) ** 1.5)
    near = 0.25 + (base - horizon) / (height - horizon)
    x, color = int(rng.uniform(0, width)), p.grey(20, 220, 24)
    kind = rng.integers(4)
    if kind == 0:  # post
        cv2.rectangle(
            p.image, (x, int(base - 330 * near)), (x + 3 + int(9 * near), base), p.paint(color, rng.normal(0, 1.5)), -1
        )
    elif kind == 1:  # bin, box
        corner = (x + int(rng.uniform(20, 70) * near), int(base - rng.uniform(35, 110) * near))
        cv2.rectangle(p.image, (x, base), corner, p.paint(color, rng.normal(0, 1.2)), -1)
    elif kind == 2 and outdoor:  # car: body, glass, warm engine and wheels
        long, tall = int(240 * near), int(70 * near)
        cv2.rectangle(p.image, (x, base - tall), (x + long, base), p.paint(color, rng.normal(0, 1.5)), -1)
        roof = np.array(
            [
                (x + long // 5, base - tall),
                (x + long // 3, base - 2 * tall),
                (x + 2 * long // 3, base - 2 * tall),
                (x + long, base - tall),
            ]
        )
        cv2.fillPoly(p.image, [roof], p.paint(p.grey(20, 90), rng.uniform(-4, 1)))
        for wheel in (0.2, 0.8):
            cv2.circle(
                p.image, (int(x + long * wheel), base), int(24 * near), p.paint(p.grey(15, 50), rng.uniform(0, 9)), -1
            )
    else:  # bench or barrier
        end = x + int(rng.uniform(80, 220) * near)
        for bar in range(3):
            y = int(base - (14 + 18 * bar) * near)
            cv2.line(p.image, (x, y), (end, y), p.paint(color, rng.normal(0, 1)), 2 + int(5 * near), cv2.LINE_AA)


def _foliage(p: _Painter, horizon: int) -> None:
    rng, width = p.rng, p.image.shape[1]
    cx, cy, spread = rng.uniform(0, width), horizon * rng.uniform(0.1, 1.2), rng.uniform(30, 120)
    green, cool = np.array([rng.uniform(20, 80), rng.uniform(50, 130), rng.uniform(25, 95)]), rng.normal(-0.5, 1.2)
    for _ in range(60):
        x, y = rng.normal(cx, spread), rng.normal(cy, spread * 0.7)
        color = p.paint(green * rng.uniform(0.5, 1.5), cool + rng.normal(0, 0.7))
        cv2.circle(p.image, (int(x), int(y)), int(rng.uniform(4, 20)), color, -1, cv2.LINE_AA)
