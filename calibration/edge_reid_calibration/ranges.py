"""What values a graph's tensors take on calibration crops, in memory that does not grow with their number."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Literal

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

Ranges = dict[str, tuple[float, float]]
"""Lowest and highest value per tensor."""

Method = Literal["min-max", "percentile"]

BINS = 8192

PERCENTILE = 99.999
"""Of the values of a tensor, half of the rest cut off at either end."""


def observe(
    model: onnx.ModelProto, tensors: Sequence[str], chunks: Callable[[], Iterable[NDArray[np.uint8]]], method: Method
) -> Ranges:
    """The ranges of `tensors` over all crops.

    Args:
        model: graph with one input of crops.
        tensors: names of float tensors of the graph.
        chunks: gives the crops, a few at a time; called twice by the percentile method, whose histograms need the
            extremes first.
        method: "min-max" keeps every value, "percentile" ignores the outermost 0.001 %.
    """
    session = _session_with_outputs(model, tensors)
    ranges: Ranges = {}
    for name, values in _values(session, tensors, chunks):
        low, high = ranges.get(name, (np.inf, -np.inf))
        ranges[name] = (min(low, float(values.min())), max(high, float(values.max())))
    if method == "min-max":
        return ranges
    counts = {name: np.zeros(BINS, dtype=np.int64) for name in tensors}
    for name, values in _values(session, tensors, chunks):
        counts[name] += np.histogram(values, bins=BINS, range=ranges[name])[0]
    return {name: central_range(counts[name], ranges[name]) for name in tensors}


def central_range(counts: NDArray[np.int64], extremes: tuple[float, float]) -> tuple[float, float]:
    """The range that holds all but the outermost 0.001 % of a histogram over `extremes`."""
    edges = np.linspace(*extremes, len(counts) + 1)
    share = np.cumsum(counts) / counts.sum()
    cut = (100 - PERCENTILE) / 200
    first = int(np.searchsorted(share, cut, side="right"))
    last = int(np.searchsorted(share, 1 - cut, side="left"))
    return float(edges[first]), float(edges[last + 1])


def _session_with_outputs(model: onnx.ModelProto, tensors: Sequence[str]) -> onnxruntime.InferenceSession:
    widened = onnx.ModelProto()
    widened.CopyFrom(model)
    present = {output.name for output in model.graph.output}
    for name in tensors:
        if name not in present:
            widened.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    return onnxruntime.InferenceSession(widened.SerializeToString(), providers=["CPUExecutionProvider"])


def _values(
    session: onnxruntime.InferenceSession, tensors: Sequence[str], chunks: Callable[[], Iterable[NDArray[np.uint8]]]
) -> Iterable[tuple[str, NDArray[np.float32]]]:
    feed = session.get_inputs()[0].name
    for crops in chunks():
        yield from zip(tensors, session.run(list(tensors), {feed: crops}), strict=True)
