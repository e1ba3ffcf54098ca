"""The picture of both views side by side: who is where, who is the same, and how fast it goes.

Shapes: h, w a frame's size. The picture is uint8 BGR, two panels side by side above a status bar.
"""

from __future__ import annotations

import colorsys
import unicodedata
from collections.abc import Mapping
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_reid.people.boxes import Boxes
from edge_reid.people.view import Sighting, View
from edge_reid.types import MODALITIES, Modality

Image = NDArray[np.uint8]
Color = tuple[int, int, int]

Corners = tuple[int, int, int, int]

PANEL_HEIGHT, PANEL_WIDTH = 480, 640
BAR, GAP = 40, 6
START: dict[Modality, int] = {"visible": 0, "thermal": PANEL_WIDTH + GAP}
FONT = cv2.FONT_HERSHEY_DUPLEX
SIZE = 0.68
"""Of letters, so that a laptop's screen is read at arm's length."""
BACKGROUND: Color = (32, 28, 26)
PALE: Color = (235, 232, 228)
UNKNOWN: Color = (150, 150, 150)
ALERT: Color = (80, 170, 255)


class Canvas:
    """Draws views into pictures of one size, whatever the size of the frames."""

    def __init__(self) -> None:
        """Wait for the first frames; until a camera has given one its panel stays empty."""
        empty = np.full((PANEL_HEIGHT, PANEL_WIDTH, 3), BACKGROUND, np.uint8)
        self._panels: dict[Modality, Image] = dict.fromkeys(MODALITIES, empty)
        self._places: dict[Modality, tuple[float, int, int]] = {}
        self._newest: dict[Modality, Image] = {}

    def take(self, frames: Mapping[Modality, Image]) -> None:
        """Take new images, uint8 `(h, w, 3)` BGR or `(h, w)` of any size; a camera without one keeps its last."""
        self._newest |= frames

    def draw(self, view: View, names: Mapping[int, str], alerts: Mapping[Modality, str], status: str = "") -> Image:
        """The picture of a view.

        Args:
            view: what the pipeline made of the newest images.
            names: of the people who have one, by number.
            alerts: what is wrong with a camera; its panel shows it and is dimmed.
            status: the line in a bar below; no bar without.
        """
        while self._newest:
            self._place(*self._newest.popitem())
        gap = np.full((PANEL_HEIGHT, GAP, 3), BACKGROUND, np.uint8)
        left, right = (self._panels[m] // 3 if m in alerts else self._panels[m] for m in MODALITIES)
        picture: Image = np.hstack([left, gap, right])
        if status:
            bar = np.full((BAR, picture.shape[1], 3), BACKGROUND, np.uint8)
            cv2.putText(bar, plain(status), (10, 26), FONT, 0.62, PALE, 1, cv2.LINE_AA)
            picture = np.vstack([picture, bar])
        for modality in MODALITIES:
            for expected in view.expected[modality]:
                _draw_expected(picture, self._corners_of(modality, expected.box), color_of(expected.person))
        corners = {modality: self._corners(modality, view.sightings[modality]) for modality in MODALITIES}
        _draw_links(picture, view, corners)
        for modality in MODALITIES:
            for sighting in view.sightings[modality]:
                _draw_sighting(picture, sighting, corners[modality][sighting.track], names)
            _label(picture, modality, (START[modality] + 8, 24), PALE, BACKGROUND)
            if modality in alerts:
                _label(picture, alerts[modality], (START[modality] + 8, PANEL_HEIGHT - 12), BACKGROUND, ALERT)
        return picture

    def _place(self, modality: Modality, frame: Image) -> None:
        """Scale a frame into the middle of its panel."""
        height, width = frame.shape[:2]
        scale = min(PANEL_HEIGHT / height, PANEL_WIDTH / width)
        inner = (max(1, round(width * scale)), max(1, round(height * scale)))
        scaled = frame if inner == (width, height) else cv2.resize(frame, inner, interpolation=cv2.INTER_LINEAR)
        x, y = (PANEL_WIDTH - inner[0]) // 2, (PANEL_HEIGHT - inner[1]) // 2
        panel = np.full((PANEL_HEIGHT, PANEL_WIDTH, 3), BACKGROUND, np.uint8)
        panel[y : y + inner[1], x : x + inner[0]] = scaled if scaled.ndim == 3 else scaled[:, :, None]
        self._panels[modality] = panel
        self._places[modality] = (scale, x, y)

    def _corners(self, modality: Modality, sightings: list[Sighting]) -> dict[int, Corners]:
        """Corners in the picture by track."""
        return {sighting.track: self._corners_of(modality, sighting.box) for sighting in sightings}

    def _corners_of(self, modality: Modality, box: Boxes) -> Corners:
        """Where a box of a frame is in the picture, kept inside the panel."""
        scale, x, y = self._places[modality]
        left, right = np.clip(box[::2] * scale + x, 0, PANEL_WIDTH - 1) + START[modality]
        top, bottom = np.clip(box[1::2] * scale + y, 0, PANEL_HEIGHT - 1)
        return int(left), int(top), int(right), int(bottom)


def _draw_expected(picture: Image, box: Corners, color: Color) -> None:
    """Four corners of a box: someone should be here whom only the other camera sees."""
    left, top, right, bottom = box
    reach = max(4, (bottom - top) // 6)
    for x, inwards in ((left, reach), (right, -reach)):
        for y, downwards in ((top, reach), (bottom, -reach)):
            cv2.line(picture, (x, y), (x + inwards, y), color, 1, cv2.LINE_AA)
            cv2.line(picture, (x, y), (x, y + downwards), color, 1, cv2.LINE_AA)


def _draw_links(picture: Image, view: View, corners: Mapping[Modality, Mapping[int, Corners]]) -> None:
    """A line from each person's shoulder in one view to the same person's in the other."""
    for link in view.couples:
        _, top, right, bottom = corners["visible"][link.visible]
        start = (right, top + (bottom - top) // 4)
        left, top, _, bottom = corners["thermal"][link.thermal]
        end = (left, top + (bottom - top) // 4)
        cv2.line(picture, start, end, color_of(link.person), 1, cv2.LINE_AA)
        for point in (start, end):
            cv2.circle(picture, point, 4, color_of(link.person), -1, cv2.LINE_AA)


@lru_cache(maxsize=256)
def color_of(person: int | None) -> Color:
    """A bright color (B, G, R) that neighbours in number do not share; grey for nobody known."""
    if person is None:
        return UNKNOWN
    # steps of the golden ratio around the circle of hues keep any few successive numbers apart
    hue = (0.08 + person * 0.61803398875) % 1.0
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.72, 1.0)
    return round(255 * blue), round(255 * green), round(255 * red)


def _draw_sighting(picture: Image, sighting: Sighting, box: Corners, names: Mapping[int, str]) -> None:
    left, top, right, bottom = box
    color = color_of(sighting.person)
    cv2.rectangle(picture, (left, top), (right, bottom), BACKGROUND, 4 if sighting.detected else 2, cv2.LINE_AA)
    cv2.rectangle(picture, (left, top), (right, bottom), color, 2 if sighting.detected else 1, cv2.LINE_AA)
    text = "?" if sighting.person is None else f"{sighting.person} {names.get(sighting.person, '')}".strip()
    _label(picture, text, (left, max(top - 5, 20)), BACKGROUND, color)


def _label(picture: Image, text: str, origin: tuple[int, int], ink: Color, paper: Color) -> None:
    """Text on a filled box whose lower left corner is near `origin`."""
    text = plain(text)
    (width, height), _ = cv2.getTextSize(text, FONT, SIZE, 1)
    x, y = origin
    cv2.rectangle(picture, (x - 1, y - height - 6), (x + width + 9, y + 5), paper, -1)
    cv2.putText(picture, text, (x + 4, y - 1), FONT, SIZE, ink, 1, cv2.LINE_AA)


def plain(text: str) -> str:
    """`text` in the letters that OpenCV can draw: marks go, and what has no Latin letter becomes a dot."""
    bare = "".join(letter for letter in unicodedata.normalize("NFKD", text) if not unicodedata.combining(letter))
    return "".join(letter if " " <= letter <= "~" else "." for letter in bare)
