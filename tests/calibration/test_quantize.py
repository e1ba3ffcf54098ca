from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx
import onnxruntime
import pytest
from edge_reid_calibration.qdq import (
    Graph,
    activation_scales,
    insert,
    quantized_nodes,
    quantized_tensors,
    weight_scales,
)
from edge_reid_calibration.quantize import kept_float
from edge_reid_calibration.ranges import central_range, observe
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper


def small_model() -> onnx.ModelProto:
    """Conv, Relu, MaxPool, Conv, with a float head, on `(N, 2, 8, 8)`."""
    random = np.random.default_rng(0)
    weights = {
        "w1": random.normal(size=(4, 2, 3, 3)) * np.array([1, 10, 0.1, 0]).reshape(4, 1, 1, 1),
        "b1": random.normal(size=4),
        "w2": random.normal(size=(3, 4, 1, 1)),
        "b2": random.normal(size=3),
    }
    nodes = [
        helper.make_node("Cast", ["crops"], ["pixels"], name="cast", to=TensorProto.FLOAT),
        helper.make_node("Conv", ["pixels", "w1", "b1"], ["a"], name="conv1", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["r"], name="relu"),
        helper.make_node("MaxPool", ["r"], ["m"], name="pool", kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Conv", ["m", "w2", "b2"], ["c"], name="conv2"),
        helper.make_node("Mul", ["c", "c"], ["out"], name="head/Mul"),
    ]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("crops", TensorProto.UINT8, ["n", 2, 8, 8])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, ["n", 3, 4, 4])],
        [numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def chunks() -> Iterator[NDArray[np.uint8]]:
    random = np.random.default_rng(1)
    for count in (3, 5):
        yield random.integers(0, 256, (count, 2, 8, 8), dtype=np.uint8)


def run(model: onnx.ModelProto, crops: NDArray[np.uint8], output: str | None = None) -> NDArray[np.float32]:
    shown = onnx.ModelProto()
    shown.CopyFrom(model)
    if output:
        shown.graph.output.append(helper.make_tensor_value_info(output, TensorProto.FLOAT, None))
    session = onnxruntime.InferenceSession(shown.SerializeToString(), providers=["CPUExecutionProvider"])
    values: NDArray[np.float32] = session.run([output or "out"], {"crops": crops})[0]
    return values


def test_ranges_are_the_extremes_over_all_chunks() -> None:
    values = np.concatenate([run(small_model(), crops, "c") for crops in chunks()])
    assert observe(small_model(), ["c"], chunks, "min-max")["c"] == pytest.approx((values.min(), values.max()))


def test_the_percentile_method_stays_inside_the_extremes() -> None:
    low, high = observe(small_model(), ["c"], chunks, "min-max")["c"]
    inner_low, inner_high = observe(small_model(), ["c"], chunks, "percentile")["c"]
    assert low <= inner_low < inner_high <= high


def test_the_central_range_ignores_an_outlier_and_keeps_the_rest() -> None:
    counts = np.full(100, 1_000_000)
    counts[90:] = 0
    counts[99] = 1
    assert central_range(counts, (0.0, 100.0)) == pytest.approx((0.0, 90.0))


def test_a_relu_shares_the_scale_of_its_convolution_and_a_float_head_has_none() -> None:
    graph = Graph(small_model().graph)
    nodes = quantized_nodes(graph, ["head/Mul"])
    assert [node.name for node in nodes] == ["conv1", "pool", "conv2"]
    assert quantized_tensors(graph, nodes) == ["pixels", "r", "m", "c"]


def test_a_pooling_stays_float_where_its_convolution_does() -> None:
    graph = Graph(small_model().graph)
    assert [node.name for node in quantized_nodes(graph, ["head/Mul", "conv1"])] == ["conv2"]


def test_operators_that_only_move_values_keep_their_scale() -> None:
    graph = Graph(small_model().graph)
    nodes = quantized_nodes(graph, ["head/Mul"])
    scales = activation_scales(graph, nodes, {"pixels": (0, 255), "r": (0, 8), "m": (0.5, 4), "c": (-1, 3)})
    assert scales["r"] == scales["m"] == (8 / 255, 0)
    assert scales["c"] == (4 / 255, 64)
    assert scales["pixels"] == (1, 0)


def test_every_output_channel_has_its_own_scale_and_an_empty_one_a_harmless_one() -> None:
    weights = np.array([[1.27, -0.5], [0.0, 0.0], [-127.0, 3.0]], dtype=np.float32)
    scales = weight_scales(weights)
    assert scales[[0, 2]] == pytest.approx([0.01, 1.0])
    assert scales[1] > 0


def test_the_quantised_graph_computes_nearly_the_same() -> None:
    model = small_model()
    graph = Graph(model.graph)
    ranges = observe(model, quantized_tensors(graph, quantized_nodes(graph, ["head/Mul"])), chunks, "min-max")
    quantized = insert(model, ["head/Mul"], ranges)
    crops = next(chunks())
    expected, got = run(model, crops, "c"), run(quantized, crops, "c")
    assert np.abs(expected - got).max() < 0.02 * np.ptp(expected)


def test_weights_are_stored_as_integers_and_the_float_ones_are_gone() -> None:
    model = small_model()
    ranges = {"pixels": (0.0, 255.0), "r": (0.0, 9.0), "m": (0.0, 9.0), "c": (-9.0, 9.0)}
    quantized = insert(model, ["head/Mul"], ranges)
    stored = {tensor.name: tensor.data_type for tensor in quantized.graph.initializer}
    assert not {"w1", "b1", "w2", "b2"} & set(stored)
    assert stored["a_weights"] == TensorProto.INT8
    assert stored["a_bias"] == TensorProto.INT32
    assert model.graph.node[1].input[1] == "w1", "the model that was given must not change"


@pytest.mark.parametrize(("channels", "kept"), [(128, {"trunk.5.0/Conv_9"}), (256, set())])
def test_a_narrow_last_convolution_stays_float(channels: int, kept: set[str]) -> None:
    weights = {
        "s": np.float32(2),
        "w1": np.zeros((8, 3, 1, 1), np.float32),
        "w2": np.zeros((channels, 8, 1, 1), np.float32),
    }
    nodes = [
        helper.make_node("Conv", ["x", "w1"], ["y"], name="trunk.4.1/Conv_8"),
        helper.make_node("Conv", ["y", "w2"], ["z"], name="trunk.5.0/Conv_9"),
    ]
    x, z = (helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in "xz")
    initializers = [numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()]
    assert kept_float(helper.make_model(helper.make_graph(nodes, "g", [x], [z], initializers))) == kept
