"""Finding people in one frame: by motion, by oriented gradients, or by a network in an ONNX file.

Shapes: h, w the frame's size. A frame is uint8, `(h, w, 3)` BGR (visible) or `(h, w)` (thermal).
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_reid.errors import UserError
from edge_reid.people.boxes import Detections, suppress
from edge_reid.types import Modality


class Detector(Protocol):
    """Finds people."""

    def detect(self, frame: NDArray[np.uint8]) -> Detections:
        """The people in a frame."""


def load_detector(name: str, modality: Modality) -> Detector:
    """The detector called `motion`, `hog` or `onnx:FILE` for a camera of this modality.

    Raises:
        UserError: the name is not known, the file is missing or of another kind, or this OpenCV lacks the method.
    """
    if name == "motion":
        from edge_reid.people.motion import MotionDetector

        return MotionDetector(modality)
    if name == "hog":
        return HogDetector()
    kind, _, file = name.partition(":")
    if kind == "onnx" and file:
        from edge_reid.people.yolox import YoloxDetector

        return YoloxDetector(Path(file))
    raise UserError(f"--detector {name}: not known; choose motion, hog or onnx:FILE")


class HogDetector:
    """Upright people by histograms of oriented gradients (OpenCV's INRIA model, about 80 ms a frame)."""

    def __init__(self) -> None:
        """Load the model that OpenCV carries.

        Raises:
            UserError: this OpenCV carries none (5.x has moved it out).
        """
        if not hasattr(cv2, "HOGDescriptor"):
            raise UserError(
                f"--detector hog: OpenCV {cv2.__version__} has no HOG detector; install 'opencv-python<5' or "
                "opencv-contrib-python, or choose motion or onnx:FILE"
            )
        self._hog = cv2.HOGDescriptor()
        self._hog.setSVMDetector(np.asarray(cv2.HOGDescriptor.getDefaultPeopleDetector(), dtype=np.float32))

    def detect(self, frame: NDArray[np.uint8]) -> Detections:
        """The upright people of 128 pixels and taller."""
        found, weights = self._hog.detectMultiScale(frame, winStride=(8, 8), padding=(8, 8), scale=1.1)
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
