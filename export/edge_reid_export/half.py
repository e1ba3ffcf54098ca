"""A float graph in float16, as TensorRT 11 wants it: types stand in the graph, the builder chooses none.

onnxruntime's own converter was tried; on these graphs it casts one tensor twice under one name.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper, version_converter

OPSET = 19
"""The first whose QuantizeLinear and DequantizeLinear take float16."""


def halved(model: onnx.ModelProto, keep_float: Sequence[str]) -> onnx.ModelProto:
    """The graph with 16-bit values and weights, but for the nodes of which a regular expression matches the name.

    A value that crosses between the two kinds is cast once. Inputs and outputs of the graph stay as they are.
    """
    made = version_converter.convert_version(model, OPSET)
    graph = made.graph
    floats = _floats(made)
    weights = {tensor.name: tensor for tensor in graph.initializer if tensor.data_type == TensorProto.FLOAT}
    kinds = {value.name: TensorProto.FLOAT for value in graph.input if value.name in floats}
    nodes: list[NodeProto] = []
    halves: dict[str, TensorProto] = {}
    cast: set[tuple[str, int]] = set()

    def read(name: str, kind: int) -> str:
        """The name under which a float value has this kind."""
        if name in weights:
            if kind == TensorProto.FLOAT16:
                halves[name] = numpy_helper.from_array(
                    numpy_helper.to_array(weights[name]).astype(np.float16), f"{name}_half"
                )
            return f"{name}_half" if kind == TensorProto.FLOAT16 else name
        if kinds[name] == kind:
            return name
        other = f"{name}_{'half' if kind == TensorProto.FLOAT16 else 'float'}"
        if (name, kind) not in cast:
            cast.add((name, kind))
            nodes.append(helper.make_node("Cast", [name], [other], name=f"{other}/Cast", to=kind))
        return other

    for node in graph.node:
        kept = any(re.fullmatch(pattern, node.name) for pattern in keep_float)
        kind = TensorProto.FLOAT if kept else TensorProto.FLOAT16
        node.input[:] = [read(name, kind) if name in floats else name for name in node.input]
        for attribute in node.attribute:
            if node.op_type == "Cast" and attribute.name == "to" and attribute.i == TensorProto.FLOAT:
                attribute.i = kind
        nodes.append(node)
        kinds |= {name: kind for name in node.output if name in floats}
    outputs = {value.name for value in graph.output}
    if any(kinds.get(name) == TensorProto.FLOAT16 for name in outputs):
        raise ValueError("the graph's output must come from a node that stays float32")
    used = {name for node in nodes for name in node.input}
    stored = [tensor for tensor in [*graph.initializer, *halves.values()] if tensor.name in used]
    graph.CopyFrom(helper.make_graph(nodes, graph.name, graph.input, graph.output, stored))
    onnx.checker.check_model(made, full_check=True)
    return made


def _floats(model: onnx.ModelProto) -> set[str]:
    """The names of all float32 values, stored and computed."""
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
    known = [*inferred.value_info, *inferred.input, *inferred.output]
    computed = {value.name for value in known if value.type.tensor_type.elem_type == TensorProto.FLOAT}
    return computed | {tensor.name for tensor in inferred.initializer if tensor.data_type == TensorProto.FLOAT}
