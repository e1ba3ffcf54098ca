"""Upright people by histograms of oriented gradients (Dalal and Triggs, CVPR 2005): the model that OpenCV carries.

Shapes: h, w the frame's size.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_reid.errors import UserError
from edge_reid.people.boxes import Detections, suppress
from edge_reid.people.detection import paced

WINDOW, PADDING = (128, 64), 8
"""Height and width of the least person with a margin, and the border that is added to the frame, in pixels."""


class HogDetector:
    """OpenCV's INRIA model, about 80 ms a frame of 640 x 480."""

    name = "hog"

    def __init__(self, *, every: int = 1) -> None:
        """Load the model.

        Raises:
            UserError: this OpenCV carries none (5.x has moved it out).
        """
        if not hasattr(cv2, "HOGDescriptor"):
            raise UserError(
                f"detector hog: OpenCV {cv2.__version__} has no HOG detector; install 'opencv-python<5' or "
                "opencv-contrib-python, or choose motion or onnx:FILE"
            )
        self.every = every
        self.description = paced("hog finds upright people of 100 pixels and taller by their outline", every)
        self._hog = cv2.HOGDescriptor()
        self._hog.setSVMDetector(np.asarray(cv2.HOGDescriptor.getDefaultPeopleDetector(), dtype=np.float32))

    def detect(self, frame: NDArray[np.uint8]) -> Detections:
        """The upright people of 100 pixels and taller in a frame `(h, w, 3)` or `(h, w)`."""
        if frame.shape[0] + 2 * PADDING < WINDOW[0] or frame.shape[1] + 2 * PADDING < WINDOW[1]:
            return Detections.none()  # OpenCV 4.14 kills the process where its window does not fit
        found, weights = self._hog.detectMultiScale(frame, winStride=(8, 8), padding=(PADDING, PADDING), scale=1.1)
        if len(found) == 0:
            return Detections.none()
        left, top, width, height = np.asarray(found, dtype=np.float32).T
        # the model was trained with a margin around each person; OpenCV's own sample takes the same amounts off
        edges = (left + 0.1 * width, top + 0.07 * height, left + 0.9 * width, top + 0.87 * height)
        boxes = np.stack(edges, axis=1).astype(np.float32)
        # margins of the support vector machine: 0.3 is doubtful, 1 and more is certain
        scores = np.clip(np.asarray(weights, dtype=np.float32).ravel(), 0.0, 1.0)
        kept = suppress(boxes, scores, 0.4)
        return Detections(boxes[kept], scores[kept])
