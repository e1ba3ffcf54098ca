"""Whether fewer bits are worth it, and what is chosen, on rows whose numbers are made up."""

from __future__ import annotations

from pathlib import Path

import pytest
from made_up import ranked, rows

from edge_reid.benchmark.rows import Kind, Row
from edge_reid.benchmark.verdict import advice, is_worth, losses, pick
from edge_reid.bundle import Bundle, Manifest

ORT, ORT8, OV8 = Kind("onnxruntime", "fp32"), Kind("onnxruntime", "int8"), Kind("openvino", "int8")


@pytest.fixture(scope="module")
def manifest(tiny_bundle: Path) -> Manifest:
    return Bundle.open(tiny_bundle).manifest


def chosen(measured: list[Row], manifest: Manifest) -> tuple[Kind | None, str]:
    best, said = pick(measured, losses(measured, manifest))
    return best.kind if best else None, said


def test_the_fastest_within_the_gate_is_chosen_and_compared_with_the_rest(manifest: Manifest) -> None:
    measured = [*ranked("torch", "fp32", 20, 0), *ranked("onnxruntime", "fp32", 10, 0)]
    measured += [*ranked("onnxruntime", "int8", 5, -0.4), *ranked("openvino", "int8", 4, -0.5)]
    kind, said = chosen(measured, manifest)
    assert kind == OV8
    assert said == (
        "For one crop at a time use openvino int8 (4.00 ms visible, 4.00 ms thermal, costs 0.5 points): "
        "5.00 times as fast as torch fp32, 2.50 times as fast as onnxruntime fp32."
    )


def test_what_costs_more_than_the_gate_is_not_chosen(manifest: Manifest) -> None:
    measured = [*ranked("onnxruntime", "fp32", 10, 0), *ranked("onnxruntime", "int8", 5, -0.4)]
    measured += ranked("openvino", "int8", 4, -0.6)
    assert chosen(measured, manifest)[0] == ORT8


def test_where_int8_loses_the_choice_is_fp32(manifest: Manifest) -> None:
    measured = [*ranked("onnxruntime", "fp32", 5, 0), *ranked("onnxruntime", "int8", 6, 0)]
    assert chosen(measured, manifest)[0] == ORT
    assert advice(measured, losses(measured, manifest)) == [
        "onnxruntime INT8, batch 1: 0.83 times as fast as FP32 on this machine and costs no accuracy: not worth it"
    ]


def test_int8_that_gains_little_and_costs_something_is_not_worth_it(manifest: Manifest) -> None:
    measured = [*ranked("onnxruntime", "fp32", 5.2, 0), *ranked("onnxruntime", "int8", 5, -0.4)]
    kind, said = chosen(measured, manifest)
    assert kind == ORT
    assert said.endswith(" onnxruntime int8 is 1.04 times as fast and costs 0.4 points: not worth it.")
    assert advice(measured, losses(measured, manifest)) == [
        "onnxruntime INT8, batch 1: 1.04 times as fast as FP32 on this machine and costs 0.4 points: not worth it"
    ]


def test_int8_must_beat_the_fastest_fp32_of_any_engine(manifest: Manifest) -> None:
    measured = [*ranked("onnxruntime", "fp32", 10, 0), *ranked("onnxruntime", "int8", 5, -0.4)]
    measured += ranked("openvino", "fp32", 5.1, 0)
    assert chosen(measured, manifest)[0] == Kind("openvino", "fp32")


@pytest.mark.parametrize(
    ("ratio", "loss", "worth"),
    [
        (1.5, 0.5, True),
        (1.05, 0.5, False),
        (1.05, 0.0, True),
        (1.01, 0.0, False),
        (3.0, 0.6, False),
        (3.0, None, False),
    ],
)
def test_what_is_worth_it(ratio: float, loss: float | None, worth: bool) -> None:
    assert is_worth(ratio, loss) is worth


