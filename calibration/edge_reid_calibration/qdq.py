"""Explicit quantisation of a float graph: 8-bit weights per channel, 8-bit activations per tensor, written as Q/DQ.

Activations are unsigned, weights signed (U8S8). On x86 with VNNI onnxruntime has its fast kernels for that pair; signed
activations took 1.6 times as long for OSNet x1.0 on a 2-core AMD EPYC with avx512_vnni.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, helper, numpy_helper

from edge_reid_calibration.ranges import Ranges

PASSING = frozenset({"MaxPool", "Split", "Concat"})
"""Operators that move values and do not change them: their tensors share one scale, so that no kernel rescales."""

QUANTIZABLE = PASSING | {"Conv", "Add", "Mul", "AveragePool", "GlobalAveragePool"}


class Graph:
    """A graph with the two look-ups that the placement needs."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self.proto = graph
        self.constants = {tensor.name: tensor for tensor in graph.initializer}
        self.consumers: dict[str, list[NodeProto]] = {}
        for node in graph.node:
            for name in node.input:
                self.consumers.setdefault(name, []).append(node)

    def activations(self, names: Iterable[str]) -> list[str]:
        """Those that are computed, not stored."""
        return [name for name in names if name and name not in self.constants]

    def result(self, node: NodeProto) -> list[str]:
        """A node's outputs; where a Relu alone reads them, its output: an unsigned scale clips at zero for free."""
        readers = self.consumers.get(node.output[0], [])
        if len(readers) == 1 and readers[0].op_type == "Relu":
            return list(readers[0].output)
        return list(node.output)


def quantized_nodes(graph: Graph, keep_float: Iterable[str]) -> list[NodeProto]:
    """The nodes that will compute in 8 bits: of a quantisable type and not named in `keep_float`.

    A passing operator follows the operator before it: alone it would only add conversions.
    """
    excluded = set(keep_float)
    nodes: list[NodeProto] = []
    made: set[str] = set()
    for node in graph.proto.node:
        if node.op_type not in QUANTIZABLE or node.name in excluded:
            continue
        if node.op_type not in PASSING or made.issuperset(graph.activations(node.input)):
            nodes.append(node)
            made.update(graph.result(node))
    return nodes


def quantized_tensors(graph: Graph, nodes: Iterable[NodeProto]) -> list[str]:
    """The activations that get a scale, in the order in which they are first met."""
    names: dict[str, None] = {}
    for node in nodes:
        names.update(dict.fromkeys([*graph.activations(node.input), *graph.result(node)]))
    return list(names)


def insert(model: onnx.ModelProto, keep_float: Iterable[str], ranges: Ranges) -> onnx.ModelProto:
    """A copy of `model` with Q/DQ pairs on every activation in `ranges` and on the weights of quantised Convs."""
    quantized = onnx.ModelProto()
    quantized.CopyFrom(model)
    proto = quantized.graph
    graph = Graph(proto)
    nodes = quantized_nodes(graph, keep_float)
    scales = activation_scales(graph, nodes, ranges)
    weights = {
        node.name: _quantize_weights(graph, node, scales[node.input[0]][0]) for node in nodes if node.op_type == "Conv"
    }
    ordered: list[NodeProto] = []
    for node in proto.node:
        node.input[:] = [f"{name}_dequantized" if name in scales else name for name in node.input]
        ordered += [*weights.get(node.name, []), node]
        for name in node.output:
            ordered += _pair(proto, name, *scales[name]) if name in scales else []
    used = {name for node in ordered for name in node.input}
    stored = [tensor for tensor in proto.initializer if tensor.name in used]
    rebuilt = onnx.helper.make_graph(ordered, proto.name, proto.input, proto.output, stored)
    proto.CopyFrom(rebuilt)
    onnx.checker.check_model(quantized, full_check=True)
    return quantized


def activation_scales(graph: Graph, nodes: Iterable[NodeProto], ranges: Ranges) -> dict[str, tuple[float, int]]:
    """Scale and zero point per tensor; the tensors around a passing operator get those of their common range."""
    group = {name: name for name in ranges}

    def root(name: str) -> str:
        while group[name] != name:
            name = group[name]
        return name

    for node in nodes:
        if node.op_type in PASSING:
            tensors: list[str] = [*graph.activations(node.input), *node.output]
            group.update({root(tensor): root(tensors[0]) for tensor in tensors})
    common: dict[str, tuple[float, float]] = {}
    for name, (low, high) in ranges.items():
        lowest, highest = common.get(root(name), (0.0, 0.0))
        common[root(name)] = (min(low, lowest), max(high, highest))
    return {name: scale_and_zero(*common[root(name)]) for name in ranges}


def scale_and_zero(low: float, high: float) -> tuple[float, int]:
    """For unsigned 8 bits over `low`..`high`, which must hold 0 so that padding and Relu are exact."""
    scale = max(high - low, 1e-6) / 255
    return scale, round(-low / scale)


def weight_scales(weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """Symmetric scale of each output channel (first axis); an all-zero channel gets a harmless one."""
    largest = np.abs(weights.reshape(len(weights), -1)).max(axis=1)
    return np.asarray(np.maximum(largest, 1e-6) / 127, dtype=np.float32)


def _quantize_weights(graph: Graph, node: NodeProto, input_scale: float) -> list[NodeProto]:
    """Store a Conv's weights as int8 and its bias as int32; returns the nodes that turn them back."""
    weights = numpy_helper.to_array(graph.constants[node.input[1]])
    scales = weight_scales(weights)
    columns = scales.reshape(-1, 1, 1, 1)
    rounded = np.clip(np.round(weights / columns), -127, 127).astype(np.int8)
    made = [_stored(graph.proto, f"{node.output[0]}_weights", rounded, scales)]
    node.input[1] = made[0].output[0]
    if len(node.input) > 2:
        steps = scales.astype(np.float64) * input_scale
        limit = 2.0**31 - 1
        bias = np.clip(np.round(numpy_helper.to_array(graph.constants[node.input[2]]) / steps), -limit, limit)
        made.append(_stored(graph.proto, f"{node.output[0]}_bias", bias.astype(np.int32), steps.astype(np.float32)))
        node.input[2] = made[1].output[0]
    return made


def _stored(
    proto: onnx.GraphProto, name: str, integers: NDArray[np.signedinteger], scales: NDArray[np.float32]
) -> NodeProto:
    """Store integers with a scale per channel; returns their DequantizeLinear."""
    zeros = np.zeros(len(scales), dtype=integers.dtype)
    parts = {name: integers, f"{name}_scale": scales, f"{name}_zero": zeros}
    proto.initializer.extend(numpy_helper.from_array(values, part) for part, values in parts.items())
    return helper.make_node("DequantizeLinear", list(parts), [f"{name}_dequantized"], name=f"{name}/DQ", axis=0)


def _pair(proto: onnx.GraphProto, name: str, scale: float, zero: int) -> list[NodeProto]:
    parts = [f"{name}_scale", f"{name}_zero"]
    proto.initializer.append(numpy_helper.from_array(np.array(scale, dtype=np.float32), parts[0]))
    proto.initializer.append(numpy_helper.from_array(np.array(zero, dtype=np.uint8), parts[1]))
    quantized = f"{name}_quantized"
    return [
        helper.make_node("QuantizeLinear", [name, *parts], [quantized], name=f"{name}/Q"),
        helper.make_node("DequantizeLinear", [quantized, *parts], [f"{name}_dequantized"], name=f"{name}/DQ"),
    ]
