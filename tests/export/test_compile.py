"""Compiling: what is said where TensorRT is not, and that the code fits every version of it."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from edge_reid_export.compile import Wish, compile_tensorrt

from edge_reid.bundle import Bundle
from edge_reid.engines import load_engine
from edge_reid.errors import UserError

ROOT = Path(__file__).parents[2]
STUBS = ROOT.parent / "shared" / "typings"

without = pytest.mark.skipif(importlib.util.find_spec("tensorrt") is not None, reason="TensorRT is installed")


@without
def test_a_machine_without_tensorrt_is_told_how_to_get_it(tiny_bundle: Path) -> None:
    bundle = Bundle.open(tiny_bundle)
    with pytest.raises(
        UserError, match=r"(pycuda|tensorrt) is not installed for .*; on a Jetson .*edge-reid\[tensorrt\]"
    ):
        compile_tensorrt(bundle, Wish())
    assert not (tiny_bundle / "engines").exists()
    with pytest.raises(UserError, match=r"backend tensorrt: (pycuda|tensorrt) is not installed; on a Jetson"):
        load_engine(bundle, "visible", "tensorrt")


def test_wishes_that_cannot_be_met_are_refused(tiny_bundle: Path, tmp_path: Path) -> None:
    bundle = Bundle.open(tiny_bundle)
    with pytest.raises(UserError, match="--best-batch 8: from 1 to --max-batch 4"):
        compile_tensorrt(bundle, Wish(best_batch=8, max_batch=4))
    reference = Bundle.open(ROOT / "edge_reid" / "reference" / "bundle")
    with pytest.raises(UserError, match=r"has no graphs for TensorRT; export with --target tensorrt"):
        compile_tensorrt(reference, Wish())
    changed = tmp_path / "bundle"
    shutil.copytree(tiny_bundle, changed)
    (changed / "thermal.tensorrt.int8.onnx").write_bytes(b"half")
    with pytest.raises(UserError, match=r"thermal.tensorrt.int8.onnx: changed since it was exported"):
        compile_tensorrt(Bundle.open(changed), Wish())


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
    files = ["edge_reid/engines/tensorrt_engine.py", "export/edge_reid_export/tensorrt_build.py",
             "export/edge_reid_export/tensorrt_device.py"]  # fmt: skip
    words = [sys.executable, "-m", "mypy", "--config-file", str(config), *files]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "no issues found in 3 source files" in done.stdout
