"""People as what is warmer than its surroundings, in the picture of a thermal camera that shows warmth bright.

Shapes: h, w the copy's size, whose longer side is 320 pixels.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_reid.people.boxes import Detections
from edge_reid.people.detection import paced
from edge_reid.people.motion import DOUBTFUL, WARM_UP_FRAMES, Movement, people_in, shrink

SURROUNDINGS = 0.25
"""Side of the square that a pixel is compared with, as a share of the picture's longer side."""

LEAST_WARMTH = 1.0
"""Standard deviations of its surroundings by which a warm pixel stands out of their mean."""

LEAST_OVER_NOISE = 4.0
"""Typical differences (of the whole picture) by which it does so, too. With 3 instead of 4 more people are found in
single pictures of a street, and the precision on synthetic scenes falls below 0.75."""

LEARNING_FRAMES, MEMORY_FRAMES = 250, 3000
"""Frames until warm things count as part of the place, and over which it is remembered where things are warm."""

ALWAYS = 0.9
"""Share of the remembered frames for which radiators, lamps and engines are warm at a place."""

LEAST_MOVEMENT = 0.2
"""Share of a person's pixels that move when someone comes in."""


class HotDetector:
    """What is warm or moves: who has come in moving is held while standing still, which movement alone loses.

    What is only warm is doubtful, so that the tracker starts nobody on a lamp; while the whole picture is new, as when
    the camera is turned, warmth is all there is and counts in full. What is warm at one place for minutes on end is a
    thing, and so is a person who stands quite still for four and a half (at 25 frames a second).
    """

    name = "hot"

    def __init__(self, *, every: int = 1) -> None:
        """Start with no knowledge of the place."""
        self.every = every
        self.description = paced("hot finds what moves, and holds it while it is warmer than its surroundings", every)
        self._movement = Movement("thermal")
        self._warm_share = np.zeros((0, 0), np.float32)
        self._seen = 0

    def detect(self, frame: NDArray[np.uint8]) -> Detections:
        """The people in a frame `(height, width)` in which warmth is bright; in the first frames all are doubtful."""
        small, scale = shrink(frame)
        mask = self._leave_things_out(warm_pixels(small))
        moving = self._movement.mask(small)
        if moving is not None:
            mask = mask | moving
        elif self._seen <= WARM_UP_FRAMES:
            moving = np.zeros_like(mask)
        else:
            moving = mask
        found = people_in(mask, scale)
        # whole pixels of the copy again
        boxes = np.rint(found.boxes * scale).astype(int)
        regions = [np.s_[top:bottom, left:right] for left, top, right, bottom in boxes]
        came = np.array([moving[region].sum() >= LEAST_MOVEMENT * mask[region].sum() for region in regions], np.bool_)
        return Detections(found.boxes, np.where(came, found.scores, np.float32(DOUBTFUL)))

    def _leave_things_out(self, warm: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Remember what is warm `(h, w)`, and leave out what always was."""
        if self._warm_share.shape != warm.shape:  # the camera is new, or came back with another size
            self._warm_share, self._seen = np.zeros(warm.shape, np.float32), 0
        self._seen += 1
        cv2.accumulateWeighted(warm, self._warm_share, 1.0 / min(self._seen, MEMORY_FRAMES))
        if self._seen < LEARNING_FRAMES:
            return warm
        return np.asarray(warm & (self._warm_share < ALWAYS), dtype=np.uint8)


def warm_pixels(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """1 where an image `(h, w)` is brighter than its surroundings, 0 elsewhere."""
    values = image.astype(np.float32)
    side = round(SURROUNDINGS * max(image.shape)) | 1
    mean = cv2.blur(values, (side, side))
    spread = np.sqrt(np.maximum(cv2.blur(values * values, (side, side)) - mean * mean, 0.0))
    above = values - mean
    noise = max(1.0, 1.4826 * float(np.median(np.abs(above[::4, ::4]))))
    return ((above > LEAST_WARMTH * spread) & (above > LEAST_OVER_NOISE * noise)).astype(np.uint8)
