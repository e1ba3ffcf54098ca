from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from edge_reid.doctor import _build_value, doctor, tensorrt
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
