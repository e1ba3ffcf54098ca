"""People as what moves before a fixed camera: background subtraction, no weights, either modality.

Shapes: h, w the frame's size; N boxes. The work is done on a copy whose longer side is 320 pixels.
"""

from __future__ import annotations

import itertools

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d
from scipy.signal import find_peaks

from edge_reid.people.boxes import Boxes, Detections
from edge_reid.people.detection import paced
from edge_reid.types import Modality

WORKING_SIDE = 320
LEAST_CHANGE: dict[Modality, int] = {"visible": 6, "thermal": 12}
"""Of a pixel from its background to count as foreground, in variances. Clothes may be nearly as bright as a floor: with
12 the half of such a person was missed. Thermal people stand out, and their sensors are noisier."""

WARM_UP_FRAMES = 5
"""Frames before the first verdict: to a fresh model everything is foreground."""

LEAST_HEIGHT = 0.08
"""Of a person, as a share of the picture's: less carries no identity."""

LEAST_AREA, MOST_BLOBS = 16, 60
"""Of foreground, in pixels of the copy and in number: a picture full of specks must not take a second to join."""

PERSON, DOUBTFUL = 0.9, 0.4
"""Scores: the shape of a person, or of something that may hide one (two people as one blob, a person half seen).
The tracker starts nobody on a doubtful box but holds on to those it knows."""


class MotionDetector:
    """What moves before a fixed camera, its fragments joined, and what is not shaped like a person let go."""

    name = "motion"

    def __init__(self, modality: Modality, *, every: int = 1) -> None:
        """Start with an empty background."""
        self.every = every
        self.description = paced("motion finds what moves before a fixed camera", every)
        self._moving = Movement(modality)

    def detect(self, frame: NDArray[np.uint8]) -> Detections:
        """The moving people in a frame of the fixed camera; none in the first frames."""
        small, scale = shrink(frame)
        mask = self._moving.mask(small)
        return Detections.none() if mask is None else people_in(mask, scale)


class Movement:
    """What differs from a background learnt as a mixture of Gaussians.

    People who stand still for about ten seconds become part of the background.
    """

    def __init__(self, modality: Modality) -> None:
        """Start with an empty background."""
        # thermal light casts no shadows, and a shadow there would be taken for a cooler part of the person
        self._subtractor = cv2.createBackgroundSubtractorMOG2(
            history=500, varThreshold=LEAST_CHANGE[modality], detectShadows=modality == "visible"
        )
        self._subtractor.setBackgroundRatio(0.7)
        self._seen = 0

    def mask(self, image: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
        """Learn an image; 1 where something moves, 0 elsewhere, None while that cannot be told."""
        mask = (np.asarray(self._subtractor.apply(self._undo_gain(image))) == 255).astype(np.uint8)
        self._seen += 1
        # more than half of the picture never walks: the light or the gain has changed, or the camera has moved
        return None if self._seen <= WARM_UP_FRAMES or mask.mean() > 0.5 else mask

    def _undo_gain(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The image as bright as the background was learnt.

        Someone dark who walks in makes an automatic exposure brighten everything, and someone hot makes a thermal
        camera's gain darken everything; the difference that most pixels share is the camera's and not a person's.
        """
        if self._seen == 0:
            return image
        background = np.asarray(self._subtractor.getBackgroundImage())
        if background.shape != image.shape:
            return image  # the camera came back with another size; the subtractor starts anew
        difference = background[::4, ::4].astype(np.int16) - image[::4, ::4]
        shift = np.median(difference.reshape(-1, *image.shape[2:]), axis=0)
        return np.asarray(cv2.add(image, np.append(np.atleast_1d(shift), [0.0] * 3)[:4]), dtype=np.uint8)


def shrink(frame: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], float]:
    """A frame as a smooth copy whose longer side is at most `WORKING_SIDE`, and the copy's scale."""
    scale = min(1.0, WORKING_SIDE / max(frame.shape[:2]))
    size = (max(1, round(frame.shape[1] * scale)), max(1, round(frame.shape[0] * scale)))
    small = cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.GaussianBlur(small, (3, 3), 0), dtype=np.uint8), scale


def people_in(mask: NDArray[np.uint8], scale: float) -> Detections:
    """The people in a mask of a copy of that scale: it is cleaned up, fragments are joined and groups cut."""
    mask = np.asarray(cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8)), dtype=np.uint8)
    mask = np.asarray(cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((9, 3), np.uint8)), dtype=np.uint8)
    _, _, statistics, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    blobs = statistics[1:]
    blobs = blobs[blobs[:, cv2.CC_STAT_AREA] >= LEAST_AREA]
    blobs = blobs[np.argsort(-blobs[:, cv2.CC_STAT_AREA], kind="stable")[:MOST_BLOBS]]
    corners = np.concatenate([blobs[:, :2], blobs[:, :2] + blobs[:, 2:4]], axis=1).astype(np.float32)
    boxes = split_groups(join_fragments(corners), mask)
    boxes = boxes[boxes[:, 3] - boxes[:, 1] >= LEAST_HEIGHT * mask.shape[0]]
    return Detections(boxes / np.float32(scale), _likeness(boxes, mask))


