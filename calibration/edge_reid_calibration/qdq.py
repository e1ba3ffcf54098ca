"""Explicit quantisation of a float graph: 8-bit weights per channel, 8-bit activations per tensor, written as Q/DQ.

What is quantised and how is a device's `Scheme`. Unsigned activations with signed weights (U8S8) are onnxruntime's fast
pair on x86 with VNNI: signed activations took 1.6 times as long for OSNet x1.0 on a 2-core AMD EPYC with avx512_vnni.
TensorRT wants both signed, no zero points, floating biases, and no scale on a convolution's result.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, helper, numpy_helper

from edge_reid_calibration.ranges import Ranges
from edge_reid_calibration.scheme import Scheme

PASSING = frozenset({"MaxPool", "Split", "Concat"})
"""Operators that move values and do not change them: their tensors share one scale, so that no kernel rescales."""

QUANTIZABLE = PASSING | {"Conv", "Add", "Mul", "AveragePool", "GlobalAveragePool"}


class Placed(NamedTuple):
    """What of a graph becomes 8 bits."""

    nodes: list[NodeProto]
    """That compute in 8 bits."""
    readers: dict[str, set[tuple[str, int]]]
    """Per activation with a scale: the nodes, by name, and their inputs that read its rounded values."""


class Graph:
    """A graph with the look-ups that the placement needs."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self.proto = graph
        self.constants = {tensor.name: tensor for tensor in graph.initializer}
        self.consumers: dict[str, list[NodeProto]] = {}
        for node in graph.node:
            for name in node.input:
                self.consumers.setdefault(name, []).append(node)

    def array(self, name: str) -> NDArray[np.float32]:
        """The values of a stored tensor."""
        return numpy_helper.to_array(self.constants[name])

    def store(self, name: str, values: NDArray[np.float32]) -> None:
        """Store a tensor, or replace one."""
        if name not in self.constants:
            self.constants[name] = self.proto.initializer.add()
        self.constants[name].CopyFrom(numpy_helper.from_array(values, name))

    def activations(self, names: Iterable[str]) -> list[str]:
        """Those that are computed, not stored."""
        return [name for name in names if name and name not in self.constants]

    def result(self, node: NodeProto) -> list[str]:
        """A node's outputs; where a Relu alone reads them, its output: an unsigned scale clips at zero for free."""
        readers = self.consumers.get(node.output[0], [])
        if len(readers) == 1 and readers[0].op_type == "Relu":
            return list(readers[0].output)
        return list(node.output)

    def edges(self, name: str) -> set[tuple[str, int]]:
        """Everything that reads a tensor."""
        readers = self.consumers.get(name, [])
        return {(node.name, place) for node in readers for place, read in enumerate(node.input) if read == name}


def place(graph: Graph, scheme: Scheme, keep_float: Iterable[str] = ()) -> Placed:
    """What a scheme quantises; the nodes named in `keep_float` stay as they are."""
    return (_place_all if scheme.placement == "all" else _place_weighted)(graph, set(keep_float))


def _place_all(graph: Graph, keep_float: set[str]) -> Placed:
    """Everything of a quantisable type, inputs and results.

    A passing operator follows the operator before it: alone it would only add conversions.
    """
    nodes: list[NodeProto] = []
    made: set[str] = set()
    for node in graph.proto.node:
        if node.op_type not in QUANTIZABLE or node.name in keep_float:
            continue
        if node.op_type not in PASSING or made.issuperset(graph.activations(node.input)):
            nodes.append(node)
            made.update(graph.result(node))
    names = dict.fromkeys(
        name for node in nodes for name in [*graph.activations(node.input), *graph.result(node)]
    )  # in the order in which they are first met
    return Placed(nodes, {name: graph.edges(name) for name in names})


