from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_reid.data.synthetic.cameras import draw_cameras
from edge_reid.data.synthetic.crops import make_crop
from edge_reid.data.synthetic.dataset import person_of
from edge_reid.errors import UserError
from edge_reid.people.boxes import intersection_over_union, suppress
from edge_reid.people.detection import load_detector
from edge_reid.people.hog import HogDetector
from edge_reid.people.motion import MotionDetector, join_fragments, split_groups
from edge_reid.types import MODALITIES, Modality

RNG = np.random.default_rng(2)


def test_overlap_agrees_with_counting_pixels() -> None:
    def pixels(box: np.ndarray) -> set[tuple[int, int]]:
        return {(x, y) for x in range(int(box[0]), int(box[2])) for y in range(int(box[1]), int(box[3]))}

    corners = RNG.integers(0, 20, (12, 2))
    boxes = np.concatenate([corners, corners + RNG.integers(1, 12, (12, 2))], axis=1).astype(np.float32)
    overlaps = intersection_over_union(boxes[:5], boxes[5:])
    for i, first in enumerate(boxes[:5]):
        for j, second in enumerate(boxes[5:]):
            both, either = pixels(first) & pixels(second), pixels(first) | pixels(second)
            assert overlaps[i, j] == pytest.approx(len(both) / len(either), abs=1e-6)


def test_suppression_keeps_neighbours_far_from_the_origin_and_drops_doubles() -> None:
    boxes = np.array([[500, 300, 540, 400], [545, 300, 585, 400], [502, 303, 541, 402], [10, 10, 50, 110]], np.float32)
    scores = np.array([0.8, 0.7, 0.9, 0.6], np.float32)
    assert suppress(boxes, scores, 0.5).tolist() == [2, 1, 3]
    assert suppress(boxes[:0], scores[:0], 0.5).tolist() == []


def test_suppression_agrees_with_opencv_on_crowds() -> None:
    for count in (0, 1, 40, 400):
        corners = RNG.uniform(0, 600, (count, 2)).astype(np.float32)
        extents = RNG.uniform(20, 120, (count, 2)).astype(np.float32)
        scores = RNG.permutation(np.linspace(0.1, 1.0, count)).astype(np.float32)
        kept = suppress(np.concatenate([corners, corners + extents], axis=1), scores, 0.4)
        as_opencv = cv2.dnn.NMSBoxes(np.concatenate([corners, extents], axis=1).tolist(), scores.tolist(), 0.0, 0.4)
        assert kept.tolist() == [int(index) for index in as_opencv]


