"""The picture of how two views fit: their points, one view laid over the other, and the numbers.

Shapes: h, w a frame's size; N points `(N, 2)` x, y in pixels of their frame. Pictures are uint8 BGR.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_reid.cameras.alignment import Alignment, Points
from edge_reid.cameras.geometry import GroundPlane
from edge_reid.live.drawing import BACKGROUND, FONT, GAP, PALE, PANEL_HEIGHT, PANEL_WIDTH, UNKNOWN, Color, Image
from edge_reid.types import Modality

GOOD: Color = (120, 230, 120)
FAIR: Color = (60, 200, 255)
POOR: Color = (90, 90, 255)
SEEN: Color = (255, 220, 80)
"""The visible view's points and outlines, wherever they are drawn."""

MOST_POINTS = 60
"""Points drawn, spread over all there are: hundreds hide the picture."""

MOST_NUMBERED = 20


@dataclass(frozen=True)
class Panel:
    """A frame scaled into the middle of a panel of PANEL_HEIGHT x PANEL_WIDTH."""

    picture: Image
    scale: float
    corner: tuple[int, int]
    """(x, y) of the frame's upper left corner in the panel."""

    @staticmethod
    def of(frame: Image) -> Panel:
        """Scale a frame `(h, w)` or `(h, w, 3)`."""
        height, width = frame.shape[:2]
        scale = min(PANEL_HEIGHT / height, PANEL_WIDTH / width)
        inner = (round(width * scale), round(height * scale))
        scaled = cv2.resize(frame, inner, interpolation=cv2.INTER_LINEAR)
        x, y = (PANEL_WIDTH - inner[0]) // 2, (PANEL_HEIGHT - inner[1]) // 2
        picture = np.full((PANEL_HEIGHT, PANEL_WIDTH, 3), BACKGROUND, np.uint8)
        picture[y : y + inner[1], x : x + inner[0]] = scaled if scaled.ndim == 3 else scaled[:, :, None]
        return Panel(picture, scale, (x, y))

    def place(self, points: Points) -> NDArray[np.int32]:
        """Where points `(N, 2)` of the frame are in the panel, kept within what can be drawn."""
        return np.clip(np.rint(points * self.scale + self.corner), -9999, 9999).astype(np.int32)

    def point(self, x: float, y: float) -> tuple[float, float]:
        """Which point of the frame lies at (x, y) of the panel; outside of the frame its nearest edge is meant."""
        inside = [
            min(max((value - start) / self.scale, 0.0), (side - 2 * start) / self.scale)
            for value, start, side in zip((x, y), self.corner, (PANEL_WIDTH, PANEL_HEIGHT), strict=True)
        ]
        return inside[0], inside[1]


def readable(frame: Image) -> Image:
    """A thermal image with the contrast that eyes need: its grey values spread over all there are."""
    low, high = np.percentile(frame[::4, ::4], [1.0, 99.5])
    gain = 255.0 / max(float(high - low), 1.0)
    return np.asarray(cv2.convertScaleAbs(np.maximum(frame, low) - low, alpha=gain), dtype=np.uint8)


def draw_overlap(frames: Mapping[Modality, Image], alignment: Alignment) -> Image:
    """Both views with their points, the visible view laid over the thermal one, and a legend with the numbers.

    Args:
        frames: an image of each camera, `(h, w, 3)` BGR or `(h, w)`, of the sizes that the alignment belongs to.
        alignment: how the views fit.
    """
    panels = {"visible": Panel.of(frames["visible"]), "thermal": Panel.of(readable(frames["thermal"]))}
    overlaid = _overlaid(frames["visible"], panels["thermal"], alignment.ground)
    shown = np.unique(np.linspace(0, len(alignment.visible) - 1, MOST_POINTS).astype(int))
    colors = [color_of_point(alignment, index) for index in shown]
    draw_points(panels["visible"], alignment.visible[shown], colors)
    draw_points(panels["thermal"], alignment.thermal[shown], colors)
    ends = zip(*(overlaid.place(points[shown]) for points in (alignment.mapped, alignment.thermal)), strict=True)
    for (mapped, there), color in zip(ends, colors, strict=True):
        cv2.line(overlaid.picture, mapped, there, color, 2, cv2.LINE_AA)
        cv2.circle(overlaid.picture, mapped, 4, SEEN, 1, cv2.LINE_AA)
        cv2.circle(overlaid.picture, there, 3, color, -1, cv2.LINE_AA)
    for name, panel in (("visible", panels["visible"]), ("thermal", panels["thermal"]), ("overlap", overlaid)):
        write(panel.picture, name, (10, 26), scale=0.7, paper=BACKGROUND)
    gap = np.full((PANEL_HEIGHT, GAP, 3), BACKGROUND, np.uint8)
    above = np.hstack([panels["visible"].picture, gap, panels["thermal"].picture])
    below = np.hstack([overlaid.picture, gap, _legend(alignment)])
    return np.vstack([above, np.full((GAP, above.shape[1], 3), BACKGROUND, np.uint8), below])


