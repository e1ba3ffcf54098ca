"""All systems become graphs that compute what PyTorch does, in 8 bits, too."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from edge_reid_calibration import Calibration
from edge_reid_export.accuracy import Gate
from edge_reid_export.export import export

from edge_reid import recipes
from edge_reid.data.folder import FolderDataset
from edge_reid.engines import load_engine
from edge_reid.evaluation import extract
from edge_reid.training.loop import train
from edge_reid.training.run import Plan
from edge_reid.types import Json


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
