"""What detection networks answer, read as boxes and scores: one pure function per form of answer.

Shapes: H, W the network's input; P predictions; C classes; k those chosen of P. Boxes are left, top, right, bottom in
pixels of the input. A layout takes a network's outputs by name, each with a batch of one, and gives None where their
shapes are not its own.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_reid.people.boxes import Boxes
from edge_reid.people.networks.picture import Size

Array = NDArray[np.float32]
Outputs = Mapping[str, Array]

YOLO_STRIDES = (8, 16, 32)
LARGE_STRIDES = (8, 16, 32, 64)

REACH = 8
"""Bins in which NanoDet states how far each edge is from a point: 0 to 7 strides."""

MOST_QUERIES = 1000
"""Predictions of networks that answer with a list; those that answer for every cell of a grid give more."""


@dataclass(frozen=True)
class Predictions:
    """What a network says of one picture."""

    scores: Array
    """`(P, C)`, of every class; `(P, 1)` where `labels` tells the class."""
    boxes: Callable[[NDArray[np.intp]], Boxes]
    """From indices `(k,)` to boxes `(k, 4)`."""
    labels: Array | None = None
    """Class of each prediction `(P,)`, where the network has chosen one."""
    objectness: Array | None = None
    """`(P,)`, a factor of the scores."""

    @property
    def classes(self) -> int | None:
        """How many classes the network tells apart, None where the answer does not show it."""
        return self.scores.shape[1] if self.labels is None else None

    def of_class(self, index: int) -> Array:
        """Scores `(P,)` of one class."""
        if self.labels is not None:
            return np.where(self.labels == index, self.scores[:, 0], np.float32(0.0))
        column = self.scores[:, index]
        return column if self.objectness is None else column * self.objectness


Layout = Callable[[Outputs, Size], Predictions | None]


def offsets(outputs: Outputs, size: Size) -> Predictions | None:
    """`(1, P, 5 + C)`: offset in a cell and log size in strides, objectness, classes; YOLOX as it is trained."""
    table, (cells, strides) = _table(outputs), grid(size, YOLO_STRIDES)
    if table is None or len(table) != len(cells) or table.shape[1] < 6:
        return None

    def boxes(rows: NDArray[np.intp]) -> Boxes:
        raw, stride = table[rows], strides[rows]
        with np.errstate(over="ignore", invalid="ignore"):
            return _corners((raw[:, :2] + cells[rows]) * stride, np.exp(raw[:, 2:4]) * stride)

    return Predictions(table[:, 5:], boxes, objectness=table[:, 4])


def rows(outputs: Outputs, size: Size, *, anchors: int) -> Predictions | None:
    """`(1, P, 5 + C)`: centre and size in pixels, objectness, classes, for each of a number of anchors per cell."""
    table = _table(outputs)
    counts = [anchors * len(grid(size, strides)[0]) for strides in (YOLO_STRIDES, LARGE_STRIDES)]
    if table is None or len(table) not in counts or table.shape[1] < 6:
        return None
    return Predictions(
        table[:, 5:], lambda chosen: _corners(table[chosen, :2], table[chosen, 2:4]), objectness=table[:, 4]
    )


def columns(outputs: Outputs, size: Size) -> Predictions | None:
    """`(1, 4 + C, P)`: centre and size in pixels, classes; no objectness."""
    table = _table(outputs)
    counts = [len(grid(size, strides)[0]) for strides in (YOLO_STRIDES, LARGE_STRIDES)]
    if table is None or table.shape[1] not in counts or len(table) < 5:
        return None
    turned = table.T
    return Predictions(turned[:, 4:], lambda chosen: _corners(turned[chosen, :2], turned[chosen, 2:4]))


def finished(outputs: Outputs, size: Size) -> Predictions | None:
    """`(1, P, 6)`: corners in pixels, score, class."""
    table = _table(outputs)
    if table is None or table.shape[1] != 6 or len(table) > MOST_QUERIES:
        return None
    return Predictions(table[:, 4:5], lambda chosen: table[chosen, :4], labels=table[:, 5])


def targets(outputs: Outputs, size: Size) -> Predictions | None:
    """`labels (1, P)`, `boxes (1, P, 4)` as corners in pixels, `scores (1, P)`."""
    return _lists(outputs, "boxes", "scores", "labels")


def counted(outputs: Outputs, size: Size) -> Predictions | None:
    """`num_dets (1, 1)`, `det_boxes (1, P, 4)` as corners in pixels, `det_scores` and `det_classes (1, P)`."""
    count = outputs.get("num_dets")
    found = _lists(outputs, "det_boxes", "det_scores", "det_classes")
    if found is None or count is None or count.size != 1:
        return None
    valid = np.arange(len(found.scores))[:, None] < count.reshape(1, 1)
    return Predictions(np.where(valid, found.scores, np.float32(0.0)), found.boxes, labels=found.labels)


def scored(outputs: Outputs, size: Size) -> Predictions | None:
    """`dets (1, P, 5)` as corners in pixels and score, `labels (1, P)`."""
    found, labels = outputs.get("dets"), outputs.get("labels")
    if found is None or labels is None or found.ndim != 3 or found.shape[2] != 5 or labels.shape != found.shape[:2]:
        return None
    table = found[0]
    return Predictions(table[:, 4:5], lambda chosen: table[chosen, :4], labels=labels[0])


def queries(outputs: Outputs, size: Size) -> Predictions | None:
    """`(1, P, 4 + C)`: centre and size as shares of the picture, classes."""
    table = _table(outputs)
    cells = len(grid(size, YOLO_STRIDES)[0])
    if table is None or len(outputs) > 1 or len(table) > MOST_QUERIES or table.shape[1] < 7:
        return None
    if {cells, 3 * cells} & set(table.shape):
        return None
    return Predictions(table[:, 4:], _shares(table[:, :4], size))


def logits(outputs: Outputs, size: Size) -> Predictions | None:
    """`dets (1, P, 4)`: centre and size as shares of the picture; `labels (1, P, C)` before the logistic function."""
    found, labels = outputs.get("dets"), outputs.get("labels")
    if found is None or labels is None or found.ndim != 3 or found.shape[2] != 4 or labels.ndim != 3:
        return None
    if labels.shape[:2] != found.shape[:2] or labels.shape[2] < 1:
        return None
    with np.errstate(over="ignore"):
        scores = 1.0 / (1.0 + np.exp(-labels[0]))
    return Predictions(scores, _shares(found[0], size))


def distances(outputs: Outputs, size: Size) -> Predictions | None:
    """`(1, P, C + 32)`, or its two parts for each stride: classes, and how far the four edges are, in eight bins each.

    The points that they are measured from are the cells' upper left corners, as in NanoDet-Plus.
    """
    table, (cells, strides) = _joined(outputs), grid(size, LARGE_STRIDES)
    if table is None or len(table) != len(cells) or table.shape[1] <= 4 * REACH:
        return None

    def boxes(rows: NDArray[np.intp]) -> Boxes:
        bins = table[rows, -4 * REACH :].reshape(-1, 4, REACH)
        weights = np.exp(bins - bins.max(axis=2, keepdims=True))
        reach = (weights @ np.arange(REACH, dtype=np.float32)) / weights.sum(axis=2) * strides[rows]
        points = cells[rows] * strides[rows]
        return np.concatenate([points - reach[:, :2], points + reach[:, 2:]], axis=1)

    return Predictions(table[:, : -4 * REACH], boxes)


@functools.cache
def grid(size: Size, strides: tuple[int, ...]) -> tuple[Array, Array]:
    """Cell (x, y) of every prediction `(P, 2)` in units of its stride, and the stride `(P, 1)`."""
    cells, steps = [], []
    for stride in strides:
        across, down = np.meshgrid(np.arange(-(-size[1] // stride)), np.arange(-(-size[0] // stride)))
        cells.append(np.stack([across.ravel(), down.ravel()], axis=1))
        steps.append(np.full((across.size, 1), stride))
    return np.concatenate(cells).astype(np.float32), np.concatenate(steps).astype(np.float32)


def _table(outputs: Outputs) -> Array | None:
    """The first output of three dimensions, without the batch: others are masks or what training needs."""
    return next((array[0] for array in outputs.values() if array.ndim == 3), None)


def _joined(outputs: Outputs) -> Array | None:
    """One table of the classes and the distances that come apart: pairs of outputs, one for each stride."""
    parts = [array[0] for array in outputs.values() if array.ndim == 3]
    if len(parts) <= 1:
        return _table(outputs)
    parts.sort(key=len, reverse=True)
    edges = [part for part in parts if part.shape[1] == 4 * REACH]
    classes = [part for part in parts if part.shape[1] != 4 * REACH]
    if len(edges) != len(LARGE_STRIDES) or [len(part) for part in edges] != [len(part) for part in classes]:
        return None
    if len({part.shape[1] for part in classes}) != 1:
        return None
    return np.concatenate([np.concatenate(classes), np.concatenate(edges)], axis=1)


def _lists(outputs: Outputs, boxes: str, scores: str, labels: str) -> Predictions | None:
    if any(name not in outputs for name in (boxes, scores, labels)):
        return None
    corners, values, classes = outputs[boxes], outputs[scores], outputs[labels]
    if corners.ndim != 3 or corners.shape[2] != 4 or not values.shape == classes.shape == corners.shape[:2]:
        return None
    return Predictions(values[0][:, None], lambda chosen: corners[0][chosen], labels=classes[0])


def _shares(table: Array, size: Size) -> Callable[[NDArray[np.intp]], Boxes]:
    scale = np.array([size[1], size[0]], np.float32)
    return lambda chosen: _corners(table[chosen, :2] * scale, table[chosen, 2:4] * scale)


def _corners(center: Array, extent: Array) -> Boxes:
    return np.concatenate([center - 0.5 * extent, center + 0.5 * extent], axis=1).astype(np.float32, copy=False)
