from __future__ import annotations

import json
from pathlib import Path

import pytest

from edge_reid.bundle import Bundle, Manifest, Provenance, describe, write_manifest
from edge_reid.errors import UserError


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
        match_threshold=None,
        match_rates=None,
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
        ({"schema_version": 99}, "written for schema 99, this version reads 3; upgrade"),
        ({"embedding_dim": "many"}, "embedding_dim: .*edge-reid export"),
        ({"surprise": 1}, "surprise: .*edge-reid export"),
    ],
    ids=["newer schema", "wrong type", "unknown field"],
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
