from __future__ import annotations

import json
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from edge_reid_calibration import Calibration, Quantizer, load_chunks
from edge_reid_export.accuracy import Gate, Judge, Measured, shortfalls
from edge_reid_export.export import _matching, _name, export, pools_of
from edge_reid_export.give_back import Int8Graphs, settle
from edge_reid_export.graphs import EXACT_STREAMS
from edge_reid_export.parity import check_parity
from edge_reid_export.sensitivity_report import report_sensitivity
from edge_reid_export.targets import Target, get

from edge_reid.bundle import Accuracy, Bundle, Layers, Result
from edge_reid.data.folder import FolderDataset
from edge_reid.engines.agreement import made_up_crops
from edge_reid.errors import CheckFailed, UserError
from edge_reid.evaluation import Embedded
from edge_reid.files import sha256
from edge_reid.training.checkpoint import load_model
from edge_reid.types import MODALITIES, Modality, Sample

PLAIN = {"Add", "AveragePool", "Cast", "Clip", "Concat", "Conv", "Div", "GlobalAveragePool", "MatMul", "MaxPool", "Mul"}
PLAIN |= {"Pow", "ReduceL2", "ReduceMean", "Relu", "Reshape", "Sigmoid", "Split", "Squeeze", "Sub", "Transpose"}
PLAIN |= {"Gemm", "Unsqueeze"}


def result(query: Modality, rank1: float, mean_ap: float) -> Result:
    gallery: Modality = "thermal" if query == "visible" else "visible"
    return Result(
        query_modality=query,
        gallery_modality=gallery,
        rank1=rank1,
        rank5=1,
        rank10=1,
        mean_ap=mean_ap,
        mean_inp=1,
        identities=4,
        queries=8,
        trials=10,
        protocol="",
    )


def few_layers(kept: str = r"(?!trunk\.2\.0).*") -> Target:
    """A target with the first block in 8 bits only, whose layers are soon measured one by one."""
    whole = get("x86-vnni")
    return whole.model_copy(update={"int8": whole.int8.model_copy(update={"keep_float": (kept,)})})


def test_the_bundle_holds_what_a_device_needs(tiny_bundle: Path) -> None:
    names = {path.name for path in tiny_bundle.iterdir()}
    kinds = ("fp32", "int8", "tensorrt.fp16", "tensorrt.int8")
    graphs = {f"{modality}.{kind}.onnx" for modality in MODALITIES for kind in kinds}
    assert names == {"manifest.json", "model.safetensors", *graphs}
    assert {file.name for file in Bundle.open(tiny_bundle).manifest.files} == names - {"manifest.json"}


def test_the_manifest_says_where_the_bundle_comes_from(tiny_bundle: Path, tiny_checkpoint: Path) -> None:
    manifest = Bundle.open(tiny_bundle).manifest
    assert manifest.input_size == (64, 32)
    assert manifest.provenance.checkpoint_sha256 == sha256(tiny_checkpoint)
    calibration = manifest.provenance.calibration
    assert calibration is not None
    assert all(name.startswith("train/visible/") for name in calibration.files["visible"])
    assert len(calibration.files["thermal"]) == 8
    assert calibration.layers["x86-vnni"]["visible"].rounded > 60
    kinds = [(None, "fp32"), ("x86-vnni", "int8"), ("tensorrt", "fp16"), ("tensorrt", "int8")]
    assert [(one.target, one.precision) for one in manifest.accuracy] == kinds
    assert all([r.query_modality for r in one.results] == ["thermal", "visible"] for one in manifest.accuracy)
    assert manifest.gate_passed is True
    assert manifest.forced is False
    assert manifest.matching is None, "four people cannot show one false accept in a hundred"


@pytest.mark.parametrize("modality", MODALITIES)
def test_no_shape_arithmetic_and_no_batch_norm_is_left(tiny_bundle: Path, modality: Modality) -> None:
    model = onnx.load(tiny_bundle / f"{modality}.fp32.onnx")
    assert {node.op_type for node in model.graph.node} <= PLAIN
    batch = model.graph.input[0].type.tensor_type.shape.dim[0]
    assert batch.dim_param == "batch"
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    assert (metadata["modality"], metadata["size"]) == (modality, "64x32")


