"""Targets: what is written for each, and that a new one is one file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from edge_reid_export import targets
from onnx import TensorProto

from edge_reid.engines.agreement import made_up_crops
from edge_reid.errors import UserError
from edge_reid.types import MODALITIES, Modality


@pytest.mark.parametrize("name", targets.names())
def test_every_target_is_whole(name: str) -> None:
    target = targets.get(name)
    assert target.about
    if target.backend == "tensorrt":
        assert (target.int8.activations, target.int8.placement) == ("signed", "weighted"), "TensorRT takes no other"


def test_a_target_of_ones_own_is_a_file(tmp_path: Path) -> None:
    own = tmp_path / "board.toml"
    own.write_text((targets.FOLDER / "arm.toml").read_text())
    assert targets.get(str(own)).name == "board"
    own.write_text(own.read_text().replace('"signed"', '"ternary"'))
    with pytest.raises(UserError, match=r"board.toml: int8.activations: .*; mend that entry"):
        targets.get(str(own))
    own.write_text("[int8")
    with pytest.raises(UserError, match=r"board.toml: not TOML"):
        targets.get(str(own))
    with pytest.raises(UserError, match=r"--target toaster: no such; choose of arm, .*, or give a .toml file"):
        targets.get("toaster")


def test_a_bundle_has_one_target_per_engine() -> None:
    assert [target.name for target in targets.chosen(["arm", "tensorrt"])] == ["arm", "tensorrt"]
    with pytest.raises(UserError, match="--target x86: arm is for onnxruntime, too; a bundle takes one"):
        targets.chosen(["arm", "x86"])


def types(model: onnx.ModelProto) -> dict[str, int]:
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
    known = {info.name: info.type.tensor_type.elem_type for info in [*inferred.value_info, *inferred.output]}
    return known | {tensor.name: tensor.data_type for tensor in inferred.initializer}


@pytest.mark.parametrize("modality", MODALITIES)
@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_a_graph_for_tensorrt_has_its_precision_in_its_types(
    tiny_bundle: Path, modality: Modality, precision: str
) -> None:
    model = onnx.load(tiny_bundle / f"{modality}.tensorrt.{precision}.onnx")
    kinds = types(model)
    head = [node for node in model.graph.node if node.name.startswith("head/") and node.op_type != "Cast"]
    trunk = [node for node in model.graph.node if node.op_type == "Conv"]
    assert len(trunk) > 100
    assert {kinds[node.output[0]] for node in trunk} == {TensorProto.FLOAT16}
    assert TensorProto.FLOAT16 not in {kinds[name] for node in head for name in node.output}
    assert kinds["embeddings"] == TensorProto.FLOAT
    pairs = [node for node in model.graph.node if node.op_type == "QuantizeLinear"]
    assert bool(pairs) == (precision == "int8")
    stored = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    for node in pairs:
        assert stored[node.input[1]].dtype == np.float16 and bool((stored[node.input[1]] > 0).all())
        assert stored[node.input[2]].dtype == np.int8 and not stored[node.input[2]].any(), "no zero points"
    weighted = {node.input[1] for node in trunk}
    rounded = {node.output[0] for node in model.graph.node if node.op_type == "DequantizeLinear"}
    assert bool(weighted & rounded) == (precision == "int8")


@pytest.mark.parametrize("modality", MODALITIES)
def test_graphs_for_tensorrt_compute_nearly_the_same(tiny_bundle: Path, modality: Modality) -> None:
    crops = made_up_crops(modality, (64, 32))

    def embed(name: str) -> np.ndarray:  # type: ignore[type-arg]
        session = onnxruntime.InferenceSession(tiny_bundle / name, providers=["CPUExecutionProvider"])
        made: np.ndarray = session.run(None, {"crops": crops})[0]  # type: ignore[type-arg]
        return made

    reference = embed(f"{modality}.fp32.onnx")
    cosines = {kind: (embed(f"{modality}.tensorrt.{kind}.onnx") * reference).sum(1).min() for kind in ("fp16", "int8")}
    assert cosines["fp16"] > 0.9999
    assert 0.8 < cosines["int8"] < 1, "of an untrained network and noise, which INT8 cannot know"
