from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_reid.bundle import Bundle, Precision, write_manifest
from edge_reid.data.folder import FolderDataset
from edge_reid.engines import load_engine
from edge_reid.engines.base import EngineFacts, NetworkEngine, thread_count
from edge_reid.errors import UserError
from edge_reid.evaluation import extract
from edge_reid.types import MODALITIES, Modality


def tiny_crops(modality: Modality, count: int, size: tuple[int, int] = (64, 32)) -> NDArray[np.uint8]:
    shape = (count, *size, 3) if modality == "visible" else (count, *size)
    blocks = np.random.default_rng(1).integers(0, 256, (count, 8, 4, *shape[3:]), dtype=np.uint8)
    return blocks.repeat(size[0] // 8, axis=1).repeat(size[1] // 4, axis=2)


def counting_engine(batches: list[int], max_batch: int = 4, least_batch: int = 1) -> NetworkEngine:
    """Embeds a thermal crop as its first pixel and its sum's parity; notes the size of each call."""
    buffer = np.zeros((max_batch, 2), dtype=np.float32)

    def run(crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        batches.append(len(crops))
        buffer[: len(crops), 0] = crops[:, 0, 0]
        return buffer[: len(crops)]

    facts = EngineFacts("fake", "fp32", "cpu", 1, "0", "file", 0, 0.0)
    return NetworkEngine("thermal", 2, (2, 2), facts, run, max_batch, least_batch)


def test_importing_engines_and_bundles_imports_neither_torch_nor_onnxruntime() -> None:
    code = (
        "import sys, edge_reid.engines, edge_reid.bundle; "
        "assert not {'torch', 'onnxruntime', 'onnx'} & set(sys.modules), 'too much imported'"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])


def test_more_crops_than_max_batch_are_split_and_keep_their_order() -> None:
    batches: list[int] = []
    crops = np.arange(9, dtype=np.uint8)[:, None, None].repeat(2, 1).repeat(2, 2)
    embeddings = counting_engine(batches).embed(crops)
    assert batches == [4, 4, 1]
    assert embeddings[:, 0].tolist() == list(range(9))


def test_an_engine_with_a_fixed_batch_gets_that_many_and_gives_as_many_as_were_asked() -> None:
    batches: list[int] = []
    crops = np.arange(1, 7, dtype=np.uint8)[:, None, None].repeat(2, 1).repeat(2, 2)
    engine = counting_engine(batches, least_batch=4)
    assert engine.embed(crops)[:, 0].tolist() == [1, 2, 3, 4, 5, 6]
    assert engine.embed(crops[:1])[:, 0].tolist() == [1]
    assert batches == [4, 4, 4]


def test_no_crops_give_no_embeddings() -> None:
    batches: list[int] = []
    assert counting_engine(batches).embed(np.zeros((0, 2, 2), dtype=np.uint8)).shape == (0, 2)
    assert batches == []


def test_an_embedding_is_not_overwritten_by_the_next_call() -> None:
    engine = counting_engine([])
    first = engine.embed(np.full((1, 2, 2), 7, dtype=np.uint8))
    engine.embed(np.full((1, 2, 2), 9, dtype=np.uint8))
    assert first[0, 0] == 7


@pytest.mark.parametrize(
    "crops",
    [np.zeros((1, 2, 2, 3), np.uint8), np.zeros((1, 4, 2), np.uint8), np.zeros((1, 2, 2), np.float32)],
    ids=["visible", "size", "type"],
)
def test_crops_of_another_kind_are_refused(crops: NDArray[np.uint8]) -> None:
    with pytest.raises(ValueError, match=r"expected uint8 crops \(N, 2, 2\), got"):
        counting_engine([]).embed(crops)


def test_a_closed_engine_says_so() -> None:
    engine = counting_engine([])
    engine.close()
    with pytest.raises(RuntimeError, match="used after close"):
        engine.embed(np.zeros((1, 2, 2), dtype=np.uint8))


def test_threads_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGE_REID_THREADS", "3")
    assert thread_count() == 3
    monkeypatch.setenv("EDGE_REID_THREADS", "many")
    with pytest.raises(UserError, match="EDGE_REID_THREADS=many: set it to a number"):
        thread_count()


@pytest.mark.parametrize("modality", MODALITIES)
@pytest.mark.parametrize("batch", [1, 3, 8])
@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_fp32_equals_pytorch(tiny_bundle: Path, modality: Modality, batch: int, backend: str) -> None:
    crops = tiny_crops(modality, batch)
    expected = load_engine(tiny_bundle, modality, "torch").embed(crops)
    np.testing.assert_allclose(load_engine(tiny_bundle, modality, backend, "fp32").embed(crops), expected, atol=2e-6)


@pytest.mark.parametrize("bundle", ["tiny_bundle", "compiled_bundle"])
def test_signals_are_handled_after_openvino_engines_were_closed_in_the_order_they_were_opened(
    bundle: str, request: pytest.FixtureRequest
) -> None:
    folder = str(request.getfixturevalue(bundle))
    code = f"""
import faulthandler, gc, signal, subprocess, sys
from pathlib import Path
from edge_reid.engines import load_engine
faulthandler.enable()  # brings a signal stack of its own
signal.signal(signal.SIGCHLD, lambda *_: print("heard", flush=True))
engines = [load_engine(Path({folder!r}), "thermal", "openvino", name) for name in ("fp32", "int8")]
while engines:
    engines.pop(0).close()
    gc.collect()
subprocess.run([sys.executable, "-c", "pass"], check=True)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout.split()[-1:]) == (0, ["heard"]), done.stderr


def test_openvino_refuses_another_device_and_a_file_that_is_no_graph(tiny_bundle: Path, tmp_path: Path) -> None:
    from edge_reid.engines.openvino_engine import open_engine

    with pytest.raises(UserError, match="device cuda: OpenVINO has no such device; use cpu"):
        load_engine(tiny_bundle, "visible", "openvino", device="cuda")
    broken = tmp_path / "visible.fp32.onnx"
    broken.write_bytes(b"no graph")
    with pytest.raises(UserError, match=r"visible\.fp32\.onnx: OpenVINO .* cannot open it"):
        open_engine(Bundle.open(tiny_bundle).manifest, broken, "visible", "fp32", "cpu")


@pytest.mark.parametrize("modality", MODALITIES)
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_embeddings_have_unit_norm_and_do_not_depend_on_their_batch(
    tiny_bundle: Path, modality: Modality, precision: Precision
) -> None:
    engine = load_engine(tiny_bundle, modality, precision=precision)
    crops = tiny_crops(modality, 5)
    together = engine.embed(crops)
    assert together.shape == (5, engine.embedding_dim)
    assert together.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(together, np.concatenate([engine.embed(crop[None]) for crop in crops]), atol=2e-6)


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_openvino_computes_crops_side_by_side_and_gives_each_its_own_embedding(
    tiny_bundle: Path, precision: Precision, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGE_REID_THREADS", str(threads))
    engine = load_engine(tiny_bundle, "visible", "openvino", precision)
    crops = tiny_crops("visible", 8)
    alone = np.concatenate([engine.embed(crop[None]) for crop in crops])
    assert len({tuple(row) for row in alone}) == 8, "the crops differ"
    for count in (2, 3, 5, 8):
        np.testing.assert_allclose(engine.embed(crops[:count]), alone[:count], atol=2e-6)
    kept = engine.embed(crops)
    engine.embed(crops[::-1])
    np.testing.assert_allclose(kept, alone, atol=2e-6)


def test_the_first_calls_of_openvino_engines_may_come_at_once(tiny_bundle: Path) -> None:
    code = f"""
import numpy as np
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from edge_reid.engines import load_engine
engines = [load_engine(Path({str(tiny_bundle)!r}), "thermal", "openvino", name) for name in ("fp32", "int8")]
crops = np.zeros((9, 64, 32), np.uint8)
with ThreadPoolExecutor(2) as pool:
    print(*(embeddings.shape for embeddings in pool.map(lambda engine: engine.embed(crops), engines)))
"""
    words = [sys.executable, "-c", code]
    # without a limit, a deadlock would be no failure
    done = subprocess.run(
        words, env=os.environ | {"EDGE_REID_THREADS": "2"}, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("(9, ") == 2


@pytest.mark.parametrize("modality", MODALITIES)
@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_int8_stays_close_to_fp32_on_people_that_did_not_calibrate_it(
    tiny_bundle: Path, tiny_data: Path, modality: Modality, backend: str
) -> None:
    samples = FolderDataset(tiny_data).query(modality)
    precisions: tuple[Precision, ...] = ("int8", "fp32")
    small, large = (
        extract(samples, load_engine(tiny_bundle, modality, backend, precision).embed, (64, 32))
        for precision in precisions
    )
    assert (small * large).sum(axis=1).mean() > 0.95


def test_the_default_is_int8_in_onnxruntime_on_the_processor(tiny_bundle: Path) -> None:
    engine = load_engine(Bundle.open(tiny_bundle), "visible")
    assert (engine.facts.backend, engine.facts.precision, engine.facts.device) == ("onnxruntime", "int8", "cpu")
    assert engine.facts.file_bytes == (tiny_bundle / "visible.int8.onnx").stat().st_size
    assert engine.name == "onnxruntime int8 visible"


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        (
            {"backend": "abacus"},
            "backend 'abacus' does not exist; choose one of: onnxruntime, openvino, ncnn, tensorrt, torch",
        ),
        ({"device": "npu"}, "device 'npu' does not exist"),
        ({"precision": "fp16"}, "holds no onnxruntime fp16 file for visible"),
        ({"backend": "torch", "precision": "int8"}, "holds no torch int8 file for visible"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_what_cannot_be_had_is_refused(tiny_bundle: Path, wish: dict[str, str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        load_engine(tiny_bundle, "visible", **wish)  # type: ignore[arg-type]


def test_cuda_is_refused_where_onnxruntime_has_none(tiny_bundle: Path) -> None:
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this onnxruntime has CUDA")
    with pytest.raises(UserError, match="no CUDAExecutionProvider; pip install onnxruntime-gpu, or use cpu"):
        load_engine(tiny_bundle, "visible", device="cuda")


def test_a_backend_that_is_not_installed_says_how_to_install_it(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    monkeypatch.delitem(sys.modules, "edge_reid.engines.onnxruntime_engine", raising=False)
    with pytest.raises(UserError, match="onnxruntime is not installed; pip install onnxruntime"):
        load_engine(tiny_bundle, "visible")


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino", "torch"])
def test_a_manifest_of_another_network_is_refused(tiny_bundle: Path, tmp_path: Path, backend: str) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(tiny_bundle, bundle)
    manifest = Bundle.open(bundle).manifest
    write_manifest(bundle, manifest.model_copy(update={"input_size": (96, 32)}))
    with pytest.raises(UserError, match=r"takes crops of 64x32 .* the manifest says 96x32 .*copy the bundle again"):
        load_engine(Bundle.open(bundle), "visible", backend, "fp32")
