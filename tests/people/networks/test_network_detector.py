from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import network_graphs as graphs
import numpy as np
import pytest
from network_graphs import ANNA, BORIS, SIZE, Graph
from onnx import TensorProto

from edge_reid.errors import UserError
from edge_reid.people.boxes import intersection_over_union
from edge_reid.people.detection import load_detector
from edge_reid.people.motion import MotionDetector
from edge_reid.people.networks.detector import NetworkDetector

REAL = Path(__file__).parents[4] / "shared" / "real"
YOLOX = REAL / "detector" / "yolox_nano_416.onnx"

needs_real = pytest.mark.skipif(not REAL.is_dir(), reason=f"the real pictures are not at {REAL}")

FAMILIES: dict[str, Callable[[], Graph]] = {
    "yolox": graphs.offsets,
    "yolox-decoded": graphs.decoded,
    "yolov5": graphs.anchored,
    "yolov6": lambda: graphs.decoded(objectness=1.0),
    "yolov8": graphs.turned,
    "yolo26": graphs.finished,
    "rtdetr": graphs.listed,
    "rtdetr-shares": graphs.shared,
    "rfdetr": graphs.with_logits,
    "nanodet": graphs.binned,
    "rtmdet": graphs.with_scores,
    "mmdetection": graphs.with_scores,
    "efficientnms": graphs.with_count,
}
AMBIGUOUS = ("rtmdet", "mmdetection")


def open_family(family: str, tmp_path: Path, graph: Graph | None = None) -> NetworkDetector:
    file = (graph or FAMILIES[family]()).write(tmp_path / f"{family}.onnx")
    return NetworkDetector(file, family=family if family in AMBIGUOUS else None)


@pytest.mark.parametrize("family", FAMILIES)
def test_people_of_every_family_are_found_where_they_are(family: str, tmp_path: Path) -> None:
    found = open_family(family, tmp_path).detect(np.zeros((*SIZE, 3), np.uint8))
    assert np.allclose(found.boxes, [ANNA, BORIS], atol=2e-3)
    assert np.allclose(found.scores, [0.75, 0.5], atol=1e-3)


TOLD = {
    "yolox": "YOLOX, 96 x 64, person is class 0 of 80, NMS by us",
    "yolox-decoded": "decoded YOLOX, 96 x 64, person is class 0 of 80, NMS by us",
    "yolov5": "YOLOv5 or v7, 96 x 64, person is class 0 of 80, NMS by us",
    "yolov6": "YOLOv6, 96 x 64, person is class 0 of 80, NMS by us",
    "yolov8": "YOLOv8 to v12, 96 x 64, person is class 0 of 80, NMS by us",
    "yolo26": "YOLO26, v10 or a YOLO with NMS, 96 x 64, person is taken to be class 0, NMS built in",
    "rtdetr": "RT-DETR or D-FINE, 96 x 64, person is taken to be class 0, needs no NMS",
    "rtdetr-shares": "RT-DETR with boxes as shares, 96 x 64, person is class 0 of 80, needs no NMS",
    "rfdetr": "RF-DETR, 96 x 64, person is class 1 of 91, needs no NMS",
    "nanodet": "NanoDet-Plus, 96 x 64, person is class 0 of 80, NMS by us",
    "efficientnms": "YOLO with EfficientNMS, 96 x 64, person is taken to be class 0, NMS built in",
}


@pytest.mark.parametrize("family", TOLD)
def test_what_a_graph_was_taken_for_is_told(family: str, tmp_path: Path) -> None:
    assert open_family(family, tmp_path).description == f"onnx:{family}.onnx is {TOLD[family]}"