def write(
    picture: Image, text: str, origin: tuple[int, int], color: Color = PALE, *, scale: float, paper: Color | None = None
) -> None:
    """Put ASCII text into a picture, its base line's left end at `origin`, on a ground of its own if wished."""
    if paper is not None:
        (width, height), base = cv2.getTextSize(text, FONT, scale, 1)
        corners = (origin[0] - 5, origin[1] - height - 5), (origin[0] + width + 5, origin[1] + base)
        cv2.rectangle(picture, *corners, paper, -1)
    cv2.putText(picture, text, origin, FONT, scale, color, 1, cv2.LINE_AA)


def quality(heights: float) -> Color:
    """The color of a residual in heights of a person: a gate of half a height bears a tenth, and hardly a quarter."""
    return GOOD if heights <= 0.1 else FAIR if heights <= 0.25 else POOR


def draw_points(panel: Panel, points: Points, colors: list[Color]) -> None:
    """Dots at points `(N, 2)` of a panel's frame, numbered from 1 while they are few enough to be read."""
    for number, (place, color) in enumerate(zip(panel.place(points), colors, strict=True), start=1):
        cv2.circle(panel.picture, place, 5, BACKGROUND, -1, cv2.LINE_AA)
        cv2.circle(panel.picture, place, 4, color, -1, cv2.LINE_AA)
        if len(points) <= MOST_NUMBERED:
            beside = (int(place[0]) + 9, int(place[1]) - 7)
            write(panel.picture, str(number), beside, color, scale=0.6, paper=BACKGROUND)


def color_of_point(alignment: Alignment, index: int) -> Color:
    """Grey for what was left out, else how far off it is."""
    if not alignment.inliers[index]:
        return UNKNOWN
    height = alignment.heights[index]
    # a person takes up about a quarter of a picture's height where none was measured
    typical = height if np.isfinite(height) else 0.25 * alignment.ground.sizes["thermal"][0]
    return quality(float(alignment.pixels[index] / typical))


def _overlaid(visible: Image, thermal: Panel, ground: GroundPlane) -> Panel:
    """The thermal view in grey with the visible view's floor shining through, and the visible edges drawn out."""
    rows, columns = np.mgrid[:PANEL_HEIGHT, :PANEL_WIDTH]
    places = np.stack([columns.ravel(), rows.ravel()], axis=1)
    points, ahead = ground.across((places - thermal.corner) / thermal.scale, "thermal")
    x, y = np.where(ahead[:, None], points, -1e4).astype(np.float32).T.reshape(2, PANEL_HEIGHT, PANEL_WIDTH)
    inside = (x >= 0) & (x < visible.shape[1]) & (y >= 0) & (y < visible.shape[0])
    warped = cv2.remap(visible, x, y, cv2.INTER_LINEAR)
    mixed = np.where(inside[:, :, None], 0.65 * thermal.picture + 0.35 * warped, 0.55 * thermal.picture)
    edges = cv2.Canny(cv2.cvtColor(cv2.GaussianBlur(visible, (0, 0), 1.5), cv2.COLOR_BGR2GRAY), 30, 80)
    mixed[cv2.remap(edges, x, y, cv2.INTER_LINEAR) > 90] = SEEN
    contours, _ = cv2.findContours(inside.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    picture = cv2.drawContours(mixed.astype(np.uint8), contours, -1, PALE, 1, cv2.LINE_AA)
    return Panel(np.asarray(picture, dtype=np.uint8), thermal.scale, thermal.corner)


def _legend(alignment: Alignment) -> Image:
    picture = np.full((PANEL_HEIGHT, PANEL_WIDTH, 3), BACKGROUND, np.uint8)
    for row, (text, color) in enumerate(_lines(alignment)):
        write(picture, text, (24, 40 + 31 * row), color, scale=0.62)
    return picture


def _lines(alignment: Alignment) -> list[tuple[str, Color]]:
    used = alignment.inliers
    pixels, shares = alignment.pixels[used], (alignment.pixels / alignment.heights)[used]
    shares = shares[np.isfinite(shares)]
    lines = [(f"{used.sum()} points, {(~used).sum()} left out (grey)", PALE)]
    lines.append((f"off by {np.median(pixels):.1f} px median, {np.quantile(pixels, 0.9):.1f} px at 90 %", PALE))
    if len(shares):
        median, most = np.median(shares), float(np.quantile(shares, 0.9))
        lines.append((f"off by {median:.2f} heights of a person, {most:.2f} at 90 %", quality(most)))
    else:
        lines.append(("in heights of a person: not known", UNKNOWN))
    if alignment.uncertainty is not None:
        certain = f"where people walk, sure to {alignment.uncertainty:.2f} heights"
        lines.append((certain, quality(alignment.uncertainty)))
    covered = [f"{modality} {100 * share:.0f} %" for modality, share in alignment.coverage.items()]
    lines.append((f"points span {', '.join(covered)} of the view", PALE))
    if (delay := alignment.about.get("thermal_delay_seconds")) is not None:
        lines.append((f"thermal pictures later by {delay} s", PALE))
    return [
        *lines, ("", PALE),
        ("ring: visible point as mapped", SEEN), ("thin lines: edges of the visible view", SEEN),
        ("dot: the same in the thermal view", PALE),
        ("line: off by at most 0.10 heights", GOOD), ("0.10 to 0.25 heights", FAIR), ("more", POOR),
        ("only the floor fits; what stands up leans", UNKNOWN),
    ]  # fmt: skip