def _place_weighted(graph: Graph, keep_float: set[str]) -> Placed:
    """The inputs of convolutions, and the other operand of a sum with a convolution's result (the residual).

    That is where TensorRT fuses: it computes convolution, sum and Relu in one kernel, and rounds before the next one.
    """
    convolutions = [node for node in graph.proto.node if node.op_type == "Conv" and node.name not in keep_float]
    made = {name for node in convolutions for name in node.output}
    sums = [
        node
        for node in graph.proto.node
        if node.op_type == "Add" and node.name not in keep_float and made.intersection(node.input)
    ]
    readers: dict[str, set[tuple[str, int]]] = {}
    for node in graph.proto.node:
        if node in convolutions:
            readers.setdefault(node.input[0], set()).add((node.name, 0))
        elif node in sums and len(graph.activations(node.input)) == 2:
            residual = 1 if node.input[0] in made else 0
            readers.setdefault(node.input[residual], set()).add((node.name, residual))
    return Placed(convolutions, readers)


def insert(model: onnx.ModelProto, scheme: Scheme, keep_float: Iterable[str], ranges: Ranges) -> onnx.ModelProto:
    """A copy of `model` with Q/DQ pairs on the activations that a scheme quantises and on its convolutions' weights.

    `ranges` holds those of all these activations.
    """
    quantized = onnx.ModelProto()
    quantized.CopyFrom(model)
    proto = quantized.graph
    graph = Graph(proto)
    placed = place(graph, scheme, keep_float)
    scales = activation_scales(graph, placed, ranges, scheme)
    weights = {
        node.name: _quantize_weights(graph, node, scheme, scales[node.input[0]][0])
        for node in placed.nodes
        if node.op_type == "Conv"
    }
    rounded = set().union(*placed.readers.values())
    ordered: list[NodeProto] = []
    for node in proto.node:
        node.input[:] = [
            f"{name}_dequantized" if (node.name, number) in rounded else name for number, name in enumerate(node.input)
        ]
        ordered += [*weights.get(node.name, []), node]
        for name in node.output:
            ordered += _pair(proto, name, scheme, *scales[name]) if name in scales else []
    used = {name for node in ordered for name in node.input}
    stored = [tensor for tensor in proto.initializer if tensor.name in used]
    rebuilt = onnx.helper.make_graph(ordered, proto.name, proto.input, proto.output, stored)
    proto.CopyFrom(rebuilt)
    onnx.checker.check_model(quantized, full_check=True)
    return quantized


def activation_scales(graph: Graph, placed: Placed, ranges: Ranges, scheme: Scheme) -> dict[str, tuple[float, int]]:
    """Scale and zero point per tensor; the tensors around a passing operator get those of their common range."""
    group = {name: name for name in placed.readers}

    def root(name: str) -> str:
        while group[name] != name:
            name = group[name]
        return name

    for node in placed.nodes:
        if node.op_type in PASSING:
            tensors: list[str] = [*graph.activations(node.input), *node.output]
            group.update({root(tensor): root(tensors[0]) for tensor in tensors})
    common: dict[str, tuple[float, float]] = {}
    for name in placed.readers:
        low, high = ranges[name]
        lowest, highest = common.get(root(name), (0.0, 0.0))
        common[root(name)] = (min(low, lowest), max(high, highest))
    return {name: scale_and_zero(*common[root(name)], scheme) for name in placed.readers}


def scale_and_zero(low: float, high: float, scheme: Scheme) -> tuple[float, int]:
    """For 8 bits over `low`..`high`, which must hold 0 so that padding and Relu are exact."""
    if scheme.activations == "signed":
        return float(_storable(max(-low, high, 1e-6) / 127, scheme)), 0
    scale = float(_storable(max(high - low, 1e-6) / 255, scheme))
    return scale, round(-low / scale)


def weight_scales(weights: NDArray[np.float32], scheme: Scheme) -> NDArray[np.float32]:
    """Symmetric scale of each output channel (first axis); an all-zero channel gets a harmless one."""
    largest = np.abs(weights.reshape(len(weights), -1)).max(axis=1)
    return _storable(np.maximum(largest, 1e-6) / _largest(scheme), scheme)


def rounded_weights(weights: NDArray[np.float32], scheme: Scheme) -> NDArray[np.float64]:
    """What stays of a convolution's weights."""
    scales = weight_scales(weights, scheme)
    return _integers(weights, scales, scheme) * scales.astype(np.float64).reshape(-1, 1, 1, 1)


