"""The benchmark on the tiny bundle, with engines, processes and profilers that are real."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from edge_reid.benchmark import Record, Row, benchmark
from edge_reid.benchmark.isolated import isolated
from edge_reid.benchmark.page import write_record
from edge_reid.benchmark.profile import profile, shares
from edge_reid.benchmark.rows import Kind, Layer, Profile
from edge_reid.benchmark.tables import failures, tables
from edge_reid.bundle import Bundle
from edge_reid.cli import main
from edge_reid.engines import load_engine
from edge_reid.engines.choice import choice_path
from edge_reid.engines.inventory import inventory
from edge_reid.errors import UserError

KINDS = [Kind("torch", "fp32")]
KINDS += [Kind(name, precision) for name in ("onnxruntime", "openvino") for precision in ("fp32", "int8")]  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def record(tiny_bundle: Path, tiny_data: Path) -> Record:
    return benchmark(tiny_bundle, data=tiny_data, batches=(1, 2), seconds=0.02, cold=False, profiled=True)


def opened(record: Record) -> list[Row]:
    return [row for row in record.rows if row.engine != "tensorrt"]  # no engine of this bundle was compiled


def test_there_is_a_row_for_every_engine_precision_modality_and_batch(record: Record) -> None:
    expected = {(kind, modality, batch) for kind in KINDS for modality in ("visible", "thermal") for batch in (1, 2)}
    assert {(row.kind, row.modality, row.batch) for row in opened(record)} == expected
    assert len(opened(record)) == 20
    for row in opened(record):
        assert row.error is None
        assert 0 < (row.p50_ms or 0) <= (row.p90_ms or 0) <= (row.p99_ms or 0)
        assert row.mean_ms and row.round_ms and row.spread is not None and row.drift is not None
        assert row.images_per_second == pytest.approx(1e3 * row.batch / (row.p50_ms or 0))
        assert row.file_bytes and row.load_seconds
        assert (row.device_ms, row.copy_ms, row.peak_bytes) == (None, None, None), "nothing is invented"


def test_accuracy_is_compared_with_pytorch(record: Record) -> None:
    for row in opened(record):
        assert 0 <= (row.rank1 or 0) <= 1 and row.rank1 is not None
        assert row.cosine_with == "torch fp32"
        assert (row.cosine_minimum or 0) <= (row.cosine_p01 or 0) <= (row.cosine_mean or 0) + 1e-9
        if row.precision == "fp32":
            assert row.cosine_minimum == pytest.approx(1, abs=1e-4)
            assert (row.rank1_change, row.mean_ap_change) == pytest.approx((0, 0), abs=1e-6)
        else:
            assert 0.9 < (row.cosine_minimum or 0) < 0.9999
        full = next(one for one in record.rows if one.engine == "torch" and one.modality == row.modality)
        assert row.mean_ap_change == pytest.approx(100 * ((row.mean_ap or 0) - (full.mean_ap or 0)))


def test_a_row_whose_engine_is_missing_shows_its_reason_beside_the_others(record: Record) -> None:
    failed = [row for row in record.rows if row.error]
    assert {row.engine for row in failed} == {"tensorrt"}, "no engine of this bundle was compiled"
    assert {(row.precision, row.modality) for row in failed} == {
        (precision, modality) for precision in ("fp16", "int8") for modality in ("visible", "thermal")
    }
    assert failures(record)[0].startswith("tensorrt fp16: ")
    speed = tables(record)[0]
    assert [line[-1] for line in speed.rows if "tensorrt" in line[0]] == ["failed"] * 4
    assert [line[-1] for line in speed.rows if "tensorrt" not in line[0]] == ["ok"] * 10


def test_the_record_is_whole_after_json(record: Record) -> None:
    assert Record.model_validate_json(json.dumps(record.model_dump(mode="json"))) == record
    assert record.machine["threads"] and record.machine["processor"]
    assert record.before.processors and record.after.memory_mib


class _Page(HTMLParser):
    """Which tags are open at the end, how many cells there are, and what is fetched from elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.cells: list[str] = []
        self.fetched: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.fetched += [value for name, value in attrs if name in ("src", "href") and value and value[0] != "#"]
        if tag not in ("meta", "br", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "td":
            self.cells.append(data.replace("\N{NO-BREAK SPACE}", " "))


def test_three_files_say_the_same(record: Record, tmp_path: Path) -> None:
    write_record(tmp_path / "out", record)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        f"benchmark.{end}" for end in ("json", "md", "html")
    }
    assert Record.model_validate_json((tmp_path / "out" / "benchmark.json").read_text()) == record
    text = (tmp_path / "out" / "benchmark.md").read_text()
    for table in tables(record):
        for line in (table.head, *table.rows):
            assert f"| {' | '.join(cell.strip() for cell in line)} |" in text
    assert record.verdict in text and record.command in text
    page = _Page()
    page.feed((tmp_path / "out" / "benchmark.html").read_text())
    assert (page.open, page.fetched) == ([], []), "whole, and needs nothing from anywhere"
    for table in tables(record):
        for line in table.rows:
            assert set(filter(None, line)) <= set(page.cells)


