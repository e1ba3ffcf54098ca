"""The families of detection networks, how a graph is told to be of one, and which of its classes is a person.

Shapes: H, W the network's input; P predictions; C classes.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np

from edge_reid.errors import UserError
from edge_reid.people.networks.layouts import (
    YOLO_STRIDES,
    Layout,
    Outputs,
    Predictions,
    columns,
    counted,
    distances,
    finished,
    grid,
    logits,
    offsets,
    queries,
    rows,
    scored,
    targets,
)
from edge_reid.people.networks.picture import Fit, Pixels, Size

RAW = Pixels("BGR")
UNIT = Pixels("RGB", deviation=(255.0, 255.0, 255.0))
IMAGENET = Pixels("RGB", (123.675, 116.28, 103.53), (58.395, 57.12, 57.375))
IMAGENET_REVERSED = Pixels("BGR", (103.53, 116.28, 123.675), (57.375, 57.12, 58.395))

Doubles = Literal["NMS by us", "NMS built in", "needs no NMS"]

PEOPLE = ("person", "people", "pedestrian")
"""Names of the class in the metadata of networks."""

COCO = {80: 0, 91: 1}
"""Where a person is among the classes that are numbered without gaps, and among those with COCO's gaps."""


def _always(predictions: Predictions, size: Size) -> bool:
    return True


def _near_cells(predictions: Predictions, size: Size) -> bool:
    """Whether boxes lie where their cells are: offsets taken for pixels do not, nor pixels taken for offsets."""
    cells, strides = grid(size, YOLO_STRIDES)
    boxes = predictions.boxes(np.arange(len(cells)))
    with np.errstate(invalid="ignore"):
        centers = 0.5 * (boxes[:, :2] + boxes[:, 2:]) / strides
        return bool(np.median(np.abs(centers - cells - 0.5)) < 2.0)


def _sure_of_objects(predictions: Predictions, size: Size) -> bool:
    return _near_cells(predictions, size) and bool(np.all(predictions.objectness == 1.0))


def _weighs_objects(predictions: Predictions, size: Size) -> bool:
    return _near_cells(predictions, size) and not np.all(predictions.objectness == 1.0)


@dataclass(frozen=True)
class Family:
    """Networks that take the same picture and answer in the same form."""

    title: str
    pixels: Pixels
    fit: Fit
    layout: Layout
    doubles: Doubles
    answer: str
    """The form of its outputs, for people."""
    claims: Callable[[Predictions, Size], bool] = _always
    """Whether an answer that has the form may be its own: other families share the form."""
    told_size: bool = False
    """It has a second input `orig_target_sizes (1, 2)`, width and height that its boxes are scaled to."""


FAMILIES = {
    "yolox": Family("YOLOX", RAW, "corner", offsets, "NMS by us", "1 x cells x (5 + classes), offsets", _near_cells),
    "yolox-decoded": Family(
        "decoded YOLOX", RAW, "corner", partial(rows, anchors=1), "NMS by us", "1 x cells x (5 + classes)",
        _weighs_objects,
    ),
    "yolov5": Family(
        "YOLOv5 or v7", UNIT, "center", partial(rows, anchors=3), "NMS by us", "1 x 3 cells x (5 + classes)"
    ),
    "yolov6": Family(
        "YOLOv6", UNIT, "center", partial(rows, anchors=1), "NMS by us", "1 x cells x (5 + classes), objectness 1",
        _sure_of_objects,
    ),
    "yolov8": Family("YOLOv8 to v12", UNIT, "center", columns, "NMS by us", "1 x (4 + classes) x cells"),
    "yolo26": Family("YOLO26, v10 or a YOLO with NMS", UNIT, "center", finished, "NMS built in", "1 x N x 6"),
    "rtdetr": Family(
        "RT-DETR or D-FINE", UNIT, "stretch", targets, "needs no NMS", "labels, boxes, scores", told_size=True
    ),
    "rtdetr-shares": Family(
        "RT-DETR with boxes as shares", UNIT, "stretch", queries, "needs no NMS", "1 x N x (4 + classes)"
    ),
    "rfdetr": Family("RF-DETR", IMAGENET, "stretch", logits, "needs no NMS", "dets 1 x N x 4, labels 1 x N x classes"),
    "nanodet": Family(
        "NanoDet-Plus", IMAGENET_REVERSED, "stretch", distances, "NMS by us",
        "1 x cells x (classes + 32), in one or per stride",
    ),
    "rtmdet": Family(
        "RTMDet", IMAGENET_REVERSED, "corner", scored, "NMS built in", "dets 1 x N x 5, labels 1 x N"
    ),
    "mmdetection": Family(
        "MMDetection with ImageNet's colours", IMAGENET, "corner", scored, "NMS built in",
        "dets 1 x N x 5, labels 1 x N",
    ),
    "efficientnms": Family(
        "YOLO with EfficientNMS", UNIT, "center", counted, "NMS built in",
        "num_dets, det_boxes, det_scores, det_classes",
    ),
}  # fmt: skip
"""By the name under which a user declares them. Sources: the repositories of Megvii YOLOX, Ultralytics, Meituan YOLOv6,
lyuwenyu RT-DETR, Roboflow RF-DETR, RangiLyu NanoDet, OpenMMLab MMDeploy and NVIDIA TensorRT's EfficientNMS plugin."""


