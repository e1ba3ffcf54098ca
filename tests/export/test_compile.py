"""Compiling: what is said where TensorRT is not, and that the code fits every version of it."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from edge_reid_export.compile import EngineName, Wish, compile_bundle
from edge_reid_export.process import run_apart

from edge_reid.bundle import Bundle
from edge_reid.engines import load_engine
from edge_reid.errors import CheckFailed, UserError

ROOT = Path(__file__).parents[2]
STUBS = ROOT.parent / "shared" / "typings"

without = pytest.mark.skipif(importlib.util.find_spec("tensorrt") is not None, reason="TensorRT is installed")


@without
def test_a_machine_without_tensorrt_is_told_how_to_get_it(tiny_bundle: Path) -> None:
    bundle = Bundle.open(tiny_bundle)
    with pytest.raises(
        UserError, match=r"(pycuda|tensorrt) is not installed for .*; on a Jetson .*edge-reid\[tensorrt\]"
    ):
        compile_bundle(bundle, "tensorrt", Wish())
    assert not (tiny_bundle / "engines").exists()
    with pytest.raises(UserError, match=r"backend tensorrt: (pycuda|tensorrt) is not installed; on a Jetson"):
        load_engine(bundle, "visible", "tensorrt")


def test_wishes_that_cannot_be_met_are_refused(tiny_bundle: Path, tmp_path: Path) -> None:
    bundle = Bundle.open(tiny_bundle)
    with pytest.raises(UserError, match="--best-batch 8: from 1 to --max-batch 4"):
        compile_bundle(bundle, "tensorrt", Wish(best_batch=8, max_batch=4))
    reference = Bundle.open(ROOT / "edge_reid" / "reference" / "bundle")
    with pytest.raises(UserError, match=r"holds no tensorrt file for visible, .*--target tensorrt"):
        compile_bundle(reference, "tensorrt", Wish())
    changed = tmp_path / "bundle"
    shutil.copytree(tiny_bundle, changed)
    (changed / "thermal.tensorrt.int8.onnx").write_bytes(b"half")
    with pytest.raises(UserError, match=r"thermal.tensorrt.int8.onnx: changed since it was exported"):
        compile_bundle(Bundle.open(changed), "tensorrt", Wish())


@pytest.mark.parametrize(
    ("engine", "wish", "message"),
    [
        ("openvino", Wish(precision="fp16"), "--precision fp16: --engine openvino takes fp32 or int8"),
        ("ncnn", Wish(precision="int8"), "--precision int8: --engine ncnn takes fp32 or fp16"),
        ("tensorrt", Wish(precision="fp32"), "--precision fp32: --engine tensorrt takes fp16 or int8"),
        ("ort", Wish(max_batch=8), "--max-batch: only TensorRT has it; leave it out with --engine ort"),
        ("ncnn", Wish(dla=0), "--dla: only TensorRT has it; leave it out with --engine ncnn"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_what_an_engine_does_not_have_is_refused_by_name(
    tiny_bundle: Path, engine: EngineName, wish: Wish, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        compile_bundle(Bundle.open(tiny_bundle), engine, wish)


def test_a_build_that_is_killed_is_told_in_one_line() -> None:
    code = "import os, signal; print('working', flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    with pytest.raises(CheckFailed, match=r"^the build was killed \(signal 9\), for want of memory most likely; close"):
        run_apart([sys.executable, "-c", code])
    assert run_apart([sys.executable, "-c", "import sys; print(input()); sys.exit(3)"], text="heard") == (
        3,
        "heard\n",
        "",
    )


def test_compiling_needs_no_torch() -> None:
    code = "import sys, edge_reid_export.compile; sys.exit('torch' in sys.modules or 'onnx' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


@pytest.mark.skipif(not STUBS.is_dir(), reason="the type stubs of TensorRT are not beside this checkout")
@pytest.mark.parametrize("version", ["10.3", "10.13", "10.16", "11.4"])
def test_the_code_fits_the_api_of_each_version(version: str, tmp_path: Path) -> None:
    config = tmp_path / "mypy.ini"
    config.write_text(
        f"""[mypy]
strict = True
python_version = 3.10
mypy_path = {STUBS}/tensorrt-{version}:{ROOT}/export:{ROOT}/calibration
explicit_package_bases = True
cache_dir = {tmp_path}/cache
[mypy-tensorrt.*]
ignore_errors = True
[mypy-pycuda.*,cuda.*,onnxruntime.*]
ignore_missing_imports = True
"""
    )
    files = ["edge_reid/engines/tensorrt_engine.py", "edge_reid/engines/tensorrt_log.py",
             "export/edge_reid_export/tensorrt_build.py",
             "export/edge_reid_export/tensorrt_device.py"]  # fmt: skip
    words = [sys.executable, "-m", "mypy", "--config-file", str(config), *files]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "no issues found in 4 source files" in done.stdout