# what a picture of one colour, blue 40, green 100, red 200, is to each family, channel by channel, worked out by hand
RGB_SHARES = (200 / 255, 100 / 255, 40 / 255)
RGB_IMAGENET = ((200 - 123.675) / 58.395, (100 - 116.28) / 57.12, (40 - 103.53) / 57.375)
PIXELS = {
    "yolox": (40.0, 100.0, 200.0),
    "yolox-decoded": (40.0, 100.0, 200.0),
    "rfdetr": RGB_IMAGENET,
    "mmdetection": RGB_IMAGENET,
    "nanodet": RGB_IMAGENET[::-1],
    "rtmdet": RGB_IMAGENET[::-1],
} | dict.fromkeys(("yolov5", "yolov6", "yolov8", "yolo26", "rtdetr", "rtdetr-shares", "efficientnms"), RGB_SHARES)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_gets_its_own_channel_order_and_normalisation(family: str, tmp_path: Path) -> None:
    graph = FAMILIES[family]()
    name = {"rtdetr": "boxes", "efficientnms": "det_boxes", "rfdetr": "dets", "rtmdet": "dets", "mmdetection": "dets"}
    output = name.get(family, next(iter(graph.outputs)))
    # the channels' means shift every coordinate (of `yolox` the offsets in a cell) and the shift is small enough to
    # leave the form of the answer plausible
    strength = {"yolox": 1e-4, "yolox-decoded": 1e-3, "rtdetr-shares": 1e-3, "rfdetr": 1e-3, "nanodet": 0.02}
    weights = np.zeros((*graph.outputs[output].shape, 3), np.float32)
    mix = np.array([0.5, 1.0, 0.25]) * strength.get(family, 0.1)
    if family == "yolov8":
        weights[:, :2] = mix
    elif family == "nanodet":  # there it is the score of a person
        weights[:, :, 0] = mix
    else:
        weights[..., :2, :] = mix
    frame = np.empty((*SIZE, 3), np.uint8)
    frame[:] = (40, 100, 200)
    plain = open_family(family, tmp_path).detect(frame)
    tinted = open_family(family, tmp_path, replace(graph, tint={output: weights})).detect(frame)
    shift = float(mix @ PIXELS[family])
    if family == "nanodet":
        assert np.allclose(tinted.scores[:2] - plain.scores, shift, atol=1e-4)
        return
    scale = {"yolox": (8, 8), "rtdetr-shares": (96, 64), "rfdetr": (96, 64)}.get(family, (1, 1))
    assert np.allclose(tinted.boxes[:, :2] - plain.boxes[:, :2], np.multiply(shift, scale), atol=2e-3)


@pytest.mark.parametrize(
    ("family", "expected"),
    [
        ("yolox", [2 * value for value in ANNA]),  # scale 0.5, in the corner
        ("yolov8", [16.0, 0.0, 48.0, 72.0]),  # scale 0.5, 8 pixels of border above
        ("rtdetr", [16.0, 6.0, 48.0, 66.0]),  # 0.5 across and 2/3 down
    ],
)
def test_boxes_come_back_to_a_frame_of_other_proportions(family: str, expected: list[float], tmp_path: Path) -> None:
    found = open_family(family, tmp_path).detect(np.zeros((96, 192, 3), np.uint8))
    assert np.allclose(found.boxes[0], np.minimum(expected, [192, 96, 192, 96]), atol=2e-3)


def test_the_two_halves_of_a_nanodet_may_come_apart(tmp_path: Path) -> None:
    detector = NetworkDetector(graphs.binned(apart=True).write(tmp_path / "apart.onnx"))
    found = detector.detect(np.zeros((*SIZE, 3), np.uint8))
    assert "NanoDet-Plus" in detector.description
    assert np.allclose(found.boxes, [ANNA, BORIS], atol=2e-3)


def test_half_precision_and_an_open_batch_are_taken(tmp_path: Path) -> None:
    graph = graphs.turned()
    outputs = {name: array.astype(np.float16) for name, array in graph.outputs.items()}
    half = replace(graph, outputs=outputs, kind=TensorProto.FLOAT16, shape=["batch", 3, *SIZE])
    found = NetworkDetector(half.write(tmp_path / "half.onnx")).detect(np.zeros((*SIZE, 3), np.uint8))
    assert np.allclose(found.boxes, [ANNA, BORIS], atol=0.05)


