"""A small graph with a light convolution, and crops for it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper


def light_model() -> onnx.ModelProto:
    """1x1 whose channels differ 1000-fold, depthwise 3x3, Relu, 1x1: crops `(N, 3, 8, 8)` to `(N, 4, 8, 8)`."""
    random = np.random.default_rng(0)
    weights = {
        "pointwise": random.normal(size=(4, 3, 1, 1)) * np.array([10, 1, 0.01, 0]).reshape(4, 1, 1, 1),
        "depthwise": random.normal(size=(4, 1, 3, 3)) / np.array([10, 1, 0.01, 1]).reshape(4, 1, 1, 1),
        "bias": random.normal(size=4) * 10,
        "last": random.normal(size=(4, 4, 1, 1)),
    }
    nodes = [
        helper.make_node("Cast", ["crops"], ["pixels"], name="cast", to=TensorProto.FLOAT),
        helper.make_node("Conv", ["pixels", "pointwise"], ["between"], name="first"),
        helper.make_node("Conv", ["between", "depthwise", "bias"], ["sum"], name="second", group=4, pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["sum"], ["light"], name="relu"),
        helper.make_node("Conv", ["light", "last"], ["out"], name="third"),
    ]
    return finished(nodes, weights, taken=(3, 8, 8), given=(4, 8, 8))


def finished(
    nodes: list[onnx.NodeProto],
    weights: dict[str, NDArray[np.float64]],
    *,
    taken: tuple[int, ...],
    given: tuple[int, ...],
) -> onnx.ModelProto:
    """The model of these nodes, from uint8 `crops` of shape `(N, *taken)` to float `out` of `(N, *given)`."""
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("crops", TensorProto.UINT8, ["n", *taken])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, ["n", *given])],
        [numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def light_chunks() -> Iterator[NDArray[np.uint8]]:
    random = np.random.default_rng(1)
    for count in (3, 5):
        yield random.integers(0, 256, (count, 3, 8, 8), dtype=np.uint8)


def values(model: onnx.ModelProto, name: str, *, fused: bool = True) -> NDArray[np.float32]:
    """A tensor over all chunks, `(8, ...)`; with `fused` false every operator computes as it is written."""
    shown = onnx.ModelProto()
    shown.CopyFrom(model)
    if name != "out":
        shown.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
    options = onnxruntime.SessionOptions()
    if not fused:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(shown.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return np.concatenate([session.run([name], {"crops": crops})[0] for crops in light_chunks()])
