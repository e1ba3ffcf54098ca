"""What values a graph's tensors take on calibration crops, in memory that does not grow with their number."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Literal, NamedTuple

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

Ranges = dict[str, tuple[float, float]]
"""Lowest and highest value per tensor."""

Chunks = Callable[[], Iterable[NDArray[np.uint8]]]
"""Gives the calibration crops a few at a time, as often as it is called."""

Method = Literal["percentile", "min-max", "entropy", "mse"]

BINS = 8192

LEVELS = 255
"""Steps of 8 bits."""

PERCENTILE = 99.999
"""Of the values of a tensor, half of the rest cut off at either end."""

SHARES = np.linspace(1 / 16, 1, 121)
"""Of the extremes, among which the searching methods choose."""


class Histogram(NamedTuple):
    """The values of a tensor."""

    counts: NDArray[np.int64]
    """`(BINS,)`"""
    low: float
    high: float

    def centres(self) -> NDArray[np.float64]:
        """The value that stands for each bin."""
        edges = np.linspace(self.low, self.high, len(self.counts) + 1)
        return (edges[:-1] + edges[1:]) / 2


class Channels(NamedTuple):
    """What the channels of a tensor are like; each field is `(C,)`."""

    largest: NDArray[np.float64]
    """Absolute value."""
    mean: NDArray[np.float64]


def observe(
    model: onnx.ModelProto, tensors: Sequence[str], chunks: Chunks, method: Method, *, symmetric: bool = False
) -> Ranges:
    """The ranges of `tensors` over all crops.

    Args:
        model: graph with one input of crops.
        tensors: names of float tensors of the graph.
        chunks: the crops; called twice but by min-max, for histograms need the extremes first.
        method: min-max keeps every value; percentile ignores the outermost 0.001 %; entropy takes the range whose
            rounded histogram diverges least from the true one (Kullback and Leibler; TensorRT's calibrator); mse the
            one with the least mean squared error.
        symmetric: 8 bits are spread evenly around 0, for the searching methods.
    """
    session = session_with_outputs(model, tensors)
    extremes: Ranges = {}
    for name, values in _values(session, tensors, chunks):
        low, high = extremes.get(name, (np.inf, -np.inf))
        extremes[name] = (min(low, float(values.min())), max(high, float(values.max())))
    if method == "min-max":
        return extremes
    counts = {name: np.zeros(BINS, dtype=np.int64) for name in tensors}
    for name, values in _values(session, tensors, chunks):
        counts[name] += _counted(values, *extremes[name])
    histograms = {name: Histogram(counts[name], *extremes[name]) for name in tensors}
    if method == "percentile":
        return {name: central_range(histogram) for name, histogram in histograms.items()}
    search = least_divergent_range if method == "entropy" else least_error_range
    return {name: search(histogram, symmetric=symmetric) for name, histogram in histograms.items()}


def observe_channels(model: onnx.ModelProto, tensors: Sequence[str], chunks: Chunks) -> dict[str, Channels]:
    """The channels of `tensors`, each `(N, C, ...)`, over all crops."""
    session = session_with_outputs(model, tensors)
    largest: dict[str, NDArray[np.float64]] = {}
    sums: dict[str, NDArray[np.float64]] = {}
    numbers = dict.fromkeys(tensors, 0)
    for name, values in _values(session, tensors, chunks):
        flat = values.swapaxes(0, 1).reshape(values.shape[1], -1)
        top = np.abs(flat).max(axis=1).astype(np.float64)
        largest[name] = np.maximum(largest[name], top) if name in largest else top
        sums[name] = sums.get(name, 0.0) + flat.sum(axis=1, dtype=np.float64)
        numbers[name] += flat.shape[1]
    return {name: Channels(largest[name], sums[name] / numbers[name]) for name in tensors}


def central_range(histogram: Histogram) -> tuple[float, float]:
    """The range that holds all but the outermost 0.001 %."""
    edges = np.linspace(histogram.low, histogram.high, len(histogram.counts) + 1)
    share = np.cumsum(histogram.counts) / histogram.counts.sum()
    cut = (100 - PERCENTILE) / 200
    first = int(np.searchsorted(share, cut, side="right"))
    last = int(np.searchsorted(share, 1 - cut, side="left"))
    return float(edges[first]), float(edges[last + 1])


def least_error_range(histogram: Histogram, *, symmetric: bool = False) -> tuple[float, float]:
    """The share of the extremes at which rounding and clipping together change the values least, in mean square."""
    centres = histogram.centres()

    def error(low: float, high: float) -> float:
        step = (high - low) / LEVELS
        rounded = np.clip(np.round(centres / step), np.round(low / step), np.round(high / step)) * step
        return float(histogram.counts @ np.square(centres - rounded))

    return _best_share(histogram, error, symmetric=symmetric)


def least_divergent_range(histogram: Histogram, *, symmetric: bool = False) -> tuple[float, float]:
    """The share of the extremes at which the rounded histogram diverges least from the clipped one.

    Zeros, of which a Relu makes many, are rounded exactly and do not count.
    """
    centres = histogram.centres()
    counts = np.where(np.abs(centres) < (histogram.high - histogram.low) / BINS, 0, histogram.counts)

    def divergence(low: float, high: float) -> float:
        inside = (centres >= low) & (centres <= high)
        raw = counts[inside].astype(np.float64)
        if not raw.any():
            return np.inf
        clipped = raw.copy()
        clipped[0] += counts[centres < low].sum()
        clipped[-1] += counts[centres > high].sum()
        level = np.minimum(((centres[inside] - low) / (high - low) * (LEVELS + 1)).astype(int), LEVELS)
        # A level's values are spread over the bins that had any.
        held = np.bincount(level, raw > 0, LEVELS + 1)
        spread = np.where(raw > 0, (np.bincount(level, raw, LEVELS + 1) / np.maximum(held, 1))[level], 0)
        seen = clipped > 0
        truth = clipped[seen] / clipped.sum()
        rounded = np.maximum(spread[seen] / spread.sum(), 1e-12)
        return float(truth @ np.log(truth / rounded))

    return _best_share(histogram, divergence, symmetric=symmetric)


def _counted(values: NDArray[np.float32], low: float, high: float) -> NDArray[np.int64]:
    """How many values are in each of `BINS` equal bins; `numpy.histogram` takes half as long again."""
    bins = ((values.ravel() - np.float32(low)) * np.float32(BINS / max(high - low, 1e-30))).astype(np.int32)
    return np.bincount(np.clip(bins, 0, BINS - 1), minlength=BINS)


def _best_share(histogram: Histogram, cost: Callable[[float, float], float], *, symmetric: bool) -> tuple[float, float]:
    """The share of the extremes, 0 inside them, that costs least; the largest of several."""
    low, high = min(histogram.low, 0.0), max(histogram.high, 0.0)
    if symmetric:
        low, high = -max(-low, high), max(-low, high)
    if low == high:
        return low, high
    costs = [cost(share * low, share * high) for share in reversed(SHARES)]
    share = float(SHARES[::-1][int(np.argmin(costs))])
    return share * low, share * high


def session_with_outputs(model: onnx.ModelProto, tensors: Sequence[str]) -> onnxruntime.InferenceSession:
    """A session that also gives inner tensors out."""
    widened = onnx.ModelProto()
    widened.CopyFrom(model)
    present = {output.name for output in model.graph.output}
    for name in tensors:
        if name not in present:
            widened.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    return onnxruntime.InferenceSession(widened.SerializeToString(), providers=["CPUExecutionProvider"])


def outputs(
    session: onnxruntime.InferenceSession, names: Sequence[str], crops: NDArray[np.uint8]
) -> list[NDArray[np.float32]]:
    """Tensors of these names for some crops."""
    values: list[NDArray[np.float32]] = session.run(list(names), {session.get_inputs()[0].name: crops})
    return values


def _values(
    session: onnxruntime.InferenceSession, tensors: Sequence[str], chunks: Chunks
) -> Iterator[tuple[str, NDArray[np.float32]]]:
    for crops in chunks():
        yield from zip(tensors, outputs(session, tensors, crops), strict=True)
