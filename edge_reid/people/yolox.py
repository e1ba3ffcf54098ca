"""People found by a network of the YOLOX family in an ONNX file that the user supplies.

Shapes: H, W the graph's input; P = sum of (H / s) * (W / s) over strides s of 8, 16, 32; C classes, person first.
The graph takes `(1, 3, H, W)` BGR 0..255 and gives `(1, P, 5 + C)`: offsets, log sizes, objectness, class scores.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import onnxruntime
from numpy.typing import NDArray

from edge_reid.errors import UserError
from edge_reid.people.boxes import Boxes, Detections, suppress

STRIDES = (8, 16, 32)
GREY = 114
"""The border that these networks saw around every picture in training."""

LEAST_SCORE = 0.1
"""The tracker makes use of weak detections, to hold on to people it knows."""


class YoloxDetector:
    """A YOLOX graph, recognised by its shapes."""

    def __init__(self, file: Path) -> None:
        """Load the graph and run it once.

        Raises:
            UserError: the file is missing, not ONNX, or not of this family.
        """
        if not file.is_file():
            raise UserError(f"--detector onnx:{file}: no such file; check the path")
        options = onnxruntime.SessionOptions()
        # threads that spin while they wait would take the cores from the embedding engine
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime raises many types, none of them public
            raise UserError(
                f"--detector onnx:{file}: not a graph that onnxruntime can load; export it again"
            ) from error
        self._size = _recognised_size(self._session, file)
        self._name = self._session.get_inputs()[0].name
        self._grid, self._stride = _grid(self._size)
        blank = self._run(np.full((*self._size, 3), GREY, np.uint8))
        if np.abs(blank[:, :2]).max() > max(STRIDES):
            raise UserError(f"--detector onnx:{file}: its boxes are decoded already; export without decoding")

    def detect(self, frame: NDArray[np.uint8]) -> Detections:
        """The people in a frame of any size."""
        padded, scale = letterbox(frame, self._size)
        raw = self._run(padded)
        scores = raw[:, 4] * raw[:, 5]
        likely = scores >= LEAST_SCORE
        boxes = self._decode(raw[likely], likely) / scale
        kept = suppress(boxes, scores[likely], 0.5)
        height, width = frame.shape[:2]
        limits = np.array([width, height, width, height], np.float32)
        return Detections(np.clip(boxes[kept], 0.0, limits), scores[likely][kept])

    def _run(self, padded: NDArray[np.uint8]) -> NDArray[np.float32]:
        blob = np.ascontiguousarray(padded.transpose(2, 0, 1)[None], dtype=np.float32)
        return np.asarray(self._session.run(None, {self._name: blob})[0][0], dtype=np.float32)

    def _decode(self, raw: NDArray[np.float32], rows: NDArray[np.bool_]) -> Boxes:
        stride = self._stride[rows]
        center = (raw[:, :2] + self._grid[rows]) * stride
        half = 0.5 * np.exp(raw[:, 2:4]) * stride
        return np.concatenate([center - half, center + half], axis=1).astype(np.float32)


def letterbox(frame: NDArray[np.uint8], size: tuple[int, int]) -> tuple[NDArray[np.uint8], float]:
    """A frame as `(H, W, 3)`, scaled to fit the upper left corner with grey around it, and the scale."""
    height, width = size
    scale = min(height / frame.shape[0], width / frame.shape[1])
    inner = (max(1, round(frame.shape[1] * scale)), max(1, round(frame.shape[0] * scale)))
    small = np.asarray(cv2.resize(frame, inner, interpolation=cv2.INTER_LINEAR), dtype=np.uint8)
    padded = np.full((height, width, 3), GREY, np.uint8)
    padded[: inner[1], : inner[0]] = small if small.ndim == 3 else small[:, :, None]
    return padded, scale


def _grid(size: tuple[int, int]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Cell of every prediction `(P, 2)` in units of its stride, and the stride `(P, 1)`."""
    cells, strides = [], []
    for stride in STRIDES:
        rows, columns = np.mgrid[: size[0] // stride, : size[1] // stride]
        cells.append(np.stack([columns.ravel(), rows.ravel()], axis=1))
        strides.append(np.full((rows.size, 1), stride))
    return np.concatenate(cells).astype(np.float32), np.concatenate(strides).astype(np.float32)


def _recognised_size(session: onnxruntime.InferenceSession, file: Path) -> tuple[int, int]:
    inputs = [list(value.shape) for value in session.get_inputs()]
    outputs = [list(value.shape) for value in session.get_outputs()]
    if len(inputs) == len(outputs) == 1 and len(inputs[0]) == 4 and len(outputs[0]) == 3:
        channels, height, width = inputs[0][1:]
        if channels == 3 and isinstance(height, int) and isinstance(width, int):
            predictions = sum((height // stride) * (width // stride) for stride in STRIDES)
            if outputs[0][1] == predictions and isinstance(outputs[0][2], int) and outputs[0][2] >= 6:
                return height, width
    raise UserError(
        f"--detector onnx:{file}: not a YOLOX graph of fixed size (input {inputs}, output {outputs}); "
        "expected 1x3xHxW and 1xPx(5+classes)"
    )
