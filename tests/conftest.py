"""A tiny untrained network, a tiny data folder and the bundle that comes of them, made once for all tests."""

from __future__ import annotations

import importlib.util
import os
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.once import made_once

# Tensors of tests are too small for threads, and threads that wait for each other crawl on a busy machine.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("EDGE_REID_THREADS", "1")

TINY_SIZE = (64, 32)


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four training and four test people, two visible and two thermal cameras, one picture from each."""
    root = tmp_path_factory.mktemp("data") / "people"
    random = np.random.default_rng(0)
    for split, first in (("train", 0), ("test", 100)):
        for identity in range(first, first + 4):
            pattern = random.integers(0, 256, (8, 4), dtype=np.uint8)
            for camera in (1, 2, 3, 4):
                modality = "visible" if camera < 3 else "thermal"
                noisy = np.clip(pattern + random.normal(0, 10, pattern.shape), 0, 255).astype(np.uint8)
                picture = cv2.resize(noisy, TINY_SIZE[::-1], interpolation=cv2.INTER_CUBIC)
                folder = root / split / modality / f"{identity:05d}"
                folder.mkdir(parents=True, exist_ok=True)
                colored = cv2.applyColorMap(picture, cv2.COLORMAP_JET) if modality == "visible" else picture
                cv2.imwrite(str(folder / f"c{camera}_000.png"), colored)
    return root


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A last.pt of `sdm-mgim` at width 0.25 whose BatchNorms hold statistics, as after training."""
    pytest.importorskip("torch")
    return made_once(tmp_path_factory, "checkpoint", _write_checkpoint) / "last.pt"


def _write_checkpoint(folder: Path) -> None:
    import torch

    from edge_reid.models import build_network
    from edge_reid.recipes.sdm_mgim import SdmMgim
    from edge_reid.training.checkpoint import TrainingState, save_state

    recipe = SdmMgim(width=0.25, size=TINY_SIZE, granularities=(2, 3), part_dim=16)
    torch.manual_seed(0)
    network = build_network(recipe)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d | torch.nn.BatchNorm1d):
            module.weight.data.uniform_(0.5, 1.5)
            if isinstance(module, torch.nn.BatchNorm2d):
                module.bias.data.uniform_(0, 1)  # few dead channels: their statistics would magnify rounding
            module.momentum = None
    with torch.no_grad():
        for modality in ("visible", "thermal"):
            images = torch.nn.functional.interpolate(torch.randn(16, 3, 16, 8) * 1.5, TINY_SIZE)
            network.head(network.maps(images, modality)[-1])
    state = TrainingState(
        recipe="sdm-mgim",
        config=recipe.as_json(),
        plan={},
        network={f"network.{name}": tensor for name, tensor in network.state_dict().items()},
        optimizer={},
        epoch=1,
        step=0,
        sums={},
        history=[],
        provenance={"data": "noise"},
    )
    folder.mkdir()
    save_state(state, folder / "last.pt")


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: Path, tiny_data: Path) -> Path:
    """The bundle of the tiny network for two targets; the gate is wide open, for it knows nobody. Not to be changed."""
    pytest.importorskip("onnx")
    from edge_reid_calibration import Calibration
    from edge_reid_export.accuracy import Gate
    from edge_reid_export.export import export
    from edge_reid_export.targets import chosen

    def make(out: Path) -> None:
        export(
            checkpoint=tiny_checkpoint, out=out, int8=Calibration(), targets=chosen(["x86-vnni", "tensorrt"]),
            calibration=tiny_data, gate=Gate(points=100, cosine=0),
        )  # fmt: skip

    return made_once(tmp_path_factory, "bundle", make)


@pytest.fixture(scope="session")
def compiled_bundle(tmp_path_factory: pytest.TempPathFactory, tiny_bundle: Path) -> Path:
    """The tiny bundle with its engines for OpenVINO, ncnn and phones' ONNX Runtime. Not to be changed."""
    for package in ("openvino", "ncnn", "pnnx"):
        if importlib.util.find_spec(package) is None:  # importing pnnx would import torch
            pytest.skip(f"{package} is not installed")
    from edge_reid_export.compile import Wish, compile_bundle

    from edge_reid.bundle import Bundle

    def make(out: Path) -> None:
        shutil.copytree(tiny_bundle, out)
        bundle = Bundle.open(out)
        for wish in (Wish(), Wish(precision="fp32")):
            compile_bundle(bundle, "openvino", wish)
            compile_bundle(bundle, "ort", wish)
        for wish in (Wish(), Wish(precision="fp16")):
            compile_bundle(bundle, "ncnn", wish)

    return made_once(tmp_path_factory, "compiled", make)
