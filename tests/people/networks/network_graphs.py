"""Tiny ONNX graphs that answer like detection networks, and the answers of each family worked out by hand."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

SIZE = (64, 96)
CELLS = 8 * 12 + 4 * 6 + 2 * 3
MORE_CELLS = CELLS + 1 * 2

Outputs = dict[str, NDArray[np.generic]]
Shape = list[int | str]


@dataclass(frozen=True)
class Graph:
    """What a file holds."""

    outputs: Outputs
    tint: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    """By output, of the outputs' shapes with three weights behind: what the means of the picture's channels add."""
    shape: Shape = field(default_factory=lambda: [1, 3, *SIZE])
    kind: int = TensorProto.FLOAT
    told_size: bool = False
    metadata: dict[str, str] = field(default_factory=dict)

    def write(self, path: Path) -> Path:
        """Save it."""
        nodes = [
            helper.make_node("Cast", ["images"], ["picture"], to=TensorProto.FLOAT),
            helper.make_node("ReduceMean", ["picture"], ["means"], axes=[0, 2, 3], keepdims=0),
        ]
        if self.shape[1] != 3:
            nodes[1:] = [
                helper.make_node("ReduceMean", ["picture"], ["mean"], keepdims=0),
                helper.make_node("Mul", ["mean", "three"], ["means"]),
            ]
        constants, outputs = [numpy_helper.from_array(np.ones(3, np.float32), "three")], []
        for name, array in self.outputs.items():
            kind = helper.np_dtype_to_tensor_dtype(array.dtype)
            weights = self.tint.get(name, np.zeros((*array.shape, 3), np.float32))
            constants += [
                numpy_helper.from_array(array.astype(np.float32), f"{name}_base"),
                numpy_helper.from_array(weights, f"{name}_weights"),
            ]
            nodes += [
                helper.make_node("MatMul", [f"{name}_weights", "means"], [f"{name}_tint"]),
                helper.make_node("Add", [f"{name}_base", f"{name}_tint"], [f"{name}_sum"]),
                helper.make_node("Cast", [f"{name}_sum"], [name], to=kind),
            ]
            outputs.append(helper.make_tensor_value_info(name, kind, list(array.shape)))
        inputs = [helper.make_tensor_value_info("images", self.kind, self.shape)]
        if self.told_size:
            inputs.append(helper.make_tensor_value_info("orig_target_sizes", TensorProto.INT64, [1, 2]))
            nodes.append(helper.make_node("Identity", ["orig_target_sizes"], ["unused"]))
        graph = helper.make_graph(nodes, "tiny", inputs, outputs, constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        helper.set_model_props(model, self.metadata)
        onnx.save(model, path)
        return path


# Two people and a dog in pixels of the input, and how sure each is; the second person's box is doubled, a little worse.
ANNA, BORIS, DOG = (8.0, 4.0, 24.0, 44.0), (50.0, 8.0, 62.0, 40.0), (30.0, 40.0, 50.0, 56.0)
FOUND = [(ANNA, 0, 0.75), (BORIS, 0, 0.5), ((51.0, 8.0, 63.0, 40.0), 0, 0.25), (DOG, 2, 0.875)]


def center(box: tuple[float, float, float, float]) -> list[float]:
    left, top, right, bottom = box
    return [(left + right) / 2, (top + bottom) / 2, right - left, bottom - top]


def places(count: int) -> list[tuple[int, int, int]]:
    """Stride, x and y of every cell: strides of 8, 16 and 32 and, for the larger grid, 64."""
    strides = [8, 16, 32, 64][: 3 if count == CELLS else 4]
    return [
        (stride, x, y) for stride in strides for y in range(-(-SIZE[0] // stride)) for x in range(-(-SIZE[1] // stride))
    ]


def offsets(classes: int = 80) -> Graph:
    """YOLOX: each of `FOUND` in the cell of stride 8 that holds its centre, scores as objectness times class."""
    table = np.zeros((1, CELLS, 5 + classes), np.float32)
    for box, label, score in FOUND:
        x, y, width, height = (value / 8 for value in center(box))
        row = int(y) * 12 + int(x)
        while table[0, row, 4]:
            row += 1  # the double, from the cell beside
        stride, column, line = places(CELLS)[row]
        assert stride == 8
        table[0, row, :5] = [x - column, y - line, np.log(width), np.log(height), 0.9]
        table[0, row, 5 + label] = score / 0.9
    return Graph({"output": table})


def decoded(classes: int = 80, objectness: float | None = None) -> Graph:
    """Boxes in pixels, one per cell, those without a person where their cell is."""
    table = np.zeros((1, CELLS, 5 + classes), np.float32)
    for row, (stride, x, y) in enumerate(places(CELLS)):
        table[0, row, :5] = [(x + 0.5) * stride, (y + 0.5) * stride, stride, stride, objectness or 0.01]
    for row, (box, label, score) in enumerate(FOUND):
        table[0, 30 + row, :5] = [*center(box), objectness or 0.9]
        table[0, 30 + row, 5 + label] = score / (objectness or 0.9)
    return Graph({"output": table})


def anchored(classes: int = 80) -> Graph:
    """YOLOv5."""
    table = np.zeros((1, 3 * CELLS, 5 + classes), np.float32)
    for row, (box, label, score) in enumerate(FOUND):
        table[0, 7 * row, :5] = [*center(box), 0.9]
        table[0, 7 * row, 5 + label] = score / 0.9
    return Graph({"output0": table})


def turned(classes: int = 80) -> Graph:
    """YOLOv8."""
    table = np.zeros((1, 4 + classes, CELLS), np.float32)
    for row, (box, label, score) in enumerate(FOUND):
        table[0, :4, 9 * row] = center(box)
        table[0, 4 + label, 9 * row] = score
    return Graph({"output0": table})


def finished() -> Graph:
    """YOLO26 and others that leave no doubles."""
    table = np.zeros((1, 300, 6), np.float32)
    for row, (box, label, score) in enumerate(distinct()):
        table[0, row] = [*box, score, label]
    return Graph({"output0": table})


def listed() -> Graph:
    """RT-DETR and D-FINE."""
    labels, boxes, scores = np.zeros((1, 9), np.int64), np.zeros((1, 9, 4), np.float32), np.zeros((1, 9), np.float32)
    for row, (box, label, score) in enumerate(distinct()):
        labels[0, row], boxes[0, row], scores[0, row] = label, box, score
    return Graph({"labels": labels, "boxes": boxes, "scores": scores}, told_size=True)


def shared(classes: int = 80) -> Graph:
    """RT-DETR as Ultralytics exports it."""
    table = np.zeros((1, 9, 4 + classes), np.float32)
    for row, (box, label, score) in enumerate(distinct()):
        table[0, row, :4] = np.array(center(box)) / ([SIZE[1], SIZE[0]] * 2)
        table[0, row, 4 + label] = score
    return Graph({"output0": table})


def with_logits(classes: int = 91) -> Graph:
    """RF-DETR, whose classes count from 1."""
    boxes, labels = np.zeros((1, 9, 4), np.float32), np.full((1, 9, classes), -9.0, np.float32)
    for row, (box, label, score) in enumerate(distinct()):
        boxes[0, row] = np.array(center(box)) / ([SIZE[1], SIZE[0]] * 2)
        labels[0, row, 1 + label] = np.log(score / (1 - score))
    return Graph({"dets": boxes, "labels": labels})


def binned(classes: int = 80, *, apart: bool = False) -> Graph:
    """NanoDet-Plus: all weight on two neighbouring bins, so that distances may lie between."""
    table = np.zeros((1, MORE_CELLS, classes + 32), np.float32)
    strides = np.array([stride for stride, _, _ in places(MORE_CELLS)])
    for box, label, score in FOUND:
        x, y, *_ = center(box)
        row = int(np.flatnonzero(strides == 8)[int(y // 8) * 12 + int(x // 8)])
        while table[0, row, :classes].any():
            row += 1
        stride, column, line = places(MORE_CELLS)[row]
        point = (column * stride, line * stride)
        reach = [point[0] - box[0], point[1] - box[1], box[2] - point[0], box[3] - point[1]]
        table[0, row, label] = score
        bins = np.full((4, 8), -60.0)
        for edge, distance in enumerate(reach):
            whole, rest = divmod(distance / stride, 1.0)
            bins[edge, int(whole)] = np.log(max(1.0 - rest, 1e-20))
            if rest:
                bins[edge, int(whole) + 1] = np.log(rest)
        table[0, row, classes:] = bins.ravel()
    if not apart:
        return Graph({"output": table})
    parts: Outputs = {}
    for stride in (8, 16, 32, 64):
        parts[f"cls_pred_stride_{stride}"] = table[:, strides == stride, :classes]
        parts[f"dis_pred_stride_{stride}"] = table[:, strides == stride, classes:]
    return Graph(parts)


def with_scores() -> Graph:
    """MMDetection."""
    found, labels = np.zeros((1, 7, 5), np.float32), np.zeros((1, 7), np.int64)
    for row, (box, label, score) in enumerate(distinct()):
        found[0, row], labels[0, row] = [*box, score], label
    return Graph({"dets": found, "labels": labels})


def with_count() -> Graph:
    """EfficientNMS: what lies beyond the count is what an earlier picture left there."""
    boxes, scores, labels = np.zeros((1, 9, 4), np.float32), np.full((1, 9), 0.99, np.float32), np.zeros((1, 9))
    boxes[0, :] = (1.0, 1.0, 9.0, 9.0)
    for row, (box, label, score) in enumerate(distinct()):
        boxes[0, row], scores[0, row], labels[0, row] = box, score, label
    count = np.array([[len(distinct())]], np.int32)
    return Graph({
        "num_dets": count, "det_boxes": boxes, "det_scores": scores, "det_classes": labels.astype(np.int32),
    })  # fmt: skip


def distinct() -> list[tuple[tuple[float, float, float, float], int, float]]:
    """`FOUND` without the double."""
    return [FOUND[0], FOUND[1], FOUND[3]]