def test_tables_fit_120_columns(record: Record) -> None:
    wide = [
        row.model_copy(update={"engine": "torch.compile", "peak_bytes": 10**9, "p99_ms": 1234.5}) for row in record.rows
    ]
    for table in tables(record.model_copy(update={"rows": wide})):
        widths = [max(map(len, column)) for column in zip(table.head, *table.rows, strict=True)]
        assert sum(widths) + 3 * len(widths) + 1 <= 120, table.title


def test_layers_are_profiled_and_grouped(record: Record) -> None:
    measured = {(one.engine, one.precision, one.modality) for one in record.profiles}
    assert len(measured) == 8 and {engine for engine, _, _ in measured} == {"onnxruntime", "openvino"}
    for one in record.profiles:
        assert any("Conv" in layer.operator for layer in one.layers)
        assert [layer.milliseconds for layer in one.layers] == sorted(
            (x.milliseconds for x in one.layers), reverse=True
        )
        assert sum(share for _, _, share in shares(one)) == pytest.approx(1)
    made = [("a", "Conv", 3.0), ("b", "Add", 1.0), ("c", "Conv", 4.0)]
    layers = [Layer(name=name, operator=operator, milliseconds=ms) for name, operator, ms in made]
    by_hand = Profile(engine="onnxruntime", precision="fp32", modality="visible", layers=layers)
    assert shares(by_hand) == [("Conv", 2, 0.875), ("Add", 1, 0.125)]


def test_pytorch_has_no_profiler_here(tiny_bundle: Path) -> None:
    assert profile(Bundle.open(tiny_bundle), Kind("torch", "fp32"), "visible") is None


