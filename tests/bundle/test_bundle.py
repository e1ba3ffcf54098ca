from __future__ import annotations

import json
from pathlib import Path

import pytest

from edge_reid.bundle import Bundle, Manifest, Provenance, describe, write_manifest
from edge_reid.errors import UserError
from edge_reid.matching_rule import MatchingRule, Measured, Searches, Thresholds
from edge_reid.types import Modality


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A bundle of one file that no engine needs to understand."""
    (tmp_path / "visible.fp32.onnx").write_bytes(b"weights")
    manifest = Manifest(
        recipe="sdm-mgim",
        config={"width": 0.25},
        input_size=(256, 128),
        embedding_dim=8,
        files=[describe(tmp_path / "visible.fp32.onnx", "visible", "onnxruntime", "fp32")],
        accuracy=[],
        matching=None,
        gate_passed=None,
        forced=False,
        provenance=Provenance(
            checkpoint="model.safetensors",
            checkpoint_sha256="0",
            epoch=1,
            data=None,
            calibration=None,
            versions={},
            date="",
            command="",
            training={},
        ),
    )
    write_manifest(tmp_path, manifest)
    return tmp_path


def test_a_manifest_reads_back_as_it_was_written(folder: Path) -> None:
    bundle = Bundle.open(folder)
    assert bundle.manifest.input_size == (256, 128)
    assert bundle.file("visible", "onnxruntime", "fp32").read_bytes() == b"weights"


def rule(means: dict[Modality, list[float]] | None) -> MatchingRule:
    """One with numbers that have no short decimal form."""
    thresholds = Thresholds(accept=2 / 3, unknown=1 / 3)
    measured = Measured(
        true_accept_rate=0.9, false_accept_rate=0.01, interval=(0.009, 0.011), people=3, pairs=300,
        searches=[Searches(people=10, named=0.9, misnamed=0.01, strangers_named=0.1)],
    )  # fmt: skip
    return MatchingRule(
        between=thresholds, across=thresholds, within={"visible": thresholds, "thermal": thresholds}, margin=1 / 7,
        means=means, means_gain=(0.0, 0.1), crops=4, false_accept_rate=0.01, people=10, measured={"between": measured},
        engines={"visible": "onnxruntime int8", "thermal": "onnxruntime fp32"}, data="people", date="",
    )  # fmt: skip


MEANS: dict[Modality, list[float]] = {"visible": [0.1] * 8, "thermal": [0.2] * 8}


def with_rule(folder: Path, matching: MatchingRule | None) -> Bundle:
    write_manifest(folder, Bundle.open(folder).manifest.model_copy(update={"matching": matching}))
    return Bundle.open(folder)


@pytest.mark.parametrize("means", [None, MEANS], ids=["without means", "with means"])
def test_a_matching_rule_reads_back_to_the_last_bit(folder: Path, means: dict[Modality, list[float]] | None) -> None:
    assert with_rule(folder, rule(means)).manifest.matching == rule(means)


def test_a_space_is_of_one_checkpoint_and_one_pair_of_means(folder: Path) -> None:
    plain = Bundle.open(folder).space
    assert len(plain) == 16 and int(plain, 16) >= 0
    assert with_rule(folder, rule(None)).space == plain, "thresholds do not change what vectors mean"
    centered = with_rule(folder, rule(MEANS)).space
    assert centered != plain
    assert with_rule(folder, rule({**MEANS, "thermal": [0.3] * 8})).space not in (plain, centered)
    manifest = Bundle.open(folder).manifest
    other = manifest.provenance.model_copy(update={"checkpoint_sha256": "1"})
    write_manifest(folder, manifest.model_copy(update={"matching": None, "provenance": other}))
    assert Bundle.open(folder).space != plain


def test_one_changed_byte_is_named_with_its_remedy(folder: Path) -> None:
    (folder / "visible.fp32.onnx").write_bytes(b"weightz")
    with pytest.raises(UserError, match=r"visible\.fp32\.onnx: changed since it was exported.*edge-reid export"):
        Bundle.open(folder).file("visible", "onnxruntime", "fp32")


def test_a_missing_file_is_named_with_its_remedy(folder: Path) -> None:
    (folder / "visible.fp32.onnx").unlink()
    with pytest.raises(UserError, match=r"visible\.fp32\.onnx: missing.*edge-reid export"):
        Bundle.open(folder).file("visible", "onnxruntime", "fp32")


def test_a_folder_without_manifest_is_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"not a bundle.*edge-reid export"):
        Bundle.open(tmp_path)


def test_what_was_never_built_is_refused_with_what_there_is(folder: Path) -> None:
    with pytest.raises(UserError, match=r"no onnxruntime int8 file for visible, only onnxruntime fp32.*--int8"):
        Bundle.open(folder).file("visible", "onnxruntime", "int8")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema_version": 3, "match_threshold": 0.4}, "for schema 3, this version reads 4; .*`edge-reid export`"),
        ({"schema_version": 99}, "written for schema 99, this version reads 4; upgrade"),
        ({"embedding_dim": "many"}, "embedding_dim: .*edge-reid export"),
        ({"surprise": 1}, "surprise: .*edge-reid export"),
    ],
    ids=["older schema", "newer schema", "wrong type", "unknown field"],
)
def test_a_manifest_that_this_version_does_not_understand_is_refused(
    folder: Path, change: dict[str, object], message: str
) -> None:
    file = folder / "manifest.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **change}))
    with pytest.raises(UserError, match=message):
        Bundle.open(folder)


def test_one_changed_byte_of_the_manifest_is_noticed(folder: Path) -> None:
    file = folder / "manifest.json"
    file.write_text(file.read_text().replace("256", "257", 1))
    with pytest.raises(UserError, match=r"manifest\.json: changed since it was written; copy it again"):
        Bundle.open(folder)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}"])
def test_a_damaged_manifest_is_refused(folder: Path, text: str) -> None:
    (folder / "manifest.json").write_text(text)
    with pytest.raises(UserError, match=r"manifest\.json: not a manifest"):
        Bundle.open(folder)


def test_a_manifest_cannot_point_outside_its_bundle(folder: Path) -> None:
    file = folder / "manifest.json"
    file.write_text(file.read_text().replace('"visible.fp32.onnx"', '"../visible.fp32.onnx"'))
    with pytest.raises(UserError, match="lies in the bundle's own folder"):
        Bundle.open(folder)