def test_a_graph_of_open_size_is_told_its_size_or_reads_it_from_its_metadata(tmp_path: Path) -> None:
    graph = replace(graphs.turned(), shape=["batch", 3, "height", "width"])
    file = graph.write(tmp_path / "open.onnx")
    with pytest.raises(UserError, match=r"any size; say \?size=WIDTHxHEIGHT"):
        NetworkDetector(file)
    assert "96 x 64" in load_detector(f"onnx:{file}?size=96x64", "visible").description
    assert "96 x 64" in NetworkDetector(replace(graph, metadata={"imgsz": "[64, 96]"}).write(file)).description
    with pytest.raises(UserError, match="takes 96 x 64 and no other size"):
        load_detector(f"onnx:{graphs.turned().write(file)}?size=128", "visible")


def test_thermal_frames_are_taken_and_boxes_end_where_the_frame_ends(tmp_path: Path) -> None:
    detector = open_family("yolox", tmp_path)
    assert np.allclose(detector.detect(np.zeros(SIZE, np.uint8)).boxes[0], ANNA, atol=1e-3)
    found = detector.detect(np.zeros((30, 96), np.uint8))
    assert found.boxes[:, 3].max() == 30.0


def test_the_least_score_is_the_users(tmp_path: Path) -> None:
    file = graphs.turned().write(tmp_path / "x.onnx")
    detector = load_detector(f"onnx:{file}?score=0.6&every=2", "visible")
    assert np.allclose(detector.detect(np.zeros((*SIZE, 3), np.uint8)).scores, [0.75])
    assert detector.every == 2
    assert detector.description.endswith("NMS by us, on one frame in 2")


def test_the_names_of_the_classes_decide_who_is_a_person(tmp_path: Path) -> None:
    graph = replace(graphs.turned(3), metadata={"names": "{0: 'cat', 1: 'bus', 2: 'Person'}"})
    detector = NetworkDetector(graph.write(tmp_path / "named.onnx"))
    assert "person is class 2 of 3" in detector.description
    assert np.allclose(detector.detect(np.zeros((*SIZE, 3), np.uint8)).scores, [0.875])


def test_who_is_a_person_is_asked_where_it_is_not_told(tmp_path: Path) -> None:
    file = graphs.turned(3).write(tmp_path / "three.onnx")
    with pytest.raises(UserError, match=r"which of its 3 classes is a person is not told; say \?class=NUMBER"):
        NetworkDetector(file)
    with pytest.raises(UserError, match="class=3 is none of its 3 classes; count from 0"):
        load_detector(f"onnx:{file}?class=3", "visible")
    assert "class 2 of 3" in load_detector(f"onnx:{file}?class=2", "visible").description
    names = replace(graphs.turned(3), metadata={"names": "['cat', 'bus', 'dog']"}).write(file)
    with pytest.raises(UserError, match="is not told: 0 cat, 1 bus, 2 dog; say"):
        NetworkDetector(names)


def test_a_graph_that_may_be_of_two_families_is_refused_with_the_choices(tmp_path: Path) -> None:
    file = graphs.with_scores().write(tmp_path / "x.onnx")
    with pytest.raises(UserError, match=r"cannot be told; say \?family= with one of rtmdet, mmdetection$"):
        NetworkDetector(file)
    assert "is RTMDet" in load_detector(f"onnx:{file}?family=rtmdet", "visible").description


@pytest.mark.parametrize("declared", ["yolov8", "yolox-decoded", "yolo26", "rtdetr"])
def test_a_family_that_the_graph_is_not_of_is_refused(declared: str, tmp_path: Path) -> None:
    file = graphs.offsets().write(tmp_path / "x.onnx")
    with pytest.raises(UserError, match=f"is not of family={declared}.*output 1x126x85; it looks like yolox$"):
        NetworkDetector(file, family=declared)


