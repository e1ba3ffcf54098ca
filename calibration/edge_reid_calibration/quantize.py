"""Static INT8 of a float graph: where it pays, with ranges from calibration crops.

What was found with onnxruntime 1.31 on a 2-core AMD EPYC with avx512_vnni, OSNet at 256 x 128, batch 1, one thread
(sums of onnxruntime's own kernel times, so free of other load on the machine):

    width 1.0    float 12.6 ms    onnxruntime's default placement 11.7 ms    this one 6.9 ms
    width 0.25   float  2.7 ms    onnxruntime's default placement  5.7 ms    this one 2.4 ms

The default leaves pairs of QuantizeLinear and DequantizeLinear around the gates' tiny layers and every Sigmoid,
computes mean pooling in a scalar loop (0.9 ms) and normalises pixels in 8 bits (0.8 ms). Here no Relu gets a scale of
its own, gates and head stay float, and the graph has been arranged for 8 bits (`edge_reid_export.fold`).

Ranges decide what INT8 costs. On 100 synthetic test people, most points of rank-1 or mAP lost by two models, the
reference model and the demo's: extremes 0.94 and 0.69, the central 99.999 % 0.38 and 0.65, the central 99.99 % 0.24 and
1.19, the central 99.9 % (the demo's only) 3.8.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from edge_reid_calibration.qdq import Graph, insert, place
from edge_reid_calibration.ranges import Method, observe
from edge_reid_calibration.scheme import Scheme


@dataclass(frozen=True)
class Quantization:
    """What became of a graph."""

    method: Method
    quantized_convolutions: int
    convolutions: int


def quantize(
    source: Path,
    out: Path,
    chunks: Callable[[], Iterable[NDArray[np.uint8]]],
    scheme: Scheme,
    *,
    method: Method = "percentile",
) -> Quantization:
    """Write the graph at `source` with explicit 8-bit quantisation at `out`.

    Args:
        source: a float .onnx file with one input of uint8 crops.
        out: the .onnx file to write.
        chunks: gives the calibration crops a few at a time, as often as it is called.
        scheme: how the device wants its 8 bits.
        method: how ranges follow from observed values.
    """
    model = onnx.load(source)
    keep = kept_float(model, scheme)
    placed = place(Graph(model.graph), scheme, keep)
    ranges = observe(model, list(placed.readers), chunks, method)
    onnx.save(insert(model, scheme, keep, ranges), out)
    return Quantization(
        method=method,
        quantized_convolutions=sum(node.op_type == "Conv" for node in placed.nodes),
        convolutions=sum(node.op_type == "Conv" for node in model.graph.node),
    )


def kept_float(model: onnx.ModelProto, scheme: Scheme) -> set[str]:
    """The names of the nodes that would be quantised and must not be."""
    nodes = model.graph.node
    kept = {node.name for node in nodes if any(re.fullmatch(pattern, node.name) for pattern in scheme.keep_float)}
    widths = {tensor.name: tensor.dims[0] for tensor in model.graph.initializer if tensor.dims}
    last = [node for node in nodes if node.op_type == "Conv" and re.fullmatch(r"trunk\.5[./].*", node.name)]
    kept |= {node.name for node in last if widths.get(node.input[1], scheme.narrow) < scheme.narrow}
    # `edge_reid_export.fold` puts the pooling right after the stem where the stem is to stay float.
    pooled = {node.input[0] for node in nodes if node.op_type == "MaxPool"}
    return kept | {node.name for node in nodes if node.op_type == "Conv" and node.output[0] in pooled}
