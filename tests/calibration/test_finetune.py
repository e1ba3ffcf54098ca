"""The graph that is tuned computes what onnxruntime computes, rounded and not, and tuning brings it nearer."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from edge_reid_calibration import Calibration, Quantizer, Scheme
from edge_reid_calibration.finetune import finetuned
from edge_reid_calibration.qdq import Graph, activation_scales, place
from edge_reid_calibration.torch_graph import Rounding, TorchGraph
from edge_reid_export.targets import get, names
from numpy.typing import NDArray

from edge_reid.engines.agreement import made_up_crops
from edge_reid.errors import UserError
from edge_reid.types import MODALITIES, Modality
from tests.calibration.graphs import light_chunks, light_model, values

SIZE = (64, 32)


def chunks() -> Iterator[NDArray[np.uint8]]:
    yield made_up_crops("thermal", SIZE, 8)


def run(model: onnx.ModelProto, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    made: NDArray[np.float32] = session.run(None, {session.get_inputs()[0].name: crops})[0]
    return made


@pytest.mark.parametrize("modality", MODALITIES)
def test_the_module_computes_what_onnxruntime_computes(tiny_bundle: Path, modality: Modality) -> None:
    model = onnx.load(tiny_bundle / f"{modality}.fp32.onnx")
    crops = made_up_crops(modality, SIZE)
    with torch.no_grad():
        np.testing.assert_allclose(TorchGraph(model)(torch.from_numpy(crops)).numpy(), run(model, crops), atol=1e-5)


@pytest.mark.parametrize("target", names())
def test_it_rounds_as_the_quantised_graph_rounds(target: str) -> None:
    quantizer = Quantizer(light_model(), light_chunks, get(target).int8, Calibration(method="mse", equalize=False))
    graph = Graph(light_model().graph)
    placed = place(graph, quantizer.scheme, quantizer.kept)
    module = TorchGraph(light_model())
    scales = activation_scales(graph, placed, quantizer.ranges_of(placed), quantizer.scheme)
    module.rounding = Rounding(placed, scales, quantizer.scheme)
    with torch.no_grad():
        played = np.concatenate([module(torch.from_numpy(crops)).numpy() for crops in light_chunks()])
    rounded = values(quantizer.quantized().model, "out", fused=False)
    error = np.abs(rounded - values(light_model(), "out")).max()
    off = np.abs(played - rounded)
    assert off.mean() < 0.01 * error, "only biases are rounded in one and not in the other"
    assert error > 0


def test_tuning_brings_the_rounded_graph_nearer_to_the_float_one(tiny_bundle: Path) -> None:
    model = onnx.load(tiny_bundle / "thermal.fp32.onnx")
    scheme = Scheme(activations="unsigned", weight_bits=7, placement="all", keep_float=("head[./].*",))
    how = Calibration(method="min-max", finetune=30)
    quantizer = Quantizer(model, chunks, scheme, how)
    crops = next(iter(chunks()))
    distances: list[float] = []
    tuned = finetuned(quantizer, itertools.repeat(crops), steps=30, tell=lambda _, value: distances.append(value))
    assert np.mean(distances[-5:]) < 0.7 * np.mean(distances[:2])
    after = tuned.quantized().model
    true = run(model, crops)
    before = quantizer.quantized().model
    assert (run(after, crops) * true).sum(axis=1).mean() > (run(before, crops) * true).sum(axis=1).mean()


def test_an_operator_that_cannot_be_tuned_is_named() -> None:
    node = onnx.helper.make_node("LSTM", ["x"], ["y"], name="memory")
    x, y = (onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in "xy")
    with pytest.raises(UserError, match="--qat: the graph has LSTM"):
        TorchGraph(onnx.helper.make_model(onnx.helper.make_graph([node], "g", [x], [y])))