def test_advice_is_given_for_every_batch_and_both_modalities_count(manifest: Manifest) -> None:
    measured = [*ranked("onnxruntime", "fp32", 4, 0), *ranked("onnxruntime", "int8", 2, -2)]
    measured += [*rows("onnxruntime", "fp32", 8, 12, batch=8), *rows("onnxruntime", "int8", 8, 8, batch=8)]
    assert advice(measured, losses(measured, manifest)) == [
        "onnxruntime INT8, batch 1: 2.00 times as fast as FP32 on this machine and costs 2.0 points, more than 0.5: "
        "not worth it",
        "onnxruntime INT8, batch 8: 1.25 times as fast as FP32 on this machine and costs 2.0 points, more than 0.5: "
        "not worth it",
    ]


def test_an_engine_without_fp32_is_judged_against_its_fp16(manifest: Manifest) -> None:
    measured = [*ranked("tensorrt", "fp16", 2, 0), *ranked("tensorrt", "int8", 1.95, -0.4)]
    measured += ranked("onnxruntime", "fp32", 9, 0)
    assert advice(measured, losses(measured, manifest)) == [
        "tensorrt INT8, batch 1: 1.03 times as fast as FP16 on this machine and costs 0.4 points: not worth it"
    ]
    kind, said = chosen(measured, manifest)
    assert kind == Kind("tensorrt", "fp16")
    assert said.endswith("tensorrt int8 is 1.03 times as fast and costs 0.4 points: not worth it.")


def test_pytorch_is_only_compared_with(manifest: Manifest) -> None:
    assert chosen(ranked("torch", "fp32", 1, 0), manifest)[0] is None
    assert chosen([*ranked("torch", "fp32", 1, 0), *ranked("onnxruntime", "fp32", 2, 0)], manifest)[0] == ORT


def test_an_engine_that_ran_one_modality_only_is_not_chosen(manifest: Manifest) -> None:
    half = ranked("openvino", "int8", 1, 0)[:1]
    assert chosen([*half, *ranked("onnxruntime", "fp32", 10, 0)], manifest)[0] == ORT


def test_the_choice_is_never_slower_than_the_plain_export(manifest: Manifest) -> None:
    measured = [*ranked("onnxruntime", "fp32", 5.2, 0), *ranked("onnxruntime", "int8", 5, -0.4)]
    plain = rows("plain onnx", "fp32", 5.1, rival=True)
    assert chosen([*measured, *plain], manifest)[0] == ORT8, "FP32 would be slower than the plain export"
    faster = rows("plain onnx", "fp32", 4.9, rival=True)
    kind, said = chosen([*measured, *faster], manifest)
    assert kind is None
    assert said.startswith("No choice: the plain ONNX export takes 9.80 ms")


def test_without_a_data_folder_the_export_says_what_fewer_bits_cost(manifest: Manifest) -> None:
    full, light = (next(one for one in manifest.accuracy if one.precision == name) for name in ("fp32", "int8"))
    others = [one for one in manifest.accuracy if one.precision == "int8" and one is not light]
    exact = [result.model_copy(update={"rank1": 0.5, "mean_ap": 0.5}) for result in full.results]
    worse = [exact[0].model_copy(update={"rank1": 0.497}), exact[1].model_copy(update={"mean_ap": 0.494})]
    told = manifest.model_copy(
        update={"accuracy": [full.model_copy(update={"results": exact}), light.model_copy(update={"results": worse})]}
    )
    measured = [*rows("onnxruntime", "fp32", 2), *rows("onnxruntime", "int8", 1, cosine_mean=0.99)]
    assert losses(measured, told) == {ORT: 0, ORT8: pytest.approx(0.6)}
    assert others, "the tiny bundle has INT8 for two targets"
    strange = [*rows("onnxruntime", "fp32", 2), *rows("onnxruntime", "int8", 1, cosine_mean=0.5)]
    assert losses(strange, told)[ORT8] is None, "what was measured elsewhere does not hold for other embeddings"
    assert losses(measured, manifest.model_copy(update={"accuracy": []}))[ORT8] is None
    assert "not to be trusted" in advice(strange, losses(strange, told))[0]


def test_an_fp32_engine_that_differs_from_pytorch_is_not_trusted(manifest: Manifest) -> None:
    measured = [*rows("onnxruntime", "fp32", 2), *rows("openvino", "fp32", 1, cosine_minimum=0.9)]
    assert chosen(measured, manifest)[0] == ORT
