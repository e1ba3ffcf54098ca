"""People to train on, and a run of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_reid.data.folder import FolderDataset
from edge_reid.data.synthetic.dataset import Population, write_dataset
from edge_reid.training.loop import train
from tests.training.small import PLAN, RECIPE


@pytest.fixture(scope="session")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("training") / "people"
    write_dataset(root, Population(identities=6, test_identities=3, pictures=3, size=(64, 32)))
    return root


@pytest.fixture(scope="session")
def finished(people: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run")
    train(data=FolderDataset(people), out=out, recipe=RECIPE, plan=PLAN, device="cpu", workers=0)
    return out