def test_a_calibration_picture_is_named_wherever_it_lies() -> None:
    assert _name(Path("/data/train/1.png"), Path("/data")) == "train/1.png"
    assert _name(Path("/elsewhere/1.png"), Path("/data")) == "/elsewhere/1.png"


def test_a_graph_that_computes_something_else_fails_its_check(tiny_bundle: Path, tiny_checkpoint: Path) -> None:
    branch = load_model(tiny_checkpoint).model.branch("thermal")
    crops = made_up_crops("thermal", (64, 32))
    check_parity(branch, tiny_bundle / "thermal.fp32.onnx", crops)
    with torch.no_grad():
        next(branch.head.parameters())[::2].mul_(1.5)
    with pytest.raises(CheckFailed, match=r"thermal\.fp32\.onnx: at batch 1 it is off PyTorch"):
        check_parity(branch, tiny_bundle / "thermal.fp32.onnx", crops)


@pytest.mark.parametrize(
    ("after", "lines"),
    [
        ([(0.50, 0.60), (0.50, 0.60)], []),
        ([(0.49, 0.59), (0.49, 0.59)], []),
        ([(0.90, 0.90), (0.48, 0.60)], ["rank-1 visible to thermal lost 2.00 points"]),
        ([(0.50, 0.585), (0.50, 0.60)], ["mAP thermal to visible lost 1.50 points"]),
    ],
    ids=["equal", "exactly one point", "rank-1", "mAP"],
)
def test_the_gate_is_one_point_of_either_metric_in_either_direction(
    after: list[tuple[float, float]], lines: list[str]
) -> None:
    queries: tuple[Modality, ...] = ("thermal", "visible")
    before = [result(query, 0.5, 0.6) for query in queries]
    assert shortfalls(before, [result(q, *numbers) for q, numbers in zip(queries, after, strict=True)], 1.0) == lines


def test_a_failed_gate_stops_the_export(tiny_checkpoint: Path, tiny_data: Path, tmp_path: Path) -> None:
    # a convolution of the FP32 graphs, so that no others are written: what is rounded does not matter to this gate
    target = few_layers(r"(?!trunk\.2\.0\.expand).*").model_copy(update={"streams": EXACT_STREAMS})
    with pytest.raises(CheckFailed, match=r"x86-vnni int8: rank-1 thermal to visible lost .*the gate is -100.*--force"):
        export(
            checkpoint=tiny_checkpoint, out=tmp_path / "bundle", int8=Calibration(), targets=[target],
            calibration=tiny_data, gate=Gate(points=-100),
        )  # fmt: skip
    assert not (tmp_path / "bundle").exists()


def test_layers_are_given_back_until_the_gate_holds(tiny_bundle: Path, tiny_data: Path, tmp_path: Path) -> None:
    target, dataset = few_layers(), FolderDataset(tiny_data)
    exact: dict[Modality, Path] = {modality: tiny_bundle / f"{modality}.fp32.onnx" for modality in MODALITIES}
    pools = pools_of(dataset)
    quantizers = {
        modality: Quantizer(
            onnx.load(path), partial(load_chunks, pools[modality], (64, 32)), target.int8, Calibration()
        )
        for modality, path in exact.items()
    }

    def settled(least: float, *, force: bool = False) -> tuple[Measured, dict[Modality, Layers]]:
        judge = Judge(Bundle.open(tiny_bundle).manifest, exact, dataset, Gate(points=100, cosine=least, force=force))
        return settle(Int8Graphs(tmp_path, target, quantizers), judge, tell=lambda line: None)

    loose, before = settled(0.5)
    assert not loose.short
    assert not any(one.given_back for one in before.values())
    least = min(one.percentile1 for one in loose.accuracy.cosines.values()) + 1e-4
    forced, _ = settled(least, force=True)
    assert forced.short, "a forced gate gives nothing back"
    strict, after = settled(least)
    assert not strict.short
    assert min(one.percentile1 for one in strict.accuracy.cosines.values()) >= least
    assert sum(len(one.given_back) for one in after.values()) > 0
    for modality, layers in after.items():
        nodes = {node.name: node for node in onnx.load(tmp_path / f"{modality}.int8.onnx").graph.node}
        floating = [name for name in layers.given_back if nodes[name].op_type == "Conv"]
        assert all("dequantized" not in nodes[name].input[1] for name in floating), "their weights are float again"
        assert layers.rounded == before[modality].rounded - len(floating)