def check_family(label: str, family: str | None) -> None:
    """Refuse a name that is no family's.

    Raises:
        UserError: with the choices.
    """
    if family is not None and family not in FAMILIES:
        raise UserError(f"{label}: family={family} is not known; choose {', '.join(FAMILIES)}")


def recognise(label: str, outputs: Outputs, size: Size, *, told_size: bool, declared: str | None) -> Family:
    """The family of a network.

    Args:
        label: the detector, for errors.
        outputs: what the network answered to a picture of noise.
        size: (H, W) of that picture.
        told_size: whether the network takes `orig_target_sizes`.
        declared: the family's name if the user gave one.

    Raises:
        UserError: no family fits, several do, or the declared one does not.
    """
    fitting = [name for name, family in FAMILIES.items() if _fits(family, outputs, size, told_size)]
    shapes = ", ".join(f"{name} {'x'.join(map(str, array.shape))}" for name, array in outputs.items())
    if declared is not None and declared not in fitting:
        hint = f"; it looks like {' or '.join(fitting)}" if fitting else ""
        raise UserError(
            f"{label}: is not of family={declared}, which answers {FAMILIES[declared].answer} with scores in 0..1 and "
            f"boxes in the picture; this one answers {shapes[:300]}{hint}"
        )
    if declared is None and len(fitting) > 1:
        raise UserError(f"{label}: its family cannot be told; say ?family= with one of {', '.join(fitting)}")
    if not fitting:
        raise UserError(
            f"{label}: of none of the families {', '.join(FAMILIES)} (it answers {shapes[:300]}); "
            "export the network in the form of one of them"
        )
    return FAMILIES[declared or fitting[0]]


def _fits(family: Family, outputs: Outputs, size: Size, told_size: bool) -> bool:
    if family.told_size != told_size or (predictions := family.layout(outputs, size)) is None:
        return False
    return _plausible(predictions) and family.claims(predictions, size)


def _plausible(predictions: Predictions) -> bool:
    """Whether scores are probabilities, classes whole numbers, and boxes in pixels rather than in shares."""
    shares = [predictions.scores] if predictions.objectness is None else [predictions.scores, predictions.objectness]
    if not all(np.all((share >= -1e-3) & (share <= 1.001)) for share in shares):
        return False
    if predictions.labels is not None and not np.array_equal(predictions.labels, np.rint(predictions.labels)):
        return False
    boxes = predictions.boxes(np.arange(len(predictions.scores)))
    return not boxes.any() or bool(np.abs(boxes).max() > 2.0)


def person_class(label: str, classes: int | None, metadata: Mapping[str, str], declared: int | None) -> tuple[int, str]:
    """The index of the class of people, and how it is told to the user.

    Args:
        label: the detector, for errors.
        classes: how many the network tells apart, None where its answer does not show it.
        metadata: of the graph; `names` are those of the classes, as Ultralytics writes them.
        declared: the index if the user gave one.

    Raises:
        UserError: it does not follow from names or number, or there is none of that index.
    """
    names = _names(metadata.get("names", ""))
    count = len(names) or classes
    among = f" of {count}" if count else ""
    if declared is not None:
        if (classes is not None and declared >= classes) or (names and declared not in names):
            raise UserError(f"{label}: class={declared} is none of its {count} classes; count from 0")
        return declared, f"person is class {declared}{among}"
    named = [index for index, name in names.items() if name.lower() in PEOPLE]
    if named and (classes is None or named[0] < classes):
        return named[0], f"person is class {named[0]}{among}"
    if count == 1:
        return 0, "person is its only class"
    if count is None:
        return 0, "person is taken to be class 0"
    if names or count not in COCO:
        known = ": " + ", ".join(f"{index} {name}" for index, name in list(names.items())[:8]) if names else ""
        raise UserError(
            f"{label}: which of its {count} classes is a person is not told{known[:200]}; say ?class=NUMBER"
        )
    return COCO[count], f"person is class {COCO[count]}{among}"


def _names(text: str) -> dict[int, str]:
    """The names of classes by index out of a Python or JSON list or dictionary; none where it is no such thing."""
    try:
        value = ast.literal_eval(text) if len(text) < 100_000 else {}
        pairs = enumerate(value) if isinstance(value, list) else value.items()
        return {int(index): str(name) for index, name in pairs}
    except (ValueError, SyntaxError, TypeError, AttributeError, MemoryError, RecursionError):
        return {}