def test_a_process_of_its_own_tells_its_memory_and_not_that_of_its_parent(tiny_bundle: Path) -> None:
    ballast = np.ones(600_000_000 // 8)  # 600 MB that are this process's own
    cost = isolated(tiny_bundle, Kind("onnxruntime", "fp32"), "thermal", 4)
    assert ballast[-1] == 1
    assert 20e6 < cost.peak_bytes < 400e6
    assert cost.cold_start_seconds > 0.05


def test_a_process_without_pytorch_does_not_import_it(tiny_bundle: Path) -> None:
    code = (
        "import sys; from edge_reid.engines.probe import main\n"
        f"assert main([{str(tiny_bundle)!r}, 'visible', 'onnxruntime', 'int8', '2']) == 0\n"
        "assert not {'torch', 'cv2', 'scipy'} & set(sys.modules), 'more than an app needs to embed'"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[0] == "ready"


def test_an_engine_that_does_not_open_in_its_process_says_why(tiny_bundle: Path) -> None:
    with pytest.raises(UserError, match="tensorrt int8 visible: failed in a process of its own: "):
        isolated(tiny_bundle, Kind("tensorrt", "int8"), "visible", 1)


def test_the_plain_export_computes_the_same_and_is_no_choice(tiny_bundle: Path, tmp_path: Path) -> None:
    from edge_reid.benchmark.rivals import open_plain

    bundle = Bundle.open(tiny_bundle)
    crops = np.random.default_rng(0).integers(0, 256, (3, 64, 32), dtype=np.uint8)
    expected = load_engine(bundle, "thermal", "torch").embed(crops)
    np.testing.assert_allclose(open_plain(bundle, "thermal", tmp_path).embed(crops), expected, atol=1e-5)


def test_engines_that_were_compiled_have_rows(compiled_bundle: Path) -> None:
    record = benchmark(compiled_bundle, batches=(1,), seconds=0.02, cold=False, rivals=["plain"])
    rows = {(row.kind, row.modality): row for row in record.rows}
    for modality in ("visible", "thermal"):
        for precision in ("fp32", "fp16"):
            row = rows[Kind("ncnn", precision), modality]  # type: ignore[arg-type,index]
            assert row.error is None and row.p50_ms
            assert (row.cosine_minimum or 0) > 0.999
        plain = rows[Kind("plain onnx", "fp32"), modality]  # type: ignore[index]
        assert plain.rival and plain.p50_ms and plain.cosine_minimum == pytest.approx(1, abs=1e-4)
        assert (plain.file_bytes or 0) > 100_000, "with its weights"
    assert record.choice is None or record.choice.engines["visible"].backend not in ("plain onnx", "torch")


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


def test_an_engine_that_fails_costs_its_own_rows_only(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "openvino.py").write_text("raise ImportError('libgomp.so.1: cannot open shared object file')\n")
    monkeypatch.syspath_prepend(tmp_path)
    for name in [name for name in sys.modules if name.split(".")[-1] == "openvino_engine" or name == "openvino"]:
        monkeypatch.delitem(sys.modules, name)
    record = benchmark(tiny_bundle, batches=(1,), seconds=0.01, cold=False)
    failed = {row.engine: row.error or "" for row in record.rows if row.error}
    assert set(failed) >= {"openvino"}
    assert "its library does not load: libgomp.so.1: cannot open" in failed["openvino"]
    assert all(row.p50_ms for row in record.rows if row.engine == "onnxruntime")
    found = {one.engine: one for one in inventory(Bundle.open(tiny_bundle))}
    assert found["openvino"].state == "problem" and "libgomp" in found["openvino"].detail
    assert found["onnxruntime"].state == "ok"


def test_seconds_must_be_positive(tiny_bundle: Path) -> None:
    with pytest.raises(UserError, match="--seconds 0: needs more than 0"):
        benchmark(tiny_bundle, seconds=0)


def test_the_command_keeps_its_choice_compares_and_fails_when_something_became_slower(
    tiny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle, out = tmp_path / "bundle", tmp_path / "out"
    shutil.copytree(tiny_bundle, bundle)
    asked = ["benchmark", str(bundle), "--batches", "1", "--seconds", "0.02", "--no-cold", "--rivals"]
    assert main([*asked, "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "choice.json: kept" in printed and "For one crop at a time use" in printed
    first = Record.model_validate_json((out / "benchmark.json").read_text())
    assert first.choice
    kept = choice_path(Bundle.open(bundle))
    assert kept.is_file()
    assert load_engine(bundle, "visible").facts.backend == first.choice.engines["visible"].backend

    small = [row.model_copy(update={"file_bytes": (row.file_bytes or 0) // 2}) for row in first.rows]
    (out / "small.json").write_text(first.model_copy(update={"rows": small}).model_dump_json())
    assert main([*asked, "--json", "--compare", str(out / "small.json")]) == 1
    shown = capsys.readouterr()
    assert "slower or worse than in" in shown.err and ": MB" in shown.err
    document = json.loads(shown.out.splitlines()[-1])
    assert {one["state"] for one in document["compared"]["differences"] if one["what"] == "MB"} == {"worse"}
    other = [row.model_copy(update={"protocol": "another"}) for row in first.rows]
    elsewhere = first.model_copy(update={"rows": other, "machine": {"processor": "another"}})
    (out / "other.json").write_text(elsewhere.model_dump_json())
    kept.unlink()
    assert main([*asked, "--compare", str(out / "other.json"), "--out", str(out / "late")]) == 2
    assert "nothing in the older record can be compared" in capsys.readouterr().err
    assert kept.is_file() and (out / "late" / "benchmark.html").is_file(), "what was measured is not lost"
    slow = [row.model_copy(update={"p50_ms": 1e6, "spread": 0.0}) for row in first.rows if not row.error]
    (out / "slow.json").write_text(first.model_copy(update={"rows": slow}).model_dump_json())
    assert main([*asked, "--compare", str(out / "slow.json")]) == 0


def test_a_bundle_that_cannot_be_written_to_is_measured_all_the_same(
    tiny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(tiny_bundle, bundle)
    (bundle / "engines").write_text("in the way")  # a right to write is nothing that root could be denied
    assert main(["benchmark", str(bundle), "--batches", "1", "--seconds", "0.02", "--no-cold", "--rivals"]) == 0
    assert "not kept, for the bundle cannot be written to" in capsys.readouterr().out
    assert (bundle / "engines").read_text() == "in the way"
