"""What changes on a CUDA device: half precision in training, and nothing in the answers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from edge_reid import recipes
from edge_reid.data.folder import FolderDataset
from edge_reid.data.synthetic.dataset import Population, write_dataset
from edge_reid.recipes.sdm_mgim import SdmMgim
from edge_reid.training.checkpoint import load_model
from edge_reid.training.evaluate import embedder
from edge_reid.training.loop import train
from edge_reid.training.run import Plan
from edge_reid.types import Json

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]

PLAN = Plan(epochs=1, steps_per_epoch=2)
RECIPE = SdmMgim(width=0.25, size=(64, 32), granularities=(2,), part_dim=16, identities=4, pictures=2)


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("cuda") / "people"
    write_dataset(root, Population(identities=8, test_identities=2, pictures=4, size=(64, 32)))
    return root


def test_training_in_half_precision_learns(people: Path, tmp_path: Path) -> None:
    train(
        data=FolderDataset(people),
        out=tmp_path / "run",
        recipe=RECIPE,
        plan=Plan(epochs=6, steps_per_epoch=20),
        device="cuda",
    )
    losses = [float(line.split(",")[4]) for line in (tmp_path / "run/log.csv").read_text().splitlines()[1:]]
    assert np.isfinite(losses).all()
    assert losses[-1] < losses[0]


def test_the_device_does_not_change_the_embedding(people: Path, tmp_path: Path) -> None:
    model = load_model(
        train(data=FolderDataset(people), out=tmp_path, recipe=RECIPE, plan=Plan(epochs=0), device="cpu")
    ).model
    crops = np.random.default_rng(0).integers(0, 256, (5, 64, 32, 3), dtype=np.uint8)
    on_cpu = embedder(model, "visible")(crops)
    on_cuda = embedder(model.to("cuda"), "visible")(crops)
    assert (on_cpu * on_cuda).sum(axis=1) == pytest.approx(np.ones(5), abs=1e-4)


@pytest.mark.parametrize(
    "numbers", [{"amp": "fp16"}, {"compile": True}, {"amp": "off"}], ids=["fp16", "compiled", "off"]
)
def test_other_ways_to_compute_take_nearly_the_same_steps(
    people: Path, tmp_path: Path, numbers: dict[str, Any]
) -> None:
    losses = []
    for name, plan in (("plain", PLAN), ("other", replace(PLAN, **numbers))):
        train(data=FolderDataset(people), out=tmp_path / name, recipe=RECIPE, plan=plan, device="cuda", workers=0)
        losses.append(float((tmp_path / name / "log.csv").read_text().splitlines()[1].split(",")[4]))
    assert losses[1] == pytest.approx(losses[0], rel=0.02)


@pytest.mark.parametrize("name", recipes.names())
def test_every_recipe_trains_on_resnet_in_half_precision(people: Path, tmp_path: Path, name: str) -> None:
    numbers: dict[str, Json] = {"arch": "resnet50", "size": [64, 32], "identities": 4, "pictures": 2}
    recipe = recipes.changed(recipes.get(name), numbers | {"semantic_parts": 5})
    train(data=FolderDataset(people), out=tmp_path, recipe=recipe, plan=PLAN, device="cuda", workers=0)
    assert np.isfinite(float((tmp_path / "log.csv").read_text().splitlines()[1].split(",")[4]))
