"""What was compiled computes what its graph does, is used where it fits, and is checked before it is trusted."""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from edge_reid_export.compile import EngineName, Wish, compile_bundle

from edge_reid.bundle import Bundle, Precision, describe, write_manifest
from edge_reid.data.folder import FolderDataset
from edge_reid.data.synthetic.dataset import Population, write_dataset
from edge_reid.engines import load_engine
from edge_reid.engines.agreement import made_up_crops
from edge_reid.engines.compiled import RECORD, Compiled
from edge_reid.engines.inventory import opened
from edge_reid.errors import CheckFailed, UserError
from edge_reid.evaluation import extract
from edge_reid.types import MODALITIES, Modality

ROOT = Path(__file__).parents[2]
SIZE = (64, 32)

both = pytest.mark.parametrize("modality", MODALITIES)


def change(bundle: Path, name: str, **changes: object) -> None:
    """Another record beside an engine."""
    record = bundle / "engines" / name
    record.write_text(json.dumps(json.loads(record.read_text()) | changes))


@pytest.fixture
def own(compiled_bundle: Path, tmp_path: Path) -> Path:
    """A compiled bundle to be changed."""
    return Path(shutil.copytree(compiled_bundle, tmp_path / "bundle"))


@both
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_an_openvino_blob_gives_the_numbers_of_its_graph(
    tiny_bundle: Path, compiled_bundle: Path, modality: Modality, precision: Precision
) -> None:
    crops = made_up_crops(modality, SIZE)
    compiled = load_engine(compiled_bundle, modality, "openvino", precision)
    assert compiled.facts.file == f"{modality}.openvino.{precision}.blob"
    graph = load_engine(tiny_bundle, modality, "openvino", precision)
    assert graph.facts.file == f"{modality}.{precision}.onnx"
    # In bfloat16, which a blob computes in where nothing is said, they would differ by a hundredth.
    np.testing.assert_allclose(compiled.embed(crops), graph.embed(crops), atol=1e-6)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"version": "2024.0.0"}, "built by OpenVINO 2024.0.0, and"),
        ({"device": "Abacus"}, "built on Abacus, and this is"),
        ({"options": {"INFERENCE_PRECISION_HINT": "bf16"}}, "built with"),
        ({"source_sha256": "0" * 64}, "built from another graph than visible.int8.onnx"),
        ({"files": {}}, "damaged, its bytes are not those that were built"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_an_openvino_blob_that_does_not_fit_is_named_and_its_graph_compiled_instead(
    own: Path, changes: dict[str, object], reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    change(own, "visible.openvino.int8.json", **changes)
    with caplog.at_level(logging.WARNING):
        engine = load_engine(own, "visible", "openvino", "int8")
    assert engine.facts.file == "visible.int8.onnx"
    (said,) = caplog.messages
    assert reason in said
    assert f"edge-reid compile {own} --engine openvino --precision int8`; until then every start compiles" in said
    with pytest.raises(UserError, match=reason):
        opened(Bundle.open(own), "visible", "openvino", "int8")


def test_a_blob_whose_bytes_changed_is_not_opened(own: Path, caplog: pytest.LogCaptureFixture) -> None:
    blob = own / "engines" / "thermal.openvino.int8.blob"
    blob.write_bytes(blob.read_bytes()[:-100])
    assert load_engine(own, "thermal", "openvino", "int8").facts.file == "thermal.int8.onnx"
    assert "damaged" in caplog.text


@both
@pytest.mark.parametrize(("precision", "least"), [("fp32", 0.999999), ("fp16", 0.999)])
def test_ncnn_computes_what_pytorch_does(
    compiled_bundle: Path, modality: Modality, precision: Precision, least: float
) -> None:
    crops = made_up_crops(modality, SIZE)
    engine = load_engine(compiled_bundle, modality, "ncnn", precision)
    embeddings = engine.embed(crops)
    expected = load_engine(compiled_bundle, modality, "torch").embed(crops)
    assert (embeddings * expected).sum(axis=1).min() >= least
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, atol=1e-5)
    # What one call gave is the caller's, and crops do not depend on each other.
    np.testing.assert_array_equal(engine.embed(crops[::-1])[::-1], embeddings)


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory, compiled_bundle: Path) -> Path:
    """The carried bundle, compiled for ncnn."""
    out = tmp_path_factory.mktemp("reference") / "bundle"
    shutil.copytree(ROOT / "edge_reid" / "reference" / "bundle", out)
    compile_bundle(Bundle.open(out), "ncnn", Wish())
    return out


