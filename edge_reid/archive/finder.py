"""Who is in a picture of an archive: the person it shows, or everyone whom a detector finds.

Shapes: h, w the picture's size. It is uint8, `(h, w, 3)` BGR for visible and `(h, w)` for thermal.
"""

from __future__ import annotations

import threading
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge_reid.errors import UserError
from edge_reid.gallery.enrolment import Shot
from edge_reid.people.boxes import Boxes
from edge_reid.people.detection import load_detector
from edge_reid.types import Modality


class Found(NamedTuple):
    """One person in a picture."""

    box: Boxes
    """`(4,)` left, top, right, bottom in pixels."""
    score: float | None
    """The detector's, 0..1; None without one."""
    shot: Shot


class Finder:
    """Cuts people out of a picture: the whole of it is one, or a detector finds them.

    Every picture is looked at by itself, whatever came before it: so shards find the same people, however many share
    the work. It may be called by several threads.
    """

    def __init__(self, size: tuple[int, int], modality: Modality, detector: str | None, least_score: float) -> None:
        """Load the detector.

        Args:
            size: (H, W) of the crops.
            modality: of the pictures.
            detector: see `edge_reid.people.detection.load_detector`; None where pictures show one person each.
            least_score: of a person, 0..1.

        Raises:
            UserError: there is no such detector, or it sees movement alone.
        """
        name = (detector or "").partition("?")[0]
        if name == "motion":
            raise UserError("--detector motion: sees nothing in a single picture; choose hog, hot or onnx:FILE")
        self._size, self.modality, self._spec, self._least_score = size, modality, detector, least_score
        self._detector = load_detector(detector, modality) if detector else None
        self._remembers = name == "hot"
        self._lock = threading.Lock()
        self.detects = detector is not None
        """Whether a detector finds people."""
        self.every = self._detector.every if self._detector else 1
        """Of a video, one frame in so many is looked at."""

    def people(self, picture: NDArray[np.uint8]) -> list[Found]:
        """Box `(4,)`, score and crop of everyone in a picture."""
        if self._detector is None or self._spec is None:
            whole = np.array([0, 0, picture.shape[1], picture.shape[0]], np.float32)
            return [Found(whole, None, Shot.of(picture, whole, self._size))]
        with self._lock:
            # what compares pictures with those before starts anew with each
            detector = load_detector(self._spec, self.modality) if self._remembers else self._detector
            found = detector.detect(picture)
        edges = np.array([*picture.shape[1::-1]] * 2)
        inside = np.clip(np.rint(found.boxes), 0, edges)
        seen = (inside[:, 2:] > inside[:, :2]).all(axis=1) & (found.scores >= self._least_score)
        return [
            Found(box, float(score), Shot.of(picture, box, self._size))
            for box, score in zip(found.boxes[seen], found.scores[seen], strict=True)
        ]
