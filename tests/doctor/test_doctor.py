from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from edge_reid.bundle import Bundle
from edge_reid.cli import main
from edge_reid.doctor import _build_value, doctor, engines, opencv, tensorrt
from edge_reid.machine import installed_version


def test_every_check_that_is_not_ok_has_a_remedy() -> None:
    checks = doctor()
    names = [check.name for check in checks]
    assert len(names) == len(set(names))
    assert {"python", "opencv", "onnxruntime", "torch", "processor", "disk"} <= set(names)
    for check in checks:
        assert check.detail
        assert bool(check.remedy) == (check.state != "ok"), check
    json.dumps([check.as_json() for check in checks])


def test_it_needs_no_torch() -> None:
    code = "import sys, edge_reid.doctor; edge_reid.doctor.doctor(); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])


def test_what_opencv_was_built_with_is_read_from_its_own_words() -> None:
    information = (
        "  GUI:                           NONE\n  Video I/O:\n    GStreamer:        YES (1.20)\n    FFMPEG:  NO\n"
    )
    assert [_build_value(information, key) for key in ("GUI", "GStreamer", "FFMPEG", "v4l/v4l2")] == ["", "YES", "", ""]


def test_a_version_is_found_without_importing() -> None:
    assert installed_version("numpy")
    assert installed_version("no-such-package") is None


@pytest.mark.skipif(installed_version("tensorrt") is not None, reason="TensorRT is installed")
def test_a_jetson_is_told_where_its_tensorrt_is(tmp_path: Path) -> None:
    assert tensorrt(tmp_path).remedy == "pip install 'edge-reid[tensorrt]'"
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "nv_tegra_release").write_text("# R36 (release), REVISION: 4.3, GCID: 38968081\n")
    bare = tensorrt(tmp_path)
    assert "no TensorRT" in bare.detail
    assert bare.remedy == "sudo apt-get install python3-libnvinfer"
    (tmp_path / "usr" / "lib" / "python3.1" / "dist-packages" / "tensorrt").mkdir(parents=True)
    other = tensorrt(tmp_path)
    assert "which this environment does not see" in other.detail
    assert "that is for python3.1, and this is python3." in other.remedy
    (tmp_path / "usr" / "lib" / "python3.1").rename(tmp_path / "usr" / "lib" / "python3")
    assert tensorrt(tmp_path).remedy == "make the environment with `python3 -m venv --system-site-packages`"


def test_opencv_is_told_with_where_it_comes_from() -> None:
    import cv2

    check = opencv()
    assert str(Path(cv2.__file__).parent) in check.detail
    assert "wheel opencv-python" in check.detail or "the system" in check.detail


def test_a_wheel_of_opencv_that_hides_jetpacks_is_told(tmp_path: Path) -> None:
    import cv2

    if _build_value(cv2.getBuildInformation(), "GStreamer") or "dist-packages" in cv2.__file__:
        pytest.skip("this OpenCV has GStreamer, or is the system's")
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "nv_tegra_release").write_text("# R36 (release), REVISION: 4.3")
    check = opencv(tmp_path)
    assert check.state == "absent"
    assert "hides JetPack's, which has GStreamer" in check.detail
    assert check.remedy.startswith("pip uninstall opencv-python")


def test_the_engines_of_a_bundle_are_opened_and_compared(compiled_bundle: Path) -> None:
    checks = {check.name: check for check in engines(Bundle.open(compiled_bundle))}
    assert {name for name, check in checks.items() if check.state == "ok"} == {
        "ncnn fp16", "ncnn fp32", "onnxruntime fp32", "onnxruntime int8", "openvino fp32", "openvino int8", "ort fp32",
        "ort int8",
    }  # fmt: skip
    assert checks["openvino int8"].detail.endswith(", opens without compiling")
    for check in checks.values():
        assert ("cosine to FP32" in check.detail) == (check.state == "ok")
        assert bool(check.remedy) == (check.state != "ok")


@pytest.mark.skipif(installed_version("tensorrt") is not None, reason="TensorRT is installed")
def test_the_carried_bundle_has_a_name_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    main(["doctor", "reference", "--json"])
    names = [check["name"] for check in json.loads(capsys.readouterr().out)]
    assert "onnxruntime int8" in names and "reference model" not in names


def test_graphs_for_an_engine_that_is_not_here_are_absent(tiny_bundle: Path) -> None:
    checks = {check.name: check for check in engines(Bundle.open(tiny_bundle))}
    assert checks["tensorrt int8"].state == "absent"
    assert checks["tensorrt int8"].remedy.endswith("pip install 'edge-reid[tensorrt]'")


def test_every_engine_that_is_stale_foreign_or_damaged_is_named_with_its_command(
    compiled_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = Path(shutil.copytree(compiled_bundle, tmp_path / "bundle"))
    built = bundle / "engines"
    for name, old, new in (
        ("visible.openvino.int8.json", '"device": "', '"device": "another than '),
        ("thermal.ort.int8.json", '"source_sha256": "', '"source_sha256": "0'),
    ):
        assert old in (built / name).read_text()
        (built / name).write_text((built / name).read_text().replace(old, new))
    (built / "thermal.ncnn.fp16.bin").write_bytes(b"half")
    (built / "visible.ncnn.fp32.json").write_text("{")
    assert main(["doctor", str(bundle), "--json"]) == 1
    told = capsys.readouterr()
    bad = {line["name"]: line for line in json.loads(told.out) if line["state"] == "problem"}
    assert told.err.startswith(f"edge-reid: {bundle}: 4 lines above say what to do")
    assert set(bad) == {"openvino int8", "ort int8", "ncnn fp16", "ncnn fp32"}
    assert "built on another than" in bad["openvino int8"]["detail"]
    assert "built from another graph" in bad["ort int8"]["detail"]
    assert "damaged" in bad["ncnn fp16"]["detail"]
    assert "nobody knows what visible.ncnn.fp32.param is" in bad["ncnn fp32"]["detail"]
    for name, line in bad.items():
        engine, precision = name.split()
        command = f"edge-reid compile {bundle} --engine {engine} --precision {precision}"
        assert line["remedy"] == f"build it here with `{command}`"


def test_an_engine_that_swaps_colours_is_found(compiled_bundle: Path, tmp_path: Path) -> None:
    """The fault that most often ruins an export: RGB where BGR is expected."""
    onnx = pytest.importorskip("onnx")
    from edge_reid.bundle import describe, write_manifest

    bundle = Path(shutil.copytree(compiled_bundle, tmp_path / "bundle"))
    model = onnx.load(bundle / "visible.int8.onnx")
    weights = next(tensor for tensor in model.graph.initializer if tensor.name == "input.conv.weight")
    weights.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(weights)[:, ::-1].copy(), weights.name))
    onnx.save(model, bundle / "visible.int8.onnx")
    manifest = Bundle.open(bundle).manifest
    files = [describe(bundle / file.name, file.modality, file.backend, file.precision) for file in manifest.files]
    write_manifest(bundle, manifest.model_copy(update={"files": files}))
    check = next(check for check in engines(Bundle.open(bundle)) if check.name == "onnxruntime int8")
    assert check.state == "problem"
    assert "instead of 0.9 or more: it computes something else" in check.detail
