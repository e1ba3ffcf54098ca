from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from itertools import product
from pathlib import Path

import cv2
import numpy as np
import pytest
import tyro
from numpy.typing import NDArray

from edge_reid.bundle import Bundle
from edge_reid.commands.matching import CalibrateMatching
from edge_reid.data.folder import FolderDataset
from edge_reid.data.sets import DataOptions
from edge_reid.engines import load_engine
from edge_reid.errors import UserError
from edge_reid.evaluation.held_out import calibrate_bundle
from edge_reid.evaluation.open_set import Aim
from edge_reid.preprocess import read_crop
from edge_reid.reference import bundle_path
from edge_reid.types import MODALITIES, Modality


@pytest.fixture(scope="module")
def many_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty test people, two pictures by one visible and one thermal camera each."""
    root = tmp_path_factory.mktemp("many") / "people"
    random = np.random.default_rng(5)
    for identity in range(40):
        pattern = random.integers(0, 256, (8, 4), dtype=np.uint8)
        for number, modality in enumerate(MODALITIES):
            folder = root / "test" / modality / f"{identity:05d}"
            folder.mkdir(parents=True)
            for picture in range(2):
                noisy = np.clip(pattern + random.normal(0, 8, pattern.shape), 0, 255).astype(np.uint8)
                large = cv2.resize(noisy, (32, 64), interpolation=cv2.INTER_CUBIC)
                colored = cv2.applyColorMap(large, cv2.COLORMAP_JET) if modality == "visible" else large
                cv2.imwrite(str(folder / f"c{number + 1}_{picture:03d}.png"), colored)
    return root


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """The carried bundle, to be changed."""
    return Path(shutil.copytree(bundle_path(), tmp_path / "bundle"))


def run(*words: object) -> None:
    tyro.cli(CalibrateMatching, args=[str(word) for word in words]).run()


def test_the_command_writes_what_the_bundles_own_engines_measure(
    bundle: Path, many_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = Bundle.open(bundle).manifest
    run(bundle, "--data", many_data, "--false-accepts", 0.05, "--people", 3, "--crops", 1, "--json")
    printed = json.loads(capsys.readouterr().out)
    opened = Bundle.open(bundle)
    rule = opened.manifest.matching
    assert rule is not None and json.loads(rule.model_dump_json()) == printed
    assert opened.manifest == before.model_copy(update={"matching": rule})
    assert rule.data == "people, test: 40 people, 2 cameras, 160 pictures"
    # the same by hand: every visible picture with every thermal one of somebody else
    vectors: dict[Modality, NDArray[np.float32]] = {}
    for modality in MODALITIES:
        engine = load_engine(opened, modality)
        samples = FolderDataset(many_data).query(modality)
        assert rule.engines[modality] == f"onnxruntime {engine.facts.precision}"
        vectors[modality] = engine.embed(np.stack([read_crop(one.path, modality, (256, 128)) for one in samples]))
        engine.close()
    impostors = sorted(
        float(vectors["visible"][i] @ vectors["thermal"][j])
        for i, j in product(range(80), range(80))
        if i // 2 != j // 2
    )
    assert rule.between.accept == pytest.approx(impostors[-int(0.05 * len(impostors)) - 1], abs=1e-5)
    assert len(impostors) == 80 * 78
    run(bundle, "--data", many_data, "--false-accepts", 0.1, "--people", 3, "--crops", 1)
    shown = capsys.readouterr().out
    assert "in view" in shown and "the rule is in its manifest" in shown
    looser = Bundle.open(bundle).manifest.matching
    assert looser is not None and looser.between.accept < rule.between.accept


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda root: shutil.rmtree(root / "test" / "thermal"), r"test/thermal: no such folder; test needs vis"),
        (lambda root: (root / "test").rename(root / "train"), r"test/visible: no such folder"),
        (lambda root: shutil.rmtree(root), "no such folder; give a data folder"),
        (lambda root: [shutil.rmtree(one) for one in root.glob("test/*/000[1-3]*")], "45 couples .* cannot show"),
    ],
    ids=["one modality", "no test split", "no data", "too few people"],
)  # fmt: skip
def test_data_that_cannot_do_is_refused_and_the_manifest_stays(
    bundle: Path, many_data: Path, tmp_path: Path, change: Callable[[Path], object], message: str
) -> None:
    root = Path(shutil.copytree(many_data, tmp_path / "people"))
    change(root)
    before = (bundle / "manifest.json").read_bytes()
    with pytest.raises(UserError, match=message):
        run(bundle, "--data", root)
    assert (bundle / "manifest.json").read_bytes() == before


def test_an_engine_that_a_bundle_has_not_is_refused(bundle: Path, many_data: Path) -> None:
    data = DataOptions().open(many_data)
    with pytest.raises(UserError, match="backend 'abacus' does not exist"):
        calibrate_bundle(Bundle.open(bundle), data, Aim(), engine="abacus")


def test_the_carried_bundle_is_not_written_into() -> None:
    with pytest.raises(UserError, match=r"reference: is part of the installed package, .* `edge-reid export reference"):
        tyro.cli(CalibrateMatching, args=["reference", "--data", "people"]).run()
