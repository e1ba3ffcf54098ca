"""Clicking on the same places in two views: what the clicks make, and the window where they are made.

Points are x, y in pixels of a frame; places are x, y in pixels of the window's picture.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import cv2
import numpy as np

from edge_reid.cameras.alignment import LEAST_PAIRS, Alignment, Pair, Pairs, align_pairs
from edge_reid.errors import UserError
from edge_reid.live.drawing import BACKGROUND, GAP, PALE, PANEL_HEIGHT, START, UNKNOWN, Color, Image
from edge_reid.live.overlap import SEEN, Panel, color_of_point, draw_points, readable, write
from edge_reid.types import MODALITIES, Modality, other_modality

BELOW = 240
"""Height of the strip below the views: the loupe and what there is to tell."""

LOUPE, ENLARGED = 220, 5
"""Side of the loupe, and how many times it enlarges the frame."""

LEAST_DRAG = 12
"""Pixels of the window from which a click counts as drawn from the feet to the head."""

HELP = (
    "click a place on the floor in both views, or draw from feet to head   u undo   n next pictures   s save   q quit"
)


@dataclass(frozen=True)
class _Mark:
    """Half a pair: a point of one view, and the height of who stands there, if drawn."""

    point: tuple[float, float]
    height: float | None


@dataclass
class Clicks:
    """The pairs made so far, the half of one that waits for its other half, and where the mouse is."""

    frames: Mapping[Modality, Image]
    pairs: list[Pair] = field(default_factory=list)
    waiting: dict[Modality, _Mark] = field(default_factory=dict)
    alignment: Alignment | None = None
    complaint: str = ""
    """Why there is no alignment."""
    notice: str = ""
    """What went wrong with the last key; gone with the next click."""
    mouse: tuple[int, int] = (0, 0)
    _pressed: tuple[Modality, tuple[int, int]] | None = None

    def __post_init__(self) -> None:
        """Align what pairs there are."""
        self._align()

    @property
    def made(self) -> Pairs:
        """The pairs, as they are stored."""
        return Pairs({modality: self.frames[modality].shape[:2] for modality in MODALITIES}, tuple(self.pairs))

    def handle(self, event: int, x: int, y: int) -> None:
        """Take a mouse event of OpenCV at a place of the picture."""
        self.mouse = (x, y)
        modality: Modality = "visible" if x < START["thermal"] else "thermal"
        if event == cv2.EVENT_LBUTTONDOWN and y < PANEL_HEIGHT:
            self._pressed, self.notice = (modality, (x, y)), ""
        elif event == cv2.EVENT_LBUTTONUP and self._pressed is not None:
            (modality, feet), self._pressed = self._pressed, None
            self._mark(modality, feet, (x, y))

    def undo(self) -> None:
        """Take back the half that waits, or else the last pair."""
        if self.waiting:
            self.waiting.clear()
        elif self.pairs:
            self.pairs.pop()
            self._align()

    def renew(self, fresh: Callable[[], Mapping[Modality, Image]]) -> None:
        """Go on with later pictures; where there are none, or of another size, with the same ones."""
        self.notice = ""
        try:
            frames = fresh()
        except UserError as error:
            self.notice = str(error)
            return
        if any(frames[modality].shape != self.frames[modality].shape for modality in MODALITIES):
            self.notice = "the next pictures have another size; save, and start anew"
            return
        self.frames = frames

    def _mark(self, modality: Modality, feet: tuple[int, int], head: tuple[int, int]) -> None:
        panel = Panel.of(self.frames[modality])
        point, above = (panel.point(x - START[modality], y) for x, y in (feet, head))
        drawn = feet[1] - head[1] >= LEAST_DRAG
        self.waiting[modality] = _Mark(point, point[1] - above[1] if drawn else None)
        if len(self.waiting) < len(MODALITIES):
            return
        visible, thermal = (self.waiting[modality] for modality in MODALITIES)
        heights = None if visible.height is None or thermal.height is None else (visible.height, thermal.height)
        self.pairs.append(Pair(visible.point, thermal.point, heights))
        self.waiting.clear()
        self._align()

    def _align(self) -> None:
        self.alignment, self.complaint = None, ""
        try:
            self.alignment = align_pairs(self.made)
        except UserError as error:
            self.complaint = str(error)

    def draw(self) -> Image:
        """The picture: both views with their points, a loupe, and how far off each pair is."""
        panels = {"visible": Panel.of(self.frames["visible"]), "thermal": Panel.of(readable(self.frames["thermal"]))}
        colors = [self._color(index) for index in range(len(self.pairs))]
        for modality, panel in panels.items():
            points = np.array([getattr(pair, modality) for pair in self.pairs]).reshape(-1, 2)
            draw_points(panel, points, colors)
            if modality in self.waiting:
                place = panel.place(np.array([self.waiting[modality].point]))[0]
                cv2.drawMarker(panel.picture, place, SEEN, cv2.MARKER_CROSS, 16, 2, cv2.LINE_AA)
            write(panel.picture, modality, (10, 26), scale=0.7, paper=BACKGROUND)
        gap = np.full((PANEL_HEIGHT, GAP, 3), BACKGROUND, np.uint8)
        above = np.hstack([panels["visible"].picture, gap, panels["thermal"].picture])
        if self._pressed is not None:
            cv2.line(above, self._pressed[1], self.mouse, SEEN, 2, cv2.LINE_AA)
        return np.vstack([above, self._strip(above.shape[1])])

    def _color(self, index: int) -> Color:
        return UNKNOWN if self.alignment is None else color_of_point(self.alignment, index)

    def _strip(self, width: int) -> Image:
        strip = np.full((BELOW, width, 3), BACKGROUND, np.uint8)
        strip[10 : 10 + LOUPE, 10 : 10 + LOUPE] = self._loupe()
        write(strip, HELP, (LOUPE + 30, BELOW - 14), UNKNOWN, scale=0.5)
        write(strip, self._advice(), (LOUPE + 30, 32), PALE, scale=0.55)
        for index, pair in enumerate(self.pairs[-20:], start=max(0, len(self.pairs) - 20)):
            row, column = index % 5, index // 5 % 4
            origin = (LOUPE + 30 + 250 * column, 66 + 28 * row)
            write(strip, self._line(index, pair), origin, self._color(index), scale=0.5)
        return strip

    def _line(self, index: int, pair: Pair) -> str:
        number = f"{index + 1}:"
        if self.alignment is None:
            return f"{number} -"
        pixels = self.alignment.pixels[index]
        heights = f", {pixels / pair.heights[1]:.2f} heights" if pair.heights else ""
        return f"{number} off by {pixels:.1f} px{heights}"

    def _advice(self) -> str:
        if self.notice:
            return self.notice
        if self.waiting:
            (modality,) = self.waiting
            return f"now the same place in the {other_modality(modality)} view"
        if self.alignment is None:
            return self.complaint
        if len(self.pairs) == LEAST_PAIRS:
            return "four pairs fit always; a fifth tells how well"
        used = self.alignment.inliers
        off = float(np.median(self.alignment.pixels[used]))
        return f"{used.sum()} of {len(used)} pairs fit one floor, off by {off:.1f} px (median); grey ones are left out"

    def _loupe(self) -> Image:
        """What is around the mouse, enlarged, with a cross on the point that a click would take."""
        x, y = self.mouse
        modality: Modality = "visible" if x < START["thermal"] else "thermal"
        frame, panel = self.frames[modality], Panel.of(self.frames[modality])
        frame = frame if modality == "visible" else readable(frame)
        column, row = panel.point(x - START[modality], y)
        half = LOUPE / 2
        move = np.array([[ENLARGED, 0.0, half - ENLARGED * column], [0.0, ENLARGED, half - ENLARGED * row]])
        part = cv2.warpAffine(frame, move, (LOUPE, LOUPE), flags=cv2.INTER_NEAREST)
        loupe = part if part.ndim == 3 else cv2.cvtColor(part, cv2.COLOR_GRAY2BGR)
        cv2.drawMarker(loupe, (LOUPE // 2, LOUPE // 2), SEEN, cv2.MARKER_CROSS, 30, 1, cv2.LINE_AA)
        return np.asarray(loupe, dtype=np.uint8)


def click(
    clicks: Clicks, title: str, fresh: Callable[[], Mapping[Modality, Image]], changed: Callable[[Pairs], None]
) -> bool:
    """Let someone click in a window until they save (True) or quit (False).

    Args:
        clicks: what is there to begin with, and what comes of it.
        title: of the window.
        fresh: gives later pictures of both cameras; a UserError where there are none is shown.
        changed: is told the pairs whenever there is one more or less.
    """
    # without the bars that some builds of OpenCV put around a picture, which shift it under the mouse
    cv2.namedWindow(title, cv2.WINDOW_AUTOSIZE | cv2.WINDOW_GUI_NORMAL)
    cv2.setMouseCallback(title, lambda event, x, y, *_: clicks.handle(event, x, y))
    told = len(clicks.pairs)
    try:
        while True:
            cv2.imshow(title, clicks.draw())
            key = cv2.waitKey(30) & 0xFF
            if key == ord("u"):
                clicks.undo()
            elif key == ord("n"):
                clicks.renew(fresh)
            if len(clicks.pairs) != told:
                told = len(clicks.pairs)
                changed(clicks.made)
            if key in (ord("q"), 27) or cv2.getWindowProperty(title, cv2.WND_PROP_VISIBLE) < 1:
                return False
            if key == ord("s") and clicks.alignment is not None:
                return True
    finally:
        cv2.destroyAllWindows()
