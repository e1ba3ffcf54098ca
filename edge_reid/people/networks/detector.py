"""People found by a network in an ONNX file that the user supplies, of any family in `families.FAMILIES`.

Shapes: h, w the frame's size; H, W the network's input.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from edge_reid.engines.base import thread_count
from edge_reid.engines.onnxruntime_engine import session_options
from edge_reid.errors import UserError
from edge_reid.people.boxes import Detections, areas, suppress
from edge_reid.people.detection import paced
from edge_reid.people.networks.families import Family, check_family, person_class, recognise
from edge_reid.people.networks.picture import Canvas, Pixels, Size

LEAST_SCORE = 0.1
"""The tracker makes use of weak detections, to hold on to people it knows."""

MOST_PEOPLE = 300
"""Predictions that are looked at further, the best ones: bounds the time of a frame whatever it shows."""

SAME_PERSON = 0.5
"""Overlap from which the lesser of two boxes is a double."""

LEAST_SIDE, MOST_SIDE = 32, 4096

PICTURE_TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16}
SIZE_INPUT = "orig_target_sizes"


class NetworkDetector:
    """A detection network, its family recognised from what it answers to a picture of noise."""

    def __init__(
        self,
        file: Path,
        *,
        family: str | None = None,
        person: int | None = None,
        score: float = LEAST_SCORE,
        size: Size | None = None,
        every: int = 1,
    ) -> None:
        """Load the graph, run it once, and say in `description` what it was taken for.

        Args:
            file: ONNX.
            family: a name in `families.FAMILIES`, where it cannot be told from the graph.
            person: the class of people, where neither names nor number tell it.
            score: least score of a detection.
            size: (H, W) to run a graph at that takes any.
            every: the detector is to be asked on every so-many-th frame.

        Raises:
            UserError: the file is missing, not ONNX, or not what it is said to be; or what it is cannot be told.
        """
        self.name = f"onnx:{file.name}"
        self.every = every
        self._label = f"detector onnx:{file}"
        check_family(self._label, family)
        self._graph = _Graph.open(self._label, file, size)
        self._score = score
        noise = np.random.default_rng(0).integers(0, 256, (*self._graph.size, 3), dtype=np.uint8)
        canvas = Canvas(self._graph.size, Pixels("RGB", deviation=(255.0, 255.0, 255.0)), "corner")
        outputs = self._graph.run(canvas.put(noise))
        told_size = self._graph.takes_size
        self._family: Family = recognise(self._label, outputs, self._graph.size, told_size=told_size, declared=family)
        predictions = self._family.layout(outputs, self._graph.size)
        classes = None if predictions is None else predictions.classes
        self._person, which = person_class(self._label, classes, self._graph.metadata, person)
        self._canvas = Canvas(self._graph.size, self._family.pixels, self._family.fit)
        height, width = self._graph.size
        told = f"{self.name} is {self._family.title}, {width} x {height}, {which}, {self._family.doubles}"
        self.description = paced(told, every)

    def detect(self, frame: NDArray[np.uint8]) -> Detections:
        """The people in a frame of any size, best first.

        Raises:
            UserError: the network fails, or answers in another form than at first.
        """
        outputs = self._graph.run(self._canvas.put(frame))
        predictions = self._family.layout(outputs, self._graph.size)
        if predictions is None:
            raise UserError(f"{self._label}: its answer changed its form; export it with outputs of fixed shape")
        scores = predictions.of_class(self._person)
        likely = np.flatnonzero(scores >= self._score)
        best = likely[np.argsort(-scores[likely], kind="stable")[:MOST_PEOPLE]]
        boxes = predictions.boxes(best)
        sound = np.isfinite(boxes).all(axis=1)
        boxes, best = self._canvas.back(boxes[sound]), best[sound]
        seen = areas(boxes) > 0.0
        boxes, found = boxes[seen], np.minimum(scores[best[seen]], 1.0)
        if self._family.doubles == "NMS by us":
            kept = suppress(boxes, found, SAME_PERSON)
            boxes, found = boxes[kept], found[kept]
        return Detections(boxes, found)


@dataclass(frozen=True)
class _Graph:
    """A session, and what there is to know of it before it runs."""

    label: str
    session: onnxruntime.InferenceSession
    picture: str
    """The name of the input that takes a picture."""
    kind: type[np.float32 | np.float16]
    size: Size
    takes_size: bool
    metadata: dict[str, str]

    @staticmethod
    def open(label: str, file: Path, size: Size | None) -> _Graph:
        if not file.is_file():
            raise UserError(f"{label}: no such file; check the path")
        # Half of the cores, for the other camera and the embedding need theirs. Little is lost: YOLOX-nano at 416 took
        # 15 ms a frame on one thread and 16 on two of an AMD EPYC's two cores, with other work on them.
        options = session_options(max(1, thread_count() // 2))
        options.log_severity_level = 4
        # threads that spin while they wait would take the cores from everyone else
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            session = onnxruntime.InferenceSession(
                str(file), options, providers=["CPUExecutionProvider"], enable_fallback=0
            )
        except Exception as error:  # onnxruntime raises many types, none of them public
            raise UserError(f"{label}: onnxruntime cannot load it ({_short(error)}); export it again") from error
        inputs = {value.name: value for value in session.get_inputs()}
        takes_size = inputs.pop(SIZE_INPUT, None) is not None
        metadata = dict(session.get_modelmeta().custom_metadata_map)
        if len(inputs) != 1:
            raise UserError(f"{label}: has inputs {', '.join(inputs)}; export it with one picture as its input"[:400])
        ((name, picture),) = inputs.items()
        shape = list(picture.shape or [])
        if picture.type not in PICTURE_TYPES or len(shape) != 4 or (isinstance(shape[1], int) and shape[1] != 3):
            raise UserError(
                f"{label}: its input {name} is {picture.type} {shape}; export it for 1 x 3 x height x width, float"
            )
        return _Graph(
            label, session, name, PICTURE_TYPES[picture.type], _size(label, shape[2:], metadata, size), takes_size,
            metadata,
        )  # fmt: skip

    def run(self, picture: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        """What the network answers to a picture `(1, 3, H, W)`, by the outputs' names."""
        feed: dict[str, NDArray[np.generic]] = {self.picture: picture.astype(self.kind, copy=False)}
        if self.takes_size:
            feed[SIZE_INPUT] = np.array([self.size[::-1]], np.int64)
        try:
            answers = self.session.run(None, feed)
            arrays = [np.asarray(answer).astype(np.float32, copy=False) for answer in answers]
        except Exception as error:  # onnxruntime's, and NumPy's where an output is no array of numbers
            raise UserError(f"{self.label}: does not run ({_short(error)}); export it again") from error
        names = [output.name for output in self.session.get_outputs()]
        return dict(zip(names, arrays, strict=True))


def _size(label: str, sides: list[object], metadata: dict[str, str], asked: Size | None) -> Size:
    """(H, W) to run at: the graph's own, or the one asked for, or the one in Ultralytics' metadata."""
    fixed = [side if isinstance(side, int) and side > 0 else None for side in sides]
    size = asked or _size_in(metadata)
    if size is None and None in fixed:
        raise UserError(f"{label}: takes pictures of any size; say ?size=WIDTHxHEIGHT, such as the one of its training")
    height, width = (own or chosen for own, chosen in zip(fixed, size or (0, 0), strict=True))
    if asked not in (None, (height, width)):
        raise UserError(f"{label}: takes {width} x {height} and no other size; leave size= out")
    if not all(LEAST_SIDE <= side <= MOST_SIDE for side in (height, width)):
        raise UserError(f"{label}: takes {width} x {height}; {LEAST_SIDE} to {MOST_SIDE} pixels a side are possible")
    return height, width


def _size_in(metadata: dict[str, str]) -> Size | None:
    try:
        height, width = ast.literal_eval(metadata.get("imgsz", "")[:100])
        return int(height), int(width)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