@pytest.mark.parametrize("spec", ["yolo", "onnx", "onnx:", "", "?every=2", "motion:file", "Motion", "hog.onnx"])
def test_an_unknown_detector_is_refused(spec: str) -> None:
    with pytest.raises(UserError, match="not known; choose motion, hog, hot or onnx:FILE"):
        load_detector(spec, "visible")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("motion?evry=2", r"detector motion\?evry=2: has no option evry; choose from every$"),
        ("motion?score=0.5", "has no option score; choose from every$"),
        ("motion?every=0", "every=0: Input should be greater than or equal to 1"),
        ("hog?every=two", "every=two: Input should be a valid integer"),
        ("hot?every=1&every=2", "every is given twice; leave one out"),
        ("onnx:x.onnx?clas=1", "has no option clas; choose from every, family, class, score, size"),
        ("onnx:x.onnx?score=1.5", "score=1.5: Input should be less than 1"),
        ("onnx:x.onnx?score=nan", "score=nan: Input should be"),
        ("onnx:x.onnx?class=-1", "class=-1: Input should be greater than or equal to 0"),
        ("onnx:x.onnx?size=big", "size=big: give one number, or WIDTHxHEIGHT"),
        ("onnx:x.onnx?family=yolo", "family=yolo is not known; choose yolox, "),
    ],
)
def test_a_wrong_option_is_refused_with_what_is_right(spec: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        load_detector(spec, "thermal")


@pytest.mark.parametrize("name", ["motion", "hog", "hot"])
def test_every_detector_says_what_it_is_and_how_often_it_wants_to_be_asked(name: str) -> None:
    always, seldom = load_detector(name, "thermal"), load_detector(f"{name}?every=3", "thermal")
    assert (always.name, always.every, seldom.every) == (name, 1, 3)
    assert seldom.description == f"{always.description}, on one frame in 3"
    assert always.description.startswith(name)


def test_warmth_is_not_looked_for_in_visible_light() -> None:
    with pytest.raises(UserError, match="detector hot: finds warmth, and this camera is visible; choose motion, hog"):
        load_detector("hot", "visible")


def test_an_opencv_without_hog_is_told_how_to_get_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(cv2, "HOGDescriptor")
    with pytest.raises(UserError, match="install 'opencv-python<5'"):
        HogDetector()


def test_hog_finds_most_drawn_people_where_they_are() -> None:
    camera = draw_cameras(2, 5)[0]
    detector, found = HogDetector(), 0
    for number in range(12):
        crop = make_crop(person_of(3, number), camera, np.random.default_rng(number))
        frame = np.full((360, 480, 3), 110, np.uint8)
        frame[50:306, 170:298] = crop.image
        rows, columns = np.nonzero(crop.parts)
        true = np.array([[columns.min() + 170, rows.min() + 50, columns.max() + 171, rows.max() + 51]], np.float32)
        overlaps = intersection_over_union(detector.detect(frame).boxes, true)
        found += bool(overlaps.size and overlaps.max() >= 0.5)
    assert found >= 7


def test_hog_takes_frames_of_both_modalities_and_any_size() -> None:
    detector = load_detector("hog", "visible")
    sizes = [(240, 320), (120, 160), (60, 80), (48, 64), (111, 200), (200, 47), (112, 48), (1, 1)]
    for frame in (np.zeros((240, 320, 3), np.uint8), *(np.zeros(size, np.uint8) for size in sizes)):
        assert detector.detect(frame).boxes.shape == (0, 4)


def film(modality: Modality, people: dict[int, list[tuple[int, int, int, int]]], frames: int) -> list[np.ndarray]:
    """Noisy frames of 320 x 240 with upright ellipses in the given boxes."""
    shape = (240, 320, 3) if modality == "visible" else (240, 320)
    back = cv2.GaussianBlur(RNG.integers(60, 140, shape).astype(np.uint8), (31, 31), 0)
    pictures = []
    for index in range(frames):
        picture = back.copy()
        for left, top, right, bottom in people.get(index, []):
            axes = ((right - left) // 2, (bottom - top) // 2)
            center = ((left + right) // 2, (top + bottom) // 2)
            cv2.ellipse(picture, center, axes, 0, 0, 360, (30, 60, 220) if modality == "visible" else 220, -1)
        noisy = picture.astype(np.float64) + RNG.normal(0, 3, shape)
        pictures.append(np.clip(noisy, 0, 255).astype(np.uint8))
    return pictures


@pytest.mark.parametrize("modality", MODALITIES)
def test_a_walking_blob_is_found_by_motion(modality: Modality) -> None:
    boxes = {index: [(10 + 5 * index, 80, 40 + 5 * index, 170)] for index in range(10, 50)}
    detector = MotionDetector(modality)
    hits = 0
    for index, frame in enumerate(film(modality, boxes, 50)):
        found = detector.detect(frame)
        if index < 10:
            assert len(found.boxes) == 0, "nothing moves yet"
            continue
        overlaps = intersection_over_union(found.boxes, np.array(boxes[index], np.float32))
        hits += len(found.boxes) == 1 and overlaps[0, 0] > 0.7 and found.scores[0] > 0.5
    assert hits >= 36


def test_a_sudden_change_of_light_is_not_people() -> None:
    detector = MotionDetector("visible")
    for frame in film("visible", {}, 10):
        detector.detect(frame)
    assert len(detector.detect(np.full((240, 320, 3), 250, np.uint8)).boxes) == 0


@pytest.mark.parametrize("modality", MODALITIES)
def test_a_camera_that_changes_its_gain_still_shows_only_the_person(modality: Modality) -> None:
    box = (120, 40, 200, 230)
    frames = film(modality, {index: [box] for index in range(60, 70)}, 70)
    detector = MotionDetector(modality)
    for frame in frames[:60]:
        detector.detect(frame)
    for frame in frames[60:]:
        found = detector.detect(np.asarray(cv2.add(frame, (25.0, 25.0, 25.0, 0.0)), np.uint8))
        assert len(found.boxes) == 1
        assert intersection_over_union(found.boxes, np.array([box], np.float32))[0, 0] > 0.8


def test_a_camera_that_comes_back_with_another_size_is_learnt_anew() -> None:
    detector = MotionDetector("visible")
    for frame in film("visible", {}, 8):
        detector.detect(frame)
    for frame in film("visible", {}, 8):
        assert len(detector.detect(frame[:200]).boxes) == 0


def test_fragments_of_one_person_are_joined_and_two_people_are_not() -> None:
    head, body, legs = [14, 0, 24, 10], [6, 14, 34, 50], [8, 54, 36, 90]
    stranger, above = [60, 0, 90, 90], [61, -95, 89, -5]
    joined = join_fragments(np.array([legs, stranger, head, above, body], np.float32))
    assert sorted(box.tolist() for box in joined) == sorted([[6, 0, 36, 90], stranger, above])


def test_two_heads_cut_a_group_in_two() -> None:
    mask = np.zeros((120, 160), np.uint8)
    for x in (40, 75):
        cv2.circle(mask, (x, 20), 8, 1, -1)
        cv2.rectangle(mask, (x - 18, 30), (x + 18, 110), 1, -1)
    (group,) = join_fragments(np.array([[22, 12, 94, 111]], np.float32))
    parts = split_groups(group[None], mask)
    assert len(parts) == 2
    assert abs(parts[0][2] - 57) <= 3
    alone = np.array([[22, 12, 59, 111]], np.float32)
    assert np.array_equal(split_groups(alone, mask), alone)


def test_nothing_is_joined_or_cut_where_nothing_is() -> None:
    none = np.zeros((0, 4), np.float32)
    assert join_fragments(none).shape == (0, 4)
    assert split_groups(none, np.zeros((9, 9), np.uint8)).shape == (0, 4)


def test_a_missing_detector_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"gone.onnx: no such file"):
        load_detector(f"onnx:{tmp_path / 'gone.onnx'}", "visible")
