"""All systems become graphs that compute what PyTorch does, in 8 bits, too."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from edge_reid_calibration import Calibration
from edge_reid_calibration.torch_graph import TorchGraph
from edge_reid_export.accuracy import Gate
from edge_reid_export.export import export
from edge_reid_export.fold import FoldedBranch
from edge_reid_export.onnx_graph import write_graph
from torch import nn

from edge_reid import recipes
from edge_reid.data.folder import FolderDataset
from edge_reid.engines import load_engine
from edge_reid.engines.agreement import made_up_crops
from edge_reid.evaluation import extract
from edge_reid.models import build_network
from edge_reid.models.attention import PartAttention
from edge_reid.training.loop import train
from edge_reid.training.run import Plan
from edge_reid.types import Json


@pytest.mark.parametrize("name", ["psfl", "cscl", "mmff-sd", "hctri"])  # the heads that sdm-mgim's bundle does not show
def test_no_shape_arithmetic_and_no_batch_norm_is_left_of_a_system(name: str, tmp_path: Path) -> None:
    numbers: dict[str, Json] = {"arch": "osnet", "width": 0.25, "size": [64, 32], "part_dim": 16}
    torch.manual_seed(0)
    network = build_network(recipes.changed(recipes.get(name), numbers)).eval()
    for norm in network.modules():
        if isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d):
            norm.weight.data.uniform_(0.5, 1.5)
            norm.bias.data.uniform_(-0.2, 1)
            norm.running_mean.uniform_(-0.3, 0.3)  # type: ignore[union-attr]
            norm.running_var.uniform_(0.5, 2)  # type: ignore[union-attr]
        if isinstance(norm, PartAttention):
            norm.gamma.data.fill_(0.7)
    branch = network.branch("thermal").eval()
    folded = FoldedBranch(branch, "thermal", (64, 32))
    crops = torch.from_numpy(made_up_crops("thermal", (64, 32)))
    with torch.no_grad():
        torch.testing.assert_close(folded(crops), branch(crops), rtol=0, atol=1e-4)
    write_graph(folded, crops, tmp_path / "graph.onnx", {})
    model = onnx.load(tmp_path / "graph.onnx")
    left = {node.op_type for node in model.graph.node}
    assert not left & {"BatchNormalization", "Shape", "Expand", "Gather", "Range", "ConstantOfShape", "Where"}, left
    embedded = TorchGraph(model)(crops).detach()
    torch.testing.assert_close(embedded, folded(crops).detach(), rtol=0, atol=1e-4, msg="what --qat would train")


@pytest.mark.parametrize("name", ["cscl", "hctri"])
def test_a_system_goes_from_training_to_an_int8_engine(name: str, tiny_data: Path, tmp_path: Path) -> None:
    numbers: dict[str, Json] = {
        "arch": "osnet", "width": 0.25, "size": [64, 32], "part_dim": 16, "identities": 4, "pictures": 2,
        "optimizer": "adamw", "learning_rate": 1e-3,
    }  # fmt: skip
    if name == "cscl":
        numbers |= {"labels": "self", "semantic_parts": 5}
    model = train(
        data=FolderDataset(tiny_data), out=tmp_path / "run", recipe=recipes.changed(recipes.get(name), numbers),
        plan=Plan(epochs=1, steps_per_epoch=8), device="cpu", workers=0,
    )  # fmt: skip
    gate = Gate(points=-100, force=True)
    made = export(checkpoint=model, out=tmp_path / "bundle", int8=Calibration(), calibration=tiny_data, gate=gate)
    assert (made.gate_passed, made.forced) == (False, True), "such a gate cannot be passed"
    samples = FolderDataset(tiny_data).query("thermal")
    engines = [("torch", "fp32"), ("onnxruntime", "fp32"), ("onnxruntime", "int8")]
    eager, large, small = (
        extract(samples, load_engine(tmp_path / "bundle", "thermal", backend, precision).embed, (64, 32))  # type: ignore[arg-type]
        for backend, precision in engines
    )
    np.testing.assert_allclose(large, eager, atol=1e-4)
    assert (small * eager).sum(axis=1).mean() > 0.9
