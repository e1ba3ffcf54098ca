from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx
import onnxruntime
import pytest
from edge_reid_calibration.qdq import Graph, activation_scales, insert, place, weight_scales
from edge_reid_calibration.quantize import kept_float
from edge_reid_calibration.ranges import observe
from edge_reid_calibration.scheme import Scheme
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from tests.calibration.graphs import finished

VNNI = Scheme(activations="unsigned", placement="all", keep_float=("head/.*",), narrow=256)
SATURATING = VNNI.model_copy(update={"weight_bits": 7})
ARM = VNNI.model_copy(update={"activations": "signed"})
TENSORRT = Scheme(activations="signed", placement="weighted", scale_type="float16", keep_float=("head/.*",))


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
    return finished(nodes, weights, taken=(2, 8, 8), given=(3, 4, 4))


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


def test_a_relu_shares_the_scale_of_its_convolution_and_a_float_head_has_none() -> None:
    placed = place(Graph(small_model().graph), VNNI, ["head/Mul"])
    assert [node.name for node in placed.nodes] == ["conv1", "pool", "conv2"]
    assert list(placed.readers) == ["pixels", "r", "m", "c"]


def test_a_pooling_stays_float_where_its_convolution_does() -> None:
    placed = place(Graph(small_model().graph), VNNI, ["head/Mul", "conv1"])
    assert [node.name for node in placed.nodes] == ["conv2"]


def test_operators_that_only_move_values_keep_their_scale() -> None:
    graph = Graph(small_model().graph)
    ranges = {"pixels": (0.0, 255.0), "r": (0.0, 8.0), "m": (0.5, 4.0), "c": (-1.0, 3.0)}
    scales = activation_scales(graph, place(graph, VNNI, ["head/Mul"]), ranges, VNNI)
    assert scales["r"] == scales["m"] == (pytest.approx(8 / 255), 0)
    assert scales["c"] == (pytest.approx(4 / 255), 64)
    assert scales["pixels"] == (1, 0)


def test_tensorrt_rounds_what_convolutions_read_and_the_residual_of_a_sum() -> None:
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], name="first"),
        helper.make_node("Sigmoid", ["x"], ["gate"], name="gate"),
        helper.make_node("Mul", ["a", "gate"], ["gated"], name="gated"),
        helper.make_node("Add", ["gated", "gate"], ["stream"], name="streams"),
        helper.make_node("Conv", ["stream", "w"], ["b"], name="second"),
        helper.make_node("Add", ["b", "x"], ["sum"], name="residual"),
        helper.make_node("Add", ["b", "w"], ["shifted"], name="bias"),
    ]
    x, out = (helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("x", "sum"))
    weights = numpy_helper.from_array(np.ones((1, 1, 1, 1), np.float32), "w")
    placed = place(Graph(helper.make_graph(nodes, "g", [x], [out], [weights])), TENSORRT)
    assert [node.name for node in placed.nodes] == ["first", "second"]
    assert placed.readers == {"x": {("first", 0), ("residual", 1)}, "stream": {("second", 0)}}


def test_every_output_channel_has_its_own_scale_and_an_empty_one_a_harmless_one() -> None:
    weights = np.array([[1.27, -0.5], [0.0, 0.0], [-127.0, 3.0]], dtype=np.float32)
    scales = weight_scales(weights, VNNI)
    assert scales[[0, 2]] == pytest.approx([0.01, 1.0])
    assert scales[1] > 0
    assert weight_scales(weights, SATURATING)[2] == pytest.approx(127 / 63)


def test_a_scale_of_16_bits_is_the_least_that_covers_the_range() -> None:
    scales = weight_scales(np.array([[0.3], [5e-4]], np.float32), TENSORRT)
    for scale, wanted in zip(scales, (0.3 / 127, 5e-4 / 127), strict=True):
        half = np.float16(scale)
        assert float(half) == scale >= wanted > float(np.nextafter(half, np.float16(0)))


@pytest.mark.parametrize("scheme", [VNNI, SATURATING, ARM, TENSORRT], ids=["vnni", "7 bits", "signed", "tensorrt"])
def test_the_quantised_graph_computes_nearly_the_same(scheme: Scheme) -> None:
    model = small_model()
    ranges = observe(model, list(place(Graph(model.graph), scheme, ["head/Mul"]).readers), chunks, "min-max")
    quantized = insert(model, scheme, ["head/Mul"], ranges)
    crops = next(chunks())
    expected, got = run(model, crops, "c"), run(quantized, crops, "c")
    assert 0 < np.abs(expected - got).max() < 0.03 * np.ptp(expected)
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in quantized.graph.initializer}
    zeros = [v for name, v in stored.items() if name.endswith("_zero") and "weights" not in name and "bias" not in name]
    assert zeros
    assert all(zero.dtype == (np.int8 if scheme.activations == "signed" else np.uint8) for zero in zeros)
    assert not any(zero.any() for zero in zeros) or scheme.activations == "unsigned"
    if scheme.placement == "all":
        assert np.abs(stored["a_weights"]).max() == 2 ** (scheme.weight_bits - 1) - 1
    else:
        assert not {"a_weights", "a_bias"} & set(stored), "TensorRT gets float weights and biases"


def test_weights_are_stored_as_integers_and_the_float_ones_are_gone() -> None:
    model = small_model()
    ranges = {"pixels": (0.0, 255.0), "r": (0.0, 9.0), "m": (0.0, 9.0), "c": (-9.0, 9.0)}
    quantized = insert(model, VNNI, ["head/Mul"], ranges)
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
    assert kept_float(helper.make_model(helper.make_graph(nodes, "g", [x], [z], initializers)), VNNI) == kept
