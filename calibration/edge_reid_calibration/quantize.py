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

import copy
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import NamedTuple

import onnx

from edge_reid_calibration.equalize import corrected, equalized, light_pairs
from edge_reid_calibration.qdq import PASSING, Graph, Placed, insert, place
from edge_reid_calibration.ranges import Channels, Chunks, Method, Ranges, observe, observe_channels
from edge_reid_calibration.scheme import Scheme


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """How the numbers of a quantised graph follow from what calibration crops make of the float one."""

    method: Method = "percentile"
    """From observed values to ranges, see `ranges.observe`."""
    equalize: bool = True
    """Give all channels between the halves of a light convolution one range."""
    correct: bool = False
    """Take the mean error of rounded weights back in the biases."""
    finetune: int = 0
    """Steps of quantisation-aware fine-tuning, see `finetune`."""


class Quantized(NamedTuple):
    """A quantised graph."""

    model: onnx.ModelProto
    convolutions: int
    """That compute in 8 bits."""


class Quantizer:
    """One float graph, and what calibration crops make of it; gives quantised versions of it."""

    def __init__(self, model: onnx.ModelProto, chunks: Chunks, scheme: Scheme, calibration: Calibration) -> None:
        """Prepare a graph, which is not changed.

        Args:
            model: a float graph with one input of uint8 crops.
            chunks: the calibration crops.
            scheme: how the device wants its 8 bits.
            calibration: how the numbers follow.
        """
        self.chunks, self.scheme, self.calibration = chunks, scheme, calibration
        if calibration.equalize:
            between = [first.output[0] for first, _ in light_pairs(Graph(model.graph))]
            model = equalized(model, observe_channels(model, between, chunks) if between else {})
        self.model = model
        self.kept = kept_float(model, scheme)
        self._ranges: Ranges = {}
        self._inputs: dict[str, Channels] = {}

    def with_weights_of(self, tuned: onnx.ModelProto) -> Quantizer:
        """The same with the weights of a graph that was tuned under these ranges, which therefore stay."""
        other = copy.copy(self)
        other.model, other._ranges, other._inputs = tuned, dict(self._ranges), {}
        return other

    def layers(self) -> list[str]:
        """The names of the nodes that the scheme quantises, in order, but for those that only move values."""
        nodes = place(Graph(self.model.graph), self.scheme, self.kept).nodes
        return [node.name for node in nodes if node.op_type not in PASSING]

    def quantized(self, given_back: Collection[str] = ()) -> Quantized:
        """The graph in 8 bits, but for the layers of these names."""
        keep = self.kept | set(given_back)
        placed = place(Graph(self.model.graph), self.scheme, keep)
        ranges = self.ranges_of(placed)
        convolutions = [node for node in placed.nodes if node.op_type == "Conv"]
        model = self.model
        if self.calibration.correct and convolutions:
            if missing := list({node.input[0] for node in convolutions} - self._inputs.keys()):
                self._inputs |= observe_channels(model, missing, self.chunks)
            model = corrected(model, self.scheme, [node.name for node in convolutions], self._inputs)
        return Quantized(insert(model, self.scheme, keep, ranges), len(convolutions))

    def ranges_of(self, placed: Placed) -> Ranges:
        """Of the activations that are rounded; each is observed once."""
        if missing := [name for name in placed.readers if name not in self._ranges]:
            symmetric = self.scheme.activations == "signed"
            method = self.calibration.method
            self._ranges |= observe(self.model, missing, self.chunks, method, symmetric=symmetric)
        return self._ranges


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
