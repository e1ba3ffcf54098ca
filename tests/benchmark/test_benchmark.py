from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_reid.benchmark import HEAD, Row, Stopwatch, benchmark, cells
from edge_reid.engines.base import EngineFacts, NetworkEngine
from edge_reid.errors import UserError
from edge_reid.machine import machine


def counting_engine(calls: list[int]) -> NetworkEngine:
    def run(crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        calls.append(len(crops))
        return np.ones((len(crops), 1), dtype=np.float32)

    return NetworkEngine("thermal", 1, (2, 2), EngineFacts("fake", "fp32", "cpu", 1, "0", "file", 0, 0.0), run)


def test_warm_up_calls_are_made_and_not_recorded() -> None:
    calls: list[int] = []
    watch = Stopwatch(counting_engine(calls), np.zeros((1, 2, 2), dtype=np.uint8))
    watch.warm_up()
    assert len(calls) >= 5
    assert watch.seconds == []


def test_a_round_records_at_least_the_samples_asked_for() -> None:
    watch = Stopwatch(counting_engine([]), np.zeros((1, 2, 2), dtype=np.uint8))
    watch.run(0.01, 10)
    assert len(watch.seconds) >= 10


def test_percentiles_do_not_depend_on_the_order_of_the_samples() -> None:
    watch = Stopwatch(counting_engine([]), np.zeros((4, 2, 2), dtype=np.uint8))
    watch.seconds = [0.001 * value for value in range(100, -1, -1)]
    row = watch.row(Row(engine="fake", precision="fp32", modality="thermal", batch=4))
    assert (row.p50_ms, row.p90_ms, row.p99_ms) == pytest.approx((50, 90, 99))
    assert row.images_per_second == pytest.approx(4 / 0.05)
    assert row.samples == 101


def test_there_is_a_row_for_every_engine_precision_modality_and_batch(tiny_bundle: Path, tiny_data: Path) -> None:
    measured = benchmark(tiny_bundle, data=tiny_data, batches=(1, 2), seconds=0.02)
    rows = [row for row in measured if row.engine != "tensorrt"]  # see the next test
    kinds = [("torch", "fp32"), *((name, kind) for name in ("onnxruntime", "openvino") for kind in ("fp32", "int8"))]
    expected = {(*kind, modality, batch) for kind in kinds for modality in ("visible", "thermal") for batch in (1, 2)}
    assert {(row.engine, row.precision, row.modality, row.batch) for row in rows} == expected
    assert len(rows) == 20
    for row in rows:
        assert row.error is None
        assert 0 < (row.p50_ms or 0) <= (row.p90_ms or 0) <= (row.p99_ms or 0)
        assert 0 <= (row.rank1 or 0) <= 1
        assert row.rank1 is not None
        if row.precision == "fp32":
            assert row.cosine_minimum == pytest.approx(1, abs=1e-4)
        else:
            assert 0.9 < (row.cosine_minimum or 0) < 1
    json.dumps([row.as_json() for row in rows])


def test_a_row_whose_engine_is_missing_shows_its_reason_beside_the_others(tiny_bundle: Path) -> None:
    rows = benchmark(tiny_bundle, batches=(1,), seconds=0.02)
    failed = [row for row in rows if row.error]
    kinds = {(precision, modality) for precision in ("fp16", "int8") for modality in ("visible", "thermal")}
    assert {row.engine for row in failed} == {"tensorrt"}, "no engine of this bundle was compiled"
    assert {(row.precision, row.modality) for row in failed} == kinds
    assert cells(failed[0])[-1] == failed[0].error
    good = next(row for row in rows if not row.error)
    assert len(cells(good)) == len(HEAD)


def test_a_damaged_bundle_is_an_error_and_no_row(tiny_bundle: Path, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(tiny_bundle, bundle)
    with (bundle / "thermal.int8.onnx").open("ab") as file:
        file.write(b"!")
    with pytest.raises(UserError, match=r"thermal.int8.onnx: changed since it was exported"):
        benchmark(bundle, batches=(1,), seconds=0.02)


@pytest.mark.parametrize("batches", [(), (0,), (1, -2)])
def test_batch_sizes_must_be_positive(tiny_bundle: Path, batches: tuple[int, ...]) -> None:
    with pytest.raises(UserError, match="--batches"):
        benchmark(tiny_bundle, batches=batches)


def test_the_machine_states_its_threads() -> None:
    facts = machine()
    assert facts["threads"] and facts["processor"]
    json.dumps(facts)