@both
def test_ncnn_embeds_people_with_the_carried_model_as_pytorch_does(
    reference: Path, modality: Modality, tmp_path: Path
) -> None:
    population = Population(identities=1, test_identities=3, pictures=2, cameras=2, size=(256, 128))
    write_dataset(tmp_path / "people", population, workers=1)
    samples = FolderDataset(tmp_path / "people").query(modality)
    embedded = [
        extract(samples, load_engine(reference, modality, backend, "fp32").embed, (256, 128))
        for backend in ("ncnn", "torch")
    ]
    assert len(samples) == 6
    assert (embedded[0] * embedded[1]).sum(axis=1).min() >= 0.9999


@both
def test_the_graph_for_ncnn_is_the_same_function(tiny_bundle: Path, modality: Modality) -> None:
    from edge_reid_export.for_ncnn import for_one_crop

    source = onnx.load(tiny_bundle / f"{modality}.fp32.onnx")
    crops = made_up_crops(modality, SIZE, 1)
    (expected,) = onnxruntime.InferenceSession(source.SerializeToString()).run(None, {"crops": crops})
    arranged = for_one_crop(source)
    assert "Cast" not in {node.op_type for node in arranged.graph.node}
    session = onnxruntime.InferenceSession(arranged.SerializeToString())
    (got,) = session.run(None, {"crops": crops.astype(np.float32)})
    np.testing.assert_allclose(got, expected, atol=1e-6)


def test_half_of_the_bytes_are_half_of_the_precision(compiled_bundle: Path) -> None:
    large, small = (
        (compiled_bundle / "engines" / f"visible.ncnn.{precision}.bin").stat().st_size for precision in ("fp32", "fp16")
    )
    assert small < 0.6 * large


def test_ncnn_refuses_what_it_cannot_run(own: Path, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"not built yet; .*edge-reid compile .* --engine ncnn --precision fp32`$"):
        load_engine(tiny_bundle, "visible", "ncnn")
    with pytest.raises(UserError, match="precision int8: ncnn networks are fp32 or fp16 here"):
        load_engine(own, "visible", "ncnn", "int8")
    with pytest.raises(UserError, match="device cuda: ncnn computes on the processor here; use cpu"):
        load_engine(own, "visible", "ncnn", device="cuda")
    change(own, "visible.ncnn.fp32.json", options={"height": 96, "width": 32, "embedding_dim": 1})
    with pytest.raises(UserError, match="takes crops of 96x32"):
        load_engine(own, "visible", "ncnn")
    weights = own / "engines" / "thermal.ncnn.fp32.bin"
    weights.write_bytes(weights.read_bytes()[:-4])
    with pytest.raises(UserError, match=r"thermal\.ncnn\.fp32\.bin: damaged, its bytes are not those that were built"):
        load_engine(own, "thermal", "ncnn")
    monkeypatch.setitem(sys.modules, "ncnn", None)
    monkeypatch.delitem(sys.modules, "edge_reid.engines.ncnn_engine", raising=False)
    with pytest.raises(UserError, match=r"backend ncnn: ncnn is not installed; pip install 'edge-reid\[ncnn\]'"):
        load_engine(own, "thermal", "ncnn")


def test_a_network_that_this_ncnn_cannot_read_is_told_with_both_versions(own: Path) -> None:
    place = Compiled(own / "visible.fp32.onnx", "ncnn", "visible", "fp32")
    layers = place.path(".param")
    layers.write_text(layers.read_text().replace("BinaryOp ", "OpOfTomorrow "))
    from edge_reid.files import sha256

    record = json.loads(place.path(RECORD).read_text())
    change(own, "visible.ncnn.fp32.json", files=record["files"] | {layers.name: sha256(layers)}, version="29990101")
    with pytest.raises(UserError, match=r"ncnn .* cannot read what pnnx 29990101 wrote; pip install --upgrade ncnn"):
        load_engine(own, "visible", "ncnn")