def _integers(weights: NDArray[np.float32], scales: NDArray[np.float32], scheme: Scheme) -> NDArray[np.int8]:
    limit = _largest(scheme)
    return np.clip(np.round(weights / scales.reshape(-1, 1, 1, 1)), -limit, limit).astype(np.int8)


def _largest(scheme: Scheme) -> int:
    return int(2 ** (scheme.weight_bits - 1) - 1)


def _storable(scale: float | NDArray[np.floating], scheme: Scheme) -> NDArray[np.float32]:
    """The least number of the scheme's type that is not below: what is rounded by it is what is multiplied by it."""
    kind = np.dtype(scheme.scale_type)
    wanted = np.asarray(scale, dtype=np.float64)
    stored = wanted.astype(kind)
    up = np.nextafter(stored, np.asarray(np.inf, kind))
    return np.where(stored.astype(np.float64) < wanted, up, stored).astype(np.float32)


def _quantize_weights(graph: Graph, node: NodeProto, scheme: Scheme, input_scale: float) -> list[NodeProto]:
    """Nodes that give a Conv its rounded weights, and where all is quantised its bias as int32."""
    weights = graph.array(node.input[1])
    scales = weight_scales(weights, scheme)
    name = f"{node.output[0]}_weights"
    if scheme.placement == "weighted":
        # Float weights and a pair around them: every TensorRT since 8 takes these, integers with half a pair not all.
        made = _weight_pair(graph.proto, node.input[1], name, scales)
        node.input[1] = made[1].output[0]
        return made
    made = [_stored(graph.proto, name, _integers(weights, scales, scheme), scales)]
    node.input[1] = made[0].output[0]
    if len(node.input) > 2:
        steps = scales.astype(np.float64) * input_scale
        most = 2.0**31 - 1
        bias = np.clip(np.round(graph.array(node.input[2]) / steps), -most, most)
        made.append(_stored(graph.proto, f"{node.output[0]}_bias", bias.astype(np.int32), steps.astype(np.float32)))
        node.input[2] = made[1].output[0]
    return made


def _weight_pair(proto: onnx.GraphProto, weights: str, name: str, scales: NDArray[np.float32]) -> list[NodeProto]:
    parts = [f"{name}_scale", f"{name}_zero"]
    proto.initializer.append(numpy_helper.from_array(scales, parts[0]))
    proto.initializer.append(numpy_helper.from_array(np.zeros(len(scales), np.int8), parts[1]))
    return [
        helper.make_node("QuantizeLinear", [weights, *parts], [f"{name}_quantized"], name=f"{name}/Q", axis=0),
        helper.make_node(
            "DequantizeLinear", [f"{name}_quantized", *parts], [f"{name}_dequantized"], name=f"{name}/DQ", axis=0
        ),
    ]


def _stored(
    proto: onnx.GraphProto, name: str, integers: NDArray[np.signedinteger], scales: NDArray[np.float32]
) -> NodeProto:
    """Store integers with a scale per channel; returns their DequantizeLinear."""
    zeros = np.zeros(len(scales), dtype=integers.dtype)
    parts = {name: integers, f"{name}_scale": scales, f"{name}_zero": zeros}
    proto.initializer.extend(numpy_helper.from_array(values, part) for part, values in parts.items())
    return helper.make_node("DequantizeLinear", list(parts), [f"{name}_dequantized"], name=f"{name}/DQ", axis=0)


def _pair(proto: onnx.GraphProto, name: str, scheme: Scheme, scale: float, zero: int) -> list[NodeProto]:
    kind = np.uint8 if scheme.activations == "unsigned" else np.int8
    parts = [f"{name}_scale", f"{name}_zero"]
    proto.initializer.append(numpy_helper.from_array(np.array(scale, dtype=np.float32), parts[0]))
    proto.initializer.append(numpy_helper.from_array(np.array(zero, dtype=kind), parts[1]))
    quantized = f"{name}_quantized"
    return [
        helper.make_node("QuantizeLinear", [name, *parts], [quantized], name=f"{name}/Q"),
        helper.make_node("DequantizeLinear", [quantized, *parts], [f"{name}_dequantized"], name=f"{name}/DQ"),
    ]