def join_fragments(boxes: Boxes) -> Boxes:
    """Boxes `(N, 4)`, those joined that lie above one another like a head, a body and legs, or inside one another."""
    pieces = list(boxes)
    while True:
        pairs = itertools.combinations(range(len(pieces)), 2)
        found = next((pair for pair in pairs if _one_person(pieces[pair[0]], pieces[pair[1]])), None)
        if found is None:
            return np.stack(pieces) if pieces else np.zeros((0, 4), np.float32)
        second, first = pieces.pop(found[1]), pieces.pop(found[0])
        pieces.append(_hull(first, second))


def split_groups(boxes: Boxes, mask: NDArray[np.uint8]) -> Boxes:
    """Boxes `(N, 4)`, the wide ones cut between the heads that stand out of the outline of their foreground."""
    parts = []
    for box in boxes:
        left, top, right, bottom = box.astype(int)
        height, width = bottom - top, right - left
        inside = mask[top:bottom, left:right]
        outline = np.where(inside.any(axis=0), height - inside.argmax(axis=0), 0).astype(np.float64)
        outline = np.pad(gaussian_filter1d(outline, 0.03 * height, mode="constant"), 1)
        heads, _ = find_peaks(outline, prominence=0.08 * height, distance=max(1.0, 0.2 * height), height=0.4 * height)
        if width < 0.5 * height or len(heads) < 2:
            parts.append(box)
            continue
        valleys = [start + int(outline[start:end].argmin()) - 1 for start, end in itertools.pairwise(heads)]
        for start, end in itertools.pairwise([0, *valleys, width]):
            rows = np.flatnonzero(inside[:, start:end].any(axis=1))
            if len(rows):
                parts.append(np.array([left + start, top + rows[0], left + end, top + rows[-1] + 1], np.float32))
    return np.stack(parts) if parts else np.zeros((0, 4), np.float32)


def _one_person(first: Boxes, second: Boxes) -> bool:
    widths, heights = (np.array([first[i + 2] - first[i], second[i + 2] - second[i]]) for i in (0, 1))
    if np.all(heights > 1.6 * widths):
        return False  # each is a person by itself
    common = np.minimum(first[2:], second[2:]) - np.maximum(first[:2], second[:2])
    hull = _hull(first, second)
    width, height = hull[2:] - hull[:2]
    return bool(common[0] >= 0.6 * widths.min() and common[1] >= -0.15 * height and height <= 4.0 * width)


def _hull(first: Boxes, second: Boxes) -> Boxes:
    return np.concatenate([np.minimum(first[:2], second[:2]), np.maximum(first[2:], second[2:])])


def _likeness(boxes: Boxes, mask: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Scores `(N,)`: whether a box has a walking person's proportions and is filled like one."""
    scores = np.zeros(len(boxes), np.float32)
    for index, (left, top, right, bottom) in enumerate(boxes.astype(int)):
        slenderness = (bottom - top) / (right - left)
        filled = mask[top:bottom, left:right].mean()
        scores[index] = PERSON if 1.3 <= slenderness <= 5.0 and filled >= 0.3 else DOUBTFUL
    return scores