def test_the_report_of_all_layers_says_what_each_alone_costs(
    tiny_checkpoint: Path, tiny_data: Path, tmp_path: Path
) -> None:
    out = tmp_path / "layers"
    costs = report_sensitivity(
        checkpoint=tiny_checkpoint, data=tiny_data, target=few_layers(), how=Calibration(), out=out
    )
    assert {cost.modality for cost in costs} == set(MODALITIES)
    assert all("trunk.2.0" in cost.layer for cost in costs)
    assert all(0.9 < cost.cosine <= 1 + 1e-6 and cost.snr_db > 10 for cost in costs)
    written = json.loads((out / "sensitivity.json").read_text())
    assert [layer["layer"] for layer in written["layers"]] == [cost.layer for cost in costs]
    table = (out / "sensitivity.md").read_text()
    first = min(costs, key=lambda cost: cost.cosine)
    assert table.index(f"`{first.layer}`") == min(table.index(f"`{cost.layer}`") for cost in costs), (
        "the costliest first"
    )
    assert (out / "sensitivity.svg").read_text().startswith("<svg")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").touch()
    with pytest.raises(UserError, match="replaces only what this command wrote"):
        report_sensitivity(
            checkpoint=tiny_checkpoint, data=tiny_data, target=few_layers(), how=Calibration(), out=tmp_path / "mine"
        )


def deployed(people: int) -> Measured:
    """Two pictures by two cameras of each modality, of people who are told apart, but not without errors."""
    random = np.random.default_rng(0)
    looks = random.normal(size=(people, 8)).repeat(2, axis=0)
    embedded: dict[Modality, Embedded] = {}
    for modality in MODALITIES:
        vectors = (looks + 0.4 * random.normal(size=looks.shape)).astype(np.float32)
        samples = [Sample(Path(str(row)), row // 2, row % 2, modality) for row in range(2 * people)]
        embedded[modality] = Embedded(samples, vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
    return Measured(embedded, Accuracy(target="x86", precision="int8", results=[], cosines={}), [])


def test_the_graphs_that_are_deployed_choose_the_matching_rule() -> None:
    told: list[str] = []
    rule = _matching(deployed(90), "people", told.append)
    assert rule is not None
    assert rule.engines == dict.fromkeys(MODALITIES, "onnxruntime int8")
    assert rule.measured["between"].true_accept_rate > 0.7
    assert not told


def test_without_people_enough_there_is_no_matching_rule_and_a_line_says_why() -> None:
    told: list[str] = []
    assert _matching(deployed(4), "people", told.append) is None
    assert len(told) == 1
    assert told[0].startswith("no matching rule: people, test: 6 couples of two people, visible with thermal, cannot")
    assert told[0].endswith("`edge-reid calibrate-matching` makes one")


def test_int8_without_pictures_is_refused(tiny_checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"--int8: .*pass --calibration"):
        export(checkpoint=tiny_checkpoint, out=tmp_path / "bundle", int8=Calibration())


def test_an_existing_output_is_refused_before_any_work(tiny_checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="exists; choose another output or pass --overwrite"):
        export(checkpoint=tiny_checkpoint, out=tmp_path)


def test_a_calibration_folder_without_thermal_pictures_leaves_nothing_behind(
    tiny_checkpoint: Path, tiny_data: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    shutil.copytree(tiny_data, data)
    shutil.rmtree(data / "train" / "thermal")
    with pytest.raises(UserError, match="thermal"):
        export(checkpoint=tiny_checkpoint, out=tmp_path / "out" / "bundle", int8=Calibration(), calibration=data)
    assert not (tmp_path / "out").exists()
