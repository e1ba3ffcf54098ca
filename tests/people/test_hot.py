from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edge_reid.data.synthetic.scene import Screenplay, write_scene
from edge_reid.errors import UserError
from edge_reid.gallery.enrolment import read_shot
from edge_reid.people.boxes import intersection_over_union
from edge_reid.people.detection import load_detector
from edge_reid.people.hot import LEARNING_FRAMES, HotDetector, warm_pixels
from edge_reid.people.motion import DOUBTFUL, PERSON, MotionDetector
from edge_reid.people.tracking import STRONG

REAL = Path(__file__).parents[3] / "shared" / "real"
needs_real = pytest.mark.skipif(not REAL.is_dir(), reason=f"the real pictures are not at {REAL}")

Box = tuple[int, int, int, int]


def shot(rng: np.random.Generator, *boxes: Box, brightness: int = 150) -> NDArray[np.uint8]:
    """A cool place of 320 x 240 with noise and warm upright ellipses."""
    picture = np.full((240, 320), 60.0)
    for left, top, right, bottom in boxes:
        middle, axes = ((left + right) // 2, (top + bottom) // 2), ((right - left) // 2, (bottom - top) // 2)
        cv2.ellipse(picture, middle, axes, 0, 0, 360, brightness, -1)
    return np.clip(picture + rng.normal(0, 3, picture.shape), 0, 255).astype(np.uint8)


def is_seen(detector: HotDetector | MotionDetector, frame: NDArray[np.uint8], box: Box) -> float:
    """The score of what is found there; 0 where nothing is, or something else is, too."""
    found = detector.detect(frame)
    alone = len(found.boxes) == 1 and intersection_over_union(found.boxes, np.array([box], np.float32))[0, 0] > 0.7
    return float(found.scores[0]) if alone else 0.0


def test_warmth_alone_starts_nobody_before_a_fixed_camera() -> None:
    rng, detector = np.random.default_rng(0), HotDetector()
    scores = [is_seen(detector, shot(rng, (100, 60, 140, 180)), (100, 60, 140, 180)) for _ in range(30)]
    assert set(scores) == {np.float32(DOUBTFUL)}


def test_warmth_is_enough_while_the_whole_picture_is_new() -> None:
    rng, box, detector = np.random.default_rng(1), (100, 60, 140, 180), HotDetector()
    for _ in range(20):
        detector.detect(shot(rng))
    elsewhere = shot(rng, box, brightness=190) + np.repeat(np.array([0, 40, 20, 60], np.uint8), 80)
    found = detector.detect(elsewhere)
    overlaps = intersection_over_union(found.boxes, np.array([box], np.float32))[:, 0]
    assert found.scores[overlaps > 0.7].tolist() == [np.float32(PERSON)]


def test_who_stands_still_is_not_lost_as_by_movement_alone() -> None:
    rng, box = np.random.default_rng(1), (100, 60, 140, 180)
    hot, motion = HotDetector(), MotionDetector("thermal")
    by_warmth, by_motion = [], []
    for index in range(60 + 360):
        frame = shot(rng, box) if index >= 60 else shot(rng)
        by_warmth.append(is_seen(hot, frame, box))
        by_motion.append(is_seen(motion, frame, box))
    assert by_warmth[59] == by_motion[59] == 0.0
    assert min(by_warmth[60:100]) > STRONG and min(by_motion[60:100]) > STRONG
    assert min(by_warmth[60:]) >= np.float32(DOUBTFUL), "held for as long as it takes"
    assert max(by_motion[-30:]) == 0.0


def test_a_radiator_is_part_of_the_place_after_a_while_and_a_person_beside_it_is_not() -> None:
    rng = np.random.default_rng(2)
    radiator, person = (40, 100, 80, 200), (200, 60, 240, 180)
    detector = HotDetector()
    assert is_seen(detector, shot(rng, radiator), radiator), "at first nobody can know"
    for _ in range(LEARNING_FRAMES):
        found = detector.detect(shot(rng, radiator))
    assert len(found.boxes) == 0
    assert is_seen(detector, shot(rng, radiator, person), person) > STRONG


def test_one_warm_person_in_a_single_picture_can_be_enrolled_and_two_cannot(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    person = shot(rng, (100, 60, 140, 180))
    cv2.imwrite(str(one := tmp_path / "one.png"), person)
    cut = read_shot(one, "thermal", (256, 128), "hot").crop
    assert cut.shape == (256, 128)
    assert abs(float(np.median(cut)) - float(np.median(person[60:180, 100:140]))) < 10, "warm from edge to edge"
    cv2.imwrite(str(two := tmp_path / "two.png"), shot(rng, (100, 60, 140, 180), (200, 60, 240, 180)))
    with pytest.raises(UserError, match="shows 2 people to hot"):
        read_shot(two, "thermal", (256, 128), "hot")


def test_what_is_cooler_than_its_surroundings_is_nobody() -> None:
    frame = shot(np.random.default_rng(3), (100, 60, 140, 180), brightness=20)
    assert not warm_pixels(frame)[70:170, 105:135].any()
    assert len(HotDetector().detect(frame).boxes) == 0


def test_a_blank_picture_shows_nobody_and_a_new_size_is_learnt_anew() -> None:
    detector = HotDetector()
    for shape in ((240, 320), (512, 640), (60, 80)):
        for brightness in (0, 255, 100):
            assert len(detector.detect(np.full(shape, brightness, np.uint8)).boxes) == 0
    picture = cv2.resize(shot(np.random.default_rng(5), (100, 60, 140, 180)), (640, 480))
    assert is_seen(detector, np.asarray(picture, np.uint8), (200, 120, 280, 360))


def test_people_of_a_synthetic_scene_are_found(tmp_path: Path) -> None:
    write_scene(tmp_path / "scene", Screenplay(people=5, seconds=6, fps=10, seed=4))
    truth: dict[int, list[list[float]]] = {}
    for line in (tmp_path / "scene" / "gt_thermal.txt").read_text().splitlines():
        frame, _, left, top, width, height, _, _, seen = map(float, line.split(","))
        inside = [max(0.0, left), max(0.0, top), min(640.0, left + width), min(480.0, top + height)]
        truth.setdefault(int(frame) - 1, []).append([*inside, seen])
    video, detector = cv2.VideoCapture(str(tmp_path / "scene" / "thermal.avi")), HotDetector()
    hits = people = right = found = 0
    for index in range(60):
        detections = detector.detect(np.asarray(video.read()[1][:, :, 0], np.uint8))
        boxes = detections.boxes[detections.scores >= 0.5]
        there = np.array(truth.get(index, []), np.float32).reshape(-1, 5)
        near = intersection_over_union(boxes, there[:, :4]) >= 0.5
        clear = there[:, 4] >= 0.5
        hits, people = hits + int(near.any(axis=0)[clear].sum()), people + int(clear.sum())
        right, found = right + int(near.any(axis=1).sum()), found + len(boxes)
    assert people > 60
    assert hits >= 0.6 * people
    assert right >= 0.85 * found


@needs_real
def test_some_people_of_real_thermal_pictures_are_found() -> None:
    """Street scenes from a moving car are not what this detector is for: few are asked of it."""
    network = load_detector(f"onnx:{REAL / 'detector' / 'yolox_nano_416.onnx'}?score=0.35", "thermal")
    agreed = 0
    for path in sorted((REAL / "kaist").glob("*_lwir.png")):
        picture = np.asarray(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE), np.uint8)
        brighter = np.asarray(cv2.convertScaleAbs(picture, alpha=255 / np.percentile(picture, 99.8)), np.uint8)
        overlaps = intersection_over_union(HotDetector().detect(picture).boxes, network.detect(brighter).boxes)
        agreed += int((overlaps >= 0.3).any(axis=0).sum()) if overlaps.size else 0
    assert agreed >= 4
