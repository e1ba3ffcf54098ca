"""Walkers are followed in both views; each detector at its own rate."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_reid.cameras.sources import Frame
from edge_reid.errors import UserError
from edge_reid.live.walkers import Walkers
from edge_reid.people.boxes import Detections
from edge_reid.types import MODALITIES, Modality


class Marked:
    """Finds as many people as the frame's first pixel says, always at the same places."""

    name = description = "marked"

    def __init__(self, every: int = 1) -> None:
        self.every = every
        self.asked: list[int] = []

    def detect(self, frame: NDArray[np.uint8]) -> Detections:
        count = int(frame.flat[0])
        self.asked.append(int(frame.flat[-1]))
        left = 20.0 + 60.0 * np.arange(count)
        boxes = np.stack([left, np.full(count, 50.0), left + 30, np.full(count, 130.0)], axis=1).astype(np.float32)
        return Detections(boxes, np.ones(count, np.float32))


def frame(modality: Modality, index: int, people: int) -> Frame:
    image = np.zeros((240, 320, 3) if modality == "visible" else (240, 320), np.uint8)
    image.flat[0], image.flat[-1] = people, index
    return Frame(image, 0.1 * index, index)


def test_each_detector_is_asked_as_often_as_it_wishes_and_the_fullest_pictures_are_kept() -> None:
    detectors: dict[Modality, Marked] = {"visible": Marked(), "thermal": Marked(every=3)}
    walkers = Walkers(detectors)  # type: ignore[arg-type]
    people = [1] * 12 + [3] * 12 + [2] * 12
    for index, count in enumerate(people):
        walkers.step({modality: frame(modality, index, count) for modality in MODALITIES})
    assert detectors["visible"].asked == list(range(36))
    assert detectors["thermal"].asked == list(range(2, 36, 3))
    shown = {modality: int(image.flat[-1]) for modality, image in walkers.images.items()}
    assert shown["visible"] == shown["thermal"] and people[shown["visible"]] == 3
    with pytest.raises(UserError, match="too few people"):
        walkers.align()


def test_a_camera_that_never_gave_a_picture_is_said() -> None:
    walkers = Walkers({modality: Marked() for modality in MODALITIES})
    walkers.step({"visible": frame("visible", 0, 1)})
    with pytest.raises(UserError, match="gave no pictures at one time"):
        walkers.align()