@pytest.mark.parametrize(
    "graph",
    [
        Graph({"output": np.zeros((1, 1000), np.float32)}),
        Graph({"output": np.full((1, 84, 126), 7.0, np.float32)}),  # scores above 1
        Graph({"output": np.full((1, 84, graphs.CELLS), 0.5, np.float32)}),  # boxes as shares
        Graph({"output": np.full((1, 126, 85), 300.0, np.float32)}),
        Graph({"output": np.full((1, 300, 6), np.nan, np.float32)}),
        Graph({"output": np.full((1, 300, 6), 0.5, np.float32)}),  # half a class
        Graph({"boxes": np.zeros((1, 9, 4), np.float32), "labels": np.zeros((1, 9)), "scores": np.zeros((1, 9))}),
    ],
    ids=["classifier", "scores", "shares", "values", "nan", "class", "detr without its size"],
)
def test_graphs_of_no_family_are_refused_with_the_choices(graph: Graph, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="of none of the families yolox, yolox-decoded, yolov5"):
        NetworkDetector(graph.write(tmp_path / "other.onnx"))


@pytest.mark.parametrize(
    ("shape", "kind", "message"),
    [
        ([1, 1, *SIZE], TensorProto.FLOAT, "export it for 1 x 3 x height x width"),
        ([1, *SIZE, 3], TensorProto.FLOAT, "export it for 1 x 3 x height x width"),
        ([1, 3, *SIZE], TensorProto.UINT8, "export it for 1 x 3 x height x width, float"),
        ([1, 3, 16, 16], TensorProto.FLOAT, "32 to 4096 pixels a side"),
        ([1, 3, 9999, 9999], TensorProto.FLOAT, "32 to 4096 pixels a side"),
        ([2, 3, *SIZE], TensorProto.FLOAT, "does not run"),
    ],
)
def test_graphs_that_take_no_picture_are_refused(shape: list[int], kind: int, message: str, tmp_path: Path) -> None:
    file = replace(graphs.turned(), shape=[*shape], kind=kind).write(tmp_path / "x.onnx")
    with pytest.raises(UserError, match=message):
        NetworkDetector(file)


def test_a_file_that_is_no_graph_and_a_family_that_is_none_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text.onnx").write_text("not a graph")
    with pytest.raises(UserError, match=r"text.onnx: onnxruntime cannot load it .*; export it again"):
        NetworkDetector(tmp_path / "text.onnx")
    with pytest.raises(UserError, match="family=yolo99 is not known; choose yolox, yolox-decoded"):
        NetworkDetector(tmp_path / "text.onnx", family="yolo99")
    with pytest.raises(UserError, match=r"gone.onnx: no such file"):
        NetworkDetector(tmp_path / "gone.onnx")


@needs_real
def test_a_real_network_is_recognised_and_finds_people_in_real_pictures() -> None:
    detector = load_detector(f"onnx:{YOLOX}?score=0.4", "visible")
    assert detector.description == "onnx:yolox_nano_416.onnx is YOLOX, 416 x 416, person is class 0 of 80, NMS by us"
    counts = []
    for picture in sorted((REAL / "kaist").glob("*_visible.png")):
        frame = cv2.imread(str(picture))
        found = detector.detect(np.asarray(frame, np.uint8))
        counts.append(len(found.boxes))
        height = found.boxes[:, 3] - found.boxes[:, 1]
        assert np.all(height > 0.9 * (found.boxes[:, 2] - found.boxes[:, 0])), "people stand and walk there"
    assert sum(counts) >= 20
    assert sum(count > 0 for count in counts) >= 5


@needs_real
def test_a_real_network_agrees_with_what_moves_in_a_real_clip() -> None:
    network, motion = load_detector(f"onnx:{YOLOX}?score=0.4", "visible"), MotionDetector("visible")
    clip = cv2.VideoCapture(str(REAL / "video" / "one-by-one-person-detection.mp4"))
    visited = []
    for index in range(150):
        frame = np.asarray(clip.read()[1], np.uint8)
        moving = motion.detect(frame)
        if index % 10 == 0:
            found = network.detect(frame)
            assert len(found.boxes) == (index >= 70), "the first visitor is in view from then on"
            if len(found.boxes):
                visited.append(intersection_over_union(found.boxes, moving.boxes).max())
    assert len(visited) == 8
    assert np.median(visited) > 0.8 and min(visited) > 0.6, "while they come in, a shadow moves with them"