@pytest.mark.parametrize(("engine", "converter"), [("ncnn", "pnnx"), ("ort", "onnx")])
def test_without_its_converter_it_says_how_to_get_it(
    own: Path, monkeypatch: pytest.MonkeyPatch, engine: EngineName, converter: str
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=rf"{converter} is not installed; pip install 'edge-reid\[export\]'"):
        compile_bundle(Bundle.open(own), engine, Wish())


@both
@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 2e-6), ("int8", 0.02)])
def test_a_session_opens_the_ort_file_and_gives_the_embeddings_of_its_graph(
    compiled_bundle: Path, modality: Modality, precision: Precision, tolerance: float
) -> None:
    crops = made_up_crops(modality, SIZE)
    file = compiled_bundle / "engines" / f"{modality}.ort.{precision}.ort"
    (got,) = onnxruntime.InferenceSession(str(file)).run(None, {"crops": crops})
    expected = load_engine(compiled_bundle, modality, "onnxruntime", precision).embed(crops)
    np.testing.assert_allclose(got, expected, atol=tolerance)


@both
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_the_list_of_operators_names_all_that_run(
    compiled_bundle: Path, tmp_path: Path, modality: Modality, precision: Precision
) -> None:
    options = onnxruntime.SessionOptions()
    options.enable_profiling = True
    options.profile_file_prefix = str(tmp_path / "profile")
    file = compiled_bundle / "engines" / f"{modality}.ort.{precision}.ort"
    session = onnxruntime.InferenceSession(str(file), options)
    session.run(None, {"crops": made_up_crops(modality, SIZE)})
    events = json.loads(Path(session.end_profiling()).read_text())
    ran = {event["args"]["op_name"] for event in events if event["name"].endswith("_kernel_time")}
    lines = file.with_suffix(".config").read_text().splitlines()
    listed = {name for line in lines if not line.startswith("#") for name in line.split(";")[2].split(",")}
    assert {"Concat", "MatMul"} < ran
    assert ran <= listed


def test_an_engine_that_computes_something_else_is_not_kept(tiny_bundle: Path, tmp_path: Path) -> None:
    bundle = Path(shutil.copytree(tiny_bundle, tmp_path / "bundle"))
    wrong = onnx.load(bundle / "thermal.int8.onnx")
    wrong.graph.node[-1].output[0] = "before"
    wrong.graph.node.append(onnx.helper.make_node("Neg", ["before"], [wrong.graph.output[0].name]))
    onnx.save(wrong, bundle / "thermal.int8.onnx")
    manifest = Bundle.open(bundle).manifest
    files = [
        describe(bundle / file.name, file.modality, file.backend, file.precision)
        for file in manifest.files
    ]  # fmt: skip
    write_manifest(bundle, manifest.model_copy(update={"files": files}))
    with pytest.raises(CheckFailed, match=r"thermal\.openvino\.int8: .*cosine -0\.9.* \(at least 0\.9\)"):
        compile_bundle(Bundle.open(bundle), "openvino", Wish())
    assert (bundle / "engines" / "visible.openvino.int8.json").exists()
    assert not (bundle / "engines" / "thermal.openvino.int8.json").exists()


@pytest.mark.parametrize("engine", ["openvino", "ncnn", "ort"])
def test_compiling_imports_no_torch(compiled_bundle: Path, tmp_path: Path, engine: EngineName) -> None:
    bundle = shutil.copytree(compiled_bundle, tmp_path / "bundle", ignore=shutil.ignore_patterns("engines"))
    code = (
        "import sys; from edge_reid.cli import main; "
        f"code = main(['compile', {str(bundle)!r}, '--engine', {engine!r}, '--json']); "
        "sys.exit(code or 'torch' in sys.modules)"
    )
    environment = os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'export'}:{ROOT / 'calibration'}"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    records = json.loads(done.stdout.splitlines()[-1])
    assert [record["modality"] for record in records] == list(MODALITIES)
    for record in records:
        assert record["precision"] == ("fp32" if engine == "ncnn" else "int8")
        assert record["bytes"] == sum((bundle / "engines" / name).stat().st_size for name in record["files"])
