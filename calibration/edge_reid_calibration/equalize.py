"""What makes a float graph easier to round, before it is rounded.

Cross-layer equalisation and the analytic bias correction are those of Nagel et al., Data-Free Quantization through
Weight Equalization and Bias Correction (2019), both with ranges and means that were seen rather than derived.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto

from edge_reid_calibration.qdq import Graph, rounded_weights
from edge_reid_calibration.ranges import Channels
from edge_reid_calibration.scheme import Scheme

LEAST_SHARE = 1 / 64
"""Of the largest channel's range: smaller channels grow 64-fold at most, so that float16 can hold their weights."""


def light_pairs(graph: Graph) -> Iterator[tuple[NodeProto, NodeProto]]:
    """Each 1x1 convolution with the depthwise one that alone reads its result: the halves of a light convolution."""
    for node in graph.proto.node:
        readers = graph.consumers.get(node.output[0], [])
        if node.op_type == "Conv" and len(readers) == 1 and readers[0].op_type == "Conv":
            first, second = (graph.constants[one.input[1]].dims for one in (node, readers[0]))
            if list(first[2:]) == [1, 1] and second[1] == 1 and second[0] == first[0]:
                yield node, readers[0]


def equalized(model: onnx.ModelProto, channels: Mapping[str, Channels]) -> onnx.ModelProto:
    """A copy in which all channels between the halves of a light convolution have one range.

    Exact: nothing but a product lies between the two, so what one half is multiplied by divides the other. The tensor
    has one scale for all channels, and nothing else bounds it; the weights have a scale each, and lose nothing.

    Args:
        model: a float graph.
        channels: of the tensors between the halves.
    """
    copy, graph = _copied(model)
    for first, second in light_pairs(graph):
        largest = channels[first.output[0]].largest
        shares = np.maximum(largest / max(largest.max(), 1e-12), LEAST_SHARE)
        shares[largest == 0] = 1
        for name in first.input[1:]:
            _scale(graph, name, 1 / shares)
        _scale(graph, second.input[1], shares)
    return copy


def corrected(
    model: onnx.ModelProto, scheme: Scheme, convolutions: Iterable[str], channels: Mapping[str, Channels]
) -> onnx.ModelProto:
    """A copy whose biases take back what rounding the weights adds to a convolution's result on average.

    Args:
        model: a float graph.
        scheme: by which its weights will be rounded.
        convolutions: names of those that will be.
        channels: of their inputs.
    """
    copy, graph = _copied(model)
    wanted = set(convolutions)
    for node in graph.proto.node:
        if node.name not in wanted:
            continue
        weights = graph.array(node.input[1]).astype(np.float64)
        error = rounded_weights(weights.astype(np.float32), scheme) - weights
        groups = next((attribute.i for attribute in node.attribute if attribute.name == "group"), 1)
        means = channels[node.input[0]].mean.reshape(groups, -1).repeat(len(weights) // groups, axis=0)
        shift = (error.sum(axis=(2, 3)) * means).sum(axis=1)
        if len(node.input) > 2:
            graph.store(node.input[2], (graph.array(node.input[2]) - shift).astype(np.float32))
        else:
            node.input.append(f"{node.output[0]}_correction")
            graph.store(node.input[2], (-shift).astype(np.float32))
    return copy


def _copied(model: onnx.ModelProto) -> tuple[onnx.ModelProto, Graph]:
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    return copy, Graph(copy.graph)


def _scale(graph: Graph, name: str, factors: NDArray[np.float64]) -> None:
    values = graph.array(name)
    graph.store(name, (values * factors.reshape(-1, *[1] * (values.ndim - 1))).astype(np.float32))
